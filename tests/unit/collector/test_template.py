"""Holes in bodies and subscriptions."""

import pytest

from services.collector.template import fill, mentions, render
from services.common.errors import DefinitionError

MANY = ("BTC-USDT", "ETH-USDT")


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ({"$param": "n"}, {"n": "5"}, "5"),
        ({"$param": "n", "as": "int"}, {"n": "5"}, 5),
        ({"$param": "n", "as": "float"}, {"n": "5"}, 5.0),
        ({"ids": {"$param": "s"}}, {"s": MANY}, {"ids": ["BTC-USDT", "ETH-USDT"]}),
        ({"$list": "s"}, {"s": MANY}, ["BTC-USDT", "ETH-USDT"]),
        ({"$list": "s"}, {"s": "BTC-USDT"}, ["BTC-USDT"]),
        ({"$list": "s", "say": "{s}@trade"}, {"s": MANY}, ["BTC-USDT@trade", "ETH-USDT@trade"]),
        ({"$list": "s", "say": {"id": "{s}", "n": 1}}, {"s": MANY}, [{"id": "BTC-USDT", "n": 1}, {"id": "ETH-USDT", "n": 1}]),
        (["{s}", {"a": [True, None, 1.5]}], {"s": MANY}, ["BTC-USDT,ETH-USDT", {"a": [True, None, 1.5]}]),
        ("/market/match:{s}", {"s": "X"}, "/market/match:X"),
        ("{unknown} {", {}, "{unknown} {"),
        ({"$id": True}, {}, 7),
        ({"$now": "s"}, {}, 1_795_305_600),
        ({"$now": "ms"}, {}, 1_795_305_600_123),
        ({"$now": "us"}, {}, 1_795_305_600_123_000),
    ],
)  # fmt: skip
def test_holes_are_filled(template: object, values: dict[str, str | tuple[str, ...]], expected: object) -> None:
    assert render(template, values, 1_795_305_600_123, 7) == expected


def test_a_missing_value_is_named() -> None:
    with pytest.raises(DefinitionError, match="parameter s: expected a value, got none; give it a default or values"):
        render({"a": [{"$list": "s"}]}, {})
    with pytest.raises(DefinitionError, match="parameter s: expected a value"):
        fill("/x/{s}", {})


def test_a_value_of_another_kind_is_named() -> None:
    with pytest.raises(DefinitionError, match=r"\$param: expected a value that is int, got 'five'"):
        render({"$param": "n", "as": "int"}, {"n": "five"})


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ({"a": [{"$param": "s"}]}, True),
        ([{"$list": "s"}], True),
        ({"a": "x{s}y"}, True),
        ({"s": "t"}, False),
        (5, False),
    ],
)
def test_what_a_template_mentions_is_known(template: object, expected: bool) -> None:
    assert mentions(template, "s") is expected
