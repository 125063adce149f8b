"""The OpenAPI parts that the routes share: answers in the envelope, and problems; schemas come from the encoded structs."""

from __future__ import annotations

from typing import Any

import msgspec

from services.gateway.problems import KINDS
from services.gateway.view import shapes

SHAPES = (
    shapes.AssetRecord, shapes.NewsRecord, shapes.EntityRecord, shapes.SourcesRecord, shapes.BarsRecord,
    shapes.ProviderRecord, shapes.AlertRecord, shapes.ServiceRecord, shapes.SignalRecord, shapes.Meta,
)  # fmt: skip
REF = "#/components/schemas/{name}"

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "A URL with help."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong with this request."},
        "instance": {"type": "string", "description": "Path of the request."},
        "code": {"type": "string", "enum": [kind.code for kind in KINDS]},
        "request_id": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
        "retry_after_ms": {"type": "integer"},
    },
}


def schemas() -> dict[str, Any]:
    """Components of every shape that clients see."""
    _, components = msgspec.json.schema_components(SHAPES, ref_template=REF)
    return {**components, "Problem": PROBLEM_SCHEMA}


def one(*shapes_: type) -> dict[int | str, dict[str, Any]]:
    """Answers of a route that gives one record, of one of these shapes."""
    return _answers(_any_of(shapes_))


def many(*shapes_: type) -> dict[int | str, dict[str, Any]]:
    """Answers of a route that gives a list of records, each of one of these shapes."""
    return _answers({"type": "array", "items": _any_of(shapes_)})


def free(description: str) -> dict[int | str, dict[str, Any]]:
    """Answers of a route whose data is an object or array described in words."""
    return _answers({"description": description}, meta=False)


def stream() -> dict[int | str, dict[str, Any]]:
    """Answers of a route that never ends."""
    answers = _answers({}, meta=False)
    del answers[304]
    answers[200] = {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    return answers


def _any_of(shapes_: tuple[type, ...]) -> dict[str, Any]:
    found = [{"$ref": REF.format(name=shape.__name__)} for shape in shapes_]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _answers(data: dict[str, Any], *, meta: bool = True) -> dict[int | str, dict[str, Any]]:
    properties = {"data": data}
    if meta:
        properties["meta"] = {"$ref": REF.format(name="Meta")}
    schema = {"type": "object", "required": list(properties), "properties": properties}
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": "The answer", "content": {"application/json": {"schema": schema}}},
        304: {"description": "Unchanged since the given ETag; costs no quota"},
    }
    for status in sorted({kind.status for kind in KINDS} - {403, 426}):
        titles = "; ".join(kind.title for kind in KINDS if kind.status == status)
        answers[status] = {
            "description": titles,
            "content": {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}},
        }
    return answers
