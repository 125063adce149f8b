"""The partitioner of Kafka's Java client, byte for byte."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as theirs
from hypothesis import given
from hypothesis import strategies as st

from services.common.kafka import murmur2, partition_of


def signed(unsigned: int) -> int:
    return unsigned - (1 << 32) if unsigned & (1 << 31) else unsigned


# Expected values of org.apache.kafka.common.utils.UtilsTest.testMurmur2 (Apache Kafka, trunk).
@pytest.mark.parametrize(
    "key, expected",
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_the_java_client(key: bytes, expected: int) -> None:
    assert signed(murmur2(key)) == expected


@given(st.binary(max_size=80))
def test_the_hash_agrees_with_the_client_library_for_any_key(key: bytes) -> None:
    assert murmur2(key) == theirs(key) & 0xFFFFFFFF


@pytest.mark.parametrize(
    "key, partitions, expected",
    [
        (b"21", 4, (-973932308 & 0x7FFFFFFF) % 4),
        (b"abc", 4, 3),
        (b"foobar", 12, (-790332482 & 0x7FFFFFFF) % 12),
    ],
)
def test_a_negative_hash_loses_its_sign_before_the_remainder(key: bytes, partitions: int, expected: int) -> None:
    assert partition_of(key, partitions) == expected
