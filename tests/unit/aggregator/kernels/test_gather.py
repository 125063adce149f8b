"""Windows in memory are those that the general way makes of the same statements."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.aggregator.compiled.memory import floats, integers
from services.aggregator.engine import emit
from services.aggregator.engine.view import Entity
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.gather import (
    C_AGE,
    C_GROUP,
    C_PROVIDER,
    C_TS,
    C_VALUE,
    C_WEIGHT,
    C_WHY,
    CIRCULAR,
    CLAIM,
    G_MONEY,
    G_ORIGIN,
    G_WINDOWS,
    HEAD,
    NO_RATE,
    OTHER_QUOTE,
    STALE,
    W_ASIDE,
    W_FIRST,
    W_METRIC,
    W_ROOM,
    W_SAID,
    WINDOW,
    listed,
)
from tests.unit.aggregator.engine.logs import T0
from tests.unit.aggregator.kernels.scenes import KEYS, plain, play, scenes
from tests.unit.aggregator.kernels.stage import Kernels, Stage

WHY = {STALE: "stale", NO_RATE: "no_rate", CIRCULAR: "circular", OTHER_QUOTE: "other_quote"}
FACTOR = 3.0


class Window:
    """One window as it stands in memory, by names."""

    def __init__(self, stage: Stage, address: int) -> None:
        names, groups = stage.store.tables.provider_names, list(stage.store.tables.group_of)
        w = integers(address, WINDOW)
        self.metric = list(stage.store.tables.number_of)[w[W_METRIC]]
        self.claims, self.asides = [], []
        for k in range(w[W_SAID]):
            one, number = integers(w[W_FIRST] + 8 * k * CLAIM, CLAIM), floats(w[W_FIRST] + 8 * k * CLAIM, CLAIM)
            self.claims.append(
                (names[one[C_PROVIDER]], groups[one[C_GROUP]], number[C_VALUE], one[C_TS], number[C_WEIGHT])
            )
        for k in range(w[W_ASIDE]):
            place = w[W_FIRST] + 8 * (w[W_ROOM] - 1 - k) * CLAIM
            one, number = integers(place, CLAIM), floats(place, CLAIM)
            self.asides.append((names[one[C_PROVIDER]], number[C_VALUE], one[C_AGE], WHY[one[C_WHY]]))


def gathered(stage: Stage, entity: Entity, factor: float = FACTOR) -> tuple[list[Window], int, bool] | None:
    """Windows in their order, the least real origin, whether one is of money; None where Python must."""
    if stage.kernels["gather"](stage.store.desk_at, entity.address, factor):
        return None
    head = integers(stage.store.desk[at.X_SCRATCH], HEAD)
    order = integers(listed(stage.store.desk_at), head[G_WINDOWS])
    return [Window(stage, one) for one in order], int(head[G_ORIGIN]), bool(head[G_MONEY])


def general(stage: Stage, entity: Entity) -> tuple[list[Any], int, bool]:
    """The same by the general way."""
    found, aside, origin = emit.claims(entity, stage.names, stage.rules)
    for name in aside:
        found.setdefault(name, [])
    windows = [
        (
            name,
            [tuple(one) for one in seen],
            [(one.provider, one.value, one.age_ms, one.why) for one in aside.get(name, [])],
        )
        for name, seen in found.items()
    ]
    return windows, origin, any(name in stage.rules.money for name in found)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scene=scenes(), key=st.sampled_from(KEYS))
def test_windows_are_those_of_the_general_way(stage_kernels: Kernels, scene: list[Any], key: str) -> None:
    stage = Stage(stage_kernels)
    entity = play(stage, scene, key)
    found = gathered(stage, entity)
    windows, origin, money = general(stage, entity)
    if found is None:
        prices = [value for name, claims, _ in windows if name == "price" for _, _, value, _, _ in claims]
        # The general way may have moved some of them aside.
        prices += [
            value for name, _, asides in windows for _, value, _, why in asides if name == "price" and why[:4] == "quar"
        ]
        assert len(prices) > 2
        assert min(prices) <= 0.0 or max(prices) > FACTOR * min(prices)
        return
    assert [(one.metric, one.claims, one.asides) for one in found[0]] == windows
    assert found[1:] == (origin, money)


def test_a_provider_speaks_once_with_its_least_converted_then_newest(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    entity = stage.entity()
    stage.say(entity, "aqua", {"price": 1.0}, T0, rate=0.5, quote="tether")
    stage.say(entity, "aqua", {"price": 2.0}, T0 - 5, endpoint="slow")
    stage.say(entity, "aqua", {"price": 3.0, "volume_24h": 9.0}, T0 - 2, endpoint="full", weight=0.7)
    stage.say(entity, "blue", {"price": 4.0}, T0 - 1, rate=0.5, quote="tether", group="house")
    found = gathered(stage, entity)
    assert found is not None
    assert [(one.metric, one.claims, one.asides) for one in found[0]] == [
        ("price", [("aqua", "aqua", 3.0, T0 - 2, 0.7), ("blue", "house", 2.0, T0 - 1, 1.0)], []),
        ("volume_24h", [("aqua", "aqua", 9.0, T0 - 2, 0.7)], []),
    ]


@pytest.mark.parametrize(
    ("key", "quote", "why"),
    [
        ("asset:coin", "tether", "no_rate"),
        ("asset:coin", None, "no_rate"),
        ("asset:euro", "tether", "circular"),
        ("asset:tether", "tether", "circular"),
        ("asset:tether", "unheard-of", "circular"),
        ("asset:tether", "euro", "no_rate"),
        ("asset:tether", None, "no_rate"),
        ("pair:coin/usd", "tether", "other_quote"),
        ("token:tether", "tether", "no_rate"),
    ],
)
def test_money_without_a_rate_is_aside(stage_kernels: Kernels, key: str, quote: str | None, why: str) -> None:
    stage = Stage(stage_kernels)
    entity = stage.entity(key)
    stage.say(entity, "aqua", {"price": 1.0, "change_24h_pct": 2.0}, T0 - 7, rate=None, quote=quote)
    found = gathered(stage, entity)
    assert found is not None
    assert [(one.metric, one.claims, one.asides) for one in found[0]] == [
        ("change_24h_pct", [("aqua", "aqua", 2.0, T0 - 7, 1.0)], []),
        ("price", [], [("aqua", 1.0, 7, why)]),
    ]
    assert found[2]


def test_what_is_stale_is_aside_once_and_never_beside_a_claim(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    entity = stage.entity()
    stage.say(entity, "aqua", {"price": 1.0}, T0 - 300_000)
    stage.say(entity, "blue", {"price": 2.0}, T0 - 300_001)
    stage.say(entity, "blue", {"price": 3.0}, T0 - 300_002, endpoint="old")
    stage.say(entity, "cyan", {"price": 4.0}, T0 + 5, rate=None, quote="tether")
    found = gathered(stage, entity)
    assert found is not None
    assert found[0][0].claims == [("aqua", "aqua", 1.0, T0 - 300_000, 1.0)]
    assert found[0][0].asides == [("blue", 2.0, 300_001, "stale"), ("cyan", 4.0, 0, "no_rate")]


def test_python_must_where_prices_are_far_apart(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    entity = stage.entity()
    for name, price in (("aqua", 100.0), ("blue", 300.0)):
        stage.say(entity, name, {"price": price})
    assert gathered(stage, entity) is not None
    stage.say(entity, "cyan", {"price": 299.0})
    assert gathered(stage, entity) is not None
    assert gathered(stage, entity, 2.9) is None
    stage.say(entity, "cyan", {"price": 301.0})
    assert gathered(stage, entity) is None
    stage.say(entity, "cyan", {"price": 0.0})
    assert gathered(stage, entity) is None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_python_must_for_what_kernels_do_not_know(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    assert gathered(stage, stage.entity("asset:nobody")) is None
    worded = stage.entity("asset:worded")
    stage.say(worded, "aqua", {"price": 1.0})
    assert gathered(stage, worded) is not None
    stage.say(worded, "aqua", {"asset_name": "Worded"})
    assert gathered(stage, worded) is not None
    endless = stage.entity("asset:endless")
    stage.say(endless, "aqua", {"price": 1e308}, rate=1e9, quote="tether")
    assert gathered(stage, endless) is None


@pytest.mark.parametrize(("count", "refused"), [(128, False), (129, True)])
def test_python_must_where_too_many_speak(stage_kernels: Kernels, count: int, refused: bool) -> None:
    stage = Stage(stage_kernels)
    assert (gathered(stage, play(stage, plain(count))) is None) is refused
    # Those that are aside do not count.
    assert gathered(stage, play(stage, plain(count, age_ms=300_001), "asset:old")) is not None
