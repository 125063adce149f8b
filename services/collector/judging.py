"""How good are the proposals of `providers new`? Each saved answer of the registry proposed anew, beside its finished definition. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, structs

from services.collector.map.compile import compile_endpoint
from services.collector.map.identity import Identity
from services.collector.proof import event_of
from services.collector.proposal import Proposal, propose
from services.collector.registry.mapping import Emit, FieldRule, Zip
from services.collector.registry.model import Endpoint, Provider, SymbolStyle
from services.collector.vocabulary import Vocabulary
from services.common.errors import DefinitionError


class Tally(Struct):
    """What came of the answers of one kind."""

    kind: str
    answers: int = 0
    proposed: int = 0
    """Answers of which something was proposed; the others are refused with the reason."""
    rows: int = 0
    """Of these: rows found that are about what the finished definition says, and nothing else."""
    metrics: int = 0
    """Metrics that the finished definitions state of all answers."""
    right: int = 0
    """Proposed metrics whose values are those of the finished definition."""
    wrong: int = 0
    """Proposed metrics with another value: misnamed, or in another unit or scale."""
    more: int = 0
    """Proposed metrics that the finished definition does not state of these things."""
    times: int = 0
    """Answers whose definition has a time of the data."""
    time_right: int = 0
    time_wrong: int = 0


class Answer(NamedTuple):
    """One saved answer with what was asked for."""

    provider: Provider
    endpoint: str
    payload: Any
    asked: Mapping[str, str]
    events: list[dict[str, Any]]
    """What the proof expects."""
    received_ms: int


def judge(answers: Iterable[tuple[Answer, Vocabulary]], identity: Identity) -> list[Tally]:
    """Tallies by kind of answer, largest kind first; each vocabulary must not know the provider itself."""
    found: dict[str, Tally] = {}
    for answer, known in answers:
        endpoint = answer.provider.endpoints[answer.endpoint]
        home = home_of(answer.provider, endpoint)
        if home is not None:
            kind = kind_of(endpoint)
            _count(found.setdefault(kind, Tally(kind)), answer, home, identity, known)
    return sorted(found.values(), key=lambda tally: (-tally.answers, tally.kind))


def home_of(provider: Provider, endpoint: Endpoint) -> str | None:
    """The category that most of an endpoint's metrics belong to; the provider's own where that has any."""
    counts: dict[str, int] = {}
    for emit in endpoint.emits:
        category = emit.category or provider.home
        counts[category] = counts.get(category, 0) + len(emit.fields)
    if not counts:
        return None
    return provider.home if provider.home in counts else max(sorted(counts), key=lambda one: counts[one])


def kind_of(endpoint: Endpoint) -> str:
    """What an answer looks like, by how its definition reads it."""
    if endpoint.body != "json":
        return {"rss": "feed", "csv": "CSV", "jsonrpc": "JSON-RPC", "graphql": "GraphQL"}.get(
            endpoint.body, endpoint.body
        )
    if endpoint.book is not None:
        return "order book"
    rows = [emit.rows for emit in endpoint.emits]
    if any(isinstance(one, Zip) for one in rows):
        return "columns"
    paths = [path for emit in endpoint.emits for rule in emit.fields.values() for path in _paths(rule)]
    if paths and 2 * sum(path.startswith("[") for path in paths) > len(paths):
        return "positional arrays"
    first = next((one for one in rows if isinstance(one, str) and "*" in one), None)
    if first is None:
        return "single object"
    if first.count("*") > 1:
        return "rows in rows"
    if ".*" in first:
        return "keyed object"
    return "top-level list" if first.startswith("$[") else "list below a key"


def _count(tally: Tally, answer: Answer, home: str, identity: Identity, known: Vocabulary) -> None:
    provider, endpoint = answer.provider, answer.provider.endpoints[answer.endpoint]
    emits = [emit for emit in endpoint.emits if (emit.category or provider.home) == home]
    truth = _said(event for event in answer.events if event["category"] == home)
    tally.answers += 1
    tally.metrics += len({metric for _, metric in truth})
    times = {
        (event["entity"], event["event_ms"])
        for event in answer.events
        if event.get("event_ms") and event["category"] == home
    }
    tally.times += bool(times)
    entity, quote = _told(emits)
    method = endpoint.send.rpc.method if endpoint.send is not None and endpoint.send.rpc is not None else None
    try:
        made = propose(answer.payload, home, identity, answer.asked, entity, quote, known, endpoint.body, method)
    except DefinitionError:
        return
    tally.proposed += 1
    events = _events(provider, home, made, answer, identity)
    tally.rows += bool(events) and {event["entity"] for event in events} <= {entity for entity, _ in truth}
    verdicts: dict[str, bool | None] = {}
    for (about, metric), values in _said(events).items():
        right = values <= truth[about, metric] if (about, metric) in truth else None
        before = verdicts.get(metric)
        verdicts[metric] = right if before is None else before if right is None else before and right
    tally.right += sum(one is True for one in verdicts.values())
    tally.wrong += sum(one is False for one in verdicts.values())
    tally.more += sum(one is None for one in verdicts.values())
    stated = {(event["entity"], event["event_ms"]) for event in events if event.get("event_ms")}
    if times and stated:
        tally.time_right += stated <= times
        tally.time_wrong += not stated <= times


def _said(events: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], set[Any]]:
    """(entity, metric) -> values, with their quote, that were stated."""
    found: dict[tuple[str, str], set[Any]] = {}
    for event in events:
        for metric, value in event["metrics"].items():
            plain = (
                tuple(value)
                if isinstance(value, list)
                else float(f"{value:.12g}")
                if isinstance(value, float | int)
                else value
            )
            found.setdefault((event["entity"], metric), set()).add(plain)
    return found


def _events(provider: Provider, home: str, made: Proposal, answer: Answer, identity: Identity) -> list[dict[str, Any]]:
    """What the proposal gives of the answer, in the form of a proof."""
    emit = msgspec.convert({"category": home, **made.emit()}, Emit)
    styles = {"default": msgspec.convert(made.style, SymbolStyle)} if made.style is not None else {}
    endpoint = structs.replace(answer.provider.endpoints[answer.endpoint], emits=[emit], book=None, hook=None)
    whole = structs.replace(provider, symbols=styles, endpoints={answer.endpoint: endpoint}, streams={})
    mapped = compile_endpoint(whole, answer.endpoint, identity).map(
        answer.payload, answer.asked, answer.received_ms, "live"
    )
    return [event_of(event) for event in mapped.events]


def _told(emits: list[Emit]) -> tuple[str | None, str | None]:
    """What a caller knows who writes the definition: the one thing that all is about, and the currency."""
    named = [emit.entity.fixed or (emit.entity.chain_is if emit.entity.kind == "chain" else None) for emit in emits]
    fixed = {f"{emit.entity.kind}:{name}" for emit, name in zip(emits, named, strict=True) if name}
    quotes = {emit.quote for emit in emits if isinstance(emit.quote, str) and emit.quote != "pair"}
    alone = len(fixed) == 1 and all(named)
    return (fixed.pop() if alone else None), (quotes.pop() if len(quotes) == 1 else None)


def _paths(rule: str | list[str] | FieldRule) -> list[str]:
    path = rule.path if isinstance(rule, FieldRule) else rule
    return [path] if isinstance(path, str) else list(path or [])
