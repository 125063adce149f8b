"""OHLCV bars in columns: a series per entity and interval, each a bounded ring by start time."""

from __future__ import annotations

from array import array
from bisect import bisect_left

import msgspec

from schemas.events import Candle
from services.gateway.view.feed import BadRecord
from services.gateway.view.numbers import LAST_MS, decimal, instant
from services.gateway.view.shapes import CandleRecord

INTERVALS_MS = {
    "1m": 60_000,
    "5m": 300_000,
    "15m": 900_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}
"""The bars that the aggregator makes, with their lengths."""
ROWS_MAX = 1_500
"""Bars kept of one series: a day of minutes and some; 84 bytes each."""
SERIES_MAX = 3_000
"""Series kept, so that columns never take more than their share of the memory; the rest is counted, not kept."""

ORIGINS = ("live", "replay", "sandbox")
_VALUES = 8
"""open, high, low, close, volume, trades, sources, closed * 4 + origin"""


class Series:
    """Bars of one entity and interval, ordered by start."""

    __slots__ = ("quote", "starts", "values", "versions")

    def __init__(self, quote: str) -> None:
        self.quote = quote
        self.starts = array("q")
        self.versions = array("q")
        self.values = array("d")

    def __len__(self) -> int:
        return len(self.starts)

    def put(self, candle: Candle) -> bool:
        """Take a bar unless a newer version of it is known or it is older than a full ring; True when it was taken."""
        row = array("d", (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.trades,
                          candle.sources, candle.closed * 4 + ORIGINS.index(candle.origin)))  # fmt: skip
        at = bisect_left(self.starts, candle.start_ms)
        if at < len(self.starts) and self.starts[at] == candle.start_ms:
            if candle.version <= self.versions[at]:
                return False
            self.versions[at] = candle.version
            self.values[at * _VALUES : (at + 1) * _VALUES] = row
            return True
        if len(self.starts) >= ROWS_MAX:
            if at == 0:
                return False
            del self.starts[0], self.versions[0], self.values[:_VALUES]
            at -= 1
        self.starts.insert(at, candle.start_ms)
        self.versions.insert(at, candle.version)
        self.values[at * _VALUES : at * _VALUES] = row
        return True

    def between(self, from_ms: int, to_ms: int, limit: int) -> list[CandleRecord]:
        """Up to `limit` bars that start in [from, to), the newest ones, oldest first."""
        low, high = bisect_left(self.starts, from_ms), bisect_left(self.starts, to_ms)
        return [self._record(at) for at in range(max(low, high - limit), high)]

    def _record(self, at: int) -> CandleRecord:
        open_, high, low, close, volume, trades, sources, flags = self.values[at * _VALUES : (at + 1) * _VALUES]
        return CandleRecord(
            start=instant(self.starts[at]),
            open=decimal(open_),
            high=decimal(high),
            low=decimal(low),
            close=decimal(close),
            volume=decimal(volume),
            trades=int(trades),
            sources=int(sources),
            closed=flags >= 4,
            origin=ORIGINS[int(flags) % 4],  # type: ignore[arg-type]
            ver=self.versions[at],
        )


class Candles:
    """All series, by entity and interval."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str], Series] = {}
        self.positions: dict[int, int] = {}
        self.refused = 0
        """Bars of series beyond SERIES_MAX."""
        self._decode = msgspec.json.Decoder(Candle).decode

    def __len__(self) -> int:
        return len(self.series)

    def apply(self, key: str, value: bytes | None, partition: int, offset: int, written_ms: int) -> bool:
        """Take one bar; True when it is news. BadRecord when it cannot be read."""
        self.positions[partition] = offset + 1
        if value is None:
            return False
        try:
            candle = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise BadRecord(f"candle: {fault}") from fault
        if candle.interval not in INTERVALS_MS or not 0 <= candle.start_ms <= LAST_MS:
            raise BadRecord(
                f"candle: expected an interval of {', '.join(INTERVALS_MS)} and a start between 1970 and 9999,"
                f" got {candle.interval} at {candle.start_ms}"
            )
        series = self.series.get((candle.entity, candle.interval))
        if series is None:
            if len(self.series) >= SERIES_MAX:
                self.refused += 1
                return False
            series = self.series[candle.entity, candle.interval] = Series(candle.quote)
        return series.put(candle)
