"""The proof of a definition: each payload of its folder mapped, beside what must come of it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from schemas.events import Raw
from services.collector.decode import DecodeError, decode_message
from services.collector.map.identity import Identity
from services.collector.map.mapped import BookChange, Mapped
from services.collector.map.messages import Bindings, Heard, compile_stream
from services.collector.reading import Reader
from services.collector.registry.model import Provider
from services.common.errors import DefinitionError


class Expected(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `<name>.expected.json` says."""

    provenance: str
    """recorded, documented or inferred."""
    source: str
    derived: Literal["", "independent"] = ""
    """independent: the events were written from payload and documentation by someone who had not seen the mapping."""
    derived_on: datetime.date | None = None
    params: dict[str, str | int | float | bool] = {}
    status: int = 200
    headers: dict[str, str] = {}
    received_ms: int = 1_795_305_600_000
    """2026-11-22 00:00:00 UTC."""
    outcome: str = "OK"
    events: list[dict[str, Any]] = []
    books: list[dict[str, Any]] = []
    faults: int = 0
    unknown: int = 0
    heard: list[str] = []
    """Of a stream: what each message is taken for (`data`, `ack`, `ignore`, `unknown` ..); empty: not compared."""
    note: str = ""


class Case(Struct, frozen=True):
    """One payload file and its expectation."""

    name: str
    """File name before `.payload.`."""
    target: str
    """Endpoint or stream."""
    payload: Path
    expected: Expected


class Result(Struct):
    """What a case gave, in the form of its expectation."""

    outcome: str
    events: list[dict[str, Any]]
    books: list[dict[str, Any]]
    faults: int
    unknown: int
    detail: str = ""
    heard: list[str] = []


def cases(folder: Path) -> Iterator[Case]:
    """Every payload of a folder with its expectation; DefinitionError for a file that cannot be read."""
    for payload in sorted(folder.glob("*.payload.*")):
        name = payload.name.split(".payload.")[0]
        file = folder / f"{name}.expected.json"
        if not file.exists():
            raise DefinitionError(where=str(payload), expected=f"{file.name} beside it", got="none")
        try:
            expected = msgspec.json.decode(file.read_bytes(), type=Expected)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise DefinitionError(where=str(file), expected="the keys of a proof", got=str(error)) from None
        yield Case(name, name.split(".")[0], payload, expected)


def run(provider: Provider, case: Case, identity: Identity) -> Result:
    """Map one case."""
    if case.target not in provider.streams:
        outcome, detail, heard = mapped(provider, case, identity)
        return result_of(outcome, [one for _, one in heard], detail)
    outcome, told = _of_stream(provider, case, identity)
    result = result_of(outcome, [one.mapped for one in told if one.mapped is not None])
    result.heard = [one.kind for one in told]
    return result


def mapped(provider: Provider, case: Case, identity: Identity) -> tuple[str, str, list[tuple[str, Mapped]]]:
    """Outcome and detail of a case, and what was mapped: of a stream, each message with its name."""
    if case.target in provider.streams:
        outcome, told = _of_stream(provider, case, identity)
        return outcome, "", [(one.message or "", one.mapped) for one in told if one.mapped is not None]
    body, params = case.payload.read_bytes(), _params(case)
    reader = Reader(provider, case.target, identity)
    answer = reader.read(case.expected.status, case.expected.headers, body, params, case.expected.received_ms, "live")
    heard = [("", answer.mapped)] if answer.mapped is not None else []
    return answer.outcome.name, answer.outcome.detail or "", heard


def _of_stream(provider: Provider, case: Case, identity: Identity) -> tuple[str, list[Heard]]:
    stream = compile_stream(provider, case.target, identity)
    params = _params(case)
    bindings: Bindings = {}
    told: list[Heard] = []
    outcome = "OK"
    for message in json.loads(case.payload.read_bytes()):
        try:
            payload = decode_message(message if isinstance(message, str) else json.dumps(message))
        except DecodeError as error:
            outcome = error.outcome
            continue
        one = stream.read(payload, case.expected.received_ms, "live", bindings, params)
        if one.kind in ("unknown", "refused"):
            outcome = one.kind
        told.append(one)
    return outcome, told


def _params(case: Case) -> dict[str, str]:
    return {name: text_of(value) for name, value in case.expected.params.items()}


def result_of(outcome: str, heard: list[Mapped], detail: str = "") -> Result:
    """Result of one or several mapped payloads."""
    return Result(
        outcome,
        [event_of(event) for mapped in heard for event in mapped.events],
        [book_of(book) for mapped in heard for book in mapped.books],
        sum(len(mapped.faults) for mapped in heard),
        sum(sum(mapped.unknown.values()) for mapped in heard),
        detail,
    )


def event_of(event: Raw) -> dict[str, Any]:
    """The part of an event that a proof compares."""
    said: dict[str, Any] = {"category": event.category, "entity": event.entity}
    if event.quote is not None:
        said["quote"] = event.quote
    if event.event_ms is not None:
        said["event_ms"] = event.event_ms
    return {**said, "metrics": dict(event.metrics)}


def book_of(book: BookChange) -> dict[str, Any]:
    """The part of a book change that a proof compares."""
    said: dict[str, Any] = {
        "entity": book.entity,
        "kind": book.kind,
        "bids": [list(level) for level in book.bids],
        "asks": [list(level) for level in book.asks],
    }
    for name in ("first", "last", "previous", "event_ms"):
        value = getattr(book, name)
        if value is not None:
            said[name] = value
    return said


def written(said: dict[str, Any], result: Result) -> str:
    """An expectation file: what is known of the request, and what came; one event a line."""
    lines = [
        f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in said.items() if value != {}
    ]
    if result.outcome != "OK":
        lines.append(f' "outcome": {json.dumps(result.outcome)}')
    for name in ("events", "books"):
        rows = getattr(result, name)
        if rows:
            inner = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in rows)
            lines.append(f' "{name}": [\n{inner}\n ]')
    for name in ("faults", "unknown"):
        if getattr(result, name):
            lines.append(f' "{name}": {getattr(result, name)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def text_of(value: str | int | float | bool) -> str:
    """A parameter as it stands in a URL."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def differences(expected: Expected, result: Result) -> list[str]:
    """What is not as it must be, one sentence each; numbers within one part in 1e12."""
    found: list[str] = []
    if expected.outcome != result.outcome:
        found.append(f"outcome: expected {expected.outcome}, got {result.outcome} ({result.detail})")
    for name in ("faults", "unknown"):
        if getattr(expected, name) != getattr(result, name):
            found.append(f"{name}: expected {getattr(expected, name)}, got {getattr(result, name)}")
    if expected.heard and expected.heard != result.heard:
        found.append(f"heard: expected {expected.heard}, got {result.heard}")
    for name, wanted, given in (("events", expected.events, result.events), ("books", expected.books, result.books)):
        if len(wanted) != len(given):
            found.append(f"{name}: expected {len(wanted)}, got {len(given)}")
        for index, (left, right) in enumerate(zip(wanted, given, strict=False)):
            found += [f"{name}[{index}]{difference}" for difference in _differ(left, right)]
    return found


def _differ(left: Any, right: Any) -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in {**left, **right}:
            if key not in right:
                yield f".{key}: expected {left[key]!r}, got nothing"
            elif key not in left:
                yield f".{key}: expected nothing, got {right[key]!r}"
            else:
                yield from (f".{key}{inner}" for inner in _differ(left[key], right[key]))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from (f"[{index}]{inner}" for inner in _differ(one, other))
    elif not _same(left, right):
        yield f": expected {left!r}, got {right!r}"


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return bool(abs(left - right) <= 1e-12 * max(abs(left), abs(right)))
    return bool(left == right)
