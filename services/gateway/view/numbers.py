"""How the API prints numbers and instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from math import isfinite

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can spell."""


def decimal(value: float) -> str | None:
    """Decimal string of an amount, shortest round-trip digits, never exponent form; None when it is not finite."""
    if not isfinite(value):
        return None
    text = repr(value)
    if "e" in text:
        text = format(Decimal(text), "f")
    if text.endswith(".0"):
        text = text[:-2]
    return "0" if text == "-0" else text


def instant(ms: int) -> str:
    """RFC 3339 UTC instant with milliseconds and `Z`, of Unix milliseconds between 1970 and 9999."""
    seconds, rest = divmod(ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    """Date and time of a second; the records of one moment share it, and making it is most of the cost."""
    return (EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def http_date(ms: int) -> str:
    """IMF-fixdate of Unix milliseconds, whole seconds."""
    then = EPOCH + timedelta(seconds=ms // 1000)
    return f"{_DAYS[then.weekday()]}, {then.day:02d} {_MONTHS[then.month - 1]} {then:%Y %H:%M:%S} GMT"


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def age(ms: int) -> str:
    """A length of time in words, in the largest unit of which there are two or more; tenths of seconds below that."""
    for unit_ms, unit in ((86_400_000, "days"), (3_600_000, "hours"), (60_000, "minutes")):
        if ms >= 2 * unit_ms:
            return f"{ms // unit_ms:,} {unit}"
    return f"{ms / 1000:.1f} s"


def is_number(value: object) -> bool:
    """Whether a value of a record is a number; true and false are not."""
    return isinstance(value, float | int) and not isinstance(value, bool)
