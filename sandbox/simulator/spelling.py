"""Numbers and times in the spelling of the example that they replace: text stays text, scale and digits stay. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from math import floor, isfinite, log10
from typing import Any

from services.collector.map.values import SIZES, Bad, time_reader

SIGNIFICANT = 10
"""Digits of a written number: more than any tolerance of the catalogue can tell apart."""
_NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?|[-+]?\.\d+")
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)([T ])(\d\d:\d\d)(:\d\d)?(\.\d+)?(.*)")
_PER_MS = {"s": 0, "ms": 1, "us": 1_000, "ns": 1_000_000}
"""Units in a millisecond; whole, so that nanoseconds stay exact. Seconds are divided."""


MINUS = "\u2212"
"""The minus that typographers set; a value of ours has its own sign."""


def number_like(value: float, example: Any, whole: bool = False) -> Any:
    """`value` as the example is written; None when it cannot be (no number in the example, infinite)."""
    if not isfinite(value):
        return None
    if isinstance(example, bool):
        return None
    if isinstance(example, str):
        if example[:2] in ("0x", "0X"):
            return hex(max(0, round(value)))
        found = _NUMBER.search(example)
        if found is None:
            return None
        return (
            example[: found.start()].removesuffix(MINUS) + digits_like(value, found[0], whole) + example[found.end() :]
        )
    if isinstance(example, int | float):
        if whole or abs(value) >= 1e15:
            return round(value)
        return float(f"{value:.{SIGNIFICANT + 2}g}")
    return None


def digits_like(value: float, example: str, whole: bool = False) -> str:
    """Decimal digits without exponent, at least as many places as the example has."""
    if whole:
        return str(round(value))
    places = len(example.partition(".")[2]) if "e" not in example.lower() else 0
    needed = SIGNIFICANT - 1 - (floor(log10(abs(value))) if value else 0)
    return f"{value:.{min(40, max(places, needed, 0))}f}"


def time_like(
    at_ms: int, example: Any, unit: str, form: str | None = None, zone_h: float = 0.0, add_s: float = 0.0
) -> Any:
    """The moment as the example is written, in the rule's unit; None when it cannot be."""
    moment_ms = at_ms - round(add_s * 1000)
    if unit == "epoch":
        size = abs(float(example))
        unit = next((name for limit, name in SIZES if size < limit), "ns")
    if unit == "hex_s":
        return hex(moment_ms // 1000)
    if unit in _PER_MS:
        whole = moment_ms * _PER_MS[unit] or moment_ms // 1000
        if unit == "s" and isinstance(example, float):
            return moment_ms / 1000
        if isinstance(example, str):
            if example[:2] in ("0x", "0X"):
                return hex(whole)
            return f"{moment_ms / 1000:.3f}" if unit == "s" and "." in example else str(whole)
        return whole
    if not isinstance(example, str):
        return None
    zone = timezone(timedelta(hours=zone_h)) if zone_h else UTC
    moment = datetime.fromtimestamp(moment_ms / 1000, zone)
    if unit == "rfc822":
        return format_datetime(moment.astimezone(UTC), usegmt=example.rstrip().endswith("GMT"))
    if unit == "date":
        return moment.strftime("%Y-%m-%d") + example[10:]
    if unit == "format":
        return moment.strftime(form or "")
    if unit == "iso":
        return _iso_like(moment, example)
    return None


def read_time(value: Any, unit: str, form: str | None = None, zone_h: float = 0.0, add_s: float = 0.0) -> int | None:
    """Milliseconds of a written time; None when it is none."""
    read = time_reader(unit, form, zone_h, add_s)(value)
    return None if read is None or isinstance(read, Bad) else read


def _iso_like(moment: datetime, example: str) -> str | None:
    parts = _ISO.fullmatch(example.strip())
    if parts is None:
        return moment.strftime("%Y-%m-%d") if len(example.strip()) == 10 else None
    zone = parts[6].strip()
    offset = re.fullmatch(r"([+-])(\d\d):?(\d\d)", zone)
    if offset:
        sign = -1 if offset[1] == "-" else 1
        moment = moment.astimezone(timezone(sign * timedelta(hours=int(offset[2]), minutes=int(offset[3]))))
    text = moment.strftime(f"%Y-%m-%d{parts[2]}%H:%M" + (":%S" if parts[4] else ""))
    fraction = f".{moment.microsecond:06d}000"[: len(parts[5])].ljust(len(parts[5]), "0") if parts[5] else ""
    return text + fraction + parts[6]
