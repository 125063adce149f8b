"""Entities by key, and what is noted of many at once, against dictionaries; compiled and not."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.engine.entities import Entities
from services.aggregator.engine.memory import address_of
from services.aggregator.engine.store import Store
from services.aggregator.kernels import index, lives, send
from services.aggregator.kernels import layout as at
from tests.unit.aggregator.engine.logs import rules

Kernels = dict[str, Callable[..., Any]]
BEGINS = ("", "asset:", "asset", "pair:", "pair", "perp:", "future:", "option:", "options:", "token:")
NAMES = (
    "usd",
    "tether",
    "coin",
    "coin/usd",
    "coin/tether",
    "a/b/usd",
    "/",
    "coin/usd:2026:c",
    ":",
    "coin/euro/",
    "usd-coin",
    "eur",
)
KEYS = st.one_of(
    st.tuples(st.sampled_from(BEGINS), st.sampled_from(NAMES)).map(lambda parts: "".join(parts).encode() or b"x"),
    st.binary(min_size=1, max_size=25),
    st.integers(0, 9).map(lambda n: b"a" * 24 + b"%d" % n),
)


@pytest.fixture(scope="module", params=["compiled", "uncompiled"])
def kernels(request: pytest.FixtureRequest, compiled: Kernels) -> Kernels:
    if request.param == "compiled":
        return compiled
    return {name: one for module in (index, lives, send) for name, one in vars(module).items()}


def hashed(kernels: Kernels, key: bytes) -> int:
    held = key + bytes(8)
    return int(kernels["key_hash"](address_of(held), len(key)))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 319))
def test_a_hash_is_of_every_bit_and_the_same_compiled_or_not(kernels: Kernels, key: bytes, bit: int) -> None:
    found = hashed(kernels, key)
    assert found == hashed(vars(index), key)
    assert 0 <= found < 1 << 31
    if bit < 8 * len(key):
        other = bytearray(key)
        other[bit // 8] ^= 1 << bit % 8
        assert hashed(kernels, bytes(other)) != found


def test_hashes_of_like_keys_fill_the_lines_evenly(kernels: Kernels) -> None:
    lines = {hashed(kernels, b"asset:coin-%d" % k) & 4095 for k in range(2048)}
    # Of 2048 keys in 4096 lines chance leaves some 1612 different ones.
    assert 1500 < len(lines) < 1720


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 16, 23])
def test_bytes_are_the_same_only_when_all_are(kernels: Kernels, n: int) -> None:
    one = bytes(range(1, 33))
    assert kernels["same_bytes"](address_of(one), address_of(bytes(list(one))), n)
    for k in range(24):
        other = one[:k] + b"\xff" + one[k + 1 :]
        assert kernels["same_bytes"](address_of(one), address_of(other), n) == (k >= n)


class Model:
    """A store that is changed by these kernels, and what it must hold."""

    def __init__(self, kernels: Kernels) -> None:
        self.kernels = kernels
        self.store = Store(rules("exchange"))
        self.desk = self.store.desk_at
        lines = self.store.block(64)
        kernels["grow_index"](self.desk, lines, 63)
        self.held: dict[bytes, int] = {}

    def call(self, name: str, key: bytes) -> int:
        text = key + bytes(8)
        return int(self.kernels[name](self.desk, address_of(text), len(key)))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=30), st.integers(0, 30))
def test_the_index_is_a_dictionary_also_after_it_grew(
    kernels: Kernels, steps: list[tuple[bool, bytes]], grow: int
) -> None:
    model = Model(kernels)
    store = model.store
    ever = set()
    for number, (come, key) in enumerate(steps):
        ever.add(key)
        assert model.call("find_entity", key) == model.held.get(key, 0)
        if come and key not in model.held:
            found = model.call("new_entity", key)
            if not found:
                store.name_quote(key)
                found = model.call("new_entity", key)
            model.held[key] = found
        elif not come and key in model.held:
            kernels["drop_entity"](model.desk, model.held.pop(key))
        if number == grow:
            assert kernels["grow_index"](model.desk, store.block(128), 127) == len(model.held)
            assert store.desk[at.X_INDEX_USED] == len(model.held)
        assert store.desk[at.X_INDEX_LIVE] == len(model.held)
    assert {key: model.call("find_entity", key) for key in ever} == {key: model.held.get(key, 0) for key in ever}
    entities = Entities(store)
    assert (set(entities), len(entities)) == (set(model.held), len(model.held))
    for key, address in model.held.items():
        assert entities[key].address == address
        assert key not in ever - set(model.held)
    assert b"nobody" not in entities


@pytest.mark.parametrize(
    ("key", "quote", "rank"),
    [
        ("pair:coin/usd", "usd", -1), ("perp:coin/tether", "tether", -1), ("future:coin/euro:2026:1", "euro", -1),
        ("option:a/b/bitcoin", "bitcoin", -1), ("pair:coin/", "", -1), ("pair:usd", "usd", -1), ("pair:", "", -1), ("pair", None, -1),
        ("options:coin/usd", None, -1), ("asset:usd", None, 0), ("asset:bitcoin", None, 4), ("asset:bitcoins", None, -1),
        ("asset:", None, -1), ("assets:usd", None, -1), ("future/usd", None, -1), ("pair:a:b/usd", "usd", -1),
    ],
)  # fmt: skip
def test_quote_and_rank_follow_from_the_key(kernels: Kernels, key: str, quote: str | None, rank: int) -> None:
    model = Model(kernels)
    one = model.store.view(model.call("new_entity", key.encode()))
    own = one.own_quote
    assert (one.name, None if own < 0 else model.store.tables.quote_names[own], one.rank) == (key, quote, rank)
    assert (one.version, one.sent_at_ms, one.candle_at_ms, one.as_of_ms) == (-1, -(10**9), -(10**9), 0)
    one.version, one.as_of_ms, one.dirty = 5, 6, True
    kernels["blank_entity"](one.address)
    assert (one.version, one.as_of_ms, one.dirty, one.own_quote, one.rank, one.name) == (-1, 0, False, own, rank, key)


def test_a_quote_without_a_number_makes_nothing(kernels: Kernels) -> None:
    model = Model(kernels)
    before = model.store.desk[at.X_NEXT]
    assert model.call("new_entity", b"pair:coin/unheard") == 0
    assert (model.store.desk[at.X_NEXT], model.store.desk[at.X_INDEX_USED]) == (before, 0)


def entities(kernels: Kernels, *keys: bytes) -> tuple[Model, Any]:
    model = Model(kernels)
    return model, array("q", [model.call("new_entity", key) for key in keys])


def test_who_is_sent_is_no_longer_dirty_and_says_whether_its_record_was_made_before(kernels: Kernels) -> None:
    model, rows = entities(kernels, b"asset:a", b"asset:b", b"asset:c")
    views = [model.store.view(one) for one in rows]
    for one, flags in zip(
        views, (at.F_DIRTY | at.F_CHANGED, at.F_PAYLOAD | at.F_DIRTY | at.F_CHANGED, at.F_PAYLOAD), strict=True
    ):
        one.e[at.E_FLAGS] = flags
    made = array("q", [7, 7, 7])
    assert kernels["send_rows"](2, rows.buffer_info()[0], 12_345, made.buffer_info()[0]) == 1
    assert made.tolist() == [0, 1, 7]
    assert [(one.e[at.E_FLAGS], one.sent_at_ms) for one in views] == [
        (at.F_CHANGED, 12_345), (at.F_CHANGED, 12_345), (at.F_PAYLOAD, -(10**9)),
    ]  # fmt: skip


def test_flags_are_taken_and_given(kernels: Kernels) -> None:
    model, rows = entities(kernels, b"asset:a", b"asset:b")
    views = [model.store.view(one) for one in rows]
    views[0].e[at.E_FLAGS] = at.F_CHANGED | at.F_DIRTY
    assert kernels["mark_rows"](2, rows.buffer_info()[0], at.F_CHANGED, at.F_PAYLOAD) == 2
    assert [one.e[at.E_FLAGS] for one in views] == [at.F_DIRTY | at.F_PAYLOAD, at.F_PAYLOAD]


@pytest.mark.parametrize(("room", "count"), [(0, 0), (6, 0), (7, 1), (8, 1), (15, 1), (16, 2), (100, 3)])
def test_keys_are_written_as_long_as_there_is_room(kernels: Kernels, room: int, count: int) -> None:
    keys = (b"asset:a", b"asset:bcd", b"pair:coin/usd")
    _, rows = entities(kernels, *keys)
    out, ends = array("B", b"." * 100), array("q", [0, 0, 0])
    done = kernels["key_rows"](3, rows.buffer_info()[0], out.buffer_info()[0], room, ends.buffer_info()[0])
    assert (done, ends[:done].tolist()) == (count, [7, 16, 29][:count])
    assert out.tobytes() == b"".join(keys[:count]).ljust(100, b".")
