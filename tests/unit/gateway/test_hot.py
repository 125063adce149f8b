"""The ASGI front: what it answers itself, what it passes on, and how."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import Any

import msgspec
import pytest

from services.gateway.hot import Hot, Pages, wants_gzip
from services.gateway.limits import LIMIT, Quota
from services.gateway.problems import Problem
from services.gateway.view.feed import Body

BODY = Body(identity=b'{"data":"' + b"x" * 2000 + b'"}', etag=b'"1-7"', last_modified=b"then", max_age_s=1)


class Front:
    """A front with one page at /api/market/bitcoin, in front of an application that records what it is asked."""

    def __init__(self, *, per_minute: int = 100, loading: str = "") -> None:
        self.pages = Pages()
        self.pages.remember("/api/market/bitcoin", b"", lambda now_ms: BODY)
        self.asked: list[dict[str, Any]] = []
        self.answers: list[tuple[int, bool]] = []
        self.fault: Exception | None = None
        self.now_ms = 0
        self.hot = Hot(
            self.behind,
            self.behind,
            self.pages,
            Quota(per_minute),
            lambda: self.now_ms,
            lambda: loading,
            lambda status, hot: self.answers.append((status, hot)),
        )

    async def behind(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope)
        if self.fault is not None:
            raise self.fault
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"behind"})

    def ask(
        self, path: str, method: str = "GET", query: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "client": ("10.0.0.1", 5000),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
        asyncio.run(self.hot(scope, receive, send))
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], found, sent[1]["body"]


def test_a_resolved_page_is_answered_without_the_framework() -> None:
    front = Front()
    status, headers, body = front.ask("/api/market/bitcoin")
    assert (status, body) == (200, BODY.identity)
    assert re.fullmatch(r"[0-9a-f]+-[0-9a-f]{8}-1", headers.pop("x-request-id"))
    assert headers == {
        "content-type": "application/json",
        "vary": "Accept-Encoding, Accept",
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "ETag, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id",
        "x-content-type-options": "nosniff",
        "cache-control": "max-age=1",
        "etag": '"1-7"',
        "last-modified": "then",
        "ratelimit": '"default";r=99;t=1',
        "ratelimit-policy": '"default";q=100;w=60',
        "content-length": str(len(BODY.identity)),
    }
    assert front.asked == []
    assert front.answers == [(200, True)]


def test_gzip_has_a_tag_of_its_own() -> None:
    status, headers, body = Front().ask("/api/market/bitcoin", accept_encoding="br, gzip")
    assert (status, headers["content-encoding"], headers["etag"]) == (200, "gzip", '"1-7-gz"')
    assert gzip.decompress(body) == BODY.identity
    assert headers["content-length"] == str(len(body))


@pytest.mark.parametrize(
    ("tags", "encoding", "status"),
    [
        ('"1-7"', "identity", 304),
        ('W/"1-7"', "identity", 304),
        ('"1-6", "1-7"', "identity", 304),
        ("*", "identity", 304),
        ('"1-6"', "identity", 200),
        ('"1-7-gz"', "gzip", 304),
        ('"1-7"', "gzip", 200),
    ],
)
def test_who_has_the_bytes_gets_304(tags: str, encoding: str, status: int) -> None:
    got, headers, body = Front().ask("/api/market/bitcoin", if_none_match=tags, accept_encoding=encoding)
    assert got == status
    assert (body == b"") == (status == 304)
    assert "etag" in headers


def test_an_unchanged_answer_costs_no_quota() -> None:
    front = Front(per_minute=2)
    for _ in range(5):
        status, headers, _ = front.ask("/api/market/bitcoin", if_none_match='"1-7"')
        assert (status, headers["ratelimit"]) == (304, '"default";r=2;t=1')


def test_beyond_the_quota_comes_a_problem_with_the_time_to_wait() -> None:
    front = Front(per_minute=2)
    assert [front.ask("/api/market/bitcoin")[0] for _ in range(3)] == [200, 200, 429]
    status, headers, body = front.ask("/api/other")
    problem = msgspec.json.decode(body)
    assert (status, headers["content-type"]) == (429, "application/problem+json")
    assert problem["code"] == "quota-exceeded"
    assert problem["type"].endswith("#quota-exceeded")
    assert problem["violated-policies"] == ["default"]
    assert problem["retry_after_ms"] == 30_001
    assert 30 <= int(headers["retry-after"]) <= 37
    assert headers["ratelimit"].startswith('"default";r=0;t=')
    front.now_ms = 30_001
    assert front.ask("/api/market/bitcoin")[0] == 200


def test_probes_are_never_refused() -> None:
    front = Front(per_minute=1)
    assert [front.ask("/readyz")[0] for _ in range(3)] == [200, 200, 200]


def test_head_is_get_without_the_body() -> None:
    front = Front()
    status, headers, body = front.ask("/api/market/bitcoin", "HEAD")
    assert (status, headers["content-length"], body) == (200, str(len(BODY.identity)), b"")
    status, _, body = front.ask("/other", "HEAD")
    assert (status, body, front.asked[0]["method"]) == (200, b"", "GET")


def test_another_query_is_another_page() -> None:
    front = Front()
    front.ask("/api/market/bitcoin", query=b"include=sources")
    assert [scope["query_string"] for scope in front.asked] == [b"include=sources"]


def test_answers_from_behind_carry_the_request_id_and_the_quota() -> None:
    _, headers, body = Front().ask("/somewhere")
    assert body == b"behind"
    assert headers["ratelimit"] == '"default";r=99;t=1'
    assert "x-request-id" in headers


def test_a_preflight_is_answered_for_reading_only() -> None:
    front = Front()
    status, headers, _ = front.ask("/api/market", "OPTIONS", origin="https://elsewhere.example")
    assert (status, headers["access-control-allow-methods"]) == (204, "GET, HEAD, OPTIONS")
    assert front.asked == []


def test_a_page_that_refuses_is_a_problem() -> None:
    def refuse(now_ms: int) -> Body:
        raise Problem("no-data", "nothing yet", headers={"Retry-After": "5"})

    front = Front()
    front.pages.remember("/api/x", b"", refuse)
    status, headers, body = front.ask("/api/x")
    problem = msgspec.json.decode(body)
    assert (status, headers["retry-after"]) == (503, "5")
    assert problem == {
        "type": "/problems/no-data", "title": "Nothing is known yet", "status": 503, "detail": "nothing yet",
        "instance": "/api/x", "code": "no-data", "request_id": headers["x-request-id"],
    }  # fmt: skip


def test_a_fault_behind_is_a_problem_without_its_words() -> None:
    front = Front()
    front.fault = RuntimeError("secret detail")
    status, _, body = front.ask("/somewhere")
    assert (status, msgspec.json.decode(body)["code"]) == (500, "internal-error")
    assert b"secret" not in body


def test_while_loading_the_api_says_what_is_missing_and_status_answers() -> None:
    front = Front(loading="12 records left to read")
    status, _, body = front.ask("/api/market/bitcoin")
    assert (status, msgspec.json.decode(body)["detail"]) == (503, "12 records left to read")
    assert front.ask("/api/status")[0] == 200
    assert front.ask("/livez")[0] == 200


@pytest.mark.parametrize(
    ("method", "headers", "path", "code"),
    [
        ("POST", {"content_length": str(LIMIT["request_body_bytes"] + 1)}, "/api/market", "body-too-large"),
        ("GET", {}, "/api/" + "x" * LIMIT["url_bytes"], "url-too-long"),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_read(method: str, headers: dict, path: str, code: str) -> None:
    front = Front()
    _, _, body = front.ask(path, method, **headers)
    assert msgspec.json.decode(body)["code"] == code
    assert front.asked == []


def test_pages_that_are_forgotten_are_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.hot.REMEMBERED_MAX", 2)
    pages = Pages()
    for name in ("a", "b", "c"):
        pages.remember(name, b"", lambda now_ms: BODY)
    assert [pages.get(name, b"") is not None for name in ("a", "b", "c")] == [False, True, True]


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (b"gzip", True), (b"GZIP;q=0.5", True), (b"br, gzip", True), (b"*", True), (b"br", False), (b"", False),
        (b"gzip;q=0", False), (b"gzip; q=0.0", False), (b"identity, *;q=0", False), (b"xgzip", False),
    ],
)  # fmt: skip
def test_gzip_is_sent_to_who_admits_it(header: bytes, wanted: bool) -> None:
    assert wants_gzip(header) is wanted
