"""Fused records as bytes: all metrics of many entities are answered in one call, and told by position, not by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Struct

from schemas.events import Origin, Value
from services.aggregator.engine import quarantine
from services.aggregator.engine.emit import claims, quote_of
from services.aggregator.engine.model import Entity
from services.aggregator.engine.model import Source as Statements
from services.aggregator.fusion import Ask, Fuser, Spec, quality
from services.aggregator.fusion.layout import MOST_SOURCES, O_TIMELINESS, OUT_WIDTH, REASONS, ROW_WIDTH
from services.aggregator.fusion.numbers import Batch, Numbers, Results, to_digits
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


class Part(NamedTuple):
    """One metric of a choir: who may say it, and the record's objects for it, to be filled in again and again."""

    spec: Spec
    money: bool
    fresh_ms: int
    picks: tuple[tuple[tuple[int, int], ...], ...]
    """For each provider, which statements of it say so: number of the source, place among its values. The newest counts."""
    providers: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    """provider, group"""
    weights: tuple[float, ...]
    metric: _Metric
    said: tuple[_Source, ...]
    quality: Quality


class Choir(Struct):
    """The record of an entity of which this set of sources speaks: as many entities as share the set share its form."""

    record: _Fused
    parts: list[Part]
    money: bool

    @classmethod
    def of(cls, sources: Sequence[Statements], rules: Rules) -> Choir | None:
        """The form of these sources; None when some of what they say is not a plain number."""
        if any(not source.plain_numbers for source in sources):
            return None
        picks: dict[str, dict[str, list[Statements]]] = {}
        for source in sorted(sources, key=lambda source: (source.rank, source.number)):
            for name in source.shape.names:
                same = picks.setdefault(name, {}).setdefault(source.provider, [])
                # The least converted speaks; where it cannot, the general way decides.
                if not same or same[0].rank == source.rank:
                    same.append(source)
        parts = []
        several = len(picks) > 1
        for name, by in picks.items():
            if len(by) > MOST_SOURCES:
                return None
            spec, own = rules.specs[name], Quality(1.0, 0.0, 0.0, 0.0, 0.0)
            said = tuple(_Source(provider, 0.0, 0) for provider in by)
            metric = _Metric(0.0, 0.0, method=spec.strategy, by=list(said), quality=own if several else None)
            first = [same[0] for same in by.values()]
            parts.append(
                Part(
                    spec,
                    name in rules.money,
                    rules.freshness_ms[name],
                    tuple(tuple((one.number, one.shape.names.index(name)) for one in same) for same in by.values()),
                    tuple(by),
                    tuple((one.provider, one.group) for one in first),
                    tuple(one.weight for one in first),
                    metric,
                    said,
                    own,
                )
            )
        if any(len({(one.group, one.weight) for one in same}) > 1 for by in picks.values() for same in by.values()):
            return None
        origin = _ORIGIN_OF[max(source.voice[6] for source in sources)]
        record = _Fused("", rules.category, 0, 0, origin, {part.spec.name: part.metric for part in parts})
        return cls(record, parts, any(part.money for part in parts))

    def look(self, entity: Entity) -> list[tuple[list[Value], list[int]]] | None:
        """Values and times of each metric; None where something needs a closer look: what is old, or cannot be converted."""
        slots, as_of_ms = entity.slots, entity.as_of_ms
        found = []
        for _, money, fresh_ms, picks, _, _, _, _, _, _ in self.parts:
            said: list[Value] = []
            times: list[int] = []
            for pick in picks:
                number, place = pick[0]
                slot = slots[number]
                if len(pick) > 1:
                    for other, there in pick:
                        if slots[other][0] > slot[0]:
                            slot, place = slots[other], there
                ts_ms, _, rate, values = slot
                if as_of_ms - ts_ms > fresh_ms:
                    return None
                value = values[place]
                if money and rate != 1.0:
                    if rate is None:
                        return None
                    value = value * rate  # type: ignore[operator]
                said.append(value)
                times.append(ts_ms)
            found.append((said, times))
        return found

    def ask(self, entity: Entity, rules: Rules, numbers: Numbers, batch: Batch) -> bool:
        """Put the entity's windows into the batch; False, and nothing is put, where something needs a closer look."""
        found = self.look(entity)
        if found is None or (
            rules.newcomers is not None and self._doubtful(found, rules.newcomers, rules.newcomers.factor)
        ):
            return False
        metrics = numbers.state.keys.get(entity.name)
        for part, (said, times) in zip(self.parts, found, strict=True):
            batch.said += said
            batch.times += times
            batch.weights += part.weights
            numbers.put(batch, part.spec, metrics, part.providers, part.pairs, entity.as_of_ms)
        return True

    def teach(self, entity: Entity, rules: Rules, numbers: Numbers, closing: Collection[int], least: int) -> bool:
        """Let the fuser learn from the entity's windows of these widths; False, and nothing is learned, for a closer look."""
        found = self.look(entity)
        bound = rules.newcomers
        if found is None or (bound is not None and self._doubtful(found, bound, bound.near)):
            return False
        for part, (said, times) in zip(self.parts, found, strict=True):
            spec = part.spec
            if bound is not None and spec.name == bound.metric and len(said) > bound.peers:
                quarantine.agree(entity, part.providers)
            if len(said) >= least and spec.window_ms in closing:
                numbers.teach(spec, entity.name, part.pairs, said, times, part.weights, entity.as_of_ms)
        return True

    def _doubtful(
        self, found: list[tuple[list[Value], list[int]]], bound: quarantine.Bound, factor: float
    ) -> bool:  # fmt: skip
        """Whether prices are so far apart that somebody could be in quarantine."""
        for part, (said, _) in zip(self.parts, found, strict=True):
            if part.spec.name == bound.metric:
                return len(said) > bound.peers and quarantine.far_apart(said, factor)
        return False

    def tell(self, entity: Entity, batch: Batch, results: Results, row: int, first: int) -> Rendered | None:
        """The record of an entity, whose windows are the batch's from this row and this observation on; None without a value."""
        outs, shares, codes = results
        as_of_ms = entity.as_of_ms
        price: float | None = None
        qualities = []
        for part in self.parts:
            metric, said, own = part.metric, part.said, part.quality
            at = row * OUT_WIDTH
            end = first + len(said)
            value, sure, metric.low, metric.high, metric.spread, used, voices, agreed, timely = outs[
                at : at + O_TIMELINESS + 1
            ]
            if not used:
                return None
            value = to_digits(value)
            if part.spec.name == "price":
                price = value
            newest_ms = 0
            for one, told, ts_ms, share in zip(
                said, batch.said[first:end], batch.times[first:end], shares[first:end], strict=True
            ):
                if ts_ms > newest_ms:
                    newest_ms = ts_ms  # type: ignore[assignment]
                one.value, one.weight, one.why = told, share, None
                one.age_ms = as_of_ms - ts_ms if ts_ms < as_of_ms else 0  # type: ignore[assignment]
            if used < len(said):
                for one, code in zip(said, codes[first:end], strict=True):
                    one.why = REASONS[int(code)]
            metric.value, metric.confidence, metric.sources, metric.voices = value, sure, int(used), voices
            metric.as_of_ms = newest_ms
            own.consistency, own.timeliness, own.confidence = agreed, timely, sure
            own.diversity = 1.0 - 1.0 / voices if voices > 1.0 else 0.0
            qualities.append(own)
            row += 1
            first = end
        record = self.record
        record.quality = qualities[0] if len(qualities) == 1 else quality.of_record(qualities, len(qualities))
        record.entity, record.version, record.as_of_ms = entity.name, entity.version, as_of_ms
        record.quote = quote_of(entity.name, record.category, True) if self.money else None
        return _encode(record), price, record.origin


def render(entities: Sequence[Entity], names: Names, rules: Rules, fuser: Fuser) -> list[Rendered]:
    """The fused records of these entities, in their order."""
    numbers = fuser.begin()
    batch = numbers.begin()
    sung: list[tuple[Entity, Choir, int, int]] = []
    others: list[Entity] = []
    for entity in entities:
        slots = entity.slots
        choir = names.choir(frozenset(slots) if len(slots) > 1 else next(iter(slots)))
        if choir is not None:
            row, first = len(batch.rows) // ROW_WIDTH, len(batch.said)
            if choir.ask(entity, rules, numbers, batch):
                sung.append((entity, choir, row, first))
                continue
        others.append(entity)
    found: dict[bytes, Rendered] = {}
    if sung:
        results = numbers.run(batch)
        for entity, choir, row, first in sung:
            told = choir.tell(entity, batch, results, row, first)
            if told is None:
                others.append(entity)
            else:
                found[entity.key] = told
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
