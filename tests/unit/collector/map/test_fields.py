# ruff: noqa: E501 - a case is a line
"""Fields: path, type, arithmetic, unit, in the promised order; what lies outside the plausible range is refused."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import metrics
from services.collector.map import units
from services.collector.map.fields import reader
from services.collector.map.paths import top
from services.collector.map.values import Bad
from services.collector.registry.mapping import Condition, FieldRule
from services.common.errors import DefinitionError


def read(metric: str, row: Any, **keys: Any) -> Any:
    rule = FieldRule(**keys)
    return reader(rule, metrics.load()[metric], [], "here")(row, top(row))


@pytest.mark.parametrize(
    ("metric", "row", "rule", "value"),
    [
        ("price", {"p": "60000.5"}, {"path": "p"}, 60000.5),
        ("price", {"p": None, "q": "", "r": 3}, {"path": ["p", "q", "r"]}, 3.0),
        ("change_24h_pct", {"c": "-0.0125"}, {"path": "c", "unit": "fraction"}, -1.25),
        ("change_24h_pct", {"c": "0.31%"}, {"path": "c", "strip": "%"}, 0.31),
        ("change_24h_pct", {"l": 110, "o": 100}, {"path": "l", "minus": "o", "over": "o", "unit": "fraction"}, 10.0),
        ("price", {"p": "$1,234.50"}, {"path": "p", "strip": "$,"}, 1234.5),
        ("gas_price_gwei", "0x3b9aca00", {"path": ".", "type": "hex", "unit": "wei"}, 1.0),
        ("balance_native", {"b": "0x1158e460913d00000"}, {"path": "b", "type": "hex", "decimals": 18}, 20.0),
        ("token_total_supply", {"s": "123456789", "d": 6}, {"path": "s", "decimals": "d"}, 123.456789),
        ("price", {"p": 4.0}, {"path": "p", "invert": True}, 0.25),
        ("risk_score_0_100", {"s": 30}, {"path": "s", "complement": 100}, 70.0),
        ("funding_rate_8h", {"f": "0.0000125"}, {"path": "f", "unit": "fraction_per_hour"}, 0.0001),
        ("funding_rate_8h", {"f": "10.95"}, {"path": "f", "unit": "percent_per_year"}, 0.0001),
        ("open_interest", {"oi": 2, "m": 1.5}, {"path": "oi", "times": ["m", 10]}, 30.0),
        ("lp_locked_pct", {"h": [{"p": "0.2", "l": 1}, {"p": "0.3", "l": 0}, {"p": "0.1", "l": 1}]},
         {"each": "h", "where": [Condition(path="l", eq=1)], "path": "p", "take": "sum", "unit": "fraction"}, 30.000000000000004),
        ("bid", {"b": [["9", "1"], ["11", "2"], ["10", "3"]]}, {"each": "b", "path": "[0]", "take": "max"}, 11.0),
        ("bid_size", {"b": [["9", "1"], ["11", "2"], ["10", "3"]]}, {"each": "b", "by": "[0]", "path": "[1]", "take": "max"}, 2.0),
        ("ask_size", {"a": [["9", "1"], [None, "8"], ["7", "2"], ["7", "3"]]}, {"each": "a", "by": "[0]", "path": "[1]", "take": "min"}, 2.0),
        ("ask_size", {"a": [["x", "1"]]}, {"each": "a", "by": "[0]", "path": "[1]", "take": "min"}, None),
        ("ask_size", {"a": []}, {"each": "a", "by": "[0]", "path": "[1]", "take": "min"}, None),
        ("ask_size", {"a": ["7", "2", "6", "3", "9"]}, {"each": "a[*2]", "by": "[0]", "path": "[1]", "take": "min"}, 3.0),
        ("lp_locked_pct", {"h": None}, {"each": "h", "path": "p", "take": "sum"}, None),
        ("lp_locked_pct", {}, {"each": "h", "path": "p", "take": "sum"}, None),
        ("lp_locked_pct", {"h": [{}, {"p": ""}]}, {"each": "h", "path": "p", "take": "sum"}, None),
        ("lp_locked_pct", {"h": []}, {"each": "h", "path": "p", "take": "sum"}, None),
        ("lp_locked_pct", {"h": [{"l": 0, "p": 3}]}, {"each": "h", "where": [Condition(path="l", eq=1)], "path": "p", "take": "sum"}, 0.0),
        ("holder_count", {"h": None}, {"each": "h", "take": "count"}, None),
        ("market_cap", {"m": "1.25B"}, {"path": "m", "type": "short"}, 1.25e9),
        ("market_cap", {"m": "$1,350.5 k"}, {"path": "m", "type": "short", "strip": "$,"}, 1350500.0),
        ("market_cap", {"m": 12}, {"path": "m", "type": "short"}, 12.0),
        ("next_funding_time", {"t": "1795334400123456"}, {"path": "t", "time": "epoch"}, 1795334400123.0),
        ("holder_count", {"h": [1, 2, 3]}, {"path": "h", "type": "count"}, 3.0),
        ("next_funding_time", {"t": "1795334400"}, {"path": "t", "time": "s"}, 1795334400000.0),
        ("max_supply", {"m": 0}, {"path": "m", "nulls": [0]}, None),
        ("is_honeypot", {"h": "1"}, {"path": "h"}, True),
        ("is_honeypot", {"h": ""}, {"path": "h"}, None),
        ("mint_authority_active", {"m": None}, {"path": "m", "type": "present"}, False),
        ("mint_authority_active", {"m": "abc"}, {"path": "m", "type": "present"}, True),
        ("is_sanctioned", {}, {"fixed": True}, True),
        ("trade_side", {"m": True}, {"path": "m", "map": {"true": "sell", "false": "buy"}}, "sell"),
        ("trade_side", {"m": "9"}, {"path": "m", "map": {"1": "sell"}, "other": "buy"}, "buy"),
        ("coins", {"t": ["a", "b", "a"]}, {"path": "t"}, ["a", "b"]),
        ("summary", {"d": "<p>x &lt; y</p>"}, {"path": "d", "html": True}, "x < y"),
        ("trade_id", {"t": 12345678901234567890}, {"path": "t"}, "12345678901234567890"),
        ("price", {}, {"path": "p"}, None),
    ],
)  # fmt: skip
def test_fields(metric: str, row: Any, rule: dict[str, Any], value: Any) -> None:
    found = read(metric, row, **rule)
    assert found == (pytest.approx(value, rel=1e-15) if isinstance(value, float) else value)
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("metric", "row", "rule", "reason"),
    [
        ("price", {"p": -1}, {"path": "p"}, "outside the plausible range"),
        ("price", {"p": "-0.5"}, {"path": "p"}, "outside the plausible range"),
        ("market_cap", {"m": "manyB"}, {"path": "m", "type": "short"}, "not a number"),
        ("market_cap", {"m": "1.2B"}, {"path": "m"}, "not a number"),
        ("price", {"p": 0}, {"path": "p"}, "outside the plausible range"),
        ("price", {"p": "NaN"}, {"path": "p"}, "not finite"),
        ("price", {"p": float("nan")}, {"path": "p"}, "not finite"),
        ("price", {"p": float("inf")}, {"path": "p"}, "not finite"),
        ("price", {"p": True}, {"path": "p"}, "not a number"),
        ("funding_rate", {"f": 3}, {"path": "f"}, "outside the plausible range"),
        ("trade_side", {"m": "x"}, {"path": "m", "map": {"b": "buy"}}, "not one of b"),
        ("balance_native", {"b": "0x1"}, {"path": "b", "type": "hex", "decimals": 999}, "decimals out of range"),
        ("next_funding_time", {"t": 32503680000}, {"path": "t", "time": "s"}, "outside the plausible range"),
        ("is_honeypot", {"h": "maybe"}, {"path": "h"}, "not a flag"),
    ],
)  # fmt: skip
def test_fields_that_are_refused(metric: str, row: Any, rule: dict[str, Any], reason: str) -> None:
    found = read(metric, row, **rule)
    assert isinstance(found, Bad)
    assert found.reason.startswith(reason)


def test_an_operand_without_a_value_leaves_no_value() -> None:
    assert read("open_interest", {"oi": 2}, path="oi", times="m") is None
    assert read("price", {"a": 1, "b": 0}, path="a", over="b") is None


@pytest.mark.parametrize(
    ("stated", "ours", "factor"),
    [
        (None, "quote", 1.0), ("percent", "percent", 1.0), ("fraction", "percent", 100.0), ("bps", "percent", 0.01), ("percent", "fraction", 0.01),
        ("wei", "gwei", 1e-9), ("sat", "native", 1e-8), ("btc_per_kvb", "sat_per_vb", 1e5), ("ehs", "hashes_per_s", 1e18),
        ("min", "seconds", 60.0), ("seconds", "hours", 1 / 3600), ("million", "quote", 1e6), ("fraction_per_year", "fraction_per_8h", 8 / 8760),
    ],
)  # fmt: skip
def test_units(stated: str | None, ours: str, factor: float) -> None:
    assert units.factor(stated, ours) == pytest.approx(factor, rel=1e-15)


@pytest.mark.parametrize(("stated", "ours"), [("percent", "gwei"), ("furlong", "quote"), ("wei", "quote")])
def test_units_that_do_not_fit_are_refused(stated: str, ours: str) -> None:
    with pytest.raises(DefinitionError):
        units.factor(stated, ours, "here")
