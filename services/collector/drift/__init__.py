"""Whether answers still have the shape that was proven: fingerprints, their differences, jumps of unit, and what is held back."""
