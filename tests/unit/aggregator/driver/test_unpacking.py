"""What is unpacked at once is what aiokafka unpacks record by record; what is damaged is refused."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.aggregator.driver.unpacking import BROKER_TIME, StrangerError, Unpacked, batches, unpack
from services.aggregator.engine.records import OneRecord, Records

STAMP = 1_795_407_293_376
Row = tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
"""How much the offset grows, timestamp, key, value, headers."""

texts = st.none() | st.binary(max_size=300)
rows = st.tuples(
    st.integers(1, 5000),
    st.integers(STAMP - 10**6, STAMP + 10**6),
    texts,
    texts,
    st.lists(st.tuples(st.text(max_size=5), texts), max_size=2),
)
logs = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.lists(rows, min_size=1, max_size=40)), max_size=4)


def batch(base: int, codec: int, found: list[Row], attributes: int = 0) -> bytes:
    """A batch of a compacted log, as a broker holds it."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, 5, 0, 0, 10**9)
    offset = 0
    for step, stamp, key, value, headers in found:
        offset += step
        builder.append(offset, stamp, key, value, headers)
    data = bytearray(builder.build())
    data[:8] = base.to_bytes(8, "big")
    data[22] |= attributes
    data[17:21] = calc_crc32c(bytes(data[21:])).to_bytes(4, "big")
    return bytes(data)


def theirs(data: bytes, position: int) -> tuple[list[tuple[Any, ...]], int]:
    """The records, and the offset behind them."""
    found = PartitionRecords(TopicPartition("t", 0), MemoryRecords(data), None, position, None, None, True, 0)
    return [(one.offset, one.timestamp, one.key, one.value) for one in found], found.next_fetch_offset


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(log=logs, cut=st.integers(0, 100), skip=st.integers(0, 20_000))
def test_a_fetch_is_what_aiokafka_makes_of_it(
    wire: str, log: list[tuple[int, bool, list[Row]]], cut: int, skip: int
) -> None:
    data, base = b"", 1000
    for codec, fixed, found in log:
        data += batch(base, codec, found, BROKER_TIME if fixed else 0)
        base += sum(step for step, *_ in found) + 1
    # The broker ends its answer where it is full.
    data = data[: len(data) - cut] if cut < len(data) else data
    # The first batch is the one that the position is in.
    position = 1000 + skip % (sum(step for step, *_ in log[0][2]) + 1 if log else 1)
    expected, behind = theirs(data, position)
    whole = list(batches(data))
    records = unpack(whole, position)
    assert list(records) == expected
    assert [records[n] for n in range(len(records))] == expected
    assert not whole or whole[-1].behind == behind


def test_records_are_columns_over_one_buffer(wire: str) -> None:
    data = batch(10, 0, [(1, STAMP, b"k", b"value", []), (1, STAMP + 5, None, b"", []), (4, STAMP, b"", None, [])])
    records = unpack(list(batches(data)), 11)
    assert records.offsets.tolist() == [11, 12, 16]
    assert records.stamps.tolist() == [STAMP, STAMP + 5, STAMP]
    text = records.text
    assert text[records.key_begins[0] : records.key_ends[0]] == b"k"
    assert text[records.begins[0] : records.ends[0]] == b"value"
    assert (records.key_begins[1], records.key_ends[1]) == (-1, -1)
    assert records.begins[1] == records.ends[1] >= 0
    assert records.key_begins[2] == records.key_ends[2] >= 0
    assert (records.begins[2], records.ends[2]) == (-1, -1)
    assert text.endswith(bytes(32))
    part = records[1:]
    assert isinstance(part, Records)
    assert list(part) == [OneRecord(12, STAMP + 5, None, b""), OneRecord(16, STAMP, b"", None)]
    assert part.text is text
    assert records[-1] == part[1]
    with pytest.raises(IndexError):
        records[3]


def test_what_is_left_of_a_fetch_begins_behind_what_was_taken(wire: str) -> None:
    data = batch(0, 3, [(2, STAMP, b"k", b"%d" % n, []) for n in range(5)])
    left = Unpacked(unpack(list(batches(data)), 5), 5, 20)
    assert left.next_fetch_offset == 5
    assert [record.offset for record in left.take(2)] == [6, 8]
    assert (left.next_fetch_offset, left.more) == (9, True)
    assert [record.offset for record in left.take(2)] == [10]
    assert (left.next_fetch_offset, left.more) == (20, False)


def test_nothing_to_unpack() -> None:
    assert list(batches(b"")) == []
    assert len(unpack([], 0)) == 0
    assert not Unpacked(unpack([], 3), 3, 7).more


def test_an_old_format_is_left_to_aiokafka() -> None:
    data = bytearray(batch(0, 0, [(1, STAMP, b"k", b"v", [])]))
    data[16] = 1
    with pytest.raises(StrangerError):
        list(batches(bytes(data)))


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (60, 3),  # one record more than there are
        (60, 1),  # one less
        (57, 1),  # far more than bytes
        (61, 0x0B),  # a length below zero
        (61, 0xFE),  # a length that does not end
        (62 + 3, 0x7E),  # a key that is longer than the record
        (62 + 5, 0x08),  # a value that leaves no room for the number of headers
    ],
)
def test_a_batch_that_is_not_what_it_says_is_refused(wire: str, at: int, value: int) -> None:
    data = bytearray(batch(0, 0, [(0, STAMP, b"k", b"v", []), (1, STAMP, b"k", b"v", [])]))
    data[at] = value
    with pytest.raises(CorruptRecordException):
        unpack(list(batches(bytes(data))), 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(found=st.lists(rows, min_size=1, max_size=5), data=st.data())
def test_damage_is_refused_or_read_within_the_buffer(wire: str, found: list[Row], data: st.DataObject) -> None:
    whole = bytearray(batch(0, 0, found))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(61, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        records = unpack(list(batches(bytes(whole))), -(2**60))
    except CorruptRecordException:
        return
    size = len(records.text) - 32
    for begins, ends in ((records.key_begins, records.key_ends), (records.begins, records.ends)):
        assert all(begin == end == -1 or 0 <= begin <= end <= size for begin, end in zip(begins, ends, strict=True))
