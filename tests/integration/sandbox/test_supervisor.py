"""Children are watched by real processes: started, restarted, given up, stopped in reverse order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sandbox import process
from sandbox.supervisor import Child, Supervisor
from services.common.errors import MachineError
from services.common.lifecycle import Deadline
from tests.fixtures.until import until

SLEEPS = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
DEAF = "import pathlib, signal, sys, time; signal.signal(15, signal.SIG_IGN); pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
FAILS = "import sys; print('no such table', flush=True); sys.exit(1)"
WRONG_CALL = "import sys; print('PARALLAX_X: wrong', flush=True); sys.exit(2)"


class Talk:
    """Collects what the supervisor reports."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, child: Child, sentence: str) -> None:
        self.lines.append((child.name, child.state))


def child(name: str, program: str, folder: Path, stop_s: float = 5.0) -> Child:
    mark, log = folder / f"{name}.ready", folder / f"{name}.log"
    command = [sys.executable, "-c", program, str(mark)]
    return Child(name, lambda: process.spawn(command, log), mark.exists, log, stop_s=stop_s)


@asynccontextmanager
async def supervised(talk: Talk) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(talk)
    try:
        yield supervisor
    finally:
        await supervisor.stop(Deadline.after_s(60))
        supervisor.kill()


async def test_children_are_stopped_in_reverse_order_of_their_start(tmp_path: Path) -> None:
    talk = Talk()
    async with supervised(talk) as supervisor:
        await supervisor.start([child("one", SLEEPS, tmp_path), child("two", SLEEPS, tmp_path)])
        pids = [running.process.pid for running in supervisor.children if running.process]
    assert [line for line in talk.lines if line[1] == "stopped"] == [("two", "stopped"), ("one", "stopped")]
    assert len(pids) == 2
    assert [running.process.poll() for running in supervisor.children if running.process] == [-15, -15]


async def test_a_child_that_was_killed_is_reported_with_the_signal_and_runs_again(tmp_path: Path) -> None:
    talk = Talk()
    async with supervised(talk) as supervisor:
        await supervisor.start([child("one", SLEEPS, tmp_path)])
        victim = supervisor.children[0]
        assert victim.process is not None
        first = victim.process.pid
        victim.process.kill()
        await until(lambda: victim.restarts == 1 and victim.state == "ready")
        assert (victim.last_exit, victim.process.pid != first) == ("signal 9", True)
    assert [state for _, state in talk.lines] == ["starting", "ready", "crashed", "starting", "ready", "stopped"]


@pytest.mark.parametrize(
    "program, starts, said",
    [(FAILS, 3, "no such table"), (WRONG_CALL, 1, "PARALLAX_X: wrong")],
    ids=["three-tries", "wrong-call-is-final"],
)
async def test_a_child_that_never_becomes_ready_is_given_up_with_the_end_of_its_log(
    tmp_path: Path, program: str, starts: int, said: str
) -> None:
    talk = Talk()
    async with supervised(talk) as supervisor:
        with pytest.raises(
            MachineError, match=rf"one: expected a running service, got exit \d; read .*one.log:\n(.*\n)*{said}"
        ):
            await supervisor.start([child("one", program, tmp_path)])
    assert [state for _, state in talk.lines].count("starting") == starts
    assert (tmp_path / "one.log").read_text().count(said) == starts


async def test_a_child_that_could_not_be_spawned_once_is_tried_again(tmp_path: Path) -> None:
    talk = Talk()
    steady = child("one", SLEEPS, tmp_path)
    spawn, faults = steady._spawn, [MachineError("port 1", got="in use")]
    steady._spawn = lambda: (_ for _ in ()).throw(faults.pop()) if faults else spawn()
    async with supervised(talk) as supervisor:
        await supervisor.start([steady])
        assert (steady.state, steady.last_exit, steady.restarts) == ("ready", "port 1: got in use", 1)


async def test_a_child_that_ignores_the_signal_is_killed_when_its_budget_is_spent(tmp_path: Path) -> None:
    talk = Talk()
    async with supervised(talk) as supervisor:
        await supervisor.start([child("deaf", DEAF, tmp_path, stop_s=0.2)])
    assert supervisor.children[0].last_exit == "signal 9"


async def test_a_stop_in_the_middle_of_a_start_leaves_nothing_running(tmp_path: Path) -> None:
    talk = Talk()
    never_ready = child("one", "import time; time.sleep(600)", tmp_path)
    async with supervised(talk) as supervisor:
        starting = asyncio.create_task(supervisor.start([never_ready]))
        await until(lambda: never_ready.process is not None)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    assert never_ready.process is not None
    assert never_ready.process.poll() == -15
