"""How long to wait before trying again: capped exponential, with full jitter. Pure: the draw is an argument."""

from __future__ import annotations

from msgspec import Struct


class Backoff(Struct, frozen=True, kw_only=True):
    """Waits grow from `base_s` by doubling, up to `cap_s`."""

    base_s: float
    cap_s: float

    def ceiling_s(self, failures: int) -> float:
        """Longest wait after that many failures in a row (1 = the first)."""
        return min(self.cap_s, self.base_s * 2.0 ** min(max(0, failures - 1), 32))

    def wait_s(self, failures: int, draw: float, told_s: float | None = None) -> float:
        """A wait between 0 and the ceiling, by a `draw` in [0, 1); never less than the provider told us."""
        wait_s = self.ceiling_s(failures) * draw
        return wait_s if told_s is None else max(told_s, wait_s)


REQUESTS = Backoff(base_s=0.5, cap_s=10.0)
"""Between tries of one job: it has to end before the job is due again."""
SOCKETS = Backoff(base_s=1.0, cap_s=60.0)
"""Between connections: venues ban addresses that reconnect in a loop."""
