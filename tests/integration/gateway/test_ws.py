"""WebSocket over a real broker, a real server and a real client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.common.settings import CommonSettings
from services.gateway.codes import CODE
from tests.fixtures.gateway import EPOCH, Served, fused, serving
from tests.fixtures.until import PATIENCE_S, until

pytestmark = [pytest.mark.topics("fused.*", "candles.1m", "ops.*", "signals.*", "dlq"), pytest.mark.asyncio]

GREETING = ("connection_established", "welcome", "status_update")


async def hear(ws: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await asyncio.wait_for(ws.recv(), PATIENCE_S))
    return found


async def hear_data(ws: ClientConnection) -> list[dict[str, Any]]:
    """Records of the next update."""
    while True:
        message = await hear(ws)
        if message["type"] == "update":
            records: list[dict[str, Any]] = message["data"]
            return records


async def greeted(ws: ClientConnection) -> list[dict[str, Any]]:
    return [await hear(ws) for _ in GREETING]


async def say(ws: ClientConnection, **command: Any) -> None:
    await ws.send(json.dumps(command))


async def ended(ws: ClientConnection) -> tuple[int, str]:
    """Close code and reason; data that come before are read and dropped."""

    async def read_on() -> None:
        while True:
            await ws.recv()

    with pytest.raises(ConnectionClosed) as closed:
        await asyncio.wait_for(read_on(), PATIENCE_S)
    end = closed.value.rcvd
    assert end is not None
    return end.code, end.reason


def story(number: int, title: str) -> Any:
    record = fused(f"story:{number}", EPOCH + number + 1, title=title)
    return msgspec.structs.replace(record, category="news")


async def test_a_client_is_greeted_subscribes_and_hears_every_change(common: CommonSettings) -> None:
    async with serving(common) as gateway:
        await gateway.put_fused(fused(price=1.0))
        async with connect(gateway.ws + "/ws/master", subprotocols=["hub.v1"]) as ws:  # type: ignore[list-item]
            assert ws.subprotocol == "hub.v1"
            hello, welcome, status = await greeted(ws)
            assert [m["type"] for m in (hello, welcome, status)] == list(GREETING)
            assert (hello["protocol"], hello["heartbeat_s"], hello["limits"]["topics"]) == ("hub.v1", 30, 1024)
            assert status["data"]["origins"] == ["sandbox"]
            await say(ws, action="subscribe", service="market_data", symbols=["BTC", "nope"], rate="live", id=7)
            confirmed = await hear(ws)
            assert (confirmed["type"], confirmed["id"]) == ("subscription_confirmed", 7)
            assert confirmed["data"]["accepted"] == {"market_data": ["asset:bitcoin"]}
            assert confirmed["data"]["ignored"] == {"unknown": ["nope"], "not_entitled": [], "ambiguous": {}}
            snapshot = await hear(ws)
            assert (snapshot["type"], snapshot["data"][0]["price"]) == ("snapshot", "1")
            for version, price in ((2, 2.0), (3, 3.0)):
                await gateway.put_fused(fused(version=EPOCH + version, price=price), fused("asset:ethereum", price=9.0))
                update = await hear(ws)
                assert (update["service"], update["type"], update["seq"]) == ("market_data", "update", version - 1)
                assert [(r["asset_id"], r["price"], r["ver"]) for r in update["data"]] == [
                    ("bitcoin", str(int(price)), EPOCH + version)
                ]
            await say(ws, action="ping", data={"t": 1}, id="p")
            pong = await hear(ws)
            assert (pong["type"], pong["data"], pong["id"]) == ("pong", {"t": 1}, "p")
            await say(ws, action="get_status")
            assert (await hear(ws))["type"] == "status"
            await say(ws, action="unsubscribe", service="market_data")
            assert (await hear(ws))["data"]["subscriptions"] == []


async def test_a_service_path_needs_no_command_in_either_spelling(common: CommonSettings) -> None:
    async with serving(common) as gateway:
        await gateway.put_fused(fused(price=1.0))
        for path in ("/ws/market-data", "/ws/market_data"):
            async with connect(gateway.ws + path) as ws:
                await greeted(ws)
                assert (await hear(ws))["data"]["accepted"] == {"market_data": "all"}
                assert (await hear(ws))["data"][0]["asset_id"] == "bitcoin"


async def test_a_client_that_comes_back_with_a_cursor_misses_no_event(common: CommonSettings) -> None:
    async with serving(common) as gateway:
        async with connect(gateway.ws + "/ws/master") as ws:
            await greeted(ws)
            await say(ws, action="subscribe", service="news", rate="live")
            await hear(ws)
            await hear(ws)
            await gateway.put_fused(story(1, "one"))
            update = await hear(ws)
            assert update["data"][0]["title"] == "one"
            cursor = update["cursor"]
        await gateway.put_fused(story(2, "two"), story(3, "three"))
        async with connect(gateway.ws + "/ws/master") as ws:
            await greeted(ws)
            await say(ws, action="subscribe", service="news", rate="live", cursor=cursor)
            await hear(ws)
            resumed = await hear(ws)
            assert (resumed["type"], resumed["data"]["resumed"], resumed["data"]["replayed"]) == ("resumed", True, 2)
            titles = [r["title"] for r in [*(await hear_data(ws)), *(await hear_data(ws))]]
            assert sorted(titles) == ["three", "two"]
            await say(ws, action="subscribe", service="news", rate="live", cursor="nonsense")
            await hear(ws)
            refused = (await hear(ws))["data"]
            assert (refused["resumed"], refused["replayed"]) == (False, 0)
            assert (await hear(ws))["type"] == "snapshot"


WRONG = (
    ({"action": "dance"}, "Invalid enum value 'dance'"),
    ({"action": "subscribe"}, "expected service or services"),
    ({"action": "subscribe", "service": "weather"}, "expected a service, got weather"),
    ({"action": "subscribe", "service": "market_data", "symbols": ["zzz"]}, "nothing of that can be subscribed to"),
    ({"action": "unsubscribe", "service": "news"}, "expected a service that is subscribed to"),
    ({"action": "subscribe", "service": "news", "rate": 5}, "$.rate"),
)


async def wrong_commands_are_answered_and_the_connection_lives(room: Served) -> None:
    async with connect(room.ws + "/ws/master") as ws:
        await greeted(ws)
        for message, words in WRONG:
            await ws.send(json.dumps(message))
            answer = await hear(ws)
            assert answer["type"] == "error"
            assert words in answer["data"]["message"]
        await say(ws, action="ping")
        assert (await hear(ws))["type"] == "pong"


async def test_refusals_and_limits(common: CommonSettings) -> None:
    """One gateway for all checks that only read: each gateway costs a set of topics."""
    async with serving(common, ws_connections_per_client=3, web_origins=["https://ours.example"]) as room:
        await room.put_fused(fused(price=1.0))
        await wrong_commands_are_answered_and_the_connection_lives(room)
        await abuse_ends_with_a_code_that_says_which(room)
        await refused_handshakes_are_problem_json(room)
        await a_handshake_that_is_none_is_a_problem_too(room)
        await connections_of_one_client_are_limited_and_free_again_when_closed(room)


async def abuse_ends_with_a_code_that_says_which(room: Served) -> None:
    async def ends(*messages: str | bytes) -> int:
        async with connect(room.ws + "/ws/master") as ws:
            with contextlib.suppress(ConnectionClosed):  # it may end before all is said
                for message in messages:
                    await ws.send(message)
            return (await ended(ws))[0]

    ping = json.dumps({"action": "ping"})
    many = json.dumps(
        {"action": "subscribe", "service": "market_data", "entities": [f"asset:{n}" for n in range(1025)]}
    )
    assert await ends("not json") == CODE["bad_frame"]
    assert await ends("[]") == CODE["bad_frame"]
    assert await ends(b"\x00\x01") == CODE["bad_frame"]
    assert await ends(*[ping] * 300) == CODE["too_many_messages"]
    assert await ends(many) == CODE["topic_limit"]
    assert await ends("x" * 70_000) == 1009
    await until(lambda: not room.process.hub.clients)


HANDSHAKES = (
    ("/ws/nothing", {}, 404, "not-found"),
    ("/api/market", {}, 404, "not-found"),
    ("/ws/master", {"Origin": "https://evil.example"}, 403, "forbidden-origin"),
)


async def refused_handshakes_are_problem_json(room: Served) -> None:
    for path, headers, status, code in HANDSHAKES:
        with pytest.raises(InvalidStatus) as refused:
            await connect(room.ws + path, additional_headers=headers)
        response = refused.value.response
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        problem = json.loads(response.body or b"")
        assert (problem["code"], problem["status"], problem["instance"]) == (code, status, path)
        assert problem["request_id"]


async def a_handshake_that_is_none_is_a_problem_too(room: Served) -> None:
    where = urlsplit(room.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(b"GET /ws/master HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(4096), PATIENCE_S)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.split(b"\r\n")[0] or b" 426 " in head.split(b"\r\n")[0]
    assert b"application/problem+json" in head
    assert json.loads(body)["title"]


async def connections_of_one_client_are_limited_and_free_again_when_closed(room: Served) -> None:
    sockets = [await connect(room.ws + "/ws/master") for _ in range(3)]
    with pytest.raises(InvalidStatus) as refused:
        await connect(room.ws + "/ws/master")
    assert refused.value.response.status_code == 429
    await sockets[0].close()
    await until(lambda: len(room.process.hub.clients) == 2)
    again = await connect(room.ws + "/ws/master")
    for ws in (again, *sockets[1:]):
        await ws.close()


async def test_a_client_that_does_not_read_gets_the_newest_value_and_costs_no_memory(common: CommonSettings) -> None:
    async with serving(common) as gateway:
        records = [fused(f"asset:a{n}", price=1.0) for n in range(300)]
        await gateway.put_fused(*records)
        where = urlsplit(gateway.url)
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect((where.hostname, where.port))
        reader, writer = await asyncio.open_connection(sock=raw, limit=4096)
        writer.write(
            b"GET /ws/master HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        command = json.dumps(
            {"action": "subscribe", "service": "market_data", "rate": "live", "snapshot": False}
        ).encode()
        writer.write(bytes((0x81, 0x80 | len(command))) + bytes(4) + command)
        await until(lambda: any(c.streams for c in gateway.process.hub.clients.values()))
        client = next(iter(gateway.process.hub.clients.values()))
        version = EPOCH + 1
        while client.blocked_ms is None:
            version += 1
            await gateway.put_fused(*[msgspec.structs.replace(record, version=version) for record in records])
        assert client.outlet.buffered_bytes() < 1_000_000  # type: ignore[attr-defined]
        last = msgspec.structs.replace(fused("asset:a7", price=777.0), version=version + 10)
        await gateway.put_fused(last)
        received = b""
        async with asyncio.timeout(PATIENCE_S):
            while b'"type":"slow_consumer"' not in received or b'"price":"777"' not in received:
                received = received[-200_000:] + await reader.read(65_536)
        assert received.count(b'"price":"777"') == 1
        writer.close()


async def test_a_stopping_server_tells_when_to_come_back_and_closes_with_1012(common: CommonSettings) -> None:
    async with serving(common) as gateway:
        ws = await connect(gateway.ws + "/ws/master")
        await greeted(ws)
        gateway.process.sockets.shut_down()
        notice = await hear(ws)
        assert notice["type"] == "server_shutdown"
        assert 0 <= notice["reconnect_after_ms"] <= 15_000
        assert await ended(ws) == (CODE["restart"], "server shutdown")
        with pytest.raises(InvalidStatus) as refused:
            await connect(gateway.ws + "/ws/master")
        assert refused.value.response.status_code == 503


async def test_an_event_stream_tells_the_same_and_ends_when_told(common: CommonSettings) -> None:
    async with serving(common) as gateway, httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
        await gateway.put_fused(fused(price=1.0))
        unknown = await http.get("/api/v1/stream?services=weather")
        assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid-parameter")
        async with http.stream("GET", "/api/v1/stream?services=market_data,news&rate=live") as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            lines = answer.aiter_lines()
            assert await anext(lines) == "retry: 2000"
            seen = [await next_event(lines) for _ in range(3)]
            assert [event["event"] for event in seen] == ["subscription_confirmed", "snapshot", "snapshot"]
            await gateway.put_fused(story(1, "one"))
            event = await next_event(lines)
            assert json.loads(event["data"])["data"][0]["title"] == "one"
            assert event["id"] == json.loads(event["data"])["cursor"]
            gateway.process.sockets.shut_down()
            assert (await next_event(lines))["event"] == "server_shutdown"
            assert json.loads((await next_event(lines))["data"]) == {
                "code": CODE["restart"],
                "reason": "server shutdown",
            }
            assert [line async for line in lines] == []
        await until(lambda: not gateway.process.hub.clients)


async def next_event(lines: AsyncIterator[str]) -> dict[str, str]:
    """The next server-sent event, by field."""
    event: dict[str, str] = {}
    async with asyncio.timeout(PATIENCE_S):
        while True:
            line = await anext(lines)
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif event:
                return event
