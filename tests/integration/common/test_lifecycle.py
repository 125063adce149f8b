"""A process stops when it is told to, and a second signal does not wait."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from services.common.lifecycle import Deadline

PROGRAM = """
import asyncio, sys
from services.common.errors import MachineError
from services.common.lifecycle import run, stop_or

async def main(stop):
    print("up", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    if sys.argv[1] == "slow":
        await asyncio.sleep(60)
    return 7

async def fails(stop):
    raise MachineError("port 1", expected="free", got="taken", do="choose another")

async def works_until_stopped(stop):
    async def work():
        try:
            print("up", flush=True)
            await asyncio.Event().wait()
        finally:
            print("cleaned", flush=True)
    await stop_or(stop, work(), "work")
    return 0

sys.exit(run({"fails": fails, "work": works_until_stopped}.get(sys.argv[1], main)))
"""


def started(kind: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    if kind != "fails":
        assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_stop_and_the_exit_code_is_the_main_functions(number: signal.Signals) -> None:
    process = started("quick")
    process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (7, "stopping\n")


def test_a_second_signal_cancels_a_stop_that_takes_too_long() -> None:
    process = started("slow")
    assert process.stdout is not None
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 1


def test_a_known_fault_ends_as_one_line_and_exit_1() -> None:
    _, err = (process := started("fails")).communicate(timeout=120)
    assert (process.returncode, err) == (1, "port 1: expected free, got taken; choose another\n")


def test_work_is_cancelled_and_cleans_up_when_the_stop_comes() -> None:
    process = started("work")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "cleaned\n")


def test_a_deadline_never_has_less_than_nothing_left() -> None:
    past = Deadline.after_s(-5)
    assert (past.left_s(), past.expired) == (0.0, True)
    future = Deadline.after_s(1000)
    assert not future.expired
    assert 900 < future.left_s() <= 1000
