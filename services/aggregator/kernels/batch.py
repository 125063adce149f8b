"""Kafka's record batches, format v2: the records inside, written from and read into spans of one buffer.

A record: length, attributes (0), timestamp delta, offset delta, key, value, headers; numbers are zigzag varints, -1 is null.
"""

from __future__ import annotations

from services.aggregator.compiled.memory import copy, integers, octets
from services.aggregator.compiled.types import Array

HEADER = 61
"""Bytes of the head of a batch; what it says stands in driver/packing.py and driver/unpacking.py."""
TOLD_BYTES, TOLD_ROWS = range(2)
"""Words of the room for the head, in which `batch_rows` leaves where it ended and how many rows it wrote."""

KEY_BEGIN, KEY_END, VALUE_BEGIN, VALUE_END, SPAN = range(5)
"""Words of a row to be written: where its key and its value stand in the text; a value that begins at -1 is null."""

U_BEGIN, U_END, U_COUNT, U_OFFSET, U_STAMP, U_FIXED, UNPACK = range(7)
"""Words of a batch to be read: where its records stand in the text, how many, the offset and timestamp from which theirs count,
and whether that timestamp is that of all of them (the broker's)."""
C_OFFSET, C_STAMP, C_KEY_BEGIN, C_KEY_END, C_VALUE_BEGIN, C_VALUE_END, COLUMNS = range(7)
"""Columns of what was read; keys and values that are null begin and end at -1."""
LEAST = 7
"""Bytes of the shortest record."""


def varint_size(value: int) -> int:
    """Bytes that a number from 0 on takes."""
    left, n = value >> 6, 1
    while left > 0:
        left >>= 7
        n += 1
    return n


def write_varint(out: Array, at: int, value: int) -> int:
    """Write a number from 0 on; returns where it ends."""
    left = value << 1
    while left > 127:
        out[at] = (left & 127) | 128
        left >>= 7
        at += 1
    out[at] = left
    return at + 1


def batch_rows(
    text: int, spans: int, first: int, count: int, out_at: int, room: int, headers: int, headers_n: int
) -> int:
    """Write rows `first` to `count` behind the room for a head, as many as fit; returns where it ended.

    `headers` are those of tombstones, their number included; 0 bytes of them: none.
    """
    out = octets(out_at, room)
    rows = integers(spans, count * SPAN)
    at = HEADER
    taken = 0
    for row in range(first, count):
        key = rows[row * SPAN + KEY_BEGIN]
        key_n = rows[row * SPAN + KEY_END] - key
        value = rows[row * SPAN + VALUE_BEGIN]
        value_n = 0
        tail = 1
        if value >= 0:
            value_n = rows[row * SPAN + VALUE_END] - value
        elif headers_n > 0:
            tail = headers_n
        size = 2 + varint_size(taken) + varint_size(key_n) + key_n + varint_size(value_n) + value_n + tail
        if at + varint_size(size) + size > room:
            break
        at = write_varint(out, at, size)
        out[at] = 0
        out[at + 1] = 0
        at = write_varint(out, at + 2, taken)
        at = write_varint(out, at, key_n)
        copy(out_at + at, text + key, key_n)
        at += key_n
        if value >= 0:
            at = write_varint(out, at, value_n)
            copy(out_at + at, text + value, value_n)
            at += value_n
        else:
            out[at] = 1
            at += 1
        if value < 0 and headers_n > 0:
            copy(out_at + at, headers, headers_n)
        else:
            out[at] = 0
        at += tail
        taken += 1
    told = integers(out_at, 2)
    told[TOLD_BYTES] = at
    told[TOLD_ROWS] = taken
    return at


def varint_end(text: Array, at: int, end: int) -> int:
    """Where the varint that begins here ends; behind `end` when it does not end before, or begins there already."""
    last = at + 10
    if last > end:
        last = end
    while at < last:
        if text[at] < 128:
            return at + 1
        at += 1
    return end + 1


def varint(text: Array, at: int, end: int) -> int:
    """The number between two places."""
    found = 0
    shift = 0
    while at < end and shift < 63:
        found |= (int(text[at]) & 127) << shift
        shift += 7
        at += 1
    return (found >> 1) ^ -(found & 1)


def unpack_rows(
    text_at: int, text_n: int, batches_at: int, batches: int, position: int, columns_at: int, room: int
) -> int:
    """Read the records of these batches from offset `position` on into columns of `room` words; returns how many there are.

    -1 when they are not what they should be. The answer also stands in the first word of the table of batches, because the
    place of results is shared between threads.
    """
    text = octets(text_at, text_n)
    lines = integers(batches_at, batches * UNPACK)
    columns = integers(columns_at, COLUMNS * room)
    rows = 0
    for batch in range(batches):
        line = batch * UNPACK
        end = lines[line + U_END]
        at = lines[line + U_BEGIN]
        for _ in range(lines[line + U_COUNT]):
            begin = varint_end(text, at, end)
            if begin > end:
                lines[0] = -1
                return -1
            size = varint(text, at, begin)
            if size < 0 or size > end - begin:
                lines[0] = -1
                return -1
            at = begin + size
            delta = varint_end(text, begin + 1, at)
            key = varint_end(text, delta, at)
            key_begin = varint_end(text, key, at)
            if key_begin > at:
                lines[0] = -1
                return -1
            key_n = varint(text, key, key_begin)
            key_end = key_begin
            if key_n > 0:
                key_end = key_begin + min(key_n, at - key_begin + 1)
            begins = varint_end(text, key_end, at)
            if begins > at:
                lines[0] = -1
                return -1
            value_n = varint(text, key_end, begins)
            # One byte at least remains for the number of headers, which are not looked at.
            if value_n >= at - begins:
                lines[0] = -1
                return -1
            offset = lines[line + U_OFFSET] + varint(text, delta, key)
            if offset >= position:
                columns[C_OFFSET * room + rows] = offset
                stamp = lines[line + U_STAMP]
                if lines[line + U_FIXED] == 0:
                    stamp += varint(text, begin + 1, delta)
                columns[C_STAMP * room + rows] = stamp
                columns[C_KEY_BEGIN * room + rows] = key_begin if key_n >= 0 else -1
                columns[C_KEY_END * room + rows] = key_end if key_n >= 0 else -1
                columns[C_VALUE_BEGIN * room + rows] = begins if value_n >= 0 else -1
                columns[C_VALUE_END * room + rows] = begins + value_n if value_n >= 0 else -1
                rows += 1
        if at != end:
            lines[0] = -1
            return -1
    lines[0] = rows
    return rows
