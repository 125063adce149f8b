"""Entities in memory -> bytes -> entities in another memory: the same views and the same bytes, compiled and not."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.engine import checkpoint
from services.aggregator.engine.memory import address_of, doubles_at, words_at
from services.aggregator.engine.names import Names
from services.aggregator.engine.store import Store
from services.aggregator.engine.view import Entity
from services.aggregator.fusion import Fuser
from services.aggregator.fusion.layout import HEAD, METRIC, PATH, SLOT
from services.aggregator.kernels import bars, freeze, lives, thaw, trades
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.blocks import entry_words
from tests.unit.aggregator.engine.logs import T0, rules

Kernels = dict[str, Callable[..., Any]]
USED = ("freeze_rows", "thaw_rows", "reset_entity", "drop_entity", "new_entity", "find_entity", "grow_index")
SOURCES = (
    ("aqua", "tick", "usd", ("price",)),
    ("brick", "tick", "tether", ("price", "volume_24h")),
    ("cedar", "deep", "euro", ("market_cap", "price", "volume_24h", "circulating_supply")),
    ("delta", "tick", "odd coin", ("price",)),
    ("aqua", "word", None, ("asset_name", "is_active")),
)
KEYS = (b"asset:coin", b"asset:bitcoin", b"pair:coin/gold")


@pytest.fixture(scope="module", params=["compiled", "uncompiled"])
def kernels(request: pytest.FixtureRequest, compiled: Kernels) -> Any:
    """All that stores call, of one kind."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "compiled":
            for name in USED:
                patch.setattr(KERNELS, name, compiled[name])
        yield compiled if request.param == "compiled" else {**vars(thaw), **vars(freeze), **vars(lives)}


def stage() -> tuple[Store, Fuser]:
    """A store that knows all sources, and a fuser that knows some of them."""
    store, fuser = Store(rules()), Fuser()
    names = Names(store.rules, store.tables)
    for provider, endpoint, quote, metrics in SOURCES:
        names.source((provider, endpoint, quote, None, 1.0, "live", metrics))
    for provider in ("", "aqua", "brick"):
        fuser.state.row("price", provider)
    store.link(fuser)
    return store, fuser


numbers = st.floats(allow_nan=False, width=64)
times = st.integers(T0 - 10**9, T0)
STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 3), times, st.integers(0, 2**32 - 1), st.one_of(st.none(), st.just(1.0), numbers), numbers),
    st.tuples(st.just("say"), times, st.text(max_size=5), st.booleans()),
    st.tuples(st.just("remove"), st.integers(0, 4)),
    st.tuples(st.just("agree"), st.integers(0, 3), times),
    st.tuples(st.just("bar"), st.integers(0, 3), st.integers(T0 - 300_000, T0), st.floats(1, 2), st.integers(0, 1), st.integers(0, 6)),
    st.tuples(st.just("settle"), st.integers(T0 - 300_000, T0)),
    st.tuples(st.just("told"), st.integers(0, 3), st.integers(0, 2**32 - 1), st.integers(1, 200)),
    st.tuples(st.just("learn"), st.integers(0, 5), st.integers(0, 3), st.integers(0, 2**32)),
)  # fmt: skip


def step(store: Store, entity: Entity, what: str, *given: Any) -> None:
    """Do one thing to an entity."""
    desk, address = store.desk_at, entity.address
    store.ready()
    if what == "put":
        number, ts_ms, tie, rate, value = given
        entity.put(number, ts_ms, tie, rate, tuple(value + k for k in range(len(SOURCES[number][3]))))
    elif what == "say":
        entity.put(4, given[0], "tie", None, (given[1], given[2]))
    elif what == "remove":
        entity.remove(given[0])
    elif what == "agree":
        provider, since_ms = SOURCES[given[0]][0], given[1]
        entity.agreed = {**(entity.agreed or {}), provider: since_ms}
    elif what == "bar":
        number, ts_ms, price, traded, quote = given
        own = store.tables.listed[number].quote or ""
        quote = (0, 1, max(0, entity.own_quote), *[store.tables.quote(own)] * 4)[quote]
        bars.bar_add(desk, address, number, ts_ms, price, price / 2, traded, quote, 7)
    elif what == "settle":
        bars.bar_settle(desk, address, given[0])
    elif what == "told":
        for k in range(given[2]):
            trades.told(desk, address, given[0], (given[1] + k * 2_654_435_761) % 2**32)
    else:
        learn(store, entity, *given)


def learn(store: Store, entity: Entity, metric: int, capacity: int, seed: int) -> None:
    """Put something where the fuser remembers, of one metric more."""
    lessons = entity.lessons
    if store.tables.metric_names[metric] in lessons:
        return
    rnd = np.random.default_rng(seed)
    entry = store.block(entry_words(capacity))
    data = doubles_at(entry, entry_words(capacity))
    for k, value in enumerate(rnd.normal(size=HEAD + 2 * PATH + capacity * SLOT).tolist()):
        data[k] = value
    ring = words_at(entry + 8 * (HEAD + 2 * PATH + capacity * SLOT), (capacity * 22 + 3) // 4)
    left = capacity * 44
    for k in range(len(ring)):
        ring[k] = int.from_bytes(rnd.bytes(min(8, left)), "little", signed=left >= 8)
        left -= 8
    data[METRIC] = 1.0
    for slot in range(capacity):
        begin = HEAD + 2 * PATH + slot * SLOT
        data[begin], data[begin + 1], data[begin + 2] = (2.0, -1.0, -1.0 - slot) if slot else (0.0, 3.0, 65_000.0)
    block = store.block(1 + at.LESSON * (len(lessons) + 1))
    words, before = words_at(block, 1 + at.LESSON * (len(lessons) + 1)), entity.e[at.E_LEARNED]
    if before:
        words[1 : 1 + at.LESSON * len(lessons)] = words_at(before + 8, at.LESSON * len(lessons))
        store.release(before, 1 + at.LESSON * len(lessons))
    words[0] = len(lessons) + 1
    words[-at.LESSON + at.L_METRIC], words[-at.LESSON + at.L_ENTRY], words[-at.LESSON + at.L_CAPACITY] = (
        metric,
        entry,
        capacity,
    )
    entity.e[at.E_LEARNED], entity.e[at.E_LEARNED_ROOM] = block, len(lessons) + 1


def own_quote(entity: Entity) -> str | None:
    """The quote asset in which its money stays; its number is of one memory only."""
    return entity.store.tables.quote_names[entity.own_quote] if entity.own_quote >= 0 else None


def seen(entity: Entity) -> tuple[Any, ...]:
    """Everything of an entity that a state keeps."""
    return (
        entity.key, entity.version, entity.as_of_ms, entity.learn_at_ms, list(entity.slots.items()), entity.agreed, entity.bars,
        entity.rolls, entity.seen, entity.lessons, entity.rank, own_quote(entity), len(entity),
    )  # fmt: skip


def built(steps: list[list[tuple[Any, ...]]]) -> Store:
    """A store of as many entities as there are lists of steps."""
    store, _ = stage()
    for number, own in enumerate(steps):
        entity = store.view(store.entity(KEYS[number]))
        entity.version, entity.as_of_ms, entity.learn_at_ms = 2**40 + number, T0, T0 + 60_000 - T0 % 60_000
        for one in own:
            step(store, entity, *one)
    return store


def values_of(store: Store, keys: Sequence[bytes] = KEYS) -> dict[bytes, bytes]:
    """The states of those of these entities that there are."""
    addresses = [address for address in map(store.find, keys) if address]
    return dict(zip(map(store.key, addresses), checkpoint.freeze_all(store, addresses), strict=True))


@settings(max_examples=80, deadline=None)
@given(steps=st.lists(st.lists(STEPS, max_size=25), min_size=1, max_size=3))
def test_what_was_frozen_comes_back_and_gives_the_same_bytes(
    kernels: Kernels, steps: list[list[tuple[Any, ...]]]
) -> None:
    store = built(steps)
    values = values_of(store)
    again, _ = stage()
    again.tables.quote("another")
    assert checkpoint.thaw_all(again, values) == []
    assert len(again) == len(values)
    width = store.rules.windows[0]
    for key in values:
        one, two = store.view(store.find(key)), again.view(again.find(key))
        one.learn_at_ms = T0 - T0 % width + width
        assert repr(seen(one)) == repr(seen(two))
        assert (two.dirty, two.sent_at_ms, two.candle_at_ms) == (False, -(10**9), -(10**9))
    assert values_of(again) == values


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=25), data=st.data())
def test_a_damaged_state_writes_nothing_where_it_must_not(
    kernels: Kernels, steps: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    (value,) = values_of(built([steps])).values()
    hurt = bytearray(value)
    for place in data.draw(st.lists(st.integers(14, len(value) - 1), max_size=4)):
        hurt[place] = data.draw(st.integers(0, 255))
    hurt = hurt[: data.draw(st.integers(0, len(hurt)))] + data.draw(st.binary(max_size=4))
    store, _ = stage()
    entity = store.view(store.entity(b"asset:coin"))
    store.ready(at.MARGIN + thaw.SPREAD * len(hurt))
    held = bytes(hurt)
    before = store.desk[at.X_NEXT]
    n = kernels["thaw_row"](store.desk_at, entity.address, address_of(held), len(held))
    assert -1 <= n <= len(held)
    assert before <= store.desk[at.X_NEXT] <= store.desk[at.X_END]
    if n < 0:
        assert (entity.version, entity.slots, entity.bars, entity.rolls, entity.seen, entity.lessons) == (
            -1,
            {},
            None,
            None,
            None,
            {},
        )
    else:
        assert [slot[0] for slot in seen(entity)[4]] == list(entity.slots)
        lives.reset_entity(store.desk_at, entity.address)


def test_a_state_of_one_statement_and_an_open_bar_is_small() -> None:
    steps = [("put", 0, T0 - 5_000, 2**32 - 1, 1.0, 100.5), ("bar", 0, T0 - 5_000, 1.5, 0, 1)]
    (value,) = values_of(built([steps])).values()
    assert len(value) <= 100
    assert value[:14] == checkpoint.head(2**40, T0)
    assert value[14] == 0xC1


def test_a_not_a_number_rate_is_none_and_every_other_bit_of_it_is_kept() -> None:
    store, _ = stage()
    entity = store.view(store.entity(b"asset:coin"))
    entity.version, entity.as_of_ms = 1, T0
    tiny = struct.unpack("<d", b"\1" + bytes(7))[0]
    entity.put(0, T0, 0, None, (tiny,))
    entity.put(1, T0, 0, math.nextafter(1.0, 2.0), (-0.0, 1e308))
    again, _ = stage()
    checkpoint.thaw_all(again, values_of(store))
    assert repr(again.view(again.find(b"asset:coin")).slots) == repr(
        {0: (T0, 0, None, (tiny,)), 1: (T0, 0, math.nextafter(1.0, 2.0), (-0.0, 1e308))}
    )


def test_statements_of_sources_that_say_something_else_today_are_left_out() -> None:
    store = built([[("put", 0, T0, 1, 1.0, 5.0), ("put", 1, T0, 2, 1.0, 6.0), ("put", 2, T0, 3, 1.0, 7.0)]])
    values = values_of(store)
    today, _ = stage()
    words = today.tables.sources.words
    words[today.tables.sources.line(1) + at.N_COUNT] = 1
    assert checkpoint.thaw_all(today, values) == []
    entity = today.view(today.find(b"asset:coin"))
    assert list(entity.slots) == [0, 2]
    assert entity.slot(2) == (T0, 3, 1.0, (7.0, 8.0, 9.0, 10.0))


def test_what_was_learned_of_sources_that_the_fuser_does_not_know_is_left_out() -> None:
    store = built([[("learn", 0, 2, 1), ("learn", 1, 1, 2)]])
    values = values_of(store)
    row = struct.pack("<I", store.tables.id_of(store.tables.metric_names[1]))
    (value,) = values.values()
    place = value.index(row) + 6 + 8 * METRIC
    hurt = value[:place] + struct.pack("<d", 1e9) + value[place + 8 :]
    again, _ = stage()
    assert checkpoint.thaw_all(again, {KEYS[0]: hurt}) == []
    found = again.view(again.find(KEYS[0])).lessons
    assert found == {
        store.tables.metric_names[0]: store.view(store.find(KEYS[0])).lessons[store.tables.metric_names[0]]
    }


def test_states_that_need_more_room_than_there_is_come_in_parts(
    compiled: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 1500
    monkeypatch.setattr(checkpoint, "ROOM", 64)
    for name in USED:
        monkeypatch.setattr(KERNELS, name, compiled[name])
    store, _ = stage()
    for number in range(count):
        entity = store.view(store.entity(b"pair:coin/%d" % number))
        entity.version, entity.as_of_ms = number, T0
        if number % 500 == 0:
            for k in range(150):
                trades.told(store.desk_at, entity.address, 0, k)
    values = values_of(store, [b"pair:coin/%d" % number for number in range(count)])
    again, _ = stage()
    assert checkpoint.thaw_all(again, {**values, b"pair:coin/bad": values[b"pair:coin/7"] + b"!"}) == [b"pair:coin/bad"]
    assert len(again) == count
    for key, value in values.items():
        assert again.view(again.find(key)).version == int.from_bytes(value[:8], "big")
    assert again.view(again.find(b"pair:coin/500")).seen == {0: list(range(22, 150))}
    assert own_quote(again.view(again.find(b"pair:coin/17"))) == "17"
