"""Requests read backwards: which provider and endpoint an address belongs to, and with which parameters."""

from __future__ import annotations

import json

import pytest

from services.collector.match import match
from services.collector.registry import load

PROVIDERS = [
    load.load([load.BUILT_IN]).providers[name]
    for name in ("binance", "kraken", "coinbase", "coingecko", "mempool_space", "publicnode", "okx")
]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        (
            "https://api.binance.com/api/v3/ticker/24hr?symbol=BTCUSDT",
            ("binance", "ticker_24h_one", {"symbol": "BTCUSDT"}),
        ),
        ("https://data-api.binance.vision/api/v3/ticker/24hr", ("binance", "ticker_24h_all", {})),
        (
            "https://api2.binance.com/api/v3/ticker/24hr?symbols=[%22BTCUSDT%22]",
            ("binance", "ticker_24h", {"symbols": '["BTCUSDT"]'}),
        ),
        ("https://api.kraken.com/0/public/Ticker", ("kraken", "ticker_all", {})),
        (
            "https://api.exchange.coinbase.com/products/BTC-USD/ticker",
            ("coinbase", "ticker", {"product_id": "BTC-USD"}),
        ),
        ("https://api.pro.coinbase.com/products", ("coinbase", "products", {})),
        (
            "https://api.coingecko.com/api/v3/coins/markets?vs_currency=eur",
            ("coingecko", "coins_markets", {"vs_currency": "eur"}),
        ),
        ("https://api.coingecko.com/api/v3/coins/bitcoin", ("coingecko", "coin", {"id": "bitcoin"})),
        (
            "https://api.coingecko.com/api/v3/coins/ethereum/contract/0xAB/",
            ("coingecko", "coin_by_contract", {"platform": "ethereum", "contract": "0xAB"}),
        ),
        ("mempool.space/api/v1/mining/pools/3d", ("mempool_space", "mining_pools", {"period": "3d"})),
        ("https://www.okx.com/api/v5/market/tickers?instType=SPOT", ("okx", "tickers", {"instType": "SPOT"})),
    ],
)
def test_addresses(url: str, found: tuple[str, str, dict[str, str]]) -> None:
    assert tuple(match(PROVIDERS, url)[0]) == found


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/api/v3/ticker/24hr",
        "https://api.binance.com/api/v3/nothing",
        "https://www.okx.com/api/v5/market/tickers?instType=SWAP",
        "nonsense",
    ],
)
def test_addresses_that_are_nobodys(url: str) -> None:
    assert match(PROVIDERS, url) == []


def test_what_shares_an_address_is_told_apart_by_the_body() -> None:
    url = "https://base-rpc.publicnode.com/"
    asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_gasPrice", "params": []}).encode()
    assert tuple(match(PROVIDERS, url, body=asked)[0]) == ("publicnode", "gas_price", {"chain": "base"})
    balance = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": ["0xAb", "latest"]}).encode()
    assert tuple(match(PROVIDERS, url, body=balance)[0]) == (
        "publicnode",
        "balance",
        {"chain": "base", "address": "0xAb"},
    )
    assert match(PROVIDERS, url, body=b'{"method": "eth_other"}') == []
