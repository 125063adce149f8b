"""What two mappings make of the same bodies: events only one gives, and metrics whose values differ, with examples. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from schemas.events import Raw, Value

What = Literal["added", "removed", "changed"]
EVENT: Final = "(event)"
"""Stands for the whole event where a metric's name stands otherwise."""
TIME: Final = "(time)"
OUTCOME: Final = "(outcome)"


class Change(NamedTuple):
    """One difference: a metric of one entity that one side lacks, or that differs."""

    category: str
    metric: str
    what: What
    entity: str
    old: Value | None
    new: Value | None

    @property
    def example(self) -> str:
        """Old and new, for a reader."""
        if self.what == "changed":
            return f"{self.entity}: {self.old!r} -> {self.new!r}"
        value = self.new if self.what == "added" else self.old
        return self.entity if self.metric == EVENT else f"{self.entity}: {value!r}"


class Row(Struct, kw_only=True):
    """All differences of one kind."""

    provider: str
    endpoint: str
    category: str
    metric: str
    what: str
    count: int = 0
    examples: list[str] = []


class Account(Struct):
    """Sums over many bodies."""

    examples: int
    """Kept of each kind."""
    bodies: int = 0
    before: int = 0
    after: int = 0
    same: int = 0
    """Events that are as they were."""
    rows: dict[tuple[str, ...], Row] = {}

    def add(self, provider: str, endpoint: str, before: Sequence[Raw], after: Sequence[Raw]) -> list[Raw]:
        """Count one body; the events of `after` that are new or other than before."""
        self.bodies += 1
        self.before += len(before)
        self.after += len(after)
        differing = []
        for old, new in pairs(before, after):
            found = list(changes(old, new))
            self.same += not found
            for change in found:
                self._count(provider, endpoint, change)
            if found and new is not None:
                differing.append(new)
        return differing

    def outcome(self, provider: str, endpoint: str, old: str, new: str) -> None:
        """Count what a body was taken for."""
        if old != new:
            self._count(provider, endpoint, Change("", OUTCOME, "changed", "answer", old, new))

    def _count(self, provider: str, endpoint: str, change: Change) -> None:
        key = (provider, endpoint, change.category, change.metric, change.what)
        if key not in self.rows:
            self.rows[key] = Row(
                provider=provider,
                endpoint=endpoint,
                category=change.category,
                metric=change.metric,
                what=change.what,
                examples=[],
            )
        row = self.rows[key]
        row.count += 1
        if len(row.examples) < self.examples and change.example not in row.examples:
            row.examples.append(change.example)

    def sorted(self) -> list[Row]:
        """Rows by provider and endpoint, the most frequent first."""
        return sorted(
            self.rows.values(), key=lambda row: (row.provider, row.endpoint, -row.count, row.metric, row.what)
        )


def pairs(before: Sequence[Raw], after: Sequence[Raw]) -> Iterable[tuple[Raw | None, Raw | None]]:
    """Events that speak of the same: about one entity in one category, by their own time, else by their order."""
    left: list[Raw | None] = list(before)
    found: list[tuple[Raw | None, Raw | None]] = []
    waiting: list[Raw] = []
    places: dict[tuple[object, ...], list[int]] = {}
    for index, one in enumerate(before):
        places.setdefault((_about(one), one.event_ms), []).append(index)
    for one in after:
        same = places.get((_about(one), one.event_ms))
        if same:
            index = same.pop(0)
            found.append((left[index], one))
            left[index] = None
        else:
            waiting.append(one)
    rest: dict[tuple[object, ...], list[Raw]] = {}
    for old in left:
        if old is not None:
            rest.setdefault(_about(old), []).append(old)
    for one in waiting:
        alike = rest.get(_about(one))
        found.append((alike.pop(0) if alike else None, one))
    found += [(old, None) for olds in rest.values() for old in olds]
    return found


def _about(event: Raw) -> tuple[object, ...]:
    return event.category, event.entity, event.quote


def changes(old: Raw | None, new: Raw | None) -> Iterable[Change]:
    """What differs between two events that speak of the same; nothing on one side: the event itself."""
    if old is None or new is None:
        one = old or new
        if one is not None:
            yield Change(one.category, EVENT, "removed" if new is None else "added", one.entity, None, None)
        return
    if old.event_ms != new.event_ms:
        yield Change(new.category, TIME, "changed", new.entity, _time(old), _time(new))
    for metric in {**old.metrics, **new.metrics}:
        was, becomes = old.metrics.get(metric), new.metrics.get(metric)
        if was != becomes or type(was) is not type(becomes):
            what: What = "added" if was is None else "removed" if becomes is None else "changed"
            yield Change(new.category, metric, what, new.entity, was, becomes)


def _time(event: Raw) -> str:
    return "none" if event.event_ms is None else str(event.event_ms)
