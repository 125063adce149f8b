"""Token buckets that never let a window see more than its limit. Pure: time is an argument.

A bucket of limit L per window W with burst B refills (L - B + 1) tokens per W. Taking B at once and then everything that
refills gives at most L in any half-open window of length W, so the provider's own counter never passes its limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

WINDOWS_MS: Final = {
    "second": 1_000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "month": 31 * 86_400_000,
}
"""Length of each window; a month counts 31 days, so that no calendar month sees more than its limit."""

WARN_SHARE: Final = 0.80
"""Share of a budget from which its use is reported as a warning (DESIGN 4.4)."""
DIVERT_SHARE: Final = 0.95
"""Share of a long budget from which only the last reserve is left: other members of the pool answer instead (DESIGN 4.4)."""
DIVERT_FROM_MS: Final = WINDOWS_MS["hour"]
"""Windows this long or longer divert; a shorter one is full again before another provider could help."""
FACTOR_FLOOR: Final = 1 / 32
"""AIMD never slows a budget below this share."""
FACTOR_STEP: Final = 0.05
"""What one success gives back to a slowed budget."""
UNKNOWN_PER_MINUTE: Final = 30.0
"""A limit that is written `unknown` in a definition runs at this pace, one call in two seconds: slowly (DESIGN 4.4), but every
public interface that we know of allows more."""


class Bucket(Struct, frozen=True, kw_only=True):
    """One limit of one scope. `key` names the counter everywhere (also in Redis)."""

    key: str
    limit: float
    window_ms: int
    burst: float
    """Tokens that may be taken at once; at least the cost of the dearest call."""

    @property
    def refill_per_ms(self) -> float:
        """Tokens that come back per millisecond at full speed."""
        return max(self.limit - self.burst + 1, min(self.limit, 1.0)) / self.window_ms


class State(Struct, kw_only=True):
    """Where a bucket stands."""

    tokens: float
    at_ms: int
    spent: float = 0.0
    """Cost taken in the running window slot."""
    before: float = 0.0
    """Cost taken in the slot before it."""
    slot: int = 0
    factor: float = 1.0
    """AIMD share of the refill, FACTOR_FLOOR..1."""
    blocked_until_ms: int = 0
    """Retry-After or an exhausted quota: nothing before this time."""


class Grant(Struct, frozen=True, kw_only=True):
    """Answer to a take: `wait_ms` is 0 when granted, else how long until it could be."""

    granted: bool
    wait_ms: int
    used: float
    """Share of the tightest budget that is used, 0..1 (after this take when granted)."""
    tightest: str | None
    """Key of that budget."""
    blocked: bool = False
    """True when the provider told us to wait (Retry-After, exhausted quota)."""
    divert: bool = False
    """True when a long budget is so far used that another member of the pool should answer."""

    @property
    def warn(self) -> bool:
        """True from WARN_SHARE of the tightest budget on."""
        return self.used >= WARN_SHARE


def bucket(key: str, limit: float, window: str, dearest: float = 1.0, every: int = 1) -> Bucket:
    """Bucket of `limit` per `every` windows, with the standard burst: a tenth of the limit, at least the dearest call."""
    burst = max(1.0, dearest, math.ceil(limit / 10))
    return Bucket(key=key, limit=limit, window_ms=WINDOWS_MS[window] * every, burst=min(burst, max(limit, dearest)))


def full(b: Bucket, now_ms: int) -> State:
    """A bucket that has not been used."""
    return State(tokens=b.burst, at_ms=now_ms, slot=now_ms // b.window_ms)


def advance(b: Bucket, s: State, now_ms: int) -> None:
    """Refill `s` up to `now_ms`; a clock that went back changes nothing."""
    now_ms = max(now_ms, s.at_ms)
    s.tokens = min(b.burst, s.tokens + (now_ms - s.at_ms) * b.refill_per_ms * s.factor)
    s.at_ms = now_ms
    slot = now_ms // b.window_ms
    if slot != s.slot:
        s.before = s.spent if slot == s.slot + 1 else 0.0
        s.spent = 0.0
        s.slot = slot


def used_share(b: Bucket, s: State) -> float:
    """Share of the limit that the window ending at `s.at_ms` has used, 0..1: the last slot weighted by what of it is left."""
    into = (s.at_ms % b.window_ms) / b.window_ms
    return min(1.0, (s.spent + s.before * (1 - into)) / b.limit) if b.limit > 0 else 1.0


def take(
    rows: Sequence[Bucket], states: Sequence[State], cost: float, now_ms: int, spare_reserve: bool = False
) -> Grant:
    """Take `cost` from every bucket or from none; `states` are advanced to `now_ms` in place.

    `spare_reserve`: leave what is beyond DIVERT_SHARE of a long budget to others; then `wait_ms` is a guess.
    """
    wait_ms = 0.0
    blocked = divert = False
    for b, s in zip(rows, states, strict=True):
        advance(b, s, now_ms)
        if s.blocked_until_ms > s.at_ms:
            blocked = True
            wait_ms = max(wait_ms, s.blocked_until_ms - s.at_ms)
        if s.tokens < cost - 1e-9:
            wait_ms = max(wait_ms, (cost - s.tokens) / (b.refill_per_ms * s.factor))
        if b.window_ms >= DIVERT_FROM_MS and used_share(b, s) >= DIVERT_SHARE:
            divert = True
            if spare_reserve:
                wait_ms = max(wait_ms, b.window_ms * (1 - DIVERT_SHARE))
    granted = wait_ms == 0
    used, tightest = 0.0, None
    for b, s in zip(rows, states, strict=True):
        if granted:
            s.tokens = max(0.0, s.tokens - cost)
            s.spent += cost
        share = used_share(b, s)
        if tightest is None or share > used:
            used, tightest = share, b.key
    return Grant(
        granted=granted, wait_ms=math.ceil(wait_ms), used=used, tightest=tightest, blocked=blocked, divert=divert
    )


def lower(b: Bucket, s: State, remaining: float, now_ms: int) -> None:
    """Believe a provider that says `remaining` is left, when that is less than we thought; never more."""
    advance(b, s, now_ms)
    s.tokens = min(s.tokens, max(0.0, remaining))
    s.spent = max(s.spent, b.limit - remaining - s.before * (1 - (s.at_ms % b.window_ms) / b.window_ms))


def slow(b: Bucket, s: State, now_ms: int) -> None:
    """Halve the pace after a refusal (AIMD) and spend what is left of the burst."""
    advance(b, s, now_ms)
    s.factor = max(FACTOR_FLOOR, s.factor / 2)
    s.tokens = 0.0


def quicken(b: Bucket, s: State, now_ms: int) -> None:
    """Give back a step of the pace after a success (AIMD)."""
    advance(b, s, now_ms)
    s.factor = min(1.0, s.factor + FACTOR_STEP)


def block(b: Bucket, s: State, until_ms: int, now_ms: int) -> None:
    """Nothing before `until_ms`; an earlier time never shortens a longer block."""
    advance(b, s, now_ms)
    s.blocked_until_ms = max(s.blocked_until_ms, until_ms)
