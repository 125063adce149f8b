"""Between decimal and binary: the shortest decimal of a double (Giulietti's Schubfach), the double of a decimal (Eisel and Lemire).

Both multiply by the first 128 bits of a power of five; both are exact wherever they give a number.
"""

from __future__ import annotations

import numpy as np

from services.aggregator.compiled.memory import high
from services.aggregator.compiled.numbers import Word, double, leading, low, plus
from services.aggregator.kernels.powers import EXACT_TO, LOWER, LOWEST, ROUNDED_FROM, UPPER

# No integer with a sign may meet one without: numba would go on with doubles.
U0, U1, U2, U3, U4, U8, U9 = (np.uint64(n) for n in (0, 1, 2, 3, 4, 8, 9))
U10, U40, U48, U63, U64 = (np.uint64(n) for n in (10, 40, 48, 63, 64))
S52 = np.uint64(52)
UNSURE, FULL = np.uint64(0x1FF), np.uint64((1 << 64) - 1)


def odd_product(upper: Word, lower: Word, factor: Word) -> Word:
    """The upper 64 bits of a product of 128 and 64; the last one is set if anything of weight is cut off."""
    middle = high(lower, factor)
    rest = plus(low(upper, factor), middle)
    found = high(upper, factor)
    if rest < middle:
        found += U1
    return found | np.uint64(rest > U1)


def shortest(mantissa: Word, binary: int, decimal: int, closer: bool) -> Word:
    """The shortest number that times 10 ** decimal lies nearer to mantissa * 2 ** binary than to any other double.

    `decimal` is the greatest power of ten that is no wider than the gap between doubles (Giulietti's Schubfach); `closer`
    where the double below is half as far as the one above.
    """
    power = -decimal
    upper = UPPER[power - LOWEST]
    lower = LOWER[power - LOWEST]
    if power > EXACT_TO or power < ROUNDED_FROM:
        lower += U1
    shift = np.uint64(binary + (power * 1741647 >> 19) + 1)
    # Four times the double and the middles between it and its neighbours; a middle reads back to what is even.
    quarters = mantissa << U2
    least = odd_product(upper, lower, (quarters - U2 + np.uint64(closer)) << shift)
    exact = odd_product(upper, lower, quarters << shift)
    most = odd_product(upper, lower, (quarters + U2) << shift)
    odd = mantissa & U1
    least += odd
    most -= odd
    found = exact >> U2
    if found >= U10:
        ten = found // U10
        below = least <= U40 * ten
        above = U40 * ten + U40 <= most
        if below != above:
            return (ten + np.uint64(above)) * U10
    below = least <= found << U2
    above = (found << U2) + U4 <= most
    if below != above:
        return found + np.uint64(above)
    middle = (found << U2) + U2
    return found + np.uint64(exact > middle or (exact == middle and found & U1 == U1))


def nearest(number: Word, power: int) -> float:
    """The double nearest to number * 10 ** power, number unsigned and not 0; NaN where 128 bits do not tell (Eisel-Lemire)."""
    if power < LOWEST:
        return 0.0
    if power > 308:
        return float(np.inf)
    zeros = leading(number)
    number <<= zeros
    upper = high(number, UPPER[power - LOWEST])
    lower = low(number, UPPER[power - LOWEST])
    if upper & UNSURE == UNSURE:
        more = high(number, LOWER[power - LOWEST])
        lower = plus(lower, more)
        if lower < more:
            upper += U1
        if lower == FULL and (power < ROUNDED_FROM or power > EXACT_TO):
            return float(np.nan)
    bit = upper >> U63
    mantissa = upper >> (bit + U9)
    binary = (power * 217706 >> 16) + 1086 + int(np.int64(bit)) - int(np.int64(zeros))
    if binary <= 0:
        if binary <= -63:
            return 0.0
        mantissa >>= np.uint64(1 - binary)
        mantissa = (mantissa + (mantissa & U1)) >> U1
        return double(mantissa)
    if lower <= U1 and power >= -4 and power <= 23 and mantissa & U3 == U1 and mantissa << (bit + U9) == upper:
        mantissa -= U1
    mantissa = (mantissa + (mantissa & U1)) >> U1
    # The hidden bit, and the one that rounding may carry over it, count up the exponent.
    mantissa += np.uint64(binary - 1) << S52
    return double(min(mantissa, np.uint64(0x7FF) << S52))
