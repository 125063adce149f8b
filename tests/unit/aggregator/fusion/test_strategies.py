"""The seven named rules, each against an example that can be checked by hand."""

from __future__ import annotations

import pytest

from services.aggregator.fusion.strategies import STRATEGIES, Choice, Claims, quantile

PROVIDERS = ["a", "b", "c", "d"]
VALUES = [65234.0, 65189.0, 65210.0, 78000.0]
TIMES = [40.0, 10.0, 30.0, 20.0]
WEIGHTS = [0.5, 1.0, 0.5, 0.25]
TRUST = [0.2, 0.1, 0.9, 0.3]


def claims(values: list[float] = VALUES, weights: list[float] = WEIGHTS) -> Claims:
    n = len(values)
    return Claims(PROVIDERS[:n], values, TIMES[:n], weights[:n], TRUST[:n], 65.0)


@pytest.mark.parametrize(
    ("rule", "value", "shares"),
    [
        ("weighted_average", (0.5 * 65234 + 65189 + 0.5 * 65210 + 0.25 * 78000) / 2.25, [2 / 9, 4 / 9, 2 / 9, 1 / 9]),
        ("majority_vote", (0.5 * 65234 + 65189 + 0.5 * 65210) / 2, [0.25, 0.5, 0.25, 0]),
        ("highest_confidence", 65210, [0, 0, 1, 0]),
        ("most_recent", 65234, [1, 0, 0, 0]),
        ("median", (65210 + 65234) / 2, [0.5, 0, 0.5, 0]),
        ("outlier_removal", (0.5 * 65234 + 65189 + 0.5 * 65210) / 2, [0.25, 0.5, 0.25, 0]),
        ("source_priority", 65189, [0, 1, 0, 0]),
    ],
)
def test_each_rule_gives_its_worked_example(rule: str, value: float, shares: list[float]) -> None:
    found = STRATEGIES[rule](claims())
    assert found.value == pytest.approx(value, rel=1e-15)
    assert found.shares == pytest.approx(shares, abs=1e-15)


def test_all_seven_are_there() -> None:
    assert list(STRATEGIES) == [
        "weighted_average",
        "majority_vote",
        "highest_confidence",
        "most_recent",
        "median",
        "outlier_removal",
        "source_priority",
    ]


def test_an_odd_number_has_one_middle() -> None:
    assert STRATEGIES["median"](claims([3.0, 1.0, 2.0])) == Choice(2.0, [0.0, 0.0, 1.0])


def test_under_four_sources_the_median_absolute_deviation_finds_the_outlier() -> None:
    assert STRATEGIES["outlier_removal"](claims([65234.0, 65189.0, 78000.0], [1.0, 1.0, 1.0])) == Choice(
        65211.5, [0.5, 0.5, 0.0]
    )


def test_values_that_agree_within_the_tolerance_are_kept_when_the_deviation_is_nought() -> None:
    assert STRATEGIES["outlier_removal"](claims([100.0, 100.0, 150.0], [1.0, 1.0, 1.0])).shares == [1 / 3] * 3


def test_weights_of_nought_count_alike() -> None:
    assert STRATEGIES["weighted_average"](claims([1.0, 3.0], [0.0, 0.0])) == Choice(2.0, [0.5, 0.5])


def test_a_larger_camp_beats_a_heavier_one() -> None:
    assert STRATEGIES["majority_vote"](claims([100.0, 101.0, 900.0], [0.1, 0.1, 5.0])).value == pytest.approx(100.5)


@pytest.mark.parametrize("rule", ["highest_confidence", "most_recent", "source_priority"])
def test_ties_end_with_the_first_name(rule: str) -> None:
    tied = Claims(["z", "b", "c"], [1.0, 2.0, 3.0], [5.0] * 3, [1.0] * 3, [1.0] * 3, 0.1)
    assert STRATEGIES[rule](tied).value == 2.0


@pytest.mark.parametrize(("p", "value"), [(0.0, 1.0), (0.25, 1.75), (0.5, 2.5), (1.0, 4.0)])
def test_quantiles_lie_between_their_neighbours(p: float, value: float) -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], p) == value
