# ruff: noqa: E501 - a case is a line
"""Whole mappings: bad rows stay alone, unknown things are counted, drift is evidence, ids are the same for the same statement."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.map import identity
from services.collector.map.compile import compile_endpoint
from services.collector.map.mapped import Mapped
from services.collector.map.messages import compile_stream
from services.collector.registry.model import Provider
from services.common.errors import DefinitionError

NOW = 1_795_305_600_000
EVENT = {"path": "t", "unit": "ms"}


def provider(emits: list[dict[str, Any]], **keys: Any) -> Provider:
    endpoint = {"path": "/x", "emits": emits, **keys.pop("endpoint", {})}
    return msgspec.convert(
        {
            "id": "acme", "name": "Acme", "home": "exchange", "homepage": "", "docs": "", "verified": "2026-11-22", "status": "live",
            "bases": {"main": "https://acme.example"}, "endpoints": {"e": endpoint}, "symbols_of": "binance", **keys,
        },
        Provider,
    )  # fmt: skip


def run(one: Provider, payload: Any, received_ms: int = NOW, **params: str) -> Mapped:
    return compile_endpoint(one, "e", identity.load(), "hash").map(payload, params, received_ms, "live")


TICKERS = provider(
    [
        {
            "rows": "$[*]", "entity": {"kind": "pair", "symbol": "s"}, "quote": "pair", "event": EVENT,
            "fields": {"last": {"path": "p", "required": True}, "volume_base_24h": "v"},
        }
    ]
)  # fmt: skip


def test_bad_rows_stay_alone() -> None:
    rows: list[Any] = [
        {"s": "BTCUSDT", "p": "60000.5", "v": 3, "t": NOW - 5},
        {"s": "ETHUSDT", "p": "NaN", "v": 1},
        {"s": "LTCUSDT", "p": -4, "v": 1},
        {"s": "XRPUSDT", "p": 0.6, "v": "many", "t": 32_503_680_000_000},
        {"s": "ADAUSDT", "v": 1},
        {"s": "NOSUCHCOINUSDT", "p": 1},
        {"s": None, "p": 1},
        "garbage",
        None,
        {"s": "DOGEUSDT", "p": 0.1, "v": None, "t": 1},
    ]
    mapped = run(TICKERS, rows)
    assert [(e.entity, e.metrics, e.event_ms) for e in mapped.events] == [
        ("pair:bitcoin/tether", {"last": 60000.5, "volume_base_24h": 3.0}, NOW - 5),
        ("pair:ripple/tether", {"last": 0.6}, None),
        ("pair:dogecoin/tether", {"last": 0.1}, None),
    ]
    assert [(fault.row, fault.field, fault.reason) for fault in mapped.faults] == [
        (1, "last", "not finite"),
        (2, "last", "outside the plausible range 1e-18 to 1e+15"),
        (3, "volume_base_24h", "not a number"),
        (3, "event", "time in the future"),
        (4, "last", "required and missing"),
        (9, "event", "time before 2009"),
    ]
    assert mapped.unknown == {"NOSUCHCOINUSDT": 1, "": 3}
    assert (mapped.rows, mapped.newest_event_ms, mapped.drift) == (10, NOW - 5, [])


def test_most_rows_without_a_required_field_are_drift() -> None:
    mapped = run(TICKERS, [{"s": "BTCUSDT", "price": 1}, {"s": "ETHUSDT", "price": 2}, {"s": "LTCUSDT", "p": 80}])
    assert len(mapped.events) == 1
    assert mapped.drift == ["last: missing or unreadable in 2 of 3 rows"]


def test_a_missing_container_is_drift_and_an_empty_one_is_none() -> None:
    assert run(TICKERS, {"code": -1}).drift == ["$[*]: expected a list, got dict"]
    assert run(TICKERS, []).drift == []


def test_the_same_statement_has_the_same_id_whenever_it_is_fetched() -> None:
    row = {"s": "BTCUSDT", "p": "1.5", "t": NOW - 5}
    first, again, later = (run(TICKERS, [row], received).events[0] for received in (NOW, NOW + 60_000, NOW))
    other = run(TICKERS, [{**row, "p": "1.6"}]).events[0]
    assert first.id == again.id == later.id != other.id
    assert (first.provider, first.endpoint, first.category, first.quote, first.registry) == (
        "acme",
        "e",
        "exchange",
        "tether",
        "hash",
    )


def test_a_code_that_stands_for_many_units_is_brought_to_one() -> None:
    event = run(TICKERS, [{"s": "1000SHIBUSDT", "p": 0.0125, "v": 3}]).events[0]
    assert event.entity == "pair:shiba-inu/tether"
    assert event.metrics == {"last": 0.0125 / 1000, "volume_base_24h": 3000.0}


def test_a_code_means_what_it_meant_at_the_time() -> None:
    lunch = provider(
        [{"rows": "$[*]", "entity": {"kind": "pair", "symbol": "s"}, "quote": "pair", "fields": {"last": "p"}}]
    )
    then, now = (run(lunch, [{"s": "LUNAUSDT", "p": 80}], at).events[0].entity for at in (1_640_000_000_000, NOW))
    assert (then, now) == ("pair:terra-luna/tether", "pair:terra-luna-2/tether")


@pytest.mark.parametrize(
    ("entity", "row", "name"),
    [
        ({"kind": "asset", "id": "i", "table": "coingecko"}, {"i": "some-new-coin"}, "asset:some-new-coin"),
        ({"kind": "asset", "id": "i", "table": "coinpaprika"}, {"i": "btc-bitcoin"}, "asset:bitcoin"),
        ({"kind": "asset", "id": "i", "table": "coinmarketcap"}, {"i": 1027}, "asset:ethereum"),
        ({"kind": "asset", "contract": "c", "chain_is": "ethereum"}, {"c": "0xA0b86991c6218B36c1d19D4a2e9Eb0cE3606eB48"}, "asset:usd-coin"),
        ({"kind": "asset", "contract": "c", "chain": "n"}, {"c": "0xdac17f958d2ee523a2206206994597c13d831ec7", "n": 1}, "asset:tether"),
        ({"kind": "asset", "symbol": "s"}, {"s": "ETHBTC"}, "asset:ethereum"),
        ({"kind": "pair", "base": "b", "quote": "q"}, {"b": "xbt", "q": "eur"}, "pair:bitcoin/euro"),
        ({"kind": "pair", "base": "b", "quote_is": "usd"}, {"b": "BTC"}, "pair:bitcoin/usd"),
        ({"kind": "perp", "symbol": "s"}, {"s": "BTCUSDT"}, "perp:bitcoin/tether"),
        ({"kind": "future", "symbol": "s", "expiry": {"path": "e", "unit": "ms"}}, {"s": "BTCUSDT", "e": NOW}, "future:bitcoin/tether:2026-11-22"),
        ({"kind": "option", "symbol": "s", "expiry": {"path": "e"}, "strike": "k", "right": "r"}, {"s": "BTCUSDT", "e": NOW, "k": "100000.0", "r": "C"},
         "option:bitcoin/tether:2026-11-22:100000:call"),
        ({"kind": "chain", "chain": "c"}, {"c": "eip155:56"}, "chain:bsc"),
        ({"kind": "chain", "chain": "c"}, {"c": 137}, "chain:polygon"),
        ({"kind": "chain", "chain": "c"}, {"c": "OUR-NAME"}, "chain:base"),
        ({"kind": "token", "chain_is": "ethereum", "contract": "a"}, {"a": "0xABCD"}, "token:ethereum:0xabcd"),
        ({"kind": "token", "chain_is": "solana", "contract": "a"}, {"a": "So11A"}, "token:solana:So11A"),
        ({"kind": "protocol", "id": "p"}, {"p": "Aave-V3"}, "protocol:aave-v3"),
        ({"kind": "transfer", "chain_is": "bitcoin", "hash": "h"}, {"h": "ab"}, "transfer:bitcoin:ab"),
        ({"kind": "global", "is": "market"}, {}, "global:market"),
    ],
)  # fmt: skip
def test_entities(entity: dict[str, Any], row: dict[str, Any], name: str) -> None:
    one = provider(
        [{"category": "market", "entity": entity, "fields": {"pair_count": {"is": 1}}}], chains={"OUR-NAME": "base"}
    )
    assert [event.entity for event in run(one, row).events] == [name]


@pytest.mark.parametrize(
    ("entity", "row", "spelling"),
    [
        ({"kind": "asset", "id": "i", "table": "coinpaprika"}, {"i": "nope-nope"}, "nope-nope"),
        ({"kind": "asset", "contract": "c", "chain_is": "bsc"}, {"c": "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"}, "bsc:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"),
        ({"kind": "pair", "symbol": "s"}, {"s": "BTCBTC"}, "BTCBTC"),
        ({"kind": "chain", "chain": "c"}, {"c": 999_999_999}, "999999999"),
        ({"kind": "future", "symbol": "s", "expiry": {"path": "e"}}, {"s": "BTCUSDT", "e": 32_503_680_000_000}, "expiry 32503680000000"),
        ({"kind": "story", "url": "u"}, {"u": "javascript:alert(1)"}, "javascript:alert(1)"),
    ],
)  # fmt: skip
def test_what_no_table_knows_makes_no_event(entity: dict[str, Any], row: dict[str, Any], spelling: str) -> None:
    one = provider([{"category": "market", "entity": entity, "fields": {"pair_count": {"is": 1}}}])
    mapped = run(one, row)
    assert (mapped.events, mapped.unknown) == ([], {spelling: 1})


@pytest.mark.parametrize(
    ("spelled", "evm", "name"),
    [
        ("AB" * 32, False, "ab" * 32),
        ("AB" * 32, True, "0x" + "ab" * 32),
        ("0X" + "Ab" * 32, True, "0x" + "ab" * 32),
        ("0x" + "Ab" * 32, False, "0x" + "ab" * 32),
        (" 5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnb ", False, "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnb"),
    ],
)
def test_watchers_that_spell_a_hash_differently_mean_one_transfer(spelled: str, evm: bool, name: str) -> None:
    assert identity.canonical_hash(spelled, evm) == name


@pytest.mark.parametrize(
    ("emit", "said"),
    [
        ({"entity": {"kind": "pair", "symbol": "s"}, "fields": {"nonsense": "p"}}, "a metric of category exchange"),
        ({"entity": {"kind": "pair", "symbol": "s"}, "fields": {"price": "p"}}, "a metric of market"),
        ({"entity": {"kind": "pair"}, "fields": {"last": "p"}}, "symbol, or base with quote"),
        ({"entity": {"kind": "pair", "symbol": "s", "style": "x"}, "fields": {"last": "p"}}, "one of symbols"),
        ({"entity": {"kind": "pair", "symbol": "s"}, "quote": "dollars", "fields": {"last": "p"}}, "an asset id"),
        ({"entity": {"kind": "pair", "symbol": "s"}, "fields": {"last": {"path": "p", "unit": "gwei"}}}, "can become"),
        ({"entity": {"kind": "pair", "symbol": "s"}, "fields": {"trade_side": {"path": "p", "map": {"b": True}}}}, "expected str"),
        ({"entity": {"kind": "token", "contract": "c"}, "fields": {"last": "p"}}, "chain or chain_is"),
        ({"entity": {"kind": "pair", "symbol": "a["}, "fields": {"last": "p"}}, "not readable"),
    ],
)  # fmt: skip
def test_definitions_that_cannot_be_meant(emit: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        compile_endpoint(provider([emit]), "e", identity.load())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["BTCUSDT", "1e400", "0x1"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["s", "p", "v", "t"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_payload_raises_and_no_event_holds_a_number_that_is_none(payload: Any) -> None:
    mapped = run(TICKERS, payload)
    for event in mapped.events:
        assert all(value - value == 0.0 for value in event.metrics.values() if isinstance(value, float))
        msgspec.json.encode(event)


STREAM = {
    "url": "wss://acme.example", "unwrap": "data", "bound_by": "[0]",
    "channels": {"all": {"subscribe": [{"op": "sub"}]}},
    "ack": {"when": [{"path": "event", "eq": "sub"}], "refused": [{"path": "event", "eq": "error"}], "detail": "msg"},
    "heartbeat": {"kind": "reply", "when": [{"path": "ping", "present": True}], "send": {"pong": {"$path": "ping"}}},
    "messages": {
        "pong": {"when": [{"path": ".", "eq": "pong"}], "kind": "ignore"},
        "bind": {"when": [{"path": "event", "eq": "channel"}], "bind": {"key": "id", "params": {"symbol": "pair"}}},
        "level": {"when": [{"path": "[1]", "type": "list"}],
                  "book": {"kind": "delta", "entity": {"kind": "pair", "symbol": "$param.symbol"}, "changes": "[1]", "signed": True, "price": "[0]",
                           "size": "[2]", "count": "[1]"}},
        "trade": {"when": [{"path": "e", "eq": "trade"}], "emits": [
            {"entity": {"kind": "pair", "symbol": "s"}, "quote": "pair", "fields": {"trade_price": {"path": "p", "required": True}}}]},
    },
}  # fmt: skip


def test_messages_are_told_apart_bound_and_read() -> None:
    one = provider(
        [{"entity": {"kind": "global", "is": "market"}, "category": "market", "fields": {"pair_count": {"is": 1}}}],
        streams={"s": STREAM},
    )
    stream = compile_stream(one, "s", identity.load())
    bindings: dict[str, dict[str, str]] = {}

    def read(payload: Any) -> tuple[Any, ...]:
        heard = stream.read(payload, NOW, "live", bindings)
        events = heard.mapped.events if heard.mapped is not None else []
        return (heard.kind, heard.message, [event.metrics for event in events])

    assert read("pong") == ("ignore", "pong", [])
    assert read({"event": "sub"}) == ("ack", None, [])
    assert read({"event": "error", "msg": "no"})[0] == "refused"
    assert read({"ping": 5})[0] == "ping"
    assert read({"event": "channel", "id": 17, "pair": "BTCUSDT"})[0] == "bound"
    assert read({"data": {"e": "trade", "s": "BTCUSDT", "p": "5"}}) == ("data", "trade", [{"trade_price": 5.0}])
    assert read({"e": "trade", "s": "BTCUSDT", "p": "6"}) == ("data", "trade", [{"trade_price": 6.0}])
    assert read({"e": "other"})[0] == "unknown"
    heard = stream.read([17, [[100.5, 2, 1.5], [101.0, 1, -2.5], [99.0, 0, 1]]], NOW, "live", bindings)
    assert heard.mapped is not None
    assert [(book.entity, book.bids, book.asks) for book in heard.mapped.books] == [
        ("pair:bitcoin/tether", [(100.5, 1.5), (99.0, 0.0)], [(101.0, 2.5)])
    ]
    broken = stream.read([17, [["x", 1, 1]]], NOW, "live", bindings)
    assert broken.mapped is not None
    assert [(fault.field, fault.reason) for fault in broken.mapped.faults] == [
        ("book", "a level without price and size")
    ]
