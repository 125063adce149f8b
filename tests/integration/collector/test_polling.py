"""A collector polls a loopback provider into a real Kafka."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from schemas.events import Archived, Raw
from services.common.settings import CommonSettings
from tests.fixtures import loopback, venue
from tests.fixtures.collecting import collecting, followed, headers, settings
from tests.fixtures.loopback import Asked, always, response
from tests.fixtures.until import until
import msgspec


async def test_an_answer_becomes_events_an_archived_body_and_an_attempt(common: CommonSettings, tmp_path: Path) -> None:
    body = venue.rows(("BTC-USDT", "60000.5"), ("ETH-USDT", 3000))
    async with loopback.http(always(200, body, {"x-ratelimit-remaining": "7", "set-cookie": "a=b"})) as server, followed(common) as seen:
        async with collecting(settings(common, venue.definition(tmp_path, server.url))):
            await until(seen.raw, 20)
            attempt = (await until(seen.attempts, 10))[0]
            archived = (await until(seen.archived, 10))[0]
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
    assert (attempt.outcome, attempt.status, attempt.events, attempt.bytes, attempt.on_time) == ("OK", 200, 2, len(body), True)
    assert attempt.due_ms is not None
    assert attempt.delay_ms == attempt.started_ms - attempt.due_ms
    assert archived.value == body
    meta = msgspec.json.decode(headers(archived)["meta"], type=Archived)
    assert (meta.provider, meta.endpoint, meta.status, meta.url) == ("acme", "ticker", 200, server.url + "/tickers")
    assert meta.headers == {"x-ratelimit-remaining": "7", "content-type": "application/json"}
    assert event.registry == meta.registry
