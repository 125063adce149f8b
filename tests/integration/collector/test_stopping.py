"""A collector that is stopped or killed loses nothing that a provider was told is taken."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import httpx
import pytest

from sandbox import broker
from sandbox.process import free_port
from services.collector.rounds import Rounds
from services.common import provision
from services.common.settings import CommonSettings
from tests.fixtures import loopback, venue
from tests.fixtures.collecting import Followed, collecting, followed, settings
from tests.fixtures.collector_process import flood, longer, prices, process, survives_kills
from tests.fixtures.loopback import Asked, response
from tests.fixtures.until import PATIENCE_S, until
from tests.fixtures.venue import Line

pytestmark = pytest.mark.topics("raw.*", "ops.*", "archive", "dlq")


async def test_sigterm_flushes_what_was_read_and_exits_0(common: CommonSettings, tmp_path: Path) -> None:
    sent: list[float] = []

    async def script(line: Line) -> None:
        await flood(line, sent)

    async with venue.venue(script) as server, followed(common) as seen:
        home = venue.definition(tmp_path, endpoints={}, streams={"spot": venue.stream(server.url)})
        async with process(common, home) as running:
            await until(lambda: longer(seen, 500))
            running.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(running.wait(), PATIENCE_S) == 0
        found = await prices(seen)
    assert found == sent[: len(found)], "in order, without a hole, none twice"
    assert len(found) >= 500


@pytest.mark.slow
async def test_after_sigkill_what_the_broker_has_is_whole_and_a_repeat_has_the_same_ids(
    common: CommonSettings, tmp_path: Path
) -> None:
    await survives_kills(common, tmp_path, times=5)


async def test_an_answer_under_way_when_the_stop_comes_is_still_published(
    common: CommonSettings, tmp_path: Path
) -> None:
    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1.0)
        writer.write(response(200, venue.rows(("BTC-USDT", 60000))))

    async with loopback.http(slow) as server, followed(common) as seen:
        endpoints = {f"t{number}": venue.ticker(every_s=60) for number in range(40)}
        home = venue.definition(tmp_path, server.url, endpoints=endpoints)
        async with collecting(settings(common, home, stop_s=60.0)) as running:
            await until(lambda: server.asked)
            assert await running.stop() == 0
        assert len(await seen.raw()) >= 1
        statuses = [one.status for one in await seen.attempts() if one.outcome == "OK"]
    assert len(statuses) == len(server.asked), "every answer that was asked for was taken"


async def test_what_waits_for_its_turn_when_the_stop_comes_is_not_asked_and_said_to_be_skipped(
    common: CommonSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, close, asked_then = asyncio.Event(), Rounds.close, list[int]()

    def closing(self: Rounds) -> None:
        close(self)
        asked_then.append(len(server.asked))
        gate.set()

    async def gated(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(response(200, venue.rows(("BTC-USDT", 60000))))

    monkeypatch.setattr(Rounds, "close", closing)
    async with loopback.http(gated) as server, followed(common) as seen:
        endpoints = {f"t{number}": venue.ticker(every_s=1, path=f"/{number}") for number in range(40)}
        home = venue.definition(tmp_path, server.url, endpoints=endpoints)
        own = settings(common, home, stop_s=60.0, in_flight=2, retries=0)
        async with collecting(own) as running:
            await until(lambda: _under_way(seen, 40), "every job is under way when it is due again")
            assert await running.stop() == 0
        attempts = await seen.attempts()
    assert asked_then
    assert len(server.asked) <= asked_then[0] + 2, "who is told to stop begins nothing; two may have been on their way"
    assert {one.status for one in attempts if one.outcome == "OK"} == {200}
    assert len({one.endpoint for one in attempts if one.skip_reason == "stopping"}) > 30


async def _under_way(seen: Followed, count: int) -> bool:
    return len({one.endpoint for one in await seen.attempts() if one.skip_reason == "in_flight"}) == count


async def test_a_second_origin_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    environ = os.environ | {"PARALLAX_MODE": "replay"}
    argv = ["-m", "services.cli", "collector", "--category", "exchange"]
    running = await asyncio.create_subprocess_exec(sys.executable, *argv, env=environ, stderr=asyncio.subprocess.PIPE)
    _, said = await running.communicate()
    assert running.returncode == 2
    assert said.decode() == "PARALLAX_MODE: expected live or sandbox, got replay; use: parallax replay DIR\n"


async def test_without_kafka_it_says_what_is_missing_and_fails(tmp_path: Path) -> None:
    home = venue.definition(tmp_path)
    common = CommonSettings(kafka="127.0.0.1:1")
    async with process(common, home) as running:
        assert await asyncio.wait_for(running.wait(), PATIENCE_S) == 1


@pytest.mark.slow
async def test_while_kafka_is_away_reading_pauses_it_says_so_and_nothing_is_lost(tmp_path: Path) -> None:
    """Away: the broker's process is stopped in mid-flow and goes on later."""
    sent: list[float] = []

    async def script(line: Line) -> None:
        await flood(line, sent)

    with broker.embedded() as server_of_kafka:
        common = CommonSettings(kafka=server_of_kafka.bootstrap, topic_prefix="away.")
        await provision.apply(common)
        port = free_port()
        async with venue.venue(script) as server, followed(common) as seen:
            streams = {"spot": venue.stream(server.url, silence_s=600)}
            home = venue.definition(tmp_path, endpoints={}, streams=streams)
            async with process(common, home, PARALLAX_OUTBOX_MB="1", PARALLAX_OPS_PORT=str(port)) as running:
                await until(lambda: longer(seen, 200))
                already = len(await prices(seen))
                await until(lambda: _ready(port), "it is ready")
                os.kill(server_of_kafka.pid or 0, signal.SIGSTOP)
                status, why = await until(lambda: _unready(port))
                assert status == 503
                assert re.match(r"Kafka has acknowledged nothing for \d{2,} s;", why), why
                await until(lambda: _paused(port))
                os.kill(server_of_kafka.pid or 0, signal.SIGCONT)
                await until(lambda: longer(seen, already + 4_000))
                running.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(running.wait(), PATIENCE_S) == 0
            found = await prices(seen)
    assert len(found) > already + 2_000, "more arrived than fits into the outbox"
    assert found == sent[: len(found)], "nothing that was read is missing or doubled, in the order of the venue"


async def _ops(port: int, path: str) -> tuple[int, str]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.get(f"http://127.0.0.1:{port}{path}")
    return answer.status_code, answer.text


async def _ready(port: int) -> bool:
    return (await _ops(port, "/readyz"))[0] == 200


async def _unready(port: int) -> tuple[int, str] | None:
    status, why = await _ops(port, "/readyz")
    return (status, why) if status != 200 else None


async def _paused(port: int) -> bool:
    """True when no message is read from the socket and the outbox is full but not beyond its bound."""

    async def numbers() -> tuple[str, float]:
        lines = dict(line.rsplit(" ", 1) for line in (await _ops(port, "/metrics"))[1].splitlines() if line[0] != "#")
        return lines['parallax_socket_messages_total{provider="acme"}'], float(lines["parallax_outbox_bytes"])

    (before, _), _ = await numbers(), await asyncio.sleep(0.5)
    after, waiting = await numbers()
    return before == after and 1_000_000 < waiting < 1_100_000


@pytest.mark.slow
async def test_with_every_provider_it_stays_small_and_stops_soon(common: CommonSettings) -> None:
    port = free_port()
    async with loopback.http(loopback.always(500)) as server:
        more = {
            "PARALLAX_PROVIDERS": "",
            "PARALLAX_PROVIDERS_PATH": "",
            "PARALLAX_SANDBOX_URL": server.url,
            "PARALLAX_OPS_PORT": str(port),
        }
        async with process(common, Path(), **more, category="all") as running:
            await until(lambda: len(server.asked) > 200)
            resident = int(Path(f"/proc/{running.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            assert resident < 150 * 1024 * 1024
            measured = (await _ops(port, "/metrics"))[1]
            running.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(running.wait(), PATIENCE_S) == 0
    assert 'parallax_attempts_total{outcome="UPSTREAM_5XX"' in measured
    assert "parallax_jobs " in measured
