"""How a ready body leaves: conditional, compressed when asked for, with the facts of the request in headers."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from services.gateway.limits import WINDOW_S, Quota
from services.gateway.problems import CONTENT_TYPE as PROBLEM_TYPE
from services.gateway.problems import Problem
from services.gateway.view.feed import Body
from services.gateway.view.pages import zipped

Headers = list[tuple[bytes, bytes]]
ZIP_FROM_BYTES = 1_000
"""Shorter answers fit one packet anyway."""

COMMON: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"ETag, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"),
    (b"x-content-type-options", b"nosniff"),
]
"""Any page of any origin may read, without credentials."""
JSON: Headers = [(b"content-type", b"application/json"), (b"vary", b"Accept-Encoding, Accept"), *COMMON]


class Send(Protocol):
    """ASGI's send."""

    async def __call__(self, message: Any) -> None: ...


class Facts(Struct, gc=False):
    """What one request says of itself, read once."""

    request_id: str
    client: str
    path: str
    head: bool
    zip: bool
    if_none_match: bytes
    quota_left: float = -1.0
    """Negative: the request costs nothing."""


def quota_headers(facts: Facts, quota: Quota) -> Headers:
    """RateLimit and RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers-11."""
    if facts.quota_left < 0:
        return []
    left = facts.quota_left
    return [
        (b"ratelimit", b'"default";r=%d;t=%d' % (int(left), min(WINDOW_S, quota.refill_s(left)))),
        (b"ratelimit-policy", quota.policy),
    ]


async def send_body(body: Body, facts: Facts, quota: Quota, send: Send) -> None:
    """Answer 200 with the body, or 304 when the client has it; an unchanged answer costs no quota."""
    zip_it = facts.zip and len(body.identity) >= ZIP_FROM_BYTES
    etag = body.etag
    if etag and zip_it:
        etag = etag[:-1] + b'-gz"'
    headers = [
        *JSON,
        (b"x-request-id", facts.request_id.encode()),
        (b"cache-control", b"max-age=%d" % body.max_age_s if etag else b"no-store"),
    ]
    if etag:
        headers.append((b"etag", etag))
    if body.last_modified:
        headers.append((b"last-modified", body.last_modified))
    if etag and facts.if_none_match and matches(facts.if_none_match, etag):
        if facts.quota_left >= 0:
            quota.give_back(facts.client)
            facts.quota_left += 1
        headers += quota_headers(facts, quota)
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    headers += quota_headers(facts, quota)
    payload = body.identity
    if zip_it:
        payload = zipped(body)
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-length", b"%d" % len(payload)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if facts.head else payload})


async def send_problem(problem: Problem, facts: Facts, quota: Quota, send: Send) -> None:
    """Answer with the problem."""
    payload = problem.body(facts.path, facts.request_id)
    headers = [
        (b"content-type", PROBLEM_TYPE),
        *COMMON,
        (b"cache-control", b"no-store"),
        (b"x-request-id", facts.request_id.encode()),
        *quota_headers(facts, quota),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
        (b"content-length", b"%d" % len(payload)),
    ]
    await send({"type": "http.response.start", "status": problem.kind.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if facts.head else payload})


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """Whether the client's tags name this representation; weak comparison, as RFC 9110 wants it for If-None-Match."""
    return if_none_match.strip() == b"*" or any(
        tag.strip().removeprefix(b"W/") == etag for tag in if_none_match.split(b",")
    )
