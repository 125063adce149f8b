"""How a process lives: one event loop, one stop signal, one deadline for everything that must happen at the end."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvloop

from services.common.errors import ParallaxError

Stop = asyncio.Event
"""Set when the process is to stop; wait for it with `await stop.wait()`."""

EXIT_DONE, EXIT_FAILED, EXIT_WRONG_CALL = 0, 1, 2

log = logging.getLogger(__name__)


class Deadline:
    """A point in monotonic time that everything in a shutdown shares."""

    __slots__ = ("_at_s",)

    def __init__(self, at_s: float) -> None:
        self._at_s = at_s

    @classmethod
    def after_s(cls, seconds: float) -> Deadline:
        """The deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    def left_s(self) -> float:
        """Seconds left, never below zero; what `asyncio.timeout` and `wait_for` take."""
        return max(0.0, self._at_s - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether nothing is left."""
        return time.monotonic() >= self._at_s


def run(main: Callable[[Stop], Awaitable[int]]) -> int:
    """Run `main(stop)` on uvloop; SIGTERM and SIGINT set `stop`, a second one cancels. Returns the exit code."""

    async def supervised() -> int:
        stop = Stop()
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(main(stop))

        def signalled(name: str) -> None:
            if stop.is_set():
                log.warning("second %s: stopping at once", name)
                task.cancel()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled, number.name)
        try:
            return await task
        except asyncio.CancelledError:
            return EXIT_FAILED
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    try:
        return uvloop.run(supervised())
    except ParallaxError as fault:
        sys.stderr.write(f"{fault}\n")
        return EXIT_FAILED


async def stop_or(stop: Stop, work: Coroutine[Any, Any, Any], name: str) -> None:
    """Run `work` until it ends or `stop` is set, then cancel it; its own error is raised."""
    task = asyncio.create_task(work, name=name)
    waiter = asyncio.create_task(stop.wait(), name=f"{name}: stop")
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        waiter.cancel()
        task.cancel()
        await asyncio.gather(task, waiter, return_exceptions=True)
