"""The broker is killed under a gateway: it goes on serving, says so, and takes up what came since."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect

from sandbox import broker
from services.common import kafka, provision
from services.common.settings import CommonSettings
from tests.fixtures.gateway import EPOCH, fused
from tests.fixtures.until import until
from tests.integration.gateway.test_process import gateway

KEYS = 200


async def publish(common: CommonSettings, version: int, price: float) -> None:
    """One new price for every key."""
    async with kafka.producer(common) as producer:
        for number in range(KEYS):
            record = fused(f"asset:coin-{number}", EPOCH + version, price=price)
            await producer.send(
                f"{common.topic_prefix}fused.market", msgspec.json.encode(record), record.entity.encode()
            )
        await producer.flush()


async def note(ws: ClientConnection, prices: dict[str, list[str]]) -> None:
    """Note every price that the client is told."""
    async for text in ws:
        message = json.loads(text)
        for record in message["data"] if message["type"] in ("snapshot", "update") else ():
            prices.setdefault(record["asset_id"], []).append(record["price"])


@contextlib.asynccontextmanager
async def listening(url: str) -> AsyncIterator[tuple[ClientConnection, dict[str, list[str]]]]:
    """A client of all coins, and what it was told of each."""
    prices: dict[str, list[str]] = {}
    async with connect(url.replace("http", "ws") + "/ws/master", max_size=None) as ws:
        await ws.send(json.dumps({"action": "subscribe", "service": "market_data", "rate": "live"}))
        task = asyncio.create_task(note(ws, prices))
        try:
            yield ws, prices
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.slow
async def test_while_the_broker_is_away_it_serves_says_so_and_then_catches_up(tmp_path: Path) -> None:
    with broker.embedded() as server:
        common = CommonSettings(kafka=server.bootstrap, topic_prefix="away.")
        await provision.apply(common)
        await publish(common, 1, 100.5)
        async with (
            gateway(common, tmp_path / "log", PARALLAX_RATE_PER_MINUTE="100000") as (child, url),
            httpx.AsyncClient(base_url=url, timeout=60) as http,
            listening(url) as (ws, prices),
        ):
            await until(lambda: len(prices) == KEYS, "the snapshot")

            os.kill(server.pid or 0, signal.SIGKILL)
            await asyncio.to_thread(server.stop)

            async def unready() -> str | None:
                answer = await http.get("/readyz")
                return answer.json()["detail"] if answer.status_code == 503 else None

            words = await until(unready, "it says that it is behind")
            assert words.startswith("Kafka has not answered for ")
            assert words.endswith(" s; what is served is what was known then")
            state = (await http.get("/api/status")).json()["data"]["gateway"]
            assert (state["ready"], state["loading"], state["behind"][:24]) == (False, None, "Kafka has not answered f")
            assert (await http.get("/livez")).status_code == 200
            assert (await http.get("/api/market/coin-7?allow_stale=1")).json()["data"]["price"] == "100.5"
            async with listening(url) as (_, others):
                await until(lambda: len(others) == KEYS, "a client that comes now is served, too")

            await asyncio.to_thread(server.start)
            await publish(common, 2, 101.5)
            await publish(common, 3, 102.5)
            await until(lambda: all(said[-1] == "102.5" for said in prices.values()), "the socket tells the newest")
            assert ws.state.name == "OPEN"
            assert all(said == sorted(said) for said in prices.values()), "never an older price after a newer one"

            async def ready() -> bool:
                return (await http.get("/readyz")).status_code == 200

            await until(ready, "it is ready again")
            page = (await http.get("/api/market?limit=1000")).json()["data"]
            assert {row["price"] for row in page} == {"102.5"}
            assert len(page) == KEYS
            assert (await http.get("/api/status")).json()["data"]["gateway"]["behind"] is None
            assert child.poll() is None
