"""Requests and socket messages taken apart: which endpoint is meant, and which values were asked. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from services.collector.match import match
from services.collector.registry.model import Batch, Endpoint, Param, Provider

_HOLE = re.compile(r"\{([A-Za-z0-9_]+)\}")
_LISTED = "\x1f"
"""Between the values of a parameter that came as a list."""


class Asked(NamedTuple):
    """An endpoint, its parameters as the mapping sees them, and the values of each, batches taken apart."""

    endpoint: str
    params: dict[str, str]
    values: dict[str, tuple[str, ...]]


def asked(provider: Provider, method: str, path: str, query: str, body: bytes) -> Asked | None:
    """The endpoint of a request to the simulator; None when there is none.

    Of the host it knows only what the path begins with, where the host says what is asked for.
    """
    hosts = {urlsplit(base).netloc for bases in (provider.bases.values(), *provider.mirrors.values()) for base in bases}
    fixed = sorted(host for host in hosts if not _HOLE.search(host))
    for address in (*([path.lstrip("/")] if len(fixed) < len(hosts) else []), *(f"{host}{path}" for host in fixed)):
        for found in match([provider], f"https://{address}?{query}", method, body or None):
            endpoint = provider.endpoints[found.endpoint]
            texts = _defaults(endpoint) | found.params
            repeated = parse_qsl(query)
            values = {name: _apart(endpoint.batch, name, text, repeated) for name, text in texts.items()}
            return Asked(found.endpoint, {name: ",".join(one) for name, one in values.items()}, values)
    return None


def _defaults(endpoint: Endpoint) -> dict[str, str]:
    """What a request means where it says nothing."""
    said = {name: param.default if isinstance(param, Param) else param for name, param in endpoint.params.items()}
    return {name: _text(value) for name, value in said.items() if value is not None}


def _apart(batch: Batch | None, name: str, text: str, query: list[tuple[str, str]]) -> tuple[str, ...]:
    """Values of one parameter: a batch is taken apart by its style."""
    if batch is None or batch.param != name:
        return (text,)
    if batch.style == "repeat":
        return tuple(value for key, value in query if key == name) or (text,)
    if batch.style == "json":
        try:
            return tuple(map(_text, json.loads(text)))
        except (ValueError, TypeError):
            return (text,)
    return tuple(part for part in text.split("," if batch.style == "list" else batch.separator) if part)


def message_values(template: Any, message: Any) -> dict[str, tuple[str, ...]] | None:
    """Values in a socket message that was made from this template; None when it was made from another."""
    texts: dict[str, str] = {}
    return (
        {name: tuple(text.split(_LISTED)) for name, text in texts.items()} if _same(template, message, texts) else None
    )


def _same(template: Any, data: Any, texts: dict[str, str]) -> bool:
    """Whether `data` is the template with its holes filled; what filled them goes into `texts`."""
    if isinstance(template, dict):
        if "$param" in template:
            texts[template["$param"]] = _LISTED.join(map(_text, data)) if isinstance(data, list) else _text(data)
            return True
        if "$list" in template:
            return isinstance(data, list) and _listed(template, data, texts)
        if "$id" in template or "$now" in template:
            return True
        return isinstance(data, dict) and all(
            key in data and _same(value, data[key], texts) for key, value in template.items()
        )
    if isinstance(template, list):
        return (
            isinstance(data, list)
            and len(data) == len(template)
            and all(map(_same, template, data, [texts] * len(data)))
        )
    if isinstance(template, str) and _HOLE.search(template):
        pattern = "".join("(.+)" if i % 2 else re.escape(piece) for i, piece in enumerate(_HOLE.split(template)))
        found = re.fullmatch(pattern, str(data))
        if found is not None:
            texts.update(zip(_HOLE.findall(template), found.groups(), strict=True))
        return found is not None
    return bool(template == data)


def _listed(template: Mapping[str, Any], data: list[Any], texts: dict[str, str]) -> bool:
    name = template["$list"]
    say = template.get("say", {"$param": name})
    found: dict[str, list[str]] = {}
    for one in data:
        inner: dict[str, str] = {}
        if not _same(say, one, inner):
            return False
        for key, value in inner.items():
            found.setdefault(key, []).append(value)
    texts.update({key: _LISTED.join(values) for key, values in found.items()})
    return True


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
