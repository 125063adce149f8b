"""Bars as JSON, schemas.events.Candle, with their keys: the open minute now and then, closed bars, and those that changed again."""

from __future__ import annotations

from services.aggregator.compiled.memory import copy, floats, integers, octets
from services.aggregator.kernels.bars import WIDTHS, bar_find, bar_heard, bar_roll, fuse_bar
from services.aggregator.kernels.digits import write_float, write_int
from services.aggregator.kernels.layout import (
    B_DUE,
    B_QUOTE,
    BAR,
    D_SOURCE,
    DESK,
    DIRECTORY,
    E_COUNT,
    E_INDEX,
    E_KEY,
    E_QUOTE,
    ENTITY,
    N_ORIGIN,
    O_CLOSE,
    O_HIGH,
    O_LOW,
    O_OPEN,
    O_SOURCES,
    O_TRADES,
    O_VERSION,
    O_VOLUME,
    OHLC,
    Q_NAME,
    Q_NAME_N,
    QUOTE,
    SCRATCH,
    SOURCE,
    TARGET_QUOTE,
    WORD,
    X_CLOSED,
    X_ORIGINS,
    X_QUOTES,
    X_SCRATCH,
    X_SOURCES,
)
from services.aggregator.kernels.names import MOST, write_key
from services.aggregator.kernels.pieces import put, put_text

INTERVALS = ("1m", "5m", "15m", "1h", "4h", "1d")
"""Names of the intervals, by their numbers in WIDTHS."""
# What is asked: CLOSES words for all, then ASK words for each bar.
J_CLOSED_VERSION, J_SWEPT, J_SWEPT_VERSION, CLOSES = range(4)
"""Version at which the last minute was closed; longer bars that end by then are closed, and the version of that."""
K_ENTITY, K_INTERVAL, K_START, ASK = range(4)
"""K_INTERVAL: number in WIDTHS."""
# What is told of each: TELL words; places in the output, from its start. Key and value are empty where nothing is to be sent.
U_KEY, U_KEY_END, U_VALUE, U_VALUE_END, U_HEARD, TELL = range(6)
"""U_HEARD: how much was said in a closed minute, 0 for other bars."""
CANDLE_BYTES = 768
"""Most that is written for a bar, beside its key (twice, once as JSON) and the names of its quote and its origin."""
FUSED = (SCRATCH - 2 * OHLC) * WORD
"""Where in the scratch memory a bar stands while it is written; behind it bars.py has its own."""


def _pieces(text: bytes) -> tuple[int, int, int]:
    """Text of up to 16 bytes as two words and its length."""
    words = text.ljust(16)
    return int.from_bytes(words[:8], "little"), int.from_bytes(words[8:], "little"), len(text)


NAMES = tuple(_pieces(f"|{name}|".encode()) for name in INTERVALS)
OPENING, NAME = _pieces(b'{"entity":"'), _pieces(b'","interval":"')
SHOWN = tuple(_pieces(f'{name}","start_ms":'.encode()) for name in INTERVALS)
OPEN, HIGH, LOW, CLOSE = (_pieces(f',"{name}":'.encode()) for name in ("open", "high", "low", "close"))
COUNTED, VERSION, ORIGIN = (_pieces(f',"{name}":'.encode()) for name in ("quote", "version", "origin"))
VOLUME, TRADES, SOURCES = (_pieces(f',"{name}":'.encode()) for name in ("volume", "trades", "sources"))
CLOSED, END = _pieces(b',"closed":true}'), _pieces(b"}")


def candle_rows(desk: int, count: int, asks_at: int, out_at: int, out_bytes: int, tells_at: int) -> int:
    """Write the bars that are asked for; how many of them were looked at before the output had no room for another."""
    x = integers(desk, DESK)
    closes = integers(asks_at, CLOSES)
    fused = x[X_SCRATCH] + FUSED
    asks_at += CLOSES * WORD
    at = 0
    for row in range(count):
        k, u = integers(asks_at, ASK), integers(tells_at, TELL)
        entity, interval, start = k[K_ENTITY], k[K_INTERVAL], k[K_START]
        for j in range(TELL):
            u[j] = 0
        e = integers(entity, ENTITY)
        quote = e[E_QUOTE] if e[E_QUOTE] >= 0 else TARGET_QUOTE
        found, closed, version = 0, False, 0
        bar = 0
        if interval == 0:
            bar = bar_find(entity, start)
            closed = start < x[X_CLOSED]
            if bar != 0 and (closed or integers(bar, BAR)[B_DUE] != 0):
                quote = integers(bar, BAR)[B_QUOTE]
                version = closes[J_CLOSED_VERSION]
                fuse_bar(desk, bar, fused)
                found = 1
        else:
            closed = start + WIDTHS[interval] <= closes[J_SWEPT]
            version = closes[J_SWEPT_VERSION]
            found = bar_roll(desk, entity, interval, start, fused)
        if found != 0:
            q = integers(x[X_QUOTES] + quote * QUOTE * WORD, QUOTE)
            if at + CANDLE_BYTES + (1 + MOST) * e[E_KEY] + q[Q_NAME_N] > out_bytes:
                return row
            if closed:
                o = integers(fused, OHLC)
                o[O_VERSION] = max(o[O_VERSION], version)
            if interval == 0:
                integers(bar, BAR)[B_DUE] = 0
                u[U_HEARD] = bar_heard(bar) if closed else 0
            u[U_KEY] = at
            at = put_name(entity, interval, start, out_at, out_bytes, at)
            u[U_KEY_END] = at
            u[U_VALUE] = at
            origin = least_real(desk, entity)
            at = put_candle(desk, entity, interval, start, closed, quote, origin, out_at, out_bytes, at)
            u[U_VALUE_END] = at
        asks_at += ASK * WORD
        tells_at += TELL * WORD
    return count


def least_real(desk: int, entity: int) -> int:
    """The origin of the least real source of an entity."""
    e = integers(entity, ENTITY)
    sources = integers(desk, DESK)[X_SOURCES]
    line = e[E_INDEX]
    origin = 0
    for _ in range(e[E_COUNT]):
        source = sources + integers(line, DIRECTORY)[D_SOURCE] * SOURCE * WORD
        origin = max(origin, integers(source, SOURCE)[N_ORIGIN])
        line += DIRECTORY * WORD
    return origin


def put_name(entity: int, interval: int, start: int, out_at: int, out_bytes: int, at: int) -> int:
    """Write the key of a bar: `<entity>|<interval>|<start>`."""
    n = integers(entity, ENTITY)[E_KEY]
    copy(out_at + at, entity + ENTITY * WORD, n)
    at = put(out_at, at + n, *NAMES[interval])
    return write_int(octets(out_at, out_bytes), at, start)


def put_candle(
    desk: int,
    entity: int,
    interval: int,
    start: int,
    closed: bool,
    quote: int,
    origin: int,
    out_at: int,
    out_bytes: int,
    at: int,
) -> int:
    """Write the bar that stands fused in the scratch memory; what has its default value is left out."""
    x = integers(desk, DESK)
    out = octets(out_at, out_bytes)
    fused = x[X_SCRATCH] + FUSED
    o, f = integers(fused, OHLC), floats(fused, OHLC)
    at = write_key(out, put(out_at, at, *OPENING), entity)
    at = put(out_at, put(out_at, at, *NAME), *SHOWN[interval])
    at = write_int(out, at, start)
    at = write_float(out, put(out_at, at, *OPEN), f[O_OPEN])
    at = write_float(out, put(out_at, at, *HIGH), f[O_HIGH])
    at = write_float(out, put(out_at, at, *LOW), f[O_LOW])
    at = write_float(out, put(out_at, at, *CLOSE), f[O_CLOSE])
    q = integers(x[X_QUOTES] + quote * QUOTE * WORD, QUOTE)
    at = put_text(out_at, put(out_at, at, *COUNTED), q[Q_NAME], q[Q_NAME_N])
    at = write_int(out, put(out_at, at, *VERSION), o[O_VERSION])
    names = integers(x[X_ORIGINS] + 2 * origin * WORD, 2)
    at = put_text(out_at, put(out_at, at, *ORIGIN), names[0], names[1])
    if f[O_VOLUME] != 0.0:
        at = write_float(out, put(out_at, at, *VOLUME), f[O_VOLUME])
    if o[O_TRADES] != 0:
        at = write_int(out, put(out_at, at, *TRADES), o[O_TRADES])
    if o[O_SOURCES] != 0:
        at = write_int(out, put(out_at, at, *SOURCES), o[O_SOURCES])
    if closed:
        return put(out_at, at, *CLOSED)
    return put(out_at, at, *END)
