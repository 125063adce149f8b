"""Whether this process is still a member of its group: no record is written on a belief that is older than half a session."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from services.common.metrics import Metrics

TICKS = 4
"""Looks at the clock per half session: a process that stood still notices at the first write after it woke."""
PROOF_PAUSE_S = 0.2

log = logging.getLogger(__name__)


class Membership:
    """The write-time guard. A stopped process (SIGSTOP, a paused machine) wakes with stale memory and all timers due at once.

    `prove` commits what is committed already, and says whether the group's coordinator accepted it from us.
    """

    def __init__(self, session_s: float, prove: Callable[[], Awaitable[bool]], metrics: Metrics) -> None:
        self.half_s = session_s / 2
        self._prove = prove
        self._metrics = metrics
        self._seen_s = time.monotonic()
        self._doubt = False
        self._proving = asyncio.Lock()

    def _look(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._seen_s > self.half_s:
            if not self._doubt:
                self._metrics.inc("writes_held_total")
                log.warning("stood still for %.1f s: writing stops until the group confirms us", now_s - self._seen_s)
            self._doubt = True
        elif not self._doubt:
            self._seen_s = now_s
        return self._doubt

    async def watch(self) -> None:
        """Keep looking at the clock, for ever."""
        self.confirmed()
        while True:
            self._look()
            await asyncio.sleep(self.half_s / TICKS)

    async def allowed(self) -> None:
        """Return when it is safe to write; waits while membership is in doubt."""
        while self._look():
            async with self._proving:
                if self._doubt and await self._prove():
                    self.confirmed()
            if self._doubt:
                await asyncio.sleep(PROOF_PAUSE_S)

    def confirmed(self) -> None:
        """The group spoke to us: an assignment, or an accepted commit."""
        self._doubt = False
        self._seen_s = time.monotonic()
