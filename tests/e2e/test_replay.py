"""What a user sees after `parallax replay` of real recordings: fused prices, best bids and asks and bars as the raw files say."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from schemas.events import Candle, Fused, FusedMetric
from services.common import provision
from services.common.settings import CommonSettings
from tests.e2e import recordings_oracle as oracle
from tests.e2e.recordings_oracle import Told
from tests.fixtures import gateway
from tests.fixtures.aggregators import ROOT, read, settled, workers

PROVIDERS = (
    "coingecko", "coinpaprika", "coinlore", "binance", "kraken", "coinbase", "okx", "kucoin", "bitstamp", "binance_futures",
    "alternative_me", "rss_coindesk", "publicnode", "mempool_space",
)  # fmt: skip
"""The providers of which every recorded case is replayed, in one run."""

STREAMED = ("binance", "kraken", "coinbase", "okx", "kucoin", "bitstamp")
CATEGORIES = ("market", "exchange", "derivatives")
SHOWN = ("market/asset:bitcoin", "exchange/pair:bitcoin/tether")

IDS = {
    "NKN": "nkn", "BLZ": "bluzelle", "LRC": "loopring", "RUNE": "thorchain", "SUSHI": "sushi", "AKRO": "akropolis", "KEEP": "keep-network",
    "CTK": "certik", "USDT": "tether", "ETH": "ethereum", "BTC": "bitcoin", "XBT": "bitcoin", "EUR": "euro", "USD": "usd",
    "GBP": "british-pound", "CHF": "swiss-franc", "SKL": "skale", "BAND": "band-protocol", "NMR": "numeraire", "YFI": "yearn-finance",
    "DASH": "dash", "NU": "nucypher", "CRV": "curve-dao-token", "WAVES": "waves", "XMR": "monero", "KSM": "kusama", "GRT": "the-graph",
    "SC": "siacoin", "OCEAN": "ocean-protocol", "OMG": "omisego", "ADA": "cardano", "SNX": "havven", "ANKR": "ankr", "FET": "fetch-ai",
    "BCHSV": "bitcoin-cash-sv", "XRP": "ripple", "BAT": "basic-attention-token", "GALA": "gala", "SGB": "songbird", "XLM": "stellar",
}  # fmt: skip
"""Ticker -> asset id, written down from the projects' pages; what is not here (dated futures, dead coins) is left out."""


def pair(base: str, quote: str) -> str | None:
    """The entity of a market, None when the table above does not name both sides."""
    return f"pair:{IDS[base]}/{IDS[quote]}" if base in IDS and quote in IDS else None


def sides(symbol: str, separator: str, quotes: tuple[str, ...] = ()) -> str | None:
    """The entity of a venue's spelling: parted by a separator, or ended by one of the quotes."""
    if separator:
        parts = symbol.split(separator)
        return pair(*parts) if len(parts) == 2 else None
    quote = next(quote for quote in quotes if symbol.upper().endswith(quote))
    return pair(symbol.upper().removesuffix(quote), quote)


@dataclass(frozen=True)
class Venue:
    """One recorded venue: what its raw files say, and which entity each of its symbols is."""

    provider: str
    told: Told
    separator: str
    quotes: tuple[str, ...] = ()

    def entity(self, symbol: str) -> str | None:
        return sides(symbol, self.separator, self.quotes)


@dataclass(frozen=True)
class Outcome:
    """What a replay left on the topics."""

    account: list[dict[str, Any]]
    fused: dict[str, dict[str, Fused]]
    """Category -> entity -> the record with the highest version."""
    candles: dict[tuple[str, int], Candle]
    shown: dict[str, Any]
    """What the gateway answers for the records of SHOWN."""


def venues(folder: Path) -> list[Venue]:
    return [
        Venue("binance", oracle.binance(folder), "", ("USDT", "BTC", "ETH", "EUR")),
        Venue("kraken", oracle.kraken(folder), "/"),
        Venue("coinbase", oracle.coinbase(folder), "-"),
        Venue("okx", oracle.okx(folder), "-"),
        Venue("kucoin", oracle.kucoin(folder), "-"),
        Venue("bitstamp", oracle.bitstamp(folder), "", ("USDT", "USD", "EUR", "GBP", "BTC")),
    ]


async def _replay(common: CommonSettings, folder: Path, scratch: Path, providers: tuple[str, ...]) -> Outcome:
    """Replay a folder of recordings into an empty deployment, and what is then on its topics and in its gateway."""
    environ = {**os.environ, "PARALLAX_KAFKA": common.kafka, "PARALLAX_TOPIC_PREFIX": common.topic_prefix}
    command = [sys.executable, "-m", "services.cli", "replay", str(folder), "--json"]
    for provider in providers:
        command += ["--provider", provider]
    async with workers(common, scratch, 1, ",".join(CATEGORIES)):
        done = await asyncio.to_thread(
            subprocess.run, command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False
        )
        assert done.returncode == 0, done.stderr
        for category in CATEGORIES:
            await settled(common, f"raw.{category}")
    fused: dict[str, dict[str, Fused]] = {}
    for category in CATEGORIES:
        newest = fused.setdefault(category, {})
        for record in await read(common, f"fused.{category}"):
            assert record.value is not None, f"{record.key!r} was forgotten"
            one = msgspec.json.decode(record.value, type=Fused)
            if one.entity not in newest or one.version > newest[one.entity].version:
                newest[one.entity] = one
    candles: dict[tuple[str, int], Candle] = {}
    for record in await read(common, "candles.1m"):
        bar = msgspec.json.decode(record.value, type=Candle)
        at = (bar.entity, bar.start_ms)
        if bar.interval == "1m" and (at not in candles or bar.version >= candles[at].version):
            candles[at] = bar
    async with gateway.serving(common) as served, httpx.AsyncClient(base_url=served.url, timeout=20) as client:
        shown = {}
        for entity in SHOWN:
            answer = await client.get(f"/api/v1/records/{entity}?allow_stale=1")
            shown[entity] = answer.json()["data"] if answer.status_code == 200 else None
    return Outcome(json.loads(done.stdout), fused, candles, shown)


def _deployment(kafka: str, folder: Path, scratch: Path, providers: tuple[str, ...] = ()) -> Iterator[Outcome]:
    common = CommonSettings(kafka=kafka, topic_prefix=f"replay{uuid.uuid4().hex[:8]}.", log_format="text")
    asyncio.run(provision.apply(common))
    try:
        yield asyncio.run(_replay(common, folder, scratch, providers))
    finally:
        asyncio.run(provision.remove(common))


@pytest.fixture(scope="module")
def replayed(kafka: str, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """One replay of all cases of the providers."""
    yield from _deployment(kafka, recordings, tmp_path_factory.mktemp("all"), PROVIDERS)


@pytest.fixture(scope="module")
def streamed(kafka: str, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """A replay of one socket log a venue, with the snapshots fetched beside it: what is seen is its last moment."""
    folder = tmp_path_factory.mktemp("streams")
    cases = json.loads((recordings / "manifest.json").read_text())["cases"]
    books = [
        one
        for one in cases
        if one["provider"] in STREAMED and ("depth" in one["id"] or "book" in one["id"] or "level2" in one["id"])
    ]
    logs = [one for one in cases if one["kind"] == "ws" and one["provider"] in STREAMED and "light" not in one["file"]]
    sites = [one for one in cases if one["id"] == "coingecko.coins_markets"]
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "cases": [*books, *logs, *sites]}))
    for name in ("http", "ws"):
        (folder / name).symlink_to(recordings / name)
    yield from _deployment(kafka, folder, tmp_path_factory.mktemp("logs"))


def said(metric: FusedMetric | None, provider: str) -> list[Any]:
    """What a provider said of a metric, as its fused record tells."""
    return [] if metric is None else [source.value for source in metric.by if source.provider == provider]


def test_every_recorded_case_is_mapped_or_says_why_not(replayed: Outcome, recordings: Path) -> None:
    manifest = json.loads((recordings / "manifest.json").read_text())["cases"]
    assert {row["case"] for row in replayed.account} == {one["id"] for one in manifest if one["provider"] in PROVIDERS}
    assert [
        row["case"] for row in replayed.account if not row["events"] and not row["why"] and not row["unknown"]
    ] == []


def test_every_fused_record_of_a_replay_says_so(replayed: Outcome) -> None:
    origins = {one.origin for records in replayed.fused.values() for one in records.values()}
    assert origins == {"replay"}
    assert {name: record["origin"] for name, record in replayed.shown.items()} == dict.fromkeys(SHOWN, "replay")


def test_best_bid_and_ask_are_those_of_the_books_in_the_raw_files(streamed: Outcome, recordings: Path) -> None:
    wrong: list[str] = []
    compared = 0
    for venue in venues(recordings):
        for symbol, (bid, ask) in venue.told.best().items():
            entity = venue.entity(symbol)
            if entity is None:
                continue
            record = streamed.fused["exchange"].get(entity)
            if record is None:
                wrong.append(f"{venue.provider} {symbol}: no record of {entity}")
                continue
            compared += 1
            for name, truth in (("bid", bid), ("ask", ask)):
                heard = said(record.metrics.get(name), venue.provider)
                if not heard or heard[0] != float(truth):
                    wrong.append(f"{venue.provider} {symbol} {name}: expected {truth}, got {heard}")
    assert wrong == [], "\n".join(wrong)
    assert compared == 39


def test_a_quote_of_one_venue_is_fused_to_itself(streamed: Outcome, recordings: Path) -> None:
    for venue in venues(recordings):
        for symbol, (bid, _) in venue.told.best().items():
            record = streamed.fused["exchange"].get(venue.entity(symbol) or "")
            metric = record.metrics.get("bid") if record is not None else None
            if metric is not None and metric.sources == 1:
                assert metric.value == float(bid), (venue.provider, symbol)


def test_bars_are_those_of_the_trades_in_the_raw_files(streamed: Outcome, recordings: Path) -> None:
    compared = 0
    for venue in venues(recordings):
        for (symbol, start_ms), bar in venue.told.bars().items():
            entity = venue.entity(symbol)
            candle = streamed.candles.get((entity or "", start_ms))
            if candle is None or candle.sources != 1:
                continue
            compared += 1
            told = (candle.open, candle.high, candle.low, candle.close, candle.trades)
            assert told == (float(bar.open), float(bar.high), float(bar.low), float(bar.close), bar.trades), (
                venue.provider,
                symbol,
            )
            assert candle.volume == pytest.approx(float(bar.volume), rel=1e-12), (venue.provider, symbol)
    assert compared >= 10


def test_prices_of_an_aggregator_site_are_those_of_its_answer(streamed: Outcome, recordings: Path) -> None:
    rows = json.loads((recordings / "http/coingecko/coins_markets.json").read_text(), parse_float=Decimal)
    for row in rows:
        record = streamed.fused["market"].get(f"asset:{row['id']}")
        assert record is not None, row["id"]
        assert float(row["current_price"]) in said(record.metrics["price"], "coingecko"), row["id"]
        assert record.quote == "usd"


def test_a_fused_price_lies_among_the_prices_that_made_it(replayed: Outcome) -> None:
    compared = 0
    for entity, record in replayed.fused["market"].items():
        metric = record.metrics.get("price")
        used = [] if metric is None else [source.value for source in metric.by if source.weight > 0]
        if metric is not None and used:
            compared += 1
            assert min(used) * (1 - 1e-9) <= metric.value <= max(used) * (1 + 1e-9), entity  # type: ignore[operator, type-var]
            assert 0 <= metric.confidence <= 1
    assert compared >= 20
