"""What the catalogue says about the metrics of one category, compiled for the fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from schemas.metrics import Spec
from services.aggregator.engine.model import CandleRule, Check, Limits, Shape
from services.aggregator.engine.quarantine import BOUNDS
from services.aggregator.kernels.layout import KIND_FLAG, KIND_LABEL, KIND_NUMBER, KIND_SET, KIND_TEXT

OWN_QUOTE = ("pair", "perp", "future", "option")
"""Entities whose money stays in their own quote asset; all other money is converted to TARGET."""

TARGET = "usd"

ROBUST = "robust"
"""The strategy whose answers need no rule beside the model."""

STALE_FACTOR = 20
"""A statement is kept, and shown as stale, for this many times its metric's freshness (or Limits.retain_ms, if longer)."""

CANDLES: dict[str, tuple[CandleRule, ...]] = {
    "market": (CandleRule("price", "quote"),),
    "exchange": (CandleRule("trade_price", "trade", "trade_size"), CandleRule("last", "quote")),
    "derivatives": (
        CandleRule("contract_trade_price", "trade", "contract_trade_size"),
        CandleRule("mark_price", "quote"),
    ),
    "dex": (CandleRule("dex_price", "quote"),),
}


class Rules:
    """The metrics of one category: what is allowed, what is money, when it is stale, which make bars."""

    def __init__(
        self, category: str, catalogue: Mapping[str, Spec], limits: Limits, quotes: Iterable[str] = (TARGET,)
    ) -> None:
        self.category = category
        self.limits = limits
        self.specs = {name: spec for name, spec in catalogue.items() if spec.category == category}
        self.money = frozenset(name for name, spec in self.specs.items() if spec.money)
        self.ranks = {asset: rank for rank, asset in enumerate(quotes)}
        """Quote asset -> rank; an asset is valued only in quotes of a lower rank, so that rates cannot feed on themselves."""
        self.freshness_ms = {name: spec.freshness_ms for name, spec in self.specs.items()}
        self.windows = tuple(sorted({spec.window_ms for spec in self.specs.values()}))
        """Widths of the learning windows in ms, shortest first."""
        bound = BOUNDS.get(category)
        self.newcomers = bound if bound is not None and bound.metric in self.specs else None
        """By which price those are judged who are new to an entity; None where there is none."""
        self.candles = tuple(rule for rule in CANDLES.get(category, ()) if rule.price in self.specs)

    def keep_ms(self, name: str) -> int:
        """Age up to which a statement of this metric is kept."""
        return max(self.limits.retain_ms, STALE_FACTOR * self.specs[name].freshness_ms)

    def shape(self, names: tuple[str, ...]) -> Shape:
        """The compiled form of these metric names."""
        known = [self.specs[name] for name in names if name in self.specs]
        given = set(names)
        return Shape(
            names=names,
            numbers=tuple(_check(spec) for spec in known if spec.number),
            words=tuple(_check(spec) for spec in known if not spec.number),
            unknown=tuple(name for name in names if name not in self.specs),
            kinds=tuple(kind_of(spec) for spec in known),
            money=any(spec.money for spec in known),
            candle=next((rule for rule in self.candles if rule.price in given), None),
            keep_ms=max((self.keep_ms(spec.name) for spec in known), default=self.limits.retain_ms),
        )

    def __reduce__(self) -> Any:
        raise TypeError("Rules are built from the catalogue, not copied")


def kind_of(spec: Spec) -> int:
    """What kernels take the values of a metric for: KIND_*."""
    if spec.number:
        return KIND_NUMBER
    return KIND_FLAG if spec.unit == "bool" else _KINDS[spec.scale]


_KINDS = {"cat": KIND_LABEL, "text": KIND_TEXT, "set": KIND_SET}
_TYPES: dict[str, type] = {"cat": str, "text": str, "set": list}


def _check(spec: Spec) -> Check:
    if spec.number:
        low, high = spec.plausible or (float("-inf"), float("inf"))
        return Check(spec.name, low, high, float)
    kind = bool if spec.unit == "bool" else _TYPES[spec.scale]
    return Check(spec.name, 0.0, 0.0, kind)
