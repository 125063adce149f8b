# ruff: noqa: E501 - tables and bodies in one line each
"""`parallax bench mapping`: events per core-second from response bodies, beside parsers written by hand for the same bodies.

Question: what does it cost that a mapping is data? Expected before measuring: half the speed of a parser that does the same checks.
Both sides give the same events (compared first), with ids, in one process, interleaved; time is processor time.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from schemas.events import Raw
from services.collector import by_hand
from services.collector.decode import decode_message
from services.collector.map import identity
from services.collector.map.messages import compile_stream
from services.collector.reading import Reader
from services.collector.registry import load as loading
from services.collector.registry.load import Loaded, Registry
from services.collector.registry.model import Provider

RESULT = Path("bench/results/mapping.json")
RECEIVED_MS = 1_795_305_600_000
ROUNDS = 7
"""Odd, so that the median is a measurement."""
ROUND_S = 0.25
"""Processor time of one measurement: long against the clock's grain, short enough to interleave."""


class Bench(NamedTuple):
    """One body and who reads it."""

    name: str
    kind: str
    bytes: int
    events: int
    by_mapping: Callable[[], Sequence[Raw]]
    by_hand: Callable[[], Sequence[Raw]] | None


def benches(registry: Registry, rows: int) -> list[Bench]:
    """Bodies of `rows` rows where the shape has rows; made here, so that nothing recorded is needed."""
    eight = Registry({}, {"eight": Loaded(EIGHT, Path(), "0")}, "0")
    return [
        _poll(eight, "json list, 8 fields", "eight", "rows", _eight(rows), {}, by_hand.eight),
        _poll(
            registry,
            "json list, 10 fields as text",
            "binance",
            "ticker_window",
            _windows(rows),
            {"windowSize": "1d"},
            by_hand.windows,
        ),
        _poll(
            registry,
            "json list, 26 fields",
            "coingecko",
            "coins_markets",
            _markets(rows),
            {"vs_currency": "usd"},
            by_hand.markets,
        ),
        _poll(registry, "json object of lists", "kraken", "ticker", _kraken(rows), {}, None),
        _poll(registry, "json-rpc", "publicnode", "block", _block(), {"chain": "ethereum"}, None),
        _poll(registry, "rss", "rss_coindesk", "feed", _feed(25), {}, None),
        _stream(registry, "socket message", "binance", "spot", _trade(), by_hand.trade),
    ]


def _poll(
    registry: Registry,
    name: str,
    provider: str,
    endpoint: str,
    body: bytes,
    params: Mapping[str, str],
    hand: Callable[[bytes, str, int], list[Raw]] | None,
) -> Bench:
    loaded = registry.loaded[provider]
    reader = Reader(loaded.provider, endpoint, identity.load(), loaded.hash)

    def mapped() -> Sequence[Raw]:
        answer = reader.read(200, {}, body, params, RECEIVED_MS, "sandbox").mapped
        assert answer is not None
        return answer.events

    events = mapped()
    written = (lambda: hand(body, loaded.hash, RECEIVED_MS)) if hand is not None else None
    kind = loaded.provider.endpoints[endpoint].body
    return Bench(name, kind, len(body), len(events), mapped, _checked(name, events, written))


def _stream(
    registry: Registry, name: str, provider: str, stream: str, body: bytes, hand: Callable[[bytes, str, int], list[Raw]]
) -> Bench:
    loaded = registry.loaded[provider]
    mapper = compile_stream(loaded.provider, stream, identity.load(), loaded.hash)
    text = body.decode()

    def mapped() -> Sequence[Raw]:
        heard = mapper.read(decode_message(text), RECEIVED_MS, "sandbox").mapped
        assert heard is not None
        return heard.events

    events = mapped()
    return Bench(
        name,
        "json",
        len(body),
        len(events),
        mapped,
        _checked(name, events, lambda: hand(body, loaded.hash, RECEIVED_MS)),
    )


def _checked(
    name: str, events: Sequence[Raw], hand: Callable[[], Sequence[Raw]] | None
) -> Callable[[], Sequence[Raw]] | None:
    """The parser by hand, once it has proved to say the same."""
    if hand is None:
        return None
    said = hand()
    for one, other in zip(events, said, strict=True):
        if one != structs.replace(other, id=one.id):  # an id depends on the order in which metrics are read
            raise AssertionError(f"{name}: the two readers differ:\n  {one}\n  {other}")
    return hand


def rate(read: Callable[[], Sequence[Raw]], events: int) -> float:
    """Events per processor second of one round."""
    repeat = 0
    started = time.process_time()
    while (spent := time.process_time() - started) < ROUND_S:
        read()
        repeat += 1
    return repeat * events / spent


def measure(bench: Bench) -> dict[str, Any]:
    """Rounds of both readers, A B A B, after one that warms up."""
    samples: dict[str, list[float]] = {"mapping": [], "by_hand": []}
    for round_number in range(ROUNDS + 1):
        for name, read in (("mapping", bench.by_mapping), ("by_hand", bench.by_hand)):
            if read is not None:
                found = rate(read, bench.events)
                if round_number:
                    samples[name].append(found)
    row: dict[str, Any] = {"name": bench.name, "body": bench.kind, "bytes": bench.bytes, "events": bench.events}
    for name, values in samples.items():
        if values:
            row[name] = {
                "median": round(statistics.median(values)),
                "min": round(min(values)),
                "max": round(max(values)),
                "samples": [round(v) for v in values],
            }
    if samples["by_hand"]:
        ratios = [one / other for one, other in zip(samples["mapping"], samples["by_hand"], strict=True)]
        row["ratio"] = round(statistics.median(ratios), 3)
    return row


def main(argv: list[str]) -> int:
    """Run the benchmark and write its results."""
    parser = argparse.ArgumentParser(prog="parallax bench mapping")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    registry = loading.load()
    rows = []
    for bench in benches(registry, args.rows):
        row = measure(bench)
        rows.append(row)
        beside = f", by hand {row['by_hand']['median']:,}, ratio {row['ratio']}" if "ratio" in row else ""
        sys.stderr.write(f"{bench.name}: {row['mapping']['median']:,} events per core-second{beside}\n")
    started = time.perf_counter()
    loading.load()
    result = {
        "bench": "mapping", "command": "parallax bench mapping " + " ".join(argv), "commit": _commit(), "python": platform.python_version(),
        "machine": platform.platform(), "unit": "events per core-second (processor time)", "rounds": ROUNDS, "round_s": ROUND_S,
        "definitions": len(registry.providers), "load_s": round(time.perf_counter() - started, 4), "rows": rows,
    }  # fmt: skip
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.json:
        print(json.dumps(result))
    sys.stderr.write(f"written to {args.output}\n")
    return 0


def _commit() -> str:
    try:
        return subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


_CODES = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "LTC", "LINK", "AVAX", "DOT")


EIGHT = msgspec.convert(
    {
        "id": "eight", "name": "Eight fields", "home": "market", "homepage": "", "docs": "", "verified": "2026-11-22", "status": "live",
        "bases": {"main": "https://eight.example"},
        "endpoints": {"rows": {"path": "/rows", "emits": [{
            "rows": "$[*]", "entity": {"kind": "asset", "id": "id", "table": "coingecko"}, "quote": "usd",
            "event": {"path": "time", "unit": "ms"},
            "fields": {"price": {"path": "price", "required": True}, "market_cap": "cap", "volume_24h": "volume", "high_24h": "high",
                       "low_24h": "low", "change_24h_pct": "change", "circulating_supply": "supply", "market_rank": "rank"}}]}},
    },
    Provider,
)  # fmt: skip
"""The plainest list there is: eight JSON numbers, an id and a time a row."""


def _eight(rows: int) -> bytes:
    return json.dumps([
        {"id": _IDS[i % 10], "price": 100.5 + i, "cap": 1e9 + i, "volume": 1e7 + i, "high": 110.5 + i, "low": 90.5 + i, "change": -0.5,
         "supply": 1e6 + i, "rank": i, "time": RECEIVED_MS - i}
        for i in range(1, rows + 1)
    ]).encode()  # fmt: skip


def _windows(rows: int) -> bytes:
    return json.dumps([
        {"symbol": f"{_CODES[i % 10]}USDT", "priceChange": f"{i}.10000000", "priceChangePercent": f"{i / 100:.3f}",
         "weightedAvgPrice": f"{100.5 + i:.8f}", "openPrice": f"{100 + i:.8f}", "highPrice": f"{110 + i:.8f}", "lowPrice": f"{90 + i:.8f}",
         "lastPrice": f"{101 + i:.8f}", "volume": f"{1000 + i}.5", "quoteVolume": f"{100000 + i}.5", "openTime": RECEIVED_MS - 86_400_000,
         "closeTime": RECEIVED_MS - i, "firstId": 1, "lastId": 2, "count": i}
        for i in range(1, rows + 1)
    ]).encode()  # fmt: skip


_IDS = (
    "bitcoin",
    "ethereum",
    "solana",
    "ripple",
    "cardano",
    "dogecoin",
    "litecoin",
    "chainlink",
    "avalanche-2",
    "polkadot",
)


def _markets(rows: int) -> bytes:
    return json.dumps([
        {"id": _IDS[i % 10], "symbol": "x", "name": f"Coin {i}", "image": "https://example.org/x.png", "current_price": 100.5 + i, "market_cap": 1e9 + i,
         "market_cap_rank": i, "fully_diluted_valuation": 1.1e9 + i, "total_volume": 1e7 + i, "high_24h": 110.5 + i, "low_24h": 90.5 + i,
         "price_change_24h": -0.5, "price_change_percentage_24h": -0.4, "market_cap_change_24h": 1.5, "market_cap_change_percentage_24h": 0.3,
         "circulating_supply": 1e6 + i, "total_supply": 1.1e6 + i, "max_supply": None, "ath": 200.5 + i, "ath_change_percentage": -50.5,
         "ath_date": "2025-10-06T18:57:42.558Z", "atl": 0.5, "atl_change_percentage": 9900.5, "atl_date": "2013-07-06T00:00:00.000Z", "roi": None,
         "last_updated": "2026-11-21T23:59:45.123Z", "price_change_percentage_1h_in_currency": 0.1, "price_change_percentage_7d_in_currency": 1.1}
        for i in range(1, rows + 1)
    ]).encode()  # fmt: skip


def _kraken(rows: int) -> bytes:
    names = [f"{code}USD" for code in _CODES]
    row = {"a": ["100.1", "1", "1.5"], "b": ["100.0", "2", "2.5"], "c": ["100.05", "0.1"], "v": ["10.5", "20.5"], "p": ["99.5", "99.6"],
           "t": [10, 20], "l": ["98.1", "98.0"], "h": ["101.0", "101.5"], "o": "99.0"}  # fmt: skip
    return json.dumps({"error": [], "result": {f"{names[i % 10]}": row for i in range(min(rows, 10))}}).encode()


def _block() -> bytes:
    block = {"number": "0x15f1b2c", "hash": "0x" + "9b" * 32, "timestamp": hex(RECEIVED_MS // 1000 - 5), "gasLimit": "0x2255100",
             "gasUsed": "0x112a880", "baseFeePerGas": "0x2540be400", "transactions": ["0x" + "ab" * 32] * 150}  # fmt: skip
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": block}).encode()


def _feed(items: int) -> bytes:
    item = "<item><title>Story {0}</title><link>https://example.org/{0}</link><description>&lt;p&gt;Words {0}&lt;/p&gt;</description><pubDate>Sat, 21 Nov 2026 23:30:00 +0000</pubDate><category>Markets</category></item>"
    return (
        "<rss version='2.0'><channel><title>T</title>"
        + "".join(item.format(i) for i in range(items))
        + "</channel></rss>"
    ).encode()


def _trade() -> bytes:
    return b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1795305599990,"s":"BTCUSDT","a":12345,"p":"61234.50","q":"0.014","f":100,"l":105,"T":1795305599989,"m":true,"M":true}}'
