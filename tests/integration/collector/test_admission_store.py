"""One contract for both stores of the token buckets: in memory, and in a real Valkey."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.collector.admit import buckets
from services.collector.admit.buckets import Bucket, Grant, bucket
from services.collector.admit.store import FallbackStore, MemoryStore, RedisStore, Store, StoreUnavailable

NOW_MS = 1_795_305_600_000


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    async with redis.asyncio.Redis.from_url(request.getfixturevalue("valkey")) as client:
        yield RedisStore(client, f"t{uuid.uuid4().hex}:")


async def takes(store: Store, rows: Sequence[Bucket], costs: Sequence[tuple[int, float]]) -> list[bool]:
    return [(await store.take(rows, cost, NOW_MS + at)).granted for at, cost in costs]


async def test_the_burst_is_given_then_the_wait_is_said(store: Store) -> None:
    row = bucket("k", 60, "minute")
    assert await takes(store, [row], [(0, 1)] * 7) == [True] * 6 + [False]
    assert await store.take([row], 1, NOW_MS) == Grant(granted=False, wait_ms=1091, used=0.1, tightest="k")
    assert (await store.take([row], 1, NOW_MS + 1_091)).granted


async def test_all_buckets_give_or_none_does(store: Store) -> None:
    wide, narrow = bucket("wide", 100, "minute"), bucket("narrow", 1, "minute")
    assert await takes(store, [wide, narrow], [(0, 1), (0, 1)]) == [True, False]
    grant = await store.take([wide], 1, NOW_MS)
    assert grant.used == pytest.approx(0.02), "the refused take left no trace"


async def test_the_tightest_bucket_is_named(store: Store) -> None:
    wide, narrow = bucket("wide", 100, "hour"), bucket("narrow", 10, "hour")
    grant = await store.take([wide, narrow], 1, NOW_MS)
    assert (grant.used, grant.tightest) == (0.1, "narrow")


async def test_without_buckets_everything_is_granted(store: Store) -> None:
    assert await store.take([], 5, NOW_MS) == Grant(granted=True, wait_ms=0, used=0.0, tightest=None)


async def test_a_header_lowers_and_never_raises(store: Store) -> None:
    row = bucket("k", 60, "minute")
    await store.lower(row, 2, NOW_MS)
    await store.lower(row, 50, NOW_MS)
    assert await takes(store, [row], [(0, 1)] * 3) == [True, True, False]


async def test_a_refusal_halves_the_pace_and_success_gives_it_back(store: Store) -> None:
    row = bucket("k", 60, "minute")
    await store.slow([row], NOW_MS)
    assert (await store.take([row], 1, NOW_MS)).wait_ms == 2_182
    for _ in range(10):
        await store.quicken([row], NOW_MS)
    assert (await store.take([row], 1, NOW_MS)).wait_ms == 1_091


async def test_a_block_holds_until_its_end(store: Store) -> None:
    row = bucket("k", 60, "minute")
    await store.block([row], NOW_MS + 5_000, NOW_MS)
    await store.block([row], NOW_MS + 1_000, NOW_MS)
    grant = await store.take([row], 1, NOW_MS + 1_000)
    assert (grant.granted, grant.wait_ms, grant.blocked) == (False, 4_000, True)
    assert (await store.take([row], 1, NOW_MS + 5_000)).granted


async def test_the_reserve_of_a_long_budget_is_spared_when_asked(store: Store) -> None:
    row = Bucket(key="day", limit=100, window_ms=buckets.WINDOWS_MS["day"], burst=100)
    assert (await store.take([row], 95, NOW_MS)).divert is False
    spared = await store.take([row], 1, NOW_MS, spare_reserve=True)
    assert (spared.granted, spared.divert) == (False, True)
    spent = await store.take([row], 1, NOW_MS)
    assert (spent.granted, spent.divert, spent.warn) == (True, True, True)


async def test_a_clock_that_goes_back_changes_nothing(store: Store) -> None:
    row = bucket("k", 60, "minute")
    assert await takes(store, [row], [(0, 6), (-50_000, 1)]) == [True, False]


async def test_the_window_before_counts_by_what_is_left_of_it(store: Store) -> None:
    row = bucket("k", 100, "minute")
    await store.take([row], 10, NOW_MS)
    grant = await store.take([row], 0, NOW_MS + 90_000)
    assert grant.used == pytest.approx(0.05)


async def test_both_stores_agree_step_by_step(valkey: str) -> None:
    rows = [bucket("s", 5, "second"), bucket("m", 60, "minute", dearest=3), bucket("d", 500, "day")]
    memory = MemoryStore()
    async with redis.asyncio.Redis.from_url(valkey) as client:
        shared = RedisStore(client, f"t{uuid.uuid4().hex}:")
        now_ms = NOW_MS
        for step in range(150):
            now_ms += (step * 37) % 400
            both: list[Grant] = []
            for one in (memory, shared):
                if step % 29 == 7:
                    await one.slow(rows, now_ms)
                if step % 13 == 5:
                    await one.quicken(rows, now_ms)
                if step % 41 == 11:
                    await one.lower(rows[1], step % 9, now_ms)
                if step % 67 == 60:
                    await one.block(rows[:1], now_ms + 700, now_ms)
                both.append(await one.take(rows, 1 + step % 3, now_ms, spare_reserve=step % 2 == 0))
            first, second = both
            assert (first.granted, first.wait_ms, first.tightest, first.blocked, first.divert) == (
                second.granted, second.wait_ms, second.tightest, second.blocked, second.divert,
            )  # fmt: skip
            assert first.used == pytest.approx(second.used)


async def test_long_windows_survive_a_restart_and_are_shared(valkey: str) -> None:
    prefix, row = f"t{uuid.uuid4().hex}:", bucket("month", 20, "month")
    async with redis.asyncio.Redis.from_url(valkey) as client:
        assert await takes(RedisStore(client, prefix), [row], [(0, 2)]) == [True]
        assert 0 < await client.pttl(f"{prefix}bucket:month") <= 2 * row.window_ms
    async with redis.asyncio.Redis.from_url(valkey) as client:
        assert await takes(RedisStore(client, prefix), [row], [(1, 1)]) == [False]


async def test_when_redis_is_away_this_process_counts_alone_and_says_so() -> None:
    client = redis.asyncio.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))
    row = bucket("k", 60, "minute")
    with pytest.raises(StoreUnavailable, match="ConnectionError on take"):
        await RedisStore(client).take([row], 1, NOW_MS)
    store = FallbackStore(RedisStore(client))
    assert store.shared
    assert await takes(store, [row], [(0, 1)] * 7) == [True] * 6 + [False]
    assert not store.shared
    await client.aclose()


async def test_when_redis_is_back_it_counts_again(valkey: str) -> None:
    async with redis.asyncio.Redis.from_url(valkey) as client:
        row, prefix = bucket("k", 60, "minute"), f"t{uuid.uuid4().hex}:"

        class Flaky(RedisStore):
            away = True

            async def take(
                self, rows: Sequence[Bucket], cost: float, now_ms: int, spare_reserve: bool = False
            ) -> Grant:
                if self.away:
                    raise StoreUnavailable("away")
                return await super().take(rows, cost, now_ms, spare_reserve)

        far = Flaky(client, prefix)
        store = FallbackStore(far, retry_ms=1_000)
        assert await takes(store, [row], [(0, 6)]) == [True]
        far.away = False
        assert await takes(store, [row], [(999, 1)]) == [False], "still on its own until the retry"
        assert await takes(store, [row], [(1_000, 6)]) == [True]
        assert store.shared
