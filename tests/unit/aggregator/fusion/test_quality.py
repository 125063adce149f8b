"""The five qualities of a metric and of a record, on examples that can be checked by hand."""

from __future__ import annotations

import math

import pytest

from schemas.events import Value
from services.aggregator.fusion import Answer, Observation, Plain
from services.aggregator.fusion.quality import Quality, of_metric, of_record, residual

AS_OF = 10_000
PRICE = Plain(name="price", tolerance=0.01, freshness_ms=1000)


def answer(value: Value | None, weights: list[float], voices: float = 2.0) -> Answer:
    return Answer(value, 0.8, None, None, None, weights, [None] * len(weights), "robust", len(weights), voices)


def test_the_qualities_of_a_metric() -> None:
    seen = [
        Observation("a", "a", 100.0, AS_OF - 100),
        Observation("b", "b", 100.5, AS_OF - 300),
        Observation("c", "c", 120.0, AS_OF - 500),
        Observation("d", "c", 100.1, AS_OF),
    ]
    found = of_metric(PRICE, answer(100.2, [0.5, 0.5, 0.0, 0.0], voices=4.0), seen, AS_OF)
    assert found == Quality(
        completeness=1.0, consistency=1.0, timeliness=pytest.approx(0.8), diversity=0.75, confidence=0.8
    )
    assert of_metric(PRICE, answer(100.2, [0.5, 0.5, 0.0], voices=4.0), seen[:3], AS_OF).consistency == pytest.approx(
        2 / 3
    )


def test_a_metric_without_a_value_has_no_quality() -> None:
    nothing = Quality(completeness=0.0, consistency=0.0, timeliness=0.0, diversity=0.0, confidence=0.0)
    assert of_metric(PRICE, answer(None, [0.0]), [Observation("a", "a", 1.0, 0)], AS_OF) == nothing
    assert of_record([nothing], 3) == nothing
    assert of_record([], 0) == nothing


def test_one_voice_has_no_diversity_and_old_words_no_timeliness() -> None:
    found = of_metric(PRICE, answer(1.0, [1.0], voices=1.0), [Observation("a", "a", 1.0, AS_OF - 5000)], AS_OF)
    assert (found.diversity, found.timeliness) == (0.0, 0.0)


def test_a_record_is_the_mean_of_its_metrics_and_the_share_of_those_expected() -> None:
    one = Quality(completeness=1.0, consistency=1.0, timeliness=0.5, diversity=0.0, confidence=0.9)
    two = Quality(completeness=1.0, consistency=0.5, timeliness=1.0, diversity=0.5, confidence=0.5)
    none = Quality(completeness=0.0, consistency=0.0, timeliness=0.0, diversity=0.0, confidence=0.0)
    assert of_record([one, two, none], 4) == Quality(
        completeness=0.5, consistency=0.75, timeliness=0.75, diversity=0.25, confidence=pytest.approx(0.7)
    )
    assert of_record([one], 0).completeness == 1.0


@pytest.mark.parametrize(
    ("scale", "tolerance", "said", "value", "error"),
    [
        ("rel", 0.01, 100.0 * math.exp(0.02), 100.0, 2.0),
        ("rel", 0.01, 0.0, 0.0, 0.0),
        ("rel", 0.01, 0.0, 1.0, math.inf),
        ("rel", 0.01, "x", 1.0, math.inf),
        ("abs", 0.5, 3.0, 2.0, 2.0),
        ("cat", 0.0, "Base", "base", 0.0),
        ("cat", 0.0, True, False, math.inf),
        ("set", 0.5, ["a", "b"], ["a"], 1.0),
        ("set", 0.0, ["a"], ["a"], 0.0),
        ("set", 0.0, ["a"], ["b"], math.inf),
        ("rel", 0.01, 1.0, None, None),
    ],
)
def test_the_distance_of_a_statement_from_the_answer(
    scale: str, tolerance: float, said: Value, value: Value | None, error: float | None
) -> None:
    found = residual(
        Plain(name="m", scale=scale, tolerance=tolerance), Observation("a", "a", said, 0), answer(value, [1.0])
    )
    assert found == (None if error is None else pytest.approx(error))
