"""What recorders wrap around an answer (HAR, cassettes, nock, plain objects) taken off: request, status, headers, body. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple


class Exchange(NamedTuple):
    """One recorded request and its answer; None where the recorder kept nothing."""

    url: str | None
    method: str | None
    sent: bytes | None
    status: int | None
    headers: dict[str, str]
    body: bytes


URLS: Final = ("url", "uri", "request_url", "requestUrl", "href")
STATUSES: Final = ("status", "status_code", "statusCode", "code")
HEADERS: Final = ("headers", "response_headers", "responseHeaders", "rawHeaders")
BODIES: Final = ("body", "content", "text", "response_body", "responseBody", "response", "payload", "data")
SENT: Final = ("body", "postData", "data", "request_body", "requestBody", "content")


def opened(value: Any) -> list[Exchange]:
    """Exchanges of a recorder's file; empty when the value is a bare answer of a provider."""
    return list(_opened(value))


def _opened(value: Any) -> Iterator[Exchange]:
    if isinstance(value, list):
        if value and all(isinstance(one, dict) and _is_wrapped(one) for one in value):
            for one in value:
                yield from _opened(one)
        return
    if not isinstance(value, dict):
        return
    log = value.get("log")
    inner = log.get("entries") if isinstance(log, dict) else value.get("http_interactions", value.get("interactions"))
    if isinstance(inner, list) and inner and all(isinstance(one, dict) and "response" in one for one in inner):
        for one in inner:
            yield from _opened(one)
    elif _is_wrapped(value):
        yield _exchange(value)


def _is_wrapped(value: Mapping[str, Any]) -> bool:
    """Whether an object says where the answer came from, and holds the answer."""
    if isinstance(value.get("request"), dict) and "response" in value:
        return _address(value["request"]) is not None
    if isinstance(value.get("scope"), str) and isinstance(value.get("path"), str) and "response" in value:
        return True
    told = any(key in value for key in (*STATUSES, *HEADERS)) or isinstance(value.get("method"), str)
    return _address(value) is not None and told and any(key in value for key in BODIES)


def _address(value: Mapping[str, Any]) -> str | None:
    found = next((value[key] for key in URLS if isinstance(value.get(key), str)), None)
    return found if found is not None and found.startswith(("http://", "https://", "ws://", "wss://")) else None


def _exchange(value: Mapping[str, Any]) -> Exchange:
    if isinstance(value.get("request"), dict):
        request, answer = value["request"], value["response"]
        if not (
            isinstance(answer, dict) and any(key in answer for key in ("status", "status_code", "body", "content"))
        ):
            answer = {"body": answer, **{key: value[key] for key in STATUSES if key in value}}
        sent: Any = next((request[key] for key in SENT if request.get(key)), None)
        return _made(_address(request), request.get("method"), sent, answer)
    if "scope" in value and "path" in value:
        answer = {"body": value["response"], "status": value.get("status"), "headers": value.get("rawHeaders", {})}
        return _made(f"{value['scope']}{value['path']}", value.get("method"), value.get("body"), answer)
    sent = next((value[key] for key in ("request_body", "requestBody", "sent") if value.get(key)), None)
    return _made(_address(value), value.get("method"), sent, value)


def _made(url: str | None, method: Any, sent: Any, answer: Mapping[str, Any]) -> Exchange:
    body = next((answer[key] for key in BODIES if key in answer), None)
    headers: Any = next((answer[key] for key in HEADERS if key in answer), {})
    status = next((answer[key] for key in STATUSES if key in answer), None)
    return Exchange(
        url,
        method.upper() if isinstance(method, str) else None,
        _bytes(sent) or None,
        _status(status),
        _headers(headers),
        _bytes(body),
    )


def _status(value: Any) -> int | None:
    found = value.get("code") if isinstance(value, dict) else value
    if isinstance(found, str) and found[:3].isdecimal():
        return int(found[:3])
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _headers(value: Any) -> dict[str, str]:
    """Headers as an object of texts or lists, a list of {name, value}, or names and values in turn."""
    if isinstance(value, dict):
        pairs = [(name, one[0] if isinstance(one, list) and one else one) for name, one in value.items()]
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        pairs = [(one.get("name"), one.get("value")) for one in value]
    elif isinstance(value, list):
        pairs = list(zip(value[::2], value[1::2], strict=False))
    else:
        pairs = []
    return {name: one for name, one in pairs if isinstance(name, str) and isinstance(one, str)}


def _bytes(body: Any) -> bytes:
    """A body as it was sent: text, base64 that says so, pieces in hex, or values that the recorder has parsed."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, dict):
        if isinstance(body.get("base64_string"), str):
            return _decoded(body["base64_string"])
        for key in ("string", "text"):
            if isinstance(body.get(key), str):
                return _decoded(body[key]) if body.get("encoding") == "base64" else body[key].encode()
    if isinstance(body, list) and body and all(isinstance(one, str) and _is_hex(one) for one in body):
        return bytes.fromhex("".join(body))
    return json.dumps(body).encode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        return text.encode()


def _is_hex(text: str) -> bool:
    return len(text) >= 8 and len(text) % 2 == 0 and all(letter in "0123456789abcdef" for letter in text)
