"""What sockets say, from definitions."""

from typing import Any

import msgspec

from services.collector.registry.model import Stream
from services.collector.stream.dialects import (
    Socket,
    address,
    heartbeat,
    pong,
    resubscribe,
    sockets,
    subscribe,
    token_address,
)

NOW_MS = 1_795_305_600_000


def stream(**changes: Any) -> Stream:
    body = {
        "url": "wss://a.b/ws",
        "channels": {
            "trades": {"subscribe": [{"op": "sub", "id": {"$id": True}, "args": {"$list": "s"}}]},
            "tick": {"per": "each", "subscribe": ["tick:{s}"], "unsubscribe": ["stop:{s}"]},
        },
        "messages": {},
    } | changes
    return msgspec.convert(body, Stream)


def socket(**channels: dict[str, tuple[str, ...]]) -> Socket:
    return Socket(provider="acme", stream="spot", number=0, channels=channels)


def test_a_batch_is_one_message_and_each_is_one_for_every_value() -> None:
    texts = subscribe(stream(), socket(trades={"s": ("A", "B")}, tick={"s": ("A", "B")}), NOW_MS)
    assert texts == ['{"op":"sub","id":1,"args":["A","B"]}', "tick:A", "tick:B"]


def test_singly_every_value_is_a_message_of_its_own() -> None:
    texts = subscribe(stream(), socket(trades={"s": ("A", "B")}), NOW_MS, singly=True)
    assert texts == ['{"op":"sub","id":1,"args":["A"]}', '{"op":"sub","id":2,"args":["B"]}']


def test_very_many_values_are_cut_into_several_messages() -> None:
    values = tuple(f"P{number:03}" for number in range(201))
    texts = subscribe(stream(), socket(trades={"s": values}), NOW_MS)
    assert [len(msgspec.json.decode(text)["args"]) for text in texts] == [200, 1]


def test_a_channel_without_values_is_subscribed_once() -> None:
    bare = stream(channels={"all": {"subscribe": [{"op": "all"}]}})
    assert subscribe(bare, socket(all={}), NOW_MS) == ['{"op":"all"}']


def test_subscribing_anew_stops_first_and_is_impossible_without_a_word_for_it() -> None:
    assert resubscribe(stream(), "tick", {"s": "A"}, NOW_MS) == ["stop:A", "tick:A"]
    assert resubscribe(stream(), "trades", {"s": "A"}, NOW_MS) == []


def test_parameters_in_the_address_are_filled() -> None:
    one = stream(url="wss://a.b/stream?streams={s}", channels={"x": {}})
    assert address(one, socket(x={"s": ("a@trade", "b@trade")})) == "wss://a.b/stream?streams=a@trade,b@trade"
    assert address(one, socket(x={"s": ("a",)}), "wss://token.b/?t=1") == "wss://token.b/?t=1"


def test_heartbeats_are_said_when_the_venue_wants_messages() -> None:
    assert heartbeat(stream(), NOW_MS, 3) is None
    assert heartbeat(stream(heartbeat={"kind": "message", "send": "ping"}), NOW_MS, 3) == "ping"
    beat = {"kind": "message", "send": {"id": {"$id": True}, "at": {"$now": "s"}}}
    assert heartbeat(stream(heartbeat=beat), NOW_MS, 3) == '{"id":3,"at":1795305600}'


def test_a_servers_ping_is_answered_with_what_it_said() -> None:
    beat = {"kind": "reply", "send": {"pong": {"$path": "ping"}, "list": [{"$path": "n.x"}]}}
    assert pong(stream(heartbeat=beat), {"ping": 17, "n": {"x": "y"}}, NOW_MS) == '{"pong":17,"list":["y"]}'


def test_a_token_call_gives_the_address_with_its_parameters() -> None:
    one = stream(token={"path": "/bullet", "url": "data.servers[0].endpoint", "params": {"token": "data.token"}})
    answer = {"data": {"token": "abc", "servers": [{"endpoint": "wss://x.y/endpoint"}]}}
    assert token_address(one, answer) == "wss://x.y/endpoint?token=abc"
    assert token_address(one, {"data": {}}) is None


def test_the_nth_connection_carries_the_nth_part_of_every_channel() -> None:
    parts = {"trades": [{"s": ("A",)}, {"s": ("B",)}], "tick": [{"s": ("A", "B")}], "none": []}
    assert sockets("acme", "spot", parts) == [
        Socket(provider="acme", stream="spot", number=0, channels={"trades": {"s": ("A",)}, "tick": {"s": ("A", "B")}}),
        Socket(provider="acme", stream="spot", number=1, channels={"trades": {"s": ("B",)}}),
    ]
