"""A collector follows loopback sockets into a real Kafka."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from schemas.events import Attempt, Raw
from services.common.settings import CommonSettings
from tests.fixtures import loopback, venue
from tests.fixtures.collecting import Followed, collecting, followed, headers, settings
from tests.fixtures.loopback import Asked, response
from tests.fixtures.until import until
from tests.fixtures.venue import Line, book, trade

pytestmark = pytest.mark.topics("raw.*", "ops.*", "archive", "dlq")


def folder(home: Path, url: str, **changes: Any) -> Path:
    """A provider with one stream and nothing to poll."""
    return venue.definition(home, endpoints={}, streams={"spot": venue.stream(url, **changes)})


async def trades(seen: Followed, count: int) -> list[Raw] | None:
    found = [event for event in await seen.raw() if "trade_price" in event.metrics]
    return found if len(found) >= count else None


async def tops(seen: Followed, count: int) -> list[dict[str, Any]] | None:
    found = [event.metrics for event in await seen.raw() if "bid" in event.metrics]
    return found if len(found) >= count else None


async def ends(seen: Followed, reason: str) -> list[Attempt]:
    return [one for one in await seen.attempts() if (one.detail or "").startswith(reason)]


async def test_trades_are_subscribed_confirmed_and_published(common: CommonSettings, tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.confirmed()
        await line.send(trade(1), trade(2, 60_001.0))
        await line.forever()

    async with venue.venue(script) as server, followed(common) as seen:
        async with collecting(settings(common, folder(tmp_path, server.url))):
            first, second = await until(lambda: trades(seen, 2))
            await until(lambda: [one for one in server.lines[0].heard if one["op"] == "ping"])
    assert [one for one in server.lines[0].heard if one["op"] == "subscribe"] == [
        {"op": "subscribe", "channel": "trades", "symbols": ["BTC-USDT"]},
        {"op": "subscribe", "channel": "book", "symbols": ["BTC-USDT"]},
    ]
    assert {"op": "ping", "n": 1} in server.lines[0].heard
    assert (first.entity, first.quote, first.metrics, first.event_ms, first.endpoint) == (
        "pair:bitcoin/tether", "tether", {"trade_price": 60_000.5, "trade_size": 0.5}, 1_795_305_600_001, "spot",
    )  # fmt: skip
    assert second.metrics["trade_price"] == 60_001.0


async def test_tls_and_packed_frames_are_understood(common: CommonSettings, tmp_path: Path) -> None:
    made = loopback.authority(tmp_path)

    async def script(line: Line) -> None:
        await line.confirmed()
        await line.send(gzip.compress(trade(1).encode()))
        await line.forever()

    async with venue.venue(script, made.context) as server, followed(common) as seen:
        home = folder(tmp_path / "defs", server.url, frames="gzip")
        async with collecting(settings(common, home, ca_file=made.ca_file)):
            await until(lambda: trades(seen, 1))
    assert server.url.startswith("wss://")


GARBAGE = [
    ("no JSON", '{"type": "trade", ', "MALFORMED"),
    ("garbage bytes", b"\xff\xfe\x00garbage" * 20, "MALFORMED"),
    ("unknown kind", json.dumps({"type": "surprise"}), "UNKNOWN_MESSAGE"),
    ("price that is none", trade(1, px="cheap"), "ROWS"),
    ("deeply nested", "[" * 5000 + "]" * 5000, "MALFORMED"),
    ("negative level", book(2, [["-1", "1"]], []), "ROWS"),
    ("error of the venue", json.dumps({"type": "trade", "symbol": ["BTC"], "px": None, "ts": "never"}), None),
]


async def test_garbage_goes_to_the_dead_letters_and_never_closes_the_socket(
    common: CommonSettings, tmp_path: Path
) -> None:
    async def script(line: Line) -> None:
        await line.confirmed()
        for number, (_, message, _) in enumerate(GARBAGE):
            await line.send(message)
            await line.send(trade(100 + number, 70_000.0 + number))
        await line.forever()

    async with venue.venue(script) as server, followed(common) as seen:
        async with collecting(settings(common, folder(tmp_path, server.url))):
            found = await until(lambda: trades(seen, len(GARBAGE)))
            await until(lambda: _buried(seen), "every message that is none in the dead letters")
    assert [event.metrics["trade_price"] for event in found] == [70_000.0 + number for number in range(len(GARBAGE))]
    assert len(server.lines) == 1, "one connection all the while"


async def _buried(seen: Followed) -> bool:
    """Whether each piece of garbage is there with its bytes and its reason."""
    said = {(one.value, headers(one)["reason"]) for one in await seen.dead()}
    return said >= {
        (message if isinstance(message, bytes) else message.encode(), reason)
        for _, message, reason in GARBAGE
        if reason
    }


async def test_a_silent_socket_is_opened_anew(common: CommonSettings, tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.confirmed()
        await line.send(trade(line.number, 60_000.0 + line.number))
        await line.forever()

    changes = {"heartbeat": {"kind": "none"}, "silence_s": 1.0}
    async with venue.venue(script) as server, followed(common) as seen:
        async with collecting(settings(common, folder(tmp_path, server.url, **changes))):
            await until(lambda: trades(seen, 2))
            [ended, *_] = await until(lambda: ends(seen, "silent"))
    assert (ended.outcome, ended.endpoint) == ("TIMEOUT", "spot")
    assert len(server.lines) >= 2


async def test_a_feed_whose_time_stands_still_is_opened_anew(common: CommonSettings, tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.confirmed()
        while True:
            await line.send(trade(1, 60_000.0))
            await asyncio.sleep(0.05)

    async with venue.venue(script) as server, followed(common) as seen:
        async with collecting(settings(common, folder(tmp_path, server.url, silence_s=1.0))):
            [ended, *_] = await until(lambda: ends(seen, "stale"))
    assert ended.outcome == "STALE"


async def test_a_quiet_market_is_not_taken_for_a_frozen_one(common: CommonSettings, tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        await line.confirmed()
        await line.send(trade(1))
        await asyncio.sleep(7)  # more than the two silences after which a feed whose time stands still is frozen
        await line.send(trade(2))
        await line.forever()

    async with venue.venue(script) as server, followed(common) as seen:
        async with collecting(settings(common, folder(tmp_path, server.url, silence_s=3.0))):
            await until(lambda: trades(seen, 2))
            [said, *_] = await until(seen.attempts)
    assert len(server.lines) == 1
    assert (said.outcome, said.detail) == ("OK", "subscribed")


async def test_a_subscription_that_nobody_confirms_is_tried_again(common: CommonSettings, tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        if line.number == 0:
            while True:
                await line.send(json.dumps({"op": "pong"}))
                await asyncio.sleep(0.1)
        await line.confirmed()
        await line.send(trade(1))
        await line.forever()

    async with venue.venue(script) as server, followed(common) as seen:
        ack = venue.stream("")["ack"] | {"timeout_s": 2}
        async with collecting(settings(common, folder(tmp_path, server.url, ack=ack))):
            await until(lambda: trades(seen, 1))
            [ended, *_] = await until(lambda: ends(seen, "no_ack"))
    assert ended.outcome == "TIMEOUT"


async def test_after_a_refusal_each_value_is_asked_for_by_itself(common: CommonSettings, tmp_path: Path) -> None:
    async def script(line: Line) -> None:
        while not line.heard:
            await asyncio.sleep(0.01)
        if line.number == 0:
            await line.send(json.dumps({"op": "refused", "why": "no such pair ZZZ-USDT"}))
            await line.forever()
        await line.confirmed(2)
        await line.send(json.dumps({"op": "refused", "why": "no such pair ZZZ-USDT"}), trade(1))
        await line.forever()

    stream = venue.stream("")
    channel = stream["channels"]["trades"] | {"params": {"symbol": {"as": "pair", "values": ["BTC-USDT", "ZZZ-USDT"]}}}
    async with venue.venue(script) as server, followed(common) as seen:
        home = folder(tmp_path, server.url, channels={"trades": channel})
        async with collecting(settings(common, home)):
            await until(lambda: trades(seen, 1))
            [ended, *_] = await until(lambda: ends(seen, "refused"))
    assert ended.detail == "refused: no such pair ZZZ-USDT"
    asked = [[one["symbols"] for one in line.heard if one["op"] == "subscribe"] for line in server.lines]
    assert asked == [[["BTC-USDT", "ZZZ-USDT"]], [["BTC-USDT"], ["ZZZ-USDT"]]]


async def test_a_gap_in_a_book_subscribes_it_anew_and_the_top_is_right_again(
    common: CommonSettings, tmp_path: Path
) -> None:
    async def script(line: Line) -> None:
        await line.confirmed()
        await line.send(book(10, [["99", "1"]], [["101", "1"]], "snapshot"), book(11, [["99.5", "2"]], []))
        await line.send(book(13, [["100.5", "7"]], []))
        while not [one for one in line.heard if one["op"] == "unsubscribe"]:
            await asyncio.sleep(0.01)
        await line.send(book(20, [["98", "3"]], [["102", "4"]], "snapshot"), book(21, [["98.5", "1"]], []))
        await line.forever()

    async with venue.venue(script) as server, followed(common) as seen:
        async with collecting(settings(common, folder(tmp_path, server.url))):
            found = await until(lambda: tops(seen, 4))
    assert found == [
        {"bid": 99.0, "bid_size": 1.0, "ask": 101.0, "ask_size": 1.0},
        {"bid": 99.5, "bid_size": 2.0, "ask": 101.0, "ask_size": 1.0},
        {"bid": 98.0, "bid_size": 3.0, "ask": 102.0, "ask_size": 4.0},
        {"bid": 98.5, "bid_size": 1.0, "ask": 102.0, "ask_size": 4.0},
    ]
    assert len(server.lines) == 1
    assert [one["op"] for one in server.lines[0].heard if one["op"] != "ping"] == [
        "subscribe", "subscribe", "unsubscribe", "subscribe",
    ]  # fmt: skip


async def test_a_book_of_differences_starts_from_rest_and_again_after_a_gap(
    common: CommonSettings, tmp_path: Path
) -> None:
    snapshots = iter([(10, "99"), (30, "98")])
    started = asyncio.Event()

    async def rest(asked: Asked, writer: asyncio.StreamWriter) -> None:
        seq, bid = next(snapshots)
        said = {"symbol": "BTC-USDT", "seq": seq, "bids": [[bid, "1"]], "asks": [["101", "1"]]}
        writer.write(response(200, json.dumps(said).encode()))

    async def script(line: Line) -> None:
        await line.confirmed()
        await line.send(book(10, [["97", "1"]], []), book(11, [["99.5", "2"]], []))
        await started.wait()
        await line.send(book(12, [["99.6", "1"]], []), book(31, [["99.9", "5"]], []))
        await line.forever()

    stream = venue.stream("")
    messages = stream["messages"]
    messages["book"]["book"]["snapshot"] = {"endpoint": "depth", "param": "symbol"}
    depth = {
        "path": "/depth/{symbol}",
        "params": {"symbol": {"as": "pair"}},
        "live": False,
        "emits": [],
        "book": {
            "kind": "snapshot", "entity": {"kind": "pair", "symbol": "symbol"}, "bids": "bids", "asks": "asks",
            "sequence": {"rule": "contiguous", "last": "seq"},
        },
    }  # fmt: skip
    async with loopback.http(rest) as rest_server, venue.venue(script) as server, followed(common) as seen:
        home = venue.definition(
            tmp_path,
            rest_server.url,
            endpoints={"depth": depth},
            streams={"spot": venue.stream(server.url, messages=messages)},
        )
        async with collecting(settings(common, home)):
            await until(lambda: tops(seen, 1), "the book from its first snapshot")
            started.set()
            found = await until(lambda: tops(seen, 3))
    assert [asked.path for asked in rest_server.asked] == ["/depth/BTC-USDT"] * 2
    assert [top["bid"] for top in found] == [99.5, 99.6, 99.9]


async def test_a_server_that_closes_or_refuses_is_asked_again_with_back_off(
    common: CommonSettings, tmp_path: Path
) -> None:
    async def script(line: Line) -> None:
        if line.number == 0:
            return
        await line.confirmed()
        await line.send(trade(1))
        await line.forever()

    async with venue.venue(script) as server, followed(common) as seen:
        async with collecting(settings(common, folder(tmp_path, server.url))):
            await until(lambda: trades(seen, 1))
            [ended, *_] = await until(lambda: ends(seen, "closed"))
    assert ended.outcome == "NETWORK"


@pytest.mark.parametrize(("status", "outcome"), [(429, "RATE_LIMITED"), (403, "AUTH"), (503, "UPSTREAM_5XX")])
async def test_a_refused_handshake_has_the_class_of_its_status(
    common: CommonSettings, tmp_path: Path, status: int, outcome: str
) -> None:
    async with loopback.http(loopback.always(status)) as server, followed(common) as seen:
        home = folder(tmp_path, server.url.replace("http", "ws"))
        async with collecting(settings(common, home)):
            [ended, *_] = await until(lambda: ends(seen, "refused"))
    assert ended.outcome == outcome
