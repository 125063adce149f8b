"""A call of an endpoint as a request: path, query, body, headers from the definition; secrets put in last. Pure."""

from __future__ import annotations

import datetime
import hashlib
import json
from base64 import b64encode
from typing import Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import Struct, field

from services.collector.registry.model import Endpoint, Param, Provider
from services.collector.send import Request
from services.collector.template import Values, fill, mentions, render
from services.common.errors import DefinitionError

PATH_SAFE: Final = ":,@~!$&'()*+;="
"""Kept as they are in a path segment (RFC 3986 pchar); a slash in a value is quoted."""


class Call(Struct, frozen=True, kw_only=True):
    """One request without secrets. `values` are the parameters as the mapping sees them."""

    provider: str
    endpoint: str
    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    values: dict[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name this very question; the cache key and the archive carry it."""
        text = b"\n".join((self.method.encode(), self.url.encode(), self.body or b""))
        return hashlib.blake2b(text, digest_size=8).hexdigest()


def compose(provider: Provider, name: str, given: Values, now_ms: int, base_url: str | None = None) -> Call:
    """The call of endpoint `name` with these values; DefinitionError when a required parameter has none."""
    endpoint = provider.endpoints[name]
    values = _values(endpoint, given, now_ms)
    path = fill(endpoint.path, {key: _path_value(value) for key, value in values.items()}, strict=False)
    host = base_url or provider.bases[endpoint.base]
    base = fill(host, values, strict=False)
    url = join(base, path)
    query = [
        pair
        for key, param in endpoint.params.items()
        if "{" + key + "}" not in host + endpoint.path and not _in_body(endpoint, key)
        for pair in _query(endpoint, key, param, values)
    ]
    if query:
        url += ("&" if urlsplit(url).query else "?") + urlencode(query, quote_via=quote)
    headers = {key.lower(): value for key, value in (provider.headers | endpoint.headers).items()}
    body, content_type = _body(endpoint, values, now_ms)
    if content_type:
        headers.setdefault("content-type", content_type)
    return Call(
        provider=provider.id,
        endpoint=name,
        method=endpoint.method,
        url=url,
        headers=headers,
        body=body,
        values={key: ",".join(value) if isinstance(value, tuple) else value for key, value in values.items()},
    )


def authorize(call: Call, provider: Provider, secret: str | None) -> Request:
    """The request to send: the provider's secret in its place; without one, the bare call."""
    url, headers = call.url, dict(call.headers)
    auth = provider.auth
    endpoint = provider.endpoints.get(call.endpoint)
    if secret is not None and (endpoint is None or endpoint.auth):
        match auth.kind:
            case "header":
                headers[(auth.name or "authorization").lower()] = auth.prefix + secret
            case "bearer":
                headers["authorization"] = f"Bearer {secret}"
            case "basic":
                pair = secret if ":" in secret else f"{secret}:"
                headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
            case "query":
                url += ("&" if urlsplit(url).query else "?") + urlencode({auth.name or "apikey": secret})
            case "path":
                url = url.replace("{" + (auth.name or "key") + "}", quote(secret, safe=""))
            case "hmac":
                raise DefinitionError(f"{provider.id}.auth", expected="a kind that can be sent", got="hmac")
    return Request(url=url, shown=call.url, method=call.method, headers=headers, body=call.body)


def join(base: str, path: str) -> str:
    """Base URL and path with exactly one slash between them; a query on the base stays behind the path."""
    parts = urlsplit(base)
    tail, _, query = path.partition("?")
    full = parts.path.rstrip("/") + ("/" + tail.lstrip("/") if tail else "")
    return urlunsplit((parts.scheme, parts.netloc, full, "&".join(q for q in (parts.query, query) if q), ""))


def _values(endpoint: Endpoint, given: Values, now_ms: int) -> dict[str, str | tuple[str, ...]]:
    values: dict[str, str | tuple[str, ...]] = {}
    for name, param in endpoint.params.items():
        if name in given:
            values[name] = given[name]
        elif not isinstance(param, Param):
            values[name] = _text(param)
        elif param.stands_for == "time":
            values[name] = _time(param, now_ms)
        elif param.default is not None:
            values[name] = _text(param.default)
        elif param.required and param.stands_for != "secret":
            raise DefinitionError(
                f"endpoint {endpoint.path}, parameter {name}", expected="a value", got="none", do="give it a default"
            )
    return values | {name: value for name, value in given.items() if name not in values}


def _query(endpoint: Endpoint, name: str, param: object, values: Values) -> list[tuple[str, str]]:
    value = values.get(name)
    if value is None:
        return []
    if not isinstance(value, tuple):
        return [(name, value)]
    batch = endpoint.batch
    match batch.style if batch else "join":
        case "repeat":
            return [(name, one) for one in value]
        case "json":
            return [(name, json.dumps(value, separators=(",", ":")))]
        case _:
            return [(name, (batch.separator if batch else ",").join(value))]


def _body(endpoint: Endpoint, values: Values, now_ms: int) -> tuple[bytes | None, str | None]:
    send = endpoint.send
    if send is None:
        return None, None
    if send.rpc is not None:
        envelope = {"method": send.rpc.method, "params": render(send.rpc.params, values, now_ms), "id": 1}
        version = {"jsonrpc": "2.0"} if send.rpc.version == "2.0" else {}
        return msgspec.json.encode(version | envelope), "application/json"
    if send.graphql is not None:
        question = {"query": send.graphql.query, "variables": render(send.graphql.variables, values, now_ms)}
        if send.graphql.operation is not None:
            question["operationName"] = send.graphql.operation
        return msgspec.json.encode(question), "application/json"
    if send.form is not None:
        fields = render(send.form, values, now_ms)
        return urlencode(fields, doseq=True).encode(), "application/x-www-form-urlencoded"
    return msgspec.json.encode(render(send.json, values, now_ms)), "application/json"


def _in_body(endpoint: Endpoint, name: str) -> bool:
    """A parameter that a body template names is not also sent in the query."""
    return endpoint.send is not None and mentions(msgspec.to_builtins(endpoint.send), name)


def _time(param: Param, now_ms: int) -> str:
    at_ms = now_ms + param.shift_s * 1000
    match param.unit:
        case "ms":
            return str(at_ms)
        case "us":
            return str(at_ms * 1000)
        case "ns":
            return str(at_ms * 1_000_000)
        case "iso":
            return datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case "date":
            return datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC).strftime("%Y-%m-%d")
        case _:
            return str(at_ms // 1000)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _path_value(value: str | tuple[str, ...]) -> str:
    joined = ",".join(value) if isinstance(value, tuple) else value
    return quote(joined, safe=PATH_SAFE)
