"""What the recordings say, read from the raw files by code that knows nothing of our mappings.

Each reader below speaks one venue's format as its documentation describes it and gives plain tables: best prices of the
books at the end of the recording, trades in order, and one-minute bars of those trades. Numbers stay decimals.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

MINUTE_MS = 60_000


@dataclass(frozen=True)
class Trade:
    symbol: str
    id: str
    time_ms: int
    price: Decimal
    size: Decimal
    taker: str


@dataclass(frozen=True)
class Bar:
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trades: int


@dataclass
class Book:
    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)
    ready: bool = False

    def set(self, side: str, price: str, size: str) -> None:
        levels = self.bids if side == "bid" else self.asks
        if Decimal(size) == 0:
            levels.pop(Decimal(price), None)
        else:
            levels[Decimal(price)] = Decimal(size)

    def load(self, bids: list[list[Any]], asks: list[list[Any]]) -> None:
        self.bids = {Decimal(level[0]): Decimal(level[1]) for level in bids}
        self.asks = {Decimal(level[0]): Decimal(level[1]) for level in asks}
        self.ready = True

    def best(self) -> tuple[Decimal, Decimal] | None:
        return (max(self.bids), min(self.asks)) if self.ready and self.bids and self.asks else None


@dataclass
class Told:
    """All that one venue's stream tells."""

    books: dict[str, Book] = field(default_factory=dict)
    trades: dict[tuple[str, str], Trade] = field(default_factory=dict)
    quoted: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    """Best prices that a ticker told after the last change of the book."""

    def book(self, symbol: str) -> Book:
        return self.books.setdefault(symbol, Book())

    def trade(self, trade: Trade) -> None:
        self.trades.setdefault((trade.symbol, trade.id), trade)

    def best(self) -> dict[str, tuple[Decimal, Decimal]]:
        found = {symbol: book.best() for symbol, book in self.books.items()}
        return {symbol: best for symbol, best in found.items() if best is not None} | self.quoted

    def bars(self) -> dict[tuple[str, int], Bar]:
        """(symbol, start of the minute in ms) -> bar of the trades of that minute, by their own time."""
        minutes: dict[tuple[str, int], list[Trade]] = {}
        for trade in self.trades.values():
            minutes.setdefault((trade.symbol, trade.time_ms // MINUTE_MS * MINUTE_MS), []).append(trade)
        return {key: _bar(sorted(trades, key=lambda t: (t.time_ms, int(t.id)))) for key, trades in minutes.items()}


def _bar(trades: list[Trade]) -> Bar:
    prices = [trade.price for trade in trades]
    volume = sum((trade.size for trade in trades), Decimal(0))
    return Bar(prices[0], max(prices), min(prices), prices[-1], volume, len(trades))


def received(path: Path) -> Iterator[dict[str, Any]]:
    """Messages of a socket log, in order, parsed."""
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if record["dir"] == "received":
            yield json.loads(record["data"])


def binance(folder: Path, name: str = "binance") -> Told:
    told, last = Told(), {}
    for snapshot in (folder / "http" / name).glob("depth_*.json"):
        symbol = snapshot.stem.removeprefix("depth_").upper()
        body = json.loads(snapshot.read_text())
        told.book(symbol).load(body["bids"], body["asks"])
        last[symbol] = body["lastUpdateId"]
    for message in received(folder / "ws" / f"{name}.jsonl"):
        data = message["data"]
        if data.get("e") == "depthUpdate" and data["u"] > last[data["s"]]:
            book = told.book(data["s"])
            for price, size in data["b"]:
                book.set("bid", price, size)
            for price, size in data["a"]:
                book.set("ask", price, size)
        elif data.get("e") == "aggTrade":
            taker = "sell" if data["m"] else "buy"
            told.trade(Trade(data["s"], str(data["a"]), data["T"], Decimal(data["p"]), Decimal(data["q"]), taker))
    return told


def kraken(folder: Path) -> Told:
    told, count = Told(), 0
    for message in received(folder / "ws" / "kraken.jsonl"):
        if not isinstance(message, list):
            continue
        channel, symbol = message[-2], message[-1]
        if channel.startswith("book"):
            book = told.book(symbol)
            told.quoted.pop(symbol, None)
            for part in message[1:-2]:
                if "as" in part:
                    book.load(part["bs"], part["as"])
                for price, size, *_ in part.get("b", []):
                    book.set("bid", price, size)
                for price, size, *_ in part.get("a", []):
                    book.set("ask", price, size)
        elif channel == "ticker":
            told.quoted[symbol] = (Decimal(message[1]["b"][0]), Decimal(message[1]["a"][0]))
        elif channel == "trade":
            for price, size, seconds, side, _order, _misc in message[1]:
                count += 1
                at = int(Decimal(seconds) * 1000)
                told.trade(
                    Trade(symbol, str(count), at, Decimal(price), Decimal(size), {"b": "buy", "s": "sell"}[side])
                )
    return told


def _iso_ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1_000_000 + 0.5) // 1000


def coinbase(folder: Path, log: str = "coinbase.jsonl") -> Told:
    told = Told()
    for message in received(folder / "ws" / log):
        kind = message["type"]
        if kind == "snapshot":
            told.book(message["product_id"]).load(message["bids"], message["asks"])
        elif kind == "l2update":
            for side, price, size in message["changes"]:
                told.book(message["product_id"]).set("bid" if side == "buy" else "ask", price, size)
        elif kind in ("match", "last_match"):
            # the message names the maker's side: a resting sell order was bought
            taker = "buy" if message["side"] == "sell" else "sell"
            at, price, size = _iso_ms(message["time"]), Decimal(message["price"]), Decimal(message["size"])
            told.trade(Trade(message["product_id"], str(message["trade_id"]), at, price, size, taker))
    return told


def okx(folder: Path) -> Told:
    told = Told()
    for message in received(folder / "ws" / "okx.jsonl"):
        if "data" not in message:
            continue
        channel, symbol = message["arg"]["channel"], message["arg"]["instId"]
        for row in message["data"]:
            if channel == "books" and message["action"] == "snapshot":
                told.book(symbol).load(row["bids"], row["asks"])
            elif channel == "books":
                for price, size, *_ in row["bids"]:
                    told.book(symbol).set("bid", price, size)
                for price, size, *_ in row["asks"]:
                    told.book(symbol).set("ask", price, size)
            elif channel == "trades":
                price, size = Decimal(row["px"]), Decimal(row["sz"])
                told.trade(Trade(symbol, row["tradeId"], int(row["ts"]), price, size, row["side"]))
    return told


def kucoin(folder: Path) -> Told:
    told, last = Told(), {}
    manifest = json.loads((folder / "manifest.json").read_text())
    for case in manifest["cases"]:
        if case["provider"] == "kucoin" and "level2" in case["endpoint"]:
            body = json.loads((folder / case["file"]).read_text())["data"]
            symbol = case["request"]["params"]["symbol"]
            told.book(symbol).load(body["bids"], body["asks"])
            last[symbol] = int(body["sequence"])
    for message in received(folder / "ws" / "kucoin.jsonl"):
        data, topic = message.get("data"), message.get("topic", "")
        if topic.startswith("/market/level2:"):
            symbol = data["symbol"]
            for side, changes in (("bid", data["changes"]["bids"]), ("ask", data["changes"]["asks"])):
                for price, size, sequence in changes:
                    if int(sequence) > last.get(symbol, 0) and Decimal(price) != 0:
                        told.book(symbol).set(side, price, size)
        elif topic.startswith("/market/match:"):
            at = int(data["time"]) // 1_000_000
            trade = Trade(
                data["symbol"], data["sequence"], at, Decimal(data["price"]), Decimal(data["size"]), data["side"]
            )
            told.trade(trade)
    return told


def bitstamp(folder: Path) -> Told:
    told, last = Told(), {}
    for snapshot in (folder / "http" / "bitstamp").glob("order_book_*.json"):
        symbol = snapshot.stem.removeprefix("order_book_")
        body = json.loads(snapshot.read_text())
        if "microtimestamp" in body:
            told.book(symbol).load(body["bids"], body["asks"])
            last[symbol] = int(body["microtimestamp"])
    for message in received(folder / "ws" / "bitstamp.jsonl"):
        channel, data = message["channel"], message["data"]
        if message["event"] == "data" and channel.startswith("diff_order_book_"):
            symbol = channel.removeprefix("diff_order_book_")
            if int(data["microtimestamp"]) > last.get(symbol, 0):
                for price, size in data["bids"]:
                    told.book(symbol).set("bid", price, size)
                for price, size in data["asks"]:
                    told.book(symbol).set("ask", price, size)
        elif message["event"] == "trade":
            symbol = channel.removeprefix("live_trades_")
            at, side = int(data["microtimestamp"]) // 1000, "buy" if data["type"] == 0 else "sell"
            told.trade(
                Trade(symbol, str(data["id"]), at, Decimal(data["price_str"]), Decimal(data["amount_str"]), side)
            )
    return told
