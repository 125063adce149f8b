"""Which provider and endpoint a request belongs to, and with which parameters: the addresses of all definitions, read backwards. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from services.collector.registry.model import Endpoint, Param, Provider


class Match(NamedTuple):
    """An endpoint and the parameters that the request gave it."""

    provider: str
    endpoint: str
    params: dict[str, str]


class Candidate(NamedTuple):
    """A fit and how well it fits: fixed text of the path, parameters explained, parameters left over."""

    rank: tuple[int, ...]
    match: Match


_HOLE = re.compile(r"\\\{([a-z][a-z0-9_]*)\\\}")


def match(providers: Iterable[Provider], url: str, method: str | None = None, body: bytes | None = None) -> list[Match]:
    """Endpoints that this request fits, best first; without a method, POST is assumed when there is a body."""
    asked = urlsplit(url if "//" in url else f"https://{url}")
    query = dict(parse_qsl(asked.query, keep_blank_values=True))
    sent = _json(body)
    found: list[Candidate] = []
    for provider in providers:
        for name, endpoint in provider.endpoints.items():
            if method is not None and method.upper() != endpoint.method:
                continue
            if method is None and body is not None and endpoint.method != "POST":
                continue
            fit = _fit(provider, name, endpoint, f"{asked.netloc.lower()}{asked.path}", query, sent)
            if fit is not None:
                found.append(fit)
    return [one.match for one in sorted(found, key=lambda one: one.rank, reverse=True)]


def _json(body: bytes | None) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return dict(parse_qsl(body.decode("utf-8", "replace")))


def _fit(
    provider: Provider, name: str, endpoint: Endpoint, place: str, query: Mapping[str, str], sent: Any
) -> Candidate | None:
    bases = [provider.bases.get(endpoint.base, ""), *provider.mirrors.get(endpoint.base, [])]
    for base in bases:
        in_path = _path(f"{base}{endpoint.path}", place)
        if in_path is None:
            continue
        in_body = _body(endpoint, sent)
        if in_body is None:
            return None
        params = {**query, **in_body, **in_path}
        rank = _rank(endpoint, query, params, in_path, in_body, place)
        return None if rank is None else Candidate(rank, Match(provider.id, name, params))
    return None


def _path(address: str, place: str) -> dict[str, str] | None:
    """Parameters of the path, when the place fits the address (a closing slash does not matter)."""
    split = urlsplit(address)
    pattern = _HOLE.sub(r"(?P<\1>[^/]+)", re.escape(f"{split.netloc}{split.path}".rstrip("/")))
    host = re.compile(f"{pattern}/?", re.IGNORECASE)
    fit = host.fullmatch(place)
    return None if fit is None else {key: unquote(value) for key, value in fit.groupdict().items()}


def _rank(
    endpoint: Endpoint,
    query: Mapping[str, str],
    params: Mapping[str, str],
    in_path: Mapping[str, str],
    in_body: Mapping[str, str],
    place: str,
) -> tuple[int, ...] | None:
    """None when a required parameter is missing; else how closely the request is this endpoint's."""
    explained = 0
    fixed = 0
    for name, param in endpoint.params.items():
        here = params.get(name)
        if isinstance(param, Param):
            if here is None and param.required and param.default is None and not param.values:
                return None
            explained += here is not None
        elif here is not None:
            same = here == (("true" if param else "false") if isinstance(param, bool) else str(param))
            explained += 1
            fixed += same
            if not same and name in _TELLING:
                return None
    left_over = sum(1 for name in query if name not in endpoint.params)
    literal = len(place) - sum(len(value) for value in in_path.values())
    return (literal, len(in_body), explained - left_over, fixed, int(endpoint.live), -len(endpoint.params))


_TELLING = frozenset(
    {"module", "action", "method", "type", "instType", "category", "dataType", "productType", "fn", "function"}
)
"""Parameters that choose what is asked, as a path would; a different literal there is a different endpoint."""


def _body(endpoint: Endpoint, sent: Any) -> dict[str, str] | None:
    """Parameters of the body, when the body fits what the endpoint sends; None when it does not."""
    send = endpoint.send
    if send is None or sent is None:
        return {}
    if send.rpc is not None:
        call = sent[0] if isinstance(sent, list) and sent else sent
        if not isinstance(call, dict) or call.get("method") != send.rpc.method:
            return None
        return _template(send.rpc.params, call.get("params", []))
    if send.graphql is not None:
        query = sent.get("query") if isinstance(sent, dict) else None
        if not isinstance(query, str) or not _same_query(query, send.graphql.query):
            return None
        return _template(send.graphql.variables, sent.get("variables") or {}) or {}
    return _template(send.json if send.json is not None else send.form, sent)


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
