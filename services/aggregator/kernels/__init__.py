"""The engine's inner loops over memory of its own: events are read, folded, fused and written without an object per record.

`layout.py` names every word; docs/engine.md draws the way of a record and says how a kernel is added.
"""
