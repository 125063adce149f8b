"""The same story under several addresses: which of them are one, and which of these stands for all; a function of the set alone."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from services.aggregator.fusion.words import overlap, tokens

SAME_TITLE = 0.6
"""Overlap of words (Jaccard) from which two sites tell the same story."""
SAME_TITLE_SAME_SITE = 0.9
"""and from which one site tells it twice."""
LEAST_WORDS = 4
"""Titles of fewer words are too common to prove anything."""
SAME_STORY_MS = 48 * 3_600_000
"""Two tellings of one story are published at most this far apart."""

_IDLE = frozenset(
    "a an the of in on at to for from by with as and or is are was were be its it this that after amid over".split()
)
"""Words that a second writer changes first."""
_ENDINGS = (("ing", 4), ("ed", 4), ("es", 4), ("s", 3), ("e", 4))
"""Endings that are cut, and how many letters a word keeps at least."""
_TAIL = re.compile(r"\s+[|–—-]\s+(?:[^\s|]+\s*){1,4}$")
"""The name of the paper, behind a dash or a bar."""
_FIGURE = re.compile(
    r"(\d[\d,]*(?:\.\d+)?)\s?(k|m|bn|b|tn|thousand|million|billion|trillion)?(?![a-z0-9])", re.IGNORECASE
)
_SCALE = {
    "k": 1e3,
    "thousand": 1e3,
    "m": 1e6,
    "million": 1e6,
    "b": 1e9,
    "bn": 1e9,
    "billion": 1e9,
    "tn": 1e12,
    "trillion": 1e12,
}


class Telling(NamedTuple):
    """One story as one address tells it."""

    entity: str
    site: str
    title: str
    published_ms: int
    named: frozenset[str] = frozenset()
    """Assets that the title names."""


class _Read(NamedTuple):
    """A telling and what of its title is compared."""

    telling: Telling
    words: frozenset[str]
    figures: frozenset[str]
    up: bool
    down: bool

    @property
    def order(self) -> tuple[int, str]:
        return self.telling.published_ms, self.telling.entity


class Stories:
    """Tellings and which of them are one story. Bounded by who puts and drops."""

    def __init__(self) -> None:
        self._read: dict[str, _Read] = {}
        self._near: dict[str, set[str]] = {}
        """Entity -> entities that tell the same."""
        self._leader: dict[str, str] = {}
        self._index: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._read)

    def __contains__(self, entity: str) -> bool:
        return entity in self._read

    def put(self, telling: Telling) -> set[str]:
        """Take a telling, or its newer form; the entities whose story may have changed by it."""
        held = self._read.get(telling.entity)
        if held is not None and held.telling == telling:
            return set()
        touched = self.drop(telling.entity)
        words = stems(telling.title)
        read = _Read(telling, words, figures(telling.title), not words.isdisjoint(_UP), not words.isdisjoint(_DOWN))
        self._read[telling.entity] = read
        prefix = _prefix(words)
        near = {entity for word in prefix for entity in self._index.get(word, ())}
        same = {entity for entity in near if _same(read, self._read[entity])}
        self._near[telling.entity] = same
        for entity in same:
            self._near[entity].add(telling.entity)
        for word in prefix:
            self._index.setdefault(word, set()).add(telling.entity)
        return touched | self._settle({telling.entity})

    def drop(self, entity: str) -> set[str]:
        """Forget a telling; the entities whose story may have changed by it."""
        read = self._read.pop(entity, None)
        if read is None:
            return set()
        for word in _prefix(read.words):
            self._index[word].discard(entity)
            if not self._index[word]:
                del self._index[word]
        near = self._near.pop(entity)
        for other in near:
            self._near[other].discard(entity)
        del self._leader[entity]
        return self._settle(near)

    def leader(self, entity: str) -> str:
        """The entity that stands for the story; the entity itself when it is not known."""
        return self._leader.get(entity, entity)

    def members(self, leader: str) -> list[str]:
        """All tellings of the story that `leader` stands for, first published first."""
        if leader not in self._read:
            return []
        around = self._component({leader})
        return [e for e in sorted(around, key=lambda e: self._read[e].order) if self._leader[e] == leader]

    def _component(self, start: set[str]) -> set[str]:
        found, open_ = set(start), list(start)
        while open_:
            for entity in self._near[open_.pop()]:
                if entity not in found:
                    found.add(entity)
                    open_.append(entity)
        return found

    def _settle(self, start: set[str]) -> set[str]:
        """Choose leaders anew for all that hangs together: in order of publication, each telling joins the first story
        of which it resembles a member and whose first telling is not too old, or begins one of its own."""
        around = self._component(start)
        chosen: dict[str, str] = {}
        for entity in sorted(around, key=lambda e: self._read[e].order):
            at_ms = self._read[entity].telling.published_ms
            leaders = {chosen[other] for other in self._near[entity] if other in chosen}
            young = [e for e in leaders if at_ms - self._read[e].telling.published_ms <= SAME_STORY_MS]
            chosen[entity] = min(young, key=lambda e: self._read[e].order, default=entity)
        self._leader.update(chosen)
        return around


@lru_cache(maxsize=4096)
def stems(title: str) -> frozenset[str]:
    """The words of a headline that carry its meaning, without endings, figures and the name of the paper."""
    headline = _TAIL.sub("", title.strip()) or title
    if len(headline.split()) < LEAST_WORDS:
        headline = title
    found = set()
    for word in tokens(_FIGURE.sub(" ", headline).replace("'s ", " ").replace("\u2019s ", " ")):
        if word not in _IDLE and len(word) > 1:
            found.add(_stem(word))
    return frozenset(found)


def _stem(word: str) -> str:
    ending = next((e for e, least in _ENDINGS if word.endswith(e) and len(word) - len(e) >= least), "")
    return word.removesuffix(ending)


_UP = frozenset(map(_stem, (
    "rise", "rises", "rising", "rose", "gain", "surge", "rally", "rallies", "jump", "soar", "climb", "rebound", "advance",
    "inflow", "bullish", "higher", "approve", "win", "wins",
)))  # fmt: skip
_DOWN = frozenset(map(_stem, (
    "fall", "fell", "drop", "dropped", "plunge", "slide", "slid", "crash", "sink", "sank", "tumble", "decline", "outflow",
    "bearish", "lower", "reject", "lose", "loses", "lost",
)))  # fmt: skip


def figures(title: str) -> frozenset[str]:
    """The numbers of a headline, in one spelling: 60k, 60,000 and 60 thousand are one."""
    found = set()
    for digits, scale in _FIGURE.findall(title):
        found.add(f"{float(digits.replace(',', '')) * _SCALE.get(scale.lower(), 1.0):.12g}")
    return frozenset(found)


def _prefix(words: frozenset[str]) -> Sequence[str]:
    """Words of which two like titles share at least one, in whatever order all agree on; long ones are rare."""
    if len(words) < LEAST_WORDS:
        return ()
    ordered = sorted(words, key=lambda word: (-len(word), word))
    return ordered[: len(ordered) - math.ceil(SAME_TITLE * len(ordered)) + 1]


def _same(a: _Read, b: _Read) -> bool:
    if abs(a.telling.published_ms - b.telling.published_ms) > SAME_STORY_MS:
        return False
    least = SAME_TITLE_SAME_SITE if a.telling.site == b.telling.site else SAME_TITLE
    if overlap(a.words, b.words) < least:
        return False
    # Another number, another coin or the other direction makes another story of the same words.
    if not _within(a.figures, b.figures) or not _within(a.telling.named, b.telling.named):
        return False
    return not ((a.up and not a.down and b.down and not b.up) or (a.down and not a.up and b.up and not b.down))


def _within(a: frozenset[str], b: frozenset[str]) -> bool:
    return a <= b or b <= a
