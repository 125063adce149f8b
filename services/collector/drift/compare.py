"""A fingerprint beside what was proven: the differences that mean that the provider changed its answer. Pure.

Nulls, keys that some rows lack, whole numbers for fractions, numbers as text and empty lists are normal and no difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Final, Literal, NamedTuple

from services.collector.drift.places import MISSING, Kind, Place, kind_of, parent, reach
from services.collector.drift.shape import Fingerprint, Seen, beside
from services.collector.map.paths import At
from services.collector.map.rows import Row

What = Literal["missing", "type", "word", "unreadable", "rows", "unit"]

MOST: Final = 0.5
"""A difference is one of the shape, not of a row, when more than this share of the rows shows it."""
AT_ONCE: Final = 1
SOON: Final = 3
"""Rows that must show a difference one after another: a single row may be odd, three in a row are not by chance."""
LATER: Final = 20
"""The same for an optional key that is gone without a trace: providers leave out what they do not know."""
PROVEN: Final = 3
PROVEN_LIKE: Final = 2
"""Proven rows that all have an optional key, before its absence means anything; and where a like name is there instead."""
ALIKE: Final = 0.72
"""Likeness of two names (difflib's ratio) from which on one is taken for the other's new spelling: current_price, currentPrice."""
SIMILAR: Final = 0.66
"""Likeness from which on a new name is told as a possible one."""
LOOKED_AT: Final = 8
"""Rows in which a new name is looked for."""


class Difference(NamedTuple):
    """One way in which answers are not what was proven."""

    what: What
    metric: str
    """The metric concerned; `entity`, `event`, `filter` or `rows` when it is the row itself."""
    path: str
    words: str

    def __str__(self) -> str:
        return f"{self.metric}: {self.words}"


TOLD: Final = 5
"""Differences that are written out; when everything changed, the first say enough."""


def worded(found: Sequence[Difference]) -> str:
    """Differences in one line."""
    more = len(found) - TOLD
    return "; ".join(map(str, found[:TOLD])) + (f"; and {more} more" if more > 0 else "")


class Evidence(NamedTuple):
    """A difference in one payload: how many rows show it, and how many are needed one after another."""

    difference: Difference
    rows: int
    need: int


def differences(places: Sequence[Place], expected: Fingerprint, found: Fingerprint) -> list[Evidence]:
    """What the rows of one payload show against the proofs."""
    evidence = []
    for place, before, now in zip(places, expected.places, found.places, strict=True):
        if now.rows and before.rows:
            evidence += _of_place(place, before, now, found.rows)
    return evidence


def gone_filters(places: Sequence[Place], expected: Fingerprint, found: Fingerprint) -> list[Evidence]:
    """Filters that look at something that is no longer there, so that every row would be left out."""
    evidence = []
    for place, before, now in zip(places, expected.filters, found.filters, strict=True):
        if now.rows >= SOON and before.rows and not now.written:
            evidence += _missing(place, before, now, found.unfiltered)
    return evidence


def _of_place(place: Place, before: Seen, now: Seen, rows: Sequence[Row]) -> list[Evidence]:
    if not now.written:
        return _missing(place, before, now, rows)
    if not now.valued:
        return []
    strangers = {
        kind: count for kind, count in now.kinds.items() if kind not in place.reads and kind not in before.kinds
    }
    if strangers and sum(strangers.values()) > MOST * now.valued:
        return [_changed(place, before, now, strangers)]
    if now.strange > MOST * now.valued and before.strange <= MOST * max(1, before.valued):
        return [_strange(place, now)]
    return []


def _changed(place: Place, before: Seen, now: Seen, strangers: Mapping[Kind, int]) -> Evidence:
    kind = max(strangers, key=lambda one: strangers[one])
    count = sum(strangers.values())
    wanted = " or ".join(sorted(before.kinds)) or " or ".join(sorted(place.reads))
    words = f"`{place.text}` is {_one(kind)} like {now.examples[kind]} in {_share(count, now.valued)}, expected {_one(wanted)}"
    return Evidence(Difference("type", place.name, place.text, words), count, SOON)


def _strange(place: Place, now: Seen) -> Evidence:
    known = sorted(place.spellings)
    listed = ", ".join(known[:6]) + (", ..." if len(known) > 6 else "")
    words = f"`{place.text}` says {now.stranger} in {_share(now.strange, now.valued)}, expected one of {listed}"
    return Evidence(Difference("word", place.name, place.text, words), now.strange, SOON)


def _missing(place: Place, before: Seen, now: Seen, rows: Sequence[Row]) -> list[Evidence]:
    if before.written < before.rows:
        return []
    words = f"`{place.text}` is missing in {_share(now.rows, now.rows)}"
    name, alike = _renamed(place, before, rows)
    if not place.required and alike < ALIKE and before.rows < (PROVEN if name is None else PROVEN_LIKE):
        return []
    if name is not None:
        words += f"; `{name}` is new and like it: renamed?"
    need = AT_ONCE if alike >= ALIKE else SOON if place.required else LATER
    return [Evidence(Difference("missing", place.name, place.text, words), now.rows, need)]


def _one(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeio" else f"a {kind}"


def _share(count: int, rows: int) -> str:
    return f"all {rows} rows" if count == rows and rows > 1 else f"{count} of {rows} rows"


def _renamed(place: Place, before: Seen, rows: Sequence[Row]) -> tuple[str | None, float]:
    """The name that is new beside the place, holds what the place held and is spelled most like it; and how alike."""
    scores: dict[str, float] = {}
    for row, at in rows[:LOOKED_AT] if before.beside else ():
        for name in beside(place, row, at) - before.beside:
            scores[name] = max(scores.get(name, 0.0), _likeness(place, before, name, row, at))
    best = max(scores, key=lambda one: (scores[one], one), default=None)
    return (best, scores[best]) if best is not None and scores[best] >= SIMILAR else (None, 0.0)


def _likeness(place: Place, before: Seen, name: str, row: Any, at: At) -> float:
    """0 when a new name cannot be the lost one, for it holds another kind of value; else how alike their spellings are."""
    path = place.paths[0]
    if place.elements is not None:
        inner = place.elements(row, at)
        if not inner:
            return 0.0
        row, at = inner[0]
    found = parent(path, row, at)
    if found is None:
        return 0.0
    holder, index = found
    value = holder.get(name, MISSING)
    if index + 1 < len(path.steps):
        rest = path._replace(origin="row", ups=0, steps=path.steps[index + 1 :])
        value = reach(rest, value, at)
    if value is MISSING or value is None or value == "":
        return 0.0
    if kind_of(value, place.strip) not in (before.kinds or place.reads):
        return 0.0
    old = str(path.steps[index])
    return likeness(old, name)


def likeness(old: str, new: str) -> float:
    """How alike two names are spelled, 0 to 1; 1 for the same words with more or fewer, or shorter: price_usd, usdPrice; vol, volume."""
    before, after = _words(old), _words(new)
    few, many = sorted((before, after), key=len)
    if all(any(_is_short_for(word, other) or _is_short_for(other, word) for other in many) for word in few):
        return 1.0
    return SequenceMatcher(None, "".join(before), "".join(after)).ratio()


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
SHORTEST: Final = 3
"""Letters of a word that can be a longer one's short form."""


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _is_short_for(word: str, whole: str) -> bool:
    return word == whole or (len(word) >= SHORTEST and whole.startswith(word))
