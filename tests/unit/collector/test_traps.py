# ruff: noqa: E501 - a payload is a line
"""The traps in which readers of these providers get caught, one named test each, with the provider's own shape and exact values.

TRAPS lists them all, also those whose test stands elsewhere because it is about another layer; a test holds the list true.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from schemas.events import Value
from services.collector.decode import decode_message
from services.collector.map import identity
from services.collector.map.compile import compile_endpoint
from services.collector.map.messages import compile_stream
from services.collector.reading import Answer, Reader
from services.collector.registry import load as loading
from services.collector.registry.model import Provider

NOW = 1_795_305_600_000
"""2026-11-22 00:00:00 UTC."""
TOKEN = "0x1111111111111111111111111111111111111a01"
HERE = "tests/unit/collector/test_traps.py"


class Trap(NamedTuple):
    """What catches readers, and the test that shows that we are not caught."""

    what: str
    test: str
    file: str = HERE


TRAPS = (
    Trap("same contract on several chains with fake liquidity: the deepest pool gives the price, the others speak for themselves", "test_one_contract_on_two_chains_is_priced_by_its_deepest_pool"),
    Trap("same contract on several chains with fake liquidity: the price does not move", "test_one_contract_on_several_chains_with_made_up_liquidity_does_not_move_the_price", "tests/unit/aggregator/engine/test_quarantine.py"),
    Trap("a fake token of the same symbol", "test_a_fake_token_of_the_same_symbol_is_shown_with_the_reason_and_has_no_vote", "tests/unit/aggregator/engine/test_quarantine.py"),
    Trap("two assets with one symbol", "test_two_assets_with_one_symbol_stay_two", "tests/unit/schemas/test_assets.py"),
    Trap("a wrapped token under the name of its underlying", "test_wrapped_and_bridged_assets_are_not_their_underlying", "tests/unit/schemas/test_assets.py"),
    Trap("a code that changed its meaning (LUNA)", "test_a_code_means_what_it_meant_then", "tests/unit/schemas/test_venues.py"),
    Trap("a pair asked under one name and answered under another", "test_a_pair_asked_under_one_name_is_read_under_the_one_that_comes_back"),
    Trap('booleans as "0" and "1"', "test_flags_that_are_the_texts_0_and_1"),
    Trap("a missing or empty flag that is unknown, never false", "test_a_missing_or_empty_flag_is_unknown_never_false"),
    Trap("taxes as fraction or percent", "test_a_tax_is_a_fraction_at_one_and_a_percentage_at_the_other"),
    Trap("a year-3000 expiry", "test_a_contract_that_expires_in_the_year_3000_is_not_dated"),
    Trap("open interest in coins, contracts or dollars", "test_open_interest_in_coins_in_contracts_and_in_dollars"),
    Trap("funding per 8 hours, per 4 hours or per hour", "test_funding_per_eight_hours_per_four_and_per_one"),
    Trap("rates per year", "test_a_rate_per_year_is_a_percentage_per_year"),
    Trap("status 0 that means empty, not error", "test_status_0_with_an_empty_list_is_empty_and_with_words_an_error"),
    Trap("errors under HTTP 200", "test_errors_under_http_200_have_their_class"),
    Trap("amounts of 1e16 and more, beyond what a double counts one by one", "test_amounts_beyond_2_to_the_53_are_scaled_exactly"),
    Trap("empty texts and zeros for missing numbers", "test_empty_texts_and_zeros_that_stand_for_nothing"),
    Trap("60-digit decimals", "test_sixty_digits_are_a_number"),
    Trap("gzip frames on sockets", "test_gzip_frames_of_a_socket"),
    Trap("arrays whose length or second element tells their kind", "test_arrays_tell_by_their_form_what_they_are"),
    Trap("a response that is older than the last one", "test_each_provider_is_held_with_its_newest_statement_by_event_time", "tests/unit/aggregator/engine/test_fold.py"),
    Trap("a book snapshot that is older than what was applied", "test_an_older_snapshot_does_not_turn_the_book_back", "tests/unit/collector/stream/test_book.py"),
    Trap("columns of candles in an order of one's own", "test_every_venue_has_an_order_of_its_own_for_the_columns_of_a_bar"),
    Trap("the side of a trade told from the maker's view, or as a flag", "test_the_side_of_a_trade_is_the_takers"),
    Trap("shares as fraction or percent points", "test_a_change_is_a_fraction_at_one_venue_and_percent_at_the_other"),
    Trap("prices in the chain's smallest unit (lamports)", "test_a_floor_in_lamports"),
    Trap("a floor of 0 that means that nothing is listed", "test_a_floor_of_zero_is_no_floor"),
    Trap("a floor and a volume in different currencies", "test_a_floor_in_another_currency_is_not_told_as_ether"),
    Trap("a delisted pair that keeps its last price and gets a new time", "test_a_delisted_pair_with_a_new_time_is_not_told"),
    Trap("won, not dollars", "test_a_price_in_won_is_told_in_won_and_is_no_price_in_dollars"),
    Trap("a thousand coins under one code", "test_a_code_for_a_thousand_coins_is_brought_to_one"),
    Trap("hexadecimal quantities", "test_a_hexadecimal_height_is_a_number"),
    Trap("two lists side by side, one of names and one of numbers", "test_delisted_names_do_not_shift_the_numbers_beside_them"),
    Trap("fields that are null on a market without a trade", "test_a_market_without_a_trade_says_only_what_it_knows"),
    Trap("a clock that runs ahead, or seconds for milliseconds", "test_a_statement_is_neither_older_than_bitcoin_nor_of_the_day_after_tomorrow", "tests/unit/collector/map/test_values.py"),
    Trap("NaN, infinity and 1e400 in JSON", "test_no_numbers", "tests/unit/collector/map/test_values.py"),
    Trap("answers of a batch in another order than asked", "test_answers_are_opened", "tests/unit/collector/test_decode.py"),
    Trap("entities and bombs in feeds", "test_feeds_that_are_none_or_not_harmless", "tests/unit/collector/test_decode.py"),
)  # fmt: skip
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("trap", TRAPS, ids=[trap.what for trap in TRAPS])
def test_the_list_of_traps_names_tests_that_are_there(trap: Trap) -> None:
    assert re.search(rf"^(?:async )?def {trap.test}\(", (ROOT / trap.file).read_text(), re.MULTILINE)


def test_every_test_of_this_file_is_on_the_list() -> None:
    here = {name for name in globals() if name.startswith("test_")}
    listed = {trap.test for trap in TRAPS if trap.file == HERE}
    assert here - listed == {
        "test_the_list_of_traps_names_tests_that_are_there",
        "test_every_test_of_this_file_is_on_the_list",
    }


REGISTRY = loading.load()
TABLES = identity.load()
Said = dict[str, dict[str, Value]]


def answer(provider: str, endpoint: str, payload: Any, **params: str) -> Answer:
    """An answer of a real definition."""
    reader = Reader(REGISTRY.providers[provider], endpoint, TABLES)
    return reader.read(200, {}, json.dumps(payload).encode(), params, NOW, "live")


def said(provider: str, endpoint: str, payload: Any, **params: str) -> Said:
    """Entity -> metrics, over all its events."""
    mapped = answer(provider, endpoint, payload, **params).mapped
    assert mapped is not None
    found: Said = {}
    for event in mapped.events:
        found.setdefault(event.entity, {}).update(event.metrics)
    return found


def pool(chain: str, price: str, liquidity: float, address: str) -> dict[str, Any]:
    return {
        "chainId": chain, "dexId": "x", "pairAddress": address, "baseToken": {"address": TOKEN, "name": "Alpha", "symbol": "ALP"},
        "quoteToken": {"address": "0xdAC17F958D2ee523a2206206994597C13D831ec7", "symbol": "USDT"}, "priceUsd": price, "liquidity": {"usd": liquidity},
    }  # fmt: skip


def test_one_contract_on_two_chains_is_priced_by_its_deepest_pool() -> None:
    """The same address was deployed on two chains; a pool with next to no liquidity makes up a price."""
    pools = [
        pool("bsc", "941.5", 12_000.0, "0xbb01"),
        pool("ethereum", "77777.0", 40.0, "0xee01"),
        pool("ethereum", "1.25", 900_000.0, "0xee02"),
        pool("ethereum", "1.31", 50_000.0, "0xee03"),
    ]
    found = said("dexscreener", "search", {"schemaVersion": "1.0.0", "pairs": pools}, q=TOKEN)
    tokens = {name: metrics["dex_price"] for name, metrics in found.items() if name.startswith("token:")}
    assert tokens == {f"token:ethereum:{TOKEN}": 1.25}
    assert found["pool:bsc:0xbb01"]["dex_price"] == 941.5, "a price of this pool, and of nothing else"
    assert "pool:ethereum:0xee01" not in found, "forty dollars are no market"


def test_a_pair_asked_under_one_name_is_read_under_the_one_that_comes_back() -> None:
    row = {
        "a": ["61246.7", "1", "1"],
        "b": ["61222.2", "1", "1"],
        "c": ["61234.5", "0.017"],
        "v": ["1700.1", "5100.2"],
        "p": ["1", "2"],
        "t": [1, 2],
        "l": ["1", "60009.8"],
        "h": ["1", "62459.1"],
        "o": "61418.2",
    }
    found = said(
        "kraken",
        "ticker",
        {"error": [], "result": {"XXBTZUSD": row, "XETHXXBT": row | {"c": ["0.0383", "1"]}}},
        pair="XBTUSD,ETHXBT",
    )
    assert {name: metrics["last"] for name, metrics in found.items() if name.startswith("pair:")} == {
        "pair:bitcoin/usd": 61234.5,
        "pair:ethereum/bitcoin": 0.0383,
    }


def goplus(**fields: Any) -> dict[str, Value]:
    payload = {"code": 1, "message": "OK", "result": {TOKEN: {"holder_count": "10", **fields}}}
    return said("goplus", "token_security", payload, chain_id="1", contract_addresses=TOKEN)[f"token:ethereum:{TOKEN}"]


def test_flags_that_are_the_texts_0_and_1() -> None:
    found = goplus(is_honeypot="0", is_mintable="1", is_proxy="1", hidden_owner="0")
    assert (found["is_honeypot"], found["is_mintable"], found["is_proxy"], found["hidden_owner"]) == (
        False,
        True,
        True,
        False,
    )


def test_a_missing_or_empty_flag_is_unknown_never_false() -> None:
    found = goplus(is_honeypot="", is_mintable="1")
    assert "is_honeypot" not in found
    assert "is_proxy" not in found


def test_a_tax_is_a_fraction_at_one_and_a_percentage_at_the_other() -> None:
    assert goplus(buy_tax="0.05", sell_tax="1")["buy_tax_pct"] == 5.0
    assert goplus(buy_tax="0.05", sell_tax="1")["sell_tax_pct"] == 100.0
    percent = {
        "token": {"address": TOKEN, "totalHolders": 1},
        "simulationResult": {"buyTax": 5.0, "sellTax": 0.05},
        "honeypotResult": {"isHoneypot": False},
    }
    found = said("honeypot_is", "is_honeypot", percent, address=TOKEN, chainID="1")[f"token:ethereum:{TOKEN}"]
    assert (found["buy_tax_pct"], found["sell_tax_pct"]) == (5.0, 0.05)


def made_up(emit: dict[str, Any]) -> Provider:
    return msgspec.convert(
        {
            "id": "acme", "name": "Acme", "home": "derivatives", "homepage": "", "docs": "", "verified": "2026-11-22", "status": "live",
            "bases": {"main": "https://acme.example"}, "symbols_of": "binance", "endpoints": {"e": {"path": "/x", "emits": [emit]}},
        },
        Provider,
    )  # fmt: skip


def test_a_contract_that_expires_in_the_year_3000_is_not_dated() -> None:
    """Deribit writes 32503708800000 as the expiry of a perpetual."""
    emit = {
        "rows": "$[*]",
        "entity": {"kind": "future", "symbol": "s", "expiry": {"path": "e", "unit": "ms"}},
        "quote": "pair",
        "fields": {"mark_price": "m"},
    }
    rows = [{"s": "BTCUSDT", "e": 1_798_185_600_000, "m": 1.0}, {"s": "BTCUSDT", "e": 32_503_708_800_000, "m": 2.0}]
    mapped = compile_endpoint(made_up(emit), "e", TABLES).map(rows, {}, NOW, "live")
    assert [(event.entity, event.metrics["mark_price"]) for event in mapped.events] == [
        ("future:bitcoin/tether:2026-12-25", 1.0)
    ]
    summary = {
        "jsonrpc": "2.0",
        "result": [
            {"instrument_name": "BTC_USDC-PERPETUAL", "mark_price": 61252.1},
            {"instrument_name": "BTC_USDC-25DEC26", "mark_price": 62002.1},
        ],
    }
    assert said("deribit", "summary", summary) == {"perp:bitcoin/usd-coin": {"mark_price": 61252.1}}, (
        "nor is a dated one a perpetual"
    )


def test_open_interest_in_coins_in_contracts_and_in_dollars() -> None:
    okx = {
        "code": "0",
        "data": [
            {
                "instId": "BTC-USDT-SWAP",
                "instType": "SWAP",
                "oi": "2811001.5",
                "oiCcy": "28110.015",
                "oiUsd": "1721480000.5",
                "ts": "1795305601001",
            }
        ],
    }
    assert said("okx_swap", "open_interest", okx)["perp:bitcoin/tether"] == {
        "open_interest_contracts": 2811001.5,
        "open_interest_base": 28110.015,
        "open_interest": 1721480000.5,
    }
    bybit = {
        "retCode": 0,
        "result": {
            "list": [
                {
                    "symbol": "BTCUSDT",
                    "lastPrice": "61243.1",
                    "openInterest": "51234.567",
                    "openInterestValue": "3137619000.5",
                    "deliveryTime": "0",
                }
            ]
        },
    }
    found = said("bybit_linear", "tickers", bybit)["perp:bitcoin/tether"]
    assert (found["open_interest_base"], found["open_interest"]) == (51234.567, 3137619000.5)
    deribit = {
        "jsonrpc": "2.0",
        "result": [
            {"instrument_name": "BTC_USDC-PERPETUAL", "mark_price": 61252.1, "open_interest": 801.5},
            {"instrument_name": "BTC-PERPETUAL", "mark_price": 61262.1, "open_interest": 900_000_000},
        ],
    }
    assert said("deribit", "summary", deribit) == {
        "perp:bitcoin/usd-coin": {"mark_price": 61252.1, "open_interest_base": 801.5}
    }, "inverse ones are counted in dollars, and left out"


def test_funding_per_eight_hours_per_four_and_per_one() -> None:
    def bybit(rate: str, hours: str) -> dict[str, Value]:
        row = {
            "symbol": "BTCUSDT",
            "lastPrice": "1",
            "fundingRate": rate,
            "fundingIntervalHour": hours,
            "deliveryTime": "0",
        }
        return said("bybit_linear", "tickers", {"retCode": 0, "result": {"list": [row]}})["perp:bitcoin/tether"]

    assert (bybit("0.0001", "8")["funding_rate"], bybit("0.0001", "8")["funding_rate_8h"]) == (0.0001, 0.0001)
    assert (bybit("0.0001", "4")["funding_rate"], bybit("0.0001", "4")["funding_rate_8h"]) == (0.0001, 0.0002)
    hyper = [
        {"universe": [{"name": "BTC", "maxLeverage": 40}]},
        [{"funding": "0.0000125", "openInterest": "2", "markPx": "61240.0", "oraclePx": "61230.2"}],
    ]
    found = said("hyperliquid", "contexts", hyper)["perp:bitcoin/usd-coin"]
    assert (found["funding_rate"], found["funding_rate_8h"], found["funding_interval_h"]) == (0.0000125, 0.0001, 1.0)


def test_a_rate_per_year_is_a_percentage_per_year() -> None:
    emit = {
        "category": "derivatives",
        "entity": {"kind": "perp", "is": "bitcoin/tether"},
        "fields": {"funding_rate_8h": {"path": "r", "unit": "fraction_per_year"}},
    }
    mapped = compile_endpoint(made_up(emit), "e", TABLES).map({"r": 0.1095}, {}, NOW, "live")
    assert mapped.events[0].metrics == {"funding_rate_8h": 0.0001}, (
        "10.95 % a year are a hundredth of a percent in eight hours"
    )
    cosmos = said("cosmos_lcd", "inflation", {"inflation": "0.0875"}, chain="cosmoshub")
    assert [metrics["inflation_pct_year"] for metrics in cosmos.values()] == [8.75]


def test_status_0_with_an_empty_list_is_empty_and_with_words_an_error() -> None:
    def outcome(payload: Any) -> str:
        return answer(
            "etherscan", "transactions", payload, module="account", action="txlist", chainid="1", address=TOKEN
        ).outcome.name

    assert outcome({"status": "0", "message": "No transactions found", "result": []}) == "EMPTY"
    assert (
        outcome({"status": "0", "message": "NOTOK", "result": "Max calls per sec rate limit reached (3/sec)"})
        == "RATE_LIMITED"
    )
    assert outcome({"status": "0", "message": "NOTOK", "result": "Invalid API Key (#err2)|GP0-0"}) == "AUTH"
    assert outcome({"status": "0", "message": "NOTOK", "result": "Error! Invalid address format"}) == "UNSUPPORTED"


def test_errors_under_http_200_have_their_class() -> None:
    assert (
        answer("kraken", "ticker", {"error": ["EAPI:Rate limit exceeded"]}, pair="XBTUSD").outcome.name
        == "RATE_LIMITED"
    )
    assert answer("kraken", "ticker", {"error": ["EQuery:Unknown asset pair"]}, pair="NOPE").outcome.name == "NOT_FOUND"
    assert (
        answer("goplus", "token_security", {"code": 4029, "message": "too many requests"}, chain_id="1").outcome.name
        == "RATE_LIMITED"
    )
    limited = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "rate limit exceeded"}}
    assert answer("publicnode", "block_number", limited, chain="ethereum").outcome.name == "RATE_LIMITED"
    assert (
        answer("bybit_linear", "tickers", {"retCode": 10006, "retMsg": "Too many visits!", "result": {}}).outcome.name
        == "RATE_LIMITED"
    )


def test_amounts_beyond_2_to_the_53_are_scaled_exactly() -> None:
    """10000000000000001 is no double; its millionth part is what the text says all the same."""

    def balance(wei: Any) -> Value:
        found = said(
            "etherscan",
            "balance",
            {"status": "1", "message": "OK", "result": wei},
            module="account",
            action="balance",
            chainid="1",
            address=TOKEN,
        )
        return found[f"address:ethereum:{TOKEN}"]["balance_native"]

    assert balance("10000000000000001") == 0.010000000000000001
    assert balance("123456789012345678901234567890") == 123456789012.34568
    assert balance(10_000_000_000_000_001) == 0.010000000000000001
    assert balance("1e16") == 0.01


def test_empty_texts_and_zeros_that_stand_for_nothing() -> None:
    row = {
        "symbol": "ETHPERP",
        "lastPrice": "2347.15",
        "highPrice24h": "0",
        "fundingRate": "",
        "nextFundingTime": "0",
        "bid1Price": "0",
        "bid1Size": "",
        "ask1Price": "2347.2",
        "deliveryTime": "0",
    }
    found = said("bybit_linear", "tickers", {"retCode": 0, "result": {"list": [row]}})
    assert list(found.values()) == [{"contract_last": 2347.15, "contract_ask": 2347.2}]


def test_sixty_digits_are_a_number() -> None:
    digits = "0.012345678901234567890123456789012345678901234567890123456789"
    assert len(digits) == 62
    assert goplus(owner_percent=digits)["owner_holder_pct"] == 0.012345678901234568 * 100


def test_gzip_frames_of_a_socket() -> None:
    message = {
        "ch": "market.btcusdt.trade.detail",
        "ts": 1795305599131,
        "tick": {
            "id": 1,
            "ts": 1795305599129,
            "data": [
                {
                    "id": 1,
                    "ts": 1795305599128,
                    "tradeId": 102523573101,
                    "amount": 0.00121,
                    "price": 61235.2,
                    "direction": "sell",
                }
            ],
        },
    }
    packer = zlib.compressobj(wbits=31)
    frame = packer.compress(json.dumps(message).encode()) + packer.flush()
    stream = REGISTRY.providers["htx"].streams["spot"]
    heard = compile_stream(REGISTRY.providers["htx"], "spot", TABLES).read(
        decode_message(frame, stream.frames), NOW, "live"
    )
    assert heard.mapped is not None
    found = {event.entity: event.metrics for event in heard.mapped.events}
    assert found["pair:bitcoin/tether"] == {
        "trade_price": 61235.2,
        "trade_size": 0.00121,
        "trade_side": "sell",
        "trade_id": "102523573101",
    }


def test_arrays_tell_by_their_form_what_they_are() -> None:
    """Bitfinex: pairs have eleven columns and a t, loans seventeen and an f; a socket says heartbeat, snapshot and trade in one list."""
    pair = ["tBTCUSD", 61233.9, 19.0, 61235.2, 10.4, 734.25, 0.012136, 61234.5, 1843.5, 62010.5, 59820.75]
    loan = [
        "fUSD",
        0.00041205,
        0.00039,
        30,
        15750450.2,
        0.00037,
        2,
        610450.12,
        1e-05,
        0.0251,
        0.00041,
        180450450.5,
        0.0009,
        5e-05,
        None,
        None,
        9350450.2,
    ]
    found = said("bitfinex", "tickers", [pair, loan])
    assert set(found) == {"pair:bitcoin/usd", "asset:bitcoin"}
    assert (found["pair:bitcoin/usd"]["last"], found["pair:bitcoin/usd"]["volume_base_24h"]) == (61234.5, 1843.5)
    stream = compile_stream(REGISTRY.providers["bitfinex"], "public", TABLES)
    bindings: dict[str, dict[str, str]] = {}
    kinds = []
    for message in (
        {"event": "subscribed", "channel": "trades", "chanId": 5, "symbol": "tBTCUSD", "pair": "BTCUSD"},
        [5, "hb"], [5, "te", [669899160, 1795305599128, -0.25, 61235.2]], [5, "tu", [669899160, 1795305599128, -0.25, 61235.2]],
    ):  # fmt: skip
        heard = stream.read(message, NOW, "live", bindings)
        events = heard.mapped.events if heard.mapped is not None else []
        kinds.append(
            (heard.kind, [event.metrics.get("trade_size") for event in events if event.category == "exchange"])
        )
    assert kinds == [("ack", []), ("ignore", []), ("data", [0.25]), ("ignore", [])]


def test_every_venue_has_an_order_of_its_own_for_the_columns_of_a_bar() -> None:
    bar = {
        "candle_open_1m": 61200.0,
        "candle_high_1m": 61300.0,
        "candle_low_1m": 61100.0,
        "candle_close_1m": 61250.0,
        "candle_volume_1m": 3.5,
    }
    start = 1795305540
    coinbase = said(
        "coinbase",
        "candles",
        [[start, 61100.0, 61300.0, 61200.0, 61250.0, 3.5]],
        product_id="BTC-USD",
        granularity="60",
    )
    kucoin = said(
        "kucoin",
        "candles",
        {"code": "200000", "data": [[str(start), "61200", "61250", "61300", "61100", "3.5", "214000"]]},
        symbol="BTC-USDT",
        type="1min",
    )
    gate = said(
        "gate",
        "candlesticks",
        [[str(start), "214000", "61250", "61300", "61100", "61200", "3.5", "true"]],
        currency_pair="BTC_USDT",
        interval="1m",
    )
    assert [list(found.values()) for found in (coinbase, kucoin, gate)] == [[bar], [bar], [bar]]


def test_the_side_of_a_trade_is_the_takers() -> None:
    maker = [{"trade_id": 7, "side": "buy", "size": "0.5", "price": "61234.5", "time": "2026-11-21T23:59:58.123Z"}]
    assert said("coinbase", "trades", maker, product_id="BTC-USD")["pair:bitcoin/usd"]["trade_side"] == "sell"
    taker_sold = [
        {
            "id": 7,
            "price": "61234.5",
            "qty": "0.5",
            "quoteQty": "30617.25",
            "time": 1795305598123,
            "isBuyerMaker": True,
            "isBestMatch": True,
        }
    ]
    assert said("binance", "trades", taker_sold, symbol="BTCUSDT")["pair:bitcoin/tether"]["trade_side"] == "sell"
    assert (
        said("binance", "trades", [taker_sold[0] | {"isBuyerMaker": False}], symbol="BTCUSDT")["pair:bitcoin/tether"][
            "trade_side"
        ]
        == "buy"
    )


def test_a_change_is_a_fraction_at_one_venue_and_percent_at_the_other() -> None:
    bybit = {
        "retCode": 0,
        "result": {"list": [{"symbol": "BTCUSDT", "lastPrice": "1", "price24hPcnt": "-0.017", "deliveryTime": "0"}]},
    }
    assert said("bybit_linear", "tickers", bybit)["perp:bitcoin/tether"]["contract_change_24h_pct"] == -0.017 * 100
    binance = [
        {
            "symbol": "BTCUSDT",
            "lastPrice": "61234.5",
            "priceChangePercent": "-1.700",
            "count": 18,
            "closeTime": 1795305589983,
        }
    ]
    assert said("binance", "ticker_24h", binance)["pair:bitcoin/tether"]["pair_change_24h_pct"] == -1.7


def test_a_delisted_pair_with_a_new_time_is_not_told() -> None:
    dead = {
        "symbol": "BTCUSDT",
        "lastPrice": "61234.5",
        "bidPrice": "0.00000000",
        "askPrice": "0.00000000",
        "count": 0,
        "closeTime": 1795305589983,
    }
    assert said("binance", "ticker_24h", [dead]) == {}
    assert set(said("binance", "ticker_24h", [dead | {"bidPrice": "61234.4"}])) >= {"pair:bitcoin/tether"}


def magiceden(**fields: Any) -> dict[str, Value]:
    [found] = said(
        "magiceden", "stats", {"symbol": "okay_bears", "listedCount": 301, **fields}, symbol="okay_bears"
    ).values()
    return found


def test_a_floor_in_lamports() -> None:
    found = magiceden(floorPrice=12_340_000_000, avgPrice24hr=12_500_000_000, volumeAll=1_234_567_000_000_000)
    assert (found["floor_price_native"], found["nft_avg_sale_24h"], found["nft_volume_total"]) == (
        12.34,
        12.5,
        1_234_567.0,
    )


def test_a_floor_of_zero_is_no_floor() -> None:
    assert "floor_price_native" not in magiceden(floorPrice=0)
    total = {
        "volume": 10.5,
        "sales": 5,
        "num_owners": 3,
        "floor_price": 0,
        "volume_symbol": "ETH",
        "floor_price_symbol": "ETH",
    }
    [found] = said("opensea", "stats", {"total": total, "intervals": []}, slug="azuki").values()
    assert "floor_price_native" not in found


def test_a_floor_in_another_currency_is_not_told_as_ether() -> None:
    total = {
        "volume": 10.5,
        "sales": 5,
        "num_owners": 3,
        "floor_price": 21_000.5,
        "volume_symbol": "ETH",
        "floor_price_symbol": "USDC",
    }
    [found] = said("opensea", "stats", {"total": total, "intervals": []}, slug="azuki").values()
    assert (found["nft_volume_total"], "floor_price_native" in found) == (10.5, False)


def test_a_price_in_won_is_told_in_won_and_is_no_price_in_dollars() -> None:
    row = {"market": "KRW-BTC", "trade_price": 90_123_000.0, "acc_trade_volume_24h": 1843.5, "timestamp": 1795305599000}
    mapped = answer("upbit", "ticker", [row], markets="KRW-BTC").mapped
    assert mapped is not None
    assert [(event.entity, event.quote, event.metrics["last"]) for event in mapped.events] == [
        ("pair:bitcoin/korean-won", "korean-won", 90_123_000.0)
    ]


def test_a_code_for_a_thousand_coins_is_brought_to_one() -> None:
    row = {
        "symbol": "1000PEPEUSDT",
        "lastPrice": "0.0081",
        "openInterest": "1000000",
        "openInterestValue": "8100",
        "deliveryTime": "0",
    }
    found = said("bybit_linear", "tickers", {"retCode": 0, "result": {"list": [row]}})["perp:pepe/tether"]
    assert (found["contract_last"], found["open_interest_base"], found["open_interest"]) == (0.0081 / 1000, 1e9, 8100.0)


def test_a_hexadecimal_height_is_a_number() -> None:
    assert (
        said("publicnode", "block_number", {"jsonrpc": "2.0", "id": 1, "result": "0x15f1b2c"}, chain="ethereum")[
            "chain:ethereum"
        ]["block_height"]
        == 23_010_092.0
    )


def test_delisted_names_do_not_shift_the_numbers_beside_them() -> None:
    names = [{"name": "MATIC", "maxLeverage": 20, "isDelisted": True}, {"name": "BTC", "maxLeverage": 40}]
    numbers = [
        {"funding": "0", "openInterest": "0", "markPx": "0.39"},
        {"funding": "0.0000125", "openInterest": "2", "markPx": "61240.0"},
    ]
    found = said("hyperliquid", "contexts", [{"universe": names}, numbers])
    assert {name: metrics["mark_price"] for name, metrics in found.items()} == {"perp:bitcoin/usd-coin": 61240.0}


def test_a_market_without_a_trade_says_only_what_it_knows() -> None:
    rows = [
        ["tBTCUSD", 1.0, 1.0, 2.0, 1.0, 0.1, 0.1, 1.5, 9.5, 2.5, 0.5],
        ["tDOGE:USD", None, None, None, None, None, None, None, 5.5, None, None],
    ]
    assert set(said("bitfinex", "tickers", rows)) == {"pair:bitcoin/usd", "asset:bitcoin"}
