"""Topics -> observations. Compacted topics are read from their start, attempts from the window's start, fused records from now.

Ready when the ends that stood at the start are reached; only then may anyone judge.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.events import Alert, Attempt, Definition, Fused, ProviderScore, Reputation, ServiceState
from schemas.topics import name as topic_name
from services.common import kafka
from services.common.metrics import Metrics
from services.health.observations import Watch
from services.health.settings import HealthSettings

SERVICE = b"health"
POLL_MS = 200
SET_ASIDE = ("dlq", "late")
GROWTH_S = 300.0
"""How far back the growth of the set-aside topics is measured."""

log = logging.getLogger(__name__)

_attempt = msgspec.json.Decoder(Attempt)
_definition = msgspec.json.Decoder(Definition)
_score = msgspec.json.Decoder(ProviderScore)
_reputation = msgspec.json.Decoder(Reputation)
_service = msgspec.json.Decoder(ServiceState)
_alert = msgspec.json.Decoder(Alert)
_fused = msgspec.json.Decoder(Fused)

Handler = Callable[[str, bytes | None, int], None]


class Feed:
    """Reads every topic of interest into a Watch, and what this service itself published before into `scores` and `alerts`."""

    def __init__(
        self,
        settings: HealthSettings,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        watch: Watch,
        metrics: Metrics,
    ) -> None:
        self.scores: dict[str, ProviderScore] = {}
        self.alerts: dict[str, Alert] = {}
        self.ready = asyncio.Event()
        self._settings = settings
        self._consumer = consumer
        self._producer = producer
        self._watch = watch
        self._metrics = metrics
        self._ends: dict[TopicPartition, int] = {}
        self._aside: list[TopicPartition] = []
        self._handlers: dict[str, Handler] = {
            "ops.fetches": self._on_attempt,
            "ops.providers": self._on_provider,
            "ops.services": self._on_service,
            "ops.alerts": self._on_alert,
        }
        for residual in watch.scoring.residuals:
            self._handlers[f"fused.{residual.category}"] = partial(self._on_fused, residual.category)

    async def start(self, now_ms: int) -> None:
        """Assign every partition and seek: MachineError when a topic is missing."""
        tps = await kafka.partitions(self._consumer, [self._real(topic) for topic in self._handlers])
        self._aside = await kafka.partitions(self._consumer, [self._real(topic) for topic in SET_ASIDE])
        self._consumer.assign(tps)
        self._ends = dict(await kafka.end_offsets(self._consumer, tps))
        first_ms = int(now_ms - self._watch.scoring.window_s * 1000)
        attempts = [tp for tp in tps if tp.topic == self._real("ops.fetches")]
        since = await self._consumer.offsets_for_times(dict.fromkeys(attempts, first_ms))
        for tp in tps:
            if tp in since:
                self._consumer.seek(tp, since[tp].offset if since[tp] is not None else self._ends[tp])
            elif self._plain(tp.topic).startswith("fused."):
                self._consumer.seek(tp, self._ends[tp])
            else:
                await self._consumer.seek_to_beginning(tp)

    async def pump(self) -> None:
        """Read for ever; an undecodable record goes to dlq and the next one is read."""
        while True:
            fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=2000)
            for tp, records in fetched.items():
                await self._take(tp, records)
            if not self.ready.is_set() and await self._reached():
                self.ready.set()

    async def growth(self, now_ms: int) -> dict[str, float]:
        """Set-aside topic -> records added in the last minutes."""
        since_ms = int(now_ms - GROWTH_S * 1000 * self._settings.time_scale)
        ends = await kafka.end_offsets(self._consumer, self._aside)
        since = await self._consumer.offsets_for_times(dict.fromkeys(self._aside, since_ms))
        grown: dict[str, float] = dict.fromkeys(SET_ASIDE, 0.0)
        for tp in self._aside:
            if since[tp] is not None:
                grown[self._plain(tp.topic)] += ends[tp] - since[tp].offset
        return grown

    async def _take(self, tp: TopicPartition, records: Iterable[Any]) -> None:
        plain = self._plain(tp.topic)
        handle = self._handlers[plain]
        count = 0
        for record in records:
            count += 1
            try:
                handle((record.key or b"").decode(), record.value, record.timestamp)
            except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
                await self._set_aside(record, fault)
        self._metrics.inc("health_records_total", count, topic=plain)

    async def _set_aside(self, record: Any, fault: Exception) -> None:
        headers = {
            "reason": str(fault),
            "topic": record.topic,
            "partition": str(record.partition),
            "offset": str(record.offset),
        }
        await self._producer.send_and_wait(
            self._real("dlq"),
            key=record.key,
            value=record.value,
            headers=[*((name, text.encode()) for name, text in headers.items()), ("service", SERVICE)],
        )
        self._metrics.inc("health_dead_letters_total", topic=self._plain(record.topic))
        log.warning("set aside: %s", fault, extra=headers)

    async def _reached(self) -> bool:
        for tp, end in self._ends.items():
            if await self._consumer.position(tp) < end:
                return False
        return True

    def _on_attempt(self, key: str, value: bytes | None, at_ms: int) -> None:
        if value is not None:
            self._watch.saw_attempt(_attempt.decode(value))

    def _on_provider(self, key: str, value: bytes | None, at_ms: int) -> None:
        kind, _, provider = key.partition("/")
        if kind == "definition":
            self._watch.saw_definition(provider, None if value is None else _definition.decode(value))
        elif kind == "reputation" and value is not None:
            self._watch.saw_reputation(_reputation.decode(value))
        elif kind == "score" and not self.ready.is_set() and value is not None:
            self.scores[provider] = _score.decode(value)
            self._watch.saw_score(self.scores[provider])

    def _on_service(self, key: str, value: bytes | None, at_ms: int) -> None:
        self._watch.saw_service(key, None if value is None else _service.decode(value))

    def _on_alert(self, key: str, value: bytes | None, at_ms: int) -> None:
        if self.ready.is_set():
            return  # our own words
        if value is None:
            self.alerts.pop(key, None)
        else:
            self.alerts[key] = _alert.decode(value)

    def _on_fused(self, category: str, key: str, value: bytes | None, at_ms: int) -> None:
        if value is not None and self._watch.wants(category, key, at_ms):
            self._watch.saw_fused(_fused.decode(value))

    def _real(self, topic: str) -> str:
        return topic_name(topic, self._settings.topic_prefix)

    def _plain(self, topic: str) -> str:
        return topic.removeprefix(self._settings.topic_prefix)
