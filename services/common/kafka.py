"""Kafka clients as every service wants them, and the Java client's partitioner."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError

from services.common.errors import MachineError
from services.common.settings import CommonSettings

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF

KEYS_REMEMBERED = 65_536
"""Partitions of this many recent keys are remembered: entities repeat, and the hash costs microseconds in Python."""


def murmur2(data: bytes) -> int:
    """The 32-bit hash of Kafka's Java client, unsigned."""
    length = len(data)
    whole = length & ~3
    h = _SEED ^ length
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        k = (word * _M) & _MASK
        k = ((k ^ (k >> 24)) * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    if whole != length:
        h = ((h ^ int.from_bytes(data[whole:], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=KEYS_REMEMBERED)
def partition_of(key: bytes, partitions: int) -> int:
    """Partition of `key` in a topic of that many partitions, the same in every Kafka client."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


@asynccontextmanager
async def producer(settings: CommonSettings, **overrides: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A started producer: idempotent, acks=all, lz4; flushed and stopped at the end. MachineError when no broker answers."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "client_id": settings.instance_name(),
        "enable_idempotence": True,
        "acks": "all",
        "compression_type": "lz4",
        "linger_ms": 5,
        "max_batch_size": 256 * 1024,
        "max_request_size": 8 * 1024 * 1024,
    } | overrides
    client = AIOKafkaProducer(**options)
    await _start(client, settings)
    try:
        yield client
    finally:
        await client.stop()


@asynccontextmanager
async def reader(settings: CommonSettings, *topics: str, **overrides: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer without a group and without commits; assign and seek, or name topics to read from their start."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "client_id": settings.instance_name(),
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "fetch_max_bytes": 16 * 1024 * 1024,
        "max_partition_fetch_bytes": 4 * 1024 * 1024,
    } | overrides
    client = AIOKafkaConsumer(*topics, **options)
    await _start(client, settings)
    try:
        yield client
    finally:
        await client.stop()


async def partitions(client: AIOKafkaConsumer, topics: Iterable[str]) -> list[TopicPartition]:
    """Every partition of these topics, sorted; MachineError when a topic does not exist."""
    # The consumer's own `partitions_for_topic` answers from what it subscribed to; we ask before assigning.
    metadata = await client._client.fetch_all_metadata()
    found = []
    for topic in topics:
        numbers = metadata.partitions_for_topic(topic)
        if not numbers:
            raise MachineError(
                f"topic {topic}", expected="a topic on the broker", got="none", do="run: parallax topics apply"
            )
        found += [TopicPartition(topic, number) for number in sorted(numbers)]
    return found


async def end_offsets(client: AIOKafkaConsumer, tps: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
    """Offset after the last readable record of each partition."""
    places = list(tps)
    # Left alone, the client learns of the topics one by one, a refresh of 100 ms each.
    await asyncio.gather(*(client._client.add_topic(topic) for topic in sorted({place.topic for place in places})))
    found: Mapping[TopicPartition, int] = await client.end_offsets(places)
    return found


async def _start(client: AIOKafkaProducer | AIOKafkaConsumer, settings: CommonSettings) -> None:
    try:
        await client.start()
    except (KafkaConnectionError, UnknownTopicOrPartitionError, OSError) as fault:
        await _stop_quietly(client)
        raise MachineError(
            "PARALLAX_KAFKA",
            expected="a Kafka broker",
            got=f"none at {settings.kafka} ({fault})",
            do="start it, or run: parallax up",
        ) from fault
    except BaseException:
        await _stop_quietly(client)
        raise


async def _stop_quietly(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    try:
        await client.stop()
    except (KafkaError, OSError):
        return
