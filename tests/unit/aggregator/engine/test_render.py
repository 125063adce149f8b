"""Records by kernels where they can, by the general way where they cannot, in the order that was asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import msgspec
import pytest

from schemas.events import Fused
from services.aggregator.engine import render
from services.aggregator.engine.emit import claims
from services.aggregator.engine.view import Entity
from services.aggregator.fusion import Ask
from tests.unit.aggregator.engine.logs import T0
from tests.unit.aggregator.kernels.scenes import plain, play
from tests.unit.aggregator.kernels.stage import Stage

TURN_MS = 10_000


@pytest.fixture
def stage() -> Stage:
    """An empty partition's store, with uncompiled kernels."""
    modules = [import_module(f"services.aggregator.kernels.{name}") for name in ("record", "teach")]
    return Stage({name: one for module in modules for name, one in vars(module).items()})


def rendered(stage: Stage, *entities: Entity) -> list[render.Rendered]:
    return render.render([one.address for one in entities], stage.names, stage.rules, stage.fuser, stage.paper)


def record(told: render.Rendered) -> Fused:
    return msgspec.json.decode(told[1], type=Fused)


def mixed(stage: Stage) -> list[Entity]:
    """Six entities, of which kernels refuse the second, the fourth and the last."""
    worded = play(stage, plain(3), "asset:worded")
    stage.say(worded, "p000", {"asset_name": "Worded"})
    stage.say(worded, "p001", {"asset_name": "W\u00f6rded"}, T0 - 1)
    apart = play(stage, plain(3), "asset:apart")
    stage.say(apart, "p002", {"price": 1000.0})
    named = stage.entity("asset:named")
    stage.say(named, "aqua", {"asset_name": "Named"})
    stage.say(named, "blue", {"asset_name": "N\u00e4med"})
    others = [play(stage, plain(n), f"asset:n{n}") for n in (1, 2, 3)]
    return [others[0], worded, others[1], apart, others[2], named]


def test_all_come_in_their_order(stage: Stage) -> None:
    entities = mixed(stage)
    refused = [told is None for told in stage.told(*entities)]
    assert refused == [False, True, False, True, False, True]
    found = rendered(stage, *entities)
    assert [record(told).entity for told in found] == [entity.name for entity in entities]
    assert found == stage.general(*entities)
    assert [key for key, _, _, _ in found] == [entity.key for entity in entities]
    words = record(found[1]).metrics["asset_name"]
    assert words.value == "Worded"
    assert words.spread is None
    why = {one.provider: one.why for one in record(found[3]).metrics["price"].by}
    assert why["p000"] is None
    assert (why["p002"] or "").startswith("quarantined")


def test_nobody_is_asked_for(stage: Stage) -> None:
    assert rendered(stage) == []


def test_more_than_fit_into_one_call_are_written_in_several(stage: Stage) -> None:
    entities = [play(stage, plain(1 + n % 3), f"asset:n{n}") for n in range(render.AT_ONCE + 3)]
    stage.paper = render.Paper(stage.store, stage.kernels["render_rows"], 20_000)
    assert rendered(stage, *entities) == stage.general(*entities)


def test_what_is_remembered_counts_for_refused_ones_too(stage: Stage) -> None:
    """The general way reads what lies in the entity's memory, and leaves nothing of it with the fuser."""
    told: list[Any] = []
    for known in (False, True):
        entity = play(stage, plain(4), f"asset:{known}")
        if known:
            for turn in range(3):
                stage.learn(entity, entity.as_of_ms + TURN_MS)
                entity = play(stage, plain(4), f"asset:{known}", T0 + (turn + 1) * TURN_MS)
        stage.say(entity, "p000", {"asset_name": "Worded"}, entity.as_of_ms)
        stage.say(entity, "p001", {"asset_name": "W\u00f6rded"}, entity.as_of_ms)
        lessons = entity.lessons
        (one,) = rendered(stage, entity)
        assert stage.told(entity) == [None]
        assert entity.lessons == lessons
        told.append(record(one).metrics["price"].confidence)
    assert told[0] != told[1]
    assert stage.fuser.state.keys == {}


def test_the_general_way_rounds_what_it_shows(stage: Stage) -> None:
    entity = play(stage, [*plain(3, age_ms=7777), *plain(5)[3:]])
    stage.say(entity, "p000", {"asset_name": "Worded"})
    stage.say(entity, "p001", {"asset_name": "W\u00f6rded"})
    shown = record(rendered(stage, entity)[0])
    metric = shown.metrics["price"]
    (answer,) = stage.fuser.answer_all(
        [Ask(stage.rules.specs["price"], "", claims(entity, stage.names, stage.rules)[0]["price"], entity.as_of_ms)]
    )
    assert metric.confidence == pytest.approx(answer.confidence, abs=5e-7)
    assert metric.confidence != answer.confidence
    assert metric.confidence == round(metric.confidence, 6)
    assert [one.weight for one in metric.by] == [round(weight, 6) for weight in answer.weights]
    assert metric.low == float(f"{answer.low:.12g}") != answer.low
    assert metric.quality is not None
    assert metric.quality.timeliness == round(answer.quality.timeliness, 6) != answer.quality.timeliness
