"""Circuit breaker of one provider x endpoint: when to stop asking, and when to try again. Pure."""

from __future__ import annotations

from collections import deque
from typing import Literal

from msgspec import Struct

State = Literal["closed", "open", "half_open"]


class Policy(Struct, frozen=True, kw_only=True):
    """When a breaker opens and for how long. Shares are 0..1, times milliseconds."""

    window: int = 20
    """Attempts remembered: endpoints are polled every 5 s to every hour, so the window counts attempts, not time."""
    min_sample: int = 5
    """Fewer attempts than this never open it, except when the failure is final (wrong key, forbidden region)."""
    error_share: float = 0.5
    open_ms: int = 30_000
    open_cap_ms: int = 900_000
    probe_timeout_ms: int = 60_000
    """A probe that never reported back is taken as lost after this long."""


class Breaker:
    """Closed, open or half open; one probe at a time when half open; each failed probe doubles the wait."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._failures: deque[bool] = deque(maxlen=policy.window)
        self._openings = 0
        self._until_ms: int | None = None
        self._probe_ms: int | None = None

    def state(self, now_ms: int) -> State:
        """What the breaker is at `now_ms`."""
        if self._until_ms is None:
            return "closed"
        return "open" if now_ms < self._until_ms else "half_open"

    def allow(self, now_ms: int) -> bool:
        """True when an attempt may start now; a half-open breaker says yes to one probe only."""
        state = self.state(now_ms)
        if state != "half_open":
            return state == "closed"
        if self._probe_ms is not None and now_ms - self._probe_ms < self._policy.probe_timeout_ms:
            return False
        self._probe_ms = now_ms
        return True

    def retry_at_ms(self) -> int | None:
        """When the next probe may start; None while closed."""
        return self._until_ms

    def release(self) -> None:
        """Give back an allowed attempt that was never made."""
        self._probe_ms = None

    def record(self, failed: bool, now_ms: int, final: bool = False) -> None:
        """Count one finished attempt; `final` opens at once, whatever the sample."""
        if self._until_ms is not None:
            self._settle_probe(failed, now_ms)
            return
        self._failures.append(failed)
        if (failed and final) or self._too_many():
            self._open(now_ms)

    def _settle_probe(self, failed: bool, now_ms: int) -> None:
        if self.state(now_ms) == "open" and self._probe_ms is None:
            return  # an attempt that began before the breaker opened says nothing new
        self._probe_ms = None
        if failed:
            self._open(now_ms)
            return
        self._until_ms = None
        self._openings = 0
        self._failures.clear()

    def _too_many(self) -> bool:
        sample = len(self._failures)
        return sample >= self._policy.min_sample and sum(self._failures) >= self._policy.error_share * sample

    def _open(self, now_ms: int) -> None:
        wait_ms = min(self._policy.open_ms * 2**self._openings, self._policy.open_cap_ms)
        self._openings = min(self._openings + 1, 32)
        self._until_ms = now_ms + wait_ms
        self._probe_ms = None
        self._failures.clear()
