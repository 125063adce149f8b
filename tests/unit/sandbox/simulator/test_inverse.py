"""A field rule backwards: what is written is read as what was meant, by the mapping's own reader."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.simulator.inverse import write_field
from sandbox.simulator.places import Body
from schemas import metrics
from services.collector.map.fields import reader
from services.collector.map.paths import At, top
from services.collector.registry.mapping import Emit, EntityRule, FieldRule

SPECS = metrics.load()
EMIT = Emit(entity=EntityRule(kind="asset", fixed="bitcoin"), fields={})


def written(rule: Any, metric: str, value: Any, row: Any) -> tuple[str | None, Any, Any]:
    """(reason, what the mapping reads, the row) after writing."""
    body = Body.of(row, "json")
    at = At(top(row).payload, row, top(row))
    reason = write_field(rule, SPECS[metric], value, row, at, EMIT, body, set())
    shape = rule if isinstance(rule, FieldRule) else FieldRule(path=rule)
    return reason, reader(shape, SPECS[metric], [], "test")(body.inner, at), row


def test_where_the_minuend_stands_already_what_is_taken_from_it_says_the_value() -> None:
    row = {"price": "105.5", "change": "-3.25"}
    body, at = Body.of(row, "json"), At(top(row).payload, row, top(row))
    taken: set[tuple[int, Any]] = set()
    assert write_field("price", SPECS["mark_price"], 250.0, row, at, EMIT, body, taken) is None
    rule = FieldRule(path="price", minus="change")
    assert write_field(rule, SPECS["contract_open_24h"], 248.5, row, at, EMIT, body, taken) is None
    assert {name: float(text) for name, text in row.items()} == {"price": 250.0, "change": 1.5}
    assert write_field(rule, SPECS["contract_open_24h"], 99.0, row, at, EMIT, body, taken) is None
    assert float(row["change"]) == 1.5  # its place was written: the first writer leads


@pytest.mark.parametrize(
    ("rule", "metric", "value", "row"),
    [
        ("p", "price", 61234.56789, {"p": 1}),
        ("p", "price", 61234.56789, {"p": "1.00"}),
        ("a.b[1]", "price", 0.0000123, {"a": {"b": [0, "0.1"]}}),
        (["x", "y"], "price", 5.5, {"x": None, "y": 2.0}),
        (FieldRule(path="p", unit="fraction"), "change_24h_pct", -2.5, {"p": 0.1}),
        (FieldRule(path="p", unit="cents"), "price", 2.5, {"p": 10}),
        (FieldRule(path="p", strip="%"), "change_24h_pct", 1.25, {"p": "3.1%"}),
        (FieldRule(path="p", invert=True), "price", 4.0, {"p": "0.5"}),
        (FieldRule(path="p", times="q"), "price", 12.0, {"p": 1.0, "q": "3"}),
        (FieldRule(path="p", over="q"), "price", 12.0, {"p": 1.0, "q": 3}),
        (FieldRule(path="p", plus="q", minus=2.0, times=[2.0, "r"]), "price", 12.0, {"p": 1.0, "q": 3, "r": 0.5}),
        (FieldRule(path="p", decimals=18), "circulating_supply", 120_000_000.0, {"p": "1000000000000000000"}),
        (FieldRule(path="p", decimals="d"), "circulating_supply", 1_500_000.0, {"p": "10000000", "d": "6"}),
        (FieldRule(path="p", type="hex", unit="wei"), "gas_price_gwei", 12.5, {"p": "0x3b9aca00"}),
        (FieldRule(each="l", path="[0]", take="max"), "bid", 99.5, {"l": [["1.0", "2"], ["0.9", "2"]]}),
        (FieldRule(each="l", path="[0]", take="min"), "ask", 99.5, {"l": [["1.0", "2"], ["1.1", "2"]]}),
        (FieldRule(each="l", path="v", take="sum"), "volume_24h", 30.0, {"l": [{"v": 1.0}, {"v": 2.0}, {"v": 3.0}]}),
        (FieldRule(each="l", path="v", take="mean"), "price", 30.0, {"l": [{"v": 1.0}, {"v": 2.0}]}),
        (FieldRule(each="l", path="v", take="last"), "price", 30.0, {"l": [{"v": 1.0}, {"v": 2.0}]}),
        (FieldRule(each="l", where=[], path="v", take="first"), "price", 30.0, {"l": [{"v": "1.0"}, {"v": 2.0}]}),
    ],
)
def test_the_mapping_reads_what_was_meant(rule: Any, metric: str, value: float, row: Any) -> None:
    reason, read, _ = written(rule, metric, value, row)
    assert reason is None
    assert read == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize(
    ("rule", "row", "reason"),
    [
        ("p", {}, "nothing stands at the path"),
        ("p", {"p": None}, "nothing stands at the path"),
        (FieldRule(path="p", nulls=["-"]), {"p": "-"}, "nothing stands at the path"),
        ("p", {"p": [1]}, "cannot be written like [1]"),
        (FieldRule(fixed=1.0), {}, "the rule says the value itself"),
        (FieldRule(path="p", type="count"), {"p": [1]}, "type count is about the shape"),
        (FieldRule(path="p", times="q"), {"p": 1.0, "q": 0}, "cannot be written like 1.0"),
        (FieldRule(each="l", path="v", take="count"), {"l": [{"v": 1}]}, "take count is about the shape"),
        (FieldRule(each="l", path="v", take="sum"), {"l": []}, "the list is empty"),
    ],
)
def test_what_cannot_be_written_is_told(rule: Any, row: Any, reason: str) -> None:
    before = repr(row)
    said, _, after = written(rule, "price", 5.0, row)
    assert said == reason
    assert repr(after) == before


def test_a_place_is_written_once() -> None:
    row = {"p": 1.0}
    taken: set[tuple[int, Any]] = set()
    body, at = Body.of(row, "json"), top(row)
    assert write_field("p", SPECS["price"], 5.0, row, at, EMIT, body, taken) is None
    assert write_field("p", SPECS["price"], 6.0, row, at, EMIT, body, taken) is None
    assert row == {"p": 5.0}
