"""Which keys are due, and what is sent for them: a leading edge at once, then at most one record per interval."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from msgspec import Struct

from schemas.events import Candle, Origin, Quality, Source, Value
from services.aggregator.engine import windows
from services.aggregator.engine.model import ORIGINS, Entity, Output, Slot
from services.aggregator.engine.model import Source as Statements
from services.aggregator.engine.rates import circular
from services.aggregator.engine.rules import OWN_QUOTE, TARGET
from services.aggregator.fusion import Ask, Fuser, Observation, quality

if TYPE_CHECKING:
    from services.aggregator.engine.names import Names
    from services.aggregator.engine.rules import Rules

SLOT_MS = 10
"""Grain of the wheel in which keys wait; a tenth of the interval they wait for."""

_ORIGIN_OF: tuple[Origin, ...] = ("live", "replay", "sandbox")

_encode = msgspec.json.Encoder().encode
_new = tuple.__new__


class Due:
    """The dirty keys of a partition: those that may go now, in order, and those that wait for their interval."""

    def __init__(self, emit_ms: int, behind_ms: int) -> None:
        self.emit_ms = emit_ms
        self.behind_ms = behind_ms
        self.ready: deque[Entity] = deque()
        self.queued = 0
        """How many were ever made ready; with how many were sent, this says when all up to a moment are out."""
        self._wheel: dict[int, list[Entity]] = {}

    def put(self, entity: Entity, now_ms: int) -> None:
        """Queue a key that has just become dirty."""
        entity.dirty = True
        at_ms = entity.sent_at_ms + self.emit_ms
        if at_ms <= now_ms:
            self.ready.append(entity)
            self.queued += 1
        else:
            self._wait(entity, at_ms)

    def put_behind(self, entity: Entity, now_ms: int) -> None:
        """Queue a key that has just become dirty while the log is far ahead."""
        entity.dirty = True
        self._wait(entity, now_ms + self.behind_ms)

    def _wait(self, entity: Entity, at_ms: int) -> None:
        slot = at_ms // SLOT_MS
        waiting = self._wheel.get(slot)
        if waiting is None:
            self._wheel[slot] = [entity]
        else:
            waiting.append(entity)

    def turn(self, now_ms: int) -> None:
        """Make those ready whose interval is over."""
        if self._wheel:
            last = now_ms // SLOT_MS
            for slot in sorted(slot for slot in self._wheel if slot < last):
                self._release(slot)

    def hurry(self) -> None:
        """Make all ready, whatever their interval."""
        for slot in sorted(self._wheel):
            self._release(slot)

    def _release(self, slot: int) -> None:
        waiting = self._wheel.pop(slot)
        self.ready.extend(waiting)
        self.queued += len(waiting)

    @property
    def next_ms(self) -> int | None:
        """When the next waiting key is due; None when none waits."""
        return (min(self._wheel) + 1) * SLOT_MS if self._wheel else None

    def waiting(self) -> list[Entity]:
        """All dirty keys, ready or not."""
        return [*self.ready, *(entity for slot in sorted(self._wheel) for entity in self._wheel[slot])]


Claims = dict[str, list[Observation]]
"""Metric -> what is to be weighed."""
Set = dict[str, list[Source]]
"""Metric -> what was set aside, each with its reason."""


def claims(entity: Entity, names: Names, rules: Rules) -> tuple[Claims, Set, int]:
    """Who says what about each metric, what is set aside, and how real the least real is; a function of the entity alone.

    A provider speaks once for a metric: with its least converted, then newest usable statement.
    """
    as_of_ms = entity.as_of_ms
    sources = names.sources
    found: Claims = {}
    aside: Set = {}
    origin = 0
    slots = entity.slots
    rows: Iterable[tuple[int, Slot]] = slots.items()
    if len(slots) > 1:
        ordered = [(sources[number].rank, -slot[0], number, slot) for number, slot in rows]
        ordered.sort()
        rows = [(row[2], row[3]) for row in ordered]
    spoken: dict[str, frozenset[str]] = {}
    for number, (ts_ms, _, rate, values) in rows:
        source = sources[number]
        provider, group, weight, own, said, fresh_ms, real = source.voice
        if real > origin:
            origin = real
        if (rate == 1.0 or rate is None and not source.shape.money) and as_of_ms - ts_ms <= fresh_ms:
            before = spoken.get(provider)
            if before is None:
                # The common case: nothing to convert, nothing stale, nothing said twice.
                spoken[provider] = said
                for name, value in zip(own, values):  # noqa: B905: as long as each other by construction
                    claim = found.get(name)
                    if claim is None:
                        found[name] = [_new(Observation, (provider, group, value, ts_ms, weight))]
                    else:
                        claim.append(_new(Observation, (provider, group, value, ts_ms, weight)))
                continue
            if said <= before:
                continue
        _look(entity, source, ts_ms, rate, values, rules, spoken, found, aside)
    return found, aside, origin


def _look(
    entity: Entity,
    source: Statements,
    ts_ms: int,
    rate: float | None,
    values: tuple[Value, ...],
    rules: Rules,
    spoken: dict[str, frozenset[str]],
    found: Claims,
    aside: Set,
) -> None:
    """Take a statement apart of which not everything can be used as it stands."""
    money, freshness = rules.money, rules.freshness_ms
    provider = source.provider
    age_ms = entity.as_of_ms - ts_ms
    before = spoken.get(provider, frozenset())
    now = []
    for name, value in zip(source.shape.names, values, strict=True):
        if name in before:
            continue
        if rate != 1.0 and name in money:
            if rate is None:
                _put(aside, name, provider, value, age_ms, _no_rate(source.quote, entity, rules))
                continue
            value = value * rate  # type: ignore[operator]
        if age_ms > freshness[name]:
            _put(aside, name, provider, value, age_ms, "stale")
            continue
        now.append(name)
        found.setdefault(name, []).append(_new(Observation, (provider, source.group, value, ts_ms, source.weight)))
    spoken[provider] = before.union(now)


def _put(aside: Set, name: str, provider: str, value: Value, age_ms: int, why: str) -> None:
    shown = aside.setdefault(name, [])
    if all(one.provider != provider for one in shown):
        shown.append(Source(provider=provider, value=value, age_ms=max(0, age_ms), why=why))


def _no_rate(quote: str | None, entity: Entity, rules: Rules) -> str:
    kind, _, name = entity.name.partition(":")
    if kind in OWN_QUOTE:
        return "other_quote"
    return "circular" if quote is not None and circular(quote, name, kind, rules.ranks) else "no_rate"


def quote_of(key: str, category: str, has_money: bool) -> str | None:
    """The asset in which the money of an entity's fused record is counted."""
    kind, _, name = key.partition(":")
    if kind in OWN_QUOTE:
        return name.rpartition("/")[2].partition(":")[0]
    return TARGET if has_money else None


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


def render(entities: Sequence[Entity], names: Names, rules: Rules, fuser: Fuser) -> list[Rendered]:
    """The fused records of these entities: all their metrics are answered in one call."""
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
        for (name, seen), answer in zip(found.items(), answers):  # noqa: B905: answers go on with the next entity
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
        out.append((data, value if value.__class__ is float else None, origin))  # type: ignore[arg-type]
    return out


def candle(
    key: str, interval: str, start_ms: int, bar: windows.Ohlc, quote: str, version: int, closed: bool, origin: str
) -> Output:
    """The record of one bar."""
    opened, high, low, close, volume, trades, sources, _ = bar
    record = Candle(
        entity=key, interval=interval, start_ms=start_ms, open=opened, high=high, low=low, close=close, quote=quote,
        version=version, origin=origin, volume=volume, trades=trades, sources=sources, closed=closed,  # type: ignore[arg-type]
    )  # fmt: skip
    return f"{key}|{interval}|{start_ms}".encode(), _encode(record)
