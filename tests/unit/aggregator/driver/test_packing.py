"""Batches that are made at once are byte for byte those that aiokafka makes record by record."""

from __future__ import annotations

import numpy as np
import pytest
from aiokafka.codec import lz4_decode
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.aggregator.driver.packing import Packed, Packer, Ready, Rows, lz4_fast, tombstone_headers
from services.aggregator.engine.model import Output

STAMP = 1_795_407_293_376
NUMBER = (731, 5, 2_000_000_001)
ROOM = 64 * 1024
CODECS = {None: 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

texts = st.binary(max_size=300) | st.integers(0, 20_000).map(lambda n: b"price" * n)
records = st.lists(st.tuples(st.binary(max_size=200), texts | st.none()), min_size=1, max_size=300)


def theirs(
    rows: list[Output], compression: str | None, headers: list[tuple[str, bytes]], room: int = ROOM
) -> tuple[bytes, int]:
    """The batch of as many of these as aiokafka takes, and how many that is."""
    builder = BatchBuilder(room, CODECS[compression])
    taken = 0
    for key, value in rows:
        if builder.append(timestamp=STAMP, key=key, value=value, headers=headers if value is None else []) is None:
            break
        taken += 1
    builder._set_producer_state(*NUMBER)
    return bytes(builder._build()), taken


def ours(packed: Packed) -> bytes:
    """The whole batch."""
    ready = Ready(packed, STAMP)
    assert ready.size() == 61 + len(packed.body)
    ready._set_producer_state(*NUMBER)
    assert ready._build() is ready._build()
    return bytes(ready._build())


@pytest.mark.parametrize("compression", [None, "snappy", "zstd"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=records, version=st.none() | st.binary(min_size=8, max_size=8))
def test_the_bytes_are_those_of_aiokafka(
    wire: str, compression: str | None, rows: list[Output], version: bytes | None
) -> None:
    headers = [] if version is None else [("version", version)]
    packer, all_rows = Packer(ROOM, compression), Rows.of(rows)
    done = 0
    while done < len(rows):
        packed = packer.pack(all_rows, done, tombstone_headers(headers) if headers else b"")
        expected, taken = theirs(rows[done:], compression, headers)
        if packed.rows == 0:
            # aiokafka makes a batch of a first record however large it is.
            assert taken == 1
            assert len(rows[done][1] or b"") > ROOM - 300
            done += 1
            continue
        if packed.attributes == 0:
            # aiokafka also sends what compression made longer.
            assert len(theirs(rows[done:], None, headers)[0]) <= len(expected)
            expected, _ = theirs(rows[done:], None, headers)
        assert (packed.rows, ours(packed)) == (taken, expected)
        done += packed.rows


@pytest.mark.parametrize("compression", ["gzip", "lz4"])
def test_what_differs_in_its_bytes_is_read_back(wire: str, compression: str) -> None:
    rows: list[Output] = [(b"k%d" % n, b'{"value":%d}' % n * 20) for n in range(100)]
    packed = Packer(ROOM, compression).pack(Rows.of(rows), 0, b"")
    data = ours(packed)
    assert len(data) < 2500
    batch = MemoryRecords(data).next_batch()
    assert batch is not None
    assert batch.validate_crc()
    assert [(record.offset, record.timestamp, record.key, record.value) for record in batch] == [
        (n, STAMP, key, value) for n, (key, value) in enumerate(rows)
    ]


def test_a_batch_ends_with_the_last_record_that_fits(wire: str) -> None:
    # 1 byte of length, 6 of numbers, 1 of key and 10 of value, behind the head.
    rows: list[Output] = [(b"k", b"0123456789")] * 3
    assert Packer(61 + 2 * 18, None).pack(Rows.of(rows), 0, b"").rows == 2
    assert Packer(61 + 2 * 18 - 1, None).pack(Rows.of(rows), 0, b"").rows == 1
    assert Packer(61 + 18, None).pack(Rows.of(rows), 2, b"").rows == 1
    assert Packer(61 + 17, None).pack(Rows.of(rows), 0, b"") == Packed(0, 0, b"")


def test_rows_lie_anywhere_in_a_buffer(wire: str) -> None:
    text = np.frombuffer(b"..value-b..a..value-a..b", np.uint8)
    spans = np.array([[11, 12, 14, 21], [23, 24, 2, 9], [11, 12, -1, -1]], np.int64)
    rows = Rows(text.ctypes.data, spans.ctypes.data, 3)
    assert [rows.record(n) for n in range(3)] == [(b"a", b"value-a"), (b"b", b"value-b"), (b"a", None)]
    packed = Packer(ROOM, None).pack(rows, 0, b"")
    assert ours(packed) == theirs([(b"a", b"value-a"), (b"b", b"value-b"), (b"a", None)], None, [])[0]


def test_rows_of_nothing_but_tombstones() -> None:
    rows = Rows.of([(b"", None), (b"a", None)])
    assert [rows.record(n) for n in range(rows.count)] == [(b"", None), (b"a", None)]


def test_a_header_must_be_short() -> None:
    with pytest.raises(ValueError, match="at most 63 bytes, got 64"):
        tombstone_headers([("version", b"x" * 64)])


def test_a_batch_takes_no_more() -> None:
    ready = Ready(Packer(ROOM, None).pack(Rows.of([(b"a", b"1")]), 0, b""), STAMP)
    assert ready.closed()
    assert ready.record_count() == 1
    assert ready.append(timestamp=STAMP, key=b"b", value=b"2") is None


def test_lz4_is_a_frame_that_everybody_reads() -> None:
    data = b'{"price":359.06255381,"confidence":0.99915}' * 20_000
    frame = lz4_fast(data)
    assert len(frame) < len(data) / 20
    assert lz4_decode(frame) == data
    # No checksums, independent blocks of at most a megabyte: the only kind that every client of Kafka reads.
    assert frame[4:6] == bytes((0b0110_0000, 6 << 4))
    assert frame.endswith(bytes(4))


def test_a_batch_must_fit_one_block() -> None:
    with pytest.raises(ValueError, match="at most 1048576 bytes, got 1048577"):
        Packer(1024 * 1024 + 1, "lz4")
