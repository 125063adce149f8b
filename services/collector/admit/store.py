"""Where buckets live: in this process, or in Redis, shared by all collectors and kept over restarts. One contract for both.

The Redis store runs the same arithmetic as `buckets` in one Lua script, so a take over several buckets is atomic.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import redis.asyncio
from redis import RedisError

from services.collector.admit import buckets
from services.collector.admit.buckets import Bucket, Grant, State

SCRIPT: Final = Path(__file__).with_name("store.lua")
TIMEOUT_S: Final = 1.0
"""A counter that takes longer than this to answer is treated as away; admission must not hold up polling for longer."""


class StoreUnavailable(Exception):
    """The shared store did not answer; the caller falls back to its own counters."""


class Store(Protocol):
    """Counters of buckets. All times are epoch milliseconds given by the caller."""

    async def take(self, rows: Sequence[Bucket], cost: float, now_ms: int, spare_reserve: bool = False) -> Grant:
        """Take from all or from none."""

    async def lower(self, row: Bucket, remaining: float, now_ms: int) -> None:
        """The provider says that only `remaining` is left."""

    async def slow(self, rows: Sequence[Bucket], now_ms: int) -> None:
        """Halve the pace after a refusal."""

    async def quicken(self, rows: Sequence[Bucket], now_ms: int) -> None:
        """Give back a step of pace after a success."""

    async def block(self, rows: Sequence[Bucket], until_ms: int, now_ms: int) -> None:
        """Nothing before `until_ms`."""


class MemoryStore:
    """Counters of this process alone."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}

    def _state(self, row: Bucket, now_ms: int) -> State:
        state = self._states.get(row.key)
        if state is None:
            state = self._states[row.key] = buckets.full(row, now_ms)
        return state

    async def take(self, rows: Sequence[Bucket], cost: float, now_ms: int, spare_reserve: bool = False) -> Grant:
        return buckets.take(rows, [self._state(row, now_ms) for row in rows], cost, now_ms, spare_reserve)

    async def lower(self, row: Bucket, remaining: float, now_ms: int) -> None:
        buckets.lower(row, self._state(row, now_ms), remaining, now_ms)

    async def slow(self, rows: Sequence[Bucket], now_ms: int) -> None:
        for row in rows:
            buckets.slow(row, self._state(row, now_ms), now_ms)

    async def quicken(self, rows: Sequence[Bucket], now_ms: int) -> None:
        for row in rows:
            buckets.quicken(row, self._state(row, now_ms), now_ms)

    async def block(self, rows: Sequence[Bucket], until_ms: int, now_ms: int) -> None:
        for row in rows:
            buckets.block(row, self._state(row, now_ms), until_ms, now_ms)


class RedisStore:
    """Counters shared through Redis; keys `<prefix>bucket:<bucket key>` expire two windows after their last use."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str = "") -> None:
        self._prefix = prefix
        self._script = client.register_script(SCRIPT.read_text())

    async def take(self, rows: Sequence[Bucket], cost: float, now_ms: int, spare_reserve: bool = False) -> Grant:
        reply = await self._run("take", rows, cost, now_ms, spare_reserve)
        granted, wait_ms, used, tightest, blocked, divert = reply
        return Grant(
            granted=bool(granted),
            wait_ms=int(wait_ms),
            used=float(used),
            tightest=rows[int(tightest) - 1].key if rows else None,
            blocked=bool(blocked),
            divert=bool(divert),
        )

    async def lower(self, row: Bucket, remaining: float, now_ms: int) -> None:
        await self._run("lower", [row], remaining, now_ms)

    async def slow(self, rows: Sequence[Bucket], now_ms: int) -> None:
        await self._run("slow", rows, 0, now_ms)

    async def quicken(self, rows: Sequence[Bucket], now_ms: int) -> None:
        await self._run("quicken", rows, 0, now_ms)

    async def block(self, rows: Sequence[Bucket], until_ms: int, now_ms: int) -> None:
        await self._run("block", rows, until_ms, now_ms)

    async def _run(
        self, verb: str, rows: Sequence[Bucket], value: float, now_ms: int, spare_reserve: bool = False
    ) -> list[Any]:
        if not rows and verb != "take":
            return []
        keys = [f"{self._prefix}bucket:{row.key}" for row in rows]
        limits = json.dumps(
            [
                [row.limit, row.window_ms, row.burst, row.refill_per_ms, row.window_ms >= buckets.DIVERT_FROM_MS]
                for row in rows
            ]
        )
        law = json.dumps([buckets.DIVERT_SHARE, buckets.FACTOR_FLOOR, buckets.FACTOR_STEP, spare_reserve])
        call = cast(Awaitable[list[Any]], self._script(keys=keys, args=[verb, repr(float(value)), now_ms, limits, law]))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await call
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"{type(error).__name__} on {verb}") from error


class FallbackStore:
    """The shared store while it answers, else counters of this process; `shared` says which (a fact for the metrics)."""

    def __init__(self, shared: Store, retry_ms: int = 5_000) -> None:
        self._far: Store = shared
        self._near = MemoryStore()
        self._retry_ms = retry_ms
        self._away_until_ms = 0
        self.shared = True

    async def take(self, rows: Sequence[Bucket], cost: float, now_ms: int, spare_reserve: bool = False) -> Grant:
        if self._try_far(now_ms):
            try:
                grant = await self._far.take(rows, cost, now_ms, spare_reserve)
            except StoreUnavailable:
                self._leave(now_ms)
            else:
                self.shared = True
                return grant
        return await self._near.take(rows, cost, now_ms, spare_reserve)

    async def lower(self, row: Bucket, remaining: float, now_ms: int) -> None:
        await self._near.lower(row, remaining, now_ms)
        await self._far_quietly(self._far.lower(row, remaining, now_ms), now_ms)

    async def slow(self, rows: Sequence[Bucket], now_ms: int) -> None:
        await self._near.slow(rows, now_ms)
        await self._far_quietly(self._far.slow(rows, now_ms), now_ms)

    async def quicken(self, rows: Sequence[Bucket], now_ms: int) -> None:
        await self._near.quicken(rows, now_ms)
        await self._far_quietly(self._far.quicken(rows, now_ms), now_ms)

    async def block(self, rows: Sequence[Bucket], until_ms: int, now_ms: int) -> None:
        await self._near.block(rows, until_ms, now_ms)
        await self._far_quietly(self._far.block(rows, until_ms, now_ms), now_ms)

    def _try_far(self, now_ms: int) -> bool:
        return now_ms >= self._away_until_ms

    def _leave(self, now_ms: int) -> None:
        self.shared = False
        self._away_until_ms = now_ms + self._retry_ms

    async def _far_quietly(self, call: Any, now_ms: int) -> None:
        if not self._try_far(now_ms):
            call.close()
            return
        try:
            await call
        except StoreUnavailable:
            self._leave(now_ms)
