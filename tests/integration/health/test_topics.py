"""What health reads and publishes on a real broker."""

from __future__ import annotations

import signal

import httpx
import msgspec
import pytest

from schemas.events import Fused, FusedMetric, Source
from tests.fixtures.until import until
from tests.integration.health.conftest import NEEDED, Process, Topics, now_ms

pytestmark = pytest.mark.topics(*NEEDED)

READ = ("ops.fetches", "ops.providers", "ops.services", "ops.alerts", "fused.market")


async def test_a_provider_is_unrated_then_online(process: Process, topics: Topics) -> None:
    await process.start(PARALLAX_TIME_SCALE="0.2")  # what was heard stays fresh for 36 s
    for _ in range(19):
        await topics.attempt("acme", latency_ms=150.0, quota_used=0.25)
    await until(lambda: rated(topics, "unrated", 19), "19 samples are counted")
    await topics.attempt("acme", latency_ms=150.0, quota_used=0.25)
    await until(lambda: rated(topics, "online", 20), "the 20th sample rates it")
    score = await topics.score("acme")
    assert score is not None
    assert (score.score, score.origin, score.latency_p95_ms, score.last_outcome) == (85.0, "sandbox", 150.0, "OK")
    async with httpx.AsyncClient(timeout=60) as client:
        text = (await client.get(process.url + "/metrics")).text
    assert 'parallax_health_provider_score{provider="acme"} 85.0' in text
    assert 'parallax_health_providers{state="online"} 1.0' in text


async def rated(topics: Topics, state: str, samples: int) -> bool:
    score = await topics.score("acme")
    return score is not None and (score.state, score.samples) == (state, samples)


async def test_who_is_far_from_the_others_is_inaccurate(process: Process, topics: Topics) -> None:
    await process.start()
    by = [
        Source(provider=name, value=value, age_ms=0, weight=0.25)
        for name, value in (("a", 100.0), ("b", 100.0), ("liar", 150.0))
    ]
    metric = FusedMetric(value=100.0, confidence=0.9, low=99.0, high=101.0, spread=0.5, sources=3, by=by)
    record = Fused(
        entity="asset:bitcoin",
        category="market",
        version=1,
        as_of_ms=now_ms(),
        origin="sandbox",
        metrics={"price": metric},
    )
    await topics.put("fused.market", record.entity, msgspec.json.encode(record))
    for name in ("a", "liar"):
        await topics.attempt(name)

    async def accuracy(name: str) -> float | None:
        score = await topics.score(name)
        return None if score is None else score.components.get("accuracy")

    async def both() -> bool:
        return None not in (await accuracy("a"), await accuracy("liar"))

    await until(both, "both are measured")
    # The others of a say (100 + 150) / 2, so it is 25 error bars of 1 away; the liar is 50 away.
    assert await accuracy("a") == pytest.approx(1 / (1 + (25 / 3) ** 2), abs=1e-4)
    assert await accuracy("liar") == pytest.approx(1 / (1 + (50 / 3) ** 2), abs=1e-4)
    disagreement = await topics.until_state("sources_disagree", "firing")
    assert disagreement.labels == {"category": "market", "entity": "asset:bitcoin", "metric": "price"}


async def test_a_silent_collector_is_an_alert(process: Process, topics: Topics) -> None:
    await topics.define("acme")
    await process.start()
    firing = await topics.until_state("collector_silent", "firing")
    assert firing.labels == {"category": "market"}
    await topics.attempt("acme")
    await topics.until_state("collector_silent", "resolved")


async def test_poison_goes_to_dlq_with_its_origin_and_everything_after_it_is_read(
    process: Process, topics: Topics
) -> None:
    await process.start()
    for topic in READ:
        key = "score/x" if topic == "ops.providers" else "definition/x"
        await topics.put(topic, key, b"\xff not json")
    await topics.put("ops.providers", "definition/x", b'{"provider": 5}')
    await topics.attempt("acme", "AUTH")
    await topics.until_state("key_rejected", "firing")

    # Health does not read its own words again (scores, alerts) once it is ready: three are left.
    async def set_aside() -> bool:
        return len(await topics.records("dlq")) == 4

    await until(set_aside, "the poison is set aside")
    rows = await topics.records("dlq")
    prefix = topics.prefix
    assert sorted((headers["topic"].decode().removeprefix(prefix), value) for _, value, headers in rows) == [
        ("fused.market", b"\xff not json"),
        ("ops.fetches", b"\xff not json"),
        ("ops.providers", b'{"provider": 5}'),
        ("ops.services", b"\xff not json"),
    ]
    assert {(headers["service"], headers["offset"]) for _, _, headers in rows} <= {(b"health", b"0"), (b"health", b"1")}
    assert all(headers["reason"] for _, _, headers in rows)
    firing = await topics.until_state("records_set_aside", "firing")
    assert firing.labels == {"topic": "dlq"}
    assert process.end(signal.SIGTERM) == 0


async def test_poison_among_its_own_words_does_not_stop_a_start(process: Process, topics: Topics) -> None:
    await topics.put("ops.alerts", "broken", b"{")
    await topics.put("ops.providers", "score/broken", b"[]")
    await process.start()
    await topics.attempt("acme", "AUTH")
    await topics.until_state("key_rejected", "firing")
