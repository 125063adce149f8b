"""Named rules choose in kernels what they choose in Python, and it is worth the same."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events import Fused
from tests.unit.aggregator.engine.logs import T0
from tests.unit.aggregator.kernels.stage import Kernels, Stage

MINUTE_MS = 60_000
PROVIDERS = ("aqua", "blue", "b", "bl", "cyan-2", "cyan")
values = st.sampled_from((100.0, 100.0, 100.01, 99.99, 100.5, 103.0, 10.0, 1e-9, 0.0, 1e13))
claims = st.fixed_dictionaries(
    {},
    optional={
        name: st.tuples(values, st.sampled_from((0, 0, 5, 5, 700)), st.sampled_from((1.0, 1.0, 0.8)), st.booleans())
        for name in PROVIDERS
    },
).filter(bool)
"""Provider -> value, age, weight, whether it belongs to a house of several."""


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    metric=st.sampled_from((("exchange", "trade_price"), ("exchange", "last_size"), ("market", "market_rank"))),
    turns=st.lists(claims, min_size=1, max_size=3),
)
def test_the_choice_is_that_of_the_general_way(
    stage_kernels: Kernels, metric: tuple[str, str], turns: list[dict[str, tuple[float, int, float, bool]]]
) -> None:
    category, name = metric
    stage = Stage(stage_kernels, category)
    for turn, said in enumerate(turns):
        now = T0 + turn * MINUTE_MS
        entity = stage.entity("pair:coin/usd" if category == "exchange" else "asset:coin", now)
        for provider, (value, age_ms, weight, housed) in said.items():
            stage.say(entity, provider, {name: value}, now - age_ms, weight=weight, group="house" if housed else None)
        (told,), (general,) = stage.told(entity), stage.general(entity)
        if told is None:
            # Nothing usable is said.
            assert msgspec.json.decode(general[1], type=Fused).metrics[name].value is None
        else:
            assert told == general
        stage.learn(entity, now + MINUTE_MS)


def chosen(stage: Stage, name: str, *said: tuple[str, float, int, float]) -> tuple[object, list[float]]:
    """The value of a metric, and the weights of these (provider, value, age, weight)."""
    entity = stage.entity("asset:coin")
    for provider, value, age_ms, weight in said:
        stage.say(entity, provider, {name: value}, T0 - age_ms, weight=weight)
    (told,) = stage.told(entity)
    assert told is not None
    assert told == stage.general(entity)[0]
    metric = msgspec.json.decode(told[1], type=Fused).metrics[name]
    weights = {one.provider: one.weight for one in metric.by}
    return metric.value, [weights[provider] for provider, _, _, _ in said]


def test_a_median_is_the_middle_or_between_the_two(stage_kernels: Kernels) -> None:
    ranks = (("aqua", 5.0, 0, 1.0), ("blue", 3.0, 0, 1.0), ("cyan", 4.0, 0, 0.1))
    assert chosen(Stage(stage_kernels), "market_rank", *ranks) == (4.0, [0.0, 0.0, 1.0])
    assert chosen(Stage(stage_kernels), "market_rank", *ranks[:2]) == (4.0, [0.5, 0.5])
    assert chosen(Stage(stage_kernels), "market_rank", ranks[0]) == (5.0, [1.0])
    # What is no rank at all is not counted.
    assert chosen(Stage(stage_kernels), "market_rank", *ranks[:2], ("cyan", 0.5, 0, 1.0)) == (4.0, [0.5, 0.5, 0.0])


@pytest.mark.parametrize(
    ("said", "best"),
    [
        ((("aqua", 1.0, 5, 1.0), ("blue", 1.01, 4, 0.1)), 1),
        ((("aqua", 1.0, 5, 0.9), ("blue", 1.01, 5, 1.0)), 1),
        ((("blue", 1.0, 5, 1.0), ("aqua", 1.01, 5, 1.0)), 1),
        ((("bl", 1.0, 5, 1.0), ("blue", 1.01, 5, 1.0)), 0),
        ((("blue", 1.0, 5, 1.0), ("bl", 1.01, 5, 1.0)), 1),
        ((("aqua", -1.0, 0, 1.0), ("blue", 1.01, 5, 1.0)), 1),
    ],
)
def test_the_newest_then_the_heaviest_then_the_first_by_name(
    stage_kernels: Kernels, said: tuple[tuple[str, float, int, float], ...], best: int
) -> None:
    value, weights = chosen(Stage(stage_kernels, "exchange"), "trade_price", *said)
    assert value == said[best][1]
    assert weights == [float(k == best) for k in range(2)]


def test_rarer_rules_are_left_to_python(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels, "rpc")
    name = next(spec.name for spec in stage.rules.specs.values() if spec.number and spec.strategy == "majority_vote")
    entity = stage.entity("chain:some")
    stage.say(entity, "aqua", {name: 1.0})
    assert stage.told(entity) == [None]
