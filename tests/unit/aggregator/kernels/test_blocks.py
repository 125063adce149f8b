"""Blocks never overlap and come back; statements are a dictionary in the order of arrival. Compiled and not, to the same addresses."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.engine.memory import Memory, words_at
from services.aggregator.engine.names import Names
from services.aggregator.engine.store import Store
from services.aggregator.kernels import blocks
from services.aggregator.kernels import layout as at
from tests.unit.aggregator.engine.logs import rules

Kernels = dict[str, Callable[..., Any]]


@pytest.fixture(scope="module", params=["compiled", "uncompiled"])
def kernels(request: pytest.FixtureRequest, compiled: Kernels) -> Kernels:
    return compiled if request.param == "compiled" else vars(blocks)


@pytest.mark.parametrize(
    ("words", "size", "room"),
    [(1, 1, 1), (32, 32, 32), (33, 33, 40), (40, 33, 40), (41, 34, 48), (64, 36, 64), (65, 37, 80), (4097, 61, 5120)],
)
def test_sizes_are_exact_first_and_four_per_doubling_then(kernels: Kernels, words: int, size: int, room: int) -> None:
    assert (kernels["size_of"](words), kernels["room_in"](words)) == (size, room)


def test_every_size_has_its_own_list_and_loses_a_fifth_at_most() -> None:
    before = 0, 0
    for words in range(1, 20_000):
        size, room = blocks.size_of(words), blocks.room_in(words)
        assert words <= room <= max(words, 1.25 * (words - 1))
        assert (size, room) == before or (size == before[0] + 1 and room > before[1])
        before = size, room
    assert blocks.size_of(1 << 46) < blocks.SIZES


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 90), st.integers(0, 30)), max_size=60))
def test_what_is_held_never_overlaps_and_what_was_released_is_given_again(
    kernels: Kernels, steps: list[tuple[bool, int, int]]
) -> None:
    memory = Memory()
    held: list[tuple[int, int]] = []
    free: dict[int, list[int]] = {}
    for take, words, which in steps:
        if take or not held:
            waiting = free.get(blocks.size_of(words), [])
            before = memory.desk[at.X_NEXT]
            address = kernels["alloc"](memory.desk_at, words)
            if waiting:
                assert address == waiting.pop()
            else:
                assert (address, memory.desk[at.X_NEXT]) == (before, before + 8 * blocks.room_in(words))
            held.append((address, words))
            for k in range(words):
                words_at(address, words)[k] = address
        else:
            address, words = held.pop(which % len(held))
            assert set(words_at(address, words)) == {address}
            kernels["release"](memory.desk_at, address, words)
            free.setdefault(blocks.size_of(words), []).append(address)
        ends = sorted((address, address + 8 * blocks.room_in(words)) for address, words in held)
        assert all(one[1] <= two[0] for one, two in pairwise(ends))


SHAPES = (("price",), ("price", "volume_24h"), ("market_cap", "price", "volume_24h", "circulating_supply"), ("fdv",))


def stage() -> tuple[Store, list[int]]:
    """A store that knows twelve sources, and how many values each has."""
    store = Store(rules())
    names = Names(store.rules, store.tables)
    for number in range(12):
        names.source((f"p{number}", "tick", "usd", None, 1.0, "live", SHAPES[number % 4]))
    return store, [len(SHAPES[number % 4]) for number in range(12)]


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from("aaadf"), st.integers(0, 11)), max_size=50))
def test_statements_are_a_dictionary_in_the_order_of_arrival(kernels: Kernels, steps: list[tuple[str, int]]) -> None:
    store, counts = stage()
    desk, entity = store.desk_at, store.entity(b"asset:coin")
    model: dict[int, list[int]] = {}
    for time, (step, source) in enumerate(steps):
        line = kernels["find_statement"](desk, entity, source)
        assert bool(line) == (source in model)
        if step == "a" and not line:
            line = kernels["add_statement"](desk, entity, source)
            assert words_at(line, at.DIRECTORY)[at.D_AGREED] == 0
            words_at(line, at.DIRECTORY)[at.D_AGREED] = time
            model[source] = [time * 100 + k for k in range(at.STATEMENT + counts[source])]
            words = words_at(kernels["said"](desk, entity, line), len(model[source]))
            for k, value in enumerate(model[source]):
                words[k] = value
        elif step == "d" and line:
            kernels["drop_statement"](desk, entity, line)
            del model[source]
        elif step == "f" and time % 7 == 0:
            kernels["free_parts"](desk, entity)
            model.clear()
        e = words_at(entity, at.ENTITY)
        assert e[at.E_COUNT] == len(model)
        assert e[at.E_USED] == sum(map(len, model.values()))
        assert e[at.E_COUNT] <= e[at.E_ROOM]
        assert e[at.E_USED] <= e[at.E_SPACE]
        lines = [words_at(e[at.E_INDEX] + 8 * at.DIRECTORY * k, at.DIRECTORY).tolist() for k in range(len(model))]
        assert [line[at.D_SOURCE] for line in lines] == list(model)
        assert [line[at.D_AGREED] for line in lines] == [expected[0] // 100 for expected in model.values()]
        for line, expected in zip(lines, model.values(), strict=True):
            assert words_at(e[at.E_SAID] + 8 * line[at.D_AT], len(expected)).tolist() == expected


def test_an_entity_of_one_statement_takes_what_it_needs() -> None:
    store, _ = stage()
    entity = store.entity(b"asset:coin")
    begin = store.desk[at.X_NEXT]
    blocks.add_statement(store.desk_at, entity, 0)
    assert store.desk[at.X_NEXT] - begin == 8 * (at.DIRECTORY + at.STATEMENT + 1)
    blocks.free_parts(store.desk_at, entity)
    blocks.add_statement(store.desk_at, entity, 4)
    assert store.desk[at.X_NEXT] - begin == 8 * (at.DIRECTORY + at.STATEMENT + 1), "the same blocks again"
