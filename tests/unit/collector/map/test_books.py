# ruff: noqa: E501 - a case is a line
"""Levels of order books in every shape that venues write them: apart, mixed, flat, both sides in one, scaled."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import metrics
from services.collector.map import identity
from services.collector.map.books import BookReader
from services.collector.map.entities import Sources
from services.collector.map.fields import reader
from services.collector.map.mapped import Mapped
from services.collector.map.paths import top
from services.collector.map.values import time_reader
from services.collector.registry.mapping import FieldRule
from services.collector.registry.model import Book, Provider
from services.common.errors import DefinitionError

NOW = 1_795_305_600_000
PROVIDER = msgspec.convert(
    {
        "id": "acme", "name": "Acme", "home": "exchange", "homepage": "", "docs": "", "verified": "2026-11-22", "status": "live",
        "symbols_of": "binance",
    },
    Provider,
)  # fmt: skip
ENTITY = {"kind": "pair", "is": "bitcoin/tether"}


def read(payload: Any, **keys: Any) -> Mapped:
    rule = msgspec.convert({"kind": "snapshot", "entity": ENTITY, **keys}, Book)
    mapped = Mapped([], [], [], {}, [])
    BookReader(rule, Sources(PROVIDER, identity.load()), "here").read(top(payload), NOW, mapped)
    return mapped


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        pytest.param({"b": [["9.5", "2"]], "a": [["10.5", 3]]}, {"bids": "b", "asks": "a"}, id="pairs"),
        pytest.param({"b": [{"p": 9.5, "q": 2}], "a": [{"p": 10.5, "q": 3}]},
                     {"bids": "b", "asks": "a", "price": "p", "size": "q"}, id="objects"),
        pytest.param({"b": ["9.5", "2"], "a": ["10.5", "3", "11"]}, {"bids": "b[*2]", "asks": "a[*2]"}, id="flat"),
        pytest.param({"u": [{"bp": 9.5, "bs": 2, "ap": 10.5, "as": 3}]},
                     {"bids": "u", "asks": "u", "price": "bp", "size": "bs", "ask_price": "ap", "ask_size": "as"}, id="both in one"),
        pytest.param({"u": [{"bid": {"p": 9.5, "q": 2}}, {"ask": {"p": 10.5, "q": 3}}]},
                     {"bids": "u", "asks": "u", "price": "bid.p", "size": "bid.q", "ask_price": "ask.p", "ask_size": "ask.q"}, id="one side a row"),
        pytest.param({"l": [["buy", 9.5, 2], ["sell", 10.5, 3]]},
                     {"changes": "l", "side": "[0]", "sides": {"buy": "bid", "sell": "ask"}, "price": "[1]", "size": "[2]"}, id="side in the level"),
        pytest.param([[9.5, 1, 2], [10.5, 1, -3]], {"changes": ".", "size": "[2]", "count": "[1]", "signed": True}, id="signed"),
        pytest.param({"b": [[950_000_000, 20]], "a": [[1_050_000_000, 30]], "m": "0.1"},
                     {"bids": "b", "asks": "a", "price": {"path": "[0]", "decimals": 8}, "size": {"path": "[1]", "times": "^.m"}}, id="scaled"),
        pytest.param({"b": [["9.50 USD", "2,0"]], "a": [["10.50 USD", "3"]]},
                     {"bids": "b", "asks": "a", "price": {"path": "[0]", "strip": "USD"}, "size": {"path": "[1]", "strip": ",0"}}, id="stripped"),
    ],
)  # fmt: skip
def test_every_shape_gives_the_same_book(payload: Any, rule: dict[str, Any]) -> None:
    mapped = read(payload, **rule)
    assert mapped.faults == []
    assert [(book.entity, book.quote, book.bids, book.asks) for book in mapped.books] == [
        ("pair:bitcoin/tether", "tether", [(9.5, 2.0)], [(10.5, 3.0)])
    ]


@pytest.mark.parametrize(
    ("payload", "rule", "said"),
    [
        ({"b": [[None, 1]], "a": []}, {}, "a level without price and size"),
        ({"b": [["x", 1]], "a": []}, {}, "a level without price and size"),
        ({"b": [[-1, 1]], "a": []}, {}, "a level with a price or size below zero"),
        ({"b": {"9.5": 1}, "a": []}, {}, "b: expected a list of levels"),
        ({"b": [{"p": 1}], "a": []}, {"price": "p", "size": "q", "ask_price": "ap"}, "a level without price and size"),
    ],
)
def test_a_level_that_cannot_be_read_spoils_its_book(payload: Any, rule: dict[str, Any], said: str) -> None:
    mapped = read(payload, **{"bids": "b", "asks": "a", **rule})
    assert mapped.books == []
    assert [fault.reason for fault in mapped.faults] == [said]


def test_a_deleted_level_of_a_signed_book_keeps_its_side() -> None:
    mapped = read([[9.5, 0, 1], [10.5, 0, -1]], changes=".", size="[2]", count="[1]", signed=True, kind="delta")
    assert [(book.bids, book.asks) for book in mapped.books] == [([(9.5, 0.0)], [(10.5, 0.0)])]


def test_a_book_without_levels_is_the_authors_fault() -> None:
    with pytest.raises(DefinitionError, match="bids and asks, or changes"):
        read({})


LEVELS = st.lists(
    st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=8, unique_by=lambda level: level[0]
)


@given(LEVELS, st.randoms(use_true_random=False))
def test_the_size_of_the_best_level_does_not_depend_on_its_place(levels: list[tuple[int, int]], chance: Random) -> None:
    shuffled = [[str(price), size] for price, size in levels]
    chance.shuffle(shuffled)
    flat = [part for level in shuffled for part in level]
    for take, pick in (("max", max), ("min", min)):
        price, size = pick(levels)
        for each, row in (("b", {"b": shuffled}), ("b[*2]", {"b": flat})):
            rule = FieldRule(each=each, by="[0]", path="[1]", take=take)  # type: ignore[arg-type]
            assert reader(rule, metrics.load()["bid_size"], [], "here")(row, top(row)) == float(size), price


@given(st.integers(1_262_304_000_000, 4_102_444_800_000))
def test_a_time_by_its_size_is_read_in_every_unit(moment_ms: int) -> None:
    read_epoch = time_reader("epoch")
    assert read_epoch(moment_ms) == read_epoch(str(moment_ms * 1000)) == read_epoch(moment_ms * 1_000_000) == moment_ms
    assert read_epoch(moment_ms // 1000) == moment_ms // 1000 * 1000
