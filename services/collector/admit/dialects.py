"""How providers speak of budgets in response headers, as rows. Pure. A header may lower a budget, never raise it."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

RETRY_AFTER_CAP_MS: Final = 900_000
"""A Retry-After beyond this is not believed as such: the breaker and the daily budget handle long refusals."""
EPOCH_S_FROM: Final = 1_000_000_000
EPOCH_MS_FROM: Final = 1_000_000_000_000
"""A reset that large is a point in time, not a distance: 10^9 s and 10^12 ms are September 2001."""


class Dialect(Struct, frozen=True, kw_only=True):
    """One way to spell a budget. Header names are lower case; `counts` says whether the number is left or spent."""

    name: str
    header: str
    counts: Literal["remaining", "used"]
    window: str | None
    """Window the number is about; None: the definition's shortest."""
    limit_header: str | None = None
    reset_header: str | None = None
    reset_unit_ms: int = 1000
    """Milliseconds in one unit of a reset that is a distance."""
    source: str


class Reading(Struct, frozen=True, kw_only=True):
    """What one header said: cost left or spent in a window; `reset_ms` is the distance to the end of the window."""

    window: str | None
    remaining: float | None = None
    used: float | None = None
    limit: float | None = None
    reset_ms: int | None = None


DIALECTS: Final = (
    Dialect(
        name="ratelimit",
        header="ratelimit-remaining",
        counts="remaining",
        window=None,
        limit_header="ratelimit-limit",
        reset_header="ratelimit-reset",
        source="https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-03",
    ),
    Dialect(
        name="x-ratelimit",
        header="x-ratelimit-remaining",
        counts="remaining",
        window=None,
        limit_header="x-ratelimit-limit",
        reset_header="x-ratelimit-reset",
        source="the widespread spelling before RFC drafts; reset as epoch seconds or as a distance",
    ),
    Dialect(
        name="x-mbx-used-weight",
        header="x-mbx-used-weight-1m",
        counts="used",
        window="minute",
        source="weight used in the last minute; fact sheet exchange.md 1, 2026-11-22",
    ),
    Dialect(
        name="gw-ratelimit",
        header="gw-ratelimit-remaining",
        counts="remaining",
        window=None,
        limit_header="gw-ratelimit-limit",
        reset_header="gw-ratelimit-reset",
        reset_unit_ms=1,
        source="gateway budget with its reset in milliseconds; public-api limits page, 2026-11-22",
    ),
    Dialect(
        name="x-ratelimit-minute",
        header="x-ratelimit-remaining-minute",
        counts="remaining",
        window="minute",
        limit_header="x-ratelimit-limit-minute",
        source="https://developer.konghq.com/plugins/rate-limiting/",
    ),
    Dialect(
        name="x-ratelimit-month",
        header="x-ratelimit-remaining-month",
        counts="remaining",
        window="month",
        limit_header="x-ratelimit-limit-month",
        source="https://developer.konghq.com/plugins/rate-limiting/",
    ),
)
BY_NAME: Final = {row.name: row for row in DIALECTS}

KEPT_HEADERS: Final = frozenset(
    {
        "age",
        "cache-control",
        "content-type",
        "date",
        "etag",
        "expires",
        "last-modified",
        "retry-after",
        *(h for row in DIALECTS for h in (row.header, row.limit_header, row.reset_header) if h),
    }
)
"""Headers that are worth keeping beside an archived body: caches and quotas only."""


def read(name: str | None, headers: Mapping[str, str], now_ms: int) -> list[Reading]:
    """Readings in `headers` (lower-case names) by the dialect `name`; all dialects when None; a strange number is no reading."""
    rows = DIALECTS if name is None else tuple(row for row in DIALECTS if row.name == name)
    return [reading for row in rows if (reading := _read(row, headers, now_ms)) is not None]


def _read(row: Dialect, headers: Mapping[str, str], now_ms: int) -> Reading | None:
    count = _number(headers.get(row.header))
    if count is None:
        return None
    reset = _number(headers.get(row.reset_header)) if row.reset_header else None
    return Reading(
        window=row.window,
        remaining=count if row.counts == "remaining" else None,
        used=count if row.counts == "used" else None,
        limit=_number(headers.get(row.limit_header)) if row.limit_header else None,
        reset_ms=None if reset is None else _distance_ms(reset, row.reset_unit_ms, now_ms),
    )


def retry_after_ms(headers: Mapping[str, str], now_ms: int) -> int | None:
    """Distance that Retry-After asks for, seconds or an HTTP date; None when absent, past, unreadable or beyond the cap."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    seconds = _number(text)
    if seconds is not None:
        wait_ms = round(seconds * 1000)
    else:
        try:
            wait_ms = round(email.utils.parsedate_to_datetime(text).timestamp() * 1000) - now_ms
        except ValueError:
            return None
    return wait_ms if 0 < wait_ms <= RETRY_AFTER_CAP_MS else None


def _number(text: str | None) -> float | None:
    """First number of a header value such as `100`, `12.5` or `10, 10;w=1`; None when it is none or negative."""
    if text is None:
        return None
    try:
        value = float(text.split(",")[0].split(";")[0].strip())
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _distance_ms(reset: float, unit_ms: int, now_ms: int) -> int:
    if reset >= EPOCH_MS_FROM:
        return max(0, round(reset) - now_ms)
    if reset >= EPOCH_S_FROM:
        return max(0, round(reset * 1000) - now_ms)
    return round(reset * unit_ms)
