"""Writing: pre-built batches, one in flight per partition, tried until they are durable, and none while membership is in doubt."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, OutOfOrderSequenceNumber

from services.aggregator.driver.packing import Packed, Packer, Ready, Rows, tombstone_headers
from services.aggregator.engine.checkpoint import VERSION_HEADER
from services.aggregator.engine.model import Aside, Output, Reason
from services.common.metrics import Metrics

SERVICE = b"aggregator"
RETRY_S = (0.1, 0.3, 1.0, 2.0)
"""Pauses between attempts; the last one repeats for as long as the broker refuses."""

OPTIONS: dict[str, Any] = {
    "linger_ms": 0,
    "request_timeout_ms": 10_000,
    "max_batch_size": 768 * 1024,
    "compression_type": "snappy",
}
"""Of the producer, and so of what it sends one by one. A short timeout, so that a process that lost its partitions does not
write minutes later. Snappy, because aiokafka runs LZ4 at level 9, for ten times as long."""
COMPRESSION = "lz4"
"""Of batches that we pack, at LZ4's fastest: 1.1 ns a byte of our JSON where snappy takes 1.4, and half of its time to read."""

log = logging.getLogger(__name__)


class Writer:
    """The aggregator's own idempotent producer. `allowed` is awaited before every attempt to write; `renew` starts another one."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        renew: Callable[[], Awaitable[AIOKafkaProducer]],
        allowed: Callable[[], Awaitable[None]],
        metrics: Metrics,
    ) -> None:
        self.producer = producer
        self.renew = renew
        self.allowed = allowed
        self.metrics = metrics
        self._renewing = asyncio.Lock()
        self._packer = Packer(OPTIONS["max_batch_size"], COMPRESSION)

    async def partitions(self, topic: str) -> list[int]:
        """Numbers of the partitions that a topic has; asked of the broker once, then from the client's metadata."""
        return sorted(await self.producer.partitions_for(topic))

    def send(
        self, topic: str, partition: int, records: Sequence[Output] | Rows, tombstone_version: int | None = None
    ) -> Awaitable[None]:
        """Write these in this order to one partition; what is returned waits until they are durable. Tombstones of state carry
        their version. All are packed before this returns, so that memory that `Rows` lie in may be used again."""
        rows = records if isinstance(records, Rows) else Rows.of(records)
        version = [] if tombstone_version is None else [(VERSION_HEADER, tombstone_version.to_bytes(8, "big"))]
        headers = tombstone_headers(version) if version else b""
        ready: list[Packed | tuple[bytes, bytes | None]] = []
        done = 0
        while done < rows.count:
            packed = self._packer.pack(rows, done, headers)
            ready.append(packed if packed.rows else rows.record(done))
            done += packed.rows or 1
        return self._send(topic, partition, ready)

    async def _send(self, topic: str, partition: int, ready: Sequence[Packed | tuple[bytes, bytes | None]]) -> None:
        for packed in ready:
            if isinstance(packed, Packed):
                await self._durable(topic, partition, packed)
            else:
                # One record larger than a batch: the producer's own way sends it alone, or says why not.
                await self._large(topic, partition, *packed)

    async def _durable(self, topic: str, partition: int, packed: Packed) -> None:
        attempt = 0
        while True:
            await self.allowed()
            producer = self.producer
            try:
                batch = Ready(packed, int(time.time() * 1000))
                await (await producer.send_batch(batch, topic, partition=partition))
                return
            except (KafkaError, OSError) as fault:
                await self._failed(topic, fault, attempt, producer)
                attempt += 1

    async def set_aside(
        self, topics: dict[Reason, str], default: str, source: tuple[str, int], asides: Iterable[Aside]
    ) -> None:
        """Write dead and late letters, original bytes and the reason; returns when all are durable."""
        pending = []
        for aside in asides:
            headers = [
                ("reason", aside.reason.value.encode()),
                ("detail", aside.detail.encode(errors="replace")),
                ("topic", source[0].encode()),
                ("partition", str(source[1]).encode()),
                ("offset", str(aside.offset).encode()),
                ("service", SERVICE),
            ]
            topic = topics.get(aside.reason, default)
            value = aside.value if aside.value is not None or aside.key is not None else b""
            pending.append(self._letter(topic, aside.key, value, headers))
        await asyncio.gather(*pending)

    async def _letter(
        self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> None:
        await self._until(topic, lambda producer: producer.send(topic, value, key, headers=headers))

    async def tell(self, records: Iterable[tuple[str, int, bytes, bytes]]) -> None:
        """Write single records (topic, partition, key, value); returns when all are durable."""
        await asyncio.gather(*(self._one(*record) for record in records))

    async def _one(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        await self._until(topic, lambda producer: producer.send(topic, value, key, partition))

    async def _large(self, topic: str, partition: int, key: bytes, value: bytes | None) -> None:
        try:
            await self._until(topic, lambda producer: producer.send(topic, value, key, partition))
        except MessageSizeTooLargeError:
            self.metrics.inc("writes_failed_total", topic=topic)
            size = len(value or b"")
            log.error(
                "%s: record %r has %d bytes, more than the topic takes; readers keep the one before", topic, key, size
            )

    async def _until(self, topic: str, send: Callable[[AIOKafkaProducer], Awaitable[Awaitable[Any]]]) -> None:
        attempt = 0
        while True:
            await self.allowed()
            producer = self.producer
            try:
                await (await send(producer))
                return
            except MessageSizeTooLargeError:
                raise
            except (KafkaError, OSError) as fault:
                await self._failed(topic, fault, attempt, producer)
                attempt += 1

    async def _failed(self, topic: str, fault: BaseException, attempt: int, producer: AIOKafkaProducer) -> None:
        self.metrics.inc("writes_failed_total", topic=topic)
        if attempt in (0, 5, 50):
            log.warning("write to %s failed: %r; it is tried again, and nothing behind it is committed", topic, fault)
        await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
        if isinstance(fault, OutOfOrderSequenceNumber):
            # The numbers of this producer and those that the broker remembers of it do not meet again: seen after a broker
            # went away and came back. What it did not acknowledge is written once more, under the same key and version.
            async with self._renewing:
                if self.producer is producer:
                    self.producer = await self.renew()
