"""Latest by max(version), change order, rings, packing."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.view import feed as feeds
from services.gateway.view.feed import BadRecord, Feed, Ticks
from services.gateway.view.view import View
from tests.fixtures.market import EPOCH, T0, put, record, view


def prices(of: View) -> dict[str, float]:
    """Entity -> price held."""
    feed = of.fused["market"]
    return {
        key: msgspec.json.decode(feed.value(entry))["metrics"]["price"]["value"] for key, entry in feed.entries.items()
    }


def test_the_highest_version_wins_in_whatever_order_they_come() -> None:
    v = view()
    assert put(v, record(offset=5, price=5.0), 0)
    assert not put(v, record(offset=4, price=4.0), 1)
    assert prices(v) == {"asset:bitcoin": 5.0}
    assert put(v, record(offset=6, price=6.0), 2)
    assert prices(v) == {"asset:bitcoin": 6.0}
    assert v.fused["market"].positions == {0: 3}


@given(st.permutations(list(range(1, 9))))
def test_any_order_of_delivery_ends_in_the_same_state(order: list[int]) -> None:
    v = view()
    for at, offset in enumerate(order):
        put(v, record(offset=offset, price=float(offset)), at)
    assert prices(v) == {"asset:bitcoin": 8.0}


def test_a_record_written_twice_is_no_news_but_takes_the_later_offset() -> None:
    v = view()
    put(v, record(offset=5, price=5.0), 10)
    tick = v.ticks.now
    assert not put(v, record(offset=5, price=5.0), 11)
    assert v.ticks.now == tick
    assert v.fused["market"].entries["asset:bitcoin"].offset == 11


def test_a_tombstone_forgets_the_key() -> None:
    v = view()
    put(v, record(price=1.0))
    assert v.fused["market"].apply("asset:bitcoin", None, 0, 1, T0)
    assert prices(v) == {}
    assert not v.fused["market"].apply("asset:bitcoin", None, 0, 2, T0)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("asset:bitcoin", b"{", "fused record: Input data was truncated"),
        ("asset:bitcoin", b"[]", "fused record: Expected `object`, got `array`"),
        ("asset:bitcoin", b"\xff\xfe", "fused record: JSON is malformed: invalid character (byte 0)"),
        ("asset:ether", msgspec.json.encode(record(price=1.0)), "fused record: expected entity asset:ether (the key), got asset:bitcoin"),
        (
            "asset:bitcoin",
            msgspec.json.encode(record(category="exchange", bid=1.0)),
            "fused record: expected category market (the topic), got exchange",
        ),
        (
            "asset:bitcoin",
            msgspec.json.encode(record(at_ms=10**15, price=1.0)),
            "fused record: expected as_of_ms between 1970 and 9999, got 1000000000000000",
        ),
    ],
    ids=["truncated", "array", "not utf-8", "other key", "other category", "year 33658"],
)  # fmt: skip
def test_a_record_that_cannot_be_meant_is_refused_by_name_and_changes_nothing(
    key: str, value: bytes, reason: str
) -> None:
    v = view()
    put(v, record(price=1.0), 0)
    with pytest.raises(BadRecord) as refused:
        v.fused["market"].apply(key, value, 0, 1, T0)
    assert str(refused.value) == reason
    assert prices(v) == {"asset:bitcoin": 1.0}
    assert v.fused["market"].positions == {0: 2}


def test_a_reader_gets_what_changed_since_its_tick_newest_first() -> None:
    v = view()
    feed = v.fused["market"]
    put(v, record("asset:bitcoin", 1, price=1.0), 0)
    put(v, record("asset:ethereum", 2, price=2.0), 1)
    tick = feed.tick
    assert [entry.key for entry in feed.changed_after(0)] == ["asset:ethereum", "asset:bitcoin"]
    put(v, record("asset:bitcoin", 3, price=3.0), 2)
    assert [entry.key for entry in feed.changed_after(tick)] == ["asset:bitcoin"]
    assert [entry.key for entry in feed.changed_after(feed.tick)] == []


def test_what_all_readers_saw_is_forgotten_and_nothing_else() -> None:
    v = view()
    feed = v.fused["market"]
    for offset, name in enumerate(("asset:a", "asset:b", "asset:c"), 1):
        put(v, record(name, offset, price=1.0), offset)
    feed.forget(feed.entries["asset:b"].tick)
    assert list(feed.changed) == ["asset:c"]
    feed.forget(feed.tick)
    assert feed.changed == {}
    assert len(feed.entries) == 3


def test_a_version_is_rendered_once_and_a_new_version_anew() -> None:
    v = view()
    feed = v.fused["market"]
    put(v, record(price=1.0))
    entry = feed.entries["asset:bitcoin"]
    first = feed.rendered(entry, T0)
    assert feed.rendered(entry, T0 + 1) is first
    put(v, record(offset=2, price=2.0), 1)
    assert feed.rendered(entry, T0) is not first


def test_rendered_forms_beyond_the_budget_are_dropped_oldest_first() -> None:
    v = view()
    feed = v.fused["market"]
    feed._rendered_budget = 8_000
    for offset in range(20):
        put(v, record(f"asset:a{offset:02}", offset + 1, price=1.0), offset)
    for entry in feed.entries.values():
        feed.rendered(entry, T0)
    kept = [entry.key for entry in feed.entries.values() if entry.rendered is not None]
    assert 0 < len(kept) < 20
    assert kept == [f"asset:a{n:02}" for n in range(20 - len(kept), 20)]
    assert sum(entry.rendered.size() for entry in feed.entries.values() if entry.rendered) <= 8_000


def test_records_beyond_the_budget_are_packed_and_read_back_as_they_came() -> None:
    v = view()
    kind = v.fused["market"].kind
    feed = Feed("fused.market", kind, Ticks(), raw_budget_bytes=20_000)
    rng = random.Random(1)
    values = {}
    for offset in range(300):
        name = f"asset:a{rng.randrange(120)}"
        values[name] = msgspec.json.encode(record(name, offset + 1, price=rng.random()))
        feed.apply(name, values[name], 0, offset, T0)
    packed = [entry for entry in feed.entries.values() if entry.packed]
    assert len(packed) > 30
    assert all(len(entry.raw) < 0.6 * len(values[entry.key]) for entry in packed)
    assert {key: feed.value(entry) for key, entry in feed.entries.items()} == values
    assert feed._loose_bytes == sum(len(e.raw) for e in feed.entries.values() if not e.packed) <= 20_000


def test_the_ring_keeps_the_newest_versions_and_says_what_it_lost() -> None:
    v = view()
    kind = v.fused["news"].kind
    feed = Feed("fused.news", kind, Ticks(), ring=3)
    for offset in range(5):
        value = msgspec.json.encode(record("story:1", offset + 1, category="news", title=f"t{offset}"))
        feed.apply("story:1", value, 0, offset, T0)
    assert feed.ring is not None
    assert [past.entry.offset for past in feed.ring] == [2, 3, 4]
    assert [past.positions for past in feed.ring] == [{0: 3}, {0: 4}, {0: 5}]
    assert feed.ring_lost == {0: 1}
    assert feed.ring_lost_tick == 2


def test_a_listing_is_sorted_by_rank_then_by_the_asset_table() -> None:
    v = view()
    put(v, record("asset:zeta", 1, price=1.0), 0)
    put(v, record("asset:tether", 2, price=1.0), 1)
    put(v, record("asset:bitcoin", 3, price=1.0), 2)
    put(v, record("asset:ranked", 4, price=1.0, market_rank=7.0), 3)
    feed = v.fused["market"]
    assert [entry.key for entry in feed.ordered()] == ["asset:ranked", "asset:bitcoin", "asset:tether", "asset:zeta"]
    put(v, record("asset:zeta", 5, price=1.0, market_rank=1.0), 4)
    assert feed.ordered()[0].key == "asset:zeta"


def test_the_tag_of_a_feed_is_its_position_in_every_partition() -> None:
    v = view()
    put(v, record("asset:bitcoin", 1, price=1.0), 41, partition=2)
    put(v, record("asset:ethereum", 1, price=1.0), 6, partition=0)
    assert v.fused["market"].version_tag() == "7.42"


def test_the_budgets_leave_room_for_the_rest_of_300_megabytes() -> None:
    assert feeds.RAW_BUDGET_BYTES + feeds.RENDERED_BUDGET_BYTES <= 64 * 1024 * 1024
    assert EPOCH == 2**40
