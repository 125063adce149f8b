"""Tables are read strictly, and all faults are told at once."""

from __future__ import annotations

import pytest
from msgspec import Struct

from schemas import tables


class Row(Struct, forbid_unknown_fields=True):
    size: int


def test_a_key_written_twice_is_a_fault_with_its_line() -> None:
    with pytest.raises(tables.TableError) as caught:
        tables.parse("x.yaml", "a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n")
    assert caught.value.faults == ("line 5: 'c': expected once in its mapping, came twice; delete one",)


def test_what_is_not_yaml_is_told_with_its_place() -> None:
    with pytest.raises(tables.TableError, match=r"schemas/x.yaml: 1 fault\(s\)\n  not YAML: .*line 1, column 4"):
        tables.parse("x.yaml", "a: [1")


def test_the_top_must_be_a_mapping() -> None:
    with pytest.raises(tables.TableError, match="expected a mapping at the top, got list"):
        tables.parse("x.yaml", "- a")


def test_good_rows_are_kept_and_each_bad_one_is_told() -> None:
    faults: list[str] = []
    good = tables.rows("t", {"a": {"size": 1}, "b": {"size": "1"}, "c": {"seize": 1}}, Row, faults)
    assert good == {"a": Row(1)}
    assert faults == [
        "t.b: Expected `int`, got `str` - at `$.size`",
        "t.c: Object contains unknown field `seize`",
    ]
