"""`parallax remap` on a real broker: the same mapping changes nothing, another one is told in numbers, and published on request."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.events import Raw
from services.common.settings import CommonSettings
from tests.fixtures import loopback, venue
from tests.fixtures.collecting import Followed, collecting, followed, settings
from tests.fixtures.loopback import Asked, response
from tests.fixtures.until import until

pytestmark = [pytest.mark.topics("raw.*", "ops.*", "archive", "dlq")]
BODIES = 3


@pytest.fixture
async def polled(common: CommonSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Raw]:
    """Three answers of a ticker, archived and mapped; what was published of them."""
    numbers = itertools.count()

    async def rising(asked: Asked, writer: asyncio.StreamWriter) -> None:
        step = next(numbers)
        writer.write(response(200, venue.rows(("BTC-USDT", f"{60_000 + step}.5"), ("ETH-USDT", 3_000 + step))))

    monkeypatch.setenv("PARALLAX_KAFKA", common.kafka)
    monkeypatch.setenv("PARALLAX_TOPIC_PREFIX", common.topic_prefix)
    async with loopback.http(rising) as server, followed(common) as seen:
        home = venue.definition(tmp_path / "today", server.url)
        monkeypatch.setenv("PARALLAX_PROVIDERS_PATH", str(home))
        async with collecting(settings(common, home)):
            await until(lambda: _archived(seen))
        return await seen.raw()


async def _archived(seen: Followed) -> bool:
    return len(await seen.archived()) >= BODIES


def other(folder: Path) -> Path:
    """The definition with the price in cents, a metric more and one asset less."""
    emit = venue.ticker()["emits"][0] | {
        "where": [{"path": "symbol", "ne": "ETH-USDT"}],
        "fields": {"last": {"path": "last", "required": True, "over": 100}, "bid": "last"},
    }
    return venue.definition(folder, endpoints={"ticker": venue.ticker(emits=[emit])})


async def run(*argv: str) -> tuple[int, str, str]:
    """`parallax remap` as an operator runs it."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", "remap", *argv, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_what_was_published_is_what_the_archive_gives_again(polled: list[Raw]) -> None:
    code, out, err = await run("--provider", "acme", "--json")
    bodies = len(polled) // 2
    assert bodies >= BODIES
    assert code == 0
    sums = {"bodies": bodies, "before": len(polled), "after": len(polled), "same": len(polled), "differences": []}
    assert json.loads(out) == sums
    assert (
        err
        == f"{bodies} bodies: {len(polled)} events before, {len(polled)} after, {len(polled)} the same; no difference\n"
    )


async def test_another_version_is_told_in_counts_and_examples_and_publishes_nothing(
    polled: list[Raw], common: CommonSettings, tmp_path: Path
) -> None:
    bodies = len(polled) // 2
    code, out, _ = await run("--with", str(other(tmp_path / "other")), "--json", "--examples", "1")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    assert (found["bodies"], found["before"], found["after"], found["same"]) == (bodies, 2 * bodies, bodies, 0)
    said = {(row["metric"], row["what"]): (row["count"], row["examples"]) for row in found["differences"]}
    levels: list[Any] = [one.metrics["last"] for one in polled if one.entity == "pair:bitcoin/tether"]
    first = min(levels)
    assert set(said) == {("last", "changed"), ("bid", "added"), ("(event)", "removed")}
    assert said["(event)", "removed"] == (bodies, ["pair:ethereum/tether"])
    assert said["last", "changed"] == (bodies, [f"pair:bitcoin/tether: {first} -> {first / 100}"])
    async with followed(common) as seen:
        await until(seen.raw)
        assert len(await seen.raw()) == len(polled)


async def test_what_differs_is_published_as_it_was_received_when_that_is_asked(
    polled: list[Raw], common: CommonSettings, tmp_path: Path
) -> None:
    bodies = len(polled) // 2
    code, _, err = await run("--with", str(other(tmp_path / "other")), "--publish")
    assert (code, err.splitlines()[0]) == (0, f"{bodies} events published")
    async with followed(common) as seen:
        await until(lambda: _at_least(seen, len(polled) + bodies))
        sent = (await seen.raw())[:]
    before = {msgspec.json.encode(one) for one in polled}
    new = [one for one in sent if msgspec.json.encode(one) not in before]
    old = {one.received_ms: one for one in polled if one.entity == "pair:bitcoin/tether"}
    assert len(new) == bodies
    for one in new:
        was = old[one.received_ms]
        last = was.metrics["last"]
        assert isinstance(last, float)
        assert (one.entity, one.origin, one.event_ms) == (was.entity, was.origin, was.event_ms)
        assert one.metrics == {"last": last / 100, "bid": last}
        assert one.registry != was.registry


async def _at_least(seen: Followed, count: int) -> bool:
    return len(await seen.raw()) >= count


async def test_a_wrong_call_says_what_is_right() -> None:
    for argv, words in (
        ([], "--provider: expected the id of a provider; see: parallax providers list\n"),
        (["--provider", "nobody"], "--provider: 'nobody' is none of "),
        (["--provider", "kraken", "--endpoint", "none"], "--endpoint: expected one of "),
        (["--provider", "kraken", "--since", "soon"], "--since: expected 90m, "),
    ):
        code, out, err = await run(*argv)
        assert (code, out) == (2, "")
        assert err.startswith(words)
