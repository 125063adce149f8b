"""What is found at the places of a mapping: the fingerprint of one payload, and what proofs taught to expect. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from services.collector.drift.places import Kind, Place, Probe, kind_of, parent, values
from services.collector.map.paths import At
from services.collector.map.rows import Row

ROWS: Final = 64
"""Rows of a payload that are looked at: evenly spread, for lists are often sorted and differ along the way."""
NAMES: Final = 400
"""Names beside a place that are remembered; an object with more is a table of things, not a row."""
EXCERPT: Final = 40


class Seen(Struct):
    """What stood at one place over some rows."""

    rows: int = 0
    written: int = 0
    """Rows with anything there, null or not."""
    valued: int = 0
    kinds: dict[Kind, int] = {}
    examples: dict[Kind, str] = {}
    strange: int = 0
    """Values that are none of the spellings with a meaning."""
    stranger: str = ""
    beside: set[str] = set()
    """Names in the object that the place belongs to."""

    def add(self, other: Seen) -> None:
        """Count another payload's rows too."""
        self.rows += other.rows
        self.written += other.written
        self.valued += other.valued
        self.strange += other.strange
        self.stranger = self.stranger or other.stranger
        for kind, count in other.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        self.examples = {**other.examples, **self.examples}
        self.beside = self.beside | other.beside


class Fingerprint(Struct):
    """Every place of one emit over the rows of one payload."""

    places: list[Seen]
    filters: list[Seen]
    rows: Sequence[Row] = ()
    """The rows that were looked at; empty in an expectation."""
    unfiltered: Sequence[Row] = ()

    def add(self, other: Fingerprint) -> None:
        """Add what another payload shows."""
        for mine, theirs in zip((*self.places, *self.filters), (*other.places, *other.filters), strict=True):
            mine.add(theirs)


def fingerprint(probe: Probe, top: At, names: bool = False) -> Fingerprint:
    """The fingerprint of a payload; `names`: also what stands beside each place, which only expectations need."""
    rows = sample(probe.select(top).rows)
    unfiltered = sample(probe.select_all(top).rows) if probe.filters else []
    return Fingerprint(
        [look(place, rows, names) for place in probe.places],
        [look(place, unfiltered, names) for place in probe.filters],
        rows,
        unfiltered,
    )


def sample(rows: list[Row]) -> list[Row]:
    """At most ROWS of them, evenly spread."""
    if len(rows) <= ROWS:
        return rows
    return [rows[index * len(rows) // ROWS] for index in range(ROWS)]


def look(place: Place, rows: Sequence[Row], names: bool) -> Seen:
    """What stands at a place of these rows."""
    seen = Seen(rows=len(rows))
    for row, at in rows:
        written, value = values(place, row, at)
        seen.written += written
        if names:
            seen.beside |= beside(place, row, at)
        if value is None:
            continue
        kind = kind_of(value, place.strip)
        seen.valued += 1
        seen.kinds[kind] = seen.kinds.get(kind, 0) + 1
        seen.examples.setdefault(kind, repr(value)[:EXCERPT])
        if place.spellings and spelled(value) not in place.spellings:
            seen.strange += 1
            seen.stranger = seen.stranger or repr(value)[:EXCERPT]
    return seen


def spelled(value: Any) -> str:
    """A value as a table of spellings writes it."""
    if type(value) is bool:
        return "true" if value else "false"
    return value.strip() if type(value) is str else str(value)


def beside(place: Place, row: Any, at: At) -> set[str]:
    """Names in the object in which the last step of a place's first path is looked up."""
    if place.elements is not None:
        inner = place.elements(row, at)
        if not inner:
            return set()
        row, at = inner[0]
    found = parent(place.paths[0], row, at)
    if found is None or len(found[0]) > NAMES:
        return set()
    return set(found[0])


Expectations = Mapping[int, Fingerprint]
"""Number of an emit -> what its proofs show; an emit that no proof exercises is not judged."""
