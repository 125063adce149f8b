"""What routes share: the view, the memory of resolved pages, and how an answer becomes a response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fastapi import Request, Response
from msgspec import Struct

from services.gateway.answers import Facts, send_body, send_problem
from services.gateway.hot import FACTS, Pages
from services.gateway.limits import Quota
from services.gateway.problems import Problem
from services.gateway.sse import Room
from services.gateway.view.feed import Body
from services.gateway.view.pages import Page
from services.gateway.view.view import View


class Sockets(Room, Protocol):
    """What the REST side asks of the WebSocket side."""

    def stats(self) -> dict[str, Any]:
        """Clients, subscriptions and sent counts."""


class Gateway(Struct):
    """One gateway process as its routes see it."""

    view: View
    pages: Pages
    quota: Quota
    sockets: Sockets
    now_ms: Callable[[], int]
    loading: Callable[[], str]
    """Empty when every topic was read to its end; else what is still missing."""
    behind: Callable[[], str]
    """Empty while the topics are followed; else why they are not. Then it is not ready, and serves what it knows."""
    started_ms: int
    metrics_text: Callable[[], bytes]


class Ready(Response):
    """A response whose bytes exist already; ETag, gzip and quota headers are added as on the hot path."""

    media_type = "application/json"

    def __init__(self, body: Body, quota: Quota, status_code: int = 200) -> None:
        super().__init__(status_code=status_code)
        self._ready = body
        self._quota = quota

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        await send_body(self._ready, facts_of(scope), self._quota, send)


class Refused(Response):
    """A problem as a response."""

    def __init__(self, problem: Problem, quota: Quota) -> None:
        super().__init__(status_code=problem.kind.status)
        self._problem = problem
        self._quota = quota

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        await send_problem(self._problem, facts_of(scope), self._quota, send)


def facts_of(scope: Mapping[str, Any]) -> Facts:
    """The request's facts, as the front read them."""
    facts: Facts = scope[FACTS]
    return facts


def gateway_of(request: Request) -> Gateway:
    """The process that serves the request."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def resolved(request: Request, page: Page) -> Ready:
    """Answer with the page, and answer this URL in front of the framework from now on."""
    gateway = gateway_of(request)
    body = page(gateway.now_ms())
    gateway.pages.remember(request.scope["path"], request.scope["query_string"], page)
    return Ready(body, gateway.quota)


def once(request: Request, body: Body) -> Ready:
    """Answer with a body made for this request."""
    return Ready(body, gateway_of(request).quota)
