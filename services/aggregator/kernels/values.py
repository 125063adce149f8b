"""Values that are not all numbers, out of the bytes that freeze.py wrote."""

from __future__ import annotations

from services.aggregator.compiled.memory import integers
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.blocks import free_texts, put_value, room_in, text_words
from services.aggregator.kernels.cursor import (
    BAD,
    CURSOR,
    NOW,
    skip,
    spoil,
    take_bytes,
    take_count,
    take_number,
    take_octet,
)
from services.aggregator.kernels.scan import crc_of

LEAST_VALUE = 2
"""Bytes that a value takes at least."""


def take_values(desk: int, source: int, statement: int, count: int, cursor: int) -> bool:
    """Read values that are not all numbers; whether they are what the source says today. If not, their texts are released."""
    x = integers(desk, at.DESK)
    c = integers(cursor, CURSOR)
    n = integers(x[at.X_SOURCES] + source * at.SOURCE * at.WORD, at.SOURCE)
    values = integers(statement + at.STATEMENT * at.WORD, count)
    fits = n[at.N_COUNT] == count
    known = count if fits else 0
    places = integers(x[at.X_PLACES] + n[at.N_VALUES] * at.PLACE * at.WORD, known * at.PLACE)
    for k in range(count):
        values[k] = 0
    for k in range(count):
        kind = take_octet(cursor)
        fits = fits and places[k * at.PLACE + at.P_KIND] == kind
        if kind == at.KIND_NUMBER:
            if fits:
                take_bytes(cursor, statement + (at.STATEMENT + k) * at.WORD, at.WORD)
            else:
                skip(cursor, at.WORD)
            continue
        size = take_count(cursor, 1)
        text = c[NOW]
        skip(cursor, size)
        if fits and c[BAD] == 0:
            if size == 0 or x[at.X_END] - x[at.X_NEXT] < room_in(text_words(size)) * at.WORD:
                spoil(cursor)
            else:
                values[k] = put_value(desk, 0, text, size)
                # What is told as JSON must be JSON.
                begin = values[k] + at.TEXT * at.WORD
                if take_number(cursor, 4) != crc_of(begin, begin + size):
                    spoil(cursor)
        else:
            skip(cursor, 4)
    if c[BAD] != 0:
        fits = False
    if not fits and n[at.N_COUNT] == count:
        free_texts(desk, statement, source)
    return bool(fits)
