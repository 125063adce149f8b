"""Powers of ten and five as the kernels of digits.py need them: exact where they fit, else their first 128 bits."""

from __future__ import annotations

import numpy as np

from services.aggregator.compiled.types import Array

LOWEST, HIGHEST = -342, 324
"""Exponents of UPPER and LOWER: below the first every decimal of 19 digits is zero, and 324 scales the smallest double up."""
ROUNDED_FROM, EXACT_TO = -27, 55
"""LOWER is cut off, but rounded up from the first on, and exact from 0 to the second."""
NEAR = 40
"""Tens from 10 ** -NEAR to 10 ** NEAR are in NEAREST."""


def _leading(exponent: int) -> int:
    """The first 128 bits of 5 ** exponent."""
    if exponent >= 0:
        power: int = 5**exponent
        return power << 128 - power.bit_length() if power.bit_length() <= 128 else power >> power.bit_length() - 128
    divisor: int = 5**-exponent
    quotient = (1 << divisor.bit_length() + 127) // divisor
    return quotient + 1 if exponent >= ROUNDED_FROM else quotient


def _halves() -> tuple[Array, Array]:
    found = [_leading(exponent) for exponent in range(LOWEST, HIGHEST + 1)]
    mask = (1 << 64) - 1
    return np.array([one >> 64 for one in found], np.uint64), np.array([one & mask for one in found], np.uint64)


UPPER, LOWER = _halves()
"""[exponent - LOWEST]: upper and lower 64 bits of the power of five, shifted so that its first bit is set."""
WHOLE = np.array([10**n for n in range(20)], np.uint64)
"""[n]: 10 ** n."""
EXACT = np.array([10.0**n for n in range(23)])
"""[n]: 10 ** n, all of them exact doubles."""
NEAREST = np.array([float(f"1e{n}") for n in range(-NEAR, NEAR + 1)])
"""[n + NEAR]: the double nearest to 10 ** n."""
