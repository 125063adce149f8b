"""Readers of single values: what a provider wrote -> number, flag, text, list or time; or Bad with the reason."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

MAX = 1.7976931348623157e308
EARLIEST_MS = 1_230_940_800_000
"""2009-01-03, the first block of bitcoin: no statement of this field is older."""
AHEAD_MS = 86_400_000
"""A statement's own time may run this far ahead of our clock (zones, skew); more is refused."""
EXCERPT = 80
MINUS = "\u2212"
"""The sign that typographers use, and some providers too."""


class Bad(NamedTuple):
    """A value that was there and cannot be used."""

    reason: str
    got: str


def bad(reason: str, value: Any) -> Bad:
    """Bad with a short excerpt of what came."""
    return Bad(reason, repr(value)[:EXCERPT])


def number(value: Any) -> float | Bad | None:
    """JSON number or text of one; None for empty text; infinities and NaN are refused."""
    kind = type(value)
    if kind is float:
        return value if value - value == 0.0 else bad("not finite", value)
    if kind is str:
        return _from_text(value)
    if kind is int:
        try:
            return float(value)
        except OverflowError:
            return bad("not finite", str(value)[:EXCERPT])
    if value is None:
        return None
    return bad("not a number", value)


def _from_text(text: str) -> float | Bad | None:
    try:
        result = float(text)
    except ValueError:
        if MINUS in text:
            return _from_text(text.replace(MINUS, "-"))
        return None if not text.strip() else bad("not a number", text)
    if result - result != 0.0:
        return bad("not finite", text)
    return bad("not a number", text) if "_" in text else result


SHORT = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def short(value: Any) -> float | Bad | None:
    """A number that may end in K, M, B or T for thousands to trillions."""
    if type(value) is not str or value.strip()[-1:].lower() not in SHORT:
        return number(value)
    text = value.strip()
    read = number(text[:-1].rstrip())
    return read * SHORT[text[-1].lower()] if isinstance(read, float) else bad("not a number", value)


def integer(value: Any) -> int | Bad | None:
    """Whole number of any size, kept exact until it is scaled."""
    if type(value) is int:
        return value
    if type(value) is str:
        text = value.strip()
        if not text:
            return None
        if text.lstrip("+-").isdecimal():
            return int(text) if len(text) <= 400 else bad("too many digits", text)
    read = number(value)
    if read is None or isinstance(read, Bad):
        return read
    return int(read) if read == math.floor(read) else bad("not a whole number", value)


def hexadecimal(value: Any) -> int | Bad | None:
    """0x quantity; "0x" alone is zero nowhere, so it is no value."""
    if type(value) is not str:
        return None if value is None else bad("not a hex quantity", value)
    if value in ("", "0x"):
        return None
    if not value.startswith(("0x", "0X")) or len(value) > 400 or "_" in value:
        return bad("not a hex quantity", value)
    try:
        return int(value, 16)
    except ValueError:
        return bad("not a hex quantity", value)


_FLAGS: dict[Any, bool] = {
    "1": True, "0": False, "true": True, "false": False, "True": True, "False": False, 1: True, 0: False,
}  # fmt: skip


def flag(value: Any) -> bool | Bad | None:
    """True or false, also as 0/1, "0"/"1", "true"/"false"; empty text is unknown."""
    if type(value) is bool:
        return value
    if value is None or value == "":
        return None
    if type(value) in (str, int):
        known = _FLAGS.get(value)
        if known is not None:
            return known
    return bad("not a flag", value)


_INLINE = re.compile(
    r"</?(?:a|abbr|b|code|em|font|i|mark|s|small|span|strong|sub|sup|u)(?:\s[^<>]{0,4000})?>", re.IGNORECASE
)
_TAG = re.compile(r"<[^<>]{0,4000}>")
_INLINE = re.compile(r"</?(?:a|abbr|b|code|em|i|mark|small|span|strong|sub|sup|u)(?:\s[^<>]*)?>", re.IGNORECASE)
"""Tags within a line: where they stood, no space stands."""
_SPACE = re.compile(r"\s+")
MAX_TEXT = 4000


def text(value: Any) -> str | Bad | None:
    """Text as it is, numbers in their JSON spelling; empty is no value."""
    if type(value) is str:
        stripped = value.strip()
        return stripped[:MAX_TEXT] or None
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    if type(value) is float:
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return None if value is None else bad("not text", value)


def without_markup(value: str) -> str:
    """Text of an HTML fragment on one line: marks within a sentence leave nothing behind, blocks a space."""
    return _SPACE.sub(" ", html.unescape(_TAG.sub(" ", _INLINE.sub("", value)))).strip()


def texts(value: Any, split: str | None) -> list[str] | Bad | None:
    """List of texts, in order of first appearance; a text is cut at `split`."""
    if value is None:
        return None
    if type(value) is str:
        parts: list[Any] = value.split(split) if split is not None else [value]
    elif type(value) is list:
        parts = value
    else:
        return bad("not a list", value)
    read = (text(part) for part in parts if type(part) in (str, int, float))
    kept = list(dict.fromkeys(part for part in read if isinstance(part, str)))
    return kept or None


_SCALE: dict[str, float] = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
TimeReader = Callable[[Any], "int | Bad | None"]


def time_reader(unit: str, form: str | None = None, zone_h: float = 0.0, add_s: float = 0.0) -> TimeReader:
    """Reader of a time in `unit` -> Unix milliseconds."""
    add_ms = round(add_s * 1000)
    if unit in _SCALE:
        return _clock(unit, add_ms)
    if unit == "epoch":
        return _by_size(add_ms)
    zone = timezone(timedelta(hours=zone_h))
    parsers: dict[str, Callable[[str], datetime]] = {
        "iso": _iso,
        "rfc822": parsedate_to_datetime,
        "date": lambda written: datetime.strptime(written[:10], "%Y-%m-%d"),  # noqa: DTZ007 - the zone is added below
        "format": lambda written: datetime.strptime(written, form or ""),  # noqa: DTZ007 - a form may name a zone
    }
    parse = parsers[unit]

    def calendar(value: Any) -> int | Bad | None:
        if value is None or value == "":
            return None
        if type(value) is not str:
            return bad("not a time", value)
        try:
            moment = parse(value.strip())
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=zone)
            return round(moment.timestamp() * 1000) + add_ms
        except (ValueError, TypeError, OverflowError, IndexError):
            return bad("not a time", value)

    return calendar


def _clock(unit: str, add_ms: int) -> TimeReader:
    scale = _SCALE[unit]
    divisor = {"us": 1000, "ns": 1_000_000}.get(unit)
    factor = int(scale)

    def clock(value: Any) -> int | Bad | None:
        if type(value) is int and divisor is None:
            return value * factor + add_ms or None
        if type(value) is str and value[:2] in ("0x", "0X"):
            value = hexadecimal(value)
        whole = integer(value) if divisor is not None else number(value)
        if whole is None or whole == 0:
            return None
        if isinstance(whole, Bad):
            return bad("not a time", value)
        if divisor is not None:
            return int(whole) // divisor + add_ms
        return math.floor(whole * scale + 0.5) + add_ms

    return clock


SIZES: tuple[tuple[float, str], ...] = ((1e11, "s"), (1e14, "ms"), (1e17, "us"), (1e20, "ns"))
"""Below the number a time is in the unit: 1e11 s is the year 5138, 1e11 ms is 1973."""


def _by_size(add_ms: int) -> TimeReader:
    clocks = [(limit, _clock(unit, add_ms)) for limit, unit in SIZES]

    def by_size(value: Any) -> int | Bad | None:
        size = number(value)
        if size is None or isinstance(size, Bad):
            return None if size is None else bad("not a time", value)
        clock = next((clock for limit, clock in clocks if abs(size) < limit), None)
        return clock(value) if clock is not None else bad("not a time", value)

    return by_size


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _iso(written: str) -> datetime:
    """ISO 8601 with any digits of fraction, `Z`, ` UTC`, or a space for the T."""
    if len(written) >= SHORTEST_ISO and written[10] in "Tt ":
        try:
            return datetime.fromisoformat(written)
        except ValueError:
            return _loose_iso(written)
    return _loose_iso(written)


SHORTEST_ISO = 16
"""YYYY-MM-DDTHH:MM; shorter forms (a week, a year) are looked at more closely."""


def _loose_iso(written: str) -> datetime:
    compact = written.replace(" UTC", "Z").replace(" +0000", "+00:00")
    if not _DATE.match(compact):
        raise ValueError(f"not ISO 8601: {written!r}")
    return datetime.fromisoformat(compact)


def plausible_time(moment_ms: int, received_ms: int) -> bool:
    """Whether a provider can have said something at this time, seen from when we received it."""
    return EARLIEST_MS <= moment_ms <= received_ms + AHEAD_MS
