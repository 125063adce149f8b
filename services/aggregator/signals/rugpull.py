"""Rug pull: what the makers of a token can do, and what they have begun to do, from fused security and dex records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from schemas.events import Origin, Signal, Value
from services.aggregator.signals.model import logistic, signal


class Fact(NamedTuple):
    """One fused metric of a token: value, confidence, number of independent voices, age."""

    value: Value
    confidence: float
    voices: float
    age_ms: float


class Sign(NamedTuple):
    """Something that speaks for a rug pull; `weight` in log-odds when fully believed."""

    name: str
    weight: float
    moved: bool
    """Whether it is something that happened, not only something that could."""


POWERS = (
    Sign("is_honeypot", 2.5, True),
    Sign("owner_change_balance", 1.2, False),
    Sign("hidden_owner", 1.0, False),
    Sign("can_take_back_ownership", 0.8, False),
    Sign("is_mintable", 0.5, False),
    Sign("transfer_pausable", 0.6, False),
    Sign("slippage_modifiable", 0.7, False),
    Sign("is_blacklist_fn", 0.4, False),
    Sign("self_destruct", 1.0, False),
    Sign("cannot_sell_all", 1.5, True),
    Sign("mint_authority_active", 0.4, False),
    Sign("freeze_authority_active", 0.5, False),
    Sign("is_rugged", 3.0, True),
)
"""Flags of the catalogue's security metrics. Weights are judgement, to be replaced when labelled pulls are at hand."""

PRIOR = -4.0
"""Log-odds of a rug pull before any sign."""
FRESH_MS = 86_400_000.0
UNLOCKED_PCT = 30.0
"""Fall of the share of a pool that is locked, in points."""


class Limits(NamedTuple):
    """When it is called a rug pull."""

    drained: float = 0.5
    """Share of the liquidity that left since its height of the last day."""
    tax_pct: float = 15.0
    """Rise of buy or sell tax, in points."""
    holders_pct: float = 15.0
    """Rise of what the ten largest hold, in points."""
    fallen: float = 0.4
    """Fall of the price that goes with it."""
    confidence: float = 0.5
    sources: float = 2.0
    """Independent voices behind the signs, at least."""


LIMITS = Limits()


class Peak:
    """The highest (or lowest) value of the last day, let go by half a percent of the gap a step."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float | None = None

    def highest(self, x: float) -> float:
        """Take x; the height, which fades slowly."""
        self.value = x if self.value is None else max(x, self.value + 0.005 * (x - self.value))
        return self.value

    def lowest(self, x: float) -> float:
        """Take x; the depth, which fades slowly."""
        self.value = x if self.value is None else min(x, self.value + 0.005 * (x - self.value))
        return self.value


class _Case:
    """The signs of one look at a token: their shares, the voices behind them, the log-odds so far."""

    def __init__(self, facts: Mapping[str, Fact]) -> None:
        self._facts = {name: fact for name, fact in facts.items() if fact.age_ms <= FRESH_MS}
        self.signs: dict[str, Value] = {}
        self.inputs: dict[str, float] = {}
        self.score = PRIOR
        self.moved = False

    def is_true(self, name: str) -> bool:
        """Whether a flag is known, and up."""
        fact = self._facts.get(name)
        return fact is not None and fact.value is True

    def number(self, name: str) -> float | None:
        """A number that is known and no flag."""
        fact = self._facts.get(name)
        value = fact.value if fact is not None else None
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def add(self, name: str, weight: float, share: float, moved: bool) -> None:
        """One more sign, believed as far as its fact is."""
        fact = self._facts[name]
        self.score += weight * fact.confidence
        self.signs[name] = share
        self.inputs[name] = fact.voices
        self.moved |= moved


class Token:
    """One token: remembers heights of liquidity and price and depths of taxes and concentration."""

    def __init__(self, entity: str, limits: Limits = LIMITS) -> None:
        self.entity = entity
        self.limits = limits
        self._peaks: dict[str, Peak] = {}

    def see(self, facts: Mapping[str, Fact], as_of_ms: int, *, origin: Origin) -> Signal | None:
        """Judge the newest facts of the token; needs something that happened, and two independent voices."""
        limits = self.limits
        case = _Case(facts)
        for sign in POWERS:
            if case.is_true(sign.name):
                case.add(sign.name, sign.weight, 1.0, sign.moved)
        self._falls(case)
        self._rises(case)
        inputs = case.inputs
        confidence = logistic(case.score)
        voices = _independent(inputs)
        if not case.moved or confidence < limits.confidence or voices < limits.sources:
            return None
        words = ", ".join(sorted(case.signs))
        return signal(
            "rug_pull",
            self.entity,
            as_of_ms,
            confidence,
            f"Signs of a rug pull: {words}.",
            {"signs": case.signs, "log_odds": case.score, "voices": voices},
            sorted(inputs),
            {name: float(value) for name, value in limits._asdict().items()},
            origin,
            as_of_ms + 3_600_000,
            str(as_of_ms // 3_600_000),
        )

    def _falls(self, case: _Case) -> None:
        """What left the pool, what the price lost with it, and what is no longer locked."""
        liquidity, price, locked = (case.number(name) for name in ("liquidity", "dex_price", "lp_locked_pct"))
        if liquidity is not None:
            height = self._peak("liquidity").highest(liquidity)
            gone = 1.0 - liquidity / height if height > 0.0 else 0.0
            if gone >= self.limits.drained:
                case.add("liquidity", 4.0 * gone, gone, True)
        if price is not None and price > 0.0:
            fallen = 1.0 - price / self._peak("dex_price").highest(price)
            if fallen >= self.limits.fallen:
                case.add("dex_price", 1.5 * fallen, fallen, False)
        if locked is not None:
            lost = self._peak("lp_locked_pct").highest(locked) - locked
            if lost >= UNLOCKED_PCT:
                case.add("lp_locked_pct", 1.0, lost, True)

    def _rises(self, case: _Case) -> None:
        """Taxes, and what few hands hold."""
        for name, least, weight in (
            ("buy_tax_pct", self.limits.tax_pct, 1.5),
            ("sell_tax_pct", self.limits.tax_pct, 2.5),
            ("top10_holder_pct", self.limits.holders_pct, 1.0),
            ("creator_holder_pct", self.limits.holders_pct, 1.0),
        ):
            value = case.number(name)
            if value is not None:
                rise = value - self._peak(name).lowest(value)
                if rise >= least:
                    case.add(name, weight * min(rise / least, 2.0), rise, True)

    def _peak(self, name: str) -> Peak:
        return self._peaks.setdefault(name, Peak())


def _independent(inputs: Mapping[str, float]) -> float:
    """Independent voices behind several metrics: flags come from scanners and pools from indexers, whose best counts add up."""
    market = [voices for name, voices in inputs.items() if name in ("liquidity", "dex_price")]
    scanners = [voices for name, voices in inputs.items() if name not in ("liquidity", "dex_price")]
    return math.fsum(max(group) for group in (market, scanners) if group)
