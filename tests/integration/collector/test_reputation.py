"""`parallax providers show ID --reputation` prints the newest of what fusion learned, from a real broker."""

from __future__ import annotations

import json

import msgspec
import pytest

from schemas.events import ProviderScore, Reputation
from services.collector import cli
from services.common import kafka
from services.common.settings import CommonSettings

pytestmark = [pytest.mark.topics("ops.providers")]


async def test_the_newest_reputation_of_a_provider_is_shown(
    common: CommonSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import asyncio

    monkeypatch.setenv("PARALLAX_KAFKA", common.kafka)
    monkeypatch.setenv("PARALLAX_TOPIC_PREFIX", common.topic_prefix)
    async with kafka.producer(common) as producer:
        for provider, lag_ms in (("aqua", 1.0), ("blue", 7.0), ("aqua", 250.0)):
            value = Reputation(
                provider=provider, reputation={"lag_ms": lag_ms, "accuracy": 0.5}, updated_ms=1, one_voice_with=["blue"]
            )
            topic = f"{common.topic_prefix}ops.providers"
            await producer.send_and_wait(topic, msgspec.json.encode(value), f"reputation/{provider}".encode())
    assert await asyncio.to_thread(cli.main, ["show", "aqua", "--reputation", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reputation"] == {"lag_ms": 250.0, "accuracy": 0.5}
    assert await asyncio.to_thread(cli.main, ["show", "aqua", "--reputation"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "lag_ms     250",
        "accuracy   0.5",
        "one voice  blue",
    ]
    assert await asyncio.to_thread(cli.main, ["show", "nobody", "--reputation"]) == 1
    assert "nothing is known of 'nobody' yet" in capsys.readouterr().err


async def test_what_health_heard_of_a_drift_is_shown(
    common: CommonSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import asyncio

    monkeypatch.setenv("PARALLAX_KAFKA", common.kafka)
    monkeypatch.setenv("PARALLAX_TOPIC_PREFIX", common.topic_prefix)
    drift = {"tickers": "last: `last` is missing in all 20 rows; `lastPrice` is new and like it: renamed?"}
    score = ProviderScore(
        provider="aqua", state="online", score=90.0, components={}, samples=30, updated_ms=1, drift=drift
    )
    async with kafka.producer(common) as producer:
        topic = f"{common.topic_prefix}ops.providers"
        await producer.send_and_wait(topic, msgspec.json.encode(score), b"score/aqua")
    assert await asyncio.to_thread(cli.main, ["show", "aqua", "--drift", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == drift
    assert await asyncio.to_thread(cli.main, ["show", "aqua", "--drift"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"tickers: {drift['tickers']}\n"
    assert shown.err == "1 endpoints of aqua drifted; see docs/drift.md\n"
