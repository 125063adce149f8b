"""Bars by event time: per source while a minute is open, fused by median when shown, rolled up when settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from services.aggregator.engine.model import DAY_MS, HOUR_MS, MINUTE_MS

if TYPE_CHECKING:
    from services.aggregator.engine.model import Entity

BASE = "1m"
INTERVALS: dict[str, int] = {"5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "1h": HOUR_MS, "4h": 4 * HOUR_MS, "1d": DAY_MS}
"""Roll-ups, shortest first; each starts at a multiple of its length."""
WIDTHS = {BASE: MINUTE_MS, **INTERVALS}
SWEEP_MS = INTERVALS["5m"]
"""Every longer interval ends at a multiple of the shortest, so one pass over the entities closes them all."""

SEEN_TRADES = 128
"""Trade ids remembered per source: venues repeat their last 50 to 100 trades after a reconnect."""


_new = tuple.__new__


class Voice(Struct, array_like=True, gc=False):
    """What one source traded or quoted in one minute."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    first_ms: int
    last_ms: int


class Bar(Struct, array_like=True):
    """One minute of one entity, by source; `version` is that of the last record that changed it."""

    start_ms: int
    version: int
    trades: dict[int, Voice]
    quotes: dict[int, Voice]
    quote: str
    due: bool = False
    """Whether it changed since it was last sent."""


class Ohlc(NamedTuple):
    """Fused bar: volume in the base asset, sources as counted."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    sources: int
    version: int


class Roll(Struct, array_like=True, gc=False):
    """The settled minutes of the current bar of one longer interval."""

    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    sources: int
    version: int


def add(bar: Bar, source: int, ts_ms: int, price: float, size: float | None) -> None:
    """Put a trade (`size` in the base asset) or a quote (`size` None) of one source into its minute."""
    voices = bar.quotes if size is None else bar.trades
    voice = voices.get(source)
    if voice is None:
        voices[source] = Voice(price, price, price, price, size or 0.0, 0 if size is None else 1, ts_ms, ts_ms)
        return
    if price > voice.high:
        voice.high = price
    elif price < voice.low:
        voice.low = price
    if ts_ms < voice.first_ms:
        voice.first_ms, voice.open = ts_ms, price
    if ts_ms >= voice.last_ms:
        voice.last_ms, voice.close = ts_ms, price
    if size is not None:
        voice.volume += size
        voice.trades += 1


def fuse(bar: Bar) -> Ohlc:
    """The minute as all sources saw it: trades where there are any, else quotes; medians, and volumes summed."""
    voices = list((bar.trades or bar.quotes).values())
    if len(voices) == 1:
        (v,) = voices
        return _new(Ohlc, (v.open, v.high, v.low, v.close, v.volume, v.trades, 1, bar.version))
    start, end = _median([v.open for v in voices]), _median([v.close for v in voices])
    high = max(_median([v.high for v in voices]), start, end)
    low = min(_median([v.low for v in voices]), start, end)
    return Ohlc(
        start, high, low, end, sum(v.volume for v in voices), sum(v.trades for v in voices), len(voices), bar.version
    )


def _median(values: list[float]) -> float:
    values.sort()
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def find(entity: Entity, start_ms: int) -> Bar | None:
    """The unsettled bar that starts then."""
    for bar in entity.bars or ():
        if bar.start_ms == start_ms:
            return bar  # type: ignore[no-any-return]
    return None


def roll(entity: Entity, interval: str, start_ms: int) -> Ohlc | None:
    """The bar of a longer interval: its settled minutes and the unsettled ones; None when there are none."""
    width = INTERVALS[interval]
    parts: list[Ohlc] = []
    for number, name in enumerate(INTERVALS):
        if name == interval and entity.rolls is not None:
            held: Roll = entity.rolls[number]
            if held.start_ms == start_ms:
                parts.append(
                    Ohlc(
                        held.open, held.high, held.low, held.close, held.volume, held.trades, held.sources, held.version
                    )
                )
    parts += [fuse(bar) for bar in entity.bars or () if start_ms <= bar.start_ms < start_ms + width]
    if not parts:
        return None
    return Ohlc(
        parts[0].open, max(p.high for p in parts), min(p.low for p in parts), parts[-1].close, sum(p.volume for p in parts),
        sum(p.trades for p in parts), max(p.sources for p in parts), max(p.version for p in parts),
    )  # fmt: skip


def settle(entity: Entity, before_ms: int) -> None:
    """Move bars that start before `before_ms` into the roll-ups; they take no more trades."""
    bars = entity.bars
    while bars and bars[0].start_ms < before_ms:
        bar = bars.pop(0)
        _merge(entity, bar.start_ms, fuse(bar))
    if not bars:
        entity.bars = None


def _merge(entity: Entity, start_ms: int, part: Ohlc) -> None:
    if entity.rolls is None:
        entity.rolls = [_first(start_ms - start_ms % width, part) for width in INTERVALS.values()]
        return
    for number, width in enumerate(INTERVALS.values()):
        begin = start_ms - start_ms % width
        held: Roll = entity.rolls[number]
        if held.start_ms != begin:
            entity.rolls[number] = _first(begin, part)
            continue
        held.high = max(held.high, part.high)
        held.low = min(held.low, part.low)
        held.close = part.close
        held.volume += part.volume
        held.trades += part.trades
        held.sources = max(held.sources, part.sources)
        held.version = max(held.version, part.version)


def _first(start_ms: int, part: Ohlc) -> Roll:
    return Roll(
        start_ms, part.open, part.high, part.low, part.close, part.volume, part.trades, part.sources, part.version
    )
