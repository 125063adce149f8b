"""Values of rows by path, and what their names and forms say: words, numbers, times. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct, field

DEEPEST: Final = 3
WORDS: Final = {
    "percentage": "pct", "percent": "pct", "perc": "pct", "24hr": "24h", "24hrs": "24h", "24hour": "24h", "1d": "24h",
    "7day": "7d", "30day": "30d", "1hr": "1h", "vol": "volume", "mcap": "market_cap", "marketcap": "market_cap", "qty": "quantity",
    "date": "time", "buys": "buys",
}  # fmt: skip
"""Spellings that mean the same word."""
DAYS_FROM_S, DAYS_TO_S = 1_262_304_000, 2_051_222_400
"""2010 to 2035: a number in it is a time in seconds, times 1e3, 1e6, 1e9 in smaller units."""
SIZES: Final = (("s", 1), ("ms", 1000), ("us", 1_000_000), ("ns", 1_000_000_000))
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?$")
_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_\-]*$")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
_GROUPED = re.compile(r"[+-]?\$?\d{1,3}(,\d{3})+(\.\d+)?%?$")


class Leaf(Struct):
    """What stands at one path, row by row."""

    all: list[Any] = field(default_factory=list)
    """One for each row; None where the row has nothing there."""

    @property
    def values(self) -> list[Any]:
        """Those that say something."""
        return [value for value in self.all if value is not None and value != ""]

    @property
    def texts(self) -> list[str]:
        """Those that are texts."""
        return [value for value in self.all if isinstance(value, str) and value]


class Times:
    """Names that say when a row was so, best first."""

    ORDER: Final = (("last", "updated"), ("updated",), ("update",), ("timestamp",), ("ts",), ("time",))
    OTHER: Final = frozenset(
        "ath atl created create creation listed list launch launched start begin open opened next expiry expire added first genesis "
        "id funding settle settlement delivery".split()
    )

    @classmethod
    def rank(cls, path: str) -> int | None:
        """Place in the order; None when the name says nothing of the kind, or another moment."""
        words = set(tokens_of(path.rsplit(".", 1)[-1]))
        if words & cls.OTHER:
            return None
        return next((number for number, wanted in enumerate(cls.ORDER) if words.issuperset(wanted)), None)


def leaves_of(rows: Sequence[dict[str, Any]]) -> dict[str, Leaf]:
    """Path -> its values; lists inside rows are not followed."""
    found: dict[str, Leaf] = {}

    def walk(node: dict[str, Any], path: str, number: int, depth: int) -> None:
        for key, value in node.items():
            here = step(path, key)
            if isinstance(value, dict):
                if depth < DEEPEST:
                    walk(value, here, number, depth + 1)
            elif not isinstance(value, list):
                found.setdefault(here, Leaf([None] * len(rows))).all[number] = value

    for number, row in enumerate(rows):
        walk(row, "", number, 0)
    return found


def step(path: str, key: str) -> str:
    """`path` one key deeper, in the language of paths."""
    if _PLAIN.match(key):
        return f"{path}.{key}" if path else key
    return f'{path}["{key}"]'


def tokens_of(name: str) -> list[str]:
    """Words of a name: `lastPrice24hr` is last, price, 24h."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[a-zA-Z]{2})(?=\d+(?:h|hr|d|m|y)(?:[^a-zA-Z0-9]|$|[A-Z]))", " ", name)
    words = [WORDS.get(word, word) for word in re.findall(r"[a-z0-9]+", spaced.lower())]
    return [part for word in words for part in word.split("_")]


def number_of(value: Any) -> float | None:
    """A number, or a text that is one, with its sign of money or percent; None otherwise."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _GROUPED.match(text):
        text = text.replace(",", "")
    text = text.replace("$", "", 1).removesuffix("%")
    return float(text) if _NUMBER.match(text) else None


def time_unit(values: Sequence[Any]) -> str | None:
    """`iso`, `s`, `ms`, `us` or `ns` when all values are times of one form; None otherwise."""
    if not values:
        return None
    if all(isinstance(value, str) and _ISO.match(value) for value in values):
        return "iso"
    numbers = [number_of(value) for value in values]
    for unit, size in SIZES:
        if all(number is not None and DAYS_FROM_S * size <= number <= DAYS_TO_S * size for number in numbers):
            return unit
    return None
