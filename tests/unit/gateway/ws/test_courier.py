"""The outlet of servers without the frames extension, and of event streams."""

from __future__ import annotations

import asyncio
from typing import Any

from services.gateway.ws.courier import Courier, message_events, stream_events
from services.gateway.ws.protocol import text_frame


class Line:
    """An ASGI send that takes messages only while `open` is set."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self.fault: Exception | None = None

    async def __call__(self, message: Any) -> None:
        await self.open.wait()
        if self.fault is not None:
            raise self.fault
        self.sent.append(message)


async def settle(courier: Courier) -> None:
    async with asyncio.timeout(60):
        while courier._tasks:
            await asyncio.sleep(0)


async def test_joined_frames_are_sent_as_single_messages_and_then_the_end() -> None:
    line = Line()
    courier = Courier(line, message_events)
    courier.write(text_frame(b"a") + text_frame(b"b"))
    courier.close(1012, "restart")
    await settle(courier)
    assert line.sent == [
        {"type": "websocket.send", "text": "a"},
        {"type": "websocket.send", "text": "b"},
        {"type": "websocket.close", "code": 1012, "reason": "restart"},
    ]
    assert courier.ended.is_set()


async def test_a_client_that_does_not_take_counts_as_not_reading() -> None:
    line = Line()
    line.open.clear()
    courier = Courier(line, message_events)
    assert courier.ok()
    courier.write(text_frame(b"a"))
    await asyncio.sleep(0)
    assert not courier.ok()
    line.open.set()
    await settle(courier)
    assert courier.ok()


async def test_a_client_that_is_gone_ends_the_courier_and_nothing_else() -> None:
    line = Line()
    line.fault = RuntimeError("gone")
    courier = Courier(line, message_events)
    courier.write(text_frame(b"a"))
    await settle(courier)
    assert courier.ended.is_set()
    courier.write(text_frame(b"b"))
    assert line.sent == []
    assert not courier.ok()


async def test_stop_gives_up_what_is_under_way() -> None:
    line = Line()
    line.open.clear()
    courier = Courier(line, message_events)
    courier.write(text_frame(b"a"))
    await asyncio.sleep(0)
    await asyncio.wait_for(courier.stop(), 60)
    assert line.sent == []


def test_an_event_has_the_messages_type_and_cursor() -> None:
    events = list(stream_events(['{"type":"update","cursor":"c1"}', '{"type":"ping"}'], (4040, "reconnect")))
    assert [event["body"] for event in events] == [
        b'event: update\nid: c1\ndata: {"type":"update","cursor":"c1"}\n\n',
        b'event: ping\ndata: {"type":"ping"}\n\n',
        b'event: reconnect\ndata: {"code":4040,"reason":"reconnect"}\n\n',
    ]
    assert [event.get("more_body", False) for event in events] == [True, True, False]
