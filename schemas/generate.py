"""Write schemas/generated: one JSON Schema per event and one AsyncAPI 3 document, from events.py and topics.yaml."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

import msgspec

from schemas import events, topics
from schemas.topics import TopicRow

FOLDER = Path(__file__).parent / "generated"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = "0.1.0"

Json = dict[str, Any]


def event_types() -> tuple[type[msgspec.Struct], ...]:
    """The structs that travel as values or headers of records, in the order of events.py; parts of them are left out."""
    structs = [item for item in vars(events).values() if inspect.isclass(item) and issubclass(item, msgspec.Struct)]
    named = {value.strip() for row in topics.load().rows for value in row.value.split(",")} | {"Archived"}
    return tuple(item for item in structs if item.__name__ in named)


def documents() -> dict[str, str]:
    """File name -> text of everything generated."""
    types = event_types()
    _, components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    texts = sentences(inspect.getsource(events))
    for name, schema in components.items():
        describe(schema, texts.get(name, {}))
    files = {f"{item.__name__}.schema.json": _text(schema_of(item.__name__, components)) for item in types}
    files["asyncapi.json"] = _text(asyncapi(topics.load().rows, components, [item.__name__ for item in types]))
    return files


def schema_of(name: str, components: Json) -> Json:
    """A self-contained JSON Schema of one event; readers must ignore fields that they do not know."""
    used = _reached(name, components)
    return {
        "$schema": DIALECT,
        "$id": f"parallax:{name}",
        **components[name],
        **({"$defs": {other: components[other] for other in sorted(used)}} if used else {}),
    }


def sentences(source: str) -> dict[str, dict[str, str]]:
    """Class -> field -> the string below the field, which is its documentation."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        fields: dict[str, str] = {}
        for field, after in zip(node.body, node.body[1:], strict=False):
            match field, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    fields[name] = " ".join(text.split())
        found[node.name] = fields
    return found


def describe(schema: Json, fields: dict[str, str]) -> None:
    """Put the sentences of the fields into their schemas."""
    for name, text in fields.items():
        schema["properties"][name]["description"] = text


def asyncapi(rows: tuple[TopicRow, ...], components: Json, names: list[str]) -> Json:
    """The AsyncAPI 3 document: a channel per topic, a message per event."""
    messages = {
        name: {
            "name": name,
            "summary": components[name].get("description", ""),
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{name}"},
            "bindings": {"kafka": {"key": {"type": "string"}}},
        }
        for name in names
        if name != "Archived"
    }
    for row in rows:
        for value in _values(row):
            messages.setdefault(value, _opaque(value))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Parallax",
            "version": VERSION,
            "description": "Topics of Parallax and the records on them. Fields are added, never removed: ignore what you do not know.",
        },
        "defaultContentType": "application/json",
        "channels": {row.name: _channel(row) for row in rows},
        "operations": {
            f"read.{row.name}": {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{_pointer(row.name)}"},
                "summary": row.sentence,
            }
            for row in rows
        },
        "components": {"messages": messages, "schemas": _moved(components)},
    }


def _channel(row: TopicRow) -> Json:
    configuration: Json = {
        "cleanup.policy": row.cleanup.split(","),
        "max.message.bytes": row.max_message_bytes,
    }
    if row.retention_ms is not None:
        configuration["retention.ms"] = row.retention_ms
    return {
        "address": row.name,
        "description": f"{row.sentence} Key: {row.key}.",
        "messages": {value: {"$ref": f"#/components/messages/{_pointer(value)}"} for value in _values(row)},
        "bindings": {"kafka": {"partitions": row.partitions, "topicConfiguration": configuration}},
    }


def _opaque(value: str) -> Json:
    """A message whose bytes are not one of our events; on `archive` a header says what they are."""
    message: Json = {
        "name": value,
        "summary": f"Bytes: {value}.",
        "contentType": "application/octet-stream",
        "payload": {},
    }
    if value == "body":
        message["headers"] = {"type": "object", "properties": {"meta": {"$ref": "#/components/schemas/Archived"}}}
    return message


def _values(row: TopicRow) -> list[str]:
    return [value.strip() for value in row.value.split(",")]


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _reached(name: str, components: Json) -> set[str]:
    """Names that the schema refers to, directly or through others."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for other in _references(components[waiting.pop()]):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _references(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else []
        return own + [name for part in schema.values() for name in _references(part)]
    return [name for part in schema for name in _references(part)] if isinstance(schema, list) else []


def _moved(schema: Any) -> Any:
    """The schemas with their references pointing at where AsyncAPI keeps them."""
    if isinstance(schema, dict):
        return {
            key: part.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _moved(part)
            for key, part in schema.items()
        }
    return [_moved(part) for part in schema] if isinstance(schema, list) else schema


def _text(document: Json) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


ELSEWHERE = frozenset({"provider.schema.json"})
"""Generated by `parallax providers schema`, from shapes that this package may not import."""


def main() -> int:
    """Write the files, and remove those that nothing generates any more."""
    FOLDER.mkdir(exist_ok=True)
    files = documents()
    for name, text in files.items():
        (FOLDER / name).write_text(text)
    for path in FOLDER.iterdir():
        if path.name not in files and path.name not in ELSEWHERE:
            path.unlink()
    sys.stderr.write(f"{len(files)} files in {FOLDER.name}/\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
