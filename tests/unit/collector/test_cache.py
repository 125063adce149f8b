"""Rules of the answer cache."""

import asyncio
from typing import Any

from services.collector.cache import Answer, Cache, Entry, revive
from services.collector.send import Failure, Reply


def reply(body: bytes = b"one", status: int = 200, at_ms: int = 1_000, **headers: str) -> Reply:
    return Reply(status=status, headers=headers, body=body, started_ms=at_ms - 10, received_ms=at_ms, latency_ms=10.0)


class Upstream:
    def __init__(self, *answers: Reply | Failure) -> None:
        self.answers = list(answers)
        self.asked: list[Entry | None] = []

    async def __call__(self, kept: Entry | None) -> Reply | Failure:
        self.asked.append(kept)
        await asyncio.sleep(0)
        return self.answers.pop(0)


class Counted:
    def __init__(self) -> None:
        self.results: list[str] = []

    def __call__(self, name: str, **labels: Any) -> None:
        self.results.append(labels["result"])


async def test_a_young_answer_is_given_again_and_an_old_one_asked_anew() -> None:
    count = Counted()
    cache, upstream = Cache(count), Upstream(reply(), reply(b"two", at_ms=7_000))
    assert await cache.answer("k", 990, 5_000, upstream) == Answer(reply(), cached=False)
    assert await cache.answer("k", 6_000, 5_000, upstream) == Answer(reply(), cached=True)
    assert (await cache.answer("k", 6_001, 5_000, upstream)).reply.body == b"two"
    assert count.results == ["miss", "hit", "miss"]


async def test_who_asks_while_a_flight_is_under_way_joins_it() -> None:
    count = Counted()
    cache, upstream = Cache(count), Upstream(reply())
    answers = await asyncio.gather(*(cache.answer("k", 0, 0, upstream) for _ in range(5)))
    assert len(upstream.asked) == 1
    assert sorted(answer.cached for answer in answers) == [False, True, True, True, True]
    assert {answer.reply.body for answer in answers} == {b"one"}
    assert count.results == ["miss", "shared", "shared", "shared", "shared"]


async def test_who_asks_anew_gets_the_old_answer_for_its_validators() -> None:
    cache = Cache(Counted())
    upstream = Upstream(reply(etag="a"), reply(b"two", at_ms=9_000))
    await cache.answer("k", 0, 0, upstream)
    await cache.answer("k", 8_000, 0, upstream)
    assert upstream.asked == [None, Entry(reply(etag="a"), 1_000)]
    assert (await cache.answer("k", 9_500, 1_000, upstream)).reply.body == b"two"


def test_a_304_revives_the_kept_body_with_new_times_and_headers() -> None:
    kept = reply(b"one", 200, 1_000, etag="a", age="1", **{"content-length": "3"})
    fresh = reply(b"", 304, 9_000, etag="a", age="2", **{"content-length": "0"})
    assert revive(kept, fresh) == reply(b"one", 200, 9_000, etag="a", age="2", **{"content-length": "3"})


async def test_failures_are_not_kept() -> None:
    failure = Failure(outcome="TIMEOUT", detail="", started_ms=0, received_ms=1, latency_ms=1.0)
    cache, upstream = Cache(Counted()), Upstream(failure, reply(b"yes"))
    bodies = [(await cache.answer("k", 0, 10**9, upstream)).reply.body for _ in range(3)]
    assert bodies == [b"", b"yes", b"yes"]


async def test_the_cache_is_bounded_by_bytes_and_drops_the_least_recently_used() -> None:
    cache = Cache(Counted(), capacity_bytes=25)
    upstream = Upstream(*(reply(b"x" * 10) for _ in range(3)))
    await cache.answer("a", 1_000, 10**9, upstream)
    await cache.answer("b", 1_000, 10**9, upstream)
    await cache.answer("a", 1_000, 10**9, upstream)
    await cache.answer("c", 1_000, 10**9, upstream)
    assert [cache.entry(name) is not None for name in "abc"] == [True, False, True]
    assert cache.held_bytes == 20


async def test_a_body_too_large_to_keep_pushes_nothing_out() -> None:
    cache = Cache(Counted(), capacity_bytes=25)
    upstream = Upstream(reply(b"x" * 10), reply(b"y" * 26))
    await cache.answer("a", 1_000, 10**9, upstream)
    assert (await cache.answer("b", 1_000, 10**9, upstream)).reply.body == b"y" * 26
    assert (cache.entry("a") is not None, cache.entry("b"), cache.held_bytes) == (True, None, 10)
