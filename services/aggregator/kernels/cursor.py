"""Reading bytes that may be damaged: where it is, where they end, and whether something was wrong, in CURSOR words.

After the first fault everything that is read is nought, so that only loops and what is written elsewhere need to look.
"""

from __future__ import annotations

from services.aggregator.compiled.memory import copy, integers, octets
from services.aggregator.kernels.freeze import WHOLE

NOW, END, BAD, CURSOR = range(4)


def spoil(cursor: int) -> None:
    """Something is wrong: nothing more is read."""
    c = integers(cursor, CURSOR)
    c[BAD] = 1
    c[NOW] = c[END]


def take_whole(cursor: int) -> int:
    """Read a whole."""
    c = integers(cursor, CURSOR)
    at_most = min(c[END] - c[NOW], WHOLE)
    text = octets(c[NOW], at_most)
    found = 0
    for k in range(at_most):
        byte = int(text[k])
        found |= (byte & 127) << (7 * k)
        if byte < 128:
            c[NOW] += k + 1
            return (found >> 1) ^ -(found & 1)
    spoil(cursor)
    return 0


def take_octet(cursor: int) -> int:
    """Read one byte."""
    c = integers(cursor, CURSOR)
    if c[NOW] >= c[END]:
        spoil(cursor)
        return 0
    c[NOW] += 1
    return int(octets(c[NOW] - 1, 1)[0])


def take_number(cursor: int, n: int) -> int:
    """Read an unsigned number of n bytes, the lowest first."""
    c = integers(cursor, CURSOR)
    if c[END] - c[NOW] < n:
        spoil(cursor)
        return 0
    text = octets(c[NOW], n)
    found = 0
    for k in range(n):
        found |= int(text[k]) << (8 * k)
    c[NOW] += n
    return found


def take_bytes(cursor: int, to: int, n: int) -> None:
    """Read n bytes as they are; n is not below 0."""
    c = integers(cursor, CURSOR)
    if c[END] - c[NOW] < n:
        spoil(cursor)
        return
    copy(to, c[NOW], n)
    c[NOW] += n


def skip(cursor: int, n: int) -> None:
    """Pass n bytes over; n is not below 0."""
    c = integers(cursor, CURSOR)
    if c[END] - c[NOW] < n:
        spoil(cursor)
        return
    c[NOW] += n


def take_count(cursor: int, least: int) -> int:
    """Read how many there are, of which each takes at least so many bytes."""
    found = take_whole(cursor)
    c = integers(cursor, CURSOR)
    if found < 0 or found > (c[END] - c[NOW]) // least:
        spoil(cursor)
        return 0
    return found
