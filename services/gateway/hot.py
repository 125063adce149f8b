"""The ASGI front: facts, quota, and every answer whose page was resolved before; the rest goes to the application behind."""

from __future__ import annotations

import itertools
import logging
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

from services.gateway.answers import COMMON, Facts, Headers, Send, quota_headers, send_body, send_problem
from services.gateway.limits import LIMIT, Quota
from services.gateway.problems import Problem
from services.gateway.view.pages import Page

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

REMEMBERED_MAX = 4_096
"""Resolved URLs; the one used first is forgotten first."""
FREE_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""Probes are never refused for quota."""
FACTS = "parallax.facts"
"""Key in the ASGI scope under which routes find the request's facts."""

log = logging.getLogger(__name__)


class Pages:
    """Pages by URL: a route resolves its parameters once, after that its URL is answered in front of the framework."""

    def __init__(self) -> None:
        self._pages: dict[tuple[str, bytes], Page] = {}

    def get(self, path: str, query: bytes) -> Page | None:
        """The page of a URL that was resolved before."""
        return self._pages.get((path, query))

    def remember(self, path: str, query: bytes, page: Page) -> None:
        """From now on answer this URL with `page`."""
        if len(self._pages) >= REMEMBERED_MAX:
            del self._pages[next(iter(self._pages))]
        self._pages[path, query] = page


class Hot:
    """Pure ASGI application in front of another one."""

    def __init__(
        self,
        app: App,
        sockets: App,
        pages: Pages,
        quota: Quota,
        now_ms: Callable[[], int],
        loading: Callable[[], str],
        answered: Callable[[int, bool], None],
    ) -> None:
        self._app = app
        self._sockets = sockets
        self._pages = pages
        self._quota = quota
        self._now_ms = now_ms
        self._loading = loading
        self._answered = answered
        self._ids = map(f"{os.getpid():x}-{random.getrandbits(32):08x}-{{:x}}".format, itertools.count(1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request, socket, or the lifespan."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._sockets(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts, body_bytes = self._facts(scope)
        path, method, now_ms = facts.path, scope["method"], self._now_ms()
        try:
            if path not in FREE_PATHS:
                self._charge(facts, now_ms)
            if method == "GET" or facts.head:
                if path.startswith("/api/") and (loading := self._loading()) and not path.endswith("/status"):
                    raise Problem("not-ready", loading, headers={"Retry-After": "1"})
                page = self._pages.get(path, scope["query_string"])
                if page is not None:
                    body = page(now_ms)
                    await send_body(body, facts, self._quota, send)
                    self._answered(200, True)
                    return
            elif method == "OPTIONS":
                await self._preflight(facts, send)
                return
            if body_bytes > LIMIT["request_body_bytes"]:
                raise Problem(
                    "body-too-large", f"expected at most {LIMIT['request_body_bytes']} bytes, got {body_bytes}"
                )
            if len(scope["query_string"]) + len(path) > LIMIT["url_bytes"]:
                raise Problem("url-too-long", f"expected at most {LIMIT['url_bytes']} bytes")
        except Problem as problem:
            await send_problem(problem, facts, self._quota, send)
            self._answered(problem.kind.status, True)
            return
        await self._behind(scope, receive, send, facts)

    async def _behind(self, scope: Scope, receive: Receive, send: Send, facts: Facts) -> None:
        """The application behind, its answer completed; what it fails to catch is a problem too."""
        scope[FACTS] = facts
        if facts.head:
            scope = {**scope, "method": "GET"}
        started = False

        async def completed(message: Any) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._answered(message["status"], False)
                headers: Headers = list(message.get("headers", []))
                if not any(name == b"x-request-id" for name, _ in headers):
                    headers += [
                        (b"x-request-id", facts.request_id.encode()),
                        *COMMON,
                        *quota_headers(facts, self._quota),
                    ]
                message = {**message, "headers": headers}
            elif facts.head:
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(scope, receive, completed)
        except Exception:
            log.exception("request failed", extra={"request_id": facts.request_id, "path": facts.path})
            if started:
                raise
            problem = Problem("internal-error", "an unexpected fault; it is in the log under the request_id")
            await send_problem(problem, facts, self._quota, completed)

    def _facts(self, scope: Scope) -> tuple[Facts, int]:
        zip_it, if_none_match, body_bytes = False, b"", 0
        for name, value in scope["headers"]:
            if name == b"accept-encoding":
                zip_it = wants_gzip(value)
            elif name == b"if-none-match":
                if_none_match = value
            elif name == b"content-length" and value.isdigit():
                body_bytes = int(value)
        client = scope["client"]
        facts = Facts(
            next(self._ids),
            client[0] if client else "",
            scope["path"],
            scope["method"] == "HEAD",
            zip_it,
            if_none_match,
        )
        return facts, body_bytes

    def _charge(self, facts: Facts, now_ms: int) -> None:
        left = self._quota.take(facts.client, now_ms)
        if left < 0:
            facts.quota_left = 0.0
            wait_ms = int(-left) + 1
            # The draft asks for jitter: clients that were refused together must not come back together.
            wait_s = max(1, round(wait_ms / 1000 * random.uniform(1.0, 1.2) + 0.5))
            raise Problem(
                "quota-exceeded",
                f"more than {self._quota.per_minute} requests a minute",
                {"retry_after_ms": wait_ms, "violated-policies": ["default"]},
                {"Retry-After": str(wait_s)},
            )
        facts.quota_left = left

    async def _preflight(self, facts: Facts, send: Send) -> None:
        headers: Headers = [
            *COMMON,
            (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
            (b"access-control-allow-headers", b"*"),
            (b"access-control-max-age", b"86400"),
            (b"allow", b"GET, HEAD, OPTIONS"),
            (b"x-request-id", facts.request_id.encode()),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def wants_gzip(accept_encoding: bytes) -> bool:
    """Whether the header admits gzip: named or by `*`, and not with q=0."""
    for part in accept_encoding.lower().split(b","):
        name, _, parameters = part.strip().partition(b";")
        if name.strip() in (b"gzip", b"*"):
            return parameters.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False
