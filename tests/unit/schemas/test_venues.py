"""Symbols of venues: curated, in time, and never by the symbol alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import assets, tables, venues
from schemas.venues import Coin, Pair

VENUES = venues.load()
APRIL_2021_MS = 1618677543367
RECORDINGS = Path(os.environ.get("PARALLAX_RECORDINGS", Path(__file__).parents[4] / "shared" / "recordings"))

needs_recordings = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="no recordings; set PARALLAX_RECORDINGS to their folder"
)


@pytest.mark.parametrize(
    ("venue", "symbol", "pair"),
    [
        ("binance", "BTCUSDT", Pair("bitcoin", "tether")),
        ("binance", "RUNEEUR", Pair("thorchain", "euro")),
        ("binance", "BLZETH", Pair("bluzelle", "ethereum")),
        ("binance", "BTCVAI", Pair("bitcoin", "vai")),
        ("binance", "DENTUSDT", Pair("dent", "tether")),
        ("binance", "1000SATSUSDT", Pair("sats-ordinals", "tether", 1000.0)),
        ("binance", "BTCBKRW", None),
        ("binance_futures", "1000SHIBUSDT", Pair("shiba-inu", "tether", 1000.0)),
        ("binance_futures", "BTCUSDT_210924", Pair("bitcoin", "tether")),
        ("binance_futures", "BTCUSDT_21O924", None),
        ("binance_futures", "DEFIUSDT", None),
        ("binance_futures", "BTCDOMUSDT", None),
        ("binance_coinm", "BTCUSD_PERP", Pair("bitcoin", "usd")),
        ("coinbase", "SKL-GBP", Pair("skale", "british-pound")),
        ("kraken", "XXBTZUSD", Pair("bitcoin", "usd")),
        ("kraken", "XBTUSD", Pair("bitcoin", "usd")),
        ("kraken", "KSM/XBT", Pair("kusama", "bitcoin")),
        ("kraken", "XETHZGBP.d", None),
        ("kraken", "REPUSD", None),
        ("kraken", "LUNA/USD", Pair("terra-luna", "usd")),
        ("kraken_futures", "PF_XBTUSD", Pair("bitcoin", "usd")),
        ("okx", "BTC-USDT", Pair("bitcoin", "tether")),
        ("okx", "BTC-USDT-SWAP", None),
        ("okx_swap", "UNI-USD-SWAP", Pair("uniswap", "usd")),
        ("okx_futures", "BTC-USD-220527", Pair("bitcoin", "usd")),
        ("kucoin", "BCHSV-USDT", Pair("bitcoin-cash-sv", "tether")),
        ("kucoin", "VAI-USDT", Pair("vaiot", "tether")),
        ("kucoin", "LTX-USDT", Pair("lattice-token", "tether")),
        ("kucoin_futures", "XBTUSDTM", Pair("bitcoin", "tether")),
        ("bitstamp", "sgbeur", Pair("songbird", "euro")),
        ("bitstamp", "BTC/USD", Pair("bitcoin", "usd")),
        ("bitfinex", "tBTCUSD", Pair("bitcoin", "usd")),
        ("bitfinex", "BTCUSD", None),
        ("bitfinex", "tUSTUSD", Pair("tether", "usd")),
        ("bitfinex", "tDOGE:USD", Pair("dogecoin", "usd")),
        ("bitfinex", "tDOGUSD", Pair("dogecoin", "usd", 1000000.0)),
        ("bitfinex", "tBTCXCH", Pair("bitcoin", "crypto-franc")),
        ("bitfinex", "tTESTBTC:TESTUSD", None),
        ("bitfinex_derivatives", "tBTCF0:USTF0", Pair("bitcoin", "tether")),
        ("upbit", "KRW-BTC", Pair("bitcoin", "korean-won")),
        ("upbit", "BTC-PAX", Pair("paxos-standard", "bitcoin")),
        ("bithumb", "BTC_KRW", Pair("bitcoin", "korean-won")),
        ("poloniex_legacy", "USDT_BTC", Pair("bitcoin", "tether")),
        ("htx", "hotusdt", Pair("hydro-protocol", "tether")),
        ("gate", "HOT_USDT", Pair("holotoken", "tether")),
        ("bybit_linear", "BTCPERP", Pair("bitcoin", "usd-coin")),
        ("bybit_linear", "SHIB1000USDT", Pair("shiba-inu", "tether", 1000.0)),
        ("hyperliquid", "kPEPE", Pair("pepe", "usd-coin", 1000.0)),
        ("deribit", "BTC-PERPETUAL", Pair("bitcoin", "usd")),
        ("deribit", "BTC_USDC-PERPETUAL", Pair("bitcoin", "usd-coin")),
        ("bit2c", "BtcNis", Pair("bitcoin", "israeli-shekel")),
        ("yobit", "ltc_btc", Pair("litecoin", "bitcoin")),
        ("yobit", "uni_btc", None),
        ("a venue nobody listed", "BTC-USD", Pair("bitcoin", "usd")),
        ("a venue nobody listed", "btcusd", Pair("bitcoin", "usd")),
        ("a venue nobody listed", "HOT-USD", None),
        ("binance", "", None),
        ("binance", "USDT", None),
        ("binance", "USDTUSDT", None),
        ("okx", "BTC-USDT-", None),
    ],
)
def test_a_symbol_is_read_as_its_venue_means_it(venue: str, symbol: str, pair: Pair | None) -> None:
    assert venues.resolve(venue, symbol) == pair
    assert venues.resolve(venue, symbol) == pair, "the second answer comes from memory"


@pytest.mark.parametrize(
    ("venue", "symbol", "then", "now"),
    [
        ("binance", "LUNAUSDT", Pair("terra-luna", "tether"), Pair("terra-luna-2", "tether")),
        ("bitfinex", "tLUNA:USD", Pair("terra-luna", "usd"), None),
        ("binance", "BTTUSDT", Pair("bittorrent-old", "tether"), Pair("bittorrent", "tether")),
        ("upbit", "BTC-STRK", Pair("strike", "bitcoin"), Pair("starknet", "bitcoin")),
        ("upbit", "KRW-TON", Pair("tokamak-network", "korean-won"), Pair("the-open-network", "korean-won")),
        ("upbit", "BTC-PI", None, Pair("pi-network", "bitcoin")),
        ("binance", "SKYBTC", None, Pair("sky", "bitcoin")),
        ("okx", "ACT-USDT", Pair("achain", "tether"), Pair("act-i-the-ai-prophecy", "tether")),
        ("binance_futures", "LITUSDT", Pair("litentry", "tether"), None),
        ("binance", "BTCUSDT", Pair("bitcoin", "tether"), Pair("bitcoin", "tether")),
    ],
)
def test_a_code_means_what_it_meant_then(venue: str, symbol: str, then: Pair | None, now: Pair | None) -> None:
    assert venues.resolve(venue, symbol, APRIL_2021_MS) == then
    assert venues.resolve(venue, symbol) == now
    assert venues.resolve(venue, symbol, VENUES[venue].settled_ms) == now


def test_the_day_of_a_change_belongs_to_the_new_meaning() -> None:
    midnight_ms = 1653696000000  # 2022-05-28T00:00Z
    assert venues.coin("binance", "luna", midnight_ms - 1) == Coin("terra-luna")
    assert venues.coin("binance", "luna", midnight_ms) == Coin("terra-luna-2")


@pytest.mark.parametrize(
    ("venue", "base", "quote", "symbol"),
    [
        ("binance", "bitcoin", "tether", "BTCUSDT"),
        ("coinbase", "ethereum", "euro", "ETH-EUR"),
        ("kraken", "bitcoin", "usd", "XBT/USD"),
        ("bitfinex", "dogecoin", "tether", "tDOGE:UST"),
        ("upbit", "bitcoin", "korean-won", "KRW-BTC"),
        ("okx_swap", "uniswap", "tether", "UNI-USDT-SWAP"),
        ("binance_futures", "shiba-inu", "tether", "SHIBUSDT"),
        ("okx_futures", "bitcoin", "usd", None),
        ("binance", "a-coin-without-code", "tether", None),
    ],
)
def test_a_pair_is_spelled_as_its_venue_writes_it(venue: str, base: str, quote: str, symbol: str | None) -> None:
    assert VENUES[venue].spell(base, quote) == symbol


@given(st.sampled_from(sorted(VENUES)), st.sampled_from(sorted(assets.load())), st.sampled_from(sorted(assets.load())))
def test_what_a_venue_spells_it_reads_back(venue: str, base: str, quote: str) -> None:
    symbol = VENUES[venue].spell(base, quote)
    found = None if symbol is None else VENUES[venue].resolve(symbol)
    if found is not None:
        assert {found.base, found.quote} <= set(assets.load())
        if VENUES[venue].formats[0].separator:
            assert found == Pair(base, quote)


@given(st.sampled_from(sorted(VENUES)), st.text(max_size=20))
def test_no_text_breaks_a_venue(venue: str, symbol: str) -> None:
    pair = VENUES[venue].resolve(symbol)
    assert pair is None or (pair.base != pair.quote and pair.units > 0)


def test_a_flood_of_symbols_does_not_grow_the_memory() -> None:
    venue = venues.parse(tables.read(venues.FILE)).unlisted
    for number in range(venues.LARGEST_CACHE + 10):
        venue.resolve(f"{number}-USD")
    assert len(venue._pairs) == 10


def test_all_faults_of_the_venues_are_told_at_once() -> None:
    text = tables.read(venues.FILE)
    for old, new in (
        ("  HOT: holotoken ", "  HOD: holotoken "),
        ("  WBTC: wrapped-bitcoin", "  WBTC: bitcoin"),
        ("  CGLD: celo", "  CGLD: cello\n  xyz: dogecoin"),
        ("major: [BTC,", "major: [NOBODY, BTC,"),
        ("codes: {BCC: bitcoin-cash, VAI: vai", "codes: {BCC: bitcoin-cach, VAI: vai"),
        (
            "binance_coinm: {formats: [{suffix: _PERP}, {suffix: _######}], quotes: [USD]}",
            "binance_coinm: {formats: [], quotes: [USX]}",
        ),
        ("spelled: {bitcoin: XBT,", "spelled: {bitcoin: ETH,"),
        ('dydx: {formats: [{separator: "-"}]}', 'dydx: {formats: [{seperator: "-"}]}'),
        (
            "coincheck: {formats: [{separator: _}], trust: major}",
            "coincheck: {formats: [{}], codes: {BTC: bitcoin}, refused: {BTC: why}}",
        ),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with pytest.raises(tables.TableError) as caught:
        venues.parse(text)
    assert caught.value.faults == (
        "shared: HOT: expected a decision, holotoken, hydro-protocol have it",
        "shared: WBTC: expected one of wrapped-bitcoin, arbitrum-bridged-wbtc-arbitrum-one, "
        "polygon-bridged-wbtc-polygon-pos, got 'bitcoin'",
        "shared: HOD: expected one of no asset, got 'holotoken'",
        "major: NOBODY: expected a code that is decided above",
        "venues.dydx: Object contains unknown field `seperator` - at `$.formats[0]`",
        "codes.CGLD: expected an asset of assets.yaml, got 'cello'",
        "codes.xyz: expected upper case",
        "venues.binance.codes.BCC: expected an asset of assets.yaml, got 'bitcoin-cach'",
        "venues.binance_coinm: formats: expected one or more",
        "venues.binance_coinm: quotes: USX: expected a code that is decided above",
        "venues.kraken: spelled: bitcoin: expected a code of it, got 'ETH'",
        "venues.coincheck: BTC: refused and a code at once",
    )


def body(name: str) -> Any:
    return json.loads((RECORDINGS / "http" / name).read_text())


@needs_recordings
def test_joined_symbols_are_split_where_the_venue_splits_them() -> None:
    wrong = []
    for row in body("binance/exchange_info.json")["symbols"]:
        base, quote = venues.coin("binance", row["baseAsset"]), venues.coin("binance", row["quoteAsset"])
        expected = Pair(base.asset, quote.asset, base.units) if base and quote else None
        if venues.resolve("binance", row["symbol"]) != expected:
            wrong.append((row["symbol"], expected))
    assert wrong == []


@needs_recordings
def test_both_spellings_of_kraken_mean_the_same() -> None:
    rows = body("kraken/asset_pairs.json")
    rows = rows.get("result", rows)
    wrong = [
        name
        for name, row in rows.items()
        if "wsname" in row
        and not venues.resolve("kraken", name)
        == venues.resolve("kraken", row["altname"])
        == venues.resolve("kraken", row["wsname"])
    ]
    assert wrong == []


@needs_recordings
@pytest.mark.parametrize(
    ("venue", "file", "path", "field", "unknown"),
    [
        ("coinbase", "coinbase/products.json", None, "id", set()),
        ("bitstamp", "bitstamp/trading_pairs_info.json", None, "url_symbol", {"eth2eth"}),
        (
            "binance_futures",
            "binance_futures/exchange_info.json",
            "symbols",
            "symbol",
            {"DEFIUSDT", "BTCDOMUSDT", "LITUSDT"},
        ),
        ("okx_swap", "okx/instruments_swap.json", "data", "instId", {"DORA-USDT-SWAP", "WNCG-USDT-SWAP"}),
        ("okx_futures", "okx/instruments_futures.json", "data", "instId", set()),
        ("bitso", "bitso/ticker_all.json", "payload", "book", set()),
    ],
)
def test_all_recorded_symbols_resolve_but_those_that_we_know_not(
    venue: str, file: str, path: str | None, field: str, unknown: set[str]
) -> None:
    rows = body(file)[path] if path else body(file)
    assert {row[field] for row in rows if venues.resolve(venue, row[field]) is None} == unknown


@needs_recordings
def test_most_recorded_symbols_of_the_long_lists_resolve() -> None:
    lists = {
        "binance": [
            row["symbol"] for row in body("binance/exchange_info.json")["symbols"] if row["status"] == "TRADING"
        ],
        "kucoin": [row["symbol"] for row in body("kucoin/symbols.json")["data"]],
        "okx": [row["instId"] for row in body("okx/instruments_spot.json")["data"]],
        "upbit": [row["market"] for row in body("upbit/market_all.json")],
        "bitfinex": [f"t{pair}" for pair in body("bitfinex/conf_list_pair_exchange.json")[0]],
    }
    known = {
        name: sum(venues.resolve(name, symbol) is not None for symbol in symbols) for name, symbols in lists.items()
    }
    least = {"binance": 1150, "kucoin": 380, "okx": 370, "upbit": 260, "bitfinex": 225}
    assert {name: count for name, count in known.items() if count < least[name]} == {}
