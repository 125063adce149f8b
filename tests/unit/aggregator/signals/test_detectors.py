"""Each detector on cases that can be checked by hand: what it finds, what it must not, and the evidence it gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from services.aggregator import bench_signals
from services.aggregator.signals import arbitrage, manipulation, pump, rugpull, wash, whales
from services.aggregator.signals.arbitrage import Costs, Limits, Usual
from services.aggregator.signals.model import Quote, Trade

AS_OF = 1_700_000_000_000


def quote(venue: str, bid: float, ask: float, age_ms: int = 200, **more: Any) -> Quote:
    return Quote(venue, bid, ask, AS_OF - age_ms, **more)


def rounds(*quotes: Quote, **more: Any) -> list[Any]:
    return arbitrage.find("pair:bitcoin/usd", quotes, AS_OF, origin="live", **more)


def test_a_gap_that_pays_names_its_legs_costs_and_ages() -> None:
    (found,) = rounds(quote("a", 99.9, 100.0), quote("b", 101.0, 101.1, age_ms=400, bid_size=50.0))
    gross = math.log(1.01) * 1e4
    assert found.kind == "arbitrage_cex_cex"
    assert found.evidence["gross_bps"] == pytest.approx(gross)
    assert found.evidence["cost_bps"] == 20.0
    assert found.evidence["net_bps"] == pytest.approx(gross - 20.0)
    assert found.evidence["size"] == pytest.approx(5050.0)
    assert found.evidence["gain"] == pytest.approx(5050.0 * (gross - 20.0) / 1e4)
    assert [(leg["side"], leg["venue"], leg["price"], leg["age_ms"]) for leg in found.evidence["legs"]] == [
        ("buy", "a", 100.0, 200.0),
        ("sell", "b", 101.0, 400.0),
    ]
    assert (found.inputs, found.expires_ms, found.origin) == (["a", "b"], AS_OF + 9_600, "live")
    assert found.confidence == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "quotes", "more"),
    [
        ("fees eat it", (quote("a", 99.9, 100.0), quote("b", 100.15, 100.2)), {}),
        ("a leg is stale", (quote("a", 99.9, 100.0), quote("b", 101.0, 101.1, age_ms=10_001)), {}),
        ("a leg is late in secret", (quote("a", 99.9, 100.0), quote("b", 101.0, 101.1, lag_ms=10_000.0)), {}),
        ("one venue alone", (quote("a", 101.0, 100.0),), {}),
        ("another asset", (quote("a", 99.9, 100.0), quote("b", 150.0, 150.1)), {}),
        ("nothing is offered", (quote("a", 99.9, 100.0, ask_size=0.0), quote("b", 101.0, 101.1)), {}),
        (
            "too wild to get both legs",
            (quote("a", 99.9, 100.0), quote("b", 100.26, 100.3)),
            {"volatility_bps": 1e3, "limits": Limits(confidence=0.6)},
        ),
        ("stated fees are higher", (quote("a", 99.9, 100.0), quote("b", 101.0, 101.1)), {"venue_bps": {"b": 100.0}}),
        (
            "the pool is too small",
            (quote("a", 99.9, 100.0), quote("d", 101.0, 101.0, kind="dex", chain="base", liquidity=100_000.0)),
            {},
        ),
    ],
)
def test_what_does_not_pay_is_no_arbitrage(name: str, quotes: tuple[Quote, ...], more: dict[str, Any]) -> None:
    assert rounds(*quotes, **more) == []


@pytest.mark.parametrize(
    ("venue_bps", "fees"), [({"a": 10.0, "b": 10.0}, "stated"), ({"a": 10.0, "c": 10.0}, "assumed"), ({}, "assumed")]
)
def test_fees_are_called_stated_where_both_venues_state_them(venue_bps: dict[str, float], fees: str) -> None:
    (found,) = rounds(quote("a", 99.9, 100.0), quote("b", 101.0, 101.1), venue_bps=venue_bps)
    assert found.evidence["fees"] == fees


def test_a_gap_that_always_was_is_a_border() -> None:
    usual = Usual()
    draw = np.random.default_rng(1)
    for _ in range(60):
        usual.learn("pair:bitcoin/usd", "a", "b", 100.0 + draw.normal())
    assert rounds(quote("a", 99.9, 100.0), quote("b", 101.0, 101.1), usual=usual) == []
    assert len(rounds(quote("a", 99.9, 100.0), quote("b", 103.0, 103.1), usual=usual)) == 1


def test_pools_pay_their_fee_gas_and_slippage_and_bridges_their_toll() -> None:
    pool = {"kind": "dex", "liquidity": 1e8}
    (near,) = rounds(quote("a", 99.9, 100.0), quote("d", 102.0, 102.0, chain="base", **pool))
    slippage = math.log1p(10_000 / 5e7) * 1e4
    assert near.kind == "arbitrage_cex_dex"
    assert near.evidence["cost_bps"] == pytest.approx(10 + 30 + slippage + 5.0)
    (far,) = rounds(
        quote("d1", 100.0, 100.0, chain="ethereum", **pool), quote("d2", 102.0, 102.0, chain="base", **pool)
    )
    assert far.kind == "arbitrage_cross_chain"
    assert far.evidence["cost_bps"] == pytest.approx(60 + 2 * slippage + 10 + 15.0)
    assert Costs().bridge_bps == 10.0


def test_the_best_round_comes_first() -> None:
    found = rounds(quote("a", 99.9, 100.0), quote("b", 101.0, 101.1), quote("c", 102.0, 102.1))
    assert [one.inputs for one in found] == [["a", "c"], ["a", "b"], ["b", "c"]]


def test_two_buys_of_one_venue_in_one_millisecond_are_a_rush_order() -> None:
    trades = [
        Trade("a", 1, 10.0, 1.0, True),
        Trade("a", 1, 10.2, 1.0, True),
        Trade("b", 1, 10.0, 2.0, True),
        Trade("a", 2, 10.0, 1.0, False),
        Trade("a", 2, 10.0, 1.0, True),
        Trade("a", 3, 10.0, 1.0),
    ]
    chunk = pump.summarise(0, trades)
    assert (chunk.rushes, chunk.trades, chunk.venues) == (1, 6, ("a", "b"))
    assert chunk.volume == pytest.approx(70.2)
    assert chunk.buys == pytest.approx(50.2 / 60.2)


def test_a_chunk_is_judged_against_its_past_only() -> None:
    assert pump.against([1.0, 1.0, 1.0], 3.0, 0.5) == 4.0
    assert pump.against([0.0, 2.0], 3.0, 0.5) == 2.0
    fresh = pump.Pump("pair:x/usd")
    wild = pump.Chunk(0, 100, 1e9, 1000, 10.0, ("a", "b"), 1.0)
    assert fresh.judge(wild, "live") is None
    for k in range(pump.LEAST_HISTORY):
        fresh.past.append(pump.Chunk(k, 0, 1000.0, 10, 1.0, ("a", "b"), 0.5))
    found = fresh.judge(wild, "live")
    assert found is not None
    assert (found.kind, found.inputs, found.evidence["rush_z"]) == ("pump", ["a", "b"], 100.0)
    assert fresh.judge(wild._replace(rushes=0), "live") is None
    assert fresh.judge(wild._replace(price=1.0), "live") is None
    assert fresh.judge(wild._replace(buys=0.5), "live") is None
    alone = fresh.judge(wild._replace(venues=("a",)), "live")
    assert alone is None or alone.confidence <= 0.6


@pytest.mark.parametrize(
    ("size", "digit", "rounded"),
    [(0.0123, 1, False), (100.0, 1, True), (95.0, 9, True), (95.1, 9, False), (0.25, 2, True)],
)
def test_sizes_have_a_first_digit_and_may_be_round(size: float, digit: int, rounded: bool) -> None:
    assert (wash.first_digit(size), wash.is_round(size)) == (digit, rounded)


def test_natural_sizes_have_no_strange_shape() -> None:
    draw = np.random.default_rng(3)
    own = wash.shape(np.exp(draw.normal(1, 2, 4000)).tolist())
    assert own.digits < 0.01
    assert own.lognormal < 0.03
    assert own.broken < 0.01
    machine = wash.shape(draw.uniform(3, 7, 4000).tolist())
    assert machine.digits > 0.08


def test_no_venue_is_washed_without_peers_to_compare() -> None:
    draw = np.random.default_rng(4)
    machine = draw.uniform(3, 7, 500).tolist()
    assert wash.find("p", {"a": machine}, AS_OF, origin="live") == []
    human = {f"v{k}": np.exp(draw.normal(1, 2, 500)).tolist() for k in range(3)}
    (found,) = wash.find("p", {"a": machine, **human}, AS_OF, origin="live")
    assert (found.evidence["venue"], found.inputs) == ("a", ["a", "v0", "v1", "v2"])
    assert wash.find("p", {"a": machine[:399], **human}, AS_OF, origin="live") == []


def test_a_level_learns_what_is_usual() -> None:
    level = manipulation.Level()
    for k in range(40):
        assert level.z(100.0, 1.0) == 0.0 or k >= 20
        level.learn(10.0 + (-1) ** k)
    assert level.mean == pytest.approx(10.0, abs=0.1)
    assert level.deviation == pytest.approx(1.0, abs=0.1)
    assert level.z(15.0, 0.1) == pytest.approx(5.0, rel=0.15)


def test_basis_needs_two_futures_sources() -> None:
    detector = manipulation.Manipulation("pair:a/usd")
    voices = [manipulation.Voice(f"v{k}", 100.0, 1e4, None) for k in range(3)]
    for k in range(30):
        assert detector.see(voices, AS_OF + k, origin="live", perpetual=100.0 + 0.001 * (-1) ** k, futures=2) == []
    assert detector.see(voices, AS_OF, origin="live", perpetual=105.0, futures=1) == []
    (found,) = detector.see(voices, AS_OF, origin="live", perpetual=105.0, futures=2)
    assert (found.kind, found.evidence["basis"]) == ("basis_torn", pytest.approx(math.log(1.05)))


def fact(value: float | bool, confidence: float = 0.95, voices: float = 2.0, age_ms: float = 0.0) -> rugpull.Fact:
    return rugpull.Fact(value, confidence, voices, age_ms)


def test_powers_alone_are_no_rug_pull_and_drained_liquidity_with_powers_is() -> None:
    token = rugpull.Token("token:base:0x1")
    powers = {
        name: fact(True)
        for name in ("owner_change_balance", "hidden_owner", "is_mintable", "slippage_modifiable", "transfer_pausable")
    }
    assert token.see({**powers, "liquidity": fact(1e6)}, AS_OF, origin="live") is None
    found = token.see({**powers, "liquidity": fact(5e4)}, AS_OF + 1000, origin="live")
    assert found is not None
    assert found.evidence["signs"]["liquidity"] == pytest.approx(0.95, abs=1e-3)  # type: ignore[index, call-overload]
    assert found.inputs == sorted([*powers, "liquidity"])


def test_one_voice_is_not_enough_for_a_rug_pull_and_old_facts_do_not_count() -> None:
    token = rugpull.Token("token:base:0x1")
    token.see({"liquidity": fact(1e6)}, AS_OF, origin="live")
    lone = {"liquidity": fact(1e4, voices=1.0), "dex_price": fact(1.0, voices=1.0)}
    assert token.see(lone, AS_OF, origin="live") is None
    honeypot = {"is_honeypot": fact(True), "is_rugged": fact(True)}
    assert token.see(honeypot, AS_OF, origin="live") is not None
    assert token.see({k: f._replace(age_ms=1e9) for k, f in honeypot.items()}, AS_OF, origin="live") is None


def move(**more: Any) -> whales.Move:
    known: dict[str, Any] = {
        "chain": "ethereum",
        "hash": "0xAB",
        "usd": 2e6,
        "confidence": 0.9,
        "voices": 1.0,
        "asset": "tether",
    }
    return whales.Move(**{**known, **more})


def test_a_transfer_is_told_once_and_once_more_when_confirmed() -> None:
    seen = whales.Whales()
    told = [
        seen.see(move(hash=h, voices=v), AS_OF, origin="live") is not None
        for h, v in (("0xAB", 1.0), ("0xab", 1.0), ("0xab", 2.0), ("0xab", 3.0), ("0xac", 2.0), ("0xac", 2.0))
    ]
    assert told == [True, False, True, False, True, False]


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, "whale_transfer"),
        ({"sender_exchange": True}, "whale_exchange_outflow"),
        ({"receiver_exchange": True}, "whale_exchange_inflow"),
        ({"sender_exchange": True, "receiver_exchange": True}, "whale_between_exchanges"),
    ],
)
def test_a_transfer_has_a_direction(more: dict[str, Any], kind: str) -> None:
    found = whales.Whales().see(move(**more), AS_OF, origin="live")
    assert found is not None
    assert (found.kind, found.entity) == (kind, "transfer:ethereum:0xab")


@pytest.mark.parametrize("more", [{"usd": 999_999.0}, {"usd": None}, {"confidence": 0.4}])
def test_small_unknown_and_doubtful_transfers_are_not_told(more: dict[str, Any]) -> None:
    assert whales.Whales().see(move(**more), AS_OF, origin="live") is None


@pytest.mark.parametrize(("name", "cases"), bench_signals.DETECTORS.items(), ids=list(bench_signals.DETECTORS))
def test_every_detector_beats_the_naive_rule_on_seeded_cases(
    name: str, cases: Callable[[Any], Iterator[bench_signals.Verdict]]
) -> None:
    verdicts = list(cases(np.random.default_rng(77)))
    ours, naive = bench_signals.rates(verdicts, False), bench_signals.rates(verdicts, True)
    weak, _, strong = bench_signals.by_strength(verdicts)
    assert ours["precision"] >= 0.9
    assert ours["f1"] > naive["f1"]
    assert strong is not None
    assert weak is not None
    assert strong >= max(0.8, weak - 0.05)


def test_figures_of_a_bench_are_counts() -> None:
    verdicts = [
        bench_signals.Verdict(True, True, True, 0.9, 0.8),
        bench_signals.Verdict(True, True, False, 0.5, 0.6),
        bench_signals.Verdict(True, False, True, 0.1),
        bench_signals.Verdict(False, True, True, 0.0, 0.6),
        bench_signals.Verdict(False, False, True),
    ]
    assert bench_signals.rates(verdicts, False) == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
    assert bench_signals.rates(verdicts, True) == pytest.approx({"precision": 0.5, "recall": 2 / 3, "f1": 4 / 7})
    assert bench_signals.by_strength(verdicts) == [0.0, 1.0, 1.0]
    assert bench_signals.sureness(verdicts) == pytest.approx(
        {"confidence": 2 / 3, "right": 2 / 3, "brier": (0.04 + 0.16 + 0.36) / 3}
    )
    assert bench_signals.sureness(verdicts[-1:]) == {"confidence": None, "right": None, "brier": None}


def depth(of: list[float]) -> list[manipulation.Voice]:
    return [manipulation.Voice(f"v{k}", 100.0, 1e5, share * 1e5) for k, share in enumerate(of)]


@pytest.mark.parametrize(
    ("left", "told"),
    [((0.3, 0.3, 0.3, 1.0), True), ((0.3, 0.3, 1.0, 1.0), False), ((0.6, 0.6, 0.6, 0.6), False), ((0.0,), False)],
    ids=["most", "half", "little", "alone"],
)
def test_depth_is_gone_when_most_venues_lost_most_of_theirs(left: tuple[float, ...], told: bool) -> None:
    detector = manipulation.Manipulation("pair:a/usd")
    for step in range(30):
        assert detector.see(depth([1.0 + 0.2 * math.sin(step + k) for k in range(4)]), AS_OF, origin="live") == []
    voices = (
        depth(list(left)) if len(left) > 1 else [v._replace(depth=None) for v in depth([1.0] * 3)] + depth([0.0])[:1]
    )
    found = detector.see(voices, AS_OF, origin="live")
    assert [one.kind for one in found] == (["depth_vanished"] if told else [])
    if told:
        assert found[0].evidence["empty"] == 3.0
        assert found[0].inputs == ["v0", "v1", "v2", "v3"]
