"""What `providers new` proposes of an answer, exactly; and what it leaves out, and says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.collector.leaves import number_of, time_unit, tokens_of
from services.collector.map import identity
from services.collector.proposal import Proposal, propose
from services.collector.registry.mapping import Emit
from services.collector.vocabulary import Vocabulary
from services.collector.wording import Reason
from services.common.errors import DefinitionError

COINS: list[dict[str, Any]] = [
    {
        "id": "bitcoin", "symbol": "btc", "name": "Bitcoin", "current_price": 61234.5, "market_cap": 1.21e12, "market_cap_rank": 1,
        "total_volume": 3.1e10, "price_change_percentage_24h": 1.25, "max_supply": 21000000, "ath_date": "2024-03-14T07:10:36.635Z",
        "last_updated": "2026-11-22T10:00:00.000Z", "roi": None,
    },
    {
        "id": "ethereum", "symbol": "eth", "name": "Ethereum", "current_price": 2412.25, "market_cap": 2.9e11, "market_cap_rank": 2,
        "total_volume": 1.5e10, "price_change_percentage_24h": -0.75, "max_supply": 0, "ath_date": "2021-11-10T14:24:19.604Z",
        "last_updated": "2026-11-22T10:00:05.000Z", "roi": {"times": 40.1},
    },
]  # fmt: skip


def proposed(payload: Any, home: str = "market", **known: Any) -> Proposal:
    return propose(payload, home, identity.load(), **known)


def left(proposal: Proposal) -> dict[str, str]:
    return {reason.what: reason.because for reason in proposal.left_out}


def test_a_list_of_coins_gives_ids_a_quote_from_the_request_and_a_time() -> None:
    found = proposed(COINS, asked={"vs_currency": "usd"})
    assert found.emit() == {
        "rows": "$[*]",
        "entity": {"kind": "asset", "id": "id", "table": "coingecko"},
        "quote": "usd",
        "event": {"path": "last_updated", "unit": "iso"},
        "fields": {
            "asset_symbol": "symbol",
            "asset_name": "name",
            "price": {"path": "current_price", "required": True},
            "market_cap": "market_cap",
            "market_rank": "market_cap_rank",
            "change_24h_pct": "price_change_percentage_24h",
            "max_supply": {"path": "max_supply", "nulls": [0]},
            "ath_time": {"path": "ath_date", "time": "iso"},
        },
    }
    assert set(left(found)) == {"total_volume", "roi", "roi.times"}


def test_money_without_a_stated_currency_is_left_out_and_said() -> None:
    found = proposed(COINS)
    assert found.quote is None
    assert "price" not in found.fields
    assert left(found)["current_price"] == "money without a stated currency; say it: --quote usd"
    assert proposed(COINS, quote="euro").quote == "euro"


def test_a_currency_in_the_path_is_the_only_one_that_counts() -> None:
    rows = [
        {"slug": name, "quotes": {"USD": {"price": usd}, "EUR": {"price": usd / 2}}}
        for name, usd in (("bitcoin", 60000.0), ("ethereum", 2400.0))
    ]
    found = proposed({"data": rows})
    assert (found.rows, found.quote, found.fields) == (
        "data[*]",
        "usd",
        {"price": {"path": "quotes.USD.price", "required": True}},
    )
    assert left(found)["quotes.EUR.price"] == "not under quotes.USD: another currency"


def test_tickers_keyed_by_symbol_give_pairs_with_their_spelling() -> None:
    tickers = {
        "BTC_USDT": {"lastPrice": "61234.5", "bidPrice": "61234", "askPrice": "61235",
                     "baseVolume24h": "12.5", "volume": "9", "updated": 1795341600123},
        "ETH_USDT": {"lastPrice": "2412.25", "bidPrice": "2412", "askPrice": "2413",
                     "baseVolume24h": "43.5", "volume": "8", "updated": 1795341600456},
    }  # fmt: skip
    found = proposed({"code": 0, "data": tickers}, "exchange")
    assert found.style == {"separator": "_", "case": "upper"}
    assert found.emit() == {
        "rows": "data.*",
        "entity": {"kind": "pair", "symbol": "$key"},
        "quote": "pair",
        "event": {"path": "updated", "unit": "ms"},
        "fields": {
            "last": {"path": "lastPrice", "required": True},
            "bid": "bidPrice",
            "ask": "askPrice",
            "volume_base_24h": "baseVolume24h",
        },
    }
    assert list(left(found)) == ["volume"]


@pytest.mark.parametrize(
    ("symbols", "style"),
    [
        (("BTCUSDT", "ETHUSDT"), {"separator": "", "case": "upper"}),
        (("btc-usdt", "eth-usdt"), {"separator": "-", "case": "lower"}),
        (("BTC/USDT", "ETH/USDT"), {"separator": "/", "case": "upper"}),
    ],
)
def test_pairs_are_read_in_the_spelling_that_most_rows_have(symbols: tuple[str, str], style: dict[str, str]) -> None:
    found = proposed([{"symbol": symbol, "last": 10.5} for symbol in symbols], "exchange")
    assert (found.style, found.entity) == (style, {"kind": "pair", "symbol": "symbol"})


def test_an_exchange_says_the_price_of_a_coin_from_dollar_markets_only() -> None:
    rows = [{"symbol": symbol, "last": 10.5} for symbol in ("btc-usdt", "eth-btc")]
    pair, price = proposed(rows, "exchange").emits()
    assert pair["fields"] == {"last": {"path": "last", "required": True}}
    assert price == {
        "category": "market",
        "rows": "$[*]",
        "where": [{"any": [{"path": "symbol", "ends": end} for end in ("-usdt", "-usdc", "-usd")]}],
        "entity": {"kind": "asset", "symbol": "symbol"},
        "quote": "pair",
        "fields": {"price": {"path": "last", "required": True}},
    }
    together = [{"symbol": symbol, "last": 10.5} for symbol in ("BTCUSDT", "ETHBTC")]
    assert len(proposed(together, "exchange").emits()) == 1, "without a separator an ending does not tell the quote"


def test_sides_in_two_fields_are_a_pair() -> None:
    rows = [{"base": base, "quote": "USDT", "last": 10.5} for base in ("BTC", "ETH")]
    assert proposed(rows, "exchange").entity == {"kind": "pair", "base": "base", "quote": "quote"}


def test_bid_above_ask_says_that_the_names_mislead() -> None:
    rows = [{"symbol": symbol, "last": 10.5, "bid": 11.0, "ask": 10.0} for symbol in ("BTCUSDT", "ETHUSDT")]
    found = proposed(rows, "exchange")
    assert list(found.fields) == ["last"]
    assert left(found)["bid"] == left(found)["ask"] == "bid is above ask in 2 of 2 rows"


def test_small_changes_may_be_fractions_and_are_left_out() -> None:
    rows = [{"id": name, "change_24h_pct": 0.015, "rank": 1} for name in ("bitcoin", "ethereum")]
    assert left(proposed(rows))["change_24h_pct"].endswith("its values are so small that they may be fractions")


@pytest.mark.parametrize(
    ("home", "path", "doubt"),
    [
        ("derivatives", "openInterest", "contracts, coins or money"),
        ("derivatives", "fundingRate", "for which interval"),
        ("exchange", "priceChange24h", "a difference or percent"),
    ],
)
def test_a_name_that_leaves_the_unit_open_is_left_out_and_said(home: str, path: str, doubt: str) -> None:
    rows = [{"symbol": symbol, path: 0.5, "last": 1.5, "markPrice": 1.5} for symbol in ("BTCUSDT", "ETHUSDT")]
    found = proposed(rows, home)
    assert list(found.fields) == ["mark_price" if home == "derivatives" else "last"]
    assert doubt in left(found)[path]


def test_the_time_of_the_answer_is_not_taken_for_the_time_of_the_data() -> None:
    found = proposed({"timestamp": 1795341600, "coins": [{"id": "bitcoin", "rank": 1}, {"id": "ethereum", "rank": 2}]})
    assert found.event is None
    assert "$.timestamp" in left(found)


def test_a_single_answer_needs_to_be_told_what_it_is_about() -> None:
    found = proposed({"priceUsd": "61234.5"}, entity="asset:bitcoin")
    assert found.emit() == {
        "entity": {"kind": "asset", "is": "bitcoin"},
        "quote": "usd",
        "fields": {"price": {"path": "priceUsd", "required": True}},
    }


@pytest.mark.parametrize(
    ("payload", "home", "words"),
    [
        ([["BTCUSDT", 1.5], ["ETHUSDT", 2.5]], "exchange", 'positional arrays, whose places have no names; write the emit by hand'),
        ({"result": [[1795341600, "1"], [1795341660, "2"]]}, "exchange", "result[*]: expected rows that are objects with named fields"),
        ([{"id": "no-such-coin-1"}, {"id": "no-such-coin-2"}], "market", "expected rows that name assets of our tables"),
        ([{"id": "bitcoin", "odd": 1}, {"id": "ethereum", "odd": 2}], "market", "expected fields that are metrics of market, got id, odd"),
        ("text", "market", "expected a list or an object of objects, got str"),
    ],
)  # fmt: skip
def test_what_cannot_be_proposed_is_said_with_the_way_out(payload: Any, home: str, words: str) -> None:
    with pytest.raises(DefinitionError) as error:
        proposed(payload, home)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([1795341600], "s"),
        ([1795341600123, "1795341600456"], "ms"),
        ([1795341600123456], "us"),
        ([1795341600123456789], "ns"),
        (["2026-11-22T10:00:00Z"], "iso"),
        ([1795341600, 1795341600123], None),
        ([61234.5], None),
        ([], None),
    ],
)
def test_a_time_is_known_by_its_size_or_form(values: list[Any], unit: str | None) -> None:
    assert time_unit(values) == unit


def test_words_of_names() -> None:
    assert tokens_of("lastPrice") == ["last", "price"]
    assert tokens_of("high24hr") == ["high", "24h"]
    assert tokens_of("price_change_percentage_24h") == ["price", "change", "pct", "24h"]


@pytest.mark.parametrize(
    ("value", "number"),
    [("$1,234.5", 1234.5), ("-2.5%", -2.5), (True, None), ("1,2", None), ("abc", None), (3, 3.0), ("1e5", 100000.0)],
)
def test_numbers_in_texts(value: Any, number: float | None) -> None:
    assert number_of(value) == number


def test_a_name_that_other_definitions_use_is_understood_and_one_that_they_use_differently_is_not() -> None:
    known = Vocabulary()
    for number in range(4):
        known.add("exchange", "topBid", "bid", f"p{number}")
        known.add("exchange", "amount", ("trade_size", "volume_base_24h")[number % 2], f"p{number}")
    rows = [{"symbol": symbol, "last": 10.5, "topBid": 10.0, "amount": 7.0} for symbol in ("BTCUSDT", "ETHUSDT")]
    found = proposed(rows, "exchange", known=known)
    assert found.fields == {"last": {"path": "last", "required": True}, "bid": "topBid"}
    assert Reason("bid from topBid", "4 definitions mean it by this name, and 2 values are plausible") in found.reasons
    assert left(found)["amount"] == "this name stands for different things: volume_base_24h (2)"


def test_a_volume_needs_the_other_one_to_say_what_it_counts() -> None:
    known = Vocabulary()
    for number in range(3):
        known.add("exchange", "volume", "volume_base_24h", f"p{number}")
        known.add("exchange", "turnover", "volume_quote_24h", f"p{number}")
    rows = [{"symbol": symbol, "last": 10.0, "volume": 7.0, "turnover": 69.0} for symbol in ("BTCUSDT", "ETHUSDT")]
    assert set(proposed(rows, "exchange", known=known).fields) == {"last", "volume_base_24h", "volume_quote_24h"}
    known.add("exchange", "volume", "volume_quote_24h", "p8")
    assert (
        left(proposed(rows, "exchange", known=known))["volume"]
        == "this name stands for different things: volume_base_24h (3), volume_quote_24h (1)"
    )
    known.add("exchange", "baseVolume24h", "volume_quote_24h", "p8")
    named = [{"symbol": row["symbol"], "last": 10.0, "baseVolume24h": 7.0, "turnover": 69.0} for row in rows]
    assert proposed(named, "exchange", known=known).fields["volume_base_24h"] == "baseVolume24h", (
        "its size says that the name is right"
    )
    alone = [{"symbol": row["symbol"], "last": 10.0, "volume": 7.0} for row in rows]
    known = Vocabulary()
    for number in range(3):
        known.add("exchange", "volume", "volume_base_24h", f"p{number}")
    assert "of the base or of the money" in left(proposed(alone, "exchange", known=known))["volume"]


def test_one_thing_is_known_from_the_request() -> None:
    book = {"ts": 1795341600123, "bids": [["10.0", "1"], ["9.5", "2"]], "asks": [["10.5", "3"]]}
    found = proposed(book, "exchange", asked={"limit": "5", "market": "BTC-USDT"})
    assert (found.entity, found.style) == (
        {"kind": "pair", "symbol": "$param.market"},
        {"separator": "-", "case": "upper"},
    )
    assert found.event == {"path": "ts", "unit": "ms"}
    assert found.book == {"kind": "snapshot", "entity": found.entity, "bids": "bids", "asks": "asks"}
    assert found.fields == {
        "bid": {"each": "bids", "path": "[0]", "take": "max", "required": True},
        "bid_size": {"each": "bids", "by": "[0]", "path": "[1]", "take": "max"},
        "ask": {"each": "asks", "path": "[0]", "take": "min"},
        "ask_size": {"each": "asks", "by": "[0]", "path": "[1]", "take": "min"},
    }
    crossed = {"bids": [["10.0", "1"]], "asks": [["9.5", "3"]]}
    with pytest.raises(DefinitionError):
        proposed(crossed, "exchange", asked={"market": "BTC-USDT"})


def test_many_rows_about_one_thing_do_not_say_which_is_the_newest() -> None:
    rows = [{"last": 10.5, "bid": 10.0}, {"last": 10.6, "bid": 10.1}]
    with pytest.raises(DefinitionError):
        proposed({"data": rows}, "exchange", asked={"symbol": "BTCUSDT"})


def test_a_feed_needs_no_guess() -> None:
    found = proposed({"title": "t", "items": []}, "news", body="rss")
    assert (found.rows, found.entity, found.event) == (
        "items[*]",
        {"kind": "story", "url": "link"},
        {"path": "published", "unit": "iso"},
    )
    assert list(found.fields) == ["title", "url", "published_at", "author", "summary", "tags"]


def test_bars_without_names_are_told_by_their_values_and_mapped_when_they_are_minutes() -> None:
    bars = [[1795341600, "10.0", "12.0", "9.0", "11.0", "5"], [1795341660, "11.0", "11.5", "8.0", "8.5", "6"]]
    with pytest.raises(DefinitionError) as error:
        proposed({"result": bars}, "exchange", asked={"pair": "BTCUSDT"})
    assert 'time "[0]" in s, high: "[2]", low: "[3]", open: "[1]", close: "[4]"' in str(error.value)
    found = proposed({"result": bars}, "exchange", asked={"pair": "BTCUSDT", "interval": "1m"})
    assert found.emit() == {
        "rows": "result[*]",
        "when": [{"path": "$param.interval", "eq": "1m"}],
        "entity": {"kind": "pair", "symbol": "$param.pair"},
        "quote": "pair",
        "event": {"path": "[0]", "unit": "s"},
        "fields": {
            "candle_open_1m": "[1]",
            "candle_high_1m": "[2]",
            "candle_low_1m": "[3]",
            "candle_close_1m": {"path": "[4]", "required": True},
        },
    }


def test_the_answer_of_a_call_is_read_as_others_read_it() -> None:
    emit = msgspec.convert(
        {
            "entity": {"kind": "chain", "chain_is": "base"},
            "fields": {"gas_price_gwei": {"path": ".", "type": "hex", "unit": "wei"}},
        },
        Emit,
    )
    known = Vocabulary()
    for number in range(3):
        known.add_call("rpc", "eth_gasPrice", emit, f"p{number}")
    found = proposed("0x77359400", "rpc", entity="chain:ethereum", known=known, method="eth_gasPrice", body="jsonrpc")
    assert found.entity == {"kind": "chain", "chain_is": "ethereum"}
    assert found.fields == {"gas_price_gwei": {"path": ".", "type": "hex", "unit": "wei"}}
    with pytest.raises(DefinitionError, match="--entity chain:ethereum"):
        proposed("0x77359400", "rpc", known=known, method="eth_gasPrice", body="jsonrpc")


def test_tokens_are_named_by_their_contracts_on_the_chain_of_the_request() -> None:
    contracts = [f"0x{'a' * 39}{number}" for number in range(3)]
    payload = {"result": {contract: {"is_mintable": "1", "creator_address": "0x" + "b" * 40} for contract in contracts}}
    found = proposed(payload, "security", asked={"chain_id": "56", "contract_addresses": ",".join(contracts)})
    assert (found.rows, found.entity, found.fields) == (
        "result.*",
        {"kind": "token", "chain": "$param.chain_id", "contract": "$key"},
        {"is_mintable": "is_mintable"},
    )


def test_an_asset_is_known_by_the_market_that_was_asked_for_and_its_money_by_the_quote() -> None:
    found = proposed({"price": "61234.5", "at": 1}, "market", asked={"symbol": "BTC/USDT"})
    assert (found.entity, found.style, found.quote) == (
        {"kind": "asset", "symbol": "$param.symbol"},
        {"separator": "/", "case": "upper"},
        "pair",
    )
    assert found.fields == {"price": {"path": "price", "required": True}}
