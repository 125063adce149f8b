"""`parallax replay` on a real broker: the records on the topics are the events of the replay, keyed, in order, with origin replay."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from schemas import topics
from schemas.events import Raw
from services.collector import replay
from services.collector.map import identity
from services.collector.registry import load
from services.common import kafka as clients
from services.common.settings import CommonSettings

PROVIDERS = ("coinbase", "coingecko")


async def read(settings: CommonSettings, topic: str) -> list[tuple[bytes, Raw, int]]:
    """Everything on a topic, partition by partition."""
    found: list[tuple[bytes, Raw, int]] = []
    decode = msgspec.json.Decoder(Raw).decode
    async with clients.reader(settings) as reader:
        name = topics.name(topic, settings.topic_prefix)
        parts = [clients.TopicPartition(name, number) for number in range(topics.load().row(topic).partitions)]
        ends = await reader.end_offsets(parts)
        reader.assign(parts)
        await reader.seek_to_beginning(*parts)
        left = {part for part in parts if ends[part] > 0}
        while left:
            for part, records in (await reader.getmany(timeout_ms=1000)).items():
                found += [(record.key, decode(record.value), record.timestamp) for record in records]
                if await reader.position(part) >= ends[part]:
                    left.discard(part)
    return found


@pytest.fixture
def environment(common: CommonSettings, monkeypatch: pytest.MonkeyPatch) -> CommonSettings:
    monkeypatch.setenv("PARALLAX_KAFKA", common.kafka)
    monkeypatch.setenv("PARALLAX_TOPIC_PREFIX", common.topic_prefix)
    return common


@pytest.mark.topics("raw.*")
def test_what_the_replay_says_is_what_the_topics_hold(
    environment: CommonSettings, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    code = replay.main([str(recordings), *(word for name in PROVIDERS for word in ("--provider", name))])
    assert code == 0
    told = replay.told(recordings, PROVIDERS, load.load([load.BUILT_IN]), identity.load())
    expected: dict[str, list[Raw]] = {}
    for one in told:
        for event in one.events:
            expected.setdefault(f"raw.{event.category}", []).append(event)
    assert len(expected) > 2
    for topic, events in expected.items():
        found = asyncio.run(read(environment, topic))
        by_key: dict[str, list[str]] = {}
        for key, event, timestamp in found:
            assert key == event.entity.encode()
            assert event.origin == "replay"
            assert timestamp > event.received_ms, "the broker would drop a record with a time of years ago"
            by_key.setdefault(event.entity, []).append(event.id)
        wanted: dict[str, list[str]] = {}
        for event in events:
            wanted.setdefault(event.entity, []).append(event.id)
        assert by_key == wanted, topic
    assert "events of" in capsys.readouterr().err
