"""Rules of the local order book."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.map.mapped import BookChange
from services.collector.stream.book import CROSSED_MAX, WAITING_MAX, Book, Top, Verdict


def change(kind: str, bids: list[tuple[float, float]], asks: list[tuple[float, float]], **numbers: Any) -> BookChange:
    return BookChange(entity="pair:bitcoin/tether", quote="tether", kind=kind, bids=bids, asks=asks, **numbers)


def snapshot(last: int | None = None) -> BookChange:
    return change("snapshot", [(99.0, 1.0), (98.0, 2.0)], [(101.0, 3.0), (102.0, 4.0)], last=last)


def delta(
    first: int | None = None, last: int | None = None, previous: int | None = None, price: float = 99.5
) -> BookChange:
    return change("delta", [(price, 5.0)], [], first=first, last=last, previous=previous)


def test_a_snapshot_gives_the_top_and_a_delta_changes_it() -> None:
    book = Book()
    assert book.apply(snapshot()) == Verdict.CHANGED
    assert book.top == Top(99.0, 1.0, 101.0, 3.0)
    assert book.apply(delta()) == Verdict.CHANGED
    assert book.top == Top(99.5, 5.0, 101.0, 3.0)


def test_a_change_below_the_top_is_taken_without_a_new_top() -> None:
    book = Book()
    book.apply(snapshot())
    assert book.apply(change("delta", [(97.0, 9.0)], [(102.0, 1.0)])) == Verdict.SAME
    assert book.levels == (3, 2)


def test_size_zero_removes_a_level_and_the_next_best_shows() -> None:
    book = Book()
    book.apply(snapshot())
    assert book.apply(change("delta", [(99.0, 0.0)], [(101.0, 0.0)])) == Verdict.CHANGED
    assert book.top == Top(98.0, 2.0, 102.0, 4.0)


def test_an_empty_side_has_no_best() -> None:
    book = Book()
    book.apply(snapshot())
    book.apply(change("delta", [(99.0, 0.0), (98.0, 0.0)], []))
    assert book.top == Top(None, None, 101.0, 3.0)


def test_removing_an_unknown_level_is_nothing() -> None:
    book = Book()
    book.apply(snapshot())
    assert book.apply(change("delta", [(50.0, 0.0)], [])) == Verdict.SAME


def test_a_new_size_at_the_best_price_is_a_new_top() -> None:
    book = Book()
    book.apply(snapshot())
    assert book.apply(change("delta", [(99.0, 7.0)], [])) == Verdict.CHANGED
    assert book.top.bid_size == 7.0


def test_orders_of_one_price_in_a_whole_book_are_one_level() -> None:
    book = Book()
    book.apply(
        change("snapshot", [(99.0, 1.25), (99.0, 2.25), (99.0, 0.0)], [(101.0, 0.75), (102.0, 1.5), (101.0, 0.25)])
    )
    assert book.top == Top(99.0, 3.5, 101.0, 1.0)
    assert book.levels == (1, 2)


def test_top_messages_replace_the_book_each_time() -> None:
    book = Book()
    book.apply(change("top", [(10.0, 1.0)], [(11.0, 1.0)]))
    assert book.apply(change("top", [(9.0, 1.0)], [(12.0, 1.0)])) == Verdict.CHANGED
    assert book.levels == (1, 1)


SEQUENCES = [
    ("contiguous", delta(last=11), Verdict.CHANGED),
    ("contiguous", delta(last=12), Verdict.GAP),
    ("contiguous", delta(last=10), Verdict.OLD),
    ("range", delta(first=11, last=13), Verdict.CHANGED),
    ("range", delta(first=9, last=13), Verdict.CHANGED),
    ("range", delta(first=12, last=13), Verdict.GAP),
    ("range", delta(first=8, last=10), Verdict.OLD),
    ("previous", delta(previous=10, last=15), Verdict.CHANGED),
    ("previous", delta(previous=9, last=15), Verdict.CHANGED),
    ("previous", delta(previous=11, last=15), Verdict.GAP),
    ("previous", delta(previous=8, last=10), Verdict.OLD),
    ("previous", delta(previous=10, last=10), Verdict.CHANGED),
    ("rising", delta(last=99), Verdict.CHANGED),
    ("rising", delta(last=10), Verdict.OLD),
    ("none", delta(last=3), Verdict.CHANGED),
]


@pytest.mark.parametrize(("rule", "update", "expected"), SEQUENCES)
def test_the_first_delta_after_a_snapshot(rule: Any, update: BookChange, expected: Verdict) -> None:
    book = Book(rule)
    book.apply(snapshot(last=10))
    assert book.apply(update) == expected
    assert book.needs_snapshot == (expected == Verdict.GAP)


def test_once_bridged_the_previous_number_must_match_exactly() -> None:
    book = Book("previous")
    book.apply(snapshot(last=10))
    book.apply(delta(previous=9, last=15))
    assert book.apply(delta(previous=14, last=20, price=99.6)) == Verdict.GAP


def test_deltas_that_came_before_the_snapshot_are_applied_after_it() -> None:
    book = Book("range")
    assert book.apply(delta(first=5, last=9)) == Verdict.WAITING
    assert book.apply(delta(first=10, last=12, price=99.7)) == Verdict.WAITING
    assert book.apply(snapshot(last=10)) == Verdict.CHANGED
    assert book.top.bid == 99.7
    assert book.apply(delta(first=13, last=13, price=99.8)) == Verdict.CHANGED


def test_a_snapshot_older_than_what_waits_is_a_gap() -> None:
    book = Book("range")
    book.apply(delta(first=20, last=25))
    assert book.apply(snapshot(last=10)) == Verdict.GAP
    assert book.needs_snapshot
    assert book.apply(snapshot(last=22)) == Verdict.CHANGED
    assert book.top.bid == 99.5, "the delta that waited was kept"


def test_a_gap_empties_the_book() -> None:
    book = Book("contiguous")
    book.apply(snapshot(last=10))
    book.apply(delta(last=15))
    assert book.levels == (0, 0)
    assert book.top == Top(None, None, None, None)


def test_an_older_snapshot_does_not_turn_the_book_back() -> None:
    book = Book("range")
    book.apply(snapshot(last=10))
    book.apply(delta(first=11, last=12))
    assert book.apply(snapshot(last=11)) == Verdict.OLD
    assert book.top.bid == 99.5


def test_a_crossed_book_is_not_shown_and_after_a_while_starts_anew() -> None:
    book = Book()
    book.apply(snapshot())
    crossing = change("delta", [(101.5, 1.0)], [])
    assert book.apply(crossing) == Verdict.SAME
    assert book.top == Top(99.0, 1.0, 101.0, 3.0)
    verdicts = [book.apply(crossing) for _ in range(CROSSED_MAX - 1)]
    assert verdicts == [Verdict.SAME] * (CROSSED_MAX - 2) + [Verdict.CROSSED]
    assert book.needs_snapshot


def test_a_crossing_that_heals_in_time_is_forgiven() -> None:
    book = Book()
    book.apply(snapshot())
    book.apply(change("delta", [(101.5, 1.0)], []))
    assert book.apply(change("delta", [], [(101.0, 0.0)])) == Verdict.CHANGED
    assert book.top == Top(101.5, 1.0, 102.0, 4.0)


def test_levels_beyond_the_venues_depth_are_dropped_on_the_far_side() -> None:
    book = Book(depth=2)
    book.apply(snapshot())
    book.apply(change("delta", [(98.5, 1.0)], [(101.5, 1.0)]))
    assert book.levels == (2, 2)
    book.apply(change("delta", [(99.0, 0.0), (98.5, 0.0)], [(101.0, 0.0), (101.5, 0.0)]))
    assert book.top == Top(None, None, None, None), "98 and 102 had fallen out"


@pytest.mark.parametrize(
    "level", [(-1.0, 1.0), (float("nan"), 1.0), (float("inf"), 1.0), (1.0, -1.0), (1.0, float("nan")), (0.0, 1.0)]
)
def test_an_impossible_level_leaves_the_book_as_it_is(level: tuple[float, float]) -> None:
    book = Book()
    book.apply(snapshot())
    assert book.apply(change("delta", [level, (99.9, 1.0)], [])) == Verdict.INVALID
    assert book.top.bid == 99.0


def test_price_zero_with_size_zero_only_carries_a_number() -> None:
    book = Book("range")
    book.apply(snapshot(last=10))
    assert book.apply(change("delta", [], [(0.0, 0.0)], first=11, last=11)) == Verdict.SAME
    assert book.apply(delta(first=12, last=12)) == Verdict.CHANGED


def test_what_waits_for_a_snapshot_is_bounded() -> None:
    book = Book("range")
    for number in range(WAITING_MAX + 10):
        book.apply(delta(first=number, last=number))
    assert book.apply(snapshot(last=5)) == Verdict.GAP, "the oldest were dropped, so the bridge is missing"


LEVELS = st.lists(st.tuples(st.integers(1, 30).map(float), st.sampled_from([0.0, 1.0, 2.0])), max_size=8)


@given(st.lists(st.tuples(LEVELS, LEVELS), max_size=25))
def test_the_top_is_that_of_a_plain_fold(updates: list[tuple[Any, Any]]) -> None:
    bids: dict[float, float] = {1.0: 1.0}
    asks: dict[float, float] = {130.0: 1.0}
    book = Book()
    book.apply(change("snapshot", list(bids.items()), list(asks.items())))
    for raw_bids, raw_asks in updates:
        raw_asks = [(price + 100, size) for price, size in raw_asks]  # never crossed
        for side, levels in ((bids, raw_bids), (asks, raw_asks)):
            for price, size in levels:
                side[price] = size
                if size == 0:
                    del side[price]
        book.apply(change("delta", raw_bids, raw_asks))
        best_bid, best_ask = max(bids, default=None), min(asks, default=None)
        assert book.top == Top(best_bid, bids.get(best_bid or 0.0), best_ask, asks.get(best_ask or 0.0))
        assert book.levels == (len(bids), len(asks))
