"""Proposals of `providers new` against finished definitions: floors for each kind of answer, and how one is judged."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import pytest

from services.collector.bench_new import answers, total
from services.collector.judging import Answer, Tally, judge
from services.collector.map import identity
from services.collector.registry import load
from services.collector.registry.model import Provider
from services.collector.vocabulary import Vocabulary, learn

EVERY = 5
"""A fifth of all saved answers (some 180) is enough to see a rule go wrong."""


@cache
def tallies() -> dict[str, Tally]:
    return {one.kind: one for one in judge(answers(load.load([load.BUILT_IN]), EVERY), identity.load())}


@pytest.mark.parametrize(
    ("kind", "rows", "right"),
    [
        ("single object", 0.25, 0.12),
        ("list below a key", 0.2, 0.12),
        ("top-level list", 0.35, 0.3),
        ("JSON-RPC", 0.3, 0.3),
        ("order book", 0.8, 0.8),
        ("feed", 1.0, 0.6),
    ],
)
def test_rows_and_metrics_of_each_kind_are_found_at_least_so_often(kind: str, rows: float, right: float) -> None:
    one = tallies()[kind]
    assert one.rows >= rows * one.answers, one
    assert one.right >= right * one.metrics, one


def test_what_is_proposed_is_hardly_ever_wrong() -> None:
    every = total(list(tallies().values()))
    assert every["answers"] >= 100
    assert every["right"] >= 200
    assert every["wrong"] <= 0.05 * every["right"], every
    assert every["time_wrong"] <= 0.3 * every["time_right"], every


def definition(fields: dict[str, Any]) -> Provider:
    emit = {"rows": "$[*]", "entity": {"kind": "pair", "symbol": "symbol"}, "quote": "pair", "fields": fields}
    return msgspec.convert(
        {
            "id": "acme", "name": "Acme", "home": "exchange", "homepage": "", "docs": "", "verified": "2026-11-22", "status": "live",
            "bases": {"main": "https://acme.example"}, "endpoints": {"e": {"path": "/x", "emits": [emit]}},
        },
        Provider,
    )  # fmt: skip


def test_a_proposal_is_judged_by_its_values() -> None:
    payload = [
        {"symbol": "BTC-USDT", "last": 5.5, "bid": 5.4, "ask": 5.6},
        {"symbol": "ETH-USDT", "last": 2.5, "bid": 2.4, "ask": 2.6},
    ]
    events = [
        {
            "category": "exchange",
            "entity": f"pair:{coin}/tether",
            "quote": "tether",
            "metrics": {"last": last, "bid": last},
        }
        for coin, last in (("bitcoin", 5.5), ("ethereum", 2.5))
    ]
    answer = Answer(definition({"last": "last", "bid": "last"}), "e", payload, {}, events, 1_795_305_600_000)
    (one,) = judge([(answer, Vocabulary())], identity.load())
    assert (one.kind, one.answers, one.proposed, one.rows, one.metrics) == ("top-level list", 1, 1, 1, 2)
    assert (one.right, one.wrong, one.more) == (1, 1, 1), "last is right, bid has another value, ask is not stated"


def test_a_vocabulary_counts_providers_and_says_what_others_mean() -> None:
    known = learn([])
    for number in range(3):
        known.add("exchange", "data.lastPrice", "last", f"p{number}")
    said = known.says("exchange", "ticker.last_price")
    assert said is not None
    assert (said.metric, said.by, said.certain) == ("last", 3, True)
    known.add("exchange", "lastPrice", "trade_price", "p9")
    said = known.says("exchange", "last_price")
    assert said is not None
    assert (said.certain, said.other) == (False, ("trade_price (1)",))
    assert known.says("market", "last_price") is None
