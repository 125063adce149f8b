"""Who gets what: conflation, order, sharing, events, resuming."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.ws import protocol
from services.gateway.ws.hub import Client, Hub, Stream
from services.gateway.ws.services import SERVICES, feeds
from tests.fixtures.market import T0, put, record, view

BTC, ETH = "asset:bitcoin", "asset:ethereum"


class Outlet:
    """A socket that keeps what it was given; `reads` False: a client that does not read."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.writes = 0
        self.closed: tuple[int, str] | None = None
        self.reads = True

    def ok(self) -> bool:
        return self.reads and self.closed is None

    def write(self, frames: bytes) -> None:
        self.writes += 1
        self.sent += [msgspec.json.decode(text) for text in protocol.texts(frames)]

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


class Room:
    """A view, a hub on it, and one client."""

    def __init__(self) -> None:
        self.view = view()
        self.hub = Hub(feeds(self.view))
        self.offset = 0
        self.client = self.join()

    def join(self) -> Client:
        return self.hub.connect(Outlet(), "10.0.0.1", T0, 10**9)

    def put(self, entity: str = BTC, category: str = "market", **metrics: Any) -> None:
        self.offset += 1
        put(self.view, record(entity, self.offset, category=category, **metrics), self.offset)

    def subscribe(
        self, service: str = "market_data", *keys: str, client: Client | None = None, **options: Any
    ) -> Stream:
        options = {"rate": "live", "batch": False} | options
        return self.hub.subscribe(client or self.client, service, keys, options["rate"], batch=options["batch"])

    def due(self, stream: Stream) -> list[dict[str, Any]]:
        """Messages due to a stream, which then counts as served."""
        joined = self.hub.due(stream, T0, {})
        assert joined is not None
        frames, count, stream.last = joined
        found = [msgspec.json.decode(text) for text in protocol.texts(frames)]
        assert sum(len(message["data"]) for message in found) == count
        return found


def prices(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["asset_id"], row["price"]) for message in messages for row in message["data"]]


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_stream_gets_the_newest_version_of_what_changed_once(room: Room) -> None:
    stream = room.subscribe("market_data", BTC, ETH)
    room.put(BTC, price=1.0)
    room.put(BTC, price=2.0)
    room.put(ETH, price=9.0)
    assert prices(room.due(stream)) == [("bitcoin", "2"), ("ethereum", "9")]
    assert room.due(stream) == []


def test_a_key_without_a_record_is_served_as_soon_as_there_is_one(room: Room) -> None:
    stream = room.subscribe("market_data", BTC)
    assert room.due(stream) == []
    room.put(BTC, price=1.0)
    assert prices(room.due(stream)) == [("bitcoin", "1")]


def test_a_key_that_was_deleted_and_came_back_is_served_again(room: Room) -> None:
    room.put(BTC, price=1.0)
    stream = room.subscribe("market_data", BTC)
    room.view.fused["market"].apply(BTC, None, 0, 50, T0)
    assert room.due(stream) == []
    room.put(BTC, price=2.0)
    assert prices(room.due(stream)) == [("bitcoin", "2")]


def test_a_stream_of_all_keys_gets_them_in_the_order_of_their_changes(room: Room) -> None:
    stream = room.subscribe("market_data")
    for entity, price in ((BTC, 1.0), (ETH, 2.0), (BTC, 3.0)):
        room.put(entity, price=price)
    assert prices(room.due(stream)) == [("ethereum", "2"), ("bitcoin", "3")]


def test_batched_records_come_in_one_message(room: Room) -> None:
    stream = room.subscribe("market_data", batch=True)
    room.put(BTC, price=1.0)
    room.put(ETH, price=2.0)
    messages = room.due(stream)
    assert len(messages) == 1
    assert prices(messages) == [("bitcoin", "1"), ("ethereum", "2")]
    assert messages[0]["seq"] == 2


def test_other_categories_do_not_wake_a_stream(room: Room) -> None:
    stream = room.subscribe("market_data")
    room.put("pair:bitcoin/tether", "exchange", bid=1.0)
    assert room.due(stream) == []


def test_readers_of_the_same_keys_at_the_same_place_share_one_buffer(room: Room) -> None:
    other = room.join()
    streams = [room.subscribe("market_data", BTC), room.subscribe("market_data", BTC, client=other)]
    assert streams[0].selection is streams[1].selection
    room.put(BTC, price=1.0)
    shared: Any = {}
    first, second = (room.hub.due(stream, T0, shared) for stream in streams)
    assert first is second
    assert len(shared) == 1


def test_the_frame_of_a_version_is_made_once(room: Room) -> None:
    room.put(BTC, price=1.0)
    streams = [room.subscribe("market_data", BTC), room.subscribe("market_data", BTC, ETH, client=room.join())]
    for stream in streams:
        stream.last = 0
        room.due(stream)
    entry = room.view.fused["market"].entries[BTC]
    frame = entry.frame
    assert frame is not None
    streams[0].last = 0
    room.due(streams[0])
    assert entry.frame is frame
    room.put(BTC, price=2.0)
    assert entry.frame is None


def test_subscribing_again_adds_keys_and_the_new_rate_holds(room: Room) -> None:
    room.subscribe("market_data", BTC, rate="1s")
    stream = room.subscribe("market_data", ETH, rate="250ms")
    assert stream.selection.keys == (BTC, ETH)
    assert stream.rate == "250ms"
    assert room.subscribe("market_data").selection.keys is None


def test_unsubscribing_takes_keys_away_and_without_keys_everything(room: Room) -> None:
    room.subscribe("market_data", BTC, ETH)
    assert room.hub.unsubscribe(room.client, "market_data", [BTC])
    assert room.client.streams["market_data"].selection.keys == (ETH,)
    assert room.hub.unsubscribe(room.client, "market_data", [])
    assert room.client.streams == {}
    assert not room.hub.unsubscribe(room.client, "market_data", [])


def test_who_leaves_leaves_nothing_behind(room: Room) -> None:
    room.subscribe("market_data", BTC)
    room.subscribe("news", rate="30s")
    room.hub.disconnect(room.client)
    room.hub.disconnect(room.client)
    assert room.hub.clients == {}
    assert room.hub.by_address == {}
    assert room.hub._selections == {}
    assert all(not slot for slots in room.hub.buckets.values() for slot in slots)


@given(
    st.lists(st.tuples(st.sampled_from(["live", "250ms", "1s", "5s", "30s"]), st.sampled_from(["news", "dex", "nft"])))
)
def test_a_client_is_in_the_buckets_of_its_rates_and_in_no_other(steps: list[tuple[str, str]]) -> None:
    room = Room()
    for rate, service in steps:
        room.subscribe(service, rate=rate)
    rates = {stream.rate for stream in room.client.streams.values()}
    found = {rate for rate, slots in room.hub.buckets.items() for slot in slots if room.client.number in slot}
    assert found == rates


def test_a_snapshot_is_what_is_known_in_parts_that_fit_a_message(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.ws.hub.SNAPSHOT_PART_RECORDS", 2)
    for n in range(5):
        room.put(f"asset:a{n}", price=float(n))
    stream = room.subscribe("market_data")
    frames = b"".join(room.hub.current(stream, 4, T0))
    messages = [msgspec.json.decode(text) for text in protocol.texts(frames)]
    assert [(m["type"], m["part"], m["parts"], len(m["data"])) for m in messages] == [
        ("snapshot", 1, 2, 2),
        ("snapshot", 2, 2, 2),
    ]
    assert room.due(stream) == []


def test_every_event_is_delivered_in_order_with_a_cursor(room: Room) -> None:
    stream = room.subscribe("news")
    room.put("story:1", "news", title="a")
    room.put("story:1", "news", title="b")
    room.put("story:2", "news", title="c")
    messages = room.due(stream)
    assert [row["title"] for m in messages for row in m["data"]] == ["a", "b", "c"]
    assert [protocol.read_cursor(m["cursor"], "news") for m in messages] == [{0: 2}, {0: 3}, {0: 4}]


def test_a_cursor_brings_back_exactly_what_was_missed(room: Room) -> None:
    for n in range(4):
        room.put(f"story:{n}", "news", title=f"t{n}")
    stream = room.subscribe("news")
    assert room.hub.resume(stream, {0: 3}) == (True, 2)
    assert [row["title"] for m in room.due(stream) for row in m["data"]] == ["t2", "t3"]
    assert room.hub.resume(stream, {0: 5}) == (True, 0)
    assert room.due(stream) == []


def test_a_cursor_older_than_what_is_kept_is_refused(room: Room) -> None:
    feed = room.view.fused["news"]
    stream = room.subscribe("news")
    feed.ring_lost = {0: 2}
    assert room.hub.resume(stream, {0: 2}) == (False, 0)
    assert room.hub.resume(stream, {0: 3})[0]
    assert room.hub.resume(room.subscribe("market_data"), {0: 1}) == (False, 0)


def test_an_event_reader_behind_what_is_kept_is_told_so(room: Room) -> None:
    stream = room.subscribe("news")
    room.put("story:1", "news", title="a")
    room.view.fused["news"].ring_lost_tick = stream.last + 1
    assert room.hub.due(stream, T0, {}) is None


def test_what_is_kept_goes_by_the_slowest_reader(room: Room) -> None:
    slow, fast = room.subscribe("market_data"), room.subscribe("market_data", client=room.join())
    room.put(BTC, price=1.0)
    room.due(fast)
    assert room.hub.oldest()["market_data"] == slow.last == 0
    room.due(slow)
    assert room.hub.oldest()["market_data"] == room.view.fused["market"].tick


def test_every_service_has_a_feed_of_its_own(room: Room) -> None:
    assert set(room.hub.feeds) == {service.name for service in SERVICES}
    assert len({id(feed) for feed in room.hub.feeds.values()}) == len(SERVICES)
    for service in SERVICES:
        assert (room.hub.feeds[service.name].ring is not None) == (service.delivery == "all"), service.name
