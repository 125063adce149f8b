"""One story, told once: what feeds carry under different addresses is stated again under the one that stands for all.

It reads fused stories and gives raw statements: each telling of a story is stated for the entity that stands for it, under the
provider's own name, so that the fold makes one record of all; and every other entity is marked `same_as` that one. What was
decided is in the log and in the records, so a restart reads it there, and a replay of the log gives the same records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from msgspec import Struct

from schemas.events import Fused, Origin, Raw, Value
from schemas.stories import KIND, canonical_url, story_of
from services.aggregator.fusion.lists import Stories, Telling

PROVIDER, ENDPOINT, SAME_AS = "parallax", "same_story", "same_as"
KEPT_MS = 4 * 86_400_000
"""Stories of which nobody spoke for this long, before the newest word, are forgotten here; twice what separates tellings."""
PRUNED = 1000
"""Stories after which the old ones are looked for."""


class Feed(NamedTuple):
    """What a definition says of a provider that matters to who weighs its words."""

    group: str | None
    weight: float


class Told(NamedTuple):
    """What one provider says of one entity."""

    metrics: dict[str, Value]
    event_ms: int


class Held(Struct):
    """One entity as it was last fused."""

    as_of_ms: int
    origin: Origin
    own: dict[str, Told]
    """Provider -> its telling at this address."""
    guests: dict[str, dict[str, Value]]
    """Provider -> what was stated again here from another address."""
    same_as: str | None
    published_ms: int


class Newsroom:
    """All stories of a deployment. Time comes with the records."""

    def __init__(self, assets_in: Callable[[str], frozenset[str]], feeds: Mapping[str, Feed]) -> None:
        self.assets_in = assets_in
        """Assets that a text names."""
        self.feeds = feeds
        """Provider -> its definition, as far as it is known."""
        self.stories = Stories()
        self.held: dict[str, Held] = {}
        self.newest_ms = 0
        self._open: dict[str, None] = {}
        """Entities whose story is to be looked at, in order."""
        self._sent: dict[tuple[str, str], dict[str, Value]] = {}
        """(entity, provider) -> what was stated and has not come back yet."""
        self._reads = 0

    def read(self, record: Fused) -> None:
        """Take a story as fused."""
        if record.category != "news" or not record.entity.startswith(KIND) or "title" not in record.metrics:
            return
        entity = record.entity
        said: dict[str, Told] = {}
        for name, metric in record.metrics.items():
            for source in metric.by:
                at_ms = record.as_of_ms - source.age_ms
                told = said.setdefault(source.provider, Told({}, at_ms))
                told.metrics[name] = source.value
                if at_ms > told.event_ms:
                    said[source.provider] = Told(told.metrics, at_ms)
        said.pop(PROVIDER, None)
        own = {provider: told for provider, told in sorted(said.items()) if _at_home(told, entity)}
        guests = {provider: told.metrics for provider, told in said.items() if provider not in own}
        mark = record.metrics.get(SAME_AS)
        same_as = mark.value if mark is not None and isinstance(mark.value, str) else None
        before = self.held.get(entity)
        published_ms = _published(own, record.as_of_ms)
        if before is not None:
            # Some sites date a story by its last change, which does not make it younger.
            published_ms = min(published_ms, before.published_ms)
        self.held[entity] = Held(record.as_of_ms, record.origin, own, guests, same_as, published_ms)
        self.newest_ms = max(self.newest_ms, record.as_of_ms)
        titles = [str(told.metrics["title"]) for told in own.values() if told.metrics.get("title")]
        if titles:
            address = next((str(t.metrics["url"]) for t in own.values() if "url" in t.metrics), "")
            site = (canonical_url(address) or "").partition("/")[0]
            telling = Telling(entity, site, titles[0], published_ms, self.assets_in(titles[0]))
            self._look(self.stories.put(telling))
        self._look({entity})
        self._reads += 1
        if self._reads % PRUNED == 0:
            self._prune()

    def forget(self, entity: str) -> None:
        """A story whose record was deleted."""
        if self.held.pop(entity, None) is not None:
            self._look(self.stories.drop(entity))

    def owed(self) -> list[Raw]:
        """What is to be stated so that each story is one; nothing twice while its effect is on the way."""
        found: list[Raw] = []
        seen: set[str] = set()
        for entity in self._open:
            leader = self.stories.leader(entity)
            if leader not in seen:
                seen.add(leader)
                found += self._of_story(leader, self.stories.members(leader))
        self._open.clear()
        return found

    def _look(self, entities: set[str]) -> None:
        self._open.update(dict.fromkeys(sorted(entities)))

    def _of_story(self, leader: str, members: list[str]) -> list[Raw]:
        """Marks on all but the leader, and every provider's first telling on the leader."""
        first = self.held.get(leader)
        if first is None:
            return []
        found = []
        if first.same_as not in (None, leader):
            found += self._mark(leader, leader)
        spoken = set(first.own)
        for entity in members:
            held = self.held[entity]
            if entity == leader:
                continue
            if held.same_as != leader:
                found += self._mark(entity, leader)
            for provider, told in held.own.items():
                if provider not in spoken:
                    spoken.add(provider)
                    if first.guests.get(provider) != told.metrics:
                        found += self._state(leader, provider, told, held)
        return found

    def _mark(self, entity: str, leader: str) -> list[Raw]:
        held = self.held[entity]
        return self._state(entity, PROVIDER, Told({SAME_AS: leader}, held.as_of_ms), held)

    def _state(self, entity: str, provider: str, told: Told, held: Held) -> list[Raw]:
        if self._sent.get((entity, provider)) == told.metrics:
            return []
        self._sent[entity, provider] = told.metrics
        feed = self.feeds.get(provider, Feed(None, 1.0))
        return [
            Raw(
                id=f"{ENDPOINT}:{entity}:{provider}:{told.metrics.get('url', told.metrics.get(SAME_AS))}:{told.event_ms}",
                category="news",
                provider=provider,
                endpoint=ENDPOINT,
                entity=entity,
                metrics=told.metrics,
                received_ms=held.as_of_ms,
                event_ms=told.event_ms,
                origin=held.origin,
                group=feed.group,
                weight=feed.weight,
            )
        ]

    def _prune(self) -> None:
        """Forget stories of which no telling was renewed for long."""
        oldest_ms = self.newest_ms - KEPT_MS
        leaders = {self.stories.leader(entity) for entity, held in self.held.items() if held.as_of_ms < oldest_ms}
        for leader in sorted(leaders):
            members = self.stories.members(leader) or [leader]
            if all(self.held[entity].as_of_ms < oldest_ms for entity in members if entity in self.held):
                for entity in members:
                    self.held.pop(entity, None)
                    self._look(self.stories.drop(entity))
        self._sent = {place: said for place, said in self._sent.items() if place[0] in self.held}


def _at_home(told: Told, entity: str) -> bool:
    """Whether a provider tells the story at this address, and was not brought here from another."""
    url = told.metrics.get("url")
    return not isinstance(url, str) or story_of(url) == entity


def _published(own: dict[str, Told], as_of_ms: int) -> int:
    times = [int(at) for told in own.values() if isinstance(at := told.metrics.get("published_at"), float) and at == at]
    return min(times, default=min((told.event_ms for told in own.values()), default=as_of_ms))
