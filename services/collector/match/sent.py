"""Bodies of requests read backwards: which parameters an RPC call, a GraphQL query or a form was filled with. Pure."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

from services.collector.registry.model import Endpoint

_HOLE = re.compile(r"\\\{([a-z][a-z0-9_]*)\\\}")


def plain(body: bytes | None) -> Any:
    """A body as values: JSON, else a form; None when there is none."""
    if not body or not body.strip():
        return None
    try:
        return json.loads(body)
    except ValueError:
        return dict(parse_qsl(body.decode("utf-8", "replace")))


def read_back(endpoint: Endpoint, sent: Any) -> dict[str, str] | None:
    """Parameters of a body, when it fits what the endpoint sends; None when it does not. Without a body: none."""
    send = endpoint.send
    if send is None or sent is None:
        return {}
    if send.rpc is not None:
        call = sent[0] if isinstance(sent, list) and sent else sent
        if not isinstance(call, dict) or call.get("method") != send.rpc.method:
            return None
        return _template(send.rpc.params, call.get("params") or [])
    if send.graphql is not None:
        query = sent.get("query") if isinstance(sent, dict) else None
        if not isinstance(query, str) or not _same_query(query, send.graphql.query):
            return None
        return _template(send.graphql.variables, sent.get("variables") or {}) or {}
    return _template(send.json if send.json is not None else send.form, sent)


def calls_apart(sent: bytes | None, answer: bytes) -> list[tuple[bytes, bytes]]:
    """Calls of a JSON-RPC batch, each with its own answer, told by the id; empty when there is no batch."""
    calls = plain(sent)
    if not isinstance(calls, list) or not all(isinstance(call, dict) and "method" in call for call in calls):
        return []
    try:
        answers = json.loads(answer)
    except ValueError:
        return []
    by_id = {str(one.get("id")): one for one in answers if isinstance(one, dict)} if isinstance(answers, list) else {}
    return [
        (json.dumps(call).encode(), json.dumps(by_id[str(call.get("id"))]).encode())
        for call in calls
        if str(call.get("id")) in by_id
    ]


def _same_query(asked: str, ours: str) -> bool:
    """Two GraphQL texts that ask for the same top fields."""
    return _fields(asked) == _fields(ours) or " ".join(asked.split()) == " ".join(ours.split())


def _fields(query: str) -> str:
    inner = query[query.find("{") + 1 :]
    head = re.match(r"\s*([A-Za-z_][A-Za-z0-9_]*)(?:\s*:\s*([A-Za-z_][A-Za-z0-9_]*))?", inner)
    return (head[2] or head[1]) if head is not None else ""


def _template(template: Any, sent: Any) -> dict[str, str] | None:
    """Values that stand where the template has holes; None when a fixed part differs."""
    if isinstance(template, dict):
        if "$param" in template:
            return {template["$param"]: _word(sent)}
        if "$list" in template:
            values = sent if isinstance(sent, list) else [sent]
            return {template["$list"]: ",".join(_word(value) for value in values)}
        if "$id" in template or "$now" in template:
            return {}
        if not isinstance(sent, dict):
            return None
        parts = [_template(value, sent[key]) for key, value in template.items() if key in sent]
        missing = [value for key, value in template.items() if key not in sent and not isinstance(value, dict)]
        return None if missing else _joined(parts)
    if isinstance(template, list):
        if not isinstance(sent, list):
            return None
        return _joined([_template(one, other) for one, other in zip(template, sent, strict=False)])
    if isinstance(template, str) and isinstance(sent, str) and "{" in template:
        pattern = _HOLE.sub(r"(?P<\1>.+)", re.escape(template))
        fit = re.fullmatch(pattern, sent)
        return None if fit is None else dict(fit.groupdict())
    return {} if template == sent or isinstance(template, (int, float)) else None


def _joined(parts: list[dict[str, str] | None]) -> dict[str, str] | None:
    joined: dict[str, str] = {}
    for part in parts:
        if part is None:
            return None
        joined |= part
    return joined


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, (list, dict)) else str(value)
