"""Rows: which parts of a payload count, in which order, and when the shape is not the expected one."""

from __future__ import annotations

from typing import Any

import pytest

from services.collector.map.paths import top
from services.collector.map.rows import each, selector
from services.collector.registry.mapping import Condition, Emit, EntityRule, Order, Zip

ENTITY = EntityRule(kind="global", fixed="market")


def rows(payload: Any, **keys: Any) -> tuple[list[Any], str | None]:
    selected = selector(Emit(entity=ENTITY, fields={}, **keys), "here")(top(payload))
    return [row for row, _ in selected.rows], selected.drift


@pytest.mark.parametrize(
    ("path", "payload", "found", "drift"),
    [
        ("$[*]", [1, 2], [1, 2], None),
        ("data[*]", {"data": []}, [], None),
        ("data[*]", {"data": None}, [], None),
        ("data[*]", {}, [], "data: expected a list, got nothing"),
        ("data[*]", {"data": {"a": 1}}, [], "data: expected a list, got dict"),
        ("$[*2]", [1, 2, 3, 4, 5], [[1, 2], [3, 4]], None),
        ("d.*[*3]", {"d": {"x": [1, 2, 3], "y": [4]}}, [[1, 2, 3]], None),
        ("d[*2]", {"d": {"a": 1}}, [], "d: expected a list, got dict"),
        ("$[*]", {"code": -1}, [], "payload: expected a list, got dict"),
        ("$[*?]", {"a": 1}, [{"a": 1}], None),
        ("$[*?]", [{"a": 1}], [{"a": 1}], None),
        ("$[*?]", "text", [], "payload: expected a list, got str"),
        ("r.*", {"r": {"x": 1, "y": 2}}, [1, 2], None),
        ("r.*", {"r": [1]}, [], "r: expected an object, got list"),
        ("d[*].q.*", {"d": [{"q": {"USD": 1, "EUR": 2}}, {"q": {"USD": 3}}]}, [1, 2, 3], None),
        ("d[*].q.*", {"d": [{"q": {"USD": 1}}, {}]}, [1], None),
        ("r.*[*]", {"r": {"x": [1, 2], "last": 9}}, [1, 2], None),
        ("data", {"data": {"a": 1}}, [{"a": 1}], None),
        ("data", {}, [], "data: nothing there"),
        (None, {"a": 1}, [{"a": 1}], None),
    ],
)
def test_rows_paths(path: str | None, payload: Any, found: list[Any], drift: str | None) -> None:
    got, why = rows(payload, rows=path)
    assert got == found
    assert (why is None) == (drift is None)
    if drift is not None and why is not None:
        assert why.replace('["', "").replace('"]', "").split(":")[1] == drift.split(":")[1]


def test_optional_rows_may_be_missing() -> None:
    assert rows({}, rows="data[*]", optional=True) == ([], None)


def test_columns_become_rows() -> None:
    payload = {"t": [1, 2], "c": [10, 20]}
    assert rows(payload, rows=Zip(zip={"time": "t", "close": "c"})) == (
        [{"time": 1, "close": 10}, {"time": 2, "close": 20}],
        None,
    )
    assert (
        rows({"t": [1], "c": [1, 2]}, rows=Zip(zip={"time": "t", "close": "c"}))[1]
        == "columns time, close: expected lists of one length, got [1, 2]"
    )
    assert rows({"t": 1, "c": [1]}, rows=Zip(zip={"time": "t", "close": "c"}))[1] == "t: expected a list, got int"


def test_order_unique_and_limit() -> None:
    payload = [{"k": "a", "n": "2"}, {"k": "b", "n": 10}, {"k": "a", "n": 3.5}, {"k": "c"}]
    assert rows(payload, rows="$[*]", order=Order(by="n"))[0] == [payload[1], payload[2], payload[0], payload[3]]
    assert rows(payload, rows="$[*]", order=Order(by="n", desc=False))[0] == [
        payload[0],
        payload[2],
        payload[1],
        payload[3],
    ]
    assert rows(payload, rows="$[*]", order=Order(by="n"), unique="k")[0] == [payload[1], payload[2], payload[3]]
    assert rows(payload, rows="$[*]", limit=2)[0] == payload[:2]


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ({"path": "s", "eq": "1"}, [0]), ({"path": "n", "eq": 1}, [0]), ({"path": "n", "eq": True}, []), ({"path": "b", "eq": True}, [0]),
        ({"path": "s", "ne": "1"}, [1]), ({"path": "s", "among": ["1", "9"]}, [0]), ({"path": "s", "not_in": ["1"]}, [1]),
        ({"path": "n", "gt": 1}, [1]), ({"path": "n", "ge": 1}, [0, 1]), ({"path": "s", "lt": 2}, [0]), ({"path": "n", "le": 1}, [0]),
        ({"path": "e", "present": True}, []), ({"path": "s", "present": True}, [0, 1]), ({"path": "zz", "present": False}, [0, 1]),
        ({"path": "l", "len": 2}, [0]), ({"path": "l", "min_len": 2}, [0, 1]), ({"path": "w", "starts": "ab"}, [0]),
        ({"path": "w", "ends": "cd"}, [0]), ({"path": "w", "matches": "[a-d]+"}, [0]), ({"path": "w", "matches": "b"}, []),
        ({"path": "n", "matches": "1"}, []), ({"path": "w", "has": "bc"}, [0]), ({"path": "l", "type": "list"}, [0, 1]),
        ({"path": "n", "type": "text"}, []), ({"any": [Condition(path="n", eq=1), Condition(path="n", eq=2)]}, [0, 1]),
    ],
)  # fmt: skip
def test_conditions(condition: dict[str, Any], kept: list[int]) -> None:
    payload = [
        {"s": "1", "n": 1, "b": True, "e": "", "l": [1, 2], "w": "abcd"},
        {"s": "2", "n": 2, "b": False, "e": None, "l": [1, 2, 3], "w": "xbxd"},
    ]
    assert rows(payload, rows="$[*]", where=[Condition(**condition)])[0] == [payload[index] for index in kept]


def test_when_silences_an_emit() -> None:
    assert rows([1], rows="$[*]", when=[Condition(path=".", type="object")]) == ([], None)


@pytest.mark.parametrize(
    ("path", "found"),
    [("inner", [7]), ("^.inner", [1, 2]), ("^^.inner", [3, 4, 5]), ("$.inner", [3, 4, 5]), ("^.nothing", None)],
)
def test_a_list_may_stand_in_the_row_in_what_encloses_it_or_in_the_payload(path: str, found: list[int] | None) -> None:
    payload = {"inner": [3, 4, 5], "outer": [{"inner": [1, 2], "rows": [{"inner": [7]}]}]}
    emit = Emit(entity=ENTITY, fields={}, rows="outer[*].rows[*]")
    row, at = selector(emit, "here")(top(payload)).rows[0]
    elements = each(path, (), None, "here")(row, at)
    assert (None if elements is None else [value for value, _ in elements]) == found
