"""Reading: what a fetch brought is unpacked at once by a kernel, into columns over one buffer, instead of record by record.

aiokafka fetches, and keeps the position of each partition; here its fetched batches become `Records`, a partition at a time.
What it does per record (an object, two calls of deserialisers, a step of a generator) costs more than folding the record.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
from aiokafka import TopicPartition
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.protocol.fetch import FetchRequest

from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.engine.records import PADDING, Records
from services.aggregator.kernels.batch import COLUMNS, HEADER, LEAST

HEAD = Struct(">qi4xbIhiqq14xi")
"""Of a batch: base offset, length, format, checksum, attributes, last offset less the base, timestamp of the first and newest
record, number of records; leaving out who leads and who wrote it."""
LENGTH_ENDS = 12
"""Where the length of a batch ends, and begins to count."""
MAGIC = 2
CODEC, BROKER_TIME, CONTROL = 0x07, 0x08, 0x20
"""Bits of the attributes of a batch."""
CODECS: dict[int, Callable[[Any], bytes]] = {1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode}


class Batch(NamedTuple):
    """The head of one batch, and its records as they are in the log."""

    base: int
    crc: int
    attributes: int
    last_delta: int
    stamp: int
    newest: int
    rows: int
    body: memoryview

    @property
    def behind(self) -> int:
        """The offset behind the last record that it had before the log was compacted."""
        return self.base + self.last_delta + 1


class StrangerError(Exception):
    """A fetch that aiokafka unpacks: batches of a format before v2, or only what was committed."""


def batches(data: bytes) -> Iterator[Batch]:
    """The whole batches of a fetch; the broker cuts the last one where its answer is full."""
    view = memoryview(data)
    at = 0
    while at + HEADER <= len(data):
        base, length, magic, crc, attributes, last_delta, stamp, newest, rows = HEAD.unpack_from(data, at)
        if magic != MAGIC:
            raise StrangerError
        end = at + LENGTH_ENDS + length
        if end > len(data):
            return
        yield Batch(base, crc, attributes, last_delta, stamp, newest, rows, view[at + HEADER : end])
        at = end


def unpack(found: Sequence[Batch], position: int) -> Records:
    """The records of these batches from this offset on; CorruptRecordException when they are not what their heads say."""
    parts: list[Any] = []
    lines = array("q")
    at = room = 0
    for batch in found:
        codec = batch.attributes & CODEC
        if codec and codec not in CODECS:
            raise CorruptRecordException(f"offset {batch.base}: expected a codec of 0 to {max(CODECS)}, got {codec}")
        body = CODECS[codec](batch.body) if codec else batch.body
        if not 0 <= batch.rows * LEAST <= len(body):
            raise CorruptRecordException(f"offset {batch.base}: {batch.rows} records in {len(body)} bytes")
        fixed = batch.attributes & BROKER_TIME
        lines.extend(
            (at, at + len(body), batch.rows, batch.base, batch.newest if fixed else batch.stamp, 1 if fixed else 0)
        )
        parts.append(body)
        at += len(body)
        room += batch.rows
    parts.append(bytes(PADDING))
    text = b"".join(parts)
    if not room:
        return Records(text, [array("q")] * COLUMNS)
    table = array("q", bytes(8 * COLUMNS * room))
    text_at = np.frombuffer(text, np.uint8).ctypes.data
    KERNELS.unpack_rows(text_at, at, lines.buffer_info()[0], len(found), position, table.buffer_info()[0], room)
    # Not what the call returns: the place of results is one for all threads.
    rows = lines[0]
    if rows < 0:
        raise CorruptRecordException(f"offsets {found[0].base} to {found[-1].behind - 1}: records that cannot be read")
    return Records(text, [table[k * room : k * room + rows] for k in range(COLUMNS)])


class Unpacked:
    """What is left of a fetch of one partition; in the place of aiokafka's own iterator of it."""

    def __init__(self, records: Records, position: int, behind: int) -> None:
        self.records = records
        self.next_fetch_offset = position
        """The offset at which the next fetch, or what is left of this one, begins."""
        self._behind = behind
        self._at = 0

    @property
    def more(self) -> bool:
        """Whether something is left."""
        return self._at < len(self.records)

    def take(self, most: int | None) -> Records:
        """The next records, so many at most."""
        records, at = self.records, self._at
        end = len(records) if most is None else min(len(records), at + most)
        self._at = end
        self.next_fetch_offset = records.offsets[end - 1] + 1 if end < len(records) else self._behind
        return records if (at, end) == (0, len(records)) else records[at:end]


class Tap:
    """The client of a fetcher, which also keeps what the newest fetch of each partition brought."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.brought: dict[TopicPartition, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node: int, request: Any, **options: Any) -> Any:
        """Send a request; the data of a fetch is the last thing said of each partition in its answer."""
        response = await self._client.send(node, request, **options)
        if isinstance(request, FetchRequest):
            for topic, partitions in response.topics:
                for partition, *_, data in partitions:
                    if data:
                        self.brought[TopicPartition(topic, partition)] = data
        return response


class Unpacker:
    """Takes what the fetcher of a consumer has fetched, in place of its own `fetched_records`."""

    def __init__(self, fetcher: Any) -> None:
        self.fetcher = fetcher
        self._tap = fetcher._client = Tap(fetcher._client)

    async def fetched(
        self, wanted: Collection[TopicPartition], timeout_s: float, most: int | None
    ) -> dict[TopicPartition, Sequence[Any]]:
        """What was fetched of the wanted partitions, or comes before the timeout; positions move with it."""
        fetcher = self.fetcher
        subscriptions = fetcher._subscriptions
        until_s = time.monotonic() + timeout_s
        while True:
            if subscriptions.reassignment_in_progress:
                await subscriptions.wait_for_assignment()
            taken = self._taken(wanted, most)
            left_s = until_s - time.monotonic()
            if taken or left_s <= 0:
                return taken
            waiter = fetcher._create_fetch_waiter()
            done, _ = await asyncio.wait([waiter], timeout=left_s)
            if not done or fetcher._closed:
                waiter.cancel()
                return {}
            waiter.result()

    def _taken(self, wanted: Collection[TopicPartition], most: int | None) -> dict[TopicPartition, Sequence[Any]]:
        fetcher = self.fetcher
        taken: dict[TopicPartition, Sequence[Any]] = {}
        for tp, found in list(fetcher._records.items()):
            if wanted and tp not in wanted:
                if not fetcher._subscriptions.is_assigned(tp):
                    self._drop(tp)
                continue
            if not isinstance(found, FetchResult):
                if taken:
                    # Said with the next question, so that what came of other partitions is not lost.
                    break
                self._drop(tp)
                found.check_raise()
            records = self._take(tp, found, most)
            if not found.has_more():
                self._drop(tp)
            if records:
                taken[tp] = records
                if most is not None:
                    most -= len(records)
                    if most <= 0:
                        break
        return taken

    def _take(self, tp: TopicPartition, found: Any, most: int | None) -> Sequence[Any]:
        """The next records of one fetch; nothing when the position is another by now."""
        if not found.has_more() or not found.check_assignment(tp):
            return ()
        if isinstance(found._partition_records, PartitionRecords):
            try:
                unpacked = self._unpack(tp, found._partition_records)
            except StrangerError:
                return list(found.getall(most))
            except BaseException:
                # Fetched again by who asks again.
                self._drop(tp)
                raise
            found._partition_records = unpacked
            if unpacked is None:
                return ()
        left: Unpacked = found._partition_records
        records = left.take(most)
        found._update_position()
        if not left.more:
            found._partition_records = None
        return records

    def _unpack(self, tp: TopicPartition, fetched: PartitionRecords) -> Unpacked | None:
        """All records of a fetch; None when what was kept of it is another one, so that it has to be fetched again."""
        data = self._tap.brought.pop(tp, None)
        if data is None or fetched._isolation_level != READ_UNCOMMITTED:
            raise StrangerError
        found = []
        behind = position = fetched.next_fetch_offset
        for batch in list(batches(data)):
            checked = fetched._records.next_batch()
            if checked is None or (checked.base_offset, checked.crc) != (batch.base, batch.crc):
                return None
            if fetched._check_crcs and not checked.validate_crc():
                raise CorruptRecordException(
                    f"{tp.topic}/{tp.partition}: a batch at {batch.base} with another checksum"
                )
            behind = max(behind, batch.behind)
            # What markers of transactions say is nothing for who reads all that was written.
            if not batch.attributes & CONTROL:
                found.append(batch)
        return Unpacked(unpack(found, position), position, behind)

    def _drop(self, tp: TopicPartition) -> None:
        """Forget what was fetched, so that the partition is fetched again."""
        fetcher = self.fetcher
        fetcher._records.pop(tp, None)
        self._tap.brought.pop(tp, None)
        fetcher._notify(fetcher._wait_consume_future)
