# ruff: noqa: E501 - tables and bodies in one line each
"""Three parsers written by hand, as somebody in a hurry for speed would: the measure of what a mapping as data costs.

They do what a mapping does: curated names, refusal of numbers that are not finite or not plausible, times, deterministic ids.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from schemas import venues
from schemas.events import Raw, Value

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def _id(
    provider: str, endpoint: str, category: str, entity: str, at_ms: int, quote: str, metrics: dict[str, Value]
) -> str:
    said = _encode((provider, endpoint, category, entity, at_ms, quote, metrics))
    return hashlib.blake2b(said, digest_size=12).hexdigest()


def _within(value: float, low: float, high: float) -> bool:
    return low <= value <= high


PRICE = (1e-18, 1e15)
AMOUNT = (0.0, 1e18)


_EIGHT = (
    ("price", "price", 1e-18, 1e12), ("market_cap", "cap", *AMOUNT), ("volume_24h", "volume", *AMOUNT), ("high_24h", "high", 1e-18, 1e12),
    ("low_24h", "low", 1e-18, 1e12), ("change_24h_pct", "change", -100.0, 1e6), ("circulating_supply", "supply", 0.0, 1e22),
    ("market_rank", "rank", 1.0, 1e6),
)  # fmt: skip


def eight(body: bytes, registry: str, received_ms: int) -> list[Raw]:
    """Eight JSON numbers a row."""
    events = []
    for row in _decode(body):
        metrics: dict[str, Value] = {}
        for name, key, low, high in _EIGHT:
            number = row.get(key)
            if number is None:
                continue
            value = float(number)
            if _within(value, low, high):
                metrics[name] = value
        at_ms, entity = row["time"], f"asset:{row['id']}"
        events.append(
            Raw(
                id=_id("eight", "rows", "market", entity, at_ms, "usd", metrics), category="market", provider="eight", endpoint="rows",
                entity=entity, metrics=metrics, received_ms=received_ms, origin="sandbox", event_ms=at_ms, quote="usd", registry=registry,
            )
        )  # fmt: skip
    return events


def windows(body: bytes, registry: str, received_ms: int) -> list[Raw]:
    """Rolling windows of one venue: eight numbers, a name and a time a row."""
    venue = venues.load().find("binance")
    events = []
    for row in _decode(body):
        pair = venue.resolve(row["symbol"])
        if pair is None:
            continue
        metrics: dict[str, Value] = {}
        for name, key, low, high in (
            ("last", "lastPrice", *PRICE), ("pair_open_24h", "openPrice", *PRICE), ("pair_high_24h", "highPrice", *PRICE),
            ("pair_low_24h", "lowPrice", *PRICE), ("pair_change_24h", "priceChange", -1e15, 1e15),
            ("pair_change_24h_pct", "priceChangePercent", -100.0, 1e6), ("vwap_24h", "weightedAvgPrice", *PRICE),
            ("volume_base_24h", "volume", *AMOUNT), ("volume_quote_24h", "quoteVolume", *AMOUNT), ("trade_count_24h", "count", 0.0, 1e15),
        ):  # fmt: skip
            text = row.get(key)
            if text is None or text == "0.00000000":
                continue
            value = float(text)
            if _within(value, low, high):
                metrics[name] = value
        at_ms = row["closeTime"]
        entity = f"pair:{pair.base}/{pair.quote}"
        events.append(
            Raw(
                id=_id("binance", "ticker_window", "exchange", entity, at_ms, pair.quote, metrics),
                category="exchange", provider="binance", endpoint="ticker_window", entity=entity, metrics=metrics, received_ms=received_ms,
                origin="sandbox", event_ms=at_ms, quote=pair.quote, registry=registry,
            )
        )  # fmt: skip
    return events


_MARKET = (
    ("price", "current_price", 1e-18, 1e12), ("market_cap", "market_cap", *AMOUNT), ("fdv", "fully_diluted_valuation", *AMOUNT),
    ("volume_24h", "total_volume", *AMOUNT), ("high_24h", "high_24h", 1e-18, 1e12), ("low_24h", "low_24h", 1e-18, 1e12),
    ("change_24h", "price_change_24h", -1e12, 1e12), ("change_1h_pct", "price_change_percentage_1h_in_currency", -100.0, 1e6),
    ("change_24h_pct", "price_change_percentage_24h", -100.0, 1e6), ("change_7d_pct", "price_change_percentage_7d_in_currency", -100.0, 1e6),
    ("change_14d_pct", "price_change_percentage_14d_in_currency", -100.0, 1e6),
    ("change_30d_pct", "price_change_percentage_30d_in_currency", -100.0, 1e6),
    ("change_200d_pct", "price_change_percentage_200d_in_currency", -100.0, 1e6),
    ("change_1y_pct", "price_change_percentage_1y_in_currency", -100.0, 1e6),
    ("market_cap_change_24h_pct", "market_cap_change_percentage_24h", -100.0, 1e6), ("circulating_supply", "circulating_supply", 0.0, 1e22),
    ("total_supply", "total_supply", 0.0, 1e22), ("max_supply", "max_supply", 0.0, 1e22), ("market_rank", "market_cap_rank", 1.0, 1e6),
    ("ath", "ath", 1e-18, 1e12), ("ath_change_pct", "ath_change_percentage", -100.0, 1e6), ("ath_time", "ath_date", None, None),
    ("atl", "atl", 1e-18, 1e12), ("atl_change_pct", "atl_change_percentage", -100.0, 1e12), ("atl_time", "atl_date", None, None),
)  # fmt: skip


def _iso_ms(text: str) -> int:
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def markets(body: bytes, registry: str, received_ms: int) -> list[Raw]:
    """The largest coins: 26 fields a row, two of them times."""
    events = []
    for row in _decode(body):
        metrics: dict[str, Value] = {}
        for name, key, low, high in _MARKET:
            value = row.get(key)
            if value is None or value == 0:
                continue
            if low is None or high is None:
                metrics[name] = float(_iso_ms(value))
                continue
            number = float(value)
            if _within(number, low, high):
                metrics[name] = number
        metrics["asset_name"] = row["name"]
        metrics["asset_symbol"] = row["symbol"]
        at_ms, entity = _iso_ms(row["last_updated"]), f"asset:{row['id']}"
        events.append(
            Raw(
                id=_id("coingecko", "coins_markets", "market", entity, at_ms, "usd", metrics), category="market", provider="coingecko",
                endpoint="coins_markets", entity=entity, metrics=metrics, received_ms=received_ms, origin="sandbox", event_ms=at_ms, quote="usd",
                weight=1.2, registry=registry,
            )
        )  # fmt: skip
    return events


def trade(body: bytes, registry: str, received_ms: int) -> list[Raw]:
    """One trade of a socket: the pair's trade and the asset's price."""
    data: Any = _decode(body)["data"]
    pair = venues.load().find("binance").resolve(data["s"])
    assert pair is not None
    price, size, at_ms = float(data["p"]), float(data["q"]), data["T"]
    if not (_within(price, *PRICE) and _within(size, *AMOUNT)):
        return []
    side = "sell" if data["m"] else "buy"
    events = []
    said: tuple[tuple[str, str, dict[str, Value]], ...] = (
        (
            "exchange",
            f"pair:{pair.base}/{pair.quote}",
            {"trade_price": price, "trade_size": size, "trade_side": side, "trade_id": str(data["a"])},
        ),
        ("market", f"asset:{pair.base}", {"price": price}),
    )
    for category, entity, values in said:
        events.append(
            Raw(
                id=_id("binance", "spot", category, entity, at_ms, pair.quote, values), category=category, provider="binance", endpoint="spot",
                entity=entity, metrics=values, received_ms=received_ms, origin="sandbox", event_ms=at_ms, quote=pair.quote, registry=registry,
            )
        )  # fmt: skip
    return events
