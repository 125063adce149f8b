"""Buy here, sell there: what is left after fees, slippage, transfer and the age of both quotes, and how likely it is there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from schemas.events import Origin, Signal, Value
from services.aggregator.signals.model import Evidence, Quote, normal_below, signal


class Costs(NamedTuple):
    """What a round costs; assumed where no venue states it, and shown with every signal."""

    taker_bps: float = 10.0
    """Per leg on a centralised exchange: the common first-tier taker fee; `venue_bps` overrides it."""
    pool_bps: float = 30.0
    """Per leg on a decentralised exchange: the common pool fee."""
    gas: float = 5.0
    """Per leg on chain, in the quote asset."""
    bridge_bps: float = 10.0
    """Between chains."""
    bridge: float = 5.0
    """Between chains, in the quote asset."""


class Limits(NamedTuple):
    """When a gap is called arbitrage."""

    size: float = 10_000.0
    """Size at which the gap must pay, in the quote asset."""
    net_bps: float = 5.0
    """Least gain after all costs."""
    fresh_ms: float = 10_000.0
    """Both legs at most this old, hidden delay included."""
    wide_bps: float = 1_000.0
    """A gap wider than this is another asset or a wrong unit, not a gift."""
    latency_ms: float = 1_000.0
    """Time until both legs are done."""
    bridge_ms: float = 120_000.0
    """Time until a transfer between chains is done."""
    confidence: float = 0.5
    """Least probability that the round gains."""
    fee_doubt: float = 0.15
    """Deviation of true fees from assumed ones, as a share; stated fees are taken as they are."""
    usual_sigmas: float = 3.0
    """A gap must exceed what is usual between the two venues by this many deviations."""


COSTS, LIMITS = Costs(), Limits()


class Usual:
    """What the gap between two venues usually is: a lasting one is a border, not an opportunity."""

    KEEP = 0.98
    START_BPS2 = 25.0

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], tuple[float, float, float]] = {}

    def of(self, entity: str, buy: str, sell: str) -> tuple[float, float]:
        """Mean and deviation of the gap in bps; nothing known: 0 and 5."""
        weight, mean, square = self._known.get((entity, buy, sell), (0.0, 0.0, 0.0))
        return mean * weight / (weight + 1.0), math.sqrt((5.0 * self.START_BPS2 + square) / (5.0 + weight))

    def learn(self, entity: str, buy: str, sell: str, gap_bps: float) -> None:
        """Remember a gap, with forgetting; a gap far outside counts up to its fence."""
        weight, mean, square = self._known.get((entity, buy, sell), (0.0, gap_bps, 0.0))
        _, deviation = self.of(entity, buy, sell)
        step = max(min(gap_bps - mean, 4.0 * deviation), -4.0 * deviation)
        weight = self.KEEP * weight + 1.0
        self._known[entity, buy, sell] = (
            weight,
            mean + step / weight,
            self.KEEP * square + step * step * (1.0 - 1.0 / weight),
        )


def find(
    entity: str,
    quotes: Sequence[Quote],
    as_of_ms: int,
    *,
    origin: Origin,
    usual: Usual | None = None,
    volatility_bps: float = 2.0,
    costs: Costs = COSTS,
    limits: Limits = LIMITS,
    venue_bps: Mapping[str, float] | None = None,
) -> list[Signal]:
    """Signals for every pair of venues whose gap pays at the stated size, best first.

    volatility_bps: of the price, per square root of a second. Each leg is one source; both must be fresh and the rest of the
    venues must not speak against them: with three or more, a leg further than `wide_bps` from the middle is left out.
    """
    fresh = [q for q in quotes if q.age_ms(as_of_ms) <= limits.fresh_ms and q.bid > 0.0 and q.ask > 0.0]
    middles = sorted(math.sqrt(q.bid * q.ask) for q in fresh)
    if len(fresh) < 2:
        return []
    middle = (
        middles[len(middles) // 2]
        if len(middles) % 2
        else math.sqrt(middles[len(middles) // 2 - 1] * middles[len(middles) // 2])
    )
    if len(fresh) > 2:
        fresh = [q for q in fresh if abs(math.log(math.sqrt(q.bid * q.ask) / middle)) * 1e4 <= limits.wide_bps]
    terms = _Terms(costs, limits, venue_bps or {}, volatility_bps)
    found = []
    for buy in fresh:
        for sell in fresh:
            if buy.venue != sell.venue:
                one = _round(entity, buy, sell, as_of_ms, origin, usual, terms)
                if one is not None:
                    found.append(one)
    return sorted(found, key=lambda s: (-float(s.thresholds["net_bps_found"]), s.id))


class _Terms(NamedTuple):
    """At what prices and limits a round is judged. `volatility_bps`: of the price, per square root of a second."""

    costs: Costs
    limits: Limits
    venue_bps: Mapping[str, float]
    volatility_bps: float

    def fee_bps(self, leg: Quote) -> float:
        """What the venue states, else what is usual."""
        return self.venue_bps.get(leg.venue, self.assumed_bps(leg))

    def assumed_bps(self, leg: Quote) -> float:
        """What is usual for a venue of this kind."""
        return self.costs.pool_bps if leg.kind == "dex" else self.costs.taker_bps

    def cost_bps(self, buy: Quote, sell: Quote, size: float, across: bool) -> float:
        """Everything that a round of this size costs."""
        legs = (buy, sell)
        fees = sum(self.fee_bps(leg) for leg in legs)
        slippage = sum(_slippage(leg, size) for leg in legs)
        fixed = self.costs.gas * sum(leg.kind == "dex" for leg in legs) + (self.costs.bridge if across else 0.0)
        return fees + slippage + (self.costs.bridge_bps if across else 0.0) + fixed / size * 1e4

    def risk_bps(self, buy: Quote, sell: Quote, ages_ms: tuple[float, float], across: bool) -> float:
        """Deviation of the gain: what the price does until both legs are done, and how true the assumed fees are."""
        wait_ms = self.limits.bridge_ms if across else self.limits.latency_ms
        assumed = sum(self.assumed_bps(leg) for leg in (buy, sell) if leg.venue not in self.venue_bps)
        moved = math.sqrt((ages_ms[0] + ages_ms[1] + 2.0 * wait_ms) / 1000.0) * self.volatility_bps
        return math.hypot(moved, self.limits.fee_doubt * assumed)


def _round(
    entity: str, buy: Quote, sell: Quote, as_of_ms: int, origin: Origin, usual: Usual | None, terms: _Terms
) -> Signal | None:
    limits = terms.limits
    gross = math.log(sell.bid / buy.ask) * 1e4
    known, deviation = usual.of(entity, buy.venue, sell.venue) if usual else (0.0, 0.0)
    if usual:
        usual.learn(entity, buy.venue, sell.venue, gross)
    held = [size * price for size, price in ((buy.ask_size, buy.ask), (sell.bid_size, sell.bid)) if size is not None]
    size = min(limits.size, *held) if held else limits.size
    if gross > limits.wide_bps or size <= 0.0:
        return None
    across = buy.chain is not None and sell.chain is not None and buy.chain != sell.chain
    cost = terms.cost_bps(buy, sell, size, across)
    net = gross - cost
    ages_ms = buy.age_ms(as_of_ms), sell.age_ms(as_of_ms)
    risk = terms.risk_bps(buy, sell, ages_ms, across)
    confidence = normal_below(net / max(risk, 1e-9))
    beyond = gross - known - limits.usual_sigmas * deviation if usual else math.inf
    if net < limits.net_bps or confidence < limits.confidence or beyond < 0.0:
        return None
    kind = "cross_chain" if across else f"{min(buy.kind, sell.kind)}_{max(buy.kind, sell.kind)}"
    evidence: Evidence = {
        "legs": [
            _leg("buy", buy, buy.ask, buy.ask_size, ages_ms[0], size, terms),
            _leg("sell", sell, sell.bid, sell.bid_size, ages_ms[1], size, terms),
        ],
        "gross_bps": gross,
        "cost_bps": cost,
        "net_bps": net,
        "size": size,
        "gain": size * net / 1e4,
        "usual_bps": known,
        "risk_bps": risk,
        "fees": "stated" if {buy.venue, sell.venue} <= terms.venue_bps.keys() else "assumed",
    }
    thresholds = {
        "net_bps": limits.net_bps,
        "fresh_ms": limits.fresh_ms,
        "size": limits.size,
        "confidence": limits.confidence,
        "net_bps_found": net,
    }
    return signal(
        f"arbitrage_{kind}",
        entity,
        as_of_ms,
        confidence,
        f"Buy at {buy.venue} for {buy.ask:g}, sell at {sell.venue} for {sell.bid:g}: {net:.1f} bps net of {cost:.1f} bps costs.",
        evidence,
        sorted({buy.venue, sell.venue}),
        thresholds,
        origin,
        as_of_ms + int(max(limits.fresh_ms - max(ages_ms), 0.0)),  # over when the older leg goes stale
        f"{buy.venue}>{sell.venue}",
    )


def _leg(
    side: str, leg: Quote, price: float, held: float | None, age_ms: float, size: float, terms: _Terms
) -> dict[str, Value]:
    return {
        "side": side,
        "venue": leg.venue,
        "kind": leg.kind,
        "price": price,
        "age_ms": age_ms,
        "lag_ms": leg.lag_ms,
        "fee_bps": terms.fee_bps(leg),
        "slippage_bps": _slippage(leg, size),
        "size": held if held is not None else -1.0,
        "chain": leg.chain or "",
    }


def _slippage(leg: Quote, size: float) -> float:
    """Of a pool with constant product: the size against its half; of a book: none, since the size is cut to what is offered."""
    if leg.kind != "dex":
        return 0.0
    return math.log1p(size / (0.5 * leg.liquidity)) * 1e4 if leg.liquidity else math.inf
