"""Records on their way to a real Kafka."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from sandbox import broker
from schemas import topics
from services.collector.outbox import Outbox, Record, outbox
from services.common import kafka, provision
from services.common.errors import MachineError
from services.common.lifecycle import Deadline
from services.common.settings import CommonSettings
from tests.fixtures.until import PATIENCE_S, until

pytestmark = pytest.mark.topics("raw.market", "dlq")

TOPIC = "raw.market"
BEGIN_MS = time.time_ns() // 1_000_000
"""Times of the records: of older ones the broker would drop what the topic need not keep, at a moment of its own."""


@asynccontextmanager
async def running(
    common: CommonSettings, capacity: int = 10_000_000, refused: list[Any] | None = None
) -> AsyncIterator[Outbox]:
    found: list[Any] = [] if refused is None else refused
    async with outbox(common, [TOPIC, "dlq"], capacity, lambda *what: found.append(what)) as box:
        pump = asyncio.create_task(box.pump())
        try:
            yield box
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)


async def everything(common: CommonSettings, topic: str = TOPIC) -> list[Any]:
    """All records of a topic, partition by partition."""
    name = topics.name(topic, common.topic_prefix)
    async with kafka.reader(common) as client:
        tps = await kafka.partitions(client, [name])
        client.assign(tps)
        await client.seek_to_beginning(*tps)
        ends = await kafka.end_offsets(client, tps)
        found: list[Any] = []
        while any([await client.position(tp) < ends[tp] for tp in tps]):
            for records in (await client.getmany(timeout_ms=500)).values():
                found += records
    return found


def record(number: int, key: str = "asset:bitcoin", size: int = 10) -> Record:
    return Record(
        key.encode(), str(number).encode().rjust(size, b"0"), BEGIN_MS + number, (("n", str(number).encode()),)
    )


async def test_records_arrive_whole_and_in_order_in_the_partition_of_their_key(common: CommonSettings) -> None:
    async with running(common) as box:
        for number in range(2_000):
            box.put(TOPIC, record(number, f"asset:{number % 7}"))
        assert await box.drain(Deadline.after_s(PATIENCE_S)) == 0
        assert (box.sent_records, box.waiting_bytes, box.waiting_records) == (2_000, 0, 0)
    found = await everything(common)
    assert len(found) == 2_000
    by_key: dict[bytes, list[int]] = {}
    for one in found:
        number = int(one.value)
        assert (one.timestamp, one.headers) == (BEGIN_MS + number, (("n", str(number).encode()),))
        assert one.partition == kafka.partition_of(one.key, 4)
        by_key.setdefault(one.key, []).append(number)
    assert all(numbers == sorted(numbers) for numbers in by_key.values())


async def test_a_full_outbox_makes_callers_wait_until_kafka_took_some(common: CommonSettings) -> None:
    async with outbox(common, [TOPIC], 50_000, lambda *what: None) as box:
        while box.waiting_bytes < 50_000:
            await asyncio.wait_for(box.room(), PATIENCE_S)
            box.put(TOPIC, record(1, size=1_000))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(box.room(), 0.05)
        pump = asyncio.create_task(box.pump())
        await asyncio.wait_for(box.room(), PATIENCE_S)
        assert await box.drain(Deadline.after_s(PATIENCE_S)) == 0
        pump.cancel()


@pytest.mark.topics("raw.market", "archive", "dlq")
@pytest.mark.parametrize(
    ("topic", "codec"),
    [
        (TOPIC, DefaultRecordBatch.CODEC_SNAPPY),
        ("archive", DefaultRecordBatch.CODEC_ZSTD),
        ("dlq", DefaultRecordBatch.CODEC_LZ4),
    ],
)
async def test_each_topic_is_packed_as_the_table_says(
    common: CommonSettings, topic: str, codec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    codecs: list[int] = []

    class Noted(BatchBuilder):  # type: ignore[misc]
        def __init__(self, size: int, codec: int) -> None:
            codecs.append(codec)
            super().__init__(size, codec)

    monkeypatch.setattr("services.collector.outbox.BatchBuilder", Noted)
    async with outbox(common, [topic], 10_000_000, lambda *what: None) as box:
        for number in range(20):
            box.put(topic, record(number, size=200))
        pump = asyncio.create_task(box.pump())
        assert await box.drain(Deadline.after_s(PATIENCE_S)) == 0
        pump.cancel()
    assert codecs == [codec]
    assert [int(one.value) for one in await everything(common, topic)] == list(range(20))


@pytest.mark.parametrize("pause", [0, 1], ids=["while the pump is idle", "while a round is under way"])
async def test_what_comes_within_a_round_travels_in_one_batch(common: CommonSettings, pause: int) -> None:
    sizes: list[int] = []
    async with outbox(common, [TOPIC], 10_000_000, lambda *what: None) as box:
        fill = box._fill

        def counted(lane: Any) -> Any:
            batch, count = fill(lane)
            sizes.append(count)
            return batch, count

        box._fill = counted  # type: ignore[method-assign]
        pump = asyncio.create_task(box.pump())
        for number in range(10):
            box.put(TOPIC, record(number))
            if number == 0:
                for _ in range(pause):
                    await until(lambda: len(sizes) == 1)
        assert await box.drain(Deadline.after_s(PATIENCE_S)) == 0
        pump.cancel()
    assert sizes == [[10], [1, 9]][pause]


async def test_what_is_not_taken_in_time_is_counted(common: CommonSettings) -> None:
    async with outbox(common, [TOPIC], 50_000, lambda *what: None) as box:
        box.put(TOPIC, record(1))
        assert await box.drain(Deadline.after_s(0.05)) == 1


async def test_a_record_that_the_broker_refuses_is_reported_and_the_others_arrive(common: CommonSettings) -> None:
    refused: list[Any] = []
    async with running(common, refused=refused) as box:
        huge = Record(b"asset:bitcoin", os.urandom(3_000_000), BEGIN_MS)
        for one in (record(1), huge, record(2)):
            box.put(TOPIC, one)
        assert await box.drain(Deadline.after_s(PATIENCE_S)) == 0
    assert refused == [(topics.name(TOPIC, common.topic_prefix), huge, "MessageSizeTooLargeError")]
    assert [int(one.value) for one in await everything(common)] == [1, 2]


async def test_a_topic_that_does_not_exist_is_named_with_the_remedy(common: CommonSettings) -> None:
    with pytest.raises(
        MachineError, match=r"topic .*nothing: expected a topic on the broker, got none; run: parallax topics apply"
    ):
        async with outbox(common, ["nothing"], 1000, lambda *what: None):
            pass


async def test_tens_of_thousands_of_records_go_through(common: CommonSettings, record_property: Any) -> None:
    async with running(common, capacity=100_000_000) as box:
        for number in range(30_000):
            box.put(TOPIC, record(number, f"asset:{number % 500}", size=200))
            if number % 500 == 0:
                await asyncio.sleep(0)
        assert await box.drain(Deadline.after_s(PATIENCE_S)) == 0
        assert box.sent_records == 30_000


@pytest.mark.slow
async def test_a_broker_that_is_killed_and_comes_back_gets_everything_in_order() -> None:
    with broker.embedded() as server:
        common = CommonSettings(kafka=server.bootstrap, topic_prefix="again.")
        await provision.apply(common, [TOPIC, "dlq"])
        async with running(common) as box:
            for number in range(3_000):
                if number == 1_000:
                    await until(lambda: box.sent_records > 0)
                    os.kill(server.pid or 0, signal.SIGKILL)
                    await asyncio.to_thread(server.stop)
                if number == 2_000:
                    await asyncio.to_thread(server.start)
                box.put(TOPIC, record(number, f"asset:{number % 7}"))
                await asyncio.sleep(0)
            assert await box.drain(Deadline.after_s(PATIENCE_S)) == 0
        found = await everything(common)
    by_key: dict[bytes, list[int]] = {}
    for one in found:
        by_key.setdefault(one.key, []).append(int(one.value))
    assert {number for numbers in by_key.values() for number in numbers} == set(range(3_000))
    assert all(list(dict.fromkeys(numbers)) == sorted(set(numbers)) for numbers in by_key.values()), (
        "in order, repeats behind"
    )


async def test_a_producer_that_is_dead_for_ever_is_replaced(common: CommonSettings) -> None:
    async with running(common) as box:
        box.put(TOPIC, record(1))
        assert await box.drain(Deadline.after_s(PATIENCE_S)) == 0
        await box._producer.stop()  # what a fenced or broken producer is: every send fails from now on
        for number in (2, 3):
            box.put(TOPIC, record(number))
        await until(lambda: box.waiting_records == 0)
    assert [int(one.value) for one in await everything(common)] == [1, 2, 3]
