"""Bars by event time: per source while a minute takes trades, fused by median when shown, rolled up when it takes no more."""

from __future__ import annotations

from services.aggregator.compiled.memory import copy, floats, integers
from services.aggregator.kernels.blocks import alloc, bar_words, free_bar
from services.aggregator.kernels.layout import (
    B_DUE,
    B_NEXT,
    B_QUOTE,
    B_ROOM,
    B_START,
    B_VERSION,
    B_VOICES,
    BAR,
    DESK,
    E_BARS,
    E_ROLLS,
    ENTITY,
    O_CLOSE,
    O_HIGH,
    O_LOW,
    O_OPEN,
    O_SOURCES,
    O_TRADES,
    O_VERSION,
    O_VOLUME,
    OHLC,
    R_CLOSE,
    R_HIGH,
    R_LOW,
    R_OPEN,
    R_SOURCES,
    R_START,
    R_TRADES,
    R_VERSION,
    R_VOLUME,
    ROLL,
    ROLLS,
    SCRATCH,
    V_CLOSE,
    V_FIRST,
    V_HIGH,
    V_LAST,
    V_LOW,
    V_OPEN,
    V_SOURCE,
    V_TRADED,
    V_TRADES,
    V_VOLUME,
    VOICE,
    WORD,
    X_CLOSED,
    X_LATENESS,
    X_LOG,
    X_SCRATCH,
)

MINUTE_MS = 60_000
WIDTHS = (MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, 60 * MINUTE_MS, 240 * MINUTE_MS, 1440 * MINUTE_MS)
"""Number of an interval -> its length: the minute, then the longer ones; each bar starts at a multiple of its length."""
NO_MORE, MADE, REOPENED = 1, 2, 4
"""What bar_add says: the minute takes no more; a bar was made; a bar of a closed minute changed that was sent as it had been."""
MOST_VOICES = 1024
"""Sources of one minute; what others say in it is not heard."""
OWN = (SCRATCH - OHLC) * WORD
"""Where in the scratch memory bars are fused on their way into the longer ones."""


def bar_add(
    desk: int, entity: int, source: int, ts: int, price: float, size: float, traded: int, quote: int, version: int
) -> int:
    """Put a trade (`size` in the base asset) or a quote (`traded` 0) of one source into its minute.

    Returns NO_MORE and does nothing where the minute takes no more, else MADE or 0, with REOPENED on top where the minute is
    closed and its bar is now to be sent again (once: not when that is so already). Minutes that take no more are settled here,
    but those that are still to be sent stay until they are.
    """
    x = integers(desk, DESK)
    start = ts - ts % MINUTE_MS
    before = x[X_LOG] - x[X_LATENESS] - MINUTE_MS
    if start < before:
        return NO_MORE
    e = integers(entity, ENTITY)
    bar = e[E_BARS]
    if bar != 0 and integers(bar, BAR)[B_START] < before:
        bar_settle(desk, entity, before)
        bar = e[E_BARS]
    last, made = 0, 0
    while bar != 0 and integers(bar, BAR)[B_START] < start:
        last, bar = bar, integers(bar, BAR)[B_NEXT]
    if bar == 0 or integers(bar, BAR)[B_START] != start:
        bar = bar_new(desk, entity, last, bar, start, quote)
        made = MADE
    b = integers(bar, BAR)
    at = bar + BAR * WORD
    found = False
    for _ in range(b[B_VOICES]):
        v = integers(at, VOICE)
        if v[V_SOURCE] == source and v[V_TRADED] == traded:
            found = True
            break
        at += VOICE * WORD
    if found:
        voice_add(at, ts, price, size, traded)
    else:
        if b[B_VOICES] >= MOST_VOICES:
            return 0
        if b[B_VOICES] == b[B_ROOM]:
            bar = bar_grow(desk, entity, last, bar)
            b = integers(bar, BAR)
        voice_new(bar + (BAR + b[B_VOICES] * VOICE) * WORD, source, ts, price, size, traded)
        b[B_VOICES] += 1
    b[B_VERSION] = version
    due = b[B_DUE]
    b[B_DUE] = 1
    return made if due != 0 or start >= x[X_CLOSED] else made | REOPENED


def voice_new(at: int, source: int, ts: int, price: float, size: float, traded: int) -> None:
    """The first that a source says in a minute."""
    v, f = integers(at, VOICE), floats(at, VOICE)
    v[V_SOURCE] = source
    v[V_TRADED] = traded
    f[V_OPEN] = price
    f[V_HIGH] = price
    f[V_LOW] = price
    f[V_CLOSE] = price
    f[V_VOLUME] = size if traded else 0.0
    v[V_TRADES] = traded
    v[V_FIRST] = ts
    v[V_LAST] = ts


def voice_add(at: int, ts: int, price: float, size: float, traded: int) -> None:
    """What else a source says in a minute."""
    v, f = integers(at, VOICE), floats(at, VOICE)
    if price > f[V_HIGH]:
        f[V_HIGH] = price
    elif price < f[V_LOW]:
        f[V_LOW] = price
    if ts < v[V_FIRST]:
        v[V_FIRST] = ts
        f[V_OPEN] = price
    if ts >= v[V_LAST]:
        v[V_LAST] = ts
        f[V_CLOSE] = price
    if traded:
        f[V_VOLUME] += size
        v[V_TRADES] += 1


def bar_new(desk: int, entity: int, last: int, following: int, start: int, quote: int) -> int:
    """An empty minute between two others (0: none); with room for as many as spoke in the one before."""
    room = 1
    if last != 0:
        voices = integers(last, BAR)[B_VOICES]
        while room < voices:
            room *= 2
    bar = alloc(desk, bar_words(room))
    b = integers(bar, BAR)
    b[B_NEXT] = following
    b[B_START] = start
    b[B_VERSION] = 0
    b[B_DUE] = 0
    b[B_QUOTE] = quote
    b[B_VOICES] = 0
    b[B_ROOM] = room
    bar_link(entity, last, bar)
    return bar


def bar_link(entity: int, last: int, bar: int) -> None:
    """Let the minute before it, or the entity where there is none, point to a minute."""
    if last != 0:
        integers(last, BAR)[B_NEXT] = bar
    else:
        integers(entity, ENTITY)[E_BARS] = bar


def bar_grow(desk: int, entity: int, last: int, bar: int) -> int:
    """The same minute with room for twice as many voices, at its new address."""
    room = integers(bar, BAR)[B_ROOM]
    new = alloc(desk, bar_words(2 * room))
    copy(new, bar, bar_words(room) * WORD)
    integers(new, BAR)[B_ROOM] = 2 * room
    free_bar(desk, bar)
    bar_link(entity, last, new)
    return new


def bar_find(entity: int, start: int) -> int:
    """Address of the unsettled minute that starts then; 0 for none."""
    bar = integers(entity, ENTITY)[E_BARS]
    while bar != 0:
        b = integers(bar, BAR)
        if b[B_START] >= start:
            return bar if b[B_START] == start else 0
        bar = b[B_NEXT]
    return 0


def bar_heard(bar: int) -> int:
    """How much was said in a minute: its trades, or where there are none, its quotes."""
    trades = 0
    at = bar + BAR * WORD
    voices = integers(bar, BAR)[B_VOICES]
    for _ in range(voices):
        trades += integers(at, VOICE)[V_TRADES]
        at += VOICE * WORD
    return trades if trades != 0 else voices


def middle(desk: int, bar: int, traded: int, field: int) -> float:
    """The median of one field over the voices that are trades, or that are quotes."""
    values = floats(integers(desk, DESK)[X_SCRATCH], SCRATCH)
    n = 0
    at = bar + BAR * WORD
    for _ in range(integers(bar, BAR)[B_VOICES]):
        if integers(at, VOICE)[V_TRADED] == traded:
            value = floats(at, VOICE)[field]
            place = n
            while place > 0 and values[place - 1] > value:
                values[place] = values[place - 1]
                place -= 1
            values[place] = value
            n += 1
        at += VOICE * WORD
    if n % 2:
        return float(values[n // 2])
    return float((values[n // 2 - 1] + values[n // 2]) / 2.0)


def higher(a: float, b: float) -> float:
    """The higher of two; the first when they are equal, for zero has two signs."""
    return b if b > a else a


def lower(a: float, b: float) -> float:
    """The lower of two; the first when they are equal."""
    return b if b < a else a


def fuse_bar(desk: int, bar: int, out_at: int) -> None:
    """A minute as all sources saw it: trades where there are any, else quotes; medians, and volumes summed."""
    b = integers(bar, BAR)
    voices = b[B_VOICES]
    o, f = integers(out_at, OHLC), floats(out_at, OHLC)
    o[O_VERSION] = b[B_VERSION]
    if voices == 1:
        at = bar + BAR * WORD
        v, w = integers(at, VOICE), floats(at, VOICE)
        f[O_OPEN], f[O_HIGH], f[O_LOW], f[O_CLOSE] = w[V_OPEN], w[V_HIGH], w[V_LOW], w[V_CLOSE]
        f[O_VOLUME] = w[V_VOLUME]
        o[O_TRADES] = v[V_TRADES]
        o[O_SOURCES] = 1
        return
    traded, sources, trades, volume = 0, 0, 0, 0.0
    at = bar + BAR * WORD
    for _ in range(voices):
        v = integers(at, VOICE)
        if v[V_TRADED]:
            traded = 1
            sources += 1
            trades += v[V_TRADES]
            volume += floats(at, VOICE)[V_VOLUME]
        at += VOICE * WORD
    opened, close = middle(desk, bar, traded, V_OPEN), middle(desk, bar, traded, V_CLOSE)
    # A median of highs may lie below a median of closes: of other sources.
    f[O_HIGH] = higher(higher(middle(desk, bar, traded, V_HIGH), opened), close)
    f[O_LOW] = lower(lower(middle(desk, bar, traded, V_LOW), opened), close)
    f[O_OPEN] = opened
    f[O_CLOSE] = close
    f[O_VOLUME] = volume
    o[O_TRADES] = trades
    o[O_SOURCES] = sources if traded else voices


def held_roll(entity: int, interval: int, start: int) -> int:
    """Address of the settled minutes of a longer bar; 0 where there are none."""
    rolls = integers(entity, ENTITY)[E_ROLLS]
    if rolls == 0:
        return 0
    at = rolls + (interval - 1) * ROLL * WORD
    return at if integers(at, ROLL)[R_START] == start else 0


def bar_roll(desk: int, entity: int, interval: int, start: int, out_at: int) -> int:
    """The bar of a longer interval (its number in WIDTHS): settled minutes, then the others; 0 when there are none, else 1."""
    o, f = integers(out_at, OHLC), floats(out_at, OHLC)
    found = 0
    roll = held_roll(entity, interval, start)
    if roll != 0:
        r, g = integers(roll, ROLL), floats(roll, ROLL)
        f[O_OPEN], f[O_HIGH], f[O_LOW], f[O_CLOSE] = g[R_OPEN], g[R_HIGH], g[R_LOW], g[R_CLOSE]
        f[O_VOLUME] = g[R_VOLUME]
        o[O_TRADES], o[O_SOURCES], o[O_VERSION] = r[R_TRADES], r[R_SOURCES], r[R_VERSION]
        found = 1
    end = start + WIDTHS[interval]
    part = integers(desk, DESK)[X_SCRATCH] + OWN
    p, h = integers(part, OHLC), floats(part, OHLC)
    bar = integers(entity, ENTITY)[E_BARS]
    while bar != 0:
        b = integers(bar, BAR)
        if b[B_START] >= end:
            break
        if b[B_START] >= start:
            if found == 0:
                fuse_bar(desk, bar, out_at)
                found = 1
            else:
                fuse_bar(desk, bar, part)
                f[O_HIGH] = higher(f[O_HIGH], h[O_HIGH])
                f[O_LOW] = lower(f[O_LOW], h[O_LOW])
                f[O_CLOSE] = h[O_CLOSE]
                f[O_VOLUME] += h[O_VOLUME]
                o[O_TRADES] += p[O_TRADES]
                o[O_SOURCES] = max(o[O_SOURCES], p[O_SOURCES])
                o[O_VERSION] = max(o[O_VERSION], p[O_VERSION])
        bar = b[B_NEXT]
    return found


def bar_settle(desk: int, entity: int, before: int) -> None:
    """Move minutes that start before this into the longer bars; they end here, up to the first that is still to be sent."""
    e = integers(entity, ENTITY)
    part = integers(desk, DESK)[X_SCRATCH] + OWN
    bar = e[E_BARS]
    while bar != 0:
        b = integers(bar, BAR)
        start, following = b[B_START], b[B_NEXT]
        if start >= before or b[B_DUE] != 0:
            break
        fuse_bar(desk, bar, part)
        merge(desk, entity, start, part)
        free_bar(desk, bar)
        bar = following
        e[E_BARS] = bar


def merge(desk: int, entity: int, start: int, part: int) -> None:
    """Add a settled minute to the bar of each longer interval in which it lies."""
    e = integers(entity, ENTITY)
    new = e[E_ROLLS] == 0
    if new:
        e[E_ROLLS] = alloc(desk, ROLLS * ROLL)
    p, h = integers(part, OHLC), floats(part, OHLC)
    for k in range(ROLLS):
        begin = start - start % WIDTHS[k + 1]
        at = e[E_ROLLS] + k * ROLL * WORD
        r, g = integers(at, ROLL), floats(at, ROLL)
        if new or r[R_START] != begin:
            r[R_START] = begin
            g[R_OPEN], g[R_HIGH], g[R_LOW], g[R_CLOSE] = h[O_OPEN], h[O_HIGH], h[O_LOW], h[O_CLOSE]
            g[R_VOLUME] = h[O_VOLUME]
            r[R_TRADES], r[R_SOURCES], r[R_VERSION] = p[O_TRADES], p[O_SOURCES], p[O_VERSION]
            continue
        g[R_HIGH] = higher(g[R_HIGH], h[O_HIGH])
        g[R_LOW] = lower(g[R_LOW], h[O_LOW])
        g[R_CLOSE] = h[O_CLOSE]
        g[R_VOLUME] += h[O_VOLUME]
        r[R_TRADES] += p[O_TRADES]
        r[R_SOURCES] = max(r[R_SOURCES], p[O_SOURCES])
        r[R_VERSION] = max(r[R_VERSION], p[O_VERSION])
