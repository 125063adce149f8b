"""Our clients against a real broker."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from sandbox.process import free_port
from services.common import kafka as clients
from services.common.errors import MachineError
from services.common.settings import CommonSettings

KEYS = [f"asset:{name}".encode() for name in ("bitcoin", "ethereum", "tether", "solana", "dogecoin", "éuro", "x" * 99)]


@pytest.mark.topics("dlq")
async def test_a_record_comes_back_with_key_value_headers_and_time(common: CommonSettings) -> None:
    topic = common.topic_prefix + "dlq"
    at_ms = time.time_ns() // 1_000_000 - 3_600_000  # a week later the broker would drop it
    sent = {
        "key": b"asset:bitcoin",
        "value": b'{"a":1}\x00\xff',
        "headers": [("reason", "malformé".encode()), ("empty", b"")],
    }
    async with clients.producer(common) as producer:
        placed = await producer.send_and_wait(topic, timestamp_ms=at_ms, **sent)
    async with clients.reader(common) as reader:
        place = TopicPartition(topic, placed.partition)
        reader.assign([place])
        reader.seek(place, placed.offset)
        record = await asyncio.wait_for(reader.getone(), 120)
    got = {"key": record.key, "value": record.value, "headers": list(record.headers)}
    assert got == sent
    assert record.timestamp == at_ms


@pytest.mark.topics("raw.market")
async def test_a_record_lands_in_the_partition_that_we_compute(common: CommonSettings) -> None:
    topic = common.topic_prefix + "raw.market"
    async with clients.producer(common) as producer:
        placed = {key: (await producer.send_and_wait(topic, b"{}", key=key)).partition for key in KEYS}
    assert placed == {key: clients.partition_of(key, 4) for key in KEYS}
    assert len(set(placed.values())) > 1


@pytest.mark.topics("ops.alerts")
async def test_end_offsets_count_what_was_sent(common: CommonSettings) -> None:
    topic = common.topic_prefix + "ops.alerts"
    async with clients.producer(common) as producer:
        for _ in range(3):
            await producer.send_and_wait(topic, b"{}", key=b"k")
    async with clients.reader(common) as reader:
        places = await clients.partitions(reader, [topic])
        assert places == [TopicPartition(topic, 0)]
        assert dict(await clients.end_offsets(reader, places)) == {TopicPartition(topic, 0): 3}


@pytest.mark.topics("late")
async def test_a_topic_that_does_not_exist_is_named_with_the_remedy(common: CommonSettings) -> None:
    async with clients.reader(common) as reader:
        with pytest.raises(
            MachineError, match=r"topic nowhere: expected a topic on the broker, got none; run: parallax topics apply"
        ):
            await clients.partitions(reader, ["nowhere"])


async def test_a_broker_that_does_not_answer_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    nobody = CommonSettings(kafka=f"127.0.0.1:{free_port()}")
    with pytest.raises(MachineError, match=f"PARALLAX_KAFKA: expected a Kafka broker, got none at {nobody.kafka}"):
        async with clients.producer(nobody):
            raise AssertionError("it cannot start")
