"""The mood about each asset from many scored texts: one voice per group and story, newer words weigh more."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import NamedTuple

HALF_LIFE_MS = 6 * 3_600_000
"""A text counts half after six hours."""
KEPT_MS = 48 * 3_600_000
MOST_TEXTS = 500
"""Texts that are kept per asset."""
MOST_ASSETS = 5_000
PRIOR = 1.0
"""Weight of knowing nothing: one sure and fresh text moves the mood half way."""


class Text(NamedTuple):
    """One scored text about an asset."""

    story: str
    """What it tells: several tellings of one story count as one."""
    group: str
    """Independence group of who wrote it."""
    score: float
    confidence: float
    at_ms: int


class Feeling(NamedTuple):
    """The fused mood about one asset."""

    score: float
    confidence: float
    """How sure the sign and size are: 0 without texts, towards 1 with many that agree."""
    texts: int
    voices: int
    spread: float
    """Deviation of the texts' scores."""


class Moods:
    """Texts by asset; a pure function of what was added and the time asked for."""

    def __init__(self) -> None:
        self._texts: OrderedDict[str, deque[Text]] = OrderedDict()

    def add(self, asset: str, text: Text) -> None:
        """Take one text; a newer telling of the same story by the same group replaces the older."""
        texts = self._texts.setdefault(asset, deque(maxlen=MOST_TEXTS))
        self._texts.move_to_end(asset)
        for old in list(texts):
            if (old.story, old.group) == (text.story, text.group):
                texts.remove(old)
        texts.append(text)
        if len(self._texts) > MOST_ASSETS:
            self._texts.popitem(last=False)

    def of(self, asset: str, as_of_ms: int) -> Feeling:
        """The mood about an asset at `as_of_ms`."""
        texts = [t for t in self._texts.get(asset, ()) if 0 <= as_of_ms - t.at_ms <= KEPT_MS]
        stories: dict[str, int] = {}
        writers: dict[str, int] = {}
        for t in texts:
            stories[t.story] = stories.get(t.story, 0) + 1
            writers[t.group] = writers.get(t.group, 0) + 1
        weights = [
            # A story told n times counts as one; a writer of n texts as the square root of n.
            t.confidence * 0.5 ** ((as_of_ms - t.at_ms) / HALF_LIFE_MS) / stories[t.story] / math.sqrt(writers[t.group])
            for t in texts
        ]
        total = sum(weights)
        if total <= 0.0:
            return Feeling(0.0, 0.0, 0, 0, 0.0)
        score = sum(w * t.score for w, t in zip(weights, texts, strict=True)) / (total + PRIOR)
        mean = score * (total + PRIOR) / total
        spread = math.sqrt(sum(w * (t.score - mean) ** 2 for w, t in zip(weights, texts, strict=True)) / total)
        return Feeling(
            score, total / (total + PRIOR) * (1.0 - 0.5 * min(spread, 1.0)), len(texts), len(writers), spread
        )
