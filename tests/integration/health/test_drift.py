"""A provider changes its answers: the collector holds back what changed and goes on with the rest, health tells, and both recover."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.events import Attempt, Raw
from services.common.settings import CommonSettings
from tests.fixtures.collecting import Followed, collecting, followed, headers, settings
from tests.fixtures.simulators import simulator_of
from tests.fixtures.until import until
from tests.integration.health.conftest import NEEDED, Process, Topics

pytestmark = [pytest.mark.topics(*NEEDED, "raw.*", "archive")]
PROVIDERS = Path(__file__).parents[2] / "fixtures" / "providers"
ACME = "acme_exchange"


class Simulator:
    """The provider, on a port, and how it behaves."""

    def __init__(self, url: str) -> None:
        self.url = url

    def behave(self, **mood: Any) -> None:
        """Replace its behaviour; nothing: healthy."""
        assert httpx.post(f"{self.url}/_control/{ACME}", json=mood, timeout=60).status_code == 200


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The definition of acme, asked every second."""
    folder = tmp_path / ACME
    shutil.copytree(PROVIDERS / ACME, folder)
    file = folder / "provider.yaml"
    file.write_text(file.read_text().replace("    path: /tickers\n", "    path: /tickers\n    every_s: 1\n", 1))
    return tmp_path


@pytest.fixture
def simulator(home: Path) -> Iterator[Simulator]:
    with simulator_of(home, "0.02") as (url, process):
        yield Simulator(url)
        assert process.poll() is None


async def newest(seen: Followed, endpoint: str = "tickers") -> Attempt | None:
    found = [one for one in await seen.attempts() if one.endpoint == endpoint and one.outcome != "SKIPPED"]
    return found[-1] if found else None


async def until_outcome(seen: Followed, outcome: str, endpoint: str = "tickers", detail: str = "") -> Attempt:
    async def there() -> Attempt | None:
        one = await newest(seen, endpoint)
        return one if one is not None and one.outcome == outcome and detail in (one.detail or "") else None

    found: Attempt = await until(there, lambda: f"{endpoint} is {outcome} {detail}; tried: {seen.tried()}")
    return found


async def since(seen: Followed, attempt: Attempt) -> list[Raw]:
    """Events of pairs that came with this attempt, all of them: they travel on other topics, and may come after it."""

    async def all_there() -> list[Raw] | None:
        events = [one for name in ("exchange", "market") for one in await seen.raw(name)]
        found = [one for one in events if (one.received_ms, one.endpoint) == (attempt.finished_ms, attempt.endpoint)]
        return found if len(found) >= (attempt.events or 0) else None

    found: list[Raw] = await until(all_there, f"{attempt.events} events of {attempt.endpoint}")
    return [one for one in found if one.category == "exchange"]


async def _scored(topics: Topics, words: str) -> bool:
    score = await topics.score(ACME)
    return score is not None and words in (score.drift or {}).get("tickers", "")


async def test_a_renamed_field_and_a_new_unit_are_held_back_told_and_taken_up_again(
    common: CommonSettings, home: Path, simulator: Simulator, process: Process, topics: Topics
) -> None:
    own = settings(common, home, providers=[ACME], sandbox_url=simulator.url, streams=False, assets=20)
    await process.start()
    async with followed(common) as seen, collecting(own):
        healthy = await until_outcome(seen, "OK")
        assert {"last", "bid", "ask", "volume_base_24h"} == {
            name for one in await since(seen, healthy) for name in one.metrics
        }

        simulator.behave(rename={"vol": "volume"})
        renamed = await until_outcome(seen, "SCHEMA_DRIFT")
        assert "volume_base_24h: `vol` is missing in all" in (renamed.detail or "")
        assert "`volume` is new" in (renamed.detail or "")
        assert {"last", "bid", "ask"} == {name for one in await since(seen, renamed) for name in one.metrics}
        alert = await topics.until_state("schema_drift", "firing")
        assert alert.labels == {"provider": ACME, "category": "exchange"}
        assert "tickers: volume_base_24h: `vol` is missing in all" in alert.summary
        await until(lambda: _scored(topics, "`vol` is missing"), "a score that tells the drift")

        simulator.behave()
        await until_outcome(seen, "OK")
        await topics.until_state("schema_drift", "resolved")

        simulator.behave(scale={"last": 100})
        jumped = await until_outcome(seen, "SCHEMA_DRIFT", detail="last: 10^2 times")
        assert {"bid", "ask", "volume_base_24h"} == {name for one in await since(seen, jumped) for name in one.metrics}
        assert (jumped.held or 0) >= 20
        await topics.until_state("schema_drift", "firing")

        simulator.behave(retype={"bid": "object"})
        retyped = await until_outcome(seen, "SCHEMA_DRIFT", detail="bid: `bid` is an object")
        assert {"last", "ask", "volume_base_24h"} == {
            name for one in await since(seen, retyped) for name in one.metrics
        }

        simulator.behave()
        await until_outcome(seen, "OK")
        await topics.until_state("schema_drift", "resolved")

        events = [one for one in await seen.raw() if one.endpoint == "tickers"]
        levels: list[Any] = [
            one.metrics["last"] for one in events if one.entity == "pair:bitcoin/tether" and "last" in one.metrics
        ]
        assert max(levels) < 2 * min(levels), "not one value of the other unit went out"
        letters = [headers(one) for one in await seen.dead()]
        assert len([one for one in letters if one["reason"] == "SCHEMA_DRIFT"]) >= 3
        bodies = await seen.archived()
        assert len(bodies) >= 5, "the archive has every answer, also those that drifted"


async def test_a_collector_that_starts_anew_goes_on_holding_back(
    common: CommonSettings, home: Path, simulator: Simulator
) -> None:
    own = settings(common, home, providers=[ACME], sandbox_url=simulator.url, streams=False, assets=20)
    async with followed(common) as seen:
        async with collecting(own):
            await until_outcome(seen, "OK")
            simulator.behave(scale={"last": 100})
            await until_outcome(seen, "SCHEMA_DRIFT", detail="last: 10^2 times")
        started = len(await seen.attempts())
        async with collecting(own):

            async def first() -> Attempt | None:
                found = [one for one in (await seen.attempts())[started:] if one.events]
                return found[0] if found else None

            again: Attempt = await until(first, "the first answer after the start")
            assert again.outcome == "SCHEMA_DRIFT"
            assert "since before this collector started" in (again.detail or "")
            simulator.behave()
            await until_outcome(seen, "OK")
        levels: list[Any] = [
            one.metrics["last"]
            for one in await seen.raw()
            if one.endpoint == "tickers" and one.entity == "pair:bitcoin/tether" and "last" in one.metrics
        ]
        assert max(levels) < 2 * min(levels), "not one value of the other unit went out"


async def test_messages_of_a_socket_are_watched_too(
    common: CommonSettings, home: Path, simulator: Simulator, process: Process, topics: Topics
) -> None:
    own = settings(common, home, providers=[ACME], sandbox_url=simulator.url, streams=True, assets=5)
    await process.start()

    async def trades(seen: Followed, name: str) -> list[Any]:
        return [one.metrics[name] for one in await seen.raw() if one.endpoint == "public" and name in one.metrics]

    async with followed(common) as seen, collecting(own):

        async def many() -> bool:
            return len(await trades(seen, "trade_price")) > 300

        await until(many, lambda: f"300 trades; tried: {seen.tried()}")
        simulator.behave(rename={"px": "price"})
        drifted = await until_outcome(seen, "SCHEMA_DRIFT", "public")
        assert "missing in" in (drifted.detail or "")
        await topics.until_state("schema_drift", "firing")
        simulator.behave()
        await until_outcome(seen, "OK", "public")
        await topics.until_state("schema_drift", "resolved")
