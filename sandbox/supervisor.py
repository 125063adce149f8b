"""Children that are started, watched, restarted with capped back-off, reported by name, and stopped in reverse order."""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from sandbox import process
from services.common.errors import MachineError
from services.common.lifecycle import Deadline

WATCH_S = 0.2
READY_POLL_S = 0.1
PROBE_S = 2.0
READY_S = 180.0
"""Some five seconds of a core are needed by a service to start, and six start at once: on a busy machine that takes minutes."""
BACKOFF_FIRST_S, BACKOFF_CAP_S = 1.0, 30.0
QUIET_S = 60.0
"""A service that stayed ready for so long starts again with the first back-off."""
WRONG_CALL = 2
"""Exit code of a service whose settings are wrong: starting it again would not help."""
TRIES_BEFORE_READY = 3

State = Literal["starting", "ready", "crashed", "stopped"]
Report = Callable[["Child", str], None]


class Child:
    """One supervised process: how to start it, how to know that it is ready, and what became of it."""

    def __init__(
        self,
        name: str,
        spawn: Callable[[], subprocess.Popen[bytes]],
        ready: Callable[[], bool],
        log_path: Path,
        stop_s: float = 10.0,
        ready_s: float = READY_S,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self.stop_s = stop_s
        self.ready_s = ready_s
        self.state: State = "starting"
        self.restarts = 0
        self.since_ms = 0
        self.last_exit: str | None = None
        self.was_ready = asyncio.Event()
        self.failed: MachineError | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._spawn = spawn
        self._ready = ready

    async def watch(self, report: Report) -> None:
        """Keep the process running until cancelled; `report(child, sentence)` at every change of state."""
        tries = 0
        backoff_s = BACKOFF_FIRST_S
        while True:
            tries += 1
            ready_for_s = await self._run(report)
            hopeless = self._is_wrong_call() or tries >= TRIES_BEFORE_READY
            if hopeless and not self.was_ready.is_set():
                self._give_up(report)
                return
            if ready_for_s >= QUIET_S:
                backoff_s = BACKOFF_FIRST_S
            self._turn(
                "crashed", report, f"{self.name} crashed ({self.last_exit}); starting it again in {backoff_s:.0f} s"
            )
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_CAP_S)
            self.restarts += 1

    async def _run(self, report: Report) -> float:
        """Start the process and return when it has ended: the seconds that it was ready, and `last_exit` says how it ended."""
        started_s = time.monotonic()
        try:
            self.process = self._spawn()
        except (MachineError, OSError) as fault:
            self.process, self.last_exit = None, str(fault)
            return 0.0
        self._turn("starting", report, f"{self.name} starting (pid {self.process.pid})")
        ready_s = None
        if await self._becomes_ready(started_s):
            ready_s = time.monotonic()
            self._turn("ready", report, f"{self.name} ready after {ready_s - started_s:.1f} s")
            self.was_ready.set()
        while self.process.poll() is None:
            await asyncio.sleep(WATCH_S)
        self.last_exit = _exit_words(self.process.returncode)
        return time.monotonic() - ready_s if ready_s is not None else 0.0

    async def stop(self, budget_s: float, report: Report) -> None:
        """SIGTERM, then SIGKILL when the budget is spent."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        deadline = Deadline.after_s(min(budget_s, self.stop_s))
        while self.process.poll() is None and not deadline.expired:
            await asyncio.sleep(0.05)
        overdue = self.process.poll() is None
        if overdue:
            self.process.kill()
        self.process.wait()
        self.last_exit = _exit_words(self.process.returncode)
        self._turn("stopped", report, f"{self.name} stopped" + (", killed: its budget was spent" if overdue else ""))

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    async def _becomes_ready(self, started_s: float) -> bool:
        assert self.process is not None
        while self.process.poll() is None:
            if await asyncio.to_thread(self._ready):
                return True
            if time.monotonic() - started_s > self.ready_s:
                self.process.kill()
                return False
            await asyncio.sleep(READY_POLL_S)
        return False

    def _turn(self, state: State, report: Report, sentence: str) -> None:
        self.state = state
        self.since_ms = time.time_ns() // 1_000_000
        report(self, sentence)

    def _is_wrong_call(self) -> bool:
        return self.process is not None and self.process.returncode == WRONG_CALL

    def _give_up(self, report: Report) -> None:
        log = process.tail(self.log_path)
        self.failed = MachineError(
            self.name,
            expected="a running service",
            got=self.last_exit or "nothing",
            do=f"read {self.log_path}:\n{log}" if log else "mend that, and start again",
        )
        self._turn("crashed", report, f"{self.name} cannot start")
        self.was_ready.set()


class Supervisor:
    """The children of one run, in start order."""

    def __init__(self, report: Report) -> None:
        self.children: list[Child] = []
        self._report = report
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, children: Iterable[Child]) -> None:
        """Start these at once and return when each is ready; MachineError of the first that cannot start."""
        new = list(children)
        for child in new:
            self.children.append(child)
            self._tasks[child.name] = asyncio.create_task(child.watch(self._report), name=f"watch {child.name}")
        for child in new:
            await child.was_ready.wait()
            if child.failed is not None:
                raise child.failed

    async def stop(self, deadline: Deadline) -> None:
        """Stop every child in reverse order of start; what is left at the deadline is killed."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        try:
            for child in reversed(self.children):
                await child.stop(deadline.left_s(), self._report)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL to every child that still runs."""
        for child in reversed(self.children):
            child.kill()


def answers_200(host: str, port: int, path: str) -> bool:
    """Whether an HTTP GET is answered with 200."""
    connection = http.client.HTTPConnection(host, port, timeout=PROBE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _exit_words(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
