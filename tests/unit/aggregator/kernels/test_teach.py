"""What kernels teach the fuser is, bit for bit, what the general way does."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.aggregator.compiled.memory import integers
from services.aggregator.kernels import layout as at
from tests.unit.aggregator.engine.logs import T0
from tests.unit.aggregator.kernels.scenes import Said, plain, play, scenes
from tests.unit.aggregator.kernels.stage import Kernels, Stage

TURN_MS = 10_000
HOUR_MS = 3_600_000
"""The learning window of market."""


def moved(scene: list[Said], turn: int) -> list[Said]:
    """The same said again, a little higher each time."""
    return [
        one._replace(values={name: value * (1.0 + 1e-4 * turn * (1 + k % 3)) for name, value in one.values.items()})
        for k, one in enumerate(scene)
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scene=scenes(), turns=st.lists(st.sampled_from((0, 1, 1, 2, 7)), min_size=2, max_size=5), epoch=st.booleans())
def test_lessons_are_those_of_the_general_way(
    stage_kernels: Kernels, scene: list[Said], turns: list[int], epoch: bool
) -> None:
    ours, general = Stage(stage_kernels), Stage(stage_kernels)
    now = T0
    for turn, step in enumerate(turns):
        for stage in (ours, general):
            entity = play(stage, moved(scene, turn), as_of_ms=now)
            received = now + step * TURN_MS
            if stage is general or stage.teach(entity, received):
                stage.learn(entity, received)
        now += step * TURN_MS
        if epoch:
            for stage in (ours, general):
                stage.state(entity)
                stage.fuser.advance(now)
        assert ours.state(ours.entity(as_of_ms=now)) == general.state(general.entity(as_of_ms=now))


def test_what_is_known_is_taught_without_python(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    now, refused = T0, []
    for turn in range(6):
        entity = play(stage, moved(plain(4), turn), as_of_ms=now)
        refused.append(stage.teach(entity, now + TURN_MS))
        if refused[-1]:
            assert stage.state(entity)[1:] == ({}, None)
            stage.learn(entity, now + TURN_MS)
        now += TURN_MS
    assert refused == [1, 0, 0, 0, 0, 0]
    assert integers(entity.e[at.E_LEARNED], 1)[0] == 1
    capacity, _ = entity.lessons["price"]
    assert capacity == 4
    # One more than it has room for: Python makes room, once.
    for expected in (1, 0):
        entity = play(stage, moved(plain(5), turn), as_of_ms=now)
        assert stage.teach(entity, now + TURN_MS) == expected
        if expected:
            stage.learn(entity, now + TURN_MS)
        now += TURN_MS
    assert entity.lessons["price"][0] == 5


def test_nothing_closes_and_nobody_differs(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    two = play(stage, plain(2), "asset:two")
    assert stage.teach(two, T0 + TURN_MS) == 0
    three = play(stage, plain(3), "asset:three")
    before = T0 - T0 % TURN_MS
    three.as_of_ms = before
    # The window is still open; that they agree is seen nevertheless.
    assert stage.teach(three, before + TURN_MS - 1) == 0
    assert three.agreed == dict.fromkeys(("p000", "p001", "p002"), before)
    assert stage.teach(three, before + TURN_MS) == 1
    assert three.lessons == {}
    assert stage.fuser.state.touched == set()


def test_only_metrics_that_learned_are_touched(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    entity = stage.entity()
    for name, price in (("aqua", 100.0), ("blue", 100.1), ("cyan", 100.2)):
        stage.say(entity, name, {"price": price, "volume_24h": 0.0})
    stage.learn(entity, T0 + TURN_MS)
    stage.fuser.advance(T0 + TURN_MS)
    entity.as_of_ms += TURN_MS
    assert stage.teach(entity, T0 + 2 * TURN_MS) == 0
    assert stage.fuser.state.touched == set()
    stage.state(entity)
    assert stage.fuser.state.touched == {"price"}
    stage.fuser.advance(T0)
    stage.state(entity)
    assert stage.fuser.state.touched == set()


def test_since_when_a_provider_agrees_stays(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    entity = play(stage, plain(3))
    stage.learn(entity, T0 + TURN_MS)
    assert entity.agreed == dict.fromkeys(("p000", "p001", "p002"), T0)
    entity = play(stage, [*plain(4, age_ms=1), *plain(1, endpoint="full", age_ms=2)], as_of_ms=T0 + TURN_MS)
    stage.learn(entity, T0 + 2 * TURN_MS)
    entity = play(stage, plain(4), as_of_ms=T0 + 2 * TURN_MS)
    assert stage.teach(entity, T0 + 3 * TURN_MS) == 0
    assert entity.agreed == {"p000": T0, "p001": T0, "p002": T0, "p003": T0 + TURN_MS}
    lines = integers(entity.e[at.E_INDEX], entity.e[at.E_COUNT] * at.DIRECTORY)
    since = {(int(lines[k + at.D_SOURCE]), int(lines[k + at.D_AGREED])) for k in range(0, len(lines), at.DIRECTORY)}
    # All lines of a provider say the same, so that it does not matter which of them goes first.
    assert {one for _, one in since} == {T0, T0 + TURN_MS}
    assert len([one for _, one in since if one == T0]) == 4


def test_python_must_where_words_that_teach_are_not_plain(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    entity = play(stage, plain(2))
    for provider, name in (("p000", "Coin"), ("p001", "coin"), ("p002", "C\u00f6in")):
        stage.say(entity, provider, {"asset_name": name})
        assert stage.teach(entity, T0 + HOUR_MS) == (provider == "p002")


def test_python_must_where_prices_are_not_near(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    entity = play(stage, plain(3))
    stage.learn(entity, T0 + TURN_MS)
    stage.say(entity, "p002", {"price": 151.0}, T0 + TURN_MS)
    entity.as_of_ms = T0 + TURN_MS
    before: Any = stage.state(entity)
    assert stage.teach(entity, T0 + 2 * TURN_MS) == 1
    assert stage.state(entity) == before
    stage.say(entity, "p002", {"price": 149.0}, T0 + TURN_MS)
    assert stage.teach(entity, T0 + 2 * TURN_MS) == 0
    assert stage.state(entity) != before
