"""Which keys are due, and what is sent for them: a leading edge at once, then at most one record per interval."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from schemas.events import Source, Value
from services.aggregator.engine import quarantine
from services.aggregator.engine.model import Slot
from services.aggregator.engine.model import Source as Statements
from services.aggregator.engine.rates import circular
from services.aggregator.engine.rules import OWN_QUOTE, TARGET
from services.aggregator.fusion import Observation

if TYPE_CHECKING:
    from services.aggregator.engine.names import Names
    from services.aggregator.engine.rules import Rules
    from services.aggregator.engine.view import Entity

SLOT_MS = 4
"""Grain of the wheel in which keys wait; small beside the interval they wait for, since a key waits for it as well."""


_new = tuple.__new__


class Due:
    """The dirty entities of a partition, by address: those that may go now, in order, and those that wait for their interval."""

    def __init__(self) -> None:
        self.ready: deque[int] = deque()
        self.queued = 0
        """How many were ever made ready; with how many were sent, this says when all up to a moment are out."""
        self._wheel: dict[int, list[int]] = {}

    def put(self, entity: int, at_ms: int, now_ms: int) -> None:
        """Queue an entity that has just become dirty."""
        if at_ms <= now_ms:
            self.ready.append(entity)
            self.queued += 1
        else:
            self._wheel.setdefault(at_ms // SLOT_MS, []).append(entity)

    def wait_all(self, pairs: array[int]) -> None:
        """Queue entities that wait: each is followed by when it is due."""
        entities, times = pairs[::2], pairs[1::2]
        first = times[0] // SLOT_MS
        wheel = self._wheel
        if times.count(times[0]) == len(times):
            # The common case while the log is far ahead: all wait for the same moment.
            wheel.setdefault(first, []).extend(entities)
            return
        for entity, at_ms in zip(entities, times, strict=True):
            slot = at_ms // SLOT_MS
            waiting = wheel.get(slot)
            if waiting is None:
                wheel[slot] = [entity]
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
        """When the next waiting entity is due; None when none waits."""
        return (min(self._wheel) + 1) * SLOT_MS if self._wheel else None

    def waiting(self) -> list[int]:
        """All dirty entities, ready or not."""
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
        if (rate == 1.0 or (rate is None and not source.shape.money)) and as_of_ms - ts_ms <= fresh_ms:
            before = spoken.get(provider)
            if before is None:
                # The common case: nothing to convert, nothing stale, nothing said twice.
                spoken[provider] = said
                for name, value in zip(own, values, strict=False):
                    claim = found.get(name)
                    if claim is None:
                        found[name] = [_new(Observation, (provider, group, value, ts_ms, weight))]
                    else:
                        claim.append(_new(Observation, (provider, group, value, ts_ms, weight)))
            elif not said <= before:
                spoken[provider] = before | said
                for name, value in zip(own, values, strict=False):
                    if name not in before:
                        found.setdefault(name, []).append(_new(Observation, (provider, group, value, ts_ms, weight)))
            continue
        _look(entity, source, ts_ms, rate, values, rules, spoken, found, aside)
    if rules.newcomers is not None and len(spoken) > rules.newcomers.peers:
        quarantine.set_aside(entity, found, aside, rules.newcomers)
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
