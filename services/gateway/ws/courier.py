"""An outlet that awaits its client in a task of its own: for servers without the frames extension, and for event streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from services.gateway.ws import protocol

Send = Callable[[Any], Awaitable[None]]
End = tuple[int, str]
"""Close code and reason."""
Events = Callable[[Iterable[str], End | None], Iterable[Any]]
"""(texts, how it ends) -> the ASGI messages that say them."""

log = logging.getLogger(__name__)


class Courier:
    """Carries one delivery at a time; while it is under way, the client counts as not reading."""

    def __init__(self, send: Send, events: Events) -> None:
        self._send = send
        self._events = events
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: list[bytes] = []
        self._end: End | None = None
        self.ended = asyncio.Event()
        """Set when nothing will be delivered any more."""

    def ok(self) -> bool:
        """Whether what was written before is out."""
        return not self._tasks and not self.ended.is_set()

    def write(self, frames: bytes) -> None:
        """Deliver the texts of frames that `protocol.text_frame` made."""
        self._waiting.append(frames)
        self._start()

    def close(self, code: int, reason: str) -> None:
        """End after what was written."""
        self._end = (code, reason)
        self._start()

    async def stop(self) -> None:
        """Give up what is not out yet."""
        self.ended.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self) -> None:
        if not self._tasks and not self.ended.is_set():
            task = asyncio.create_task(self._run(), name="courier")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        try:
            while self._waiting:
                for event in self._events(protocol.texts(self._waiting.pop(0)), None):
                    await self._send(event)
            if self._end is not None:
                for event in self._events((), self._end):
                    await self._send(event)
                self.ended.set()
        except Exception as fault:
            # Servers differ in what they raise for a client that is gone; whoever waits for the client learns it there.
            log.debug("client is gone: %s", fault)
            self.ended.set()


def message_events(texts: Iterable[str], end: End | None) -> Iterable[Any]:
    """As WebSocket messages."""
    for text in texts:
        yield {"type": "websocket.send", "text": text}
    if end is not None:
        yield {"type": "websocket.close", "code": end[0], "reason": end[1]}


class _Labels(Struct):
    type: str
    cursor: str | None = None


def stream_events(texts: Iterable[str], end: End | None) -> Iterable[Any]:
    """As server-sent events: `event` is the message's type, `id` its cursor; the last one says how it ended."""
    for text in texts:
        labels = msgspec.json.decode(text, type=_Labels)
        mark = f"id: {labels.cursor}\n" if labels.cursor else ""
        body = f"event: {labels.type}\n{mark}data: {text}\n\n".encode()
        yield {"type": "http.response.body", "body": body, "more_body": True}
    if end is not None:
        reason = msgspec.json.encode({"code": end[0], "reason": end[1]}).decode()
        yield {"type": "http.response.body", "body": f"event: reconnect\ndata: {reason}\n\n".encode()}
