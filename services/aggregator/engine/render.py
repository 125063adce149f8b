"""Fused records as bytes: all metrics of many entities are answered in one call, and told by position, not by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from schemas.events import Origin, Value
from services.aggregator.engine.emit import claims, quote_of
from services.aggregator.engine.model import Entity
from services.aggregator.engine.model import Source as Statements
from services.aggregator.fusion import Ask, Fuser, Lone, quality
from services.aggregator.fusion.layout import O_TIMELINESS, O_VALUE
from services.aggregator.fusion.quality import Quality

if TYPE_CHECKING:
    from services.aggregator.engine.names import Names
    from services.aggregator.engine.rules import Rules

_ORIGIN_OF: tuple[Origin, ...] = ("live", "replay", "sandbox")

_encode = msgspec.json.Encoder().encode
_new = tuple.__new__


class _Source(Struct, omit_defaults=True, gc=False):
    """schemas.events.Source, made by position: a record has a dozen of these."""

    provider: str
    value: Value
    age_ms: int
    weight: float = 0.0
    why: str | None = None


class _Metric(Struct, omit_defaults=True, gc=False):
    """schemas.events.FusedMetric, made by position."""

    value: Value | None
    confidence: float
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    sources: int = 0
    voices: float = 0.0
    method: str = ""
    as_of_ms: int = 0
    by: list[Any] = []
    quality: Quality | None = None


class _Fused(Struct, omit_defaults=True, gc=False):
    """schemas.events.Fused, made by position."""

    entity: str
    category: str
    version: int
    as_of_ms: int
    origin: Origin
    metrics: dict[str, Any]
    quote: str | None = None
    quality: Quality | None = None


Rendered = tuple[bytes, "float | None", str]
"""The fused record as bytes, its price (market only) and its origin."""


class Form(Struct):
    """The record of an entity of which one source says one kind of thing, to be filled in again and again.

    Most entities of a long tail are like that, and making a dozen objects for each took half of the time of a record.
    """

    record: _Fused
    metrics: list[tuple[_Metric, _Source, Quality]]
    whole: Quality
    money: bool
    price: int
    """Place of the price among the metrics, -1 without one."""

    @classmethod
    def of(cls, source: Statements, rules: Rules) -> Form:
        """Everything that is the same for all such entities."""
        rows = []
        metrics: dict[str, Any] = {}
        several = len(source.shape.names) > 1
        whole = Quality(1.0, 1.0, 0.0, 0.0, 0.0)
        for name in source.shape.names:
            own = Quality(1.0, 1.0, 0.0, 0.0, 0.0) if several else whole
            said = _Source(source.provider, 0.0, 0, 1.0)
            method = rules.specs[name].strategy
            metric = _Metric(
                0.0, 0.0, sources=1, voices=1.0, method=method, by=[said], quality=own if several else None
            )
            rows.append((metric, said, own))
            metrics[name] = metric
        origin = _ORIGIN_OF[source.voice[6]]
        record = _Fused("", rules.category, 0, 0, origin, metrics, quality=whole)
        names = source.shape.names
        return cls(
            record,
            rows,
            whole,
            any(name in rules.money for name in names),
            names.index("price") if "price" in names else -1,
        )

    def render(self, entity: Entity, given: Sequence[float], ts_ms: int, told: Sequence[Sequence[float]]) -> Rendered:
        """The record of one entity, from what was said of it and the answers to its metrics (layout.OUTS)."""
        record = self.record
        as_of_ms = entity.as_of_ms
        age_ms = as_of_ms - ts_ms if ts_ms < as_of_ms else 0
        total = sure = 0.0
        for (metric, said, own), value, out in zip(self.metrics, given, told, strict=True):
            metric.value, confidence, metric.low, metric.high, metric.spread, _, _, _, timely = out[: O_TIMELINESS + 1]
            metric.confidence = own.confidence = confidence
            metric.as_of_ms = ts_ms
            said.value, said.age_ms = value, age_ms
            own.timeliness = timely
            total += timely
            sure += confidence
        n = len(told)
        if n > 1:
            self.whole.timeliness, self.whole.confidence = total / n, sure / n
        record.entity, record.version, record.as_of_ms = entity.name, entity.version, as_of_ms
        if self.money:
            record.quote = quote_of(entity.name, record.category, True)
        return _encode(record), told[self.price][O_VALUE] if self.price >= 0 else None, record.origin


def render(entities: Sequence[Entity], names: Names, rules: Rules, fuser: Fuser) -> list[Rendered]:
    """The fused records of these entities, in their order."""
    lone: list[Lone] = []
    alone: list[tuple[Entity, Statements]] = []
    others: list[Entity] = []
    sources, money = names.sources, rules.money
    for entity in entities:
        slots = entity.slots
        if len(slots) == 1:
            ((number, (ts_ms, _, rate, values)),) = slots.items()
            source = sources[number]
            witness = source.witness
            as_of_ms = entity.as_of_ms
            counted = source.shape.money
            if witness is not None and as_of_ms - ts_ms <= source.voice[5] and (rate is not None or not counted):
                if counted and rate != 1.0:
                    values = tuple(
                        value * rate if name in money else value  # type: ignore[operator]
                        for name, value in zip(source.shape.names, values, strict=True)
                    )
                lone.append(_new(Lone, (witness, entity.name, values, ts_ms, as_of_ms)))
                alone.append((entity, source))
                continue
        others.append(entity)
    if not lone:
        return _render(others, names, rules, fuser)
    found: dict[bytes, Rendered] = {}
    for (entity, source), said, told in zip(alone, lone, fuser.answer_lone(lone), strict=True):
        if told is None:
            others.append(entity)
            continue
        form = source.form
        if form is None:
            form = source.form = Form.of(source, rules)
        found[entity.key] = form.render(entity, said.values, said.ts_ms, told)
    if others:
        for entity, rendered in zip(others, _render(others, names, rules, fuser), strict=True):
            found[entity.key] = rendered
    return [found[entity.key] for entity in entities]


def _render(entities: Sequence[Entity], names: Names, rules: Rules, fuser: Fuser) -> list[Rendered]:
    specs, money, category = rules.specs, rules.money, rules.category
    asks: list[Ask] = []
    made = []
    for entity in entities:
        found, aside, real = claims(entity, names, rules)
        for name in aside:
            found.setdefault(name, [])
        key, as_of_ms = entity.name, entity.as_of_ms
        asks += [_new(Ask, (specs[name], key, seen, as_of_ms)) for name, seen in found.items()]
        made.append((entity, found, aside, real))
    answers = iter(fuser.answer_all(asks))
    out: list[Rendered] = []
    for entity, found, aside, real in made:
        as_of_ms = entity.as_of_ms
        several = len(found) > 1
        metrics: dict[str, _Metric] = {}
        has_money = False
        own: Quality | None = None
        qualities: list[Quality] = []
        for (name, seen), answer in zip(found.items(), answers, strict=False):
            newest_ms = 0
            by: list[Any] = []
            for (provider, _, said, ts_ms, _), weight, why in zip(seen, answer.weights, answer.why, strict=True):
                if ts_ms > newest_ms:
                    newest_ms = ts_ms
                by.append(_Source(provider, said, as_of_ms - ts_ms if ts_ms < as_of_ms else 0, weight, why))
            if name in aside:
                spoken = {one.provider for one in by}
                by += [one for one in aside[name] if one.provider not in spoken]
            if name in money:
                has_money = True
            own = answer.quality
            assert own is not None
            metrics[name] = _Metric(
                answer.value, answer.confidence, answer.low, answer.high, answer.spread, answer.n_sources,
                answer.n_voices, answer.method, newest_ms, by, own if several else None,
            )  # fmt: skip
            if several:
                qualities.append(own)
        origin = _ORIGIN_OF[real]
        key = entity.name
        quote = quote_of(key, category, has_money) if has_money else None
        whole = quality.of_record(qualities, len(found)) if several or own is None else own
        price = metrics.get("price")
        value = price.value if price is not None else None
        data = _encode(_Fused(key, category, entity.version, as_of_ms, origin, metrics, quote, whole))
        out.append((data, value if value.__class__ is float else None, origin))
    return out
