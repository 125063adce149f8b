"""Several collectors share the polling by Kafka's assignment, and answer fetches on demand."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas import topics
from schemas.events import Command
from services.collector.lease import Leases, follower
from services.collector.settings import CollectorSettings
from services.common import kafka
from services.common.metrics import COUNTER, Metric, Metrics
from services.common.settings import CommonSettings
from tests.fixtures import loopback, venue
from tests.fixtures.collecting import collecting, followed, settings
from tests.fixtures.loopback import always
from tests.fixtures.until import until

pytestmark = pytest.mark.topics("raw.*", "ops.*", "archive", "dlq", "commands.*")

SESSION_MS = 10_000
"""Nobody is lost here without saying so; a shorter session would only lose who waits for the processor."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def tell(common: CommonSettings, *commands: Command | bytes) -> None:
    async with kafka.producer(common) as client:
        for one in commands:
            value = one if isinstance(one, bytes) else msgspec.json.encode(one)
            await client.send_and_wait(topics.name("commands.exchange", common.topic_prefix), value, key=b"acme|ticker")


class Member:
    """One member of the group, and the leases it was told of."""

    def __init__(self) -> None:
        self.history: list[int] = []
        self.leases: Leases | None = None
        self.metrics = Metrics.build((Metric("commands_total", COUNTER, ("category", "result")),))

    def changed(self, leases: Leases) -> None:
        self.leases = leases
        self.history.append(leases.held("exchange"))

    async def fetch(self, category: str, command: Command) -> str:
        return "done"

    def held(self) -> int:
        return self.leases.held("exchange") if self.leases else 0

    def open(self, common: CommonSettings) -> Any:
        return follower(common, ["exchange"], SESSION_MS, self.changed, self.fetch, self.metrics.inc)


async def test_members_share_all_shards_and_the_rest_take_over_at_once_when_one_leaves(common: CommonSettings) -> None:
    first, second = Member(), Member()
    async with first.open(common) as one:
        task = asyncio.create_task(one.follow())
        await until(lambda: first.held() == 4)
        async with second.open(common) as two:
            other = asyncio.create_task(two.follow())
            await until(lambda: (first.held(), second.held()) == (2, 2))
            assert first.leases is not None
            assert second.leases is not None
            shards = [f"acme|ticker|{number}" for number in range(100)]
            owners = [(first.leases.owns("exchange", s), second.leases.owns("exchange", s)) for s in shards]
            assert set(owners) == {(True, False), (False, True)}, "each shard has exactly one owner"
            other.cancel()
        await until(lambda: first.held() == 4)
        assert 0 not in first.history, "nothing was let go during the rebalances"
        task.cancel()
        await asyncio.gather(task, other, return_exceptions=True)


async def test_only_one_of_two_collectors_polls_a_shard_and_the_other_takes_over(
    common: CommonSettings, tmp_path: Path
) -> None:
    async with loopback.http(always(200, venue.rows(("BTC-USDT", 60000)))) as server, followed(common) as seen:
        home = venue.definition(tmp_path, server.url)

        def member(number: int) -> CollectorSettings:
            return settings(common, home, leases=True, lease_session_ms=SESSION_MS, instance=f"member-{number}")

        async with collecting(member(1)):
            await until(seen.raw)
            async with collecting(member(2)) as second:
                asked = len(server.asked)
                await until(lambda: len(server.asked) >= asked + 3)
                assert await second.stop() == 0
            asked = len(server.asked)
            await until(lambda: len(server.asked) >= asked + 2)
        due = [one.due_ms for one in await seen.attempts() if one.outcome == "OK"]
    assert len(due) == len(set(due)), "no due time was polled twice"


async def test_a_command_is_fetched_at_once_a_repeated_or_expired_one_is_not(
    common: CommonSettings, tmp_path: Path
) -> None:
    endpoints = {"ticker": venue.ticker(live=False, path="/one/{symbol}", params={"symbol": {"as": "pair"}})}
    body = venue.rows(("BTC-USDT", 60000))
    async with loopback.http(always(200, body)) as server, followed(common) as seen:
        home = venue.definition(tmp_path, server.url, endpoints=endpoints)
        async with collecting(settings(common, home, leases=True, lease_session_ms=SESSION_MS)):
            ask = {"provider": "acme", "endpoint": "ticker"}

            async def once_taken() -> bool:
                await tell(
                    common, Command(id="first", expires_ms=now_ms() + 60_000, params={"symbol": "BTC-USDT"}, **ask)
                )
                return bool(server.asked)

            await until(once_taken)
            await tell(
                common,
                b"poison",
                Command(id="first", expires_ms=now_ms() + 60_000, params={"symbol": "ETH-USDT"}, **ask),
                Command(id="old", expires_ms=now_ms() - 1, params={"symbol": "ETH-USDT"}, **ask),
                Command(id="pool", expires_ms=now_ms() + 60_000, entity="pair:solana/tether"),
            )
            await until(lambda: len(server.asked) == 2)
            attempts = [one for one in await until(seen.attempts) if one.outcome == "OK"]
    assert [asked.path for asked in server.asked] == ["/one/BTC-USDT", "/one/SOL-USDT"]
    assert [(one.due_ms, one.endpoint) for one in attempts] == [(None, "ticker")] * len(attempts)


async def test_when_the_intended_provider_cannot_answer_another_does_and_the_event_says_so(
    common: CommonSettings, tmp_path: Path
) -> None:
    endpoints = {"ticker": venue.ticker(live=False, path="/one/{symbol}", params={"symbol": {"as": "pair"}})}
    auth = {"kind": "header", "name": "x-key", "secret": "acme/key"}
    async with loopback.http(always(200, venue.rows(("SOL-USDT", 150)))) as server, followed(common) as seen:
        home = venue.definition(tmp_path, server.url, endpoints=endpoints, auth=auth, weight=2.0)
        venue.definition(tmp_path, server.url + "/bolt", id="bolt", endpoints=endpoints)
        both = settings(common, home, leases=True, lease_session_ms=SESSION_MS, providers=["acme", "bolt"])
        async with collecting(both):

            async def taken() -> object:
                await tell(common, Command(id=f"{now_ms()}", expires_ms=now_ms() + 60_000, entity="pair:solana/tether"))
                return await seen.raw()

            event = (await until(taken))[0]
    assert (event.provider, event.intended, event.reason) == ("bolt", "acme", "no_key")
    assert {asked.path for asked in server.asked} == {"/bolt/one/SOL-USDT"}
