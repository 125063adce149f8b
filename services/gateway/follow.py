"""Topics to view: every partition of every topic that is served, without a consumer group; what cannot be read goes to dlq."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from schemas import topics
from services.common import kafka
from services.common.errors import MachineError
from services.common.metrics import Metrics
from services.common.settings import CommonSettings
from services.gateway.view.feed import BadRecord
from services.gateway.view.view import Apply

BATCH_RECORDS = 1_000
"""Records applied before the loop gets its turn: about 5 ms."""
IDLE_MS = 1_000
FETCH_WAIT_MS = 25
"""How long the broker may hold a fetch that finds nothing. A fetch asks only for partitions without buffered records, and
while it is held nothing else is fetched: a busy partition would wait as long as the quiet ones are silent."""
RETRY_S = 1.0
WATCH_S = 2.0
"""Pause between two questions to Kafka for where its topics end."""
SILENT_S = 5.0
"""Silence of Kafka after which this process calls itself behind."""
LAG_RECORDS = 10_000
"""Unread records from which on it does so too: seconds of work, and more than a busy second brings."""
GC_THRESHOLD = 20_000
"""Containers between two collections of the youngest generation; nearly all of ours die by reference count."""
DETAIL_MAX = 300
"""Characters of a fault that go into a log line and a dead letter's header."""

log = logging.getLogger(__name__)


class Follower:
    """Keeps a view at the end of its topics."""

    def __init__(
        self,
        settings: CommonSettings,
        applies: Mapping[str, Apply],
        metrics: Metrics,
        applied: Callable[[], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._applies = {topics.name(topic, settings.topic_prefix): apply for topic, apply in applies.items()}
        self._metrics = metrics
        self._applied = applied
        self._now_ms = now_ms
        self._loading = "not connected to Kafka yet"
        self._ends: dict[TopicPartition, int] = {}
        self._answered_s = time.monotonic()
        self._lag = 0
        self._letters: AIOKafkaProducer | None = None
        self._stack = AsyncExitStack()

    def loading(self) -> str:
        """Empty when every partition was read to where it ended at the start; else what is missing."""
        return self._loading

    def behind(self) -> str:
        """Empty while a loaded view follows its topics; else why it does not. It is served all the same."""
        if self._loading:
            return ""
        silent_s = time.monotonic() - self._answered_s
        if silent_s > SILENT_S:
            return f"Kafka has not answered for {silent_s:.0f} s; what is served is what was known then"
        return f"{self._lag} records behind" if self._lag > LAG_RECORDS else ""

    async def run(self) -> None:
        """Read until cancelled."""
        async with self._stack:
            consumer = await self._connect()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(consumer), name="watch Kafka")
                await self._read(consumer)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            try:
                batches = await consumer.getmany(timeout_ms=IDLE_MS, max_records=BATCH_RECORDS)
            except KafkaError as fault:
                log.warning("reading failed, trying again: %s", fault)
                await asyncio.sleep(RETRY_S)
                continue
            for tp, records in batches.items():
                await self._take(tp, records)
            if batches:
                self._applied()
            if self._loading:
                await self._look_how_far(consumer)
            await asyncio.sleep(0)

    async def _watch(self, consumer: AIOKafkaConsumer) -> None:
        """Ask Kafka where its topics end, now and then: of a broker that is away the fetches say nothing."""
        away = False
        while True:
            try:
                async with asyncio.timeout(SILENT_S):
                    ends = await consumer.end_offsets(list(self._ends))
                    self._lag = sum([max(0, end - await consumer.position(tp)) for tp, end in ends.items()])
                self._answered_s = time.monotonic()
                self._metrics.set("gateway_lag_records", self._lag)
            except (TimeoutError, KafkaError) as fault:
                log.debug("no answer from Kafka: %r", fault)
            if away != bool(self.behind()):
                away = not away
                log.log(logging.WARNING if away else logging.INFO, self.behind() or "following Kafka again")
            await asyncio.sleep(WATCH_S)

    async def _connect(self) -> AIOKafkaConsumer:
        while True:
            try:
                consumer = await self._stack.enter_async_context(
                    kafka.reader(self._settings, fetch_max_wait_ms=FETCH_WAIT_MS)
                )
                break
            except MachineError as fault:
                self._loading = str(fault)
                log.warning("%s", fault)
                await asyncio.sleep(RETRY_S)
        while True:
            try:
                tps = await kafka.partitions(consumer, self._applies)
                break
            except (MachineError, KafkaError) as fault:
                self._loading = str(fault)
                log.warning("%s", fault)
                await asyncio.sleep(RETRY_S)
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        self._ends = dict(await kafka.end_offsets(consumer, tps))
        self._answered_s = time.monotonic()
        await self._look_how_far(consumer)
        return consumer

    async def _take(self, tp: TopicPartition, records: Iterable[ConsumerRecord]) -> None:
        apply = self._applies[tp.topic]
        news = 0
        for record in records:
            try:
                news += apply(record.key.decode(), record.value, record.partition, record.offset, record.timestamp)
            except (BadRecord, AttributeError, UnicodeDecodeError) as fault:
                await self._set_aside(record, f"{type(fault).__name__}: {fault}"[:DETAIL_MAX])
        topic = tp.topic.removeprefix(self._settings.topic_prefix)
        if news:
            self._metrics.inc("gateway_records_total", news, topic=topic)
        if not self._loading:
            age_ms = max(0, self._now_ms() - record.timestamp)
            self._metrics.observe("gateway_age_seconds", age_ms / 1000, topic=topic)

    async def _set_aside(self, record: ConsumerRecord, reason: str) -> None:
        """The original bytes to dlq. A restart reads and sets aside again: readers of dlq know a record by its offset."""
        topic = record.topic.removeprefix(self._settings.topic_prefix)
        self._metrics.inc("gateway_records_refused_total", topic=topic)
        log.warning("record refused: %s", reason, extra={"topic": topic, "at": f"{record.partition}:{record.offset}"})
        try:
            if self._letters is None:
                self._letters = await self._stack.enter_async_context(kafka.producer(self._settings))
            letters: AIOKafkaProducer = self._letters
            await letters.send_and_wait(
                topics.name("dlq", self._settings.topic_prefix),
                key=record.key,
                value=record.value,
                headers=[
                    ("reason", reason.encode()),
                    ("topic", topic.encode()),
                    ("partition", str(record.partition).encode()),
                    ("offset", str(record.offset).encode()),
                    ("service", b"gateway"),
                ],
            )
        except (KafkaError, MachineError) as fault:
            # The record itself stays in its topic; serving the others must not wait for the dead letters.
            log.error("dead letter not written: %s", fault)

    async def _look_how_far(self, consumer: AIOKafkaConsumer) -> None:
        left = 0
        for tp, end in self._ends.items():
            left += max(0, end - await consumer.position(tp)) if end else 0
        self._loading = f"{left} records left to read" if left else ""
        if not left:
            settle()
            log.info("view loaded: %d partitions read to their ends", len(self._ends))


def settle() -> None:
    """Tell the garbage collector that what was loaded stays: walking it again and again would cost a tenth of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


@asynccontextmanager
async def follow(follower: Follower) -> AsyncIterator[asyncio.Task[None]]:
    """Run the follower while open; its task ends only by a bug, which is raised at the end."""
    task = asyncio.create_task(follower.run(), name="follow topics")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
