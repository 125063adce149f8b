# ruff: noqa: E501 - a case is a line
"""An answer that is no longer what was proven is told in words, its field is held back, and the others go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.events import Held, Raw
from services.collector.drift.guard import Guard, Verdict, without
from services.collector.guards import Guards, Lesson, watched
from services.collector.map import identity
from services.collector.map.compile import compile_endpoint, event_id
from services.collector.registry import load as loading
from services.collector.registry.model import Book, Provider

NOW = 1_795_305_600_000
COINS = ("BTC", "ETH", "SOL", "XRP", "ADA")
Row = dict[str, Any]
PROVIDER = msgspec.convert(
    {
        "id": "acme", "name": "Acme", "home": "exchange", "homepage": "", "docs": "", "verified": "2026-11-22", "status": "live",
        "bases": {"main": "https://acme.example"}, "symbols_of": "binance",
        "endpoints": {
            "e": {
                "path": "/x",
                "emits": [
                    {
                        "rows": "data[*]", "where": [{"path": "kind", "eq": "spot"}],
                        "entity": {"kind": "pair", "symbol": "s"}, "quote": "pair", "event": {"path": "t", "unit": "ms"},
                        "fields": {
                            "last": {"path": "last_price", "required": True}, "bid": "quote.bid", "volume_base_24h": ["vol", "v"],
                            "pair_status": {"path": "state", "map": {"on": "trading", "off": "halted"}},
                        },
                    }
                ],
            }
        },
    },
    Provider,
)  # fmt: skip
EMITS = PROVIDER.endpoints["e"].emits
MAPPER = compile_endpoint(PROVIDER, "e", identity.load(), "hash")


def row(coin: str, number: int) -> Row:
    return {
        "s": f"{coin}USDT", "kind": "spot", "last_price": f"{100 + number}.5", "quote": {"bid": 100 + number}, "vol": 12.5,
        "t": NOW - 5, "state": "on", "note": None,
    }  # fmt: skip


def answer(change: Callable[[Row], Any] = lambda one: one, coins: tuple[str, ...] = COINS) -> Any:
    return {"data": [change(row(coin, number)) or row(coin, number) for number, coin in enumerate(coins)]}


def guard() -> Guard:
    taught = [Lesson("", MAPPER.map(answer(), {}, NOW, "live"))]
    return Guard(lambda: watched(EMITS, "acme.e", taught))


def judge(one: Guard, payload: Any, times: int = 1) -> Verdict:
    for _ in range(times - 1):
        one.judge(MAPPER.map(payload, {}, NOW, "live"))
    return one.judge(MAPPER.map(payload, {}, NOW, "live"))


def renamed(old: str, new: str) -> Callable[[Row], Any]:
    return lambda one: {new if name == old else name: value for name, value in one.items()}


def put(name: str, value: Any) -> Callable[[Row], Any]:
    return lambda one: one | {name: value}


DRIFTS = [
    ("required renamed", renamed("last_price", "lastPrice"), "last: `last_price` is missing in all 5 rows; `lastPrice` is new and like it: renamed?", 0, set()),
    ("required gone", lambda one: {k: v for k, v in one.items() if k != "last_price"}, "last: `last_price` is missing in all 5 rows", 0, set()),
    ("inner object renamed", renamed("quote", "quotes"), "bid: `quote.bid` is missing in all 5 rows; `quotes` is new and like it: renamed?", 0, {"last", "volume_base_24h", "pair_status"}),
    ("entity renamed", renamed("s", "sym"), "entity: `s` is missing in all 5 rows", 0, set()),
    ("time renamed", renamed("t", "ts"), "event: `t` is missing in all 5 rows; `ts` is new and like it: renamed?", 0, {"last", "bid", "volume_base_24h", "pair_status"}),
    ("number becomes an object", put("vol", {"base": 12.5}), "volume_base_24h: `vol or v` is an object like {'base': 12.5} in all 5 rows, expected a number", 0, {"last", "bid", "pair_status"}),
    ("number becomes a word", put("vol", "12.5 BTC"), "volume_base_24h: `vol or v` is a word like '12.5 BTC' in all 5 rows, expected a number", 0, {"last", "bid", "pair_status"}),
    ("number becomes a flag", put("vol", True), "volume_base_24h: `vol or v` is a bool like True in all 5 rows, expected a number", 0, {"last", "bid", "pair_status"}),
    ("a word that nobody knows", put("state", "TRADING"), "pair_status: `state` says 'TRADING' in all 5 rows, expected one of off, on", 0, {"last", "bid", "volume_base_24h"}),
    ("values that cannot be", put("vol", 1e40), "volume_base_24h: `vol` cannot be used in 5 rows: outside the plausible range 0 to 1e+18, got 1e+40", 0, {"last", "bid", "pair_status"}),
    ("the filter's path renamed", renamed("kind", "kinds"), "filter: `kind` is missing in all 5 rows; `kinds` is new and like it: renamed?", 0, set()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words", "held", "left"), [case[1:] for case in DRIFTS], ids=[case[0] for case in DRIFTS]
)
def test_a_drift_is_told_in_words_the_rest_flows_and_an_answer_as_proven_ends_it(
    change: Callable[[Row], Any], words: str, held: int, left: set[str]
) -> None:
    one = guard()
    assert judge(one, answer()).differences == ()
    drifted = judge(one, answer(change), 4)
    assert words in [str(difference) for difference in drifted.differences]
    assert drifted.held == held
    assert {name for event in drifted.events for name in event.metrics} == left
    settled = judge(one, answer())
    assert (settled.differences, settled.changed, len(settled.events)) == ((), True, 5)
    assert judge(one, answer()).changed is False


def test_a_drift_is_told_as_new_once() -> None:
    one = guard()
    assert [judge(one, answer(renamed("quote", "quotes"))).changed for _ in range(3)] == [True, False, False]


NORMAL = [
    ("a null in every row", put("vol", None)),
    ("a null where an object was", put("quote", None)),
    ("an optional key that some rows lack", lambda one: {k: v for k, v in one.items() if k != "vol" or one["s"] == "BTCUSDT"}),
    ("whole numbers for fractions", put("vol", 12)),
    ("a number as text", put("vol", "12.5")),
    ("an empty text", put("vol", "")),
    ("zero", put("vol", 0)),
    ("a key more", put("extra", {"a": 1})),
    ("one odd word", lambda one: one | ({"state": "odd"} if one["s"] == "BTCUSDT" else {})),
    ("one broken row", lambda one: one | ({"vol": "many"} if one["s"] == "ETHUSDT" else {})),
    ("the second of two paths", renamed("vol", "v")),
    ("a time as text", put("t", str(NOW - 7))),
    ("other states", put("state", "off")),
    ("rows of another kind", lambda one: one | ({"kind": "margin"} if one["s"] != "BTCUSDT" else {})),
]  # fmt: skip


@pytest.mark.parametrize("change", [case[1] for case in NORMAL], ids=[case[0] for case in NORMAL])
def test_what_providers_do_every_day_is_no_drift(change: Callable[[Row], Any]) -> None:
    one = guard()
    verdict = judge(one, answer(change), 30)
    assert (verdict.differences, verdict.held) == ((), 0)
    assert verdict.events == MAPPER.map(answer(change), {}, NOW, "live").events


@pytest.mark.parametrize("payload", [{"data": []}, {"data": None}], ids=["no rows", "null for rows"])
def test_an_empty_answer_neither_raises_nor_ends_a_drift(payload: Any) -> None:
    one = guard()
    assert judge(one, payload, 30).differences == ()
    assert judge(one, answer(renamed("quote", "quotes"))).differences
    assert judge(one, payload).differences
    assert judge(one, answer()).differences == ()


def test_rows_that_are_gone_are_a_drift_of_the_rows() -> None:
    one = guard()
    verdict = judge(one, {"rows": answer()["data"]}, 3)
    assert [str(difference) for difference in verdict.differences] == ["rows: data[*]: expected a list, got nothing"]


def test_one_row_alone_must_show_it_three_times_but_a_new_spelling_once() -> None:
    one = guard()
    odd = answer(put("vol", "many"), ("BTC",))
    assert [bool(judge(one, odd).differences) for _ in range(3)] == [False, False, True]
    two = guard()
    assert judge(two, answer(renamed("last_price", "lastPrice"), ("BTC",))).differences


def test_an_optional_key_that_one_row_proved_may_be_missing() -> None:
    taught = [Lesson("", MAPPER.map(answer(coins=("BTC",)), {}, NOW, "live"))]
    one = Guard(lambda: watched(EMITS, "acme.e", taught))
    gone = answer(lambda row: {k: v for k, v in row.items() if k != "vol"})
    assert judge(one, gone, 30).differences == ()
    assert [one.metric for one in judge(guard(), gone, 4).differences] == ["volume_base_24h"]


def test_a_jump_of_unit_is_held_back_and_the_rest_of_the_row_goes_on_under_an_id_of_its_own() -> None:
    one = guard()
    judge(one, answer())
    verdict = judge(one, answer(lambda row: row | {"last_price": float(row["last_price"]) * 100}))
    assert [(d.what, d.metric) for d in verdict.differences] == [("unit", "last")]
    assert verdict.held == 5
    first = verdict.events[0]
    assert first.metrics == {"bid": 100.0, "volume_base_24h": 12.5, "pair_status": "trading"}
    assert first.id == event_id("acme", "e", "exchange", "pair:bitcoin/tether", NOW - 5, "tether", dict(first.metrics))


@pytest.mark.parametrize(
    ("accepted", "metrics"), [({"last"}, ["volume_base_24h"]), ({"*"}, []), (set(), ["last", "volume_base_24h"])]
)
def test_what_an_operator_accepts_goes_out_as_it_comes(accepted: set[str], metrics: list[str]) -> None:
    taught = [Lesson("", MAPPER.map(answer(), {}, NOW, "live"))]
    one = Guard(lambda: watched(EMITS, "acme.e", taught), accepted=frozenset(accepted))
    judge(one, answer())
    verdict = judge(one, answer(lambda row: row | {"last_price": float(row["last_price"]) * 100, "vol": "many"}))
    assert sorted(difference.metric for difference in verdict.differences) == metrics
    assert verdict.held == (5 if "last" in metrics else 0)


def test_what_is_accepted_is_named_by_provider_endpoint_and_metric() -> None:
    registry = loading.Registry({"acme": PROVIDER}, {"acme": loading.Loaded(PROVIDER, Path(), "0")}, "0")
    guards = Guards(registry, identity.load(), ["acme/e/last", "acme/e/bid", "other/e"])
    assert guards.endpoint("acme", "e")._accepted == {"last", "bid"}
    assert Guards(registry, identity.load(), ["acme/e"]).endpoint("acme", "e")._accepted == {"*"}


def test_an_event_of_which_nothing_is_left_is_not_sent() -> None:
    events = MAPPER.map(answer(), {}, NOW, "live").events
    assert without(events, {"last", "bid", "volume_base_24h", "pair_status"}) == ([], 20)
    assert without(events, {"spread"}) == (events, 0)


def test_the_structure_is_looked_at_when_it_looks_new_and_once_in_a_hundred() -> None:
    one = guard()
    judge(one, answer(), 100)
    assert one.checks == 1
    judge(one, answer())
    assert one.checks == 2
    judge(one, answer(put("vol", None)), 5)
    assert one.checks == 3
    judge(one, answer(renamed("quote", "quotes")), 2)
    assert one.checks == 5, "every answer while something is wrong"


def test_messages_are_looked_at_one_in_so_many_until_something_is_wrong() -> None:
    taught = [Lesson("", MAPPER.map(answer(), {}, NOW, "live"))]
    one = Guard(lambda: watched(EMITS, "acme.e", taught), every=16)
    bad = answer(renamed("quote", "quotes"))
    judge(one, answer())
    assert judge(one, bad, 15).differences == ()
    assert judge(one, bad).differences != ()
    assert judge(one, bad).differences != ()
    assert judge(one, answer()).differences == ()


def test_without_proofs_only_units_are_watched() -> None:
    one = Guard(lambda: watched(EMITS, "acme.e", []))
    assert judge(one, answer(renamed("quote", "quotes")), 30).differences == ()
    judge(one, answer())
    assert judge(one, answer(lambda row: row | {"last_price": float(row["last_price"]) * 1000})).held == 5


BOOK = msgspec.convert(
    {
        "kind": "delta", "entity": {"kind": "pair", "symbol": "s"}, "bids": "b", "asks": "a",
        "sequence": {"rule": "contiguous", "last": "u"}, "event": {"path": "t", "unit": "ms"},
    },
    Book,
)  # fmt: skip
BOOK_MAPPER = compile_endpoint(
    msgspec.structs.replace(
        PROVIDER, endpoints={"e": msgspec.structs.replace(PROVIDER.endpoints["e"], emits=[], book=BOOK)}
    ),
    "e",
    identity.load(),
)


def book(number: int, **changes: Any) -> Any:
    return {"s": "BTCUSDT", "b": [["100.5", "1"]], "a": [["100.6", "2"]], "u": number, "t": NOW - 5} | changes


def heard(payload: Any) -> Any:
    return BOOK_MAPPER.map(payload, {}, NOW, "live")


def top_of_book() -> list[Raw]:
    """What the local book says after a change."""
    name = event_id("acme", "e", "exchange", "pair:bitcoin/tether", None, "tether", {"bid": 100.5, "ask": 100.6})
    return [
        Raw(
            id=name, category="exchange", provider="acme", endpoint="e", entity="pair:bitcoin/tether", quote="tether",
            metrics={"bid": 100.5, "ask": 100.6}, received_ms=NOW, origin="live",
        )
    ]  # fmt: skip


BOOK_DRIFTS = [
    ("a side renamed", {"b": ..., "bids": [["100.5", "1"]]}, "book: `b` is missing in 1 of 1 rows"),
    ("a side is an object", {"b": {"100.5": "1"}}, "book: `b` is an object like {'100.5': '1'} in 1 of 1 rows, expected a list"),
    ("levels of another form", {"b": [{"p": 100.5}]}, "book: `levels` cannot be used in one row: a level without price and size, got {'p': 100.5}"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"), [case[1:] for case in BOOK_DRIFTS], ids=[case[0] for case in BOOK_DRIFTS]
)
def test_an_order_book_that_changes_its_form_is_told_and_its_top_is_held_back(
    changes: dict[str, Any], words: str
) -> None:
    taught = [Lesson("", heard(book(number))) for number in range(4)]
    one = Guard(lambda: watched([], "acme.e", taught, BOOK))
    assert one.judge(heard(book(5)), top_of_book()).events == top_of_book()
    odd = {name: value for name, value in book(6, **changes).items() if value is not ...}
    verdicts = [one.judge(heard(odd), top_of_book()) for _ in range(20)]
    assert words in [str(difference) for difference in verdicts[-1].differences]
    assert (verdicts[-1].events, verdicts[-1].held) == ([], 2)
    settled = one.judge(heard(book(7)), top_of_book())
    assert (settled.events, settled.differences) == (top_of_book(), ())


def test_a_change_of_one_side_alone_is_every_days_book() -> None:
    taught = [Lesson("", heard(book(number))) for number in range(3)]
    taught.append(Lesson("", heard({name: value for name, value in book(4).items() if name != "a"})))
    one = Guard(lambda: watched([], "acme.e", taught, BOOK))
    without_asks = {name: value for name, value in book(5).items() if name != "a"}
    assert [one.judge(heard(without_asks), []).words for _ in range(30)] == [""] * 30
    assert one.judge(heard(book(6, b=[], a=[])), []).words == ""


def test_a_process_goes_on_holding_back_what_the_one_before_held_unless_the_definition_changed() -> None:
    registry = loading.Registry({"acme": PROVIDER}, {"acme": loading.Loaded(PROVIDER, Path(), "v1")}, "0")
    told: list[Held] = []
    first = Guards(registry, identity.load(), tell=told.append).endpoint("acme", "e")
    judge(first, answer())
    cents = answer(lambda row: row | {"last_price": float(row["last_price"]) * 100})
    assert judge(first, cents).held == 5
    assert judge(first, cents).held == 5
    assert [(one.powers, len(one.levels["last"]), one.registry) for one in told] == [({"last": 2}, 5, "v1")]
    heir: list[Held] = []
    second = Guards(registry, identity.load(), held=told, tell=heir.append).endpoint("acme", "e")
    verdict = judge(second, cents)
    assert (verdict.held, [one.metric for one in verdict.differences]) == (5, ["last"])
    assert judge(second, answer()).differences == ()
    assert [one.powers for one in heir] == [{}], "it is over, and said so"
    changed = loading.Registry({"acme": PROVIDER}, {"acme": loading.Loaded(PROVIDER, Path(), "v2")}, "0")
    assert judge(Guards(changed, identity.load(), held=told).endpoint("acme", "e"), cents).held == 0
