"""The edges of memory: no log makes kernels look or write beyond what they hold, and what is no longer needed comes back."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.engine import Partition
from services.aggregator.engine import memory as chunks
from services.aggregator.engine.checkpoint import Recovery
from services.aggregator.engine.fold import fold
from services.aggregator.kernels import bars, blocks
from services.aggregator.kernels import layout as at
from tests.unit.aggregator.engine.fence import build
from tests.unit.aggregator.engine.logs import T0, Record, folded, log, raw, rules, sent
from tests.unit.aggregator.engine.stories import CATEGORIES, LIMITS, story

HOUR_MS = 3_600_000


def saved(partition: Partition) -> list[tuple[bytes, bytes | None]]:
    """Everything that a checkpoint writes, when all that is due is out."""
    partition.begin_cut()
    out = []
    while not partition.cut_is_out():
        out += partition.take_cut(1 << 30)
        partition.take(10**12, 1 << 30)
        partition.candles.take(1 << 30)
    out += partition.close_cut()
    partition.end_cut()
    return out


def recovered(state: list[tuple[bytes, bytes | None]], category: str = "market", **limits: Any) -> Partition:
    """The partition that comes back from a checkpoint."""
    recovery = Recovery()
    for key, value in state:
        recovery.feed(key, value, ())
    return Partition(rules(category, **limits), 0, recovery)


@pytest.mark.parametrize("category", CATEGORIES)
def test_nothing_is_read_or_written_beyond_a_block(category: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fence = build(monkeypatch)
    drawn = random.Random(category)
    records = story([drawn.getrandbits(40) for _ in range(400)], category)
    one = Partition(rules(category, **LIMITS), 0)
    topic: list[tuple[bytes, bytes | None]] = []
    for begin in range(0, len(records), 40):
        if begin == 200:
            topic += saved(one)
            one = recovered(topic, category, **LIMITS)
            assert one.damaged == []
        fold(one, records[begin : begin + 40], begin, behind=begin in (80, 120))
        one.candles.sweep(3)
        one.take(begin, 7)
        one.candles.take(7)
        if begin % 120 == 0:
            topic += saved(one)
    assert fence.looks > 4000


def test_damaged_states_are_read_within_their_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    build(monkeypatch)
    drawn = random.Random(7)
    one = Partition(rules("exchange", **LIMITS), 0)
    fold(one, story([drawn.getrandbits(40) for _ in range(150)], "exchange"), 0)
    state = saved(one)
    for _ in range(60):
        broken = []
        for key, value in state:
            if not key.startswith(b"!") and value is not None:
                text = bytearray(value)
                text[drawn.randrange(14, len(text))] ^= 1 << drawn.randrange(8)
                value = bytes(text[: drawn.choice((len(text), len(text), drawn.randrange(len(text))))])
            broken.append((key, value))
        two = recovered(broken, "exchange", **LIMITS)
        kept = {key for key, value in broken if value is not None and not key.startswith(b"!")}
        assert set(two.entities) | set(two.damaged) == kept


def test_an_entity_of_five_thousand_sources_outgrows_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its statements alone are more than MARGIN, which is what is free for an ordinary entity."""
    names = [
        "price",
        "volume_24h",
        "market_cap",
        "change_24h_pct",
        "circulating_supply",
        "total_supply",
        "high_24h",
        "low_24h",
    ]
    said = dict.fromkeys(names, 90.0)
    raws = [raw("asset:coin", f"p{k % 50}", k, endpoint=f"e{k}", metrics=said, quote="usd") for k in range(5000)]
    monkeypatch.setattr(chunks, "CHUNK", 1 << 20)
    one = Partition(rules(), 0)
    ends = []
    ready = one.store.ready

    def noted(n: int = at.MARGIN) -> None:
        ends.append(one.store.desk[at.X_END] - one.store.desk[at.X_NEXT])
        ready(n)
        ends.append(one.store.desk[at.X_END] - one.store.desk[at.X_NEXT] - n)

    monkeypatch.setattr(one.store, "ready", noted)
    records = log(*raws)
    for begin in range(0, len(records), 500):
        fold(one, records[begin : begin + 500], 0)
        assert one.store.desk[at.X_NEXT] <= one.store.desk[at.X_END]
    entity = one.entity(b"asset:coin")
    assert entity is not None
    assert min(ends) >= 0
    assert len(entity) == 5000
    assert blocks.appetite(entity.address) > 2 * at.MARGIN
    assert entity.slot(4999) == entity.slots[4999]
    assert [len(row.voices) for row in entity.bars or []] == [bars.MOST_VOICES]
    shown = sent(one)["asset:coin"]["metrics"]["price"]
    assert shown["value"] == 90.0
    held = entity.slots, entity.bars
    two = recovered(saved(one))
    again = two.entity(b"asset:coin")
    assert again is not None
    assert (two.damaged, again.slots, again.bars) == ([], *held)


def test_what_is_old_goes_also_where_all_cannot_be_compared_with_all() -> None:
    one = folded([])
    store = one.store
    entity = store.view(one.at(b"asset:coin"))
    count = at.SCRATCH // 3 + 2
    for k in range(count):
        source = one.names.source(("aqua", f"e{k}", "usd", None, 1.0, "live", ("price",)))
        entity.put(source.number, T0 if k % 2 else T0 - 400 * HOUR_MS, 0, 1.0, (float(k),))
    entity.as_of_ms = T0
    before = store.desk[at.X_SCRATCH]
    guard = chunks.words_at(before, at.SCRATCH)[-1]
    assert KERNELS.trim(store.desk_at, entity.address) == (count + 1) // 2
    assert len(entity) == count // 2
    assert set(entity.slots) == set(range(1, count, 2))
    assert chunks.words_at(before, at.SCRATCH)[-1] == guard


def test_memory_and_the_index_grow_in_the_middle_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "FIRST_CHUNK", 1 << 21)
    monkeypatch.setattr(chunks, "CHUNK", 1 << 20)
    raws = [raw(f"asset:c{k}-{'x' * (k % 900)}", price=float(k + 1), at_ms=k // 20) for k in range(6000)]
    one = folded(log(*raws), "market")
    assert len(one.store._chunks) > 3
    assert len(one.entities) == 6000
    assert one.counts.folded == 6000
    out = sent(one)
    assert len(out) == 6000
    assert all(out[one.entity]["metrics"]["price"]["value"] == one.metrics["price"] for one in raws)


def test_a_batch_of_nothing_and_records_without_key_value_or_time() -> None:
    one = folded([])
    value = msgspec.json.encode(raw("asset:coin", price=3.0))
    fold(
        one,
        [
            Record(0, T0, None, value),
            Record(1, T0, b"asset:coin", None),
            Record(2, T0, None, None),
            Record(3, T0, b"", b""),
            Record(4, -1, b"asset:coin", value),
            Record(5, T0, b"asset:coin", b""),
        ],
        0,
    )
    assert [(aside.offset, aside.reason.value) for aside in one.asides] == [(k, "empty") for k in (0, 1, 2, 3, 5)]
    assert (one.position, one.counts.folded) == (5, 1)
    assert sent(one)["asset:coin"]["version"] == 4


@pytest.mark.parametrize("known", [False, True])
def test_no_time_is_beyond_the_year_9999(known: bool) -> None:
    """Else one record would carry the log's clock to where no word holds what comes after."""
    one = folded(log(raw("asset:coin")) if known else [])
    for k, received_ms in enumerate((at.LATEST_MS + 1, 1 << 62)):
        event = msgspec.structs.replace(raw("asset:coin", at_ms=5), received_ms=received_ms)
        fold(one, [Record(1 + k, (1 << 63) - 1 - 10**7, b"asset:coin", msgspec.json.encode(event))], 0)
    assert [aside.reason.value for aside in one.asides] == ["time", "time"]
    assert one.log_ms < at.LATEST_MS


def test_long_keys_are_found_sent_and_saved() -> None:
    keys = ["asset:" + letter * n for n in (65_000, 65_001, 100_000) for letter in ("x", '"')]
    one = folded(log(*(raw(key, price=2.0) for key in keys)))
    assert (set(sent(one)), len(one.asides)) == (set(keys), 0)
    two = recovered(saved(one))
    assert (set(two.entities), two.damaged) == ({key.encode() for key in keys}, [])


def test_an_event_of_three_hundred_metrics_is_set_aside_and_what_is_known_of_it_folded() -> None:
    said = {f"metric_{k}": 1.0 for k in range(299)} | {"price": 5.0}
    one = folded(log(raw("asset:coin", metrics=said), raw("asset:coin", at_ms=1, price=6.0)))
    assert [aside.reason.value for aside in one.asides] == ["metric"]
    assert sent(one)["asset:coin"]["metrics"]["price"]["value"] == 6.0


def test_an_entity_that_begins_anew_while_it_waits_is_sent_once() -> None:
    one = folded(log(raw("asset:coin", price=1.0)), expire_ms=HOUR_MS)
    fold(one, log(raw("asset:other"), raw("asset:coin", at_ms=3 * HOUR_MS, price=2.0), start=1), 0)
    assert len(one.due.waiting()) == len(set(one.due.waiting())) == 2
    out = [msgspec.json.decode(value or b"") for key, value in one.take(10**9, 10) if key == b"asset:coin"]
    assert [record["metrics"]["price"]["value"] for record in out] == [2.0]
    assert len(out[0]["metrics"]["price"]["by"]) == 1
    assert one.changed.keys() >= {one.at(b"asset:coin")}


def test_an_address_is_used_again_with_nothing_of_who_was_there_before() -> None:
    one = folded(log(*(raw("asset:aaaa", f"p{k}", k) for k in range(4))), expire_ms=HOUR_MS)
    address = one.at(b"asset:aaaa")
    sent(one)
    cut = one.begin_cut()
    one.candles.take(1 << 30)
    fold(one, log(raw("asset:far", at_ms=2 * HOUR_MS), start=4), 0)
    one.candles.finish()
    assert one.entity(b"asset:aaaa") is None
    fold(one, log(raw("asset:bbbb", at_ms=2 * HOUR_MS + 1, price=7.0), start=5), 0)
    assert one.at(b"asset:bbbb") == address
    out = dict(one.take(10**10, 100))
    assert out[b"asset:aaaa"] is None
    assert msgspec.json.decode(out[b"asset:bbbb"] or b"")["metrics"]["price"]["value"] == 7.0
    assert [key for key, _ in one.take_cut(100)] == [b"asset:aaaa"], "the cut is of before"
    assert cut.written == 1
    one.close_cut()
    one.end_cut()
    one.begin_cut()
    assert dict(one.take_cut(100)).keys() == {b"asset:aaaa", b"asset:bbbb", b"asset:far"}


def test_a_restart_in_the_middle_of_a_cut_goes_on_from_the_one_before() -> None:
    one = folded(log(*(raw(f"asset:{k}", price=1.0) for k in range(10))))
    sent(one)
    state = saved(one)
    fold(one, log(*(raw(f"asset:{k}", at_ms=1, price=2.0) for k in range(10)), start=10), 0)
    one.begin_cut()
    two = recovered([*state, *one.take_cut(4)])
    assert (two.position, two.damaged) == (9, [])
    assert {slot[3] for entity in two.entities.values() for slot in entity.slots.values()} == {(1.0,)}


def test_versions_rise_over_a_log_that_was_made_anew() -> None:
    one = folded(log(raw("asset:coin", price=1.0)))
    before = sent(one)["asset:coin"]["version"]
    one.renew_log()
    fold(one, log(raw("asset:coin", at_ms=1, price=2.0)), 0)
    assert one.position == 0
    assert sent(one, 2 * 10**9)["asset:coin"]["version"] == (1 << 40) > before


def test_partitions_of_one_process_share_nothing() -> None:
    alone = folded(log(*(raw(f"asset:{k % 7}", f"p{k % 5}", 900 * k, price=100.0 + k % 3) for k in range(300))))
    one, other = Partition(rules(), 0), Partition(rules("exchange"), 1)
    records = log(*(raw(f"asset:{k % 7}", f"p{k % 5}", 900 * k, price=100.0 + k % 3) for k in range(300)))
    noise = log(*(
        raw(f"pair:{k % 5}/usd", f"q{k % 9}", 700 * k, metrics={"last": 5.0 + k % 2}, category="exchange") for k in range(300)
    ))  # fmt: skip
    for begin in range(0, 300, 10):
        fold(one, records[begin : begin + 10], 0)
        fold(other, noise[begin : begin + 10], 0)
    assert sent(one) == sent(alone)
    assert len(other.entities) == 5


def test_damaged_keys_begin_anew() -> None:
    one = folded(log(raw("asset:coin", price=1.0), raw("asset:other", price=3.0)))
    sent(one)
    state = [(key, value[:20] if key == b"asset:coin" and value else value) for key, value in saved(one)]
    two = recovered(state)
    assert (two.damaged, set(two.entities)) == ([b"asset:coin"], {b"asset:other"})
    fold(two, log(raw("asset:coin", at_ms=2, price=2.0), start=2), 0)
    record = sent(two)["asset:coin"]
    assert (record["version"], record["metrics"]["price"]["value"]) == (2, 2.0)
    third = recovered([*state, *saved(two)])
    assert (third.damaged, set(third.entities)) == ([], {b"asset:coin", b"asset:other"})


def test_memory_stays_bounded_while_entities_come_and_go() -> None:
    one = folded([], expire_ms=HOUR_MS)
    taken = []
    offset = 0
    for hour in range(12):
        raws = [
            raw(f"asset:{hour}-{k % 400}", f"p{k % 4}", hour * HOUR_MS + 300 * k, price=5.0 + k % 3)
            for k in range(8000)
        ]
        for begin in range(0, len(raws), 1000):
            fold(one, log(*raws[begin : begin + 1000], start=offset), offset)
            offset += 1000
            one.candles.sweep(1 << 30)
            one.take(10**10 + offset, 1 << 30)
            one.candles.take(1 << 30)
        saved(one)
        taken.append(one.store.desk[at.X_NEXT] if len(one.store._chunks) == 1 else one.store.taken)
        assert len(one.entities) <= 1200
    assert taken[-1] == taken[5], "what was forgotten is used again"
    assert not one.payloads
    assert sum(map(len, one.candles.index.values())) <= 2 * 400
