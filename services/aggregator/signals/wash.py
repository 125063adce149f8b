"""Wash trading from trade sizes: first digits, round sizes, lognormal shape, breaks; each venue against its peers.

Tests after Cong, Li, Tang and Yang, "Crypto Wash Trading" (2023). Their power-law test of the tail points the wrong way on its
own and is left out. No venue is judged alone: what a pair's other venues show too is the pair's habit, not a fault.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from schemas.events import Origin, Signal, Value
from services.aggregator.signals.model import logistic, signal

BENFORD = tuple(math.log10(1.0 + 1.0 / d) for d in range(1, 10))


class Shape(NamedTuple):
    """Four distances of a venue's trade sizes from what trading people leave; larger is stranger."""

    digits: float
    """Root mean square distance of first digits from Benford's law."""
    roundness: float
    """Missing share of round sizes: people round, machines that trade with themselves do not."""
    lognormal: float
    """Largest distance of the law of log sizes from the normal law of the same mean and variance."""
    broken: float
    """Distance of first digits between the two halves of the time."""


class Limits(NamedTuple):
    """When a venue's trades are called washed."""

    trades: int = 400
    """Fewer prove nothing."""
    peers: int = 2
    """Other venues of the pair with enough trades."""
    score: float = 2.5
    """Sum of excesses over the peers' middle, in units that make 1 a clear excess."""


LIMITS = Limits()
SCALES = Shape(digits=0.03, roundness=0.10, lognormal=0.10, broken=0.04)
"""An excess over the peers by this much counts 1."""
WEIGHTS = Shape(digits=1.0, roundness=0.7, lognormal=0.7, broken=0.5)


def first_digit(x: float) -> int:
    """The first significant digit."""
    return int(f"{x:e}"[0])


def digits_of(sizes: Sequence[float]) -> tuple[float, ...]:
    """Frequencies of the first digits 1 to 9."""
    counts = [0] * 9
    for size in sizes:
        counts[first_digit(size) - 1] += 1
    return tuple(c / len(sizes) for c in counts)


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Root mean square distance of two laws of the nine digits."""
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / 9.0)


def is_round(size: float) -> bool:
    """Whether a size has at most two significant digits."""
    mantissa = float(f"{size:.10e}".split("e")[0])
    return abs(mantissa * 10 - round(mantissa * 10)) < 1e-6


def shape(sizes: Sequence[float]) -> Shape:
    """The four distances; sizes in order of time, all above 0, at least two."""
    half = len(sizes) // 2
    own = digits_of(sizes)
    logs = sorted(math.log(s) for s in sizes)
    n = len(logs)
    mean = sum(logs) / n
    sd = math.sqrt(sum((x - mean) ** 2 for x in logs) / n) or 1e-9
    gap = 0.0
    for k, x in enumerate(logs):
        law = 0.5 * (1.0 + math.erf((x - mean) / sd / math.sqrt(2.0)))
        gap = max(gap, abs(law - k / n), abs(law - (k + 1) / n))
    # What chance alone leaves is taken off: distances of finite samples are never nought.
    noise = math.sqrt(sum(p * (1 - p) for p in BENFORD) / 9.0)
    return Shape(
        max(distance(own, BENFORD) - noise / math.sqrt(n), 0.0),
        1.0 - sum(map(is_round, sizes)) / n,
        gap,
        max(distance(digits_of(sizes[:half]), digits_of(sizes[half:])) - noise * math.sqrt(4.0 / n), 0.0),
    )


def find(
    entity: str, sizes: Mapping[str, Sequence[float]], as_of_ms: int, *, origin: Origin, limits: Limits = LIMITS
) -> list[Signal]:
    """Venues of a pair whose trade sizes are strange against those of the others; venue -> sizes in order of time."""
    shapes = {venue: shape(said) for venue, said in sorted(sizes.items()) if len(said) >= limits.trades}
    found = []
    for venue, own in shapes.items():
        peers = [other for name, other in shapes.items() if name != venue]
        if len(peers) < limits.peers:
            continue
        middle = Shape(*(sorted(column)[len(column) // 2] for column in zip(*peers, strict=True)))
        excess = Shape(*(max(min((a - b) / c, 3.0), 0.0) for a, b, c in zip(own, middle, SCALES, strict=True)))
        score = sum(w * e for w, e in zip(WEIGHTS, excess, strict=True))
        if score < limits.score:
            continue
        evidence: dict[str, Value] = {f"{name}_excess": value for name, value in excess._asdict().items()}
        found.append(
            signal(
                "wash_trading",
                entity,
                as_of_ms,
                logistic(1.5 * (score - limits.score) + 0.5),
                f"Trade sizes at {venue} do not look like those of {len(peers)} other venues (score {score:.1f}).",
                {
                    "venue": venue,
                    "trades": float(len(sizes[venue])),
                    "score": score,
                    "own": dict(own._asdict().items()),
                    "peers": dict(middle._asdict().items()),
                    "excess": evidence,
                },
                sorted(shapes),
                {"trades": float(limits.trades), "peers": float(limits.peers), "score": limits.score},
                origin,
                as_of_ms + 3_600_000,
                venue,
            )
        )
    return found
