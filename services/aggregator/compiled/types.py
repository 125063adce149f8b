"""What kernels call their arrays."""

from __future__ import annotations

from typing import Any

Array = Any
"""numpy.ndarray of float64, int64, uint8, float32 or int16; numba knows the types."""
