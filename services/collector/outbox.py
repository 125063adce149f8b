"""Records on their way to Kafka: kept until the broker has them, in order per partition, bounded in memory.

One batch per partition is in flight; what arrives meanwhile makes the next one, and rounds of sending keep a distance, so
batches grow with the load. A batch that fails stays at the head and is sent again: while Kafka is away nothing that was taken
is lost, and `room` makes the callers wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    CorruptRecordException,
    InvalidMessageError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from schemas import topics
from services.common import kafka
from services.common.errors import MachineError
from services.common.lifecycle import Deadline
from services.common.settings import CommonSettings

log = logging.getLogger(__name__)

REFUSED: Final = (MessageSizeTooLargeError, RecordListTooLargeError, CorruptRecordException, InvalidMessageError)
"""Errors by which the broker says that this very record will never be taken."""
BACKOFF_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Waits before a failed batch is sent again; the last repeats."""
PACE_S: Final = 0.005
"""Time between two rounds of sending; a record that finds the outbox at rest goes at once. Without it a stream of 5,000 events
a second became 2,000 batches of two or three, and half of this process and a quarter of the broker was spent on them."""
BATCH_BYTES: Final = 256 * 1024
CODECS: Final = {
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}
STALLED_MS: Final = 10_000
"""Records that wait this long for an acknowledgement make the process not ready."""
RENEW_AFTER: Final = 3
"""Failures in a row after which the producer itself is replaced: some of its errors are for ever (lost sequence, fenced)."""
RENEW_S: Final = 10.0
SEND_S: Final = 120.0
"""A batch that is neither taken nor refused for so long is sent again; the client itself retries meanwhile."""
RECORD_OVERHEAD_BYTES: Final = 200
"""What a waiting record costs beside its key and value."""


class Record(NamedTuple):
    """One record to be."""

    key: bytes
    value: bytes
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes]] = ()

    @property
    def size(self) -> int:
        """Bytes that it occupies while waiting."""
        return len(self.key) + len(self.value) + RECORD_OVERHEAD_BYTES


class _Lane:
    """Records of one partition; `records[:in_flight]` are with the broker."""

    __slots__ = (
        "codec",
        "failures",
        "in_flight",
        "not_before_s",
        "oldest_s",
        "partition",
        "records",
        "singly",
        "topic",
    )

    def __init__(self, topic: str, partition: int, codec: int) -> None:
        self.topic = topic
        self.partition = partition
        self.codec = codec
        self.records: deque[Record] = deque()
        self.in_flight = 0
        self.failures = 0
        self.not_before_s = 0.0
        self.oldest_s = 0.0
        self.singly = 0
        """How many records of the head are to be sent one by one, to find the one that is refused."""


class Outbox:
    """Takes records for topics (names without the prefix) and sees them to the broker."""

    def __init__(
        self,
        settings: CommonSettings,
        capacity_bytes: int,
        refused: Callable[[str, Record, str], None],
    ) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer
        self._open = AsyncExitStack()
        self._capacity = capacity_bytes
        self._refused = refused
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._counts: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._failed = 0
        self.waiting_bytes = 0
        self.waiting_records = 0
        self.sent_records = 0

    async def open(self, names: Sequence[str]) -> None:
        """Connect and learn the partition counts of these topics; MachineError without a broker or a topic."""
        self._producer = await self._open.enter_async_context(kafka.producer(self._settings))
        metadata = await self._producer.client.fetch_all_metadata()
        for name in names:
            full = topics.name(name, self._settings.topic_prefix)
            found = metadata.partitions_for_topic(full)
            if not found:
                raise MachineError(f"topic {full}", "a topic on the broker", "none", "run: parallax topics apply")
            self._names[name], self._counts[name] = full, len(found)

    async def room(self) -> None:
        """Wait until there is room; call before `put`. This is the back-pressure of the whole collector."""
        await self._room.wait()

    def put(self, topic: str, record: Record) -> None:
        """Take a record; from now on it is sent or counted as lost at the end, never forgotten."""
        partition = kafka.partition_of(record.key, self._counts[topic])
        lane = self._lanes.get((topic, partition))
        if lane is None:
            codec = CODECS[topics.load().row(topic).compression]
            lane = self._lanes[topic, partition] = _Lane(self._names[topic], partition, codec)
        if not lane.records:
            lane.oldest_s = time.monotonic()
        lane.records.append(record)
        self.waiting_bytes += record.size
        self.waiting_records += 1
        self._empty.clear()
        if self.waiting_bytes >= self._capacity:
            self._room.clear()
        self._wake.set()

    def stalled(self) -> str | None:
        """Why the outbox makes no progress; None while it does."""
        oldest = min((lane.oldest_s for lane in self._lanes.values() if lane.records), default=None)
        waited_ms = 0 if oldest is None else round((time.monotonic() - oldest) * 1000)
        if waited_ms < STALLED_MS:
            return None
        return f"Kafka has acknowledged nothing for {waited_ms // 1000} s; {self.waiting_records} records wait"

    async def pump(self) -> None:
        """Send until cancelled, in rounds: what leaves together travels in one request."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                now_s = time.monotonic()
                for lane in tuple(self._lanes.values()):
                    if lane.records and not lane.in_flight and lane.not_before_s <= now_s:
                        lane.in_flight = -1
                        group.create_task(self._send(lane), name=f"send {lane.topic}/{lane.partition}")
                await asyncio.sleep(PACE_S)

    async def drain(self, deadline: Deadline) -> int:
        """Wait until everything is with the broker; how many records are not when the deadline passes."""
        for lane in self._lanes.values():
            lane.not_before_s = 0.0
        self._wake.set()
        try:
            async with asyncio.timeout(deadline.left_s()):
                await self._empty.wait()
        except TimeoutError:
            log.error("stopped before Kafka took everything", extra={"records": self.waiting_records})
        return self.waiting_records

    async def _send(self, lane: _Lane) -> None:
        error: BaseException | None = None
        try:
            batch, count = self._fill(lane)
            lane.in_flight = count
            future = await self._producer.send_batch(batch, lane.topic, partition=lane.partition)
            async with asyncio.timeout(SEND_S):
                await future
        except REFUSED as refusal:
            self._refuse(lane, lane.in_flight, refusal)
        except (KafkaError, OSError) as failure:
            error = failure
        else:
            self._acknowledged(lane, lane.in_flight)
        lane.in_flight = 0
        if error is not None:
            await self._back_off(lane, error)
        if lane.records:
            self._wake.set()

    def _fill(self, lane: _Lane) -> tuple[Any, int]:
        # The producer makes batches of one codec only; the table of topics names one for each.
        batch = BatchBuilder(BATCH_BYTES, lane.codec)
        append = batch.append
        count = 0
        for key, value, timestamp_ms, headers in lane.records:
            if append(key=key, value=value, timestamp=timestamp_ms, headers=list(headers)) is None:
                break
            count += 1
            if lane.singly:
                break
        batch.close()
        return batch, count

    def _acknowledged(self, lane: _Lane, count: int) -> None:
        for _ in range(count):
            self._forget(lane)
        self.sent_records += count
        lane.failures = self._failed = 0
        lane.singly = max(0, lane.singly - count)
        lane.oldest_s = time.monotonic()

    def _refuse(self, lane: _Lane, count: int, error: BaseException) -> None:
        if count > 1:
            lane.singly = count
            return
        self._refused(lane.topic, lane.records[0], type(error).__name__)
        self._forget(lane)
        lane.singly = max(0, lane.singly - 1)

    def _forget(self, lane: _Lane) -> None:
        self.waiting_bytes -= lane.records.popleft().size
        self.waiting_records -= 1
        if self.waiting_bytes < self._capacity:
            self._room.set()
        if not self.waiting_records:
            self._empty.set()

    async def _back_off(self, lane: _Lane, error: BaseException) -> None:
        wait_s = BACKOFF_S[min(lane.failures, len(BACKOFF_S) - 1)]
        if lane.failures == 0:
            log.warning(
                "Kafka did not take a batch; it stays and is sent again",
                extra={"topic": lane.topic, "partition": lane.partition, "error": f"{type(error).__name__}: {error}"},
            )
        lane.failures += 1
        self._failed += 1
        lane.not_before_s = time.monotonic() + wait_s
        asyncio.get_running_loop().call_later(wait_s, self._wake.set)
        if self._failed >= RENEW_AFTER * max(1, sum(1 for one in self._lanes.values() if one.records)):
            self._failed = 0
            await self._renew()

    async def _renew(self) -> None:
        log.warning("replacing the Kafka producer")
        fresh = AsyncExitStack()
        try:
            async with asyncio.timeout(RENEW_S):
                producer = await fresh.enter_async_context(kafka.producer(self._settings))
        except (MachineError, KafkaError, OSError):
            return
        old, self._open, self._producer = self._open, fresh, producer
        await _close(old)

    async def close(self) -> None:
        """Stop the producer, whichever it is by now."""
        await _close(self._open)


async def _close(stack: AsyncExitStack) -> None:
    try:
        async with asyncio.timeout(RENEW_S):
            await stack.aclose()
    except (KafkaError, OSError) as error:
        log.warning("the Kafka producer did not stop cleanly", extra={"error": str(error)})


@asynccontextmanager
async def outbox(
    settings: CommonSettings, names: Sequence[str], capacity_bytes: int, refused: Callable[[str, Record, str], None]
) -> AsyncIterator[Outbox]:
    """A connected outbox for these topics; its owner runs `pump` and calls `drain` before the end."""
    box = Outbox(settings, capacity_bytes, refused)
    try:
        await box.open(names)
        yield box
    finally:
        await box.close()
