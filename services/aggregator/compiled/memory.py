"""Arrays over memory that is known by its address: what lets one call work on the state of many keys without copying it.

These are the uncompiled forms; the compiled ones (build.py) have the same names and signatures.
"""

from __future__ import annotations

from ctypes import c_double, c_float, c_int16, c_int64, c_uint8, memmove
from typing import Any

import numpy as np

from services.aggregator.compiled.types import Array

_at: Any = np.frombuffer


def floats(address: int, n: int) -> Array:
    """n doubles."""
    return _at((c_double * int(n)).from_address(int(address)))


def table(address: int, rows: int, columns: int) -> Array:
    """Doubles in rows."""
    return floats(address, rows * columns).reshape(rows, columns)


def singles(address: int, rows: int, columns: int) -> Array:
    """float32 in rows."""
    return _at((c_float * int(rows * columns)).from_address(int(address)), np.float32).reshape(rows, columns)


def shorts(address: int, rows: int, columns: int, depth: int) -> Array:
    """int16 in three dimensions."""
    flat = _at((c_int16 * int(rows * columns * depth)).from_address(int(address)), np.int16)
    return flat.reshape(rows, columns, depth)


def integers(address: int, n: int) -> Array:
    """n int64."""
    return _at((c_int64 * int(n)).from_address(int(address)), np.int64)


def octets(address: int, n: int) -> Array:
    """n bytes."""
    return _at((c_uint8 * int(n)).from_address(int(address)), np.uint8)


def copy(to: int, source: int, n: int) -> None:
    """Copy n bytes that do not overlap."""
    memmove(int(to), int(source), int(n))


def high(a: Any, b: Any) -> Any:
    """The upper half of the product of two uint64."""
    return np.uint64((int(a) * int(b)) >> 64)
