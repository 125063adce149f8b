"""The HTTP client against servers that behave well and badly."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import ssl
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from sandbox.process import free_port
from services.collector.send import FAULTS, USER_AGENT, Failure, Limits, Reply, Request, fault_of, sender
from tests.fixtures import loopback
from tests.fixtures.loopback import Asked, always, response

LIMITS = Limits(connect_s=60.0, write_s=60.0, read_s=60.0, total_s=120.0, body_bytes=100_000)
"""Patient: what is tested here is seldom the time."""


async def ask(url: str, limits: Limits = LIMITS, ca_file: str | None = None, **options: Any) -> Reply | Failure:
    async with sender(limits, ca_file) as send:
        return await send.send(Request(url=url, shown=url, **options))


def failed(answer: Reply | Failure) -> tuple[str, str, int | None]:
    assert isinstance(answer, Failure), answer
    return answer.outcome, answer.detail, answer.status


async def test_a_plain_answer_comes_whole_with_lower_case_headers() -> None:
    async with loopback.http(always(200, b'{"a":1}', {"ETag": '"v1"', "X-Thing": "7"})) as server:
        answer = await ask(server.url + "/path?q=1")
    assert isinstance(answer, Reply)
    assert (answer.status, answer.body, answer.headers["etag"], answer.headers["x-thing"]) == (
        200,
        b'{"a":1}',
        '"v1"',
        "7",
    )
    assert answer.http_version == "HTTP/1.1"
    assert answer.started_ms <= answer.received_ms
    assert (server.asked[0].path, server.asked[0].headers["user-agent"]) == ("/path?q=1", USER_AGENT)
    assert server.asked[0].headers["accept-encoding"] == "gzip, deflate"


async def test_tls_of_a_private_authority_is_trusted_when_named_and_refused_when_not(tmp_path: Path) -> None:
    made = loopback.authority(tmp_path)
    async with loopback.http(always(200, b"{}"), made.context) as server:
        trusted = await ask(server.url, ca_file=made.ca_file)
        refused = await ask(server.url)
    assert isinstance(trusted, Reply)
    assert failed(refused) == ("NETWORK", "the connection failed (ConnectError)", None)


async def test_http2_is_spoken_where_the_server_can(tmp_path: Path) -> None:
    made = loopback.authority(tmp_path)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"version":"' + scope["http_version"].encode() + b'"}'})

    async with loopback.http2(app, made) as url, sender(LIMITS, made.ca_file) as send:
        answers = await asyncio.gather(*(send.send(Request(url=f"{url}/{n}", shown="")) for n in range(5)))
    assert [(a.http_version, a.body) for a in answers if isinstance(a, Reply)] == [("HTTP/2", b'{"version":"2"}')] * 5


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b'{"a":1}')),
        ("deflate", zlib.compress(b'{"a":1}')),
        ("deflate", zlib.compress(b'{"a":1}')[2:-4]),
        ("identity", b'{"a":1}'),
    ],
    ids=["gzip", "zlib", "raw deflate", "identity"],
)
async def test_packed_bodies_are_unpacked(encoding: str, packed: bytes) -> None:
    async with loopback.http(always(200, packed, {"content-encoding": encoding})) as server:
        answer = await ask(server.url)
    assert isinstance(answer, Reply)
    assert answer.body == b'{"a":1}'


async def test_chunked_bodies_are_joined() -> None:
    async def chunks(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{"a\r\n')
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(b'4\r\n":1}\r\n0\r\n\r\n')

    async with loopback.http(chunks) as server:
        answer = await ask(server.url)
    assert isinstance(answer, Reply)
    assert answer.body == b'{"a":1}'


async def test_a_gzip_bomb_costs_no_more_than_the_cap() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000, 9)
    async with loopback.http(always(200, bomb, {"content-encoding": "gzip"})) as server, sender(LIMITS) as send:
        tracemalloc.start()
        answer = await send.send(Request(url=server.url, shown=""))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert failed(answer) == ("MALFORMED", "body of more than 100000 bytes", 200)
    assert isinstance(answer, Failure)
    assert answer.body == b"\0" * 65_536
    assert peak < 5_000_000


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "undeclared"])
async def test_an_oversized_body_is_refused(declared: bool) -> None:
    async def big(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if declared:
            writer.write(response(200, b"x" * 100_001))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * 100_001)
            writer.close()

    async with loopback.http(big) as server:
        answer = await ask(server.url)
    outcome, detail, status = failed(answer)
    assert (outcome, status) == ("MALFORMED", 200)
    assert "100000" in detail


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [
        ("gzip", b"not gzip at all", "the body could not be decompressed"),
        ("gzip", gzip.compress(b"x" * 5000)[:-20], "the compressed body ends too early"),
        ("br", b"whatever", "content-encoding 'br' was not asked for"),
    ],
)
async def test_a_body_that_cannot_be_unpacked_is_malformed(encoding: str, body: bytes, words: str) -> None:
    async with loopback.http(always(200, body, {"content-encoding": encoding})) as server:
        assert failed(await ask(server.url)) == ("MALFORMED", words, 200)


async def test_a_body_that_stalls_times_out() -> None:
    async def stall(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123")
        await writer.drain()
        await asyncio.Event().wait()

    async with loopback.http(stall) as server:
        limits = msgspec.structs.replace(LIMITS, read_s=1.5)
        assert failed(await ask(server.url, limits)) == ("TIMEOUT", "the answer stalled (ReadTimeout)", 200)


async def test_a_body_that_drips_ends_with_the_whole_attempt() -> None:
    async def drip(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with loopback.http(drip) as server:
        limits = msgspec.structs.replace(LIMITS, total_s=2.0)
        assert failed(await ask(server.url, limits)) == (
            "TIMEOUT",
            "the whole attempt took too long (TimeoutError)",
            200,
        )


async def test_a_server_that_hangs_up_or_talks_nonsense_is_a_network_fault() -> None:
    async def hang_up(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def nonsense(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x01\x02 hello\r\n\r\n")
        writer.close()

    for behaviour in (hang_up, nonsense):
        async with loopback.http(behaviour) as server:
            assert failed(await ask(server.url)) == (
                "NETWORK",
                "the server broke the protocol (RemoteProtocolError)",
                None,
            )


async def test_nobody_listening_is_a_network_fault() -> None:
    assert failed(await ask(f"http://127.0.0.1:{free_port()}")) == (
        "NETWORK",
        "the connection failed (ConnectError)",
        None,
    )


async def test_validators_make_a_conditional_request() -> None:
    async with loopback.http(always(304, headers={"etag": '"v1"'})) as server:
        answer = await ask(server.url, etag='"v1"', last_modified="Sun, 22 Nov 2026 00:00:00 GMT")
    assert isinstance(answer, Reply)
    assert (answer.status, answer.body) == (304, b"")
    headers = server.asked[0].headers
    assert (headers["if-none-match"], headers["if-modified-since"]) == ('"v1"', "Sun, 22 Nov 2026 00:00:00 GMT")


async def test_a_redirect_on_the_same_host_is_followed_with_its_headers() -> None:
    async def moved(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.path == "/old":
            writer.write(response(301, headers={"location": "/new"}))
        else:
            writer.write(response(200, b"{}"))

    async with loopback.http(moved) as server:
        answer = await ask(server.url + "/old", headers={"x-key": "k"})
    assert isinstance(answer, Reply)
    assert [(asked.path, asked.headers["x-key"]) for asked in server.asked] == [("/old", "k"), ("/new", "k")]


async def test_a_redirect_to_another_host_is_refused_so_that_secrets_stay_home() -> None:
    async with loopback.http(always(302, headers={"location": "http://localhost:1/x"})) as server:
        answer = await ask(server.url, headers={"x-key": "k"})
    assert failed(answer) == ("NETWORK", "redirected to another host (localhost)", 302)


async def test_a_redirect_loop_ends() -> None:
    async with loopback.http(always(302, headers={"location": "/again"})) as server:
        answer = await ask(server.url)
    assert failed(answer) == ("NETWORK", "more than 3 redirects", 302)
    assert len(server.asked) == 4


async def test_a_post_body_is_sent() -> None:
    async with loopback.http(always(200, b"{}")) as server:
        await ask(server.url, method="POST", body=b'{"q":1}', headers={"content-type": "application/json"})
    assert (server.asked[0].method, server.asked[0].body) == ("POST", b'{"q":1}')


def test_every_exception_of_the_client_has_a_row() -> None:
    classes = [kind for _, kind in inspect.getmembers(httpx, inspect.isclass) if issubclass(kind, Exception)]
    assert len(classes) > 20
    for kind in [*classes, ssl.SSLError, ConnectionResetError, TimeoutError]:
        outcome, sentence = fault_of(kind.__new__(kind))
        assert outcome in ("TIMEOUT", "NETWORK", "MALFORMED")
        assert sentence


def test_the_rows_are_in_order_no_row_hides_a_later_one() -> None:
    for index, (kind, _, _) in enumerate(FAULTS):
        hidden = [earlier.__name__ for earlier, _, _ in FAULTS[:index] if issubclass(kind, earlier)]
        assert not hidden, f"{kind.__name__} is never reached behind {hidden}"


def test_an_exception_without_a_row_is_named() -> None:
    with pytest.raises(KeyError, match=r"send.FAULTS has no row for builtins.ValueError"):
        fault_of(ValueError())
