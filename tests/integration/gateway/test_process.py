"""The gateway as an operator meets it: a process with settings, signals and a memory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from sandbox.process import free_port
from services.common import kafka
from services.common.settings import CommonSettings
from tests.fixtures.gateway import fused
from tests.fixtures.until import until

pytestmark = [pytest.mark.topics("fused.*", "candles.1m", "ops.*", "signals.*", "dlq"), pytest.mark.asyncio]

KEYS = 200_000
MEMORY_MB = 300


@asynccontextmanager
async def gateway(
    common: CommonSettings, log: Path, **environ: str
) -> AsyncIterator[tuple[subprocess.Popen[bytes], str]]:
    """`parallax gateway` that is ready; killed at the end if it still runs."""
    port = free_port()
    settings = {
        "PARALLAX_KAFKA": common.kafka,
        "PARALLAX_TOPIC_PREFIX": common.topic_prefix,
        "PARALLAX_PORT": str(port),
        "PARALLAX_OPS_PORT": "0",
    }
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "gateway"],
            env={**os.environ, **settings, **environ},
            stdout=out,
            stderr=out,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(timeout=30) as http:

                async def ready() -> bool:
                    assert child.poll() is None, log.read_text()
                    try:
                        return (await http.get(url + "/readyz")).status_code == 200
                    except httpx.HTTPError:
                        return False

                await until(ready, "the gateway is ready")
            yield child, url
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()


async def hear_out(ws: ClientConnection, said: list[str]) -> None:
    """Note the types of messages until the connection ends."""
    async for text in ws:
        said.append(json.loads(text)["type"])


async def test_sigterm_tells_the_clients_and_ends_with_0(common: CommonSettings, tmp_path: Path) -> None:
    async with gateway(common, tmp_path / "log") as (child, url):
        async with connect(url.replace("http", "ws") + "/ws/master") as ws:
            child.send_signal(signal.SIGTERM)
            said: list[str] = []
            with pytest.raises(ConnectionClosedError):
                await hear_out(ws, said)
            assert said[-1] == "server_shutdown"
            assert ws.close_code == 1012
        await until(lambda: child.poll() is not None, "the process ended")
        assert child.returncode == 0


async def test_a_taken_port_and_a_wrong_setting_are_said_in_one_line(common: CommonSettings, tmp_path: Path) -> None:
    def run(**environ: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", "gateway"],
            env={**os.environ, "PARALLAX_KAFKA": common.kafka, **environ}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.returncode, done.stderr

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, words = await asyncio.to_thread(run, PARALLAX_PORT=port)
    assert code == 1
    assert f"PARALLAX_HOST:PARALLAX_PORT 127.0.0.1:{port}: expected a free port" in words
    assert "Traceback" not in words
    code, words = await asyncio.to_thread(run, PARALLAX_PORT="x", PARALLAX_RATE_PER_MINUTE="0")
    assert code == 2
    assert "PARALLAX_PORT" in words
    assert "PARALLAX_RATE_PER_MINUTE" in words


@pytest.mark.slow
async def test_200_000_keys_fit_in_300_megabytes(common: CommonSettings, tmp_path: Path) -> None:
    template = msgspec.json.encode(fused("asset:@", price=64210.5, market_cap=1.25e12, volume_24h=3.5e10))
    topic = f"{common.topic_prefix}fused.market"
    async with kafka.producer(common, max_batch_size=1 << 20, linger_ms=20) as producer:
        for number in range(KEYS):
            key = f"asset:{number:06}".encode()
            await producer.send(topic, key=key, value=template.replace(b"asset:@", key))
        await producer.flush()
    async with gateway(common, tmp_path / "log", PARALLAX_RATE_PER_MINUTE="100000") as (child, url):
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            status = (await http.get("/api/status")).json()["data"]
            assert status["gateway"]["records"] == KEYS
            for number in range(0, KEYS, KEYS // 2_000):
                answer = await http.get(f"/api/market/{number:06}?allow_stale=1")
                assert answer.json()["data"]["asset_id"] == f"{number:06}"
            assert (await http.get("/api/market?limit=1000")).json()["meta"]["total"] == KEYS
        resident = int(Path(f"/proc/{child.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        peak = next(
            int(line.split()[1]) / 1e3
            for line in Path(f"/proc/{child.pid}/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
        assert resident <= MEMORY_MB, f"resident {resident:.0f} MB, peak {peak:.0f} MB"
        assert peak <= MEMORY_MB, f"resident {resident:.0f} MB, peak {peak:.0f} MB"
        print(f"resident {resident:.0f} MB, peak {peak:.0f} MB")
