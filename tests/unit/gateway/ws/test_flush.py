"""The wheel's decisions, with its turns and its time given by the test."""

from __future__ import annotations

import asyncio

import pytest

from services.common.metrics import Metrics
from services.gateway.codes import CODE
from services.gateway.limits import LIMIT
from services.gateway.metrics import ROWS
from services.gateway.ws.flush import Wheel
from tests.fixtures.market import T0
from tests.unit.gateway.ws.test_hub import BTC, Outlet, Room

pytestmark = pytest.mark.asyncio


class Turning(Room):
    """A room whose wheel is turned by hand; the client's outlet keeps what it got."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = T0
        self.wheel = Wheel(self.hub, Metrics.build(ROWS), lambda: self.now_ms, 10)

    @property
    def outlet(self) -> Outlet:
        assert isinstance(self.client.outlet, Outlet)
        return self.client.outlet

    async def turns(self, count: int) -> None:
        for _ in range(count):
            self.wheel.turn += 1
            self.now_ms += 50
            await self.wheel._turn()


@pytest.fixture
def room() -> Turning:
    return Turning()


@pytest.mark.parametrize(("rate", "writes"), [("250ms", 240), ("1s", 60), ("5s", 12), ("30s", 2)])
async def test_a_rate_is_kept_to_the_turn(room: Turning, rate: str, writes: int) -> None:
    room.subscribe("market_data", BTC, rate=rate)
    for turn in range(1200):
        room.put(BTC, price=float(turn))
        await room.turns(1)
    assert room.outlet.writes == writes


async def test_who_does_not_read_gets_the_newest_values_once_and_is_told(room: Turning) -> None:
    room.subscribe("market_data", BTC, rate="250ms")
    room.outlet.reads = False
    for price in (1.0, 2.0, 3.0):
        room.put(BTC, price=price)
        await room.turns(5)
    assert room.outlet.sent == []
    since = room.client.blocked_ms
    room.outlet.reads = True
    await room.turns(5)
    update, notice = room.outlet.sent
    assert [row["price"] for row in update["data"]] == ["3"]
    assert (notice["type"], notice["skipped"], notice["since"]) == ("slow_consumer", 3, since)
    assert room.client.skipped == 0


async def test_one_client_that_does_not_read_delays_nobody(room: Turning) -> None:
    other = room.join()
    for client in (room.client, other):
        room.subscribe("market_data", BTC, client=client, rate="250ms")
    room.outlet.reads = False
    room.put(BTC, price=1.0)
    await room.turns(5)
    assert isinstance(other.outlet, Outlet)
    assert len(other.outlet.sent) == 1


async def test_who_does_not_read_for_too_long_is_closed_with_4008(room: Turning) -> None:
    room.outlet.reads = False
    await room.turns(20 * LIMIT["ws_slow_s"])
    assert room.outlet.closed is None
    await room.turns(40)
    assert room.outlet.closed == (CODE["slow"], "not reading")


async def test_an_event_reader_that_fell_behind_is_closed_with_its_cursor(room: Turning) -> None:
    stream = room.subscribe("news", rate="250ms")
    room.put("story:1", "news", title="a")
    room.view.fused["news"].ring_lost_tick = stream.last + 1
    await room.turns(5)
    assert room.outlet.closed is not None
    assert room.outlet.closed[0] == CODE["slow"]


async def test_a_socket_whose_write_fails_ends_alone(room: Turning) -> None:
    other = room.join()
    for client in (room.client, other):
        room.subscribe("market_data", BTC, client=client, rate="250ms")

    def broken(frames: bytes) -> None:
        raise RuntimeError("closed transport")

    room.outlet.write = broken  # type: ignore[method-assign]
    room.put(BTC, price=1.0)
    await room.turns(5)
    assert isinstance(other.outlet, Outlet)
    assert len(other.outlet.sent) == 1
    assert list(room.hub.clients) == [other.number]


async def test_into_a_silence_comes_a_ping(room: Turning) -> None:
    room.subscribe("market_data", BTC, rate="1s")
    await room.turns(20 * LIMIT["ws_heartbeat_s"] - 20)
    assert room.outlet.sent == []
    await room.turns(40)
    assert [message["type"] for message in room.outlet.sent] == ["ping"]


async def test_a_connection_ends_at_its_greatest_age(room: Turning) -> None:
    room.client.expires_ms = T0 + 3_000
    await room.turns(40)
    assert room.outlet.closed is None
    await room.turns(40)
    assert room.outlet.closed == (CODE["lifetime"], "reconnect")


async def test_what_everybody_saw_is_forgotten(room: Turning) -> None:
    room.subscribe("market_data", rate="1s")
    room.put(BTC, price=1.0)
    await room.turns(45)
    assert room.view.fused["market"].changed == {}
    assert len(room.outlet.sent) == 1


async def test_live_streams_are_served_as_records_come(room: Turning) -> None:
    room.subscribe("market_data", BTC, rate="live")
    task = asyncio.create_task(room.wheel._run_live())
    try:
        room.put(BTC, price=1.0)
        room.wheel.changed()
        async with asyncio.timeout(60):
            while not room.outlet.sent:
                await asyncio.sleep(0.001)
        assert room.wheel.turn == 0, "not by a turn of the wheel"
        assert room.outlet.sent[0]["data"][0]["price"] == "1"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_live_client_that_reads_again_is_served_although_nothing_changes_any_more(room: Turning) -> None:
    room.subscribe("market_data", BTC, rate="live")
    room.outlet.reads = False
    task = asyncio.create_task(room.wheel.run())
    try:
        room.put(BTC, price=1.0)
        room.wheel.changed()
        async with asyncio.timeout(60):
            while not room.client.skipped:
                await asyncio.sleep(0.001)
            room.outlet.reads = True
            while not room.outlet.sent:
                await asyncio.sleep(0.001)
        assert room.outlet.sent[0]["data"][0]["price"] == "1"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
