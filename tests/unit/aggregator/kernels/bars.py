"""Bars in plain Python, to compare kernels with; and a store with one entity in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from statistics import median
from typing import Any, NamedTuple

from schemas import metrics
from services.aggregator.compiled.memory import floats, integers
from services.aggregator.engine.model import Limits
from services.aggregator.engine.rules import Rules
from services.aggregator.engine.store import Store
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.bars import WIDTHS

T0 = 1_760_054_400_000
"""The beginning of a day."""
MINUTE = 60_000
LATENESS = 60_000
EXCHANGE = Rules("exchange", metrics.load(), Limits(lateness_ms=LATENESS), ("usd", "euro", "tether"))


class Bar(NamedTuple):
    """A fused bar."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    sources: int
    version: int


@dataclass
class Minute:
    """What is told in one minute: (source, whether traded) -> (ts, price, size) in the order in which they came."""

    start: int
    quote: int
    version: int = 0
    due: bool = False
    told: dict[tuple[int, int], list[tuple[int, float, float]]] = field(default_factory=dict)

    def fused(self) -> Bar:
        """Trades where there are any, else quotes."""
        traded = int(any(kind for _, kind in self.told))
        voices = [rows for (_, kind), rows in self.told.items() if kind == traded]
        opens = [_first(rows) for rows in voices]
        closes = [_last(rows) for rows in voices]
        start, end = median(opens), median(closes)
        volumes = [reduce(float.__add__, (size for _, _, size in rows)) if traded else 0.0 for rows in voices]
        return Bar(
            start, max(median(max(price for _, price, _ in rows) for rows in voices), start, end),
            min(median(min(price for _, price, _ in rows) for rows in voices), start, end), end,
            reduce(float.__add__, volumes, 0.0), sum(map(len, voices)) if traded else 0, len(voices), self.version,
        )  # fmt: skip


def _first(rows: list[tuple[int, float, float]]) -> float:
    oldest = min(ts for ts, _, _ in rows)
    return next(price for ts, price, _ in rows if ts == oldest)


def _last(rows: list[tuple[int, float, float]]) -> float:
    newest = max(ts for ts, _, _ in rows)
    return [price for ts, price, _ in rows if ts == newest][-1]


@dataclass
class Reference:
    """All minutes of one entity, those that are settled and those that are not, in order."""

    log: int = T0
    closed: int = 0
    settled: list[Minute] = field(default_factory=list)
    minutes: list[Minute] = field(default_factory=list)

    def add(self, source: int, ts: int, price: float, size: float, traded: int, quote: int, version: int) -> int:
        """What bar_add does, and says."""
        start, before = ts - ts % MINUTE, self.log - LATENESS - MINUTE
        if start < before:
            return 1
        while self.minutes and self.minutes[0].start < before and not self.minutes[0].due:
            self.settled.append(self.minutes.pop(0))
        minute = next((minute for minute in self.minutes if minute.start == start), None)
        made = minute is None
        if minute is None:
            minute = Minute(start, quote)
            self.minutes = sorted([*self.minutes, minute], key=lambda one: one.start)
        minute.told.setdefault((source, traded), []).append((ts, price, size))
        minute.version = version
        again = start < self.closed and not minute.due
        minute.due = True
        return 2 * made + 4 * again

    def roll(self, interval: int, start: int) -> Bar | None:
        """A longer bar; of what is settled only the current bar of each interval is remembered."""
        end = start + WIDTHS[interval]
        held = self.settled if self.settled and start <= self.settled[-1].start < end else []
        parts = [minute.fused() for minute in [*held, *self.minutes] if start <= minute.start < end]
        if not parts:
            return None
        return Bar(
            parts[0].open, max(part.high for part in parts), min(part.low for part in parts), parts[-1].close,
            reduce(float.__add__, (part.volume for part in parts)), sum(part.trades for part in parts),
            max(part.sources for part in parts), max(part.version for part in parts),
        )  # fmt: skip


def new_store(key: bytes = b"pair:coin/usd") -> tuple[Store, int]:
    """A store, and the address of the one entity in it."""
    store = Store(EXCHANGE)
    return store, store.entity(key)


def ohlc(address: int) -> Bar:
    """The fused bar that stands at an address."""
    words = integers(address, at.OHLC).tolist()
    return Bar(*floats(address, at.OHLC)[: at.O_TRADES].tolist(), *words[at.O_TRADES :])


def shape(minute: Any) -> tuple[Any, ...]:
    """What a view shows of a minute, in the form of the reference."""
    told = {}
    for source, said in minute.voices:
        told[source, int(said.traded)] = tuple(said[1:])
    return minute.start_ms, minute.version, minute.due, told


def expected(minute: Minute) -> tuple[Any, ...]:
    """The same of the reference."""
    told = {}
    for (source, traded), rows in minute.told.items():
        prices, times = [price for _, price, _ in rows], [ts for ts, _, _ in rows]
        volume = reduce(float.__add__, (size for _, _, size in rows)) if traded else 0.0
        trades = len(rows) if traded else 0
        told[source, traded] = (
            _first(rows), max(prices), min(prices), _last(rows), volume, trades, min(times), max(times),
        )  # fmt: skip
    return minute.start, minute.version, minute.due, told
