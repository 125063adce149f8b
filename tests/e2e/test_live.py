"""`parallax up --live` against providers on loopback that answer as real ones do: TLS, HTTP/2, gzip, chunks, slow and stalled bodies."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.common.settings import CommonSettings
from tests.fixtures import loopback, venue
from tests.fixtures.collecting import Followed, followed
from tests.fixtures.gateway import now_ms
from tests.fixtures.loopback import Asked, Authority
from tests.fixtures.runner import Run, up
from tests.fixtures.until import until
from tests.fixtures.venue import Line, trade

DRIPS = 8
DRIP_S = 0.15


def rows(symbol: str, price: int) -> bytes:
    """A price of this moment: an old one is not shown."""
    return venue.rows((symbol, price), ts=now_ms())


async def over_http2(versions: list[str], scope: Any, receive: Any, send: Any) -> None:
    """Packed, in many frames."""
    versions.append(scope["http_version"])
    body = gzip.compress(rows("BTC-USDT", 60_000))
    packed = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]
    await send({"type": "http.response.start", "status": 200, "headers": packed})
    for at in range(0, len(body), 20):
        await send({"type": "http.response.body", "body": body[at : at + 20], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def in_chunks(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Packed, in chunks of HTTP/1.1 whose ends mean nothing."""
    body = gzip.compress(rows("ETH-USDT", 3_000))
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    for at in range(0, len(body), 7):
        part = body[at : at + 7]
        writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        await writer.drain()
    writer.write(b"0\r\n\r\n")


async def dripping(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """A body that takes more than a second."""
    whole = loopback.response(200, rows("SOL-USDT", 150))
    step = -(-len(whole) // DRIPS)
    for at in range(0, len(whole), step):
        writer.write(whole[at : at + step])
        await writer.drain()
        await asyncio.sleep(DRIP_S)


async def stalling(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Half an answer, and never the rest."""
    whole = loopback.response(200, rows("XRP-USDT", 2))
    writer.write(whole[: len(whole) // 2])
    await writer.drain()
    await asyncio.Event().wait()


async def trades(line: Line) -> None:
    await line.confirmed()
    while True:  # an old trade is not shown
        await line.send(trade(1, 60_001.5, ts=now_ms()))
        await asyncio.sleep(1)


@asynccontextmanager
async def providers(folder: Path, made: Authority, versions: list[str]) -> AsyncIterator[list[str]]:
    """Five providers in `folder`, each with a way of its own; their ids."""
    async with AsyncExitStack() as stack:
        for name, answer in (("chunked", in_chunks), ("dripping", dripping), ("stalling", stalling)):
            server = await stack.enter_async_context(loopback.http(answer, made.context))
            venue.definition(folder, server.url, id=name)
        url = await stack.enter_async_context(loopback.http2(partial(over_http2, versions), made))
        venue.definition(folder, url, id="modern")
        socket = await stack.enter_async_context(venue.venue(trades, made.context))
        venue.definition(folder, id="streaming", endpoints={}, streams={"spot": venue.stream(socket.url)})
        yield ["chunked", "dripping", "stalling", "modern", "streaming"]


def fused(run: Run, entity: str, metric: str) -> tuple[str, list[str], str] | None:
    """Value, its sources and the record's origin, as the gateway serves it; None while it has none."""
    answer = run.get(f"/api/records/exchange/{entity}/sources")
    record = answer.json()["data"] if answer.status_code == 200 else {"metrics": {}}
    found = record["metrics"].get(metric)
    return None if found is None else (found["value"], [row["provider"] for row in found["sources"]], record["origin"])


async def outcomes(seen: Followed) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for attempt in await seen.attempts():
        found.setdefault(attempt.provider, set()).add(attempt.outcome)
    return found


@pytest.mark.slow
async def test_a_live_run_reads_providers_over_tls_http2_gzip_chunks_and_slow_bodies(tmp_path: Path) -> None:
    made, versions = loopback.authority(tmp_path), list[str]()
    async with AsyncExitStack() as stack:
        names = await stack.enter_async_context(providers(tmp_path / "definitions", made, versions))
        running = up(
            tmp_path,
            "--live",
            PARALLAX_PROVIDERS_PATH=str(tmp_path / "definitions"),
            PARALLAX_PROVIDERS=",".join(names),
            PARALLAX_CA_FILE=made.ca_file,
        )
        run = await asyncio.to_thread(running.__enter__)
        stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)

        async def served(entity: str, metric: str) -> tuple[str, list[str], str]:
            where = f"{metric} of {entity}"
            found: tuple[str, list[str], str] = await until(
                lambda: asyncio.to_thread(fused, run, entity, metric), where
            )
            return found

        assert await served("pair:bitcoin/tether", "last") == ("60000", ["modern"], "live")
        assert await served("pair:ethereum/tether", "last") == ("3000", ["chunked"], "live")
        assert await served("pair:solana/tether", "last") == ("150", ["dripping"], "live")
        assert await served("pair:bitcoin/tether", "trade_price") == ("60001.5", ["streaming"], "live")
        assert set(versions) == {"2"}

        found = re.search(r"PARALLAX_KAFKA=(\S+)", run.said())
        assert found is not None
        async with followed(CommonSettings(kafka=found[1])) as seen:
            told = await until(lambda: _stalled(seen), "the stalled body is given up")
        assert told == {"TIMEOUT"}
        assert await asyncio.to_thread(fused, run, "pair:ripple/tether", "last") is None
        assert await asyncio.to_thread(run.stop) == 0


async def _stalled(seen: Followed) -> set[str]:
    return (await outcomes(seen)).get("stalling", set()) - {"SKIPPED"}
