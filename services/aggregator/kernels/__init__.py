"""The engine's inner loops over memory of its own: events are read, folded, fused and written without an object per record."""
