"""The board turns records into signals: which record feeds which detector, and what is told twice."""

from __future__ import annotations

import math

import pytest

from schemas.events import Fused, FusedMetric, Raw, Signal, Source, Value
from services.aggregator.signals import board
from services.aggregator.signals.board import Board, topic_of

AS_OF = 1_700_000_000_000


def asset_of(chain: str, contract: str) -> str | None:
    return "coin" if contract == "0xc" else None


def metric(
    value: Value,
    by: dict[str, Value] | None = None,
    voices: float = 2.0,
    confidence: float = 0.9,
    age_ms: int = 100,
    why: dict[str, str] | None = None,
) -> FusedMetric:
    said = [Source(provider=p, value=v, age_ms=age_ms, why=(why or {}).get(p)) for p, v in (by or {}).items()]
    return FusedMetric(value=value, confidence=confidence, sources=len(said), voices=voices, as_of_ms=AS_OF, by=said)


def record(category: str, entity: str, metrics: dict[str, FusedMetric], as_of_ms: int = AS_OF) -> Fused:
    return Fused(entity=entity, category=category, version=1, as_of_ms=as_of_ms, origin="sandbox", metrics=metrics)


def quotes(high: float = 101.0, why: dict[str, str] | None = None, as_of_ms: int = AS_OF) -> Fused:
    return record(
        "exchange",
        "pair:coin/usd",
        {
            "bid": metric(100.0, {"a": 99.9, "b": high, "c": 99.9}, why=why),
            "ask": metric(100.1, {"a": 100.0, "b": high + 0.1, "c": 100.0}, why=why),
        },
        as_of_ms,
    )


def test_venues_of_a_pair_are_compared() -> None:
    found = Board(asset_of).fused(quotes())
    assert sorted((one.kind, tuple(one.inputs)) for one in found) == [
        ("arbitrage_cex_cex", ("a", "b")),
        ("arbitrage_cex_cex", ("b", "c")),
    ]
    assert {topic_of(one) for one in found} == {"signals.arbitrage"}


@pytest.mark.parametrize("why", ["unit", "frozen", "stale", "no_rate"])
def test_a_broken_quote_is_no_leg(why: str) -> None:
    assert Board(asset_of).fused(quotes(why={"b": why})) == []


def test_a_quote_that_fusion_finds_far_off_is_still_a_leg() -> None:
    assert len(Board(asset_of).fused(quotes(why={"b": "range"}))) == 2


def test_a_learned_delay_ages_a_leg() -> None:
    assert Board(asset_of, {"b": 30_000.0}).fused(quotes()) == []


def test_the_same_finding_is_not_told_again_at_once() -> None:
    seen = Board(asset_of)
    told = [len(seen.fused(quotes(as_of_ms=AS_OF + ms))) for ms in (0, 100, 4_900)]
    assert told == [2, 0, 0]


def test_pools_are_compared_with_venues_in_dollars() -> None:
    seen = Board(asset_of)
    seen.fused(record("market", "asset:usd", {"price": metric(1.0)}))
    pool = {"dex_price": metric(103.0), "liquidity": metric(1e8)}
    assert seen.fused(record("dex", "token:base:0xc", pool)) == []
    found = seen.fused(quotes(high=100.0))
    assert {one.kind for one in found} == {"arbitrage_cex_dex"}
    assert {one.entity for one in found} == {"asset:coin"}


def test_one_voice_about_a_pool_is_not_enough() -> None:
    seen = Board(asset_of)
    seen.fused(record("dex", "token:base:0xc", {"dex_price": metric(103.0, voices=1.0), "liquidity": metric(1e8)}))
    assert seen.fused(quotes(high=100.0)) == []


def test_the_same_asset_on_two_chains_is_compared() -> None:
    seen = Board(asset_of)
    seen.fused(record("dex", "token:base:0xc", {"dex_price": metric(100.0), "liquidity": metric(1e9)}))
    found = seen.fused(record("dex", "token:ethereum:0xc", {"dex_price": metric(103.0), "liquidity": metric(1e9)}))
    assert [one.kind for one in found] == ["arbitrage_cross_chain"]
    assert seen.fused(record("dex", "token:ethereum:0xd", {"dex_price": metric(200.0), "liquidity": metric(1e9)})) == []


def test_security_and_dex_records_of_a_token_meet() -> None:
    seen = Board(asset_of)
    seen.fused(record("dex", "token:base:0xf", {"liquidity": metric(1e6), "dex_price": metric(1.0)}))
    seen.fused(
        record(
            "security",
            "token:base:0xf",
            {name: metric(True) for name in ("hidden_owner", "owner_change_balance", "slippage_modifiable")},
        )
    )
    (found,) = seen.fused(
        record("dex", "token:base:0xf", {"liquidity": metric(2e4), "dex_price": metric(0.1)}, AS_OF + 60_000)
    )
    assert (found.kind, topic_of(found)) == ("rug_pull", "signals.anomaly")
    assert set(found.inputs) == {
        "liquidity",
        "dex_price",
        "hidden_owner",
        "owner_change_balance",
        "slippage_modifiable",
    }


def test_a_large_transfer_is_a_whale() -> None:
    seen = Board(asset_of)
    found = seen.fused(
        record(
            "whale",
            "transfer:ethereum:0x1",
            {
                "transfer_value": metric(5e6, {"a": 5e6, "b": 4.9e6}),
                "transfer_asset": metric("tether"),
                "transfer_type": metric("exchange_in"),
                "transfer_to_owner": metric("An Exchange"),
            },
        )
    )
    assert [(one.kind, one.evidence["to"]) for one in found] == [("whale_exchange_inflow", "An Exchange")]
    assert found[0].inputs == ["a", "b", "chain:ethereum"]
    assert seen.fused(record("whale", "transfer:ethereum:0x2", {"transfer_asset": metric("tether")})) == []


def trade(provider: str, at_ms: int, price: float, size: float, side: str = "buy") -> Raw:
    return Raw(
        id=f"{provider}{at_ms}{price}",
        category="exchange",
        provider=provider,
        endpoint="trades",
        entity="pair:coin/usd",
        metrics={"trade_price": price, "trade_size": size, "trade_side": side},
        received_ms=at_ms,
        event_ms=at_ms,
        origin="sandbox",
    )


def test_trades_feed_the_pump_detector() -> None:
    seen, found = Board(asset_of), list[Signal]()
    for chunk in range(30):
        at = AS_OF + chunk * 25_000
        pumped = chunk == 28
        for k in range(10 if not pumped else 200):
            price = 1.0 + 0.0005 * math.sin(k + chunk) + (0.1 if pumped else 0.0)
            found += seen.trade(
                trade("ab"[k % 2], at + (k // 8) * 300, price, 5.0 + k % 7, "buy" if pumped or k % 3 else "sell")
            )
    assert [one.kind for one in found] == ["pump"]


def test_what_is_no_trade_is_passed_over() -> None:
    raw = trade("a", AS_OF, 1.0, 1.0)
    for wrong in (
        {"trade_price": 1.0},
        {"trade_price": 0.0, "trade_size": 1.0},
        {"trade_price": "x", "trade_size": 1.0},
    ):
        assert (
            Board(asset_of).trade(Raw(**{**{f: getattr(raw, f) for f in raw.__struct_fields__}, "metrics": wrong}))
            == []
        )


def test_memory_is_bounded() -> None:
    recent = board.Recent(lambda key: [key], most=3)
    for key in "abcda":
        recent.of(key)
    assert list(recent) == ["c", "d", "a"]
