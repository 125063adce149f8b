"""Paths: a closed set of steps, read once, followed without a fault whatever the payload holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.map.paths import At, getter, parse, top
from services.common.errors import DefinitionError

ROW = {"a": {"b": [10, {"c": 30}]}, "odd.key": 1, "24h": 2, "x-y": 3, "s p": 4, "n": None, ":": 5}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b[0]", 10), ("a.b[-1].c", 30), ("a.b[1].c", 30), ('["odd.key"]', 1), ("24h", 2), ("x-y", 3), ('["s p"]', 4), (".", ROW),
        ("a.b[7]", None), ("a.zzz.c", None), ("a.b.c", None), ("n.x", None), ("a[0]", None), ("$.a.b[0]", 10), (":", 5),
    ],
)  # fmt: skip
def test_paths(path: str, value: Any) -> None:
    assert getter(parse(path))(ROW, top(ROW)) == value


def test_places() -> None:
    whole = top({"w": 1}, {"symbol": "BTCUSDT"})
    outer = At(whole.payload, {"w": 1}, whole, "okey", None)
    inner = At(whole.payload, {"up": 7}, outer, "ikey", 4)
    row = {"v": 1}

    def read(path: str) -> Any:
        return getter(parse(path))(row, inner)

    assert [read(path) for path in ("^.up", "^^.w", "$key", "^$key", "$index", "$param.symbol", "$.w", "$param.none", "^^^^.x")] == [
        7, 1, "ikey", "okey", 4, "BTCUSDT", 1, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["a..b", "a[", "a[x]", 'a["x]', "a b", "a]"])
def test_what_is_no_path_is_refused_with_the_place(path: str) -> None:
    with pytest.raises(DefinitionError, match="not readable from character"):
        parse(path, "here")


def test_a_wildcard_gives_no_single_value() -> None:
    with pytest.raises(DefinitionError, match="expected one value"):
        getter(parse("a[*].b"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=10,
)


@given(json_values, st.sampled_from(["a", "a.b", "a[0]", "[0].a", "[-1]", "a.b.c[1]", "^.a", "$.a", "$key"]))
def test_no_payload_breaks_a_path(payload: Any, path: str) -> None:
    getter(parse(path))(payload, At(top(payload).payload, payload, top(payload)))
