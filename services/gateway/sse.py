"""Server-sent events: the hub's streams for clients that can only read."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from fastapi import Response

from services.gateway.answers import COMMON
from services.gateway.ws.courier import Courier, stream_events
from services.gateway.ws.hub import Client, Outlet
from services.gateway.ws.protocol import Command

COMMENT_S = 15.0
"""Proxies cut connections that are idle for 60 s."""
RETRY_MS = 2_000


class Room(Protocol):
    """Where clients are attended to."""

    def admit(self, address: str, origin: str | None) -> None:
        """Problem when this client may not have one more connection now."""

    def attend(self, outlet: Outlet, address: str, command: Command | None) -> Client:
        """A client that hears what `command` subscribes to."""

    def leave(self, client: Client) -> None:
        """Forget a client."""


class EventStream(Response):
    """One client's stream, until it goes or is told to."""

    media_type = "text/event-stream"

    def __init__(self, room: Room, address: str, command: Command, status_code: int = 200) -> None:
        super().__init__(status_code=status_code)
        self._room = room
        self._address = address
        self._command = command

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send what comes; a comment into every silence."""
        headers = [
            (b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"), *COMMON,
        ]  # fmt: skip
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"retry: %d\n\n" % RETRY_MS, "more_body": True})
        lock = asyncio.Lock()

        async def send_alone(message: Any) -> None:
            async with lock:
                await send(message)

        courier = Courier(send_alone, stream_events)
        client = self._room.attend(courier, self._address, self._command)
        gone = asyncio.create_task(until_gone(receive), name="event stream: client")
        ended = asyncio.create_task(courier.ended.wait(), name="event stream: end")
        try:
            while not (await asyncio.wait({gone, ended}, timeout=COMMENT_S, return_when=asyncio.FIRST_COMPLETED))[0]:
                if courier.ok():
                    await send_alone({"type": "http.response.body", "body": b": still here\n\n", "more_body": True})
        finally:
            self._room.leave(client)
            gone.cancel()
            ended.cancel()
            await asyncio.gather(gone, ended, courier.stop(), return_exceptions=True)


async def until_gone(receive: Any) -> None:
    """Wait for the end of the request."""
    while (await receive())["type"] != "http.disconnect":
        pass
