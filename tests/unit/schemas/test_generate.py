"""What is generated is current, complete, and true of real records."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from schemas import events, generate, topics

DOCUMENTS = generate.documents()
ASYNCAPI = json.loads(DOCUMENTS["asyncapi.json"])


def test_the_committed_files_are_what_would_be_generated_now() -> None:
    committed = {
        path.name: path.read_text() for path in generate.FOLDER.iterdir() if path.name not in generate.ELSEWHERE
    }
    assert committed == DOCUMENTS, "run: make docs"


def test_every_event_has_a_schema_of_its_own() -> None:
    expected = (
        "Raw Fused Candle Command Attempt Definition ProviderScore Reputation Held Alert ServiceState Signal Archived"
    )
    assert {name.removesuffix(".schema.json") for name in DOCUMENTS} == {*expected.split(), "asyncapi.json"}


def test_there_is_a_channel_per_topic_with_its_partitions() -> None:
    found = {name: row["bindings"]["kafka"]["partitions"] for name, row in ASYNCAPI["channels"].items()}
    assert found == {row.name: row.partitions for row in topics.load().rows}


def test_every_reference_in_the_document_leads_somewhere() -> None:
    references = [part["$ref"] for part in parts(ASYNCAPI) if "$ref" in part]
    assert references
    for reference in references:
        assert resolved(reference) is not None, reference


def test_a_sentence_below_a_field_becomes_its_description() -> None:
    source = 'class A:\n    """Doc."""\n    x: int\n    """The x of\n    things."""\n    y: int\n'
    assert generate.sentences(source) == {"A": {"x": "The x of things."}}
    raw = json.loads(DOCUMENTS["Raw.schema.json"])
    assert raw["properties"]["event_ms"]["description"] == (
        "The provider's own time of the statement; None when it gives none."
    )


RAW = events.Raw(
    id="r1",
    category="market",
    provider="p",
    endpoint="e",
    entity="asset:bitcoin",
    metrics={"price": 1.5, "halal": True, "tags": ["a"], "name": "x"},
    received_ms=1,
    origin="sandbox",
)


def test_a_real_record_passes_its_schema() -> None:
    jsonschema.validate(json.loads(msgspec.json.encode(RAW)), json.loads(DOCUMENTS["Raw.schema.json"]))


@pytest.mark.parametrize(
    "change", [{"origin": "dream"}, {"received_ms": "1"}, {"metrics": {"price": {}}}, {"id": None}]
)
def test_a_wrong_record_does_not_pass(change: dict[str, Any]) -> None:
    record = json.loads(msgspec.json.encode(RAW)) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record, json.loads(DOCUMENTS["Raw.schema.json"]))


def parts(document: Any) -> list[dict[str, Any]]:
    if isinstance(document, dict):
        return [document, *(found for part in document.values() for found in parts(part))]
    return [found for part in document for found in parts(part)] if isinstance(document, list) else []


def resolved(reference: str) -> Any:
    node: Any = ASYNCAPI
    for step in reference.removeprefix("#/").split("/"):
        node = node.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None
    return node
