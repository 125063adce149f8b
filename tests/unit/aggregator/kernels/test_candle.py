"""Bars as JSON are what the encoder of the schema writes, and kernels find those that are to be sent."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from ctypes import string_at
from struct import pack
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events import Candle
from services.aggregator.compiled.memory import integers, octets
from services.aggregator.engine.names import Names
from services.aggregator.engine.store import Store
from services.aggregator.kernels import bars, candle, closing, names
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.candle import CANDLE_BYTES, INTERVALS, TELL
from services.aggregator.kernels.closing import EXPIRED
from tests.unit.aggregator.kernels.bars import EXCHANGE, MINUTE, T0, new_store

Call = Callable[..., Any]
HOUR = 60 * MINUTE
ROOM = 1 << 16


@pytest.fixture(params=["plain", "compiled"])
def call(request: pytest.FixtureRequest) -> Call:
    """The kernels by name."""
    if request.param == "compiled":
        compiled: dict[str, Any] = request.getfixturevalue("compiled")
        return lambda name, *arguments: compiled[name](*arguments)
    plain = {**vars(names), **vars(bars), **vars(candle), **vars(closing)}
    return lambda name, *arguments: plain[name](*arguments)


def address(words: array[int]) -> int:
    return words.buffer_info()[0]


def quote(store: Store, entity: int, start: int, price: float, source: int = 0, version: int = 7, **more: Any) -> int:
    """Tell a price, or a trade where there is a size."""
    store.ready()
    asset = store.tables.quote(more.get("quote", "usd"))
    size = more.get("size")
    return bars.bar_add(store.desk_at, entity, source, start, price, size or 0.0, int(size is not None), asset, version)


def written(
    call: Call,
    store: Store,
    asks: list[tuple[int, int, int]],
    closes: tuple[int, int, int] = (0, 0, 0),
    room: int = ROOM,
) -> tuple[int, list[tuple[bytes, bytes, int]]]:
    """How many were done, and key, value and how much was said of each."""  # fmt: skip
    words = array("q", [*closes, *(word for ask in asks for word in ask)])
    tells = array("q", [-1] * TELL * len(asks))
    out = store.block(ROOM // at.WORD)
    done = call("candle_rows", store.desk_at, len(asks), address(words), out, room, address(tells))
    found = []
    for row in range(done):
        key, key_end, value, value_end, heard = tells[row * TELL : (row + 1) * TELL]
        found.append((string_at(out + key, key_end - key), string_at(out + value, value_end - value), heard))
    return done, found


def one(call: Call, store: Store, ask: tuple[int, int, int], *closes: int) -> tuple[bytes, bytes, int]:
    """The only bar of a call."""
    done, (found,) = written(call, store, [ask], closes or (0, 0, 0))  # type: ignore[arg-type]
    assert done == 1
    return found


@pytest.mark.parametrize("key", ["pair:coin/usd", 'asset:"\\\x01\n\x7f', "asset:żółw\u2028🐢"])
def test_a_bar_is_what_the_schema_writes(call: Call, key: str) -> None:
    store, entity = new_store(key.encode())
    quote(store, entity, T0, 10.5, size=0.25)
    quote(store, entity, T0 + 1, 1e-7, size=3.0, version=9)
    key_bytes, value, heard = one(call, store, (entity, 0, T0))
    assert key_bytes == f"{key}|1m|{T0}".encode()
    assert value == msgspec.json.encode(
        Candle(
            entity=key, interval="1m", start_ms=T0, open=10.5, high=10.5, low=1e-7, close=1e-7, quote="usd", version=9,
            origin="live", volume=3.25, trades=2, sources=1,
        )
    )  # fmt: skip
    assert heard == 0


def test_what_has_its_default_value_is_left_out(call: Call) -> None:
    store, entity = new_store()
    quote(store, entity, T0, 1234567.0)
    _, value, _ = one(call, store, (entity, 0, T0))
    assert value == (
        b'{"entity":"pair:coin/usd","interval":"1m","start_ms":%d,"open":1234567.0,"high":1234567.0,"low":1234567.0,'
        b'"close":1234567.0,"quote":"usd","version":7,"origin":"live","sources":1}' % T0
    )


def test_an_open_minute_is_sent_when_it_changed_and_a_closed_one_always(call: Call) -> None:
    store, entity = new_store()
    quote(store, entity, T0, 1.0)
    ask = (entity, 0, T0)
    assert [bool(value) for _, value, _ in written(call, store, [ask, ask])[1]] == [True, False]
    quote(store, entity, T0, 2.0, version=8)
    assert msgspec.json.decode(one(call, store, ask)[1], type=Candle).version == 8
    store.desk[at.X_CLOSED] = T0 + MINUTE
    found = written(call, store, [ask, ask], (11, 0, 0))[1]
    assert [msgspec.json.decode(value, type=Candle).closed for _, value, _ in found] == [True, True]
    assert [msgspec.json.decode(value, type=Candle).version for _, value, _ in found] == [11, 11]
    assert [heard for _, _, heard in found] == [1, 1]


def test_nothing_is_written_of_bars_that_are_not_there(call: Call) -> None:
    store, entity = new_store()
    asks = [(entity, interval, T0) for interval in range(6)]
    assert written(call, store, asks) == (6, [(b"", b"", 0)] * 6)


def test_longer_bars_are_closed_by_the_sweep_and_counted_in_the_entitys_own_quote(call: Call) -> None:
    store, entity = new_store(b"pair:coin/euro")
    for minute in range(7):
        quote(store, entity, T0 + minute * MINUTE, 10.0 + minute, size=1.0, version=minute, quote="euro")
    asks = [(entity, interval, T0) for interval in range(1, 6)]
    done, found = written(call, store, asks, (0, T0 + 15 * MINUTE, 99))
    assert done == 5
    for (key, value, heard), interval in zip(found, INTERVALS[1:], strict=True):
        short = interval == "5m"
        closed = interval in ("5m", "15m")
        assert key == f"pair:coin/euro|{interval}|{T0}".encode()
        assert msgspec.json.decode(value, type=Candle) == Candle(
            entity="pair:coin/euro", interval=interval, start_ms=T0, open=10.0, high=14.0 if short else 16.0, low=10.0,
            close=14.0 if short else 16.0, quote="euro", version=99 if closed else 6, origin="live",
            volume=5.0 if short else 7.0, trades=5 if short else 7, sources=1, closed=closed,
        )  # fmt: skip
        assert heard == 0


def test_money_of_longer_bars_is_in_the_target_where_it_is_converted(call: Call) -> None:
    store, entity = new_store(b"asset:coin")
    quote(store, entity, T0, 10.0, quote="")
    assert b'"quote":""' in one(call, store, (entity, 0, T0))[1]
    assert b'"quote":"usd"' in one(call, store, (entity, 1, T0))[1]


def test_a_bar_is_as_real_as_the_least_real_of_its_sources(call: Call) -> None:
    store, entity = new_store()
    quote(store, entity, T0, 10.0)
    sources, view = Names(EXCHANGE), store.view(entity)
    for origin, shown in (("live", "live"), ("replay", "replay"), ("live", "replay")):
        said = sources.source(("aqua", "tick", "usd", None, 1.0, origin, ("last",)))
        if said.number == len(store.tables.listed):
            store.tables.add_source(said)
        view.put(said.number, T0, 1, None, (10.0,))
        assert f'"origin":"{shown}"'.encode() in one(call, store, (entity, 1, T0))[1]


def test_a_full_output_ends_the_call_before_anything_of_the_next_is_changed(call: Call) -> None:
    store, entity = new_store()
    quote(store, entity, T0, 1.0)
    quote(store, entity, T0 + MINUTE, 1.0)
    asks = [(entity, 0, T0), (entity, 0, T0 + MINUTE)]
    assert written(call, store, asks, room=CANDLE_BYTES)[0] == 0
    done, found = written(call, store, asks, room=CANDLE_BYTES + 200)
    assert (done, len(found)) == (1, 1)
    assert written(call, store, asks)[0] == 2
    done, (first, second) = written(call, store, asks)
    assert (first, second) == ((b"", b"", 0), (b"", b"", 0))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=40))
def test_keys_are_written_as_json(call: Call, key: str) -> None:
    data = key.encode()
    entity = array("q", [0] * (at.ENTITY + len(data) // at.WORD + 1))
    entity[at.E_KEY] = len(data)
    octets(address(entity) + at.ENTITY * at.WORD, len(data))[:] = list(data)
    out = array("B", bytes(8 + 6 * len(data)))
    view = octets(out.buffer_info()[0], len(out))
    end = call("write_key", view, 3, address(entity))
    assert bytes(view[3:end]) == msgspec.json.encode(key)[1:-1]


def test_the_newest_minute_is_shown_when_it_changed_and_was_not_shown_for_a_while(call: Call) -> None:
    store, silent = new_store(b"pair:silent/usd")
    entities = [silent, store.entity(b"pair:coin/usd"), store.entity(b"pair:late/usd")]
    store.desk[at.X_CLOSED] = T0
    for entity, start in ((entities[1], T0), (entities[1], T0 + MINUTE), (entities[2], T0 - MINUTE)):
        quote(store, entity, start, 1.0)
    rows, found = array("q", entities), array("q", bytes(48))

    def show(now: int) -> list[int]:
        n = call("show_rows", store.desk_at, 3, address(rows), now, 1000, address(found))
        return found[: 2 * n].tolist()

    assert show(5_000) == [entities[1], T0 + MINUTE]
    assert show(5_999) == []
    assert show(6_000) == [entities[1], T0 + MINUTE]
    one(call, store, (entities[1], 0, T0 + MINUTE))
    assert show(7_000) == []


def test_a_sweep_finds_what_ends_and_what_is_expired(call: Call) -> None:
    store, never = new_store(b"pair:never/usd")
    keys = (b"pair:a/usd", b"pair:b/usd", b"pair:c/usd", b"pair:d/usd", b"pair:e/usd")
    a, b, old, expired, last = (store.entity(key) for key in keys)
    swept = T0 + HOUR
    store.desk[at.X_LOG] = T0
    quote(store, a, swept - MINUTE, 1.0)
    quote(store, b, T0 + 20 * MINUTE, 1.0)
    quote(store, b, swept, 1.0)
    quote(store, old, swept - MINUTE, 1.0)
    store.desk[at.X_LOG] = swept
    for entity, as_of in (
        (never, swept),
        (a, swept - HOUR - store.desk[at.X_SKEW]),
        (b, swept),
        (old, swept - HOUR - store.desk[at.X_SKEW] - 1),
        (expired, swept - store.desk[at.X_EXPIRE] - 1),
        (last, swept - store.desk[at.X_EXPIRE]),
    ):
        integers(entity, at.ENTITY)[at.E_AS_OF] = as_of
    rows, found = array("q", [never, a, b, old, expired, last]), array("q", bytes(160))

    def sweep(at_ms: int, with_bars: int) -> list[int]:
        n = call("sweep_rows", store.desk_at, 6, address(rows), at_ms, with_bars, address(found))
        return found[: 2 * n].tolist()

    # Of an hour: 5m, 15m and 1h end.
    assert sweep(swept, 1) == [1, 0b1110, 2, 0b1000, 4, EXPIRED]
    assert sweep(swept, 0) == [4, EXPIRED]
    assert sweep(swept + 5 * MINUTE, 1) == [2, 0b10, 4, EXPIRED]
    assert sweep(T0 + 24 * HOUR, 1) == [1, 0b100000, 2, 0b100000, 4, EXPIRED]


def test_settled_minutes_end_with_their_longer_bars(call: Call) -> None:
    store, entity = new_store()
    quote(store, entity, T0, 1.0)
    integers(entity, at.ENTITY)[at.E_AS_OF] = T0 + 5 * MINUTE
    one(call, store, (entity, 0, T0))
    bars.bar_settle(store.desk_at, entity, T0 + MINUTE)
    rows, found = array("q", [entity]), array("q", [0, 0])
    store.desk[at.X_LOG] = T0 + 5 * MINUTE
    assert call("sweep_rows", store.desk_at, 1, address(rows), T0 + 5 * MINUTE, 1, address(found)) == 1
    assert found.tolist() == [0, 0b10]


def test_after_a_restart_open_minutes_are_found_and_closed_ones_are_not_due(call: Call) -> None:
    store, a = new_store(b"pair:a/usd")
    b, c = store.entity(b"pair:b/usd"), store.entity(b"pair:c/usd")
    for entity, minute in ((a, 0), (a, 1), (a, 2), (c, 1)):
        quote(store, entity, T0 + minute * MINUTE, 1.0)
    store.desk[at.X_CLOSED] = T0 + MINUTE
    rows, found = array("q", [a, b, c]), array("q", bytes(72))

    def look(room: int) -> tuple[int, list[int]]:
        n = call("open_rows", store.desk_at, 3, address(rows), address(found), room)
        return found[0], found[1 : 1 + 2 * n].tolist()

    opened = [a, T0 + MINUTE, a, T0 + 2 * MINUTE]
    assert look(1) == (0, [])
    assert look(2) == (2, opened)
    assert look(3) == (3, [*opened, c, T0 + MINUTE])
    assert [bar.due for bar in store.view(a).bars or ()] == [False, True, True]


def test_python_tells_a_trade_as_a_row_of_words(call: Call) -> None:
    store, entity = new_store()
    row = array("q", pack("<qqqddqqq", entity, 4, T0 + 3, 2.5, 0.5, 1, 1, 9))
    assert call("put_row", store.desk_at, address(row)) == bars.MADE
    ((source, said),) = (store.view(entity).bars or ())[0].voices
    assert (source, said.traded, said.open, said.volume, said.last_ms) == (4, True, 2.5, 0.5, T0 + 3)
