"""Answers whose form says what they are: feeds, order books, bars without names, one bare value. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from services.collector.leaves import number_of, step, time_unit

FEED_FIELDS: Final[dict[str, Any]] = {
    "title": {"path": "title", "required": True},
    "url": {"path": "link", "required": True},
    "published_at": {"path": "published", "type": "time", "time": "iso"},
    "author": "author",
    "summary": {"path": "summary", "html": True},
    "tags": "categories",
}
"""What a feed of stories gives, whoever writes it: the reader of feeds has given its parts their names."""
BIDS: Final = ("bids", "bid", "buy", "b", "buys")
ASKS: Final = ("asks", "ask", "sell", "a", "sells")
PRICES: Final = ("price", "p", "px", "rate", "limit_price")
SIZES: Final = ("size", "quantity", "qty", "amount", "volume", "vol", "q", "s", "sz")
SIDE: Final = {"exchange": ("bid", "ask", True), "derivatives": ("contract_bid", "contract_ask", False)}
"""Home -> metrics of the best prices, and whether sizes are in the base asset (of contracts they are not)."""
DEEPEST: Final = 3
BAR: Final = 5
"""Columns of a bar without its volume: time and four prices."""


class Levels(NamedTuple):
    """The two sides of an order book and where a level has price and size."""

    bids: str
    asks: str
    price: str
    size: str


def book_of(payload: Any) -> Levels | None:
    """An order book somewhere in the answer: two lists of levels, the best bid below the best ask."""
    for path, node in _objects(payload, ""):
        for bid_key, ask_key in zip(BIDS, ASKS, strict=True):
            bids, asks = node.get(bid_key), node.get(ask_key)
            columns = _columns(bids, asks)
            if columns is None:
                continue
            best_bid = max(_numbers(bids or [], columns[0]), default=None)
            best_ask = min(_numbers(asks or [], columns[0]), default=None)
            if best_bid is None or best_ask is None or best_bid >= best_ask:
                continue
            return Levels(step(path, bid_key), step(path, ask_key), *(_spelled(one) for one in columns))
    return None


def book_fields(levels: Levels, home: str) -> dict[str, Any]:
    """Best prices of both sides, and their sizes where those are in the base asset."""
    bid, ask, sized = SIDE[home]
    fields: dict[str, Any] = {}
    for name, each, take in ((bid, levels.bids, "max"), (ask, levels.asks, "min")):
        fields[name] = {"each": each, "path": levels.price, "take": take} | ({"required": True} if name == bid else {})
        if sized:
            fields[f"{name}_size"] = {"each": each, "by": levels.price, "path": levels.size, "take": take}
    return fields


def _objects(node: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(node, list) and len(node) == 1 and depth:
        yield from _objects(node[0], f"{path}[0]", depth + 1)
    if not isinstance(node, dict) or depth > DEEPEST:
        return
    yield path, node
    for key, value in node.items():
        yield from _objects(value, step(path, key), depth + 1)


def _columns(bids: Any, asks: Any) -> tuple[int | str, int | str] | None:
    """Where price and size stand in a level; None when these are no lists of levels."""
    if not isinstance(bids, list) or not isinstance(asks, list) or not bids or not asks:
        return None
    first = bids[0]
    if (
        isinstance(first, list)
        and len(first) >= 2
        and all(isinstance(one, list) and len(one) >= 2 for one in (*bids, *asks))
    ):
        return 0, 1
    if isinstance(first, dict):
        price = next((key for key in PRICES if number_of(first.get(key)) is not None), None)
        size = next((key for key in SIZES if key != price and number_of(first.get(key)) is not None), None)
        return (price, size) if price is not None and size is not None else None
    return None


def _numbers(levels: Sequence[Any], column: int | str) -> list[float]:
    places: list[Any] = [level for level in levels if isinstance(level, list) or column in level]
    read = [number_of(level[column]) for level in places]
    return [one for one in read if one is not None]


def _spelled(column: int | str) -> str:
    return f"[{column}]" if isinstance(column, int) else column


PLAIN: Final = 4.0
"""So much nearer must a close be to the next open than an open to the next close, to tell them apart."""


class Bars(NamedTuple):
    """Rows of a list without names that behave as bars do."""

    rows: str
    time: str
    unit: str
    columns: dict[str, str]
    """open, high, low, close, volume -> path; those that the values tell apart."""


def bars_of(payload: Any, path: str = "", depth: int = 0) -> Bars | None:
    """Lists of [time, four prices, ...]: the largest of each is the high, the smallest the low, and a close is near the next open."""
    if isinstance(payload, dict) and depth <= DEEPEST:
        found = (bars_of(value, step(path, key), depth + 1) for key, value in payload.items())
        return next((one for one in found if one is not None), None)
    rows = payload if isinstance(payload, list) else []
    if len(rows) < 2 or not all(isinstance(row, list) and len(row) >= BAR for row in rows):
        return None
    width = min(len(row) for row in rows)
    times = [(index, unit) for index in range(width) if (unit := time_unit([row[index] for row in rows]))]
    if not times:
        return None
    at, unit = times[0]
    numbers = [[number_of(row[index]) for index in range(at + 1, width)] for row in rows]
    if any(one is None for row in numbers for one in row[:4]) or len(numbers[0]) < 4:
        return None
    prices = [[float(one or 0.0) for one in row[:4]] for row in numbers]
    high = next((index for index in range(4) if all(row[index] == max(row) for row in prices)), None)
    low = next((index for index in range(4) if index != high and all(row[index] == min(row) for row in prices)), None)
    if high is None or low is None:
        return None
    named = {"high": f"[{at + 1 + high}]", "low": f"[{at + 1 + low}]"}
    first, second = (index for index in range(4) if index not in (high, low))
    ordered = prices if number_of(rows[0][at]) == min(number_of(row[at]) or 0.0 for row in rows) else prices[::-1]
    gaps = [
        sum(abs(a[close] - b[opened]) for a, b in pairwise(ordered))
        for close, opened in ((second, first), (first, second))
    ]
    if PLAIN * min(gaps) <= max(gaps) and max(gaps) > 0:
        close, opened = (second, first) if gaps[0] < gaps[1] else (first, second)
        named |= {"open": f"[{at + 1 + opened}]", "close": f"[{at + 1 + close}]"}
    return Bars(f"{path or '$'}[*]", f"[{at}]", unit, named)
