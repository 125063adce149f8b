"""When keys are sent: the leading edge at once, then at most once per interval, and nothing is forgotten."""

from __future__ import annotations

import msgspec

from schemas.events import Candle, Fused, Quality
from services.aggregator.engine import Partition
from services.aggregator.engine.fold import fold
from tests.unit.aggregator.engine.logs import log, raw, rules


def versions(partition: Partition, now_ms: int) -> list[int]:
    return [int(value.split(b'"version":')[1].split(b",")[0]) for _, value in partition.take(now_ms, 1 << 30)]


def test_a_quiet_key_is_sent_at_once_then_at_most_every_100_ms_with_the_newest_version() -> None:
    partition = Partition(rules(), 0)
    seen = []
    for number in range(30):
        now_ms = 1000 + number * 10
        fold(partition, log(raw(price=100.0 + number / 1000, at_ms=number), start=number), now_ms)
        seen += [(now_ms, version) for version in versions(partition, now_ms)]
    assert seen == [(1000, 0), (1110, 11), (1220, 22)]
    assert versions(partition, 1400) == [29]
    assert versions(partition, 9999) == []


def test_while_the_log_is_ahead_a_key_waits_three_seconds_for_more() -> None:
    partition = Partition(rules(), 0)
    fold(partition, log(raw()), 1000, behind=True)
    assert versions(partition, 3990) == []
    assert versions(partition, 4010) == [0]


def test_when_the_log_is_no_longer_ahead_everything_that_waits_is_sent_together() -> None:
    partition = Partition(rules(), 0)
    fold(partition, log(raw("asset:a")), 1000, behind=True)
    fold(partition, log(raw("asset:b", at_ms=1), start=1), 2000, behind=True)
    fold(partition, log(raw("asset:b", at_ms=2), start=2), 4900)
    assert versions(partition, 4990) == [0]
    assert partition.behind
    assert versions(partition, 5000) == [2]
    assert not partition.behind


def test_open_bars_wait_until_the_log_is_no_longer_ahead() -> None:
    partition = Partition(rules(), 0)
    fold(partition, log(raw(price=5.0), raw(price=7.0, at_ms=1000)), 1000, behind=True)
    partition.due.hurry()
    assert versions(partition, 2000) == [1]
    assert partition.candles.take(10) == []
    assert versions(partition, 4000) == []
    ((key, value),) = partition.candles.take(10)
    assert key.startswith(b"asset:coin|1m|")
    bar = msgspec.json.decode(value, type=Candle)
    assert (bar.open, bar.high, bar.close, bar.closed) == (5.0, 7.0, 7.0, False)


def test_no_more_than_the_limit_is_taken_and_the_rest_comes_next_in_order() -> None:
    partition = Partition(rules(), 0)
    fold(partition, log(*[raw(f"asset:c{n}", at_ms=n) for n in range(5)]), 0)
    assert [[key for key, _ in partition.take(0, 2)] for _ in range(3)] == [
        [b"asset:c0", b"asset:c1"],
        [b"asset:c2", b"asset:c3"],
        [b"asset:c4"],
    ]


def test_when_sources_learn_dirty_keys_keep_the_answer_from_before() -> None:
    partition = Partition(rules(), 0)
    fold(partition, log(raw("asset:early")), 0)
    fold(partition, log(raw("asset:late", at_ms=120_000), start=1), 0)
    early = partition.due.waiting()[0]
    assert (partition.store.key(early), partition.store.view(early).rendered) == (b"asset:early", True)
    assert list(partition.payloads) == [early]
    (first, second) = partition.take(1000, 2)
    assert (first[0], second[0]) == (b"asset:early", b"asset:late")
    assert (partition.payloads, partition.store.view(early).rendered) == ({}, False)


def test_each_metric_tells_its_own_quality_unless_it_is_the_only_one() -> None:
    partition = Partition(rules(), 0)
    fold(
        partition, log(raw("asset:one", price=100.0), raw("asset:two", metrics={"price": 100.0, "volume_24h": 5e6})), 0
    )
    one, two = (msgspec.json.decode(value, type=Fused) for _, value in partition.take(0, 2))
    assert one.metrics["price"].quality is None
    assert one.quality == Quality(
        completeness=1.0, consistency=1.0, timeliness=1.0, diversity=0.0, confidence=one.metrics["price"].confidence
    )
    price, volume = two.metrics["price"], two.metrics["volume_24h"]
    assert price.quality is not None
    assert volume.quality is not None
    assert (price.quality.confidence, volume.quality.confidence) == (price.confidence, volume.confidence)
