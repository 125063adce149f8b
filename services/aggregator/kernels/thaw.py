"""Entities out of the bytes that freeze.py wrote. A damaged state is found out before anything is written where it must not be."""

from __future__ import annotations

from services.aggregator.compiled.memory import floats, integers, octets
from services.aggregator.fusion.layout import C_SOURCES_N, CONTEXT, GID, METRIC, PAIRS, PATH, PID, ROW, SEEN, SLOT
from services.aggregator.fusion.layout import HEAD as HEAD_DOUBLES
from services.aggregator.fusion.layout import RING as SAMPLES
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.bars import MOST_VOICES
from services.aggregator.kernels.blocks import (
    RING_WORDS,
    alloc,
    bar_words,
    entry_words,
    free_parts,
    release,
    room_in,
)
from services.aggregator.kernels.cursor import (
    BAD,
    CURSOR,
    END,
    NOW,
    skip,
    spoil,
    take_bytes,
    take_count,
    take_number,
    take_octet,
    take_whole,
)
from services.aggregator.kernels.freeze import (
    AGREED,
    FORMAT,
    HEAD,
    PART_BARS,
    PART_LESSONS,
    PART_RINGS,
    PART_ROLLS,
    PRICES,
    QUOTE_NONE,
    QUOTE_OF,
    QUOTE_OWN,
    QUOTE_TARGET,
    RATE_NONE,
    RATE_OTHER,
    SLOT_KEPT,
    WORDS,
)
from services.aggregator.kernels.index import blank_entity, new_entity
from services.aggregator.kernels.values import LEAST_VALUE, take_values

LEAST_STATEMENT, LEAST_BAR, LEAST_VOICE, LEAST_RING, LEAST_LESSON, LEAST_SLOT = 8, 5, 45, 2, 400, 43
"""Bytes that each takes at least: there are no more of them than fit into what is left."""
SPREAD = 300
"""One byte of a state takes at most so many in memory: one trade id needs a whole ring."""
NO_KEY = -2


def take_source(desk: int, cursor: int) -> int:
    """Read the number of a source that there is."""
    found = take_whole(cursor)
    if found < 0 or found >= integers(desk, at.DESK)[at.X_SOURCES_N]:
        spoil(cursor)
        return 0
    return found


def spare(desk: int, cursor: int, words: int) -> int:
    """A block of so many words; 0, and it is a fault, when they are not free."""
    x = integers(desk, at.DESK)
    if integers(cursor, CURSOR)[BAD] == 0 and x[at.X_END] - x[at.X_NEXT] >= room_in(words) * at.WORD:
        return alloc(desk, words)
    spoil(cursor)
    return 0


def thaw_statements(desk: int, entity: int, cursor: int) -> None:
    """Read the statements; those of sources that say something else today are left out."""
    x = integers(desk, at.DESK)
    e = integers(entity, at.ENTITY)
    c = integers(cursor, CURSOR)
    count = take_count(cursor, LEAST_STATEMENT)
    used = take_whole(cursor)
    if count == 0:
        return
    if used < count * at.STATEMENT or used > count * at.STATEMENT + (c[END] - c[NOW]) // LEAST_VALUE:
        spoil(cursor)
        return
    e[at.E_INDEX] = spare(desk, cursor, count * at.DIRECTORY)
    if e[at.E_INDEX] == 0:
        return
    e[at.E_ROOM] = count
    e[at.E_SAID] = spare(desk, cursor, used)
    if e[at.E_SAID] == 0:
        return
    e[at.E_SPACE] = used
    for _ in range(count):
        source = take_source(desk, cursor)
        bits = take_octet(cursor)
        ts = e[at.E_AS_OF] - take_whole(cursor)
        tie = take_number(cursor, 4)
        begin = e[at.E_USED]
        if c[BAD] != 0 or begin + at.STATEMENT > used:
            spoil(cursor)
            return
        statement = e[at.E_SAID] + begin * at.WORD
        s = integers(statement, at.STATEMENT)
        s[at.S_TS] = ts
        s[at.S_TIE] = tie
        if bits & RATE_OTHER:
            take_bytes(cursor, statement + at.S_RATE * at.WORD, at.WORD)
        else:
            floats(statement, at.STATEMENT)[at.S_RATE] = float("nan") if bits & 3 == RATE_NONE else 1.0
        agreed = e[at.E_AS_OF] - take_whole(cursor) if bits & AGREED else 0
        values = take_count(cursor, LEAST_VALUE)
        if begin + at.STATEMENT + values > used:
            spoil(cursor)
            return
        if bits & WORDS:
            fits = take_values(desk, source, statement, values, cursor)
        else:
            n = integers(x[at.X_SOURCES] + source * at.SOURCE * at.WORD, at.SOURCE)
            fits = n[at.N_COUNT] == values and n[at.N_WORDS] == 0
            take_bytes(cursor, statement + at.STATEMENT * at.WORD, values * at.WORD)
        if c[BAD] != 0:
            return
        if fits:
            d = integers(e[at.E_INDEX] + e[at.E_COUNT] * at.DIRECTORY * at.WORD, at.DIRECTORY)
            d[at.D_SOURCE] = source
            d[at.D_AT] = begin
            d[at.D_AGREED] = agreed
            e[at.E_COUNT] += 1
            e[at.E_USED] = begin + at.STATEMENT + values


def thaw_quote(desk: int, entity: int, cursor: int) -> int:
    """Read the quote of a bar: its number today."""
    code = take_whole(cursor)
    if code == QUOTE_NONE:
        return at.NO_QUOTE
    if code == QUOTE_TARGET:
        return at.TARGET_QUOTE
    x = integers(desk, at.DESK)
    own = integers(entity, at.ENTITY)[at.E_QUOTE]
    if code == QUOTE_OWN and own >= 0:
        return int(own)
    source = code - QUOTE_OF
    if source < 0 or source >= x[at.X_SOURCES_N]:
        spoil(cursor)
        return 0
    return int(integers(x[at.X_SOURCES] + source * at.SOURCE * at.WORD, at.SOURCE)[at.N_QUOTE])


def thaw_bars(desk: int, entity: int, cursor: int) -> None:
    """Read the unsettled minutes."""
    e = integers(entity, at.ENTITY)
    c = integers(cursor, CURSOR)
    count = take_count(cursor, LEAST_BAR)
    last = 0
    for _ in range(count):
        start = e[at.E_AS_OF] - take_whole(cursor)
        version = e[at.E_VERSION] - take_whole(cursor)
        due = take_octet(cursor)
        quote = thaw_quote(desk, entity, cursor)
        voices = take_count(cursor, LEAST_VOICE)
        if voices > MOST_VOICES:
            spoil(cursor)
        bar = spare(desk, cursor, bar_words(voices))
        if bar == 0:
            return
        b = integers(bar, at.BAR)
        b[at.B_NEXT] = 0
        b[at.B_START] = start
        b[at.B_VERSION] = version
        b[at.B_DUE] = due
        b[at.B_QUOTE] = quote
        b[at.B_VOICES] = voices
        b[at.B_ROOM] = voices
        if last != 0:
            integers(last, at.BAR)[at.B_NEXT] = bar
        else:
            e[at.E_BARS] = bar
        last = bar
        for k in range(voices):
            place = bar + (at.BAR + k * at.VOICE) * at.WORD
            v = integers(place, at.VOICE)
            v[at.V_SOURCE] = take_source(desk, cursor)
            v[at.V_TRADED] = take_octet(cursor)
            take_bytes(cursor, place + at.V_OPEN * at.WORD, PRICES * at.WORD)
            v[at.V_TRADES] = take_whole(cursor)
            v[at.V_FIRST] = start + take_whole(cursor)
            v[at.V_LAST] = start + take_whole(cursor)
        if c[BAD] != 0:
            return


def thaw_rolls(desk: int, entity: int, cursor: int) -> None:
    """Read the settled parts of the longer bars."""
    e = integers(entity, at.ENTITY)
    e[at.E_ROLLS] = spare(desk, cursor, at.ROLLS * at.ROLL)
    if e[at.E_ROLLS] == 0:
        return
    for k in range(at.ROLLS):
        place = e[at.E_ROLLS] + k * at.ROLL * at.WORD
        r = integers(place, at.ROLL)
        r[at.R_START] = e[at.E_AS_OF] - take_whole(cursor)
        take_bytes(cursor, place + at.R_OPEN * at.WORD, PRICES * at.WORD)
        r[at.R_TRADES] = take_whole(cursor)
        r[at.R_SOURCES] = take_whole(cursor)
        r[at.R_VERSION] = e[at.E_VERSION] - take_whole(cursor)


def thaw_rings(desk: int, entity: int, cursor: int) -> None:
    """Read the trade ids."""
    e = integers(entity, at.ENTITY)
    count = take_count(cursor, LEAST_RING)
    last = 0
    for _ in range(count):
        source = take_source(desk, cursor)
        n = take_count(cursor, 4)
        if n > at.TRADES:
            spoil(cursor)
        ring = spare(desk, cursor, RING_WORDS)
        if ring == 0:
            return
        t = integers(ring, at.RING)
        t[at.T_NEXT] = 0
        t[at.T_SOURCE] = source
        t[at.T_COUNT] = n
        t[at.T_PLACE] = n % at.TRADES
        take_bytes(cursor, ring + at.RING * at.WORD, 4 * n)
        if last != 0:
            integers(last, at.RING)[at.T_NEXT] = ring
        else:
            e[at.E_TOLD] = ring
        last = ring


def metric_of(desk: int, known: int) -> int:
    """The number of the metric of this id; -1 when there is none."""
    x = integers(desk, at.DESK)
    metrics = integers(x[at.X_METRICS], x[at.X_METRICS_N] * at.METRIC)
    for number in range(x[at.X_METRICS_N]):
        if metrics[number * at.METRIC + at.M_ID] == known:
            return number
    return -1


def thaw_entry(desk: int, cursor: int, entry: int, capacity: int) -> bool:
    """Read what the fuser remembers of one metric; whether it names only rows and providers that the fuser has."""
    x = integers(desk, at.DESK)
    rows = 0
    if x[at.X_FUSION] != 0:
        rows = integers(x[at.X_FUSION], CONTEXT)[C_SOURCES_N]
    words = entry_words(capacity)
    fresh = integers(entry, words)
    for k in range(words):
        fresh[k] = 0
    doubles = take_count(cursor, at.WORD)
    # What an older release did not know stays nought; columns are only ever added at the end.
    take_bytes(cursor, entry, min(doubles, HEAD_DOUBLES) * at.WORD)
    skip(cursor, max(doubles - HEAD_DOUBLES, 0) * at.WORD)
    take_bytes(cursor, entry + HEAD_DOUBLES * at.WORD, 2 * PATH * at.WORD)
    slot = entry + (HEAD_DOUBLES + 2 * PATH) * at.WORD
    row = floats(entry, HEAD_DOUBLES)[METRIC]
    fits = 0.0 <= row < rows
    for _ in range(capacity):
        known = floats(slot, SLOT)
        for word in range(SEEN):
            known[word] = take_whole(cursor)
        take_bytes(cursor, slot + SEEN * at.WORD, SLOT_KEPT * at.WORD)
        fits = fits and 0.0 <= known[ROW] < rows and -1.0 <= known[PID] < PAIRS and abs(known[GID]) < 2.0**31
        slot += SLOT * at.WORD
    take_bytes(cursor, slot, 4 * SAMPLES * capacity)
    return bool(fits)


def thaw_lessons(desk: int, entity: int, cursor: int) -> None:
    """Read what the fuser remembers; what belongs to metrics that are no more, or to rows that it does not know, is left out."""
    e = integers(entity, at.ENTITY)
    c = integers(cursor, CURSOR)
    count = take_count(cursor, LEAST_LESSON)
    if count == 0:
        return
    block = spare(desk, cursor, 1 + count * at.LESSON)
    if block == 0:
        return
    kept = integers(block, 1)
    kept[0] = 0
    e[at.E_LEARNED] = block
    e[at.E_LEARNED_ROOM] = count
    for _ in range(count):
        metric = metric_of(desk, take_number(cursor, 4))
        capacity = take_count(cursor, LEAST_SLOT)
        entry = spare(desk, cursor, entry_words(capacity))
        if entry == 0:
            return
        fits = thaw_entry(desk, cursor, entry, capacity)
        if metric < 0 or not fits or c[BAD] != 0:
            release(desk, entry, entry_words(capacity))
            continue
        one = integers(block + (1 + kept[0] * at.LESSON) * at.WORD, at.LESSON)
        one[at.L_METRIC] = metric
        one[at.L_ENTRY] = entry
        one[at.L_CAPACITY] = capacity
        kept[0] += 1


def thaw_row(desk: int, entity: int, value: int, n: int) -> int:
    """Put a state of n bytes into an entity of which nobody spoke; how many bytes it took, or -1 when it is damaged."""
    x = integers(desk, at.DESK)
    e = integers(entity, at.ENTITY)
    cursor = x[at.X_SCRATCH]
    c = integers(cursor, CURSOR)
    c[NOW] = value
    c[END] = value + n
    c[BAD] = 0
    if n >= HEAD and octets(value, 1)[0] == 0:
        head = octets(value, HEAD)
        version = 0
        for k in range(8):
            version = (version << 8) | int(head[k])
        as_of = 0
        for k in range(8, HEAD):
            as_of = (as_of << 8) | int(head[k])
        e[at.E_VERSION] = version
        e[at.E_AS_OF] = as_of
        c[NOW] += HEAD
    else:
        spoil(cursor)
    if take_octet(cursor) != FORMAT:
        spoil(cursor)
    parts = take_octet(cursor)
    thaw_statements(desk, entity, cursor)
    if parts & PART_BARS:
        thaw_bars(desk, entity, cursor)
    if parts & PART_ROLLS:
        thaw_rolls(desk, entity, cursor)
    if parts & PART_RINGS:
        thaw_rings(desk, entity, cursor)
    if parts & PART_LESSONS:
        thaw_lessons(desk, entity, cursor)
    if c[BAD] != 0:
        free_parts(desk, entity)
        blank_entity(entity)
        return -1
    width = integers(x[at.X_WINDOWS], 1)[0]
    e[at.E_LEARN_AT] = e[at.E_AS_OF] - e[at.E_AS_OF] % width + width
    return int(c[NOW] - value)


def thaw_rows(desk: int, begin: int, count: int, text: int, spans_at: int, out_at: int) -> int:
    """Make entities of keys and states, from row `begin` on, as far as there is memory; how far it came.

    `spans_at`: four words for each row: where its key and its state begin and end, in bytes from `text`. `out_at`: two words for
    each row: address of the entity, and how many bytes of the state were read; -1 where it was damaged, NO_KEY where no entity
    can be made yet.
    """
    x = integers(desk, at.DESK)
    spans = integers(spans_at, 4 * count)
    out = integers(out_at, 2 * count)
    for row in range(begin, count):
        n = spans[4 * row + 3] - spans[4 * row + 2]
        need = at.MARGIN // 2 + SPREAD * n + 2 * (spans[4 * row + 1] - spans[4 * row])
        if x[at.X_END] - x[at.X_NEXT] < need or 2 * x[at.X_INDEX_USED] > x[at.X_INDEX_MASK]:
            return row
        entity = new_entity(desk, text + spans[4 * row], spans[4 * row + 1] - spans[4 * row])
        out[2 * row] = entity
        out[2 * row + 1] = thaw_row(desk, entity, text + spans[4 * row + 2], n) if entity != 0 else NO_KEY
    return count
