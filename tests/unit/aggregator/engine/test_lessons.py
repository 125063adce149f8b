"""What the fuser remembers of entities goes to Python and back without loss."""

from __future__ import annotations

from importlib import import_module

import pytest

from services.aggregator.engine import lessons
from services.aggregator.fusion import Fuser
from services.aggregator.kernels import layout as at
from tests.unit.aggregator.engine.logs import T0
from tests.unit.aggregator.kernels.scenes import plain, play
from tests.unit.aggregator.kernels.stage import Stage

TURN_MS = 10_000


@pytest.fixture
def stage() -> Stage:
    """An empty partition's store, with uncompiled kernels."""
    modules = [import_module(f"services.aggregator.kernels.{name}") for name in ("record", "teach")]
    return Stage({name: one for module in modules for name, one in vars(module).items()})


def test_what_is_borrowed_is_read_in_place(stage: Stage) -> None:
    entity = play(stage, plain(3))
    stage.learn(entity, T0 + TURN_MS)
    address = entity.e[at.E_LEARNED]
    lessons.borrow(stage.store, stage.fuser, entity)
    key = stage.fuser.state.keys["asset:coin"]["price"]
    assert key.slot_of == {"p000": 0, "p001": 1, "p002": 2}
    assert key.capacity == 3
    assert key.head.tobytes() + key.path.tobytes() == entity.lessons["price"][1][: 8 * (len(key.head) + key.path.size)]
    key.head[0] += 1.0
    assert key.head.tobytes() == entity.lessons["price"][1][: 8 * len(key.head)]
    lessons.give_back(stage.store, stage.fuser, entity)
    assert stage.fuser.state.keys == {}
    assert entity.e[at.E_LEARNED] == address


def test_memory_is_as_large_as_what_is_remembered(stage: Stage) -> None:
    """What is widened takes a new block, and the old one goes to who needs one of its size."""
    entity = play(stage, plain(3))
    stage.learn(entity, T0 + TURN_MS)
    before = lessons._lines(entity)
    entity = play(stage, plain(5), as_of_ms=T0 + TURN_MS)
    stage.say(entity, "p003", {"price": 100.0, "volume_24h": 1.0}, T0 + TURN_MS, endpoint="full")
    for name in ("p000", "p001"):
        stage.say(entity, name, {"volume_24h": 1.0}, T0 + TURN_MS, endpoint="volume")
    stage.learn(entity, T0 + 2 * TURN_MS)
    after = lessons._lines(entity)
    price, volume = (stage.store.tables.number_of[name] for name in ("price", "volume_24h"))
    assert {number: capacity for number, (_, capacity) in after.items()} == {price: 5, volume: 3}
    assert after[price][0] != before[price][0]
    # A new key of three sources takes what the widened one left.
    assert after[volume][0] == before[price][0]


def test_what_was_loaded_is_put_where_kernels_find_it(stage: Stage) -> None:
    entity = play(stage, plain(3))
    stage.learn(entity, T0 + TURN_MS)
    lessons.borrow(stage.store, stage.fuser, entity)
    fuser, key = stage.fuser.dump(), stage.fuser.dump_key("asset:coin")
    assert key is not None
    again = Stage(stage.kernels)
    again.fuser = Fuser.load(fuser)
    again.store.link(again.fuser)
    loaded = play(again, plain(3))
    again.fuser.load_key("asset:coin", key)
    lessons.give_back(again.store, again.fuser, loaded)
    assert loaded.lessons == entity.lessons
    entity.as_of_ms = loaded.as_of_ms = T0 + TURN_MS
    lessons.give_back(stage.store, stage.fuser, entity)
    stage.fuser.advance(T0)
    again.fuser.advance(T0)
    assert again.teach(loaded, T0 + 2 * TURN_MS) == stage.teach(entity, T0 + 2 * TURN_MS) == 0
    assert again.told(loaded) == stage.told(entity) != [None]


def test_metrics_that_are_no_more_are_left_behind(stage: Stage) -> None:
    entity = play(stage, plain(3))
    stage.learn(entity, T0 + TURN_MS)
    lessons.borrow(stage.store, stage.fuser, entity)
    keys = stage.fuser.state.keys["asset:coin"]
    keys["gone"] = keys["price"]
    lessons.give_back(stage.store, stage.fuser, entity)
    assert list(entity.lessons) == ["price"]


def test_too_few_teach_nothing(stage: Stage) -> None:
    entity = play(stage, plain(2))
    stage.learn(entity, T0 + TURN_MS)
    assert entity.lessons == {}
    assert entity.e[at.E_LEARNED] == 0
