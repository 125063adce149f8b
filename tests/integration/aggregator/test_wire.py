"""Batches of ours through a real broker: every codec, and what a consumer reads wherever it is sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.driver import writer as writing
from services.aggregator.driver.packing import CODECS, Packer, Ready, Rows
from services.aggregator.driver.unpacking import Unpacker
from services.aggregator.driver.writer import OPTIONS, Writer
from services.aggregator.engine.model import Output
from services.aggregator.engine.records import Records
from services.aggregator.metrics import ROWS
from services.common import kafka
from services.common.metrics import Metrics
from services.common.settings import CommonSettings
from tests.fixtures.aggregators import read

TOPIC = "fused.market"
SECTION = 7
"""Records of one batch, in tests that read from the middle of batches."""


async def taken(unpacker: Unpacker, tp: TopicPartition, most: int | None, deadline_s: float = 20.0) -> Sequence[Any]:
    """What comes next of a partition."""
    until_s = time.monotonic() + deadline_s
    while time.monotonic() < until_s:
        found = await unpacker.fetched([tp], 0.5, most)
        if tp in found:
            return found[tp]
    raise AssertionError(f"nothing came of {tp}")


def rows_of(records: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What is compared of each record."""
    return [(record.offset, record.timestamp, record.key, record.value) for record in records]


async def fill(producer: AIOKafkaProducer, tp: TopicPartition, count: int) -> None:
    """Numbered records in batches of SECTION, each batch with another codec."""
    for first in range(0, count, SECTION):
        rows = Rows.of([(b"k%d" % n, b'{"n":%d}' % n * 20) for n in range(first, min(count, first + SECTION))])
        packer = Packer(64 * 1024, list(CODECS)[first // SECTION % len(CODECS)])
        ready = Ready(packer.pack(rows, 0, b""), 1_795_407_293_376 + first)
        await (await producer.send_batch(ready, tp.topic, partition=tp.partition))


@pytest.fixture(autouse=True)
def compiled() -> None:
    """As the aggregator runs."""
    KERNELS.warm(wait=True)


async def allowed() -> None:
    """Writing always is."""


@pytest.mark.timeout(120)
@pytest.mark.topics(TOPIC)
async def test_all_codecs_and_several_batches_keep_their_order_and_tombstones_their_version(
    common: CommonSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[tuple[Any, ...]] = []
    for compression in CODECS:
        monkeypatch.setattr(writing, "COMPRESSION", compression)
        monkeypatch.setattr(writing, "OPTIONS", OPTIONS | {"max_batch_size": 4096})
        async with kafka.producer(common, **OPTIONS) as producer:
            writer = Writer(producer, lambda: asyncio.sleep(0, producer), allowed, Metrics.build(ROWS))
            rows: list[Output] = [(b"%d" % n, b'{"price":%d}' % n * (n % 17)) for n in range(200)]
            rows += [(b"gone", None), (b"", b"x")]
            await writer.send(common.topic_prefix + TOPIC, 0, rows, tombstone_version=300)
            expected += [
                (key, value, () if value is not None else (("version", (300).to_bytes(8, "big")),))
                for key, value in rows
            ]
    found = [(record.key, record.value, tuple(record.headers)) for record in await read(common, TOPIC)]
    assert found == expected


@pytest.mark.timeout(60)
@pytest.mark.topics(TOPIC)
async def test_a_record_larger_than_a_batch_goes_alone_and_one_that_the_topic_refuses_holds_nobody_up(
    common: CommonSettings,
) -> None:
    # What compresses is taken; what does not is more than a topic takes.
    large = b"x" * (2 * OPTIONS["max_batch_size"])
    refused = b"".join(n.to_bytes(4, "big") for n in range(0, 2**32, 2**32 // 2_000_000))[: 8 * 1024 * 1024 - 1000]
    rows: list[Output] = [(b"a", b"1"), (b"large", large), (b"refused", refused), (b"b", b"2")]
    async with AsyncExitStack() as stack:

        async def renew() -> AIOKafkaProducer:
            return await stack.enter_async_context(kafka.producer(common, **OPTIONS))

        # What the topic refuses costs the producer its numbers; the next one goes on.
        writer = Writer(await renew(), renew, allowed, Metrics.build(ROWS))
        await writer.send(common.topic_prefix + TOPIC, 0, rows)
    assert [(record.key, len(record.value)) for record in await read(common, TOPIC)] == [
        (b"a", 1),
        (b"large", len(large)),
        (b"b", 1),
    ]


@pytest.mark.timeout(120)
@pytest.mark.topics(TOPIC)
async def test_what_is_fetched_is_what_aiokafka_makes_of_it_also_in_parts_and_from_the_middle_of_a_batch(
    common: CommonSettings,
) -> None:
    tp = TopicPartition(common.topic_prefix + TOPIC, 1)
    count = 12 * SECTION
    async with kafka.producer(common, **OPTIONS) as producer:
        await fill(producer, tp, count)
    expected = rows_of(await read(common, TOPIC))
    assert len(expected) == count
    async with kafka.reader(common, fetch_max_wait_ms=50) as reader:
        unpacker = Unpacker(reader._fetcher)
        reader.assign([tp])
        await reader.seek_to_beginning()
        whole = await taken(unpacker, tp, None)
        assert isinstance(whole, Records)
        assert rows_of(whole) == expected
        assert await reader.position(tp) == count
        for begin in (0, 1, SECTION - 1, SECTION, 3 * SECTION + 4, count - 1):
            for most in (1, 5, SECTION, 1000):
                reader.seek(tp, begin)
                found: list[tuple[Any, ...]] = []
                while len(found) < len(expected[begin:]):
                    part = await taken(unpacker, tp, most)
                    assert 0 < len(part) <= most
                    found += rows_of(part)
                    assert await reader.position(tp) == begin + len(found)
                assert found == expected[begin:]
        # Where there is nothing more, the question ends with its time.
        assert await unpacker.fetched([tp], 0.1, None) == {}


@pytest.mark.timeout(120)
@pytest.mark.topics(TOPIC)
async def test_a_seek_forgets_what_was_fetched_and_a_limit_is_one_over_all_partitions(common: CommonSettings) -> None:
    tps = [TopicPartition(common.topic_prefix + TOPIC, number) for number in (0, 1)]
    async with kafka.producer(common, **OPTIONS) as producer:
        for tp in tps:
            await fill(producer, tp, 2 * SECTION)
    async with kafka.reader(common, fetch_max_wait_ms=50) as reader:
        unpacker = Unpacker(reader._fetcher)
        reader.assign(tps)
        await reader.seek_to_beginning()
        seen: dict[TopicPartition, list[int]] = {tp: [] for tp in tps}
        while any(len(offsets) < 2 * SECTION for offsets in seen.values()):
            found = await unpacker.fetched(tps, 1.0, 5)
            assert sum(map(len, found.values())) <= 5
            for tp, records in found.items():
                seen[tp] += [record.offset for record in records]
        assert seen == {tp: list(range(2 * SECTION)) for tp in tps}
        reader.seek(tps[0], 2)
        assert [record.offset for record in await taken(unpacker, tps[0], 3)] == [2, 3, 4]
        reader.seek(tps[0], 9)
        assert [record.offset for record in await taken(unpacker, tps[0], 3)] == [9, 10, 11]
        reader.seek(tps[0], 3)
        reader.pause(tps[0])
        assert await unpacker.fetched([tps[0]], 0.2, None) == {}
        reader.resume(tps[0])
        assert [record.offset for record in await taken(unpacker, tps[0], None)] == list(range(3, 2 * SECTION))


@pytest.mark.timeout(120)
@pytest.mark.topics(TOPIC)
async def test_markers_of_transactions_are_passed_by_and_what_was_not_committed_is_left_to_aiokafka(
    common: CommonSettings,
) -> None:
    tp = TopicPartition(common.topic_prefix + TOPIC, 0)
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(kafka.producer(common, transactional_id=common.topic_prefix + "one"))
        for value in (b"kept", b"aborted", b"kept too"):
            await producer.begin_transaction()
            await producer.send_and_wait(tp.topic, value, b"k", tp.partition)
            await (producer.abort_transaction() if value == b"aborted" else producer.commit_transaction())
    for isolation, expected in (
        ("read_uncommitted", [(0, b"kept"), (2, b"aborted"), (4, b"kept too")]),
        ("read_committed", [(0, b"kept"), (4, b"kept too")]),
    ):
        async with kafka.reader(common, fetch_max_wait_ms=50, isolation_level=isolation) as reader:
            unpacker = Unpacker(reader._fetcher)
            reader.assign([tp])
            await reader.seek_to_beginning()
            found = await taken(unpacker, tp, None)
            assert [(record.offset, record.value) for record in found] == expected
            # Behind the last marker, so that it is not fetched again and again.
            await asyncio.sleep(0)
            assert await unpacker.fetched([tp], 0.2, None) == {}
            assert await reader.position(tp) == 6


@pytest.mark.timeout(60)
@pytest.mark.topics(TOPIC)
async def test_an_answer_that_was_not_heard_is_unpacked_by_aiokafka(common: CommonSettings) -> None:
    tp = TopicPartition(common.topic_prefix + TOPIC, 1)
    async with kafka.producer(common, **OPTIONS) as producer:
        await fill(producer, tp, 2 * SECTION)
    async with kafka.reader(common, fetch_max_wait_ms=50) as reader:
        reader.assign([tp])
        await reader.seek_to_beginning()
        await fetched(reader, tp)
        unpacker = Unpacker(reader._fetcher)
        first = await taken(unpacker, tp, 3)
        assert not isinstance(first, Records)
        assert [record.offset for record in first] == [0, 1, 2]
        rest = await taken(unpacker, tp, None)
        assert [record.offset for record in rest] == list(range(3, 2 * SECTION))


async def fetched(reader: AIOKafkaConsumer, tp: TopicPartition) -> None:
    """Wait until something of a partition lies ready."""
    until_s = time.monotonic() + 20
    while tp not in reader._fetcher._records and time.monotonic() < until_s:
        await asyncio.sleep(0.01)
    assert tp in reader._fetcher._records
