"""Pump detection from trades: rush orders, volume, trades and price against their own recent past.

Features after La Morgia, Mei, Sassi and Stefa, "Pump and Dumps in the Bitcoin Era" (2020): market buys that fill at one
millisecond are one rush order; moving deviation of their number; moving means of volume, trades and price, in chunks of 25 s.
The verdict is a fixed rule over those features, not their forest: their published F1 is 0.92 (forest) and 0.90 (deviation of
rush orders alone).
"""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from typing import NamedTuple

from schemas.events import Origin, Signal
from services.aggregator.signals.model import Trade, logistic, signal

CHUNK_MS = 25_000
HISTORY = 120
"""Chunks of the past against which one is judged: 50 minutes."""
LEAST_HISTORY = 12


class Chunk(NamedTuple):
    """What happened in 25 s of one pair, over all venues."""

    start_ms: int
    rushes: int
    volume: float
    trades: int
    price: float
    venues: tuple[str, ...]
    buys: float
    """Share of volume that takers bought, of what is known."""


class Limits(NamedTuple):
    """When a chunk is called a pump."""

    rush_z: float = 4.0
    volume_z: float = 3.0
    rise: float = 0.01
    """Of the price against the mean of the past."""
    rise_sigmas: float = 4.0
    buys: float = 0.6
    confidence: float = 0.5


LIMITS = Limits()


class Pump:
    """One pair: collects trades into chunks and judges each as it closes."""

    def __init__(self, entity: str, limits: Limits = LIMITS) -> None:
        self.entity = entity
        self.limits = limits
        self.past: deque[Chunk] = deque(maxlen=HISTORY)
        self._open: list[Trade] = []
        self._start_ms = 0

    def see(self, trade: Trade, origin: Origin) -> Signal | None:
        """Take a trade, in order of time; a signal when it closes a chunk that was a pump."""
        start_ms = trade.ts_ms - trade.ts_ms % CHUNK_MS
        found = None
        if self._open and start_ms > self._start_ms:
            chunk = summarise(self._start_ms, self._open)
            found = self.judge(chunk, origin)
            self.past.append(chunk)
            self._open = []
        if not self._open:
            self._start_ms = start_ms
        self._open.append(trade)
        return found

    def judge(self, chunk: Chunk, origin: Origin) -> Signal | None:
        """The verdict on one chunk against the past; silent until the past is long enough."""
        if len(self.past) < LEAST_HISTORY:
            return None
        limits = self.limits
        rush_z = against([float(c.rushes) for c in self.past], float(chunk.rushes), 1.0)
        volume_z = against([math.log1p(c.volume) for c in self.past], math.log1p(chunk.volume), 0.1)
        trades_z = against([math.log1p(c.trades) for c in self.past], math.log1p(chunk.trades), 0.1)
        prices = [math.log(c.price) for c in self.past]
        mean = sum(prices) / len(prices)
        steps = [b - a for a, b in pairwise(prices)]
        step = math.sqrt(sum(s * s for s in steps) / len(steps))
        rise = math.log(chunk.price) - prices[-1]
        over = math.log(chunk.price) - mean
        rise_z = rise / max(step, 1e-5)
        enough = (
            rush_z >= limits.rush_z,
            volume_z >= limits.volume_z,
            max(rise, over) >= limits.rise and rise_z >= limits.rise_sigmas,
            chunk.buys >= limits.buys,
        )
        score = 0.5 * (rush_z / limits.rush_z + volume_z / limits.volume_z + rise_z / limits.rise_sigmas) - 1.5
        # One venue alone may be a faulty feed: its word counts half.
        confidence = logistic(2.0 * score + 1.0) * (1.0 if len(chunk.venues) > 1 else 0.6)
        if not all(enough) or confidence < limits.confidence:
            return None
        end_ms = chunk.start_ms + CHUNK_MS
        return signal(
            "pump",
            self.entity,
            end_ms,
            confidence,
            f"{chunk.rushes} rush orders in 25 s ({rush_z:.1f} sigma), price {100 * rise:+.1f} %, volume {volume_z:.1f} sigma.",
            {
                "rush_orders": float(chunk.rushes),
                "rush_z": rush_z,
                "volume": chunk.volume,
                "volume_z": volume_z,
                "trades": float(chunk.trades),
                "trades_z": trades_z,
                "rise": rise,
                "rise_z": rise_z,
                "buys": chunk.buys,
                "venues": list(chunk.venues),
                "history_chunks": float(len(self.past)),
            },
            list(chunk.venues),
            dict(zip(limits._fields, map(float, limits), strict=True)),
            origin,
            end_ms + 600_000,
            str(chunk.start_ms // 600_000),
        )


def summarise(start_ms: int, trades: list[Trade]) -> Chunk:
    """The features of one chunk; buys of one venue in one millisecond are one rush order if they are two or more."""
    same: dict[tuple[str, int], int] = {}
    bought = known = 0.0
    for trade in trades:
        value = trade.price * trade.size
        if trade.buy is not None:
            known += value
            bought += value if trade.buy else 0.0
        if trade.buy:
            at = (trade.venue, trade.ts_ms)
            same[at] = same.get(at, 0) + 1
    volume = sum(t.price * t.size for t in trades)
    price = sum(t.price * t.price * t.size for t in trades) / volume if volume > 0 else trades[-1].price
    return Chunk(
        start_ms,
        sum(n > 1 for n in same.values()),
        volume,
        len(trades),
        price,
        tuple(sorted({t.venue for t in trades})),
        bought / known if known else 0.5,
    )


def against(past: list[float], now: float, floor: float) -> float:
    """Deviations of `now` from the past, the deviation being at least `floor`."""
    mean = sum(past) / len(past)
    return (now - mean) / max(math.sqrt(sum((p - mean) ** 2 for p in past) / len(past)), floor)
