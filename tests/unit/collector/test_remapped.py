# ruff: noqa: E501 - a case is a line
"""Two mappings of one body: what only one gives, what differs, and what is the same."""

from __future__ import annotations

import pytest

from schemas.events import Raw, Value
from services.collector.remap import moment_ms
from services.collector.remapped import Account, Row
from services.collector.terminal import WrongCall


def event(entity: str, event_ms: int | None = 1, category: str = "market", **metrics: Value) -> Raw:
    return Raw(
        id="", category=category, provider="acme", endpoint="e", entity=entity, metrics=dict(metrics), received_ms=0,
        origin="live", event_ms=event_ms, quote="usd",
    )  # fmt: skip


def rows(account: Account) -> list[tuple[str, str, int, list[str]]]:
    return [(row.metric, row.what, row.count, row.examples) for row in account.sorted()]


def test_the_same_events_in_another_order_are_no_difference() -> None:
    account = Account(3, rows={})
    before = [event("asset:a", price=1.0), event("asset:b", price=2.0)]
    assert account.add("acme", "e", before, before[::-1]) == []
    assert (account.before, account.after, account.same, account.rows) == (2, 2, 2, {})


def test_each_kind_of_difference_is_counted_with_examples() -> None:
    account = Account(1, rows={})
    before = [
        event("asset:a", price=1.0, volume_24h=5.0), event("asset:b", price=2.0, volume_24h=6.0), event("asset:gone", price=3.0),
        event("asset:late", price=1.0),
    ]  # fmt: skip
    after = [
        event("asset:a", price=100.0, volume_24h=5.0), event("asset:b", price=200.0), event("asset:new", price=3.0),
        event("asset:late", event_ms=7, price=1.0),
    ]  # fmt: skip
    assert {one.entity for one in account.add("acme", "e", before, after)} == {
        "asset:a",
        "asset:b",
        "asset:new",
        "asset:late",
    }
    assert rows(account) == [
        ("price", "changed", 2, ["asset:a: 1.0 -> 100.0"]),
        ("(event)", "added", 1, ["asset:new"]),
        ("(event)", "removed", 1, ["asset:gone"]),
        ("(time)", "changed", 1, ["asset:late: '1' -> '7'"]),
        ("volume_24h", "removed", 1, ["asset:b: 6.0"]),
    ]


def test_what_differs_is_what_would_be_published() -> None:
    account = Account(3, rows={})
    before = [event("asset:a", price=1.0), event("asset:gone", price=9.0)]
    after = [event("asset:a", price=1.0), event("asset:b", price=2.0)]
    assert account.add("acme", "e", before, after) == [after[1]]


def test_many_statements_of_one_entity_are_told_apart_by_their_time_and_then_by_their_order() -> None:
    account = Account(3, rows={})
    trades = [event("pair:a/b", event_ms=ms, trade_price=float(ms)) for ms in (1, 2, 3)]
    account.add("acme", "e", trades, trades[1:])
    assert rows(account) == [("(event)", "removed", 1, ["pair:a/b"])]
    untimed = [event("pair:a/b", event_ms=None, trade_price=float(n)) for n in (1, 2)]
    account = Account(3, rows={})
    account.add(
        "acme",
        "e",
        untimed,
        [event("pair:a/b", event_ms=None, trade_price=1.0), event("pair:a/b", event_ms=None, trade_price=9.0)],
    )
    assert rows(account) == [("trade_price", "changed", 1, ["pair:a/b: 2.0 -> 9.0"])]


def test_a_flag_that_becomes_a_number_is_a_difference_although_they_are_equal() -> None:
    account = Account(3, rows={})
    account.add("acme", "e", [event("asset:a", x=True)], [event("asset:a", x=1.0)])
    assert rows(account) == [("x", "changed", 1, ["asset:a: True -> 1.0"])]


def test_another_outcome_is_told() -> None:
    account = Account(3, rows={})
    account.outcome("acme", "e", "OK", "OK")
    account.outcome("acme", "e", "OK", "SCHEMA_DRIFT")
    assert account.sorted() == [
        Row(provider="acme", endpoint="e", category="", metric="(outcome)", what="changed", count=1, examples=["answer: 'OK' -> 'SCHEMA_DRIFT'"])
    ]  # fmt: skip


NOW = 1_795_305_600_000
TIMES = [("90m", NOW - 5_400_000), ("24h", NOW - 86_400_000), ("3d", NOW - 259_200_000), ("2026-11-21T00:00", NOW - 86_400_000), ("2026-11-21T01:00+01:00", NOW - 86_400_000)]  # fmt: skip


@pytest.mark.parametrize(("written", "moment"), TIMES)
def test_a_time_is_so_long_ago_or_a_date(written: str, moment: int) -> None:
    assert moment_ms("--since", written, NOW) == moment


def test_another_spelling_of_a_time_is_refused() -> None:
    with pytest.raises(WrongCall, match="--since: expected 90m, 24h, 3d or 2026-11-22T10:00, got 'yesterday'"):
        moment_ms("--since", "yesterday", NOW)
