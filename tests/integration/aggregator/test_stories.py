"""Three feeds in, one story out: raw events through a real broker, an aggregator, the signals agent and a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from schemas.events import Fused, Raw, Value
from schemas.stories import story_of
from services.aggregator.cli import serve
from services.aggregator.settings import SignalsSettings
from services.common.settings import CommonSettings
from tests.fixtures.aggregators import feed, read, workers
from tests.fixtures.gateway import Served, now_ms, serving
from tests.fixtures.until import PATIENCE_S, until

MINUTE = 60_000
AT = now_ms() - 30 * MINUTE
TITLES = {
    "alpha": "Regulator approves the first spot fund for ether",
    "bravo": "Regulator approves first spot fund for Ether - Bravo Daily",
    "cedar": "First spot fund for ether approved by regulator",
    "delta": "Regulator approved the first spot fund for ether | Delta",
}
LINKS = {name: f"https://www.{name}.example/2026/ether-fund/?utm_source=rss&utm_medium={name}" for name in TITLES}
OTHER = "https://alpha.example/2026/bridge"


def story(provider: str, url: str, title: str, minute: int, **more: Value) -> Raw:
    at_ms = AT + minute * MINUTE
    return Raw(
        id=f"{provider}:{url}", category="news", provider=provider, endpoint="rss", entity=str(story_of(url)), origin="sandbox",
        metrics={"title": title, "url": url, "published_at": float(at_ms), "source": provider.title(), **more},
        received_ms=now_ms(), event_ms=at_ms,
    )  # fmt: skip


def transfer(provider: str, usd: float) -> Raw:
    return Raw(
        id=f"{provider}:1", category="whale", provider=provider, endpoint="large", entity=f"transfer:ethereum:0x{'ab' * 32}",
        metrics={"transfer_value": usd, "transfer_asset": "ethereum", "transfer_type": "exchange_in"}, quote="usd",
        received_ms=now_ms(), event_ms=AT, origin="sandbox",
    )  # fmt: skip


@asynccontextmanager
async def agent(common: CommonSettings) -> AsyncIterator[None]:
    """The signals agent in this process."""
    settings = msgspec.convert({**msgspec.to_builtins(common), "sentiment_model": ""}, SignalsSettings)
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, stop), name="signals")
    try:
        yield
    finally:
        stop.set()
        assert await asyncio.wait_for(task, PATIENCE_S) == 0


async def told(http: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
    """What /api/news gives once the ether story has so many tellings and is shown once, beside the other story."""
    found: list[dict[str, Any]] = []

    async def done() -> bool:
        answer = await http.get("/api/news")
        found[:] = answer.json()["data"] if answer.status_code == 200 else []
        ether = [len(one["tellings"]) for one in found if "fund" in one["title"].lower()]
        return ether == [count] and len(found) == 2

    await until(done, lambda: f"one story with {count} tellings; last seen: {found}")
    return found


async def followed(http: httpx.AsyncClient, story: object, leader: str) -> None:
    """Return once the record that is shown for a story is its leader's."""
    shown: list[object] = []

    async def there() -> bool:
        answer = await http.get(f"/api/records/news/{story}")
        shown[:] = [answer.json()["data"]["entity"] if answer.status_code == 200 else answer.status_code]
        return shown == [leader]

    await until(there, lambda: f"{leader} for {story}; last seen: {shown}")


async def watched(http: httpx.AsyncClient) -> dict[str, Any] | None:
    """The transfer, once two sources speak of it."""
    answer = await http.get("/api/records/whale?prefix=transfer:")
    found: list[dict[str, Any]] = answer.json()["data"] if answer.status_code == 200 else []
    assert len(found) <= 1, found
    return next((one for one in found if one["metrics"]["transfer_value"]["sources_used"] == 2), None)


def client(gateway: Served) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=gateway.url, timeout=60)


async def test_three_feeds_with_a_story_and_two_watchers_of_a_transfer_give_one_of_each(
    common: CommonSettings, tmp_path: Path
) -> None:
    async with workers(common, tmp_path, categories="news,whale") as (worker,), serving(common) as gateway:
        async with client(gateway) as http:
            async with agent(common):
                # Bravo publishes first, but is heard of last; cedar's link is known in two spellings.
                await feed(common, [
                    story("alpha", LINKS["alpha"], TITLES["alpha"], 4, coins=["ethereum"]),
                    story("alpha", OTHER, "Bridge loses forty million in an attack on its validators", 5),
                    story("cedar", LINKS["cedar"], TITLES["cedar"], 9),
                    story("echo", "http://cedar.example/2026/ether-fund?ref=echo", TITLES["cedar"], 9),
                    story("bravo", LINKS["bravo"], TITLES["bravo"], 0),
                    transfer("watcher", 5_000_000.0),
                    transfer("lookout", 5_010_000.0),
                ])  # fmt: skip
                found = await told(http, 4)
                one = next(s for s in found if "fund" in s["title"].lower())
                leader = str(story_of(LINKS["bravo"]))
                assert one["story_id"] == leader.removeprefix("story:")
                assert [(t["provider"], t["url"], t["title"]) for t in one["tellings"]] == [
                    ("bravo", LINKS["bravo"], TITLES["bravo"]),
                    ("alpha", LINKS["alpha"], TITLES["alpha"]),
                    ("cedar", LINKS["cedar"], TITLES["cedar"]),
                    ("echo", "http://cedar.example/2026/ether-fund?ref=echo", TITLES["cedar"]),
                ]
                assert [t["published_at"] for t in one["tellings"]] == sorted(
                    t["published_at"] for t in one["tellings"]
                )
                assert one["first_published_at"] == one["tellings"][0]["published_at"]
                assert (one["carried_by"], one["assets"]) == (["alpha", "bravo", "cedar", "echo"], ["ethereum"])
                for name in ("alpha", "cedar"):
                    # The record of a follower lies in a partition of its own, and may come after its leader's.
                    await followed(http, story_of(LINKS[name]), leader)
                large = await until(lambda: watched(http), "the transfer that both saw")
                sources = (await http.get(f"/api/records/whale/{large['entity']}/sources")).json()["data"]["metrics"]
                assert sorted(s["provider"] for s in sources["transfer_type"]["sources"]) == ["lookout", "watcher"]
            # Both die; who comes next knows what was one story, and adds to it.
            worker.kill()
            worker.start()
            await worker.joined()
            async with agent(common):
                await feed(common, [story("delta", LINKS["delta"], TITLES["delta"], 12)])
                one = next(s for s in await told(http, 5) if "fund" in s["title"].lower())
                assert [t["provider"] for t in one["tellings"]] == ["bravo", "alpha", "cedar", "echo", "delta"]
    records = await read(common, "fused.news")
    assert len({record.key for record in records}) == 5
    # Who comes after a kill tells again what was not in the last checkpoint: the same versions, with the same bytes.
    versions: dict[tuple[bytes, int], set[bytes]] = {}
    for record in records:
        version = msgspec.json.decode(record.value, type=Fused).version
        versions.setdefault((record.key, version), set()).add(record.value)
    assert {len(payloads) for payloads in versions.values()} == {1}
    again = [msgspec.json.decode(record.value, type=Raw) for record in await read(common, "raw.news")]
    # Who stands for a story may change while it is being told; then other things are stated, but none of them twice.
    stated = [
        (one.entity, one.provider, repr(sorted(one.metrics.items()))) for one in again if one.endpoint == "same_story"
    ]
    assert len(stated) == len(set(stated)), "nothing is stated twice, not even after a restart"
