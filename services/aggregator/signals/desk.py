"""News to moods: each story is scored once, and what is written about an asset becomes one statement about its mood."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

from schemas.events import Fused, Raw
from schemas.stories import KIND
from services.aggregator.signals.mood import Moods, Text

PROVIDER = "parallax"
MOST_STORIES = 20_000
STEP = 0.05
"""Confidences are told in steps of this."""
TELL_MS = 60_000
"""The mood about an asset is told at most once a minute."""


class Scored(Protocol):
    """What a scorer says of one text."""

    @property
    def score(self) -> float: ...
    @property
    def confidence(self) -> float: ...
    @property
    def language(self) -> str: ...


class Desk:
    """Reads fused news; gives raw statements for `raw.news` (the story) and `raw.social` (the assets)."""

    def __init__(
        self, score: Callable[[Sequence[str]], Sequence[Scored]], assets_in: Callable[[str], frozenset[str]]
    ) -> None:
        self.score = score
        self.assets_in = assets_in
        """Assets that a text names."""
        self.moods = Moods()
        self._read: OrderedDict[str, str] = OrderedDict()
        self._told_ms: dict[str, int] = {}

    def read(self, record: Fused) -> list[Raw]:
        """What follows from a fused story; nothing when its words were read before, or another entity stands for it."""
        if record.category != "news" or not record.entity.startswith(KIND) or _elsewhere(record):
            return []
        title, summary = (self._word(record, name) for name in ("title", "summary"))
        words = f"{title}. {summary}".strip(". ") if summary else title
        if not words or self._read.get(record.entity) == words:
            return []
        self._read[record.entity] = words
        self._read.move_to_end(record.entity)
        if len(self._read) > MOST_STORIES:
            self._read.popitem(last=False)
        (mood,) = self.score([words])
        if mood.confidence <= 0.0:
            return []
        found = [
            self._statement(
                record, "news", record.entity, {"sentiment": mood.score, "language": mood.language}, mood.confidence
            )
        ]
        by = record.metrics["title"].by
        writer = min((source.provider for source in by if source.why is None), default=record.entity)
        named = record.metrics.get("coins")
        listed = named.value if named is not None and isinstance(named.value, list) else []
        for asset in sorted(self.assets_in(" ".join([words, *(f"asset:{coin}" for coin in listed)]))):
            self.moods.add(asset, Text(record.entity, writer, mood.score, mood.confidence, record.as_of_ms))
            if record.as_of_ms - self._told_ms.get(asset, -TELL_MS) < TELL_MS:
                continue
            self._told_ms[asset] = record.as_of_ms
            feeling = self.moods.of(asset, record.as_of_ms)
            found.append(
                self._statement(
                    record, "social", f"asset:{asset}", {"sentiment_score": feeling.score}, feeling.confidence
                )
            )
        return found

    @staticmethod
    def _word(record: Fused, name: str) -> str:
        metric = record.metrics.get(name)
        return metric.value if metric is not None and isinstance(metric.value, str) else ""

    @staticmethod
    def _statement(
        record: Fused, category: str, entity: str, metrics: dict[str, float | str], confidence: float
    ) -> Raw:
        return Raw(
            id=f"mood:{entity}:{record.entity}:{record.as_of_ms}",
            category=category,
            provider=PROVIDER,
            endpoint="mood",
            entity=entity,
            metrics=dict(metrics),
            received_ms=record.as_of_ms,
            event_ms=record.as_of_ms,
            origin=record.origin,
            # In steps, because each weight makes a source of its own.
            weight=max(round(confidence / STEP) * STEP, STEP),
        )


def _elsewhere(record: Fused) -> bool:
    mark = record.metrics.get("same_as")
    return mark is not None and isinstance(mark.value, str) and mark.value != record.entity
