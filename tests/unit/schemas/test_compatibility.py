"""Old records stay readable: fields are added with a default, never removed, renamed, narrowed or made required."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas import events, generate
from schemas.compatibility import breaks

RECORDS = Path(__file__).parents[2] / "fixtures" / "records"
BASELINE = json.loads((RECORDS / "baseline.json").read_text())
"""The schemas as first published; when a field is added, `baseline.json` may stay as it is."""

OLD = {
    "title": "A",
    "type": "object",
    "properties": {
        "x": {"type": "integer"},
        "y": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "z": {"enum": ["a", "b"]},
        "many": {"type": "array", "items": {"$ref": "#/$defs/B"}},
    },
    "required": ["x"],
    "$defs": {"B": {"title": "B", "properties": {"v": {"type": "number"}}, "required": []}},
}


def changed(**properties: Any) -> dict[str, Any]:
    kept = {name: schema for name, schema in (OLD["properties"] | properties).items() if schema is not None}
    return OLD | {"properties": kept}


@pytest.mark.parametrize(
    "new, expected",
    [
        (OLD, []),
        (changed(extra={"type": "string"}), []),
        (changed(x={"type": "number"}), []),
        (changed(z={"enum": ["a", "b", "c"]}), []),
        (changed(x=None), ["A.x: removed or renamed; readers of old and new records need it"]),
        (changed(x={"type": "string"}), ["A.x: no longer takes a number"]),
        (changed(y={"type": "string"}), ["A.y: no longer takes a null"]),
        (changed(z={"enum": ["a"]}), ["A.z: no longer takes the value 'b'"]),
        (OLD | {"required": ["x", "y"]}, ["A.y: required now, and old records may lack it; give it a default"]),
        (
            OLD | {"$defs": {"B": {"title": "B", "properties": {}, "required": []}}},
            ["A.many[].v: removed or renamed; readers of old and new records need it"],
        ),
    ],
    ids=[
        "same",
        "added",
        "wider",
        "new-member",
        "removed",
        "other-type",
        "no-null",
        "member-gone",
        "required",
        "nested",
    ],
)
def test_each_kind_of_change_is_judged(new: dict[str, Any], expected: list[str]) -> None:
    assert breaks(OLD, new) == expected


@pytest.mark.parametrize("name", sorted(BASELINE))
def test_no_event_breaks_what_was_published(name: str) -> None:
    now = json.loads(generate.documents()[f"{name}.schema.json"])
    assert breaks(BASELINE[name], now) == []


def old_records() -> list[Any]:
    lines = [
        (path.stem, number, line)
        for path in sorted(RECORDS.glob("*.jsonl"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
    ]
    return [pytest.param(name, line, id=f"{name}-{number}") for name, number, line in lines]


@pytest.mark.parametrize("name, line", old_records())
def test_an_old_record_is_read_as_it_was_written(name: str, line: str) -> None:
    record = msgspec.json.decode(line, type=getattr(events, name))
    written = json.loads(line)
    again = json.loads(msgspec.json.encode(record))
    assert {key: again[key] for key in written if key in again} == {
        key: written[key] for key in written if key in again
    }
    assert set(written) - set(again) <= {key for key, value in written.items() if is_default(name, key, value)}


def is_default(name: str, key: str, value: Any) -> bool:
    field = next(row for row in msgspec.structs.fields(getattr(events, name)) if row.name == key)
    return bool(value == field.default) if field.default is not msgspec.NODEFAULT else value in ([], {})


def test_every_event_has_an_old_record() -> None:
    assert {path.stem for path in RECORDS.glob("*.jsonl")} == {item.__name__ for item in generate.event_types()}
