"""Signs that a price is being moved: one voice off the rest with abnormal volume, depth that vanishes, basis against futures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from schemas.events import Origin, Signal, Value
from services.aggregator.signals.model import logistic, signal


class Level:
    """Slow mean and deviation of one quantity, forgetting 1 % a step; what is far outside counts up to its fence."""

    __slots__ = ("deviation", "mean", "seen")

    def __init__(self) -> None:
        self.mean = self.deviation = self.seen = 0.0

    def z(self, x: float, floor: float) -> float:
        """Deviations of x from the level; 0 until 20 values were seen."""
        return (x - self.mean) / max(self.deviation, floor) if self.seen >= 20.0 else 0.0

    def learn(self, x: float) -> None:
        """Move towards x."""
        self.seen += 1.0
        rate = max(0.01, 1.0 / self.seen)
        fence = 4.0 * self.deviation if self.seen > 20.0 else math.inf
        step = max(min(x - self.mean, fence), -fence)
        self.mean += rate * step
        self.deviation = math.sqrt((1.0 - rate) * (self.deviation**2 + rate * step * step))


class Voice(NamedTuple):
    """What one venue shows of one pair."""

    venue: str
    price: float
    volume: float
    """Traded in the last interval, in the quote asset."""
    depth: float | None
    """Quantity at the best bid and ask together, in the quote asset; None when unknown."""


class Limits(NamedTuple):
    """When it is called manipulation."""

    off_bps: float = 40.0
    off_z: float = 5.0
    volume_z: float = 4.0
    depth_share: float = 0.5
    """Depth is gone when less than this share of the usual is left at most venues,"""
    depth_z: float = 2.0
    """by so many of each venue's own deviations,"""
    depth_all_z: float = 5.0
    """and by so many of all of them together."""
    basis_z: float = 6.0
    basis: float = 0.01
    voices: int = 3


LIMITS = Limits()


class Manipulation:
    """One pair: learns what is usual and judges each interval."""

    def __init__(self, entity: str, limits: Limits = LIMITS) -> None:
        self.entity = entity
        self.limits = limits
        self._off: dict[str, Level] = {}
        self._volume: dict[str, Level] = {}
        self._depth: dict[str, Level] = {}
        self._basis = Level()

    def see(
        self,
        voices: Sequence[Voice],
        as_of_ms: int,
        *,
        origin: Origin,
        perpetual: float | None = None,
        futures: int = 0,
    ) -> list[Signal]:
        """Judge one interval; `perpetual`: fused mark price of the perpetual, from `futures` sources."""
        found = []
        limits = self.limits
        if len(voices) >= limits.voices:
            prices = sorted(v.price for v in voices)
            middle = (
                prices[len(prices) // 2]
                if len(prices) % 2
                else 0.5 * (prices[len(prices) // 2 - 1] + prices[len(prices) // 2])
            )
            for voice in voices:
                one = self._voice(voice, voices, middle, as_of_ms, origin)
                if one is not None:
                    found.append(one)
            gone = self._depths(voices, as_of_ms, origin)
            if gone is not None:
                found.append(gone)
            if perpetual is not None and futures >= 2:
                apart = self._apart(perpetual, middle, len(voices), futures, as_of_ms, origin)
                if apart is not None:
                    found.append(apart)
        return found

    def _voice(
        self, voice: Voice, voices: Sequence[Voice], middle: float, as_of_ms: int, origin: Origin
    ) -> Signal | None:
        off, busy = self._off.setdefault(voice.venue, Level()), self._volume.setdefault(voice.venue, Level())
        gap, volume = math.log(voice.price / middle) * 1e4, math.log1p(voice.volume)
        off_z, volume_z = off.z(gap, 2.0), busy.z(volume, 0.25)
        off.learn(gap)
        busy.learn(volume)
        limits = self.limits
        if abs(gap) < limits.off_bps or abs(off_z) < limits.off_z or volume_z < limits.volume_z:
            return None
        return signal(
            "price_pushed",
            self.entity,
            as_of_ms,
            logistic(0.4 * (abs(off_z) - limits.off_z) + 0.5 * (volume_z - limits.volume_z) + 1.0),
            f"{voice.venue} is {gap:+.0f} bps off {len(voices) - 1} other venues on abnormal volume ({volume_z:.1f} sigma).",
            {
                "venue": voice.venue,
                "off_bps": gap,
                "off_z": off_z,
                "volume": voice.volume,
                "volume_z": volume_z,
                "middle": middle,
            },
            sorted(v.venue for v in voices),
            _shown(limits),
            origin,
            as_of_ms + 300_000,
            voice.venue,
        )

    def _depths(self, voices: Sequence[Voice], as_of_ms: int, origin: Origin) -> Signal | None:
        left: dict[str, Value] = {}
        fallen: dict[str, Value] = {}
        limits = self.limits
        empty, total = 0, 0.0
        for voice in voices:
            if voice.depth is not None:
                level = self._depth.setdefault(voice.venue, Level())
                now = math.log1p(voice.depth)
                if level.seen >= 20.0:
                    share, z = math.exp(now - level.mean), -level.z(now, 0.25)
                    left[voice.venue], fallen[voice.venue] = share, z
                    empty += share < limits.depth_share and z >= limits.depth_z
                    total += z
                level.learn(now)
        together = total / math.sqrt(len(left)) if left else 0.0
        if len(left) < 2 or 2 * empty <= len(left) or together < limits.depth_all_z:
            return None
        return signal(
            "depth_vanished",
            self.entity,
            as_of_ms,
            logistic(0.5 * (together - limits.depth_all_z) + 1.0),
            f"At {empty} of {len(left)} venues less than {100 * limits.depth_share:.0f} % of the usual depth is left.",
            {"left": left, "fallen_z": fallen, "together_z": together, "empty": float(empty)},
            sorted(left),
            _shown(limits),
            origin,
            as_of_ms + 300_000,
            "depth",
        )

    def _apart(
        self, perpetual: float, middle: float, spots: int, futures: int, as_of_ms: int, origin: Origin
    ) -> Signal | None:
        basis = math.log(perpetual / middle)
        z = self._basis.z(basis, 2e-4)
        self._basis.learn(basis)
        if abs(z) < self.limits.basis_z or abs(basis) < self.limits.basis:
            return None
        return signal(
            "basis_torn",
            self.entity,
            as_of_ms,
            logistic(0.4 * (abs(z) - self.limits.basis_z) + 1.0),
            f"The perpetual stands {100 * basis:+.2f} % from spot ({z:+.1f} sigma).",
            {
                "basis": basis,
                "z": z,
                "spot": middle,
                "perpetual": perpetual,
                "spot_sources": float(spots),
                "futures_sources": float(futures),
            },
            ["spot", "perpetual"],
            _shown(self.limits),
            origin,
            as_of_ms + 300_000,
            "basis",
        )


def _shown(limits: Limits) -> dict[str, float]:
    return {name: float(value) for name, value in limits._asdict().items()}
