"""Checkpoints are exact: from any of them the rest of the log gives what it gave the first time, byte for byte."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.engine import Partition, checkpoint
from services.aggregator.engine.checkpoint import Recovery
from services.aggregator.engine.fold import fold
from services.aggregator.engine.model import Output
from tests.unit.aggregator.engine.logs import folded, log, raw, rules, sent


def busy(count: int, seed: int = 1, step_ms: int = 700):
    """A log of few entities over several learning windows, minutes and epochs, with conversion and duplicates."""
    rnd = random.Random(seed)
    raws = []
    for number in range(count):
        at_ms = number * step_ms
        entity = rnd.choice(("asset:coin", "asset:other", "asset:tether", "asset:third"))
        quote = "usd" if entity == "asset:tether" else rnd.choice(("usd", "tether"))
        one = raw(
            entity, rnd.choice(("aqua", "brick", "cedar", "delta")), at_ms, price=100 * (1 + rnd.gauss(0, 0.0005)), quote=quote,
            event_ms=raw(at_ms=at_ms).received_ms - rnd.randrange(3000), id=f"{rnd.randrange(10**9)}",
        )  # fmt: skip
        raws.append(one)
        if rnd.random() < 0.1:
            raws.append(one)
    return log(*raws)


def cut(partition: Partition) -> list[Output]:
    """A whole checkpoint, as it would stand in the state topic."""
    partition.begin_cut()
    partition.take(10**9, 1 << 30)
    partition.candles.take(1 << 30)
    out = partition.take_cut(1 << 30) + partition.close_cut()
    partition.end_cut()
    return out


def recovered(records: list[Output]) -> Partition:
    recovery = Recovery()
    for key, value in records:
        recovery.feed(key, value, [(checkpoint.VERSION_HEADER, (0).to_bytes(8, "big"))])
    return Partition(rules(), 0, recovery)


def every_version(partition: Partition, records) -> dict[tuple[bytes, int], bytes]:
    """Fold one by one and send all: (key, version) -> payload, bars too."""
    found: dict[tuple[bytes, int], bytes] = {}
    for number, record in enumerate(records):
        fold(partition, (record,), number * 10_000)
        partition.due.hurry()
        for key, value in [*partition.take(number * 10_000, 1 << 30), *partition.candles.take(1 << 30)]:
            version = int(value.split(b'"version":')[1].split(b",")[0])
            assert found.setdefault((key, version), value) == value, "two payloads for one version"
    return found


@settings(max_examples=8, deadline=None)
@given(at=st.integers(1, 240), seed=st.integers(0, 50))
def test_after_a_recovery_the_rest_of_the_log_gives_the_same_bytes(at: int, seed: int) -> None:
    records = busy(240, seed)
    whole = every_version(Partition(rules(), 0), records)
    first = Partition(rules(), 0)
    fold(first, records[:at], 0)
    second = recovered(cut(first))
    assert second.position == records[at - 1].offset if at <= len(records) else True
    rest = every_version(second, records)
    shared = whole.keys() & rest.keys()
    assert {key: rest[key] for key in shared} == {key: whole[key] for key in shared}
    last = records[-1].offset
    assert [key for key in whole if key[1] == last] == [key for key in rest if key[1] == last]


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(1, 240), min_size=1, max_size=6, unique=True), seed=st.integers(0, 50))
def test_how_often_it_is_checkpointed_changes_nothing(cuts: list[int], seed: int) -> None:
    records = busy(240, seed)
    whole = every_version(Partition(rules(), 0), records)
    partition, topic, done = Partition(rules(), 0), [], 0
    for at in sorted(cuts):
        fold(partition, records[done:at], at)
        done = at
        topic += cut(partition)
        partition = recovered(topic)
    rest = every_version(partition, records[done:])
    assert {key: rest[key] for key in rest if key in whole} == {key: whole[key] for key in rest if key in whole}


def test_an_entity_that_changes_during_a_cut_is_saved_as_it_was_at_the_cut() -> None:
    records = busy(200)
    partition = Partition(rules(), 0)
    fold(partition, records[:100], 0)
    exact = {key: recovered(cut(folded(records[:100]))).entity(key) for key in (b"asset:coin", b"asset:other")}
    partition.begin_cut()
    out = partition.take_cut(1)
    fold(partition, records[100:], 1)
    partition.take(10**9, 1 << 30)
    partition.candles.take(1 << 30)
    out += partition.take_cut(1 << 30) + partition.close_cut()
    partition.end_cut()
    found = recovered(out)
    assert found.position == records[99].offset
    for key, entity in exact.items():
        assert entity is not None
        held = found.entity(key)
        assert held is not None
        assert (held.version, held.as_of_ms, held.slots) == (entity.version, entity.as_of_ms, entity.slots)


def test_a_checkpoint_that_was_not_closed_changes_nothing() -> None:
    partition = folded(log(raw(price=1.0)))
    topic = cut(partition)
    fold(partition, log(raw(price=2.0, at_ms=5), start=1), 0)
    unclosed = cut(partition)[:-1]
    found = recovered(topic + unclosed)
    assert found.position == 0
    assert found.entity(b"asset:coin").slots[0][3] == (1.0,)


def test_an_old_owner_that_writes_late_changes_nothing() -> None:
    records = busy(120)
    old, new = folded(records[:40]), folded(records[:100])
    late, current = cut(old), cut(new)
    assert {key: recovered(current + late).entity(key).version for key in new.entities} == {
        key: recovered(current).entity(key).version for key in new.entities
    }
    assert recovered(current + late).position == recovered(current).position


def test_whom_nobody_speaks_of_is_forgotten_with_a_tombstone_for_readers_and_for_recovery() -> None:
    partition = folded(log(raw("asset:gone"), raw("asset:kept", at_ms=3_600_000)), expire_ms=1_800_000)
    topic = cut(partition)
    partition.candles.finish()
    assert [(key, value) for key, value in partition.take(10**10, 100) if value is None] == [(b"asset:gone", None)]
    recovery = Recovery()
    for key, value in topic + cut_after(partition):
        recovery.feed(key, value, [(checkpoint.VERSION_HEADER, partition.version.to_bytes(8, "big"))])
    assert set(recovery.entities) == {b"asset:kept"}


def cut_after(partition: Partition) -> list[Output]:
    fold(partition, log(raw("asset:kept", at_ms=3_600_001, id="again"), start=2), 0)
    return cut(partition)


def test_an_entity_that_comes_back_after_its_time_starts_anew_whether_or_not_it_was_swept() -> None:
    records = log(raw(provider="aqua"), raw("asset:kept", at_ms=3_600_000), raw(provider="brick", at_ms=3_600_001))
    partition = folded(records, expire_ms=1_800_000)
    assert [one["provider"] for one in sent(partition)["asset:coin"]["metrics"]["price"]["by"]] == ["brick"]
