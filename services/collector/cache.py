"""Answers kept for a while: one flight per question, a size bound, hits and misses counted, validators for asking again.

Key: `api:{provider}:{endpoint}:{fingerprint}`. A stale answer stays as long as there is room, so that a 304 can revive it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from services.collector.request import Call
from services.collector.send import Failure, Reply

CAPACITY_BYTES: Final = 16 * 1024 * 1024
"""All bodies kept by one collector; its whole memory is bounded to 150 MB."""
ENTRY_BYTES: Final = CAPACITY_BYTES // 8
"""A larger body is not kept: it would push out everything else."""


class Entry(Struct, frozen=True):
    """An answer and when it was last known to hold."""

    reply: Reply
    fresh_ms: int


class Answer(Struct, frozen=True):
    """A reply and where it came from: `cached` when this caller asked nothing upstream."""

    reply: Reply | Failure
    cached: bool


class Cache:
    """Least recently used answers of this process, bounded by bytes."""

    def __init__(self, count: Callable[..., None], capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._count = count
        self._capacity = capacity_bytes
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._flights: dict[str, asyncio.Task[Answer]] = {}
        self.held_bytes = 0

    def entry(self, key: str) -> Entry | None:
        """What is kept for `key`, however old."""
        return self._entries.get(key)

    async def answer(
        self,
        key: str,
        now_ms: int,
        max_age_ms: int,
        ask: Callable[[Entry | None], Awaitable[Reply | Failure]],
    ) -> Answer:
        """A kept answer younger than `max_age_ms`, else the flight under way, else a new one by `ask`.

        `ask` gets what is kept, however old, to ask conditionally; it returns a Reply only when that is worth keeping.
        """
        kept = self._entries.get(key)
        if kept is not None and now_ms - kept.fresh_ms <= max_age_ms:
            self._entries.move_to_end(key)
            self._count("cache_total", result="hit")
            return Answer(kept.reply, cached=True)
        flight = self._flights.get(key)
        if flight is not None:
            self._count("cache_total", result="shared")
            shared = await asyncio.shield(flight)
            return Answer(shared.reply, cached=True)
        self._count("cache_total", result="miss")
        flight = asyncio.ensure_future(self._fly(key, kept, ask))
        self._flights[key] = flight
        try:
            return await flight
        finally:
            self._flights.pop(key, None)

    async def _fly(
        self, key: str, kept: Entry | None, ask: Callable[[Entry | None], Awaitable[Reply | Failure]]
    ) -> Answer:
        reply = await ask(kept)
        if isinstance(reply, Reply):
            self._keep(key, reply)
        return Answer(reply, cached=False)

    def _keep(self, key: str, reply: Reply) -> None:
        old = self._entries.pop(key, None)
        if old is not None:
            self.held_bytes -= len(old.reply.body)
        if len(reply.body) > min(ENTRY_BYTES, self._capacity):
            return
        self._entries[key] = Entry(reply, reply.received_ms)
        self.held_bytes += len(reply.body)
        while self.held_bytes > self._capacity:
            _, gone = self._entries.popitem(last=False)
            self.held_bytes -= len(gone.reply.body)


def key(call: Call) -> str:
    """Cache key of a call."""
    return f"api:{call.provider}:{call.endpoint}:{call.fingerprint}"


def revive(kept: Reply, fresh: Reply) -> Reply:
    """The kept body with the times and headers of the 304 that confirmed it (RFC 9111 3.2)."""
    return Reply(
        status=kept.status,
        headers=kept.headers | {name: value for name, value in fresh.headers.items() if name != "content-length"},
        body=kept.body,
        started_ms=fresh.started_ms,
        received_ms=fresh.received_ms,
        latency_ms=fresh.latency_ms,
        http_version=fresh.http_version,
        wire_bytes=fresh.wire_bytes,
    )
