"""Every answer that is not a success, as RFC 9457 problem+json: kinds as rows, each with a help page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

CONTENT_TYPE = b"application/problem+json"


class ProblemKind(Struct, frozen=True):
    """One kind of problem; its page is at /problems/<code>."""

    code: str
    status: int
    title: str
    help: str


KINDS = (
    ProblemKind(
        "bad-request", 400, "The request is not valid HTTP", "Check the client: the request could not be parsed."
    ),
    ProblemKind(
        "forbidden-origin",
        403,
        "This origin may not connect",
        "Open the page from an origin that PARALLAX_WEB_ORIGINS lists.",
    ),
    ProblemKind("not-found", 404, "There is nothing here", "See /docs for the routes."),
    ProblemKind(
        "unknown-asset",
        404,
        "No asset is called so",
        "Use an asset id of /api/v1/market, such as bitcoin; `near` lists ids that look alike.",
    ),
    ProblemKind("unknown-entity", 404, "No record of this entity", "Lists of entities: /api/v1/records/<category>."),
    ProblemKind("unknown-category", 404, "No such category", "The categories: /api/v1/categories."),
    ProblemKind("unknown-provider", 404, "No such provider", "The providers: /api/v1/providers."),
    ProblemKind("method-not-allowed", 405, "This method is not allowed here", "The Allow header lists those that are."),
    ProblemKind(
        "ambiguous-symbol", 409, "Several assets carry this symbol", "Ask by asset id instead; `candidates` lists them."
    ),
    ProblemKind("body-too-large", 413, "The request body is too large", "No route of this API takes a body."),
    ProblemKind("url-too-long", 414, "The URL is too long", "Ask for fewer ids at once."),
    ProblemKind(
        "invalid-parameter", 422, "A parameter is not valid", "`errors` names each parameter and what it must be."
    ),
    ProblemKind("upgrade-required", 426, "This path speaks WebSocket", "Connect with a WebSocket client."),
    ProblemKind(
        "quota-exceeded",
        429,
        "Too many requests",
        "Wait for Retry-After seconds. An unchanged answer (304, by If-None-Match) costs nothing.",
    ),
    ProblemKind("connection-limit", 429, "Too many WebSocket connections", "Close one, or subscribe to more on one."),
    ProblemKind(
        "internal-error",
        500,
        "The gateway failed",
        "Report the request_id; the gateway's log has the details under it.",
    ),
    ProblemKind(
        "no-data",
        503,
        "Nothing is known yet",
        "`detail` says what is missing. /api/v1/status shows which providers answer.",
    ),
    ProblemKind(
        "no-fresh-data",
        503,
        "Nothing fresh is known",
        "`last_known` is the newest record. Add allow_stale=1 to get it with 200, labelled stale.",
    ),
    ProblemKind(
        "not-ready",
        503,
        "The gateway is still reading the topics",
        "Try again in a second; /readyz says how far it is.",
    ),
)

KIND = {kind.code: kind for kind in KINDS}
QUOTA_TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"
"""The registered-style type that draft-ietf-httpapi-ratelimit-headers-11 section 5 gives to an exhausted quota."""

STATUS_CODES = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    422: "invalid-parameter",
}
"""What a bare HTTP status means, where the framework and not a route refused."""


class Problem(Exception):
    """A refusal; `extra` members are added to its body, `headers` to its headers."""

    def __init__(
        self, code: str, detail: str, extra: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = KIND[code]
        self.detail = detail
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})

    def body(self, instance: str, request_id: str) -> bytes:
        """The problem document for one request."""
        kind = self.kind
        return msgspec.json.encode(
            {
                "type": QUOTA_TYPE if kind.code == "quota-exceeded" else f"/problems/{kind.code}",
                "title": kind.title,
                "status": kind.status,
                "detail": self.detail,
                "instance": instance,
                "code": kind.code,
                "request_id": request_id,
                **self.extra,
            }
        )


def help_page(kind: ProblemKind) -> str:
    """A short page that says what the problem is and what to do."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{kind.title}</title>'
        f"<h1>{kind.title}</h1><p>HTTP {kind.status}, code <code>{kind.code}</code></p><p>{kind.help}</p></html>"
    )
