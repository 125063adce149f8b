"""Numbers to text and back: the shortest decimal that reads back to a double, the double nearest to a decimal.

Whoever writes keeps WIDEST bytes free from `at` on: eight digits are stored at once, also where fewer are wanted, and the place
behind the last one that counts comes back. The texts are those of msgspec: `1.0`, `0.00001`, `1e-6`, `1234567.0`, `1.5e16`.
"""

from __future__ import annotations

import numpy as np

from services.aggregator.compiled.memory import copy, high
from services.aggregator.compiled.numbers import Word, bits, double, leading, load, low, parsed, place, plus, store
from services.aggregator.compiled.types import Array
from services.aggregator.kernels.powers import EXACT, EXACT_TO, LOWER, LOWEST, NEAR, NEAREST, ROUNDED_FROM, UPPER, WHOLE

WIDEST = 32
"""Bytes that a number may touch; its text is shorter."""
ROUNDED_ABOVE, ROUNDED_BELOW = 1e-10, 1e30
"""Sizes that are written with 12 digits, as in fusion.rows."""
SHORT_ABOVE, SHORT_BELOW = 1e-8, 1e15
"""Sizes of which 15 digits are a whole number times a power of ten that is an exact double."""
SHARE_BELOW = 1e9
MINUS, POINT, NOUGHT, EXPONENT = b"-.0e"

# No integer with a sign may meet one without: numba would go on with doubles.
U0, U1, U2, U3, U4, U8 = (np.uint64(n) for n in (0, 1, 2, 3, 4, 8))
U10, U40, U48, U63, U64 = (np.uint64(n) for n in (10, 40, 48, 63, 64))
E2, E4, E5, E6, E8, E11, E16, E18 = (np.uint64(10**n) for n in (2, 4, 5, 6, 8, 11, 16, 18))
S10, S16, S20, S32, S52 = (np.uint64(n) for n in (10, 16, 20, 32, 52))
HUNDREDTH, TENTH = np.uint64(10486), np.uint64(103)
"""Times these, shifted right by 20 and 10, is a division of up to four digits by 100, of two by 10."""
PAIRS, SINGLES = np.uint64(0x7F0000007F), np.uint64(0x000F000F000F000F)
TEXT = np.uint64(0x3030303030303030)
"""Eight times the character 0."""
LEAST = np.uint64(int.from_bytes(b"0.000000", "little"))
SIGN, FRACTION, HIDDEN = np.uint64(1 << 63), np.uint64((1 << 52) - 1), np.uint64(1 << 52)
NINES, SIXES = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x0606060606060606)
ODD_BYTES, ODD_PAIRS, ODD_FOURS = (np.uint64(n) for n in (0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0xFFFFFFFF))
WHOLE_DOUBLE = np.uint64(1 << 53)
UNSURE, FULL = np.uint64(0x1FF), np.uint64((1 << 64) - 1)


# --- writing ------------------------------------------------------------------------------------------------------------------
def write_text(out: Array, at: int, address: int, n: int) -> int:
    """n bytes from an address."""
    copy(place(out, at), address, n)
    return at + n


def eight(number: Word) -> Word:
    """The digits of a number below 10 ** 8, one in each byte, the first one lowest."""
    upper = number // E4
    number = upper | (number - upper * E4) << S32
    upper = (number * HUNDREDTH) >> S20 & PAIRS
    number = upper | (number - upper * E2) << S16
    upper = (number * TENTH) >> S10 & SINGLES
    return upper | (number - upper * U10) << U8


def places(number: Word) -> int:
    """How many digits an unsigned number other than 0 has."""
    least = np.int64((U64 - leading(number)) * np.uint64(1233) >> np.uint64(12))
    return int(least + np.int64(number >= WHOLE[least]))


def write_whole(out: Array, at: int, number: Word) -> int:
    """An unsigned number."""
    if number >= E8:
        upper = number // E8
        if upper >= E8:
            top = upper // E8
            count = places(top)
            store(out, at, (eight(top) | TEXT) >> np.uint64(64 - 8 * count))
            at += count
            store(out, at, eight(upper - top * E8) | TEXT)
            at += 8
        else:
            count = places(upper)
            store(out, at, (eight(upper) | TEXT) >> np.uint64(64 - 8 * count))
            at += count
        store(out, at, eight(number - upper * E8) | TEXT)
        return at + 8
    count = places(number | U1)
    store(out, at, (eight(number) | TEXT) >> np.uint64(64 - 8 * count))
    return at + count


def write_int(out: Array, at: int, value: int) -> int:
    """An int64."""
    if value < 0:
        out[at] = MINUS
        return write_whole(out, at + 1, np.uint64(-(value + 1)) + U1)
    return write_whole(out, at, np.uint64(value))


def write_decimal(out: Array, at: int, digits: Word, point: int) -> int:
    """A number of exactly 17 digits, unsigned, with the point behind the first `point` of them; zeros at the end are cut."""
    first = digits // E16
    digits -= first * E16
    upper = digits // E8
    left = eight(upper)
    right = eight(digits - upper * E8)
    said = np.int64(9) - np.int64(leading(left) >> U3)
    if right != U0:
        said = np.int64(17) - np.int64(leading(right) >> U3)
    left |= TEXT
    right |= TEXT
    first += U48
    if point > 0 and point <= 16:
        out[at] = first
        store(out, at + 1, left)
        store(out, at + 9, right)
        # What stands behind the point is written once more, one place further.
        moved = np.uint64(8 * (point - 1))
        if moved < U64:
            store(out, at + point + 1, left >> moved | right << U1 << (U63 - moved))
            store(out, at + point + 9, right >> moved)
        else:
            store(out, at + point + 1, right >> (moved - U64))
        out[at + point] = POINT
        return int(at + max(said, np.int64(point + 1)) + 1)
    if point <= 0 and point >= -4:
        store(out, at, LEAST)
        at += 2 - point
        out[at] = first
        store(out, at + 1, left)
        store(out, at + 9, right)
        return int(at + said)
    out[at] = first
    if said > 1:
        out[at + 1] = POINT
        store(out, at + 2, left)
        store(out, at + 10, right)
        at += 1
    at += int(said)
    out[at] = EXPONENT
    return write_int(out, at + 1, point - 1)


def magnitude(size: float) -> int:
    """The exponent of the power of ten at or below a positive double not far from 1 (of tens to the NEAR)."""
    binary = np.int64(bits(size) >> S52) - 1023
    least = (binary * 315653) >> 20
    return int(least + np.int64(size >= NEAREST[least + 1 + NEAR]))


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


def write_float(out: Array, at: int, value: float) -> int:
    """The shortest decimal that reads back to a finite double."""
    word = bits(value)
    if word >= SIGN:
        out[at] = MINUS
        at += 1
        word -= SIGN
        value = -value
    if word == U0:
        out[at] = NOUGHT
        out[at + 1] = POINT
        out[at + 2] = NOUGHT
        return at + 3
    if value >= SHORT_ABOVE and value < SHORT_BELOW:
        # Of up to 15 digits no two read back to one double: where they do they are the shortest.
        tens = magnitude(value)
        number = np.int64(value * EXACT[14 - tens] + 0.5)
        if np.float64(number) / EXACT[14 - tens] == value:
            return write_decimal(out, at, np.uint64(number) * E2, tens + 1)
    exponent = int(np.int64(word >> S52))
    mantissa = word & FRACTION
    closer = mantissa == U0 and exponent > 1
    if exponent > 0:
        mantissa |= HIDDEN
        exponent -= 1
    binary = exponent - 1074
    decimal = (binary * 1262611 - (524031 if closer else 0)) >> 22
    digits = shortest(mantissa, binary, decimal, closer)
    count = places(digits)
    digits = digits * WHOLE[17 - count] if count <= 17 else digits // U10
    return write_decimal(out, at, digits, count + decimal)


def write_digits(out: Array, at: int, value: float) -> int:
    """12 digits that read back to fusion.rows.rounded of the value; the shortest that read back to it where that leaves it."""
    size = abs(value)
    if not (size > ROUNDED_ABOVE and size < ROUNDED_BELOW):
        return write_float(out, at, value)
    tens = magnitude(size)
    shift = 11 - tens
    number = np.uint64(np.int64((size * EXACT[shift] if shift >= 0 else size / EXACT[-shift]) + 0.5))
    if number > E11 * U10 - U1:
        number = E11
        tens += 1
    if value < 0.0:
        out[at] = MINUS
        at += 1
    return write_decimal(out, at, number * E5, tens + 1)


def rounded_share(value: float) -> float:
    """The double nearest to the decimal with 6 places."""
    return float(np.floor(value * 1e6 + 0.5) / 1e6)


def write_share(out: Array, at: int, value: float) -> int:
    """6 places that read back to `rounded_share` of the value."""
    if not (value >= 0.0 and value < SHARE_BELOW):
        return write_float(out, at, rounded_share(value))
    number = np.uint64(np.int64(value * 1e6 + 0.5))
    whole = number // E6
    part = number - whole * E6
    if whole == U0 and part < U10 and part > U0:
        return write_float(out, at, rounded_share(value))
    if whole < U10:
        out[at] = whole + U48
        at += 1
    else:
        at = write_whole(out, at, whole)
    digits = eight(part * E2)
    out[at] = POINT
    store(out, at + 1, digits | TEXT)
    if part == U0:
        return at + 2
    return int(at + 9 - np.int64(leading(digits) >> U3))


# --- reading ------------------------------------------------------------------------------------------------------------------
def all_digits(word: Word) -> bool:
    """Whether eight bytes are digits."""
    return bool((word & NINES | (plus(word, SIXES) & NINES) >> U4) == np.uint64(0x3333333333333333))


def of_eight(word: Word) -> Word:
    """The number of eight digits, the first one lowest."""
    word -= TEXT
    word = (word * U10 + (word >> U8)) & ODD_BYTES
    word = (word * E2 + (word >> S16)) & ODD_PAIRS
    return (word * E4 + (word >> S32)) & ODD_FOURS


def read_int(text: Array, at: int, end: int) -> int:
    """The whole number text[at:end] of at most 18 digits."""
    negative = int(text[at]) == MINUS
    if negative:
        at += 1
    number = U0
    while end - at >= 8:
        number = number * E8 + of_eight(load(text, at))
        at += 8
    while at < end:
        number = number * U10 + np.uint64(int(text[at]) - NOUGHT)
        at += 1
    value = np.int64(number)
    return int(-value if negative else value)


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
    mantissa = upper >> (bit + np.uint64(9))
    binary = (power * 217706 >> 16) + 1086 + int(np.int64(bit)) - int(np.int64(zeros))
    if binary <= 0:
        if binary <= -63:
            return 0.0
        mantissa >>= np.uint64(1 - binary)
        mantissa = (mantissa + (mantissa & U1)) >> U1
        return double(mantissa)
    if (
        lower <= U1
        and power >= -4
        and power <= 23
        and mantissa & U3 == U1
        and mantissa << (bit + np.uint64(9)) == upper
    ):
        mantissa -= U1
    mantissa = (mantissa + (mantissa & U1)) >> U1
    # The hidden bit, and the one that rounding may carry over it, count up the exponent.
    mantissa += np.uint64(binary - 1) << S52
    return double(min(mantissa, np.uint64(0x7FF) << S52))


def read_float(text: Array, at: int, end: int) -> float:
    """The double nearest to the number text[at:end] of JSON; inf beyond the greatest. text[end] is no part of a number."""
    begin = at
    negative = int(text[at]) == MINUS
    if negative:
        at += 1
    number = U0
    power = 0
    lost = False  # digits behind the 19th that are not 0
    whole = True
    while at < end:
        if whole and int(text[at]) == POINT:
            whole = False
            at += 1
        if end - at >= 8 and number < E11:
            word = load(text, at)
            if all_digits(word):
                number = number * E8 + of_eight(word)
                at += 8
                if not whole:
                    power -= 8
                continue
        digit = int(text[at]) - NOUGHT
        if digit < 0 or digit > 9:
            if whole and digit == POINT - NOUGHT:
                continue
            break
        if number < E18:
            number = number * U10 + np.uint64(digit)
            if not whole:
                power -= 1
        else:
            lost = lost or digit > 0
            if whole:
                power += 1
        at += 1
    if at < end:
        power += read_exponent(text, at + 1, end)
    if number == U0:
        value = 0.0
    elif number <= WHOLE_DOUBLE and not lost and power >= -22 and power <= 22:
        value = float(np.int64(number))
        value = value * EXACT[power] if power >= 0 else value / EXACT[-power]
    else:
        value = nearest(number, power)
        # Cut off digits may lie on the other side of a middle; NaN is like nothing.
        again = nearest(number + U1, power) if lost else value
        if value != again:
            return parsed(text, begin, end)
    return -value if negative else value


def read_exponent(text: Array, at: int, end: int) -> int:
    """The number behind the e; beyond 10 ** 9 its digits do not count any more."""
    negative = int(text[at]) == MINUS
    exponent = 0
    while at < end:
        digit = int(text[at]) - NOUGHT
        if digit >= 0 and exponent < 1_000_000_000:
            exponent = exponent * 10 + digit
        at += 1
    return -exponent if negative else exponent
