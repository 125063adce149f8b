"""A collector polls a loopback provider into a real Kafka."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.events import Archived, Attempt, Raw
from services.collector.plan import ON_TIME_MS, jitter_ms
from services.collector.reading import Answer, Reader
from services.common.settings import CommonSettings
from tests.fixtures import loopback, venue
from tests.fixtures.collecting import Followed, collecting, followed, headers, settings
from tests.fixtures.loopback import Asked, always, response
from tests.fixtures.until import until

pytestmark = pytest.mark.topics("raw.*", "ops.*", "archive", "dlq")
SOON = next(name for name in map("t{}".format, range(1000)) if jitter_ms(f"acme|{name}", 10_000) < 300)
"""An endpoint whose name makes its first start come soon."""


async def test_an_answer_becomes_events_an_archived_body_and_an_attempt(common: CommonSettings, tmp_path: Path) -> None:
    body = venue.rows(("BTC-USDT", "60000.5"), ("ETH-USDT", 3000))
    async with (
        loopback.http(always(200, body, {"x-ratelimit-remaining": "7", "set-cookie": "a=b"})) as server,
        followed(common) as seen,
    ):
        async with collecting(settings(common, venue.definition(tmp_path, server.url))):
            await until(seen.raw)
            attempt = (await until(seen.attempts))[0]
            archived = (await until(seen.archived))[0]
        events = {event.entity: event for event in await seen.raw()}
    event = events["pair:bitcoin/tether"]
    assert event == Raw(
        id=event.id,
        category="exchange",
        provider="acme",
        endpoint="ticker",
        entity="pair:bitcoin/tether",
        metrics={"last": 60000.5},
        received_ms=event.received_ms,
        origin="live",
        event_ms=1_795_305_600_000,
        quote="tether",
        registry=event.registry,
    )
    assert set(events) == {"pair:bitcoin/tether", "pair:ethereum/tether"}
    assert (attempt.outcome, attempt.status, attempt.events, attempt.bytes) == ("OK", 200, 2, len(body))
    assert attempt.due_ms is not None
    assert attempt.delay_ms == attempt.started_ms - attempt.due_ms
    assert attempt.on_time is (attempt.delay_ms <= ON_TIME_MS)
    assert archived.value == body
    meta = msgspec.json.decode(headers(archived)["meta"], type=Archived)
    assert (meta.provider, meta.endpoint, meta.status, meta.url) == ("acme", "ticker", 200, server.url + "/tickers")
    assert meta.headers == {"x-ratelimit-remaining": "7", "content-type": "application/json"}
    assert event.registry == meta.registry


async def test_a_304_confirms_the_kept_answer_as_of_now(common: CommonSettings, tmp_path: Path) -> None:
    async def conditional(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.headers.get("if-none-match") == '"v1"':
            writer.write(response(304, headers={"etag": '"v1"'}))
        else:
            writer.write(response(200, venue.rows(("BTC-USDT", 60000)), {"etag": '"v1"'}))

    async with loopback.http(conditional) as server, followed(common) as seen:
        async with collecting(settings(common, venue.definition(tmp_path, server.url))):
            await until(lambda: len(server.asked) >= 2)
            events = await until(lambda: _at_least(seen.raw, 2))
    first, second = events[:2]
    assert first.id == second.id, "the same statement has the same id"
    assert second.received_ms > first.received_ms


async def _at_least(read: object, count: int) -> list[Raw] | None:
    found = await read()  # type: ignore[operator]
    return found if len(found) >= count else None


BAD_BODIES = [
    ("malformed JSON", b'{"data": [', {}, "MALFORMED", "MALFORMED"),
    ("wrong charset", b'{"data":[{"symbol":"BTC-USDT","last":1,"note":"\xff\xfe"}]}', {}, "MALFORMED", "MALFORMED"),
    ("gzip that is none", b"plain", {"content-encoding": "gzip"}, "MALFORMED", "MALFORMED"),
    ("too large", b'{"data":"' + b"x" * 1_100_000 + b'"}', {}, "MALFORMED", "MALFORMED"),
    ("another shape", b'{"rows": []}', {}, "SCHEMA_DRIFT", "SCHEMA_DRIFT"),
    ("NaN", venue.rows(("BTC-USDT", float("nan")), ("ETH-USDT", 1)), {}, None, "ROWS"),
    ("1e400", b'{"data":[{"symbol":"BTC-USDT","last":1e400},{"symbol":"ETH-USDT","last":1}]}', {}, None, "ROWS"),
    ("negative price", venue.rows(("BTC-USDT", -5), ("ETH-USDT", 1), ("SOL-USDT", 1)), {}, None, "ROWS"),
    ("wrong type", venue.rows(("BTC-USDT", {"a": 1}), ("ETH-USDT", 1), ("SOL-USDT", 1)), {}, None, "ROWS"),
    ("far future", venue.rows(("BTC-USDT", 1), ts=99_795_305_600_000), {}, None, "ROWS"),
]


async def test_a_bad_body_is_named_kept_as_it_was_and_does_not_stop_what_follows(
    common: CommonSettings, tmp_path: Path
) -> None:
    bad = {f"/{number}": row for number, row in enumerate(BAD_BODIES)}
    seen_once: set[str] = set()

    async def bad_then_good(asked: Asked, writer: asyncio.StreamWriter) -> None:
        _, body, more, _, _ = bad[asked.path]
        if asked.path in seen_once:
            body, more = venue.rows(("SOL-USDT", 1000 + float(asked.path[1:]))), {}
        seen_once.add(asked.path)
        writer.write(response(200, body, more))

    endpoints = {f"e{path[1:]}": venue.ticker(path=path) for path in bad}
    async with loopback.http(bad_then_good) as server, followed(common) as seen:
        home = venue.definition(tmp_path, server.url, endpoints=endpoints)
        async with collecting(settings(common, home, body_mb=1, retries=0)):
            for number in range(len(bad)):
                await until(partial(_spoke, seen, "pair:solana/tether", 1000.0 + number))
                await until(partial(_buried, seen, f"e{number}"), f"e{number} among the dead letters")
                await until(partial(_tried, seen, f"e{number}"), f"an attempt of e{number}")
            attempts, dead = await seen.attempts(), await seen.dead()
    for number, (name, body, more, outcome, reason) in enumerate(BAD_BODIES):
        [letter, *_] = [one for one in dead if headers(one)["endpoint"] == f"e{number}"]
        said = headers(letter)
        assert (said["reason"], said["service"], said["provider"]) == (reason, "collector", "acme"), name
        assert said["detail"], name
        if "content-encoding" not in more:
            assert letter.value == (body if len(body) < 1_000_000 else body[: 64 * 1024]), name
        first = next(one for one in attempts if one.endpoint == f"e{number}")
        assert first.outcome == (outcome or "OK"), name


async def _buried(seen: Followed, endpoint: str) -> bool:
    return any(headers(one)["endpoint"] == endpoint for one in await seen.dead())


async def _tried(seen: Followed, endpoint: str) -> bool:
    return any(one.endpoint == endpoint for one in await seen.attempts())


async def _spoke(seen: Followed, entity: str, last: float) -> bool:
    return any(event.entity == entity and event.metrics.get("last") == last for event in await seen.raw())


async def test_a_storm_of_429_is_slowed_and_retry_after_is_obeyed(common: CommonSettings, tmp_path: Path) -> None:
    asked_at: list[float] = []

    async def storm(asked: Asked, writer: asyncio.StreamWriter) -> None:
        asked_at.append(asyncio.get_running_loop().time())
        if len(asked_at) <= 2:
            writer.write(response(429, b'{"error":"slow down"}', {"retry-after": "1"}))
        else:
            writer.write(response(200, venue.rows(("BTC-USDT", 60000))))

    endpoint = {SOON: venue.ticker(every_s=10)}
    async with loopback.http(storm) as server, followed(common) as seen:
        async with collecting(settings(common, venue.definition(tmp_path, server.url, endpoints=endpoint))):
            await until(seen.raw)
        attempts = [one for one in await seen.attempts() if one.outcome != "SKIPPED"][:3]
    assert [(one.outcome, one.status, one.try_number) for one in attempts] == [
        ("RATE_LIMITED", 429, 1), ("RATE_LIMITED", 429, 2), ("OK", 200, 3),
    ]  # fmt: skip
    assert all(later - earlier >= 0.95 for earlier, later in itertools.pairwise(asked_at))


async def test_an_endpoint_that_keeps_failing_is_left_alone_and_the_skips_say_why(
    common: CommonSettings, tmp_path: Path
) -> None:
    async with loopback.http(always(500, b"oops")) as server, followed(common) as seen:
        async with collecting(settings(common, venue.definition(tmp_path, server.url), retries=0)):
            skipped = await until(lambda: _skips(seen, "breaker_open"))
            asked = len(server.asked)
    assert asked == 5, "the smallest sample opens the breaker"
    assert (skipped[0].outcome, skipped[0].breaker, skipped[0].due_ms is not None) == ("SKIPPED", "open", True)


async def _skips(seen: Followed, reason: str) -> list[Attempt]:
    return [one for one in await seen.attempts() if one.skip_reason == reason]


async def test_secrets_are_sent_and_never_seen_again(
    common: CommonSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "s3cr3t/value+1"
    monkeypatch.setenv("PARALLAX_SECRET_ACME_KEY", secret)

    async def echo(asked: Asked, writer: asyncio.StreamWriter) -> None:
        good = json.loads(venue.rows(("BTC-USDT", 60000)))
        writer.write(response(200, json.dumps({"you": asked.path, "key": secret} | good).encode()))

    auth = {"kind": "query", "name": "key", "secret": "acme/key"}
    async with loopback.http(echo) as server, followed(common) as seen:
        async with collecting(settings(common, venue.definition(tmp_path, server.url, auth=auth))):
            await until(seen.archived)
            await until(seen.raw)
        assert server.asked[0].path == "/tickers?key=s3cr3t%2Fvalue%2B1"
        await seen.read()
    everything = [
        part
        for records in seen.records.values()
        for one in records
        for part in (one.value, *dict(one.headers).values())
    ]
    assert len(everything) >= 4
    assert b'"key": "[secret]"' in seen.records["archive"][0].value
    assert not [part for part in everything if b"s3cr3t" in part]
    assert "s3cr3t" not in caplog.text


async def test_without_its_key_a_provider_is_skipped_not_asked(common: CommonSettings, tmp_path: Path) -> None:
    auth = {"kind": "header", "name": "x-key", "secret": "acme/key"}
    async with loopback.http(always(200, b"{}")) as server, followed(common) as seen:
        async with collecting(settings(common, venue.definition(tmp_path, server.url, auth=auth))):
            await until(lambda: _skips(seen, "no_key"))
    assert server.asked == []


async def test_pairs_that_a_venue_does_not_list_are_found_and_left_out(common: CommonSettings, tmp_path: Path) -> None:
    listed = {"BTC-USDT", "ETH-USDT", "SOL-USDT"}

    async def strict(asked: Asked, writer: asyncio.StreamWriter) -> None:
        symbols = asked.path.partition("symbols=")[2].replace("%2C", ",").split(",")
        if set(symbols) <= listed:
            writer.write(response(200, venue.rows(*((symbol, 5) for symbol in symbols))))
        else:
            writer.write(response(404, b'{"error":"unknown symbol"}'))

    endpoint = {"ticker": venue.ticker(params={"symbols": {"as": "pair"}}, batch={"param": "symbols", "max": 100})}
    folder = venue.definition(tmp_path, "", endpoints=endpoint)
    async with loopback.http(strict) as server, followed(common) as seen:
        venue.definition(folder, server.url, endpoints=endpoint)
        async with collecting(settings(common, folder, retries=0)):
            await until(lambda: _all_listed_in_one(server.asked, listed))
        events = await seen.raw()
    assert {event.entity for event in events} == {f"pair:{base}/tether" for base in ("bitcoin", "ethereum", "solana")}


def _all_listed_in_one(asked: list[Asked], listed: set[str]) -> bool:
    return set(asked[-1].path.partition("symbols=")[2].split("%2C")) == listed if asked else False


async def test_the_simulator_stands_for_every_provider_and_is_stamped_as_such(
    common: CommonSettings, tmp_path: Path
) -> None:
    auth = {"kind": "header", "name": "x-key", "secret": "acme/key"}
    folder = venue.definition(tmp_path, "https://api.acme.example/v2", auth=auth)
    async with loopback.http(always(200, venue.rows(("BTC-USDT", 60000)))) as server, followed(common) as seen:
        async with collecting(settings(common, folder, mode="sandbox", sandbox_url=server.url + "/sim")):
            event = (await until(seen.raw))[0]
    assert event.origin == "sandbox"
    assert server.asked[0].path == "/sim/acme/v2/tickers"
    assert "x-key" not in server.asked[0].headers


async def test_a_slow_provider_does_not_hold_up_another_job_and_the_skip_says_in_flight(
    common: CommonSettings, tmp_path: Path
) -> None:
    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.path == "/slow":
            await asyncio.sleep(3)
        writer.write(response(200, venue.rows(("BTC-USDT", 60000))))

    endpoints = {"slow": venue.ticker(path="/slow"), "quick": venue.ticker(path="/quick")}
    async with loopback.http(slow) as server, followed(common) as seen:
        async with collecting(settings(common, venue.definition(tmp_path, server.url, endpoints=endpoints))):
            skipped = await until(lambda: _skips(seen, "in_flight"))
            quick = [asked.path for asked in server.asked].count("/quick")
            await until(lambda: [asked.path for asked in server.asked].count("/quick") > quick)
    assert skipped[0].endpoint == "slow"


async def test_a_provider_over_tls_and_http2_is_polled_like_any_other(common: CommonSettings, tmp_path: Path) -> None:
    made = loopback.authority(tmp_path)
    versions: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        versions.append(scope["http_version"])
        body = gzip.compress(venue.rows(("BTC-USDT", 60000)))
        packed = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]
        await send({"type": "http.response.start", "status": 200, "headers": packed})
        for at in range(0, len(body), 20):
            await send({"type": "http.response.body", "body": body[at : at + 20], "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with loopback.http2(app, made) as url, followed(common) as seen:
        home = venue.definition(tmp_path / "defs", url)
        async with collecting(settings(common, home, ca_file=made.ca_file)):
            event = (await until(seen.raw))[0]
    assert event.metrics == {"last": 60000.0}
    assert set(versions) == {"2"}


async def test_a_budget_in_redis_outlives_the_process(common: CommonSettings, tmp_path: Path, valkey: str) -> None:
    limits = [{"n": 1, "window": "day", "source": "made up", "verified": "2026-11-22"}]
    async with loopback.http(always(200, venue.rows(("BTC-USDT", 60000)))) as server, followed(common) as seen:
        home = venue.definition(tmp_path, server.url, limits=limits, endpoints={SOON: venue.ticker(every_s=200_000)})
        async with collecting(settings(common, home, redis=valkey)):
            await until(seen.raw)
        async with collecting(settings(common, home, redis=valkey)):
            [first, *_] = await until(lambda: _skips(seen, "reserve"))
    assert len(server.asked) == 1
    assert first.quota_used == pytest.approx(1.0, abs=0.01), "a little less when the day ends between the two"


async def test_a_mapping_that_fails_costs_its_body_and_nothing_else(
    common: CommonSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Reader.read

    def fragile(self: Reader, status: int, head: Any, body: bytes, *more: Any) -> Answer:
        if b"777" in body:
            raise TypeError("unexpected")
        return read(self, status, head, body, *more)

    async def twice(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, venue.rows(("BTC-USDT", 777 if len(server.asked) == 1 else 60000))))

    monkeypatch.setattr(Reader, "read", fragile)
    async with loopback.http(twice) as server, followed(common) as seen:
        async with collecting(settings(common, venue.definition(tmp_path, server.url), retries=0)):
            await until(seen.raw)
            [dead, *_] = await until(seen.dead)
    said = headers(dead)
    assert (said["reason"], said["detail"]) == ("MALFORMED", "the mapping failed: TypeError: unexpected")
    assert dead.value == venue.rows(("BTC-USDT", 777))
