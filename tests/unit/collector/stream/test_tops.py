"""Events of the best bid and ask."""

from typing import Any

import msgspec

from schemas.events import Raw
from services.collector.map.compile import Stamp
from services.collector.map.mapped import BookChange
from services.collector.registry.model import Stream
from services.collector.stream.book import Verdict
from services.collector.stream.tops import Resync, Tops

STAMP = Stamp("acme", "spot", "acme-group", 0.5, "abc123")
PAIR = "pair:bitcoin/tether"


def tops(**book: Any) -> Tops:
    rule = {"kind": "delta", "entity": {"kind": "pair", "symbol": "s"}, "bids": "b", "asks": "a", **book}
    return Tops(
        msgspec.convert({"url": "wss://x", "channels": {}, "messages": {"book": {"book": rule}}}, Stream), STAMP
    )


def change(kind: str, bids: Any, asks: Any, entity: str = PAIR, **more: Any) -> BookChange:
    return BookChange(entity, "tether", kind, bids, asks, **more)


START = change("snapshot", [(99.0, 1.0)], [(101.0, 2.0)], last=10, event_ms=1_700)


def test_a_new_top_is_an_event_with_the_stamp_of_the_definition() -> None:
    events, broken = tops().apply([START], 2_000, "replay")
    assert broken == []
    assert events == [
        Raw(
            id=events[0].id, category="exchange", provider="acme", endpoint="spot", entity=PAIR, received_ms=2_000,
            metrics={"bid": 99.0, "ask": 101.0, "bid_size": 1.0, "ask_size": 2.0}, origin="replay", event_ms=1_700,
            quote="tether", group="acme-group", weight=0.5, registry="abc123",
        )
    ]  # fmt: skip


def test_the_same_top_said_again_is_no_event() -> None:
    books = tops()
    books.apply([START], 2_000, "live")
    assert books.apply([START], 2_001, "live") == ([], [])


def test_contracts_speak_of_their_own_metrics_and_without_sizes() -> None:
    events, _ = tops().apply([change("top", [(9.0, 1.0)], [(10.0, 1.0)], "perp:bitcoin/tether")], 1, "live")
    assert (events[0].category, events[0].metrics) == ("derivatives", {"contract_bid": 9.0, "contract_ask": 10.0})


def test_a_side_that_is_empty_says_nothing() -> None:
    events, _ = tops().apply([change("top", [(9.0, 1.0)], [])], 1, "live")
    assert events[0].metrics == {"bid": 9.0, "bid_size": 1.0}
    assert tops().apply([change("top", [], [])], 1, "live") == ([], [])


def test_the_first_difference_of_a_book_asks_for_its_start_once() -> None:
    books = tops(sequence={"rule": "contiguous", "last": "n"})
    first = books.apply([change("delta", [(98.0, 1.0)], [], last=11)], 1, "live")
    assert first == ([], [Resync(entity=PAIR, why=Verdict.WAITING)])
    assert books.apply([change("delta", [(99.5, 1.0)], [], last=12)], 1, "live") == ([], [])
    assert books.needs_snapshot(PAIR)
    events, broken = books.apply([START], 2, "live")
    assert (events[0].metrics["bid"], broken, books.needs_snapshot(PAIR)) == (99.5, [], False)


def test_a_gap_asks_again_and_other_books_go_on() -> None:
    books = tops(sequence={"rule": "contiguous", "last": "n"})
    other = START._replace(entity="pair:ethereum/tether")
    books.apply([START, other], 1, "live")
    events, broken = books.apply(
        [change("delta", [(99.5, 1.0)], [], last=15), other._replace(kind="delta", bids=[(99.9, 1.0)], last=11)],
        2,
        "live",
    )
    assert [event.entity for event in events] == ["pair:ethereum/tether"]
    assert broken == [Resync(entity=PAIR, why=Verdict.GAP)]


def test_a_message_that_could_not_be_read_makes_its_book_unknown() -> None:
    books = tops()
    books.apply([START], 1, "live")
    assert books.spoil(PAIR) == Resync(entity=PAIR, why=Verdict.INVALID)
    assert books.needs_snapshot(PAIR)
    assert not books.needs_snapshot("pair:never/seen")
    invalid = change("delta", [(-1.0, 1.0)], [])
    books.apply([START], 1, "live")
    assert books.apply([invalid], 1, "live") == ([], [Resync(entity=PAIR, why=Verdict.INVALID)])
    assert books.needs_snapshot(PAIR)


def test_a_new_connection_starts_with_empty_books() -> None:
    books = tops()
    books.apply([START], 1, "live")
    books.reset()
    events, _ = books.apply([START], 2, "live")
    assert len(events) == 1
