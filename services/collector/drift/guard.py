"""What every answer of one endpoint or stream is asked: is it what was proven, and what must not go out? Pure but for its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from schemas.events import Held, Raw
from services.collector.drift.compare import LATER, MOST, SOON, Difference, Evidence, differences, gone_filters, worded
from services.collector.drift.jumps import Jumps, Row
from services.collector.drift.places import LEVELS, Probe
from services.collector.drift.shape import Expectations, Fingerprint, fingerprint
from services.collector.map.compile import event_id
from services.collector.map.mapped import BOOK, Mapped, RowFault
from services.collector.map.paths import At

EVERY: Final = 100
"""An answer that looks like one that was checked is checked all the same once in so many."""
MESSAGES_EVERY: Final = 16
"""Socket messages come by thousands: one in so many of a kind is looked at, and each one while something is wrong."""
FAULTY: Final = 4
"""An answer with one fault to so many rows is checked: faults are where a change of words or numbers shows."""
LOOKS: Final = 256
"""Looks (which places of the first row hold which kind of value) that are remembered as good."""
ROW: Final = frozenset({"entity", "event", "filter", "rows"})
"""Differences that concern a row as a whole; there is no metric to hold back."""

ZEROS: Final = frozenset({"0", "0.0", "-0.0", "'0'"})

ALL: Final = "*"

TOPS: Final = frozenset({"bid", "ask", "bid_size", "ask_size", "contract_bid", "contract_ask"})
"""What is said of the best level of an order book."""

CODES: Final[Mapping[type, int]] = {type(None): 0, int: 1, float: 1, str: 2, bool: 3, list: 4, dict: 5}
Getter = Callable[[Any, Any], Any]
Look = tuple[int, ...]
Tell = Callable[[dict[str, int], dict[str, list[Row]]], None]
"""Takes what is held back, and since which values: the fields of Held."""


class Verdict(NamedTuple):
    """What may go out, and what is wrong."""

    events: list[Raw]
    held: int
    """Values that were taken out of the events."""
    differences: tuple[Difference, ...]
    changed: bool
    """Whether the differences are others than at the last answer."""

    @property
    def words(self) -> str:
        """The first differences in one line."""
        return worded(self.differences)


class Watched(NamedTuple):
    """What a guard knows of one kind of answer: its places, cheap getters of what the first row holds, and the proofs.

    By number of the emit; BOOK is the order book.
    """

    probes: Mapping[int, Probe]
    getters: Mapping[int, tuple[Getter, ...]]
    expected: Expectations
    drifts: frozenset[str]
    """Where proofs themselves lack rows or required fields."""


class Guard:
    """Judges the answers of one endpoint, or the messages of one kind. Structure is judged when it looks new, units each time."""

    def __init__(
        self,
        watched: Callable[[], Watched],
        every: int = 1,
        accepted: frozenset[str] = frozenset(),
        held: Held | None = None,
        tell: Tell | None = None,
    ) -> None:
        """`every`: one answer in so many is looked at while nothing is wrong. `accepted`: metrics (ALL: everything) that an
        operator takes as they come. `held`: what another process held back; `tell` is told when that changes here.
        """
        self._load = watched
        self._watched: Watched | None = None
        self._every = every
        self._accepted = accepted
        self._pause = 0
        self._looks: set[Look] = set()
        self._since_check = 0
        self._lacking: dict[tuple[str, str, str], int] = {}
        """What, metric and path of a difference -> rows in a row that showed it."""
        self._active: dict[tuple[str, str, str], Difference] = {}
        self._jumps = Jumps()
        if held is not None:
            self._jumps.recall(held.powers, held.levels)
        self._remembered = frozenset(self._jumps.held)
        self._tell = tell
        self._told: tuple[tuple[str, str, str], ...] = ()
        self.checks = 0
        """How often the whole structure was looked at."""

    def passes(self, mapped: Mapped) -> bool:
        """Whether this answer is one of those that are not looked at, for nothing is wrong."""
        if self._pause and not mapped.drift:
            self._pause -= 1
            return True
        return False

    def judge(self, mapped: Mapped, events: list[Raw] | None = None) -> Verdict:
        """The events of an answer (or `events`, which came of it) that may go out; differences last until an answer disproves them."""
        given = mapped.events if events is None else events
        if ALL in self._accepted or self.passes(mapped):
            return Verdict(given, 0, (), False)
        wrong = bool(self._lacking) or self._jumps.alert or bool(mapped.drift)
        self._since_check += 1
        look = self._look(mapped)
        faulty = len(mapped.faults) * FAULTY >= max(1, mapped.rows)
        if wrong or faulty or look not in self._looks or self._since_check >= EVERY:
            self._check(mapped, look)
        suspects: frozenset[str] = frozenset()
        if given:
            suspects = self._jumps.look(given, _said(mapped.top))
            if self._tell is not None and self._remembered != self._jumps.held.keys():
                self._remembered = frozenset(self._jumps.held)
                powers = {metric: jump.power for metric, jump in self._jumps.held.items()}
                self._tell(powers, {metric: self._jumps.levels(metric) for metric in powers})
        self._pause = 0 if self._lacking or self._jumps.alert else self._every - 1
        return self._verdict(given, suspects)

    def _verdict(self, events: list[Raw], suspects: frozenset[str]) -> Verdict:
        if not (self._active or suspects or self._told):
            return Verdict(events, 0, (), False)
        suspects -= self._accepted
        shown = (*self._active.values(), *(jump.difference for jump in self._jumps.held.values()))
        found = tuple(one for one in shown if one.metric not in self._accepted)
        told = tuple(sorted((one.what, one.metric, one.path) for one in found))
        changed, self._told = told != self._told, told
        back = {one.metric for one in found if one.metric not in ROW} | suspects
        if LEVELS in back:
            back |= TOPS
        kept, held = without(events, back)
        return Verdict(kept, held, found, changed)

    def _look(self, mapped: Mapped) -> Look:
        """Which places of the first row of each emit hold which type; two answers of one look have one structure, as a rule."""
        if self._watched is None:
            self._watched = self._load()
        code = CODES.get
        look: list[int] = []
        for number, (row, at) in mapped.heads:
            look.append(-1 - number)
            for get in self._watched.getters[number]:
                look.append(code(type(get(row, at)), 6))
        return tuple(look)

    def _check(self, mapped: Mapped, look: Look) -> None:
        watched, top = self._watched, mapped.top
        if watched is None or top is None:
            return
        self.checks += 1
        self._since_check = 0
        shown: dict[tuple[str, str, str], Evidence] = {}
        judged: set[tuple[str, str]] = set()
        rows: dict[str, int] = {}
        for number, expected in watched.expected.items():
            probe = watched.probes[number]
            found = fingerprint(probe, top)
            for evidence in (
                *differences(probe.places, expected, found),
                *gone_filters(probe.filters, expected, found),
                *unreadable(number, probe, expected, found, mapped.faults),
            ):
                shown[_key(evidence.difference)] = evidence
            judged |= _judged(probe, found)
            rows |= {place.name: seen.rows for place, seen in zip(probe.places, found.places, strict=True)}
        told = {evidence.difference.metric for evidence in shown.values()}
        for words in mapped.drift:
            place, _, said = words.partition(": ")
            if watched.expected and place not in watched.drifts and place not in told:
                metric = place if place in rows else "rows"
                if rows.get(place, SOON) >= SOON:  # one thing may well be without a price, a list of them not
                    difference = Difference("rows", metric, place, f"{place}: {said}" if metric == "rows" else said)
                    shown[_key(difference)] = Evidence(difference, max(1, mapped.rows), SOON)
        self._weigh(shown, judged, bool(mapped.heads))
        if not shown:
            if len(self._looks) >= LOOKS:
                self._looks.clear()
            self._looks.add(look)

    def _weigh(self, shown: Mapping[tuple[str, str, str], Evidence], judged: set[tuple[str, str]], rows: bool) -> None:
        """Differences that were shown often enough become active; those that an answer disproves end."""
        for key, evidence in shown.items():
            self._lacking[key] = self._lacking.get(key, 0) + evidence.rows
            if self._lacking[key] >= evidence.need or key in self._active:
                self._active[key] = evidence.difference
        over = [key for key in self._lacking if key not in shown and (key[1:] in judged or (key[0] == "rows" and rows))]
        for key in over:
            del self._lacking[key]
            self._active.pop(key, None)


def _key(difference: Difference) -> tuple[str, str, str]:
    return difference.what, difference.metric, difference.path


def _judged(probe: Probe, found: Fingerprint) -> set[tuple[str, str]]:
    """Places of which an answer says something: rows are there, and the place is written in some."""
    pairs = [*zip(probe.places, found.places, strict=True), *zip(probe.filters, found.filters, strict=True)]
    return {(place.name, place.text) for place, seen in pairs if seen.rows and seen.written}


def _said(top: At | None) -> str:
    """The parameters of a request as one word: the same entity may be asked for another interval."""
    return "" if top is None or not top.payload.params else repr(top.payload.params)


def unreadable(
    number: int, probe: Probe, expected: Fingerprint, found: Fingerprint, faults: Iterable[RowFault]
) -> list[Evidence]:
    """Metrics whose values are there, of the right kind, and refused in most rows: outside what can be. Zero is a way to say nothing."""
    refused: dict[tuple[str, str], dict[str | None, RowFault]] = {}
    for fault in faults:
        if fault.emit == number and fault.reason != "required and missing" and fault.got not in ZEROS:
            refused.setdefault((fault.field, fault.path), {})[fault.entity] = fault
    evidence = []
    for place, before, now in zip(probe.places, expected.places, found.places, strict=True):
        for path in ("levels",) if number == BOOK and place.name == LEVELS else [path.text for path in place.paths]:
            about = refused.get((place.name, path), {})
            usual = not before.strange and set(now.kinds) <= set(before.kinds) | place.reads
            if usual and before.valued and len(about) > MOST * now.valued:
                fault = next(iter(about.values()))
                words = f"`{path}` cannot be used in {_rows(len(about))}: {fault.reason}, got {fault.got}"
                need = SOON if len(about) >= SOON else LATER
                evidence.append(Evidence(Difference("unreadable", place.name, place.text, words), len(about), need))
    return evidence


def _rows(count: int) -> str:
    return "one row" if count == 1 else f"{count} rows"


def without(events: Sequence[Raw], metrics: set[str] | frozenset[str]) -> tuple[list[Raw], int]:
    """The events without these metrics, and how many values that took; an event that has no other goes altogether."""
    kept: list[Raw] = []
    held = 0
    for event in events:
        if metrics.isdisjoint(event.metrics):
            kept.append(event)
            continue
        left = {name: value for name, value in event.metrics.items() if name not in metrics}
        held += len(event.metrics) - len(left)
        if left:
            name = event_id(
                event.provider, event.endpoint, event.category, event.entity, event.event_ms, event.quote, left
            )
            kept.append(replace(event, id=name, metrics=left))
    return kept, held
