"""Entities as bytes: their words, without what is found again, in the order in which thaw.py reads them.

A state value is HEAD bytes (version and as_of_ms, big-endian, to be compared unread), FORMAT, one byte of PART_*, then the parts.
`whole` is an int64 below 2^55 in either direction: zigzag, seven bits to a byte, the lowest first, the last byte below 128.
Doubles are their 8 bytes. Times are told as what lies between them and as_of_ms.

    statements  whole count, whole words in memory; each: whole source, byte of RATE_* and AGREED, whole age, 4 bytes tie, a double
                if its rate is OTHER, whole time since it agreed if AGREED, whole count of values, doubles; if WORDS, byte
                of KIND_* before each value, and of a text whole bytes, these, 4 bytes of their CRC-32
    bars        whole count; each: whole age of its start, whole versions before the entity's, byte due, whole quote of QUOTE_*,
                whole voices; each: whole source, byte traded, 5 doubles, whole trades, whole first and last time after the start
    rolls       each: whole age of its start, 5 doubles, whole trades, whole sources, whole versions before the entity's
    rings       whole count; each: whole source, whole ids, 4 bytes each, the oldest first
    lessons     whole count; each: 4 bytes of the metric, whole slots, whole doubles of the head, these, the path, each slot (whole
                row, provider and group, 5 doubles), rings of all slots
"""

from __future__ import annotations

from services.aggregator.compiled.memory import copy, floats, integers, octets
from services.aggregator.fusion.layout import HEAD as HEAD_DOUBLES
from services.aggregator.fusion.layout import PATH, SEEN, SLOT
from services.aggregator.fusion.layout import RING as SAMPLES
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.blocks import entry_words
from services.aggregator.kernels.scan import crc_of

HEAD = 14
"""Bytes of version and as_of_ms."""
FORMAT = 0xC1
"""The one byte with which nothing in MessagePack begins: what the releases before wrote."""
PART_BARS, PART_ROLLS, PART_RINGS, PART_LESSONS = 1, 2, 4, 8
RATE_NONE, RATE_ONE, RATE_OTHER, AGREED, WORDS = 0, 1, 2, 4, 8
QUOTE_NONE, QUOTE_TARGET, QUOTE_OWN, QUOTE_OF = range(4)
"""The quote of a bar; from QUOTE_OF on: that of a source. Numbers of quotes are others after a restart, those of sources are not."""
PRICES = 5
"""Doubles of a bar: open, high, low, close, volume."""
WHOLE = 8
"""Most bytes of a whole."""
SLOT_KEPT = SLOT - SEEN
"""Doubles of a slot that are told: those behind row, provider and group."""


def put_whole(to: int, value: int) -> int:
    """Write a whole; where it ends."""
    left = (value << 1) ^ (value >> 63)
    out = octets(to, WHOLE)
    n = 0
    while left > 127:
        out[n] = (left & 127) | 128
        left >>= 7
        n += 1
    out[n] = left
    return to + n + 1


def put_octet(to: int, value: int) -> int:
    """Write one byte; where it ends."""
    octets(to, 1)[0] = value
    return to + 1


def put_four(to: int, value: int) -> int:
    """Write 4 bytes, the lowest first; where they end."""
    out = octets(to, 4)
    for k in range(4):
        out[k] = (value >> (8 * k)) & 255
    return to + 4


def put_words(to: int, source: int, n: int) -> int:
    """Write n words as they are; where they end."""
    copy(to, source, n * at.WORD)
    return to + n * at.WORD


def put_head(to: int, version: int, as_of: int) -> int:
    """Write version and as_of_ms, the highest byte first; where they end."""
    out = octets(to, HEAD)
    for k in range(8):
        out[k] = (version >> (56 - 8 * k)) & 255
    for k in range(6):
        out[8 + k] = (as_of >> (40 - 8 * k)) & 255
    return to + HEAD


def put_values(desk: int, source: int, statement: int, to: int) -> int:
    """Write values that are not all numbers; where they end."""
    x = integers(desk, at.DESK)
    n = integers(source, at.SOURCE)
    count = n[at.N_COUNT]
    places = integers(x[at.X_PLACES] + n[at.N_VALUES] * at.PLACE * at.WORD, count * at.PLACE)
    values = integers(statement + at.STATEMENT * at.WORD, count)
    for k in range(count):
        kind = places[k * at.PLACE + at.P_KIND]
        to = put_octet(to, kind)
        if kind == at.KIND_NUMBER:
            to = put_words(to, statement + (at.STATEMENT + k) * at.WORD, 1)
        else:
            size = integers(values[k], at.TEXT)[at.T_BYTES]
            to = put_whole(to, size)
            text = values[k] + at.TEXT * at.WORD
            copy(to, text, size)
            to = put_four(to + size, crc_of(text, text + size))
    return to


def bytes_of_texts(desk: int, entity: int) -> int:
    """No state of this entity has more bytes for what is no number."""
    x = integers(desk, at.DESK)
    e = integers(entity, at.ENTITY)
    most = 0
    for i in range(e[at.E_COUNT]):
        d = integers(e[at.E_INDEX] + i * at.DIRECTORY * at.WORD, at.DIRECTORY)
        n = integers(x[at.X_SOURCES] + d[at.D_SOURCE] * at.SOURCE * at.WORD, at.SOURCE)
        if n[at.N_WORDS] == 0:
            continue
        count = n[at.N_COUNT]
        places = integers(x[at.X_PLACES] + n[at.N_VALUES] * at.PLACE * at.WORD, count * at.PLACE)
        values = integers(e[at.E_SAID] + (d[at.D_AT] + at.STATEMENT) * at.WORD, count)
        for k in range(count):
            most += 1
            if places[k * at.PLACE + at.P_KIND] != at.KIND_NUMBER:
                most += WHOLE + 4 + integers(values[k], at.TEXT)[at.T_BYTES]
    return most


def put_statements(desk: int, entity: int, to: int) -> int:
    """Write the statements; where they end."""
    x = integers(desk, at.DESK)
    e = integers(entity, at.ENTITY)
    to = put_whole(to, e[at.E_COUNT])
    to = put_whole(to, e[at.E_USED])
    for k in range(e[at.E_COUNT]):
        d = integers(e[at.E_INDEX] + k * at.DIRECTORY * at.WORD, at.DIRECTORY)
        statement = e[at.E_SAID] + d[at.D_AT] * at.WORD
        s = integers(statement, at.STATEMENT)
        rate = floats(statement, at.STATEMENT)[at.S_RATE]
        source = x[at.X_SOURCES] + d[at.D_SOURCE] * at.SOURCE * at.WORD
        values = integers(source, at.SOURCE)[at.N_COUNT]
        bits = RATE_OTHER
        if rate != rate:
            bits = RATE_NONE
        elif rate == 1.0:
            bits = RATE_ONE
        if d[at.D_AGREED] != 0:
            bits |= AGREED
        if integers(source, at.SOURCE)[at.N_WORDS] != 0:
            bits |= WORDS
        to = put_whole(to, d[at.D_SOURCE])
        to = put_octet(to, bits)
        to = put_whole(to, e[at.E_AS_OF] - s[at.S_TS])
        to = put_four(to, s[at.S_TIE])
        if bits & RATE_OTHER:
            to = put_words(to, statement + at.S_RATE * at.WORD, 1)
        if bits & AGREED:
            to = put_whole(to, e[at.E_AS_OF] - d[at.D_AGREED])
        to = put_whole(to, values)
        if bits & WORDS:
            to = put_values(desk, source, statement, to)
        else:
            to = put_words(to, statement + at.STATEMENT * at.WORD, values)
    return to


def quote_code(desk: int, entity: int, bar: int) -> int:
    """The quote of a bar as it is told."""
    x = integers(desk, at.DESK)
    b = integers(bar, at.BAR)
    quote = b[at.B_QUOTE]
    if quote == at.NO_QUOTE:
        return QUOTE_NONE
    if quote == at.TARGET_QUOTE:
        return QUOTE_TARGET
    if quote == integers(entity, at.ENTITY)[at.E_QUOTE]:
        return QUOTE_OWN
    for k in range(b[at.B_VOICES]):
        source = integers(bar + (at.BAR + k * at.VOICE) * at.WORD, at.VOICE)[at.V_SOURCE]
        if integers(x[at.X_SOURCES] + source * at.SOURCE * at.WORD, at.SOURCE)[at.N_QUOTE] == quote:
            return int(QUOTE_OF + source)
    return QUOTE_TARGET


def put_bars(desk: int, entity: int, to: int) -> int:
    """Write the unsettled minutes; where they end."""
    e = integers(entity, at.ENTITY)
    count = 0
    bar = e[at.E_BARS]
    while bar != 0:
        count += 1
        bar = integers(bar, at.BAR)[at.B_NEXT]
    to = put_whole(to, count)
    bar = e[at.E_BARS]
    while bar != 0:
        b = integers(bar, at.BAR)
        start = b[at.B_START]
        to = put_whole(to, e[at.E_AS_OF] - start)
        to = put_whole(to, e[at.E_VERSION] - b[at.B_VERSION])
        to = put_octet(to, b[at.B_DUE])
        to = put_whole(to, quote_code(desk, entity, bar))
        to = put_whole(to, b[at.B_VOICES])
        for k in range(b[at.B_VOICES]):
            place = bar + (at.BAR + k * at.VOICE) * at.WORD
            v = integers(place, at.VOICE)
            to = put_whole(to, v[at.V_SOURCE])
            to = put_octet(to, v[at.V_TRADED])
            to = put_words(to, place + at.V_OPEN * at.WORD, PRICES)
            to = put_whole(to, v[at.V_TRADES])
            to = put_whole(to, v[at.V_FIRST] - start)
            to = put_whole(to, v[at.V_LAST] - start)
        bar = b[at.B_NEXT]
    return to


def put_rolls(entity: int, to: int) -> int:
    """Write the settled parts of the longer bars; where they end."""
    e = integers(entity, at.ENTITY)
    for k in range(at.ROLLS):
        place = e[at.E_ROLLS] + k * at.ROLL * at.WORD
        r = integers(place, at.ROLL)
        to = put_whole(to, e[at.E_AS_OF] - r[at.R_START])
        to = put_words(to, place + at.R_OPEN * at.WORD, PRICES)
        to = put_whole(to, r[at.R_TRADES])
        to = put_whole(to, r[at.R_SOURCES])
        to = put_whole(to, e[at.E_VERSION] - r[at.R_VERSION])
    return to


def put_rings(entity: int, to: int) -> int:
    """Write the trade ids; where they end."""
    first = integers(entity, at.ENTITY)[at.E_TOLD]
    count = 0
    ring = first
    while ring != 0:
        count += 1
        ring = integers(ring, at.RING)[at.T_NEXT]
    to = put_whole(to, count)
    ring = first
    while ring != 0:
        t = integers(ring, at.RING)
        ids = ring + at.RING * at.WORD
        n = t[at.T_COUNT]
        to = put_whole(to, t[at.T_SOURCE])
        to = put_whole(to, n)
        if n < at.TRADES:
            copy(to, ids, 4 * n)
        else:
            # The oldest stands where the next one will.
            older = at.TRADES - t[at.T_PLACE]
            copy(to, ids + 4 * t[at.T_PLACE], 4 * older)
            copy(to + 4 * older, ids, 4 * t[at.T_PLACE])
        to += 4 * n
        ring = t[at.T_NEXT]
    return to


def put_lessons(desk: int, entity: int, to: int) -> int:
    """Write what the fuser remembers; where it ends."""
    x = integers(desk, at.DESK)
    block = integers(entity, at.ENTITY)[at.E_LEARNED]
    count = integers(block, 1)[0]
    to = put_whole(to, count)
    for k in range(count):
        one = integers(block + (1 + k * at.LESSON) * at.WORD, at.LESSON)
        entry = one[at.L_ENTRY]
        capacity = one[at.L_CAPACITY]
        metric = integers(x[at.X_METRICS] + one[at.L_METRIC] * at.METRIC * at.WORD, at.METRIC)
        to = put_four(to, metric[at.M_ID])
        to = put_whole(to, capacity)
        to = put_whole(to, HEAD_DOUBLES)
        to = put_words(to, entry, HEAD_DOUBLES + 2 * PATH)
        slot = entry + (HEAD_DOUBLES + 2 * PATH) * at.WORD
        for _ in range(capacity):
            known = floats(slot, SLOT)
            for word in range(SEEN):
                to = put_whole(to, int(known[word]))
            to = put_words(to, slot + SEEN * at.WORD, SLOT_KEPT)
            slot += SLOT * at.WORD
        copy(to, slot, 4 * SAMPLES * capacity)
        to += 4 * SAMPLES * capacity
    return to


def most_bytes(desk: int, entity: int) -> int:
    """No state of this entity is longer."""
    e = integers(entity, at.ENTITY)
    most = (
        HEAD + 2 + 8 * WHOLE + e[at.E_COUNT] * (4 * WHOLE + 5) + e[at.E_USED] * at.WORD + bytes_of_texts(desk, entity)
    )
    bar = e[at.E_BARS]
    while bar != 0:
        b = integers(bar, at.BAR)
        most += 4 * WHOLE + 1 + b[at.B_VOICES] * (4 * WHOLE + 1 + PRICES * at.WORD)
        bar = b[at.B_NEXT]
    if e[at.E_ROLLS] != 0:
        most += at.ROLLS * (4 * WHOLE + PRICES * at.WORD)
    ring = e[at.E_TOLD]
    while ring != 0:
        most += 2 * WHOLE + 4 * at.TRADES
        ring = integers(ring, at.RING)[at.T_NEXT]
    if e[at.E_LEARNED] != 0:
        for k in range(integers(e[at.E_LEARNED], 1)[0]):
            one = integers(e[at.E_LEARNED] + (1 + k * at.LESSON) * at.WORD, at.LESSON)
            most += 4 + 2 * WHOLE + entry_words(one[at.L_CAPACITY]) * at.WORD + 3 * WHOLE * one[at.L_CAPACITY]
    return int(most)


def freeze_entity(desk: int, entity: int, to: int) -> int:
    """Write the state of an entity; where it ends. There must be room for `most_bytes`."""
    e = integers(entity, at.ENTITY)
    parts = 0
    if e[at.E_BARS] != 0:
        parts |= PART_BARS
    if e[at.E_ROLLS] != 0:
        parts |= PART_ROLLS
    if e[at.E_TOLD] != 0:
        parts |= PART_RINGS
    if e[at.E_LEARNED] != 0:
        parts |= PART_LESSONS
    to = put_head(to, e[at.E_VERSION], e[at.E_AS_OF])
    to = put_octet(to, FORMAT)
    to = put_octet(to, parts)
    to = put_statements(desk, entity, to)
    if parts & PART_BARS:
        to = put_bars(desk, entity, to)
    if parts & PART_ROLLS:
        to = put_rolls(entity, to)
    if parts & PART_RINGS:
        to = put_rings(entity, to)
    if parts & PART_LESSONS:
        to = put_lessons(desk, entity, to)
    return to


def freeze_rows(desk: int, count: int, entities_at: int, out_at: int, out_bytes: int, spans_at: int) -> int:
    """Write the states of these entities one after another, as far as there is room; how many were written.

    `spans_at`: two words for each: where its state begins and ends, in bytes from `out_at`.
    """
    entities = integers(entities_at, count)
    spans = integers(spans_at, 2 * count)
    to = out_at
    for row in range(count):
        if to + most_bytes(desk, entities[row]) > out_at + out_bytes:
            return row
        spans[2 * row] = to - out_at
        to = freeze_entity(desk, entities[row], to)
        spans[2 * row + 1] = to - out_at
    return count
