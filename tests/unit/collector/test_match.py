"""Requests read backwards: which provider and endpoint an address belongs to, and with which parameters."""

# ruff: noqa: E501 - an address a line
from __future__ import annotations

import json

import pytest

from services.collector.match import match, match_stream, near
from services.collector.match.addresses import akin, is_secret, read, redacted
from services.collector.registry import load

REGISTRY = load.load([load.BUILT_IN])
PROVIDERS = list(REGISTRY.providers.values())


def best(url: str, body: object = None, method: str | None = None) -> tuple[str, str, dict[str, str]] | None:
    sent = None if body is None else json.dumps(body).encode()
    found = match(PROVIDERS, url, method, sent, loose=True)
    return (found[0].provider, found[0].endpoint, found[0].params) if found else None


@pytest.mark.parametrize(
    ("url", "found"),
    [
        # the address as documented
        ("https://api.binance.com/api/v3/ticker/24hr?symbol=BTCUSDT", ("binance", "ticker_24h_one", {"symbol": "BTCUSDT"})),
        ("https://data-api.binance.vision/api/v3/ticker/24hr", ("binance", "ticker_24h_all", {})),
        ("https://api.kraken.com/0/public/Ticker", ("kraken", "ticker_all", {})),
        ("https://api.exchange.coinbase.com/products/BTC-USD/ticker", ("coinbase", "ticker", {"product_id": "BTC-USD"})),
        ("https://api.coingecko.com/api/v3/coins/bitcoin", ("coingecko", "coin", {"id": "bitcoin"})),
        ("https://www.okx.com/api/v5/market/tickers?instType=SPOT", ("okx", "tickers", {"instType": "SPOT"})),
        # parameters in any order, more of them than we know
        ("https://api.bybit.com/v5/market/tickers?symbol=BTCUSDT&category=spot", ("bybit", "ticker", {"symbol": "BTCUSDT", "category": "spot"})),
        ("https://api.kraken.com/0/public/Depth?count=3&pair=XBTEUR", ("kraken", "depth", {"count": "3", "pair": "XBTEUR"})),
        ("https://api.coingecko.com/api/v3/coins/markets?page=7&locale=en&vs_currency=eur", ("coingecko", "coins_markets", {"page": "7", "locale": "en", "vs_currency": "eur"})),
        ("https://api.coingecko.com/api/v3/simple/price?vs_currencies=usd,eur&ids=bitcoin,ethereum&include_24hr_vol=false",
         ("coingecko", "simple_price", {"vs_currencies": "usd,eur", "ids": "bitcoin,ethereum", "include_24hr_vol": "false"})),
        # a literal that only says how much is answered, or asks for one of all
        ("https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=5", ("binance", "depth", {"symbol": "BTCUSDT", "limit": "5"})),
        ("https://www.okx.com/api/v5/public/funding-rate?instId=BTC-USDT-SWAP", ("okx_swap", "funding_rate", {"instId": "BTC-USDT-SWAP"})),
        ("https://api-pub.bitfinex.com/v2/tickers?symbols=tBTCUSD,tETHUSD", ("bitfinex", "tickers", {"symbols": "tBTCUSD,tETHUSD"})),
        # the literal that tells two providers apart
        ("https://api.bybit.com/v5/market/tickers?category=linear", ("bybit_linear", "tickers", {"category": "linear"})),
        ("https://www.okx.com/api/v5/market/tickers?instType=SWAP", ("okx_swap", "tickers", {"instType": "SWAP"})),
        ("https://api.llama.fi/overview/fees?dataType=dailyRevenue", ("defillama", "revenue", {"dataType": "dailyRevenue"})),
        # schemes, ports, logins, slashes, letters
        ("http://api.kraken.com:80/0/public/Ticker/", ("kraken", "ticker_all", {})),
        ("HTTPS://API.Kraken.COM//0//public/ticker?pair=XBTUSD", ("kraken", "ticker", {"pair": "XBTUSD"})),
        ("https://user:word@api.kraken.com/0/public/Ticker", ("kraken", "ticker_all", {})),
        ("mempool.space/api/v1/mining/pools/3d", ("mempool_space", "mining_pools", {"period": "3d"})),
        ("https://api.ndax.io/AP/summary", ("ndax", "summary", {})),
        # encoded values
        ("https://api2.binance.com/api/v3/ticker/24hr?symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D", ("binance", "ticker_24h", {"symbols": '["BTCUSDT","ETHUSDT"]'})),
        ("https://api-pub.bitfinex.com/v2/candles/trade%3A1m%3AtBTCUSD/hist", ("bitfinex", "candles", {"symbol": "tBTCUSD"})),
        ("https://api.coingecko.com/api/v3/coins/ethereum/contract/0xAB/", ("coingecko", "coin_by_contract", {"platform": "ethereum", "contract": "0xAB"})),
        ("https://coins.llama.fi/prices/current/coingecko:bitcoin,ethereum%3A0xab", ("defillama_coins", "prices", {"coins": "coingecko:bitcoin,ethereum:0xab"})),
        # mirrors, and hosts that differ in service words only
        ("https://api.pro.coinbase.com/products", ("coinbase", "products", {})),
        ("https://pro-api.coingecko.com/api/v3/global", ("coingecko", "global", {})),
        ("https://api7.binance.com/api/v3/ticker/price", ("binance", "ticker_price", {})),
        ("https://okx.com/api/v5/market/ticker?instId=BTC-USDT", ("okx", "ticker", {"instId": "BTC-USDT"})),
        # a list written by repeating its name
        ("https://hermes.pyth.network/v2/updates/price/latest?ids[]=aa&ids[]=bb", ("pyth_hermes", "latest", {"ids[]": "aa,bb"})),
        # asked by another name than ours, where the answer names its rows itself
        ("https://pro-api.coinmarketcap.com/v1/cryptocurrency/quotes/latest?symbol=BTC,ETH&convert=USD",
         ("coinmarketcap", "quotes_v1", {"symbol": "BTC,ETH", "convert": "USD"})),
        # keys are recognised and never given back
        ("https://api.etherscan.io/v2/api?chainid=1&module=gastracker&action=gasoracle&apikey=SECRET",
         ("etherscan", "gas_oracle", {"chainid": "1", "module": "gastracker", "action": "gasoracle"})),
        ("https://api.coingecko.com/api/v3/global?x_cg_demo_api_key=SECRET", ("coingecko", "global", {})),
        ("https://eth-mainnet.g.alchemy.com/nft/v3/SECRET/getFloorPrice?contractAddress=0xab", ("alchemy_nft", "floor", {"contractAddress": "0xab"})),
        # the first version of an API, whose host said the chain
        ("https://api.etherscan.io/api?module=gastracker&action=gasoracle", ("etherscan", "gas_oracle", {"chainid": "1", "module": "gastracker", "action": "gasoracle"})),
        ("https://api.bscscan.com/api?module=proxy&action=eth_gasPrice&apikey=SECRET", ("etherscan", "gas_price", {"chainid": "56", "module": "proxy", "action": "eth_gasPrice"})),
        # a chain in the host
        ("https://base.blockscout.com/api/v2/stats", ("blockscout", "stats", {"chain": "base"})),
    ],
)  # fmt: skip
def test_addresses(url: str, found: tuple[str, str, dict[str, str]]) -> None:
    assert best(url) == found


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/api/v3/ticker/24hr",
        "https://api.binance.com/api/v3/nothing",
        "https://www.okx.com/api/v5/market/tickers?instType=OPTION",
        "https://api.bybit.com/v5/market/tickers?category=option",
        "https://api.bscscan.com/api?module=stats&action=ethprice",
        "https://testnet.binance.vision/api/v3/ticker/24hr",
        "https://api-testnet.bybit.com/v5/market/tickers?category=spot",
        "https://eth-sepolia.blockscout.com/other",
        "https://api.twelvedata.com/rsi?symbol=BTC/USD&interval=1min&time_period=14&series_type=close",
        "https://api.twelvedata.com/rsi?symbol=BTC/USD&interval=1day&time_period=9&series_type=close",
        "https://min-api.cryptocompare.com/data/price",
        "nonsense",
    ],
)
def test_addresses_that_are_nobodys(url: str) -> None:
    assert best(url) is None


@pytest.mark.parametrize(
    ("url", "body", "found"),
    [
        ("https://base-rpc.publicnode.com/", {"jsonrpc": "2.0", "id": 1, "method": "eth_gasPrice", "params": []},
         ("publicnode", "gas_price", {"chain": "base"})),
        ("https://base-rpc.publicnode.com", {"id": "x", "method": "eth_getBalance", "params": ["0xAb", "latest"]},
         ("publicnode", "balance", {"chain": "base", "address": "0xAb"})),
        ("https://mainnet.infura.io/v3/SECRET", {"method": "eth_blockNumber", "params": [], "id": 7},
         ("infura", "block_number", {"chain": "mainnet"})),
        # a call without parameters, as null; a host that stands for a chain, dots and all
        ("https://rpc.gnosischain.com/", {"method": "eth_blockNumber", "params": None, "id": 7},
         ("team_rpc", "block_number", {"chain": "rpc.gnosischain.com"})),
        ("https://api.hyperliquid.xyz/info", {"type": "metaAndAssetCtxs"}, ("hyperliquid", "contexts", {})),
        ("https://api.livecoinwatch.com/coins/single", {"currency": "USD", "code": "ETH", "meta": True},
         ("livecoinwatch", "single", {"code": "ETH"})),
    ],
)  # fmt: skip
def test_what_shares_an_address_is_told_apart_by_the_body(
    url: str, body: object, found: tuple[str, str, dict[str, str]]
) -> None:
    assert best(url, body) == found


def test_a_call_that_nobody_maps_is_nobodys_and_one_without_its_body_is_not_guessed() -> None:
    url = "https://base-rpc.publicnode.com/"
    assert best(url, {"method": "eth_other"}) is None
    assert best("https://rpc.of.nobody.example/", {"method": "eth_blockNumber", "params": []}) is None
    assert best(url) is None
    why = {one.why for one in near(PROVIDERS, url)}
    assert why == {"a body tells its calls apart: give --body"}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("wss://stream.binance.com:9443/stream?streams=btcusdt@trade", ("binance", "spot")),
        ("wss://stream.binance.com:9443/ws/btcusdt@trade", ("binance", "spot")),
        ("wss://fstream.binance.com/stream?streams=btcusdt@markPrice", ("binance_futures", "market")),
        ("wss://ws.okx.com:8443/ws/v5/public", ("okx", "public")),
        ("wss://ws.kraken.com/v2", ("kraken", "v2")),
        ("wss://ws.kraken.com/", ("kraken", "v1")),
        ("wss://push-private.kucoin.com/endpoint?token=SECRET", ("kucoin", "public")),
        ("wss://ws-feed.pro.coinbase.com", ("coinbase", "feed")),
        ("wss://api.huobi.pro/ws", ("htx", "spot")),
    ],
)
def test_sockets(url: str, found: tuple[str, str]) -> None:
    assert [(one.provider, one.endpoint) for one in match_stream(PROVIDERS, url)][:1] == [found]
    assert best(url) is None


def test_what_is_asked_strictly_needs_the_very_host_and_every_parameter() -> None:
    assert match(PROVIDERS, "https://api7.binance.com/api/v3/ticker/price") == []
    assert match(PROVIDERS, "https://api.upbit.com/v1/ticker") == []
    assert [one.endpoint for one in match(PROVIDERS, "https://api.upbit.com/v1/ticker", loose=True)] == ["ticker"]
    assert match(PROVIDERS, "https://api.coingecko.com/api/v3/simple/price?symbols=btc", loose=True) == []


def test_what_comes_near_is_named_with_the_reason() -> None:
    close = near(PROVIDERS, "https://www.okx.com/api/v5/market/tickers?instType=OPTION")
    assert {(one.provider, one.why) for one in close} == {
        ("okx", "instType is OPTION, and its meaning is known for SPOT only"),
        ("okx_swap", "instType is OPTION, and its meaning is known for SWAP only"),
    }
    close = near(PROVIDERS, "https://api.binance.com/api/v3/klins?symbol=BTCUSDT")
    assert (close[0].provider, close[0].endpoint, close[0].why) == (
        "binance",
        "klines",
        "another path of the same host",
    )
    assert near(PROVIDERS, "https://api.krakn.com/0/public/Ticker")[0]._replace(endpoint="")[:2] == (
        "kraken",
        "",
    )


@pytest.mark.parametrize(
    ("host", "ours", "same"),
    [
        ("api4.acme.com", "api.acme.com", True),
        ("pro-api.acme.com", "api.acme.com", True),
        ("acme.com", "www.acme.com", True),
        ("api-testnet.acme.com", "api.acme.com", False),
        ("sandbox.acme.com", "api.acme.com", False),
        ("futures.acme.com", "api.acme.com", False),
        ("api.acme.org", "api.acme.com", False),
        ("eth.acme.com", "{chain}.acme.com", False),
        ("sepolia.acme.com", "acme.com", False),
    ],
)
def test_hosts_that_differ_in_service_words_are_one(host: str, ours: str, same: bool) -> None:
    assert akin(host, ours) is same


def test_an_address_shown_has_no_secret() -> None:
    url = "https://me:pass@api.acme.com/v1?symbol=BTC/USD&apikey=SECRET&X-API-Key=S2&word=S3"
    assert (
        redacted(url, frozenset({"word"})) == "https://api.acme.com/v1?symbol=BTC/USD&apikey=***&X-API-Key=***&word=***"
    )
    assert [name for name in ("limit", "apiKey", "access_token", "signature", "keys", "key") if is_secret(name)] == [
        "apiKey",
        "access_token",
        "signature",
        "key",
    ]


def test_reading_an_address() -> None:
    assert read("https://H.com:8443//a%20b/c%2Fd//?x=1&x=2&y=") == (
        "https",
        "h.com",
        "/a b/c%2Fd",
        {"x": "1,2", "y": ""},
    )
