"""State comes back: from checkpoints, without them, on another log; and rates are one with the log."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from schemas import metrics
from services.aggregator.app import quotes
from services.aggregator.driver.recovery import recover
from services.aggregator.engine import Limits, Rules
from services.common import kafka, provision
from services.common.settings import CommonSettings
from tests.fixtures import oracle, rerun
from tests.fixtures.aggregators import TOPICS, ends, events, feed, read, settled, workers
from tests.fixtures.until import until

pytestmark = [pytest.mark.topics(*TOPICS)]

ANY_OFFSET = r"\d+"


def newest(records) -> dict[bytes, bytes]:
    """The record with the highest version per key, as readers keep it."""
    best: dict[bytes, tuple[int, bytes]] = {}
    for record in records:
        version = json.loads(record.value)["version"]
        if record.key not in best or version >= best[record.key][0]:
            best[record.key] = (version, record.value)
    return {key: value for key, (_, value) in best.items()}


async def anew(common: CommonSettings, *names: str) -> None:
    """Delete these topics and create them again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=common.kafka)
    await admin.start()
    try:
        await admin.delete_topics([common.topic_prefix + name for name in names])

        async def gone() -> bool:
            return not {common.topic_prefix + name for name in names} & set(await admin.list_topics())

        await until(gone, "the topics are gone")
    finally:
        await admin.close()
    await provision.apply(common, names)


async def test_a_restart_goes_on_from_the_checkpoint_and_folds_nothing_again(
    common: CommonSettings, tmp_path: Path
) -> None:
    await feed(common, events(2000, 50))
    async with workers(common, tmp_path) as (worker,):
        await settled(common)
        assert worker.stop() == 0
        before = await ends(common, "fused.market")
        worker.start()
        await worker.joined()
        await feed(common, events(500, 50, seed=8))
        await settled(common)
        assert worker.stop() == 0
        assert "entities, " in worker.text()
    raw, fused = await read(common, "raw.market"), await read(common, "fused.market")
    assert oracle.faults(raw, fused) == []
    assert rerun.differences("market", raw, fused) == []
    again = [record for record in fused if record.offset >= before[record.partition]]
    assert {
        json.loads(record.value)["as_of_ms"] >= min(r.timestamp for r in raw if r.offset >= 0) for record in again
    } == {True}


async def test_an_empty_deployment_on_the_same_log_ends_with_the_same_records(
    common: CommonSettings, tmp_path: Path
) -> None:
    await feed(common, events(2000, 50))
    async with workers(common, tmp_path) as (worker,):
        await settled(common)
        assert worker.stop() == 0
    first = newest(await read(common, "fused.market"))
    await anew(common, "fused.market", "state.market", "candles.1m")
    async with workers(common, tmp_path, PARALLAX_GROUP="another") as (worker,):
        await settled(common, group="another")
        assert worker.stop() == 0
    assert newest(await read(common, "fused.market")) == first


async def test_a_log_that_was_made_anew_is_read_from_its_start_in_the_next_epoch(
    common: CommonSettings, tmp_path: Path
) -> None:
    await feed(common, events(1000, 20))
    async with workers(common, tmp_path) as (worker,):
        await settled(common)
        assert worker.stop() == 0
        await anew(common, "raw.market")
        await feed(common, events(3000, 20, seed=9))
        worker.start()
        await worker.joined()
        await feed(common, events(500, 20, seed=10))
        await settled(common, group="aggregators")
        assert worker.stop() == 0
    versions = [json.loads(record.value)["version"] for record in await read(common, "fused.market")]
    assert max(versions) >= 2**40
    assert "made anew" in worker.text()


async def test_rates_are_written_into_the_log_and_replayed_from_it(common: CommonSettings, tmp_path: Path) -> None:
    async with workers(common, tmp_path) as (worker,):
        await feed(common, events(3000, 50), 1500)
        await settled(common)
        assert worker.stop() == 0
    raw, fused = await read(common, "raw.market"), await read(common, "fused.market")
    told = [json.loads(record.value) for record in raw if record.key == b"control:rates"]
    assert {(one["provider"], tuple(one["metrics"])) for one in told} == {("parallax", ("tether",))}
    assert {record.partition for record in raw if record.key == b"control:rates"} == {0, 1, 2, 3}
    for category in ("exchange", "derivatives", "dex"):
        assert sum((await ends(common, f"raw.{category}")).values()) > 0
    assert oracle.faults(raw, fused) == []
    assert rerun.differences("market", raw, fused) == []


async def test_state_says_what_the_log_says_at_its_position(common: CommonSettings, tmp_path: Path) -> None:
    await feed(common, events(1500, 40))
    async with workers(common, tmp_path) as (worker,):
        await settled(common)
        assert worker.stop() == 0
    raw = await read(common, "raw.market")
    expected = oracle.fold(raw)
    rules = Rules("market", metrics.load(), Limits(), quotes())
    found = {}
    for number in range(4):
        recovered = await recover(
            common, rules, f"{common.topic_prefix}raw.market", f"{common.topic_prefix}state.market", number
        )
        for key in recovered.partition.entities:
            entity = recovered.partition.entity(key)
            assert entity is not None
            found[key.decode()] = (entity.version, entity.as_of_ms)
    assert found == {entity: (one.version, one.as_of_ms) for entity, one in expected.items()}


async def test_a_damaged_state_is_told_and_its_key_begins_anew(common: CommonSettings, tmp_path: Path) -> None:
    await feed(common, events(1000, 20))
    async with workers(common, tmp_path) as (worker,):
        await settled(common)
        assert worker.stop() == 0
        state = await read(common, "state.market")
        hurt = next(record for record in state if not record.key.startswith(b"!"))
        mark = [record for record in state if record.partition == hurt.partition and record.key == b"!mark"][-1]
        async with kafka.producer(common) as producer:
            for key, value in ((hurt.key, hurt.value[:20]), (mark.key, mark.value)):
                await producer.send_and_wait(
                    f"{common.topic_prefix}state.market", value, key, hurt.partition, headers=list(mark.headers)
                )
        worker.start()
        await worker.joined()
        told = f"the state of 1 keys cannot be read, and they begin anew with the log from {ANY_OFFSET} on: '{hurt.key.decode()}'"
        await until(lambda: re.search(told, worker.text()) is not None, f"{told!r} is logged")
        async with httpx.AsyncClient() as client:
            url = re.findall(r"operations on (http\S+)", worker.text())[-1]
            shown = (await client.get(f"{url.rstrip('/')}/metrics")).text
        assert 'parallax_state_damaged_total{category="market"} 1.0' in shown
        await feed(common, events(1000, 20, seed=8))
        await settled(common)
        assert worker.stop() == 0
    rules = Rules("market", metrics.load(), Limits(), quotes())
    topics = f"{common.topic_prefix}raw.market", f"{common.topic_prefix}state.market"
    again = (await recover(common, rules, *topics, hurt.partition)).partition
    assert (again.damaged, hurt.key in again.entities) == ([], True)
