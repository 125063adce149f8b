"""Bars in memory are the bars of a plain reference, compiled or not, whatever is told in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.aggregator.kernels import bars, trades
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.bars import MADE, NO_MORE, REOPENED, WIDTHS
from tests.unit.aggregator.kernels.bars import LATENESS, MINUTE, T0, Reference, expected, new_store, ohlc, shape

Call = Callable[..., Any]


@pytest.fixture(params=["plain", "compiled"])
def call(request: pytest.FixtureRequest) -> Call:
    """The kernels by name."""
    if request.param == "compiled":
        compiled: dict[str, Any] = request.getfixturevalue("compiled")
        return lambda name, *arguments: compiled[name](*arguments)
    plain = {**vars(trades), **vars(bars)}
    return lambda name, *arguments: plain[name](*arguments)


class World:
    """The same entity in memory and in the reference."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.store, self.entity = new_store()
        self.view = self.store.view(self.entity)
        self.reference = Reference()
        self.out = self.store.block(at.OHLC)
        self.set_log(T0)

    def set_log(self, log: int) -> None:
        self.reference.log = self.store.desk[at.X_LOG] = log

    def close(self, closed: int) -> None:
        self.reference.closed = self.store.desk[at.X_CLOSED] = closed

    def add(
        self, source: int, ts: int, price: float, size: float = 0.0, traded: int = 0, quote: int = 1, version: int = 1
    ) -> int:
        self.store.ready()
        said: int = self.call(
            "bar_add", self.store.desk_at, self.entity, source, ts, price, size, traded, quote, version
        )
        assert said == self.reference.add(source, ts, price, size, traded, quote, version)
        return said

    def send(self, start: int) -> None:
        """As if the minute had been sent."""
        bar = self.call("bar_find", self.entity, start)
        held = [minute for minute in self.reference.minutes if minute.start == start]
        assert bool(bar) == bool(held)
        for minute in held:
            minute.due = False
            bars.integers(bar, at.BAR)[at.B_DUE] = 0

    def compare(self) -> None:
        """Everything that can be seen is the same."""
        minutes = self.reference.minutes
        assert [shape(minute) for minute in self.view.bars or ()] == [expected(minute) for minute in minutes]
        desk = self.store.desk_at
        for minute in minutes:
            self.call("fuse_bar", desk, self.call("bar_find", self.entity, minute.start), self.out)
            assert ohlc(self.out) == minute.fused()
        starts = {minute.start for minute in [*minutes, *self.reference.settled]}
        for interval, width in list(enumerate(WIDTHS))[1:]:
            for start in {start - start % width for start in starts} | {T0 - width}:
                wanted = self.reference.roll(interval, start)
                found = self.call("bar_roll", desk, self.entity, interval, start, self.out)
                assert (ohlc(self.out) if found else None) == wanted


PRICES = st.sampled_from((1.0, 2.0, 0.1, 3.3, 1e-9, 7e11)) | st.floats(1e-12, 1e12)
TIMES = st.integers(-3 * MINUTE, 25 * MINUTE)
ADD = st.tuples(st.just("add"), st.integers(0, 6), TIMES, PRICES, st.none() | PRICES)
STEPS = st.lists(
    ADD | ADD | ADD
    | st.tuples(st.sampled_from(("log", "close")), TIMES)
    | st.tuples(st.just("send"), st.integers(-3, 25)),
    max_size=60,
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_bars_are_those_of_the_reference(call: Call, steps: list[tuple[Any, ...]]) -> None:
    world = World(call)
    for version, (what, *rest) in enumerate(steps):
        if what == "add":
            source, ts, price, size = rest
            world.add(source, T0 + ts, price, size or 0.0, int(size is not None), 1, version)
        elif what == "log":
            world.set_log(max(world.reference.log, T0 + rest[0]))
        elif what == "close":
            world.close(max(world.reference.closed, (T0 + rest[0]) // MINUTE * MINUTE))
        else:
            world.send(T0 + rest[0] * MINUTE)
    world.compare()


def test_what_bar_add_says(call: Call) -> None:
    world = World(call)
    assert world.add(1, T0 + 5, 10.0) == MADE
    assert world.add(1, T0 + 6, 11.0) == 0
    assert world.add(2, T0 - MINUTE, 11.0) == MADE
    world.close(T0 + MINUTE)
    # Still due: it stands in the queue since it was closed.
    assert world.add(1, T0 + 7, 12.0) == 0
    world.send(T0)
    assert world.add(1, T0 + 8, 12.0) == REOPENED
    assert world.add(1, T0 + 9, 12.0) == 0
    assert world.add(1, T0 - 2 * MINUTE, 12.0) == MADE | REOPENED
    assert world.add(1, T0 - 2 * MINUTE - 1, 12.0) == NO_MORE
    world.compare()


def test_of_one_time_the_first_price_opens_and_the_last_closes(call: Call) -> None:
    world = World(call)
    for price in (3.0, 1.0, 4.0, 2.0):
        world.add(1, T0 + 5, price)
    world.compare()
    ((_, said),) = (world.view.bars or ())[0].voices
    assert (said.open, said.high, said.low, said.close) == (3.0, 4.0, 1.0, 2.0)


def test_a_minute_that_takes_no_more_stays_until_it_was_sent(call: Call) -> None:
    world = World(call)
    world.add(1, T0, 10.0)
    world.add(1, T0 + MINUTE, 11.0)
    world.send(T0 + MINUTE)
    world.set_log(T0 + 3 * MINUTE + LATENESS)
    world.add(1, T0 + 4 * MINUTE, 12.0)
    assert [minute.start_ms for minute in world.view.bars or ()] == [T0, T0 + MINUTE, T0 + 4 * MINUTE]
    world.send(T0)
    world.add(1, T0 + 4 * MINUTE, 12.0)
    assert [minute.start_ms for minute in world.view.bars or ()] == [T0 + 4 * MINUTE]
    world.compare()


def test_a_bar_of_many_sources_is_moved_whole_and_its_neighbours_stay(call: Call) -> None:
    world = World(call)
    for start in (T0, T0 + 2 * MINUTE, T0 + MINUTE):
        for source in range(21):
            world.add(source, start + source, 10.0 + source, 1.0, source % 2, 1, source)
    world.compare()


def test_what_is_given_back_is_used_again(call: Call) -> None:
    world = World(call)
    ends = set()
    for turn in range(3):
        for minute in range(4):
            for source in range(5):
                world.add(source, T0 + minute * MINUTE, 1.0 + turn, 2.0, 1)
            world.send(T0 + minute * MINUTE)
        world.call("bar_settle", world.store.desk_at, world.entity, T0 + 2 * MINUTE)
        assert world.view.rolls is not None
        world.store.reset(world.entity)
        assert (world.view.bars, world.view.rolls) == (None, None)
        world.reference.minutes.clear()
        ends.add(world.store.desk[at.X_NEXT])
    assert len(ends) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 300)), max_size=700))
def test_a_trade_is_known_while_it_is_among_the_last_of_its_source(call: Call, told: list[tuple[int, int]]) -> None:
    store, entity = new_store()
    known: dict[int, dict[int, None]] = {}
    for source, one in told:
        crc = one * 2_654_435_761 % 2**32
        seen = known.setdefault(source, {})
        assert call("told", store.desk_at, entity, source, crc) == (crc in seen)
        if crc not in seen:
            seen[crc] = None
            if len(seen) > at.TRADES:
                del seen[next(iter(seen))]
    assert (store.view(entity).seen or {}) == {source: list(seen) for source, seen in known.items()}


def test_the_oldest_id_gives_way_when_there_are_too_many(call: Call) -> None:
    store, entity = new_store()
    for crc in range(3 * at.TRADES):
        assert call("told", store.desk_at, entity, 1, crc) == 0
    kept = list(range(2 * at.TRADES, 3 * at.TRADES))
    assert store.view(entity).seen == {1: kept}
    assert [call("told", store.desk_at, entity, 1, crc) for crc in (*kept, 2 * at.TRADES - 1)] == [1] * at.TRADES + [0]


def test_the_greatest_and_the_least_ids_are_told_apart(call: Call) -> None:
    store, entity = new_store()
    ids = [0, 2**32 - 1, 2**31, 2**31 - 1, 1]
    assert [call("told", store.desk_at, entity, 7, crc) for crc in ids * 2] == [0] * 5 + [1] * 5
