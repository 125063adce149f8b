"""What every detector takes and gives: quotes, trades, and a signal that carries its evidence."""

from __future__ import annotations

import math
from hashlib import sha256
from typing import NamedTuple

from schemas.events import Origin, Signal, Value

Evidence = dict[str, Value | dict[str, Value] | list[dict[str, Value]]]


class Quote(NamedTuple):
    """What one venue offers for one asset, in the quote asset that all quotes of a call share."""

    venue: str
    bid: float
    ask: float
    ts_ms: int
    bid_size: float | None = None
    """Units that can be sold at `bid`; None when unknown."""
    ask_size: float | None = None
    kind: str = "cex"
    """cex or dex."""
    chain: str | None = None
    liquidity: float | None = None
    """Value in the pool, for dex."""
    lag_ms: float = 0.0
    """Learned delay beyond what the venue's own time shows."""

    def age_ms(self, as_of_ms: int) -> float:
        """Age of the offer, with the hidden delay."""
        return max(as_of_ms - self.ts_ms, 0) + self.lag_ms


class Trade(NamedTuple):
    """One trade of one venue; `buy` when the taker bought, None when unknown."""

    venue: str
    ts_ms: int
    price: float
    size: float
    buy: bool | None = None


def logistic(x: float) -> float:
    """1 / (1 + e^-x), without overflow."""
    return 1.0 / (1.0 + math.exp(-max(min(x, 60.0), -60.0)))


def normal_below(x: float) -> float:
    """P(Z <= x) of a standard normal."""
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


def signal(
    kind: str,
    entity: str,
    as_of_ms: int,
    confidence: float,
    summary: str,
    evidence: Evidence,
    inputs: list[str],
    thresholds: dict[str, float],
    origin: Origin,
    expires_ms: int,
    identity: str,
) -> Signal:
    """The record; its id is the same for the same finding (`identity`), so that a repeat replaces it."""
    name = sha256(f"{kind}|{entity}|{identity}".encode()).hexdigest()[:24]
    return Signal(
        id=name,
        kind=kind,
        entity=entity,
        as_of_ms=as_of_ms,
        confidence=min(max(confidence, 0.0), 1.0),
        summary=summary,
        evidence=evidence,
        inputs=inputs,
        thresholds=thresholds,
        origin=origin,
        expires_ms=expires_ms,
    )
