"""Numbers to text and back: the shortest decimal that reads back to a double, the double nearest to a decimal.

Eight digits are stored and loaded at once, also where fewer are wanted: whoever writes keeps WIDEST bytes free from `at` on, and
eight bytes can be read at every place of a text and right behind its end. Writers give back the place behind what counts.
The texts are those of msgspec: `1.0`, `0.00001`, `1e-6`, `1234567.0`, `1.5e16`.
"""

from __future__ import annotations

import numpy as np

from services.aggregator.compiled.memory import copy
from services.aggregator.compiled.numbers import Word, bits, leading, load, parsed, place, plus, store, trailing
from services.aggregator.compiled.types import Array
from services.aggregator.kernels.decimals import S52, U0, U1, U3, U8, U10, U48, U63, U64, nearest, shortest
from services.aggregator.kernels.powers import EXACT, NEAR, NEAREST, WHOLE

WIDEST = 32
"""Bytes that a number may touch; its text is shorter."""
ROUNDED_ABOVE, ROUNDED_BELOW = 1e-10, 1e30
"""Sizes that are written with 12 digits, as in fusion.rows."""
SHORT_ABOVE, SHORT_BELOW = 1e-8, 1e15
"""Sizes of which 15 digits are a whole number times a power of ten that is an exact double."""
SHARE_BELOW = 1e9
MINUS, POINT, NOUGHT, EXPONENT = b"-.0e"

E2, E4, E5, E6, E8, E11, E16, E18 = (np.uint64(10**n) for n in (2, 4, 5, 6, 8, 11, 16, 18))
S10, S16, S20, S32 = (np.uint64(n) for n in (10, 16, 20, 32))
HUNDREDTH, TENTH = np.uint64(10486), np.uint64(103)
"""Times these, shifted right by 20 and 10, is a division of up to four digits by 100, of two by 10."""
PAIRS, SINGLES = np.uint64(0x7F0000007F), np.uint64(0x000F000F000F000F)
TEXT = np.uint64(0x3030303030303030)
"""Eight times the character 0."""
LEAST = np.uint64(int.from_bytes(b"0.000000", "little"))
SIGN, FRACTION, HIDDEN = np.uint64(1 << 63), np.uint64((1 << 52) - 1), np.uint64(1 << 52)
NIBBLES, SIXES = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x0606060606060606)
ODD_BYTES, ODD_PAIRS, ODD_FOURS = (np.uint64(n) for n in (0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0xFFFFFFFF))
WHOLE_DOUBLE = np.uint64(1 << 53)


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
    upper = digits // E8
    left = eight(upper - first * E8)
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


def write_float(out: Array, at: int, value: float) -> int:
    """The shortest decimal that reads back to a finite double."""
    word = bits(value)
    if word >= SIGN:
        out[at] = MINUS
        at += 1
        word -= SIGN
        value = -value
    if value < SHORT_BELOW and np.float64(np.int64(value)) == value:
        at = write_whole(out, at, np.uint64(np.int64(value)))
        out[at] = POINT
        out[at + 1] = NOUGHT
        return at + 2
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
    # There are 17 at most: 2 ** 53 times less than 10.
    return write_decimal(out, at, digits * WHOLE[17 - count], count + decimal)


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
def digits_of(word: Word) -> Word:
    """How many of eight bytes, each of them already less the character 0, are digits before the first that is none."""
    return trailing((plus(word, SIXES) | word) & NIBBLES) >> U3


def of_eight(word: Word) -> Word:
    """The number of eight digits 0 to 9, the first one lowest."""
    word = (word * U10 + (word >> U8)) & ODD_BYTES
    word = (word * E2 + (word >> S16)) & ODD_PAIRS
    return (word * E4 + (word >> S32)) & ODD_FOURS


def read_int(text: Array, at: int, end: int) -> int:
    """The whole number text[at:end] of at most 18 digits."""
    negative = int(text[at]) == MINUS
    if negative:
        at += 1
    number = U0
    while at < end:
        word = load(text, at) ^ TEXT
        count = min(digits_of(word), np.uint64(end - at))
        number = number * WHOLE[count] + of_eight(word << (U64 - U8 * count))
        at += int(np.int64(count))
    value = np.int64(number)
    return int(-value if negative else value)


def read_float(text: Array, at: int, end: int) -> float:
    """The double nearest to the number text[at:end] of JSON; inf beyond the greatest. text[end] is no part of a number."""
    begin = at
    negative = int(text[at]) == MINUS
    if negative:
        at += 1
    number = U0
    power = 0
    behind = 0  # 1 behind the point
    lost = False  # digits behind the 19th that are not 0
    while at < end:
        if number < E11:
            word = load(text, at) ^ TEXT
            count = digits_of(word)
            if count > U0:
                number = number * WHOLE[count] + of_eight(word << (U64 - U8 * count))
                at += int(np.int64(count))
                power -= behind * int(np.int64(count))
            if count < U8:
                if behind or at >= end or int(text[at]) != POINT:
                    break
                behind = 1
                at += 1
            continue
        digit = int(text[at]) - NOUGHT
        if digit == POINT - NOUGHT:
            behind = 1
        elif digit < 0 or digit > 9:
            break
        elif number < E18:
            number = number * U10 + np.uint64(digit)
            power -= behind
        else:
            lost = lost or digit > 0
            power += 1 - behind
        at += 1
    if at < end:
        power += read_exponent(text, at + 1, end)
    if number == U0:
        value = 0.0
    elif number <= WHOLE_DOUBLE and power >= -22 and power <= 22:
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
