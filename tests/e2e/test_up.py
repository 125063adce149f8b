"""`parallax up` as a newcomer meets it: one command, a page that answers, a crash that heals, nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.runner import START_S, Run, gone, up
from tests.fixtures.until import until_sync


def states(run: Run) -> dict[str, str]:
    """Service -> its state, as the gateway tells; empty while it tells nothing."""
    return {row["service"]: row["state"] for row in (run.data("/api/status") or {}).get("services", [])}


def restarts(run: Run, service: str) -> int:
    found: list[int] = [r["restarts"] for r in run.data("/api/status")["services"] if r["service"] == service]
    return found[0] if found else 0


@pytest.mark.slow
def test_prices_are_served_a_crash_heals_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    with up(tmp_path) as run:
        until_sync(lambda: "first fused record" in run.said(), "the first fused record", START_S)
        market = until_sync(lambda: run.data("/api/market"), "a market with coins")
        assert {row["origin"] for row in market} == {"sandbox"}

        names = {"gateway", "aggregator", "signals", "simulator", "collector", "health"}
        until_sync(lambda: {name for name, state in states(run).items() if state == "ready"} >= names, "all are ready")

        pid = int(re.findall(r"health starting \(pid (\d+)\)", run.said())[-1])
        os.kill(pid, signal.SIGKILL)
        until_sync(lambda: restarts(run, "health") == 1 and states(run)["health"] == "ready", "health is back")
        assert "health crashed (signal 9); starting it again in 1 s" in run.said()

        children = run.descendants()
        assert len(children) >= 7
        assert run.stop() == 0
        assert [one for one in children if not gone(one)] == []
        stopped = re.findall(r"(\w+) stopped", run.said())
        assert stopped[-2:] == ["kafka", "valkey"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux only")
def test_a_killed_runner_takes_everything_with_it_and_its_data_is_used_by_the_next(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(tmp_path, "--idle", "--data", str(data)) as run:
        children = run.descendants()
        assert len(children) >= 5
        first = (data / "kafka" / "data" / "meta.properties").read_text()
        run.process.kill()
        run.process.wait()
        until_sync(lambda: all(gone(one) for one in children), "all children gone")
    with up(tmp_path, "--idle", "--data", str(data)) as run:
        assert "64 topics" in run.said()
        assert (data / "kafka" / "data" / "meta.properties").read_text() == first
        assert run.stop(signal.SIGTERM) == 0


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "services.cli", "up", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"gateway, port {port}: expected a free port, got one in use; stop who listens there, or choose another\n"
    )
