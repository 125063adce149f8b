"""Real recordings through the replay, beside values computed from the raw files by other code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from schemas.events import Raw
from services.collector import replay
from services.collector.map import identity
from services.collector.registry import load

FOURTEEN = [
    "coingecko", "coinpaprika", "coinlore", "binance", "kraken", "coinbase", "okx", "kucoin", "bitstamp", "binance_futures",
    "alternative_me", "rss_coindesk", "publicnode", "mempool_space",
]  # fmt: skip

NAMES = {
    "NKN": "nkn",
    "BLZ": "bluzelle",
    "LRC": "loopring",
    "RUNE": "thorchain",
    "SUSHI": "sushi",
    "AKRO": "akropolis",
    "KEEP": "keep-network",
    "CTK": "certik",
    "USDT": "tether",
    "ETH": "ethereum",
    "BTC": "bitcoin",
    "XBT": "bitcoin",
    "EUR": "euro",
    "USD": "usd",
    "GBP": "british-pound",
    "CHF": "swiss-franc",
    "SKL": "skale",
    "BAND": "band-protocol",
    "NMR": "numeraire",
    "YFI": "yearn-finance",
    "DASH": "dash",
    "NU": "nucypher",
    "CRV": "curve-dao-token",
    "WAVES": "waves",
    "XMR": "monero",
    "KSM": "kusama",
    "GRT": "the-graph",
    "SC": "siacoin",
    "OCEAN": "ocean-protocol",
    "OMG": "omisego",
    "ADA": "cardano",
    "EQZ": "equalizer",
    "ANKR": "ankr",
    "SNX": "havven",
    "FET": "fetch-ai",
    "BCHSV": "bitcoin-cash-sv",
    "NRG": "energi",
    "CAPP": "cappasity",
    "DAPPT": "dapp-com",
    "COV": "covesting",
    "LTX": "lattice-token",
    "SGB": "songbird",
    "XRP": "ripple",
    "BAT": "basic-attention-token",
    "XLM": "stellar",
    "GALA": "gala",
}
"""Written by hand from the venues' listings of those days."""


def pair(base: str, quote: str, kind: str = "pair") -> str:
    return f"{kind}:{NAMES[base]}/{NAMES[quote]}"


@pytest.fixture(scope="module")
def told(recordings: Path) -> list[replay.Told]:
    return list(replay.told(recordings, FOURTEEN, load.load([load.BUILT_IN]), identity.load()))


def events_of(told: list[replay.Told], case: str) -> list[Raw]:
    return [event for one in told if one.step.recording.id == case for event in one.events]


@cache
def messages(file: Path) -> list[tuple[int, Any]]:
    lines = (json.loads(line) for line in file.read_text().splitlines())
    return [(round(one["t"] * 1000), json.loads(one["data"])) for one in lines if one["dir"] == "received"]


def tops(told: list[replay.Told], case: str, names: tuple[str, str] = ("bid", "ask")) -> dict[str, tuple[float, float]]:
    """Last best bid and ask that the kept books said, by entity; tickers of the same socket do not count."""
    last: dict[str, tuple[float, float]] = {}
    for one in told:
        if one.step.recording.id != case or one.mapped is None or not one.mapped.books:
            continue
        for event in one.events:
            if names[0] in event.metrics and names[1] in event.metrics and "last" not in event.metrics:
                last[event.entity] = (float(str(event.metrics[names[0]])), float(str(event.metrics[names[1]])))
    return last


class Plain:
    """A book kept the plain way."""

    def __init__(self) -> None:
        self.sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
        self.seen: list[tuple[float, float]] = []

    def put(self, side: int, price: str, size: str) -> None:
        self.sides[side].pop(float(price), None)
        if float(size) > 0:
            self.sides[side][float(price)] = float(size)

    def settle(self) -> None:
        bids, asks = self.sides
        if bids and asks and max(bids) < min(asks):
            top = (max(bids), min(asks))
            if not self.seen or self.seen[-1] != top:
                self.seen.append(top)


def last(books: dict[str, Plain]) -> dict[str, tuple[float, float]]:
    return {name: book.seen[-1] for name, book in books.items() if book.seen}


def seq_tops(
    told: list[replay.Told], case: str, names: tuple[str, str] = ("bid", "ask")
) -> dict[str, list[tuple[float, float]]]:
    """Every change of the best prices, in order."""
    found: dict[str, list[tuple[float, float]]] = {}
    for one in told:
        if one.mapped is None or not one.mapped.books:
            continue
        if one.step.recording.kind == "ws" and one.step.recording.id != case:
            continue
        for event in one.events:
            if (
                event.endpoint in ("depth", "order_book", "level2", "level2_100")
                or names[0] not in event.metrics
                or names[1] not in event.metrics
            ):
                continue
            if "last" in event.metrics or event.provider != case.removeprefix("ws.").split(".")[0]:
                continue
            top = (float(str(event.metrics[names[0]])), float(str(event.metrics[names[1]])))
            seen = found.setdefault(event.entity, [])
            if not seen or seen[-1] != top:
                seen.append(top)
    return found


def snapshot(recordings: Path, file: str) -> Any:
    return json.loads((recordings / "http" / file).read_text())


def binance_books(recordings: Path, venue: str, kind: str, symbols: dict[str, tuple[str, str]]) -> dict[str, Plain]:
    """Snapshot when it was fetched, differences with u above it, in the order of the log."""
    manifest = {case["id"]: case for case in json.loads((recordings / "manifest.json").read_text())["cases"]}
    books: dict[str, Plain] = {}
    for symbol, (base, quote) in symbols.items():
        body = snapshot(recordings, f"{venue}/depth_{symbol.lower()}.json")
        fetched = manifest[f"{venue}.depth_{symbol.lower()}"]["captured_at"]
        fetched_ms = round(datetime.fromisoformat(fetched.replace("Z", "+00:00")).timestamp() * 1000)
        book = books[pair(base, quote, kind)] = Plain()
        waiting, started, newest = [], False, body["lastUpdateId"]

        def start(book: Plain = book, body: Any = body) -> None:
            for side, key in ((0, "bids"), (1, "asks")):
                for price, size in body[key]:
                    book.put(side, price, size)

        for at_ms, message in messages(recordings / "ws" / f"{venue}.jsonl"):
            data = message["data"]
            if data.get("e") != "depthUpdate" or data["s"] != symbol:
                continue
            if not started and at_ms < fetched_ms:
                waiting.append(data)
                continue
            if not started:
                start()
                started = True
                for late in waiting:
                    newest = apply(book, late, newest)
                book.settle()
            newest = apply(book, data, newest)
            book.settle()
        if not started:
            start()
            for late in waiting:
                newest = apply(book, late, newest)
            book.settle()
    return books


def apply(book: Plain, data: Any, newest: int) -> int:
    if data["u"] <= newest:
        return newest
    for side, key in ((0, "b"), (1, "a")):
        for price, size in data[key]:
            book.put(side, price, size)
    return int(data["u"])


def test_binance_books(told: list[replay.Told], recordings: Path) -> None:
    symbols = {
        "NKNUSDT": ("NKN", "USDT"),
        "BLZETH": ("BLZ", "ETH"),
        "LRCBTC": ("LRC", "BTC"),
        "RUNEEUR": ("RUNE", "EUR"),
    }
    expected = {name: book.seen for name, book in binance_books(recordings, "binance", "pair", symbols).items()}
    found = seq_tops(told, "ws.binance")
    assert {name: found[name][-1] for name in expected} == {name: seen[-1] for name, seen in expected.items()}
    assert {name: set(seen) for name, seen in expected.items()} == {name: set(found[name]) for name in expected}


def test_binance_futures_books(told: list[replay.Told], recordings: Path) -> None:
    symbols = {f"{base}USDT": (base, "USDT") for base in ("SUSHI", "AKRO", "KEEP", "CTK")}
    expected = last(binance_books(recordings, "binance_futures", "perp", symbols))
    said: dict[str, tuple[float, float]] = {}
    for one in told:
        if (
            one.step.recording.provider == "binance_futures"
            and one.mapped is not None
            and one.mapped.books
            and one.step.recording.kind == "ws"
        ):
            for event in one.events:
                said[event.entity] = (
                    float(str(event.metrics["contract_bid"])),
                    float(str(event.metrics["contract_ask"])),
                )
    assert said == expected


def trades(told: list[replay.Told], case: str, prefix: str = "trade") -> list[tuple[Any, ...]]:
    return [
        (
            event.entity,
            event.metrics[f"{prefix}_price"],
            event.metrics[f"{prefix}_size"],
            event.metrics.get(f"{prefix}_side"),
            event.event_ms,
        )
        for event in events_of(told, case)
        if f"{prefix}_price" in event.metrics
    ]


@pytest.mark.parametrize(
    ("venue", "kind", "prefix"), [("binance", "pair", "trade"), ("binance_futures", "perp", "contract_trade")]
)
def test_binance_trades(told: list[replay.Told], recordings: Path, venue: str, kind: str, prefix: str) -> None:
    expected = []
    for _, message in messages(recordings / "ws" / f"{venue}.jsonl"):
        data = message["data"]
        if data.get("e") == "aggTrade":
            quote = next(word for word in ("USDT", "BTC", "ETH", "EUR") if data["s"].endswith(word))
            name = pair(data["s"][: -len(quote)], quote, kind)
            expected.append((name, float(data["p"]), float(data["q"]), "sell" if data["m"] else "buy", data["T"]))
    assert len(expected) > 0
    assert trades(told, f"ws.{venue}", prefix) == expected


def coinbase_pair(product: str) -> str:
    base, quote = product.split("-")
    return pair(base, quote)


def iso_ms(text: str) -> int:
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def test_coinbase_books_trades_and_tickers(told: list[replay.Told], recordings: Path) -> None:
    books: dict[str, Plain] = {}
    sold, tickers = [], []
    for _, message in messages(recordings / "ws" / "coinbase.jsonl"):
        kind = message["type"]
        if kind == "snapshot":
            book = books[coinbase_pair(message["product_id"])] = Plain()
            for side, key in ((0, "bids"), (1, "asks")):
                for price, size in message[key]:
                    book.put(side, price, size)
            book.settle()
        elif kind == "l2update":
            book = books[coinbase_pair(message["product_id"])]
            for side, price, size in message["changes"]:
                book.put(0 if side == "buy" else 1, price, size)
            book.settle()
        elif kind in ("match", "last_match"):
            taker = {"buy": "sell", "sell": "buy"}[message["side"]]
            sold.append(
                (
                    coinbase_pair(message["product_id"]),
                    float(message["price"]),
                    float(message["size"]),
                    taker,
                    iso_ms(message["time"]),
                )
            )
        elif kind == "ticker":
            tickers.append(
                (
                    coinbase_pair(message["product_id"]),
                    float(message["price"]),
                    float(message["best_bid"]),
                    float(message["volume_24h"]),
                )
            )
    assert tops(told, "ws.coinbase") == last(books)
    assert seq_tops(told, "ws.coinbase") == {name: book.seen for name, book in books.items() if book.seen}
    assert trades(told, "ws.coinbase") == sold
    said = [
        (e.entity, e.metrics["last"], e.metrics["bid"], e.metrics["volume_base_24h"])
        for e in events_of(told, "ws.coinbase")
        if "last" in e.metrics
    ]
    assert said == tickers


def test_kraken_books_trades_and_tickers(told: list[replay.Told], recordings: Path) -> None:
    books: dict[str, Plain] = {}
    sold, tickers = [], []
    for _, message in messages(recordings / "ws" / "kraken.jsonl"):
        if not isinstance(message, list):
            continue
        name = pair(*message[-1].split("/"))
        if message[-2].startswith("book"):
            book = books.setdefault(name, Plain())
            for part in message[1:-2]:
                for side, keys in ((0, ("bs", "b")), (1, ("as", "a"))):
                    for key in keys:
                        for level in part.get(key, []):
                            book.put(side, level[0], level[1])
            book.settle()
        elif message[-2] == "trade":
            words = {"b": "buy", "s": "sell"}
            sold += [(name, float(t[0]), float(t[1]), words[t[3]], int(float(t[2]) * 1000 + 0.5)) for t in message[1]]
        elif message[-2] == "ticker":
            tickers.append((name, float(message[1]["c"][0]), float(message[1]["v"][1]), float(message[1]["o"][0])))
    assert tops(told, "ws.kraken") == last(books)
    assert trades(told, "ws.kraken") == sold
    said = [
        (e.entity, e.metrics["last"], e.metrics["volume_base_24h"], e.metrics["pair_open_today"])
        for e in events_of(told, "ws.kraken")
        if "last" in e.metrics
    ]
    assert said == tickers


def test_okx_books_trades_and_tickers_of_the_spot_pair_alone(told: list[replay.Told], recordings: Path) -> None:
    book = Plain()
    sold, tickers = [], []
    for _, message in messages(recordings / "ws" / "okx.jsonl"):
        if "data" not in message or message["arg"]["instId"] != "BTC-USDT":
            continue
        for row in message["data"]:
            match message["arg"]["channel"]:
                case "books":
                    for side, key in ((0, "bids"), (1, "asks")):
                        for level in row[key]:
                            book.put(side, level[0], level[1])
                    book.settle()
                case "trades":
                    sold.append(
                        ("pair:bitcoin/tether", float(row["px"]), float(row["sz"]), row["side"], int(row["ts"]))
                    )
                case "tickers":
                    tickers.append((float(row["last"]), float(row["vol24h"]), float(row["volCcy24h"]), int(row["ts"])))
    found = events_of(told, "ws.okx")
    assert {event.entity for event in found} == {"pair:bitcoin/tether", "asset:bitcoin"}
    assert seq_tops(told, "ws.okx") == {"pair:bitcoin/tether": book.seen}
    assert trades(told, "ws.okx") == sold
    said = [
        (e.metrics["last"], e.metrics["volume_base_24h"], e.metrics["volume_quote_24h"], e.event_ms)
        for e in found
        if "last" in e.metrics
    ]
    assert said == tickers


def test_kucoin_trades_tickers_and_candles(told: list[replay.Told], recordings: Path) -> None:
    sold, tickers, bars = [], [], []
    for _, message in messages(recordings / "ws" / "kucoin.jsonl"):
        data = message.get("data", {})
        match message.get("subject", "").split(".candles")[0] + (
            ".candles" if ".candles" in message.get("subject", "") else ""
        ):
            case "trade.l3match":
                sold.append(
                    (
                        coinbase_pair(data["symbol"]),
                        float(data["price"]),
                        float(data["size"]),
                        data["side"],
                        int(data["time"]) // 1_000_000,
                    )
                )
            case "trade.ticker":
                name = coinbase_pair(message["topic"].split(":")[1])
                tickers.append(
                    (name, float(data["price"]), float(data["bestBid"]), float(data["bestAskSize"]), data["time"])
                )
            case "trade.candles":
                name = coinbase_pair(data["symbol"])
                opened, o, c, h, low, volume = data["candles"][:6]
                bars.append((name, int(opened) * 1000, float(o), float(c), float(h), float(low), float(volume)))
    found = events_of(told, "ws.kucoin")
    assert trades(told, "ws.kucoin") == sold
    said = [
        (e.entity, e.metrics["last"], e.metrics["bid"], e.metrics["ask_size"], e.event_ms)
        for e in found
        if "last" in e.metrics
    ]
    assert said == tickers
    names = ("candle_open_1m", "candle_close_1m", "candle_high_1m", "candle_low_1m", "candle_volume_1m")
    assert [
        (e.entity, e.event_ms, *(e.metrics[name] for name in names)) for e in found if "candle_open_1m" in e.metrics
    ] == bars


def test_kucoin_books(told: list[replay.Told], recordings: Path) -> None:
    for symbol in ("SNX-BTC", "FET-BTC", "BCHSV-USDT"):
        body = snapshot(recordings, f"kucoin/orderbook_level2_{symbol.lower().replace('-', '_')}.json")["data"]
        book, newest = Plain(), int(body["sequence"])
        for side, key in ((0, "bids"), (1, "asks")):
            for price, size in body[key]:
                book.put(side, price, size)
        for _, message in messages(recordings / "ws" / "kucoin.jsonl"):
            data = message.get("data", {})
            if message.get("subject") != "trade.l2update" or data["symbol"] != symbol or data["sequenceEnd"] <= newest:
                continue
            for side, key in ((0, "bids"), (1, "asks")):
                for price, size, _sequence in data["changes"][key]:
                    if float(price) > 0:
                        book.put(side, price, size)
            book.settle()
        book.settle()
        assert seq_tops(told, "ws.kucoin")[coinbase_pair(symbol)][-1] == book.seen[-1], symbol


def bitstamp_pair(word: str) -> str:
    quote = next(quote for quote in ("USDT", "USD", "EUR", "GBP", "BTC") if word.upper().endswith(quote))
    return pair(word.upper()[: -len(quote)], quote)


def test_bitstamp_books_and_trades(told: list[replay.Told], recordings: Path) -> None:
    sold = []
    books: dict[str, Plain] = {}
    for file in sorted((recordings / "http" / "bitstamp").glob("order_book_*.json")):
        word = file.stem.removeprefix("order_book_")
        if word == "2013":
            continue
        body = json.loads(file.read_text())
        book, newest = books.setdefault(bitstamp_pair(word), Plain()), int(body["microtimestamp"])
        for side, key in ((0, "bids"), (1, "asks")):
            for price, size in body[key]:
                book.put(side, price, size)
        book.settle()
        for _, message in messages(recordings / "ws" / "bitstamp.jsonl"):
            data = message["data"]
            if (
                message["channel"] == f"diff_order_book_{word}"
                and message["event"] == "data"
                and int(data["microtimestamp"]) > newest
            ):
                for side, key in ((0, "bids"), (1, "asks")):
                    for price, size in data[key]:
                        book.put(side, price, size)
                book.settle()
    for _, message in messages(recordings / "ws" / "bitstamp.jsonl"):
        if message["event"] == "trade":
            data = message["data"]
            name = bitstamp_pair(message["channel"].removeprefix("live_trades_"))
            sold.append(
                (
                    name,
                    float(data["price_str"]),
                    float(data["amount_str"]),
                    "sell" if data["type"] else "buy",
                    int(data["microtimestamp"]) // 1000,
                )
            )
    assert trades(told, "ws.bitstamp") == sold
    found = seq_tops(told, "ws.bitstamp")
    assert {name: seen[-1] for name, seen in found.items()} == {
        name: book.seen[-1] for name, book in books.items() if name in found
    }
    assert set(books) - set(found) == {"pair:songbird/euro"}, "the one book in which nothing changed"


def test_kraken_rest_answers(told: list[replay.Told], recordings: Path) -> None:
    two = events_of(told, "kraken.ticker_xbteur")[0]
    row = snapshot(recordings, "kraken/ticker_xbteur.json")["result"]["XXBTZEUR"]
    assert (two.entity, two.metrics["last"], two.metrics["ask"], two.metrics["ask_size"]) == (
        "pair:bitcoin/euro", float(row["c"][0]), float(row["a"][0]), float(row["a"][1]),
    )  # fmt: skip
    bars = snapshot(recordings, "kraken/ohlc_xbtusd_1m.json")["result"]["XXBTZUSD"]
    newest = sorted(bars, key=lambda bar: -bar[0])[:5]
    said = events_of(told, "kraken.ohlc_xbtusd_1m")
    assert [(e.entity, e.event_ms, e.metrics["candle_close_1m"], e.metrics["candle_volume_1m"]) for e in said] == [
        ("pair:bitcoin/usd", bar[0] * 1000, float(bar[4]), float(bar[6])) for bar in newest
    ]
    sold = snapshot(recordings, "kraken/trades_xbtusd.json")["result"]["XXBTZUSD"]
    assert [
        (e.metrics["trade_price"], e.metrics["trade_size"], e.event_ms) for e in events_of(told, "kraken.trades_xbtusd")
    ] == [(float(t[0]), float(t[1]), int(t[2] * 1000 + 0.5)) for t in sold]


def test_binance_prices_of_the_whole_market(told: list[replay.Told], recordings: Path) -> None:
    raw = {row["symbol"]: float(row["price"]) for row in snapshot(recordings, "binance/ticker_price_all.json")}
    said = {event.entity: event.metrics["last"] for event in events_of(told, "binance.ticker_price_all")}
    assert said["pair:bitcoin/tether"] == raw["BTCUSDT"]
    assert said["pair:ethereum/bitcoin"] == raw["ETHBTC"]
    assert said["pair:cardano/tether"] == raw["ADAUSDT"]
    assert len(said) > 1000


def flat(value: Any) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from ((f"{key}.{more}", deep) for more, deep in flat(inner))
        else:
            yield key, inner


def test_coingecko_answers(told: list[replay.Told], recordings: Path) -> None:
    prices = snapshot(recordings, "coingecko/simple_price_2021.json")
    assert {e.entity: e.metrics["price"] for e in events_of(told, "coingecko.simple_price_2021")} == {
        f"asset:{k}": v["usd"] for k, v in prices.items()
    }
    coin = dict(flat(snapshot(recordings, "coingecko/coins_bitcoin.json")))
    market = events_of(told, "coingecko.coins_bitcoin")[0]
    for metric, path in {
        "price": "market_data.current_price.usd",
        "market_cap": "market_data.market_cap.usd",
        "volume_24h": "market_data.total_volume.usd",
        "ath": "market_data.ath.usd",
        "atl": "market_data.atl.usd",
        "high_24h": "market_data.high_24h.usd",
        "low_24h": "market_data.low_24h.usd",
        "change_7d_pct": "market_data.price_change_percentage_7d_in_currency.usd",
        "circulating_supply": "market_data.circulating_supply",
        "change_24h_pct": "market_data.price_change_percentage_24h_in_currency.usd",
        "max_supply": "market_data.max_supply",
    }.items():
        assert market.metrics[metric] == coin[path], metric
    total = snapshot(recordings, "coingecko/global.json")["data"]
    said = events_of(told, "coingecko.global")[0]
    assert said.metrics["total_market_cap"] == total["total_market_cap"]["usd"]
    assert said.metrics["btc_dominance_pct"] == total["market_cap_percentage"]["btc"]
    defi = snapshot(recordings, "coingecko/global_defi.json")["data"]
    assert events_of(told, "coingecko.global_defi")[0].metrics["defi_market_cap"] == float(defi["defi_market_cap"])
    rates = snapshot(recordings, "coingecko/exchange_rates.json")["rates"]
    quotes = {
        "eth": "ethereum",
        "usd": "usd",
        "eur": "euro",
        "ltc": "litecoin",
        "bch": "bitcoin-cash",
        "bnb": "binancecoin",
        "eos": "eos",
        "xrp": "ripple",
    }
    for event in events_of(told, "coingecko.exchange_rates"):
        spelled = next((code for code, asset in quotes.items() if asset == event.quote), None)
        if spelled is not None:
            assert event.metrics["price"] == rates[spelled]["value"]


def test_what_cannot_be_mapped_is_explained(told: list[replay.Told]) -> None:
    silent = [one for one in told if not one.events and one.why is None and one.step.recording.kind == "http"]
    assert silent == []
    account = replay.Account()
    for one in told:
        account.add(one)
    faults = {case: row["faults"] for case, row in account.rows.items() if row["faults"]}
    assert faults == {}


def test_two_replays_say_the_same(told: list[replay.Told], recordings: Path) -> None:
    again = list(replay.told(recordings, ["binance", "coinbase"], load.load([load.BUILT_IN]), identity.load()))
    first = [event for one in told if one.step.recording.provider in ("binance", "coinbase") for event in one.events]
    assert [event for one in again for event in one.events] == first
