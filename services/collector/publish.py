"""What the collector says, as records: events, archived bodies, attempts, dead letters, definitions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from schemas import categories
from schemas.events import Archived, Attempt, Definition, Held, Origin, Raw
from services.collector.outbox import Outbox, Record
from services.collector.vault.redaction import Redactor
from services.common.metrics import Metrics

ARCHIVE, FETCHES, PROVIDERS, DEAD = "archive", "ops.fetches", "ops.providers", "dlq"
RAW_PREFIX: Final = "raw."
SERVICE: Final = b"collector"
DEAD_BYTES: Final = 1024 * 1024
"""More of an undecodable body than this helps nobody; the header `truncated` says that there was more."""


def topics() -> list[str]:
    """Every topic that a collector writes, without the prefix: one response may answer several categories."""
    return [*(RAW_PREFIX + name for name in categories.load()), ARCHIVE, FETCHES, PROVIDERS, DEAD]


class Publisher:
    """Turns what the stages give into records. Every method takes at once; `room` is where callers wait."""

    def __init__(self, box: Outbox, redactor: Redactor, origin: Origin, metrics: Metrics) -> None:
        self._box = box
        self._redactor = redactor
        self._origin: Origin = origin
        self._metrics = metrics
        self._events: dict[tuple[str, str], Callable[[float], None]] = {}
        self._encode = msgspec.json.Encoder().encode
        self._topic = {name: RAW_PREFIX + name for name in categories.load()}

    @property
    def origin(self) -> Origin:
        """What every record of this process is stamped with."""
        return self._origin

    async def room(self) -> None:
        """Wait until the outbox has room; the back-pressure of the collector."""
        await self._box.room()

    def events(self, events: Sequence[Raw], source: Literal["poll", "stream"]) -> None:
        """Raw events, each keyed by its entity."""
        for event in events:
            record = Record(event.entity.encode(), self._encode(event), event.received_ms)
            self._box.put(self._topic[event.category], record)
            self._counter(event.category, source)(1)

    def archive(self, meta: Archived, body: bytes) -> None:
        """A response body, verbatim but for secrets."""
        value = self._redactor.body(body)
        header = ("meta", self._redactor.body(self._encode(meta)))
        self._box.put(ARCHIVE, Record(meta.provider.encode(), value, meta.received_ms, (header,)))

    def attempt(self, attempt: Attempt) -> None:
        """One attempt, or one that was due and skipped."""
        value = self._redactor.body(self._encode(attempt))
        self._box.put(FETCHES, Record(attempt.provider.encode(), value, attempt.finished_ms or attempt.started_ms))

    def definition(self, definition: Definition) -> None:
        """Summary of a provider's definition; readers keep the latest."""
        key = f"definition/{definition.provider}".encode()
        self._box.put(PROVIDERS, Record(key, self._encode(definition), definition.updated_ms))

    def held(self, held: Held) -> None:
        """What is held back of one endpoint since a change of unit, for the process that comes after this one."""
        key = f"held/{held.provider}/{held.endpoint}/{held.message}".encode()
        self._box.put(PROVIDERS, Record(key, self._encode(held), held.updated_ms))

    def dead(
        self, reason: str, provider: str, endpoint: str, value: bytes, received_ms: int, detail: str | None = None
    ) -> None:
        """Bytes that could not be read or mapped, original but for secrets, with where they came from and why."""
        headers = {
            "reason": reason,
            "provider": provider,
            "endpoint": endpoint,
            "detail": self._redactor.text(detail or ""),
            "origin": self._origin,
        }
        if len(value) > DEAD_BYTES:
            headers["truncated"] = str(len(value))
        packed = [("service", SERVICE), *((name, text.encode()) for name, text in headers.items() if text)]
        body = self._redactor.body(value[:DEAD_BYTES])
        self._box.put(DEAD, Record(provider.encode(), body, received_ms, packed))
        self._metrics.inc("dead_letters_total", provider=provider, reason=reason)

    def _counter(self, category: str, source: str) -> Callable[[float], None]:
        """The counter of events, bound once: at thousands of events a second finding it by labels costs as much as mapping."""
        found = self._events.get((category, source))
        if found is None:
            child = self._metrics.child("events_total", category=category, source=source)
            found = self._events[category, source] = child.inc  # type: ignore[union-attr]
        return found

    def refused(self, topic: str, record: Record, reason: str) -> None:
        """A record that the broker will never take: its beginning goes to the dead letters."""
        headers: Mapping[str, bytes] = {"reason": reason.encode(), "topic": topic.encode(), "service": SERVICE}
        self._metrics.inc("refused_records_total", topic=topic)
        if topic != DEAD:
            value = record.value[: DEAD_BYTES // 2]
            self._box.put(DEAD, Record(record.key, value, time.time_ns() // 1_000_000, tuple(headers.items())))
