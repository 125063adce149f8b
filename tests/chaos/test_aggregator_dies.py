"""Aggregators are killed, stopped, frozen and shuffled under load; the fused topic must end as a plain fold of the log says."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from sandbox import broker, process
from services.common import provision
from services.common.settings import CommonSettings
from tests.fixtures import oracle, rerun
from tests.fixtures.aggregators import TOPICS, Worker, events, feed, read, settled, workers
from tests.fixtures.until import until

PER_S = 5000.0
ENTITIES = 2000
SEED = int(os.environ.get("PARALLAX_CHAOS_SEED", "11"))

pytestmark = [pytest.mark.topics(*TOPICS)]


async def nothing_is_lost(common: CommonSettings) -> None:
    """The proof: every entity as the plain fold says, one payload per version, and a replay gives the same bytes."""
    raw, fused = await read(common, "raw.market"), await read(common, "fused.market")
    faults = oracle.faults(raw, fused)
    assert faults == [], f"{len(faults)} faults in {len(fused)} fused records of {len(raw)} raw ones:\n" + "\n".join(
        faults[:20]
    )
    differences = rerun.differences("market", raw, fused)
    assert differences == [], f"{len(differences)} differences:\n" + "\n".join(differences[:10])
    print(f"{len(raw)} raw, {len(fused)} fused, 0 faults, 0 differences")


async def killing(common: CommonSettings, found: list[Worker], kills: int) -> None:
    """Kill one of the workers at a random moment and start it again, so many times."""
    rnd = random.Random(SEED)
    for _ in range(kills):
        await asyncio.sleep(rnd.uniform(0.3, 4.0))
        victim = rnd.choice(found)
        victim.kill()
        if rnd.random() < 0.5:
            await asyncio.sleep(rnd.uniform(0.0, 2.0))
        victim.start()


async def under_load(common: CommonSettings, trouble: asyncio.Task[None]) -> None:
    """Feed events at the full rate until the trouble is over."""
    seed, fed = 0, 0
    while not trouble.done():
        fed += await feed(common, events(int(PER_S), ENTITIES, seed=seed), PER_S)
        seed += 1
    await trouble
    assert fed > 0


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(5, marks=[pytest.mark.slow], id="5-kills"),
        pytest.param(
            int(os.environ.get("PARALLAX_KILLS", "30")),
            marks=[pytest.mark.chaos, pytest.mark.timeout(1800)],
            id="30-kills",
        ),
    ],
)
async def test_sigkill_at_random_loses_nothing_and_doubles_nothing(
    common: CommonSettings, tmp_path: Path, kills: int
) -> None:
    async with workers(common, tmp_path, 2) as found:
        await under_load(common, asyncio.create_task(killing(common, found, kills)))
        await settled(common)
        assert [worker.stop() for worker in found] == [0, 0]
        await nothing_is_lost(common)


@pytest.mark.slow
async def test_sigterm_hands_over_without_folding_twice(common: CommonSettings, tmp_path: Path) -> None:
    async def handover(found: list[Worker]) -> None:
        for worker in found:
            await worker.joined()
            await asyncio.sleep(2)
            assert await asyncio.to_thread(worker.stop) == 0
            worker.start()
        await asyncio.sleep(3)

    async with workers(common, tmp_path, 2) as found:
        await under_load(common, asyncio.create_task(handover(found)))
        await settled(common)
        assert [worker.stop() for worker in found] == [0, 0]
        await nothing_is_lost(common)


@pytest.mark.slow
async def test_a_frozen_worker_wakes_up_and_writes_nothing_old(common: CommonSettings, tmp_path: Path) -> None:
    async def freeze(found: list[Worker]) -> None:
        await asyncio.sleep(3)
        found[0].signal(signal.SIGSTOP)
        await asyncio.sleep(9)  # longer than the session of 6 s: the other worker takes over meanwhile
        found[0].signal(signal.SIGCONT)
        await until(
            lambda: (
                "writing stops until the group confirms us" in found[0].text()
                or "went on without us" in found[0].text()
            ),
        )
        await asyncio.sleep(3)

    async with workers(common, tmp_path, 2) as found:
        await under_load(common, asyncio.create_task(freeze(found)))
        await settled(common)
        assert [worker.stop() for worker in found] == [0, 0]
        await nothing_is_lost(common)


@pytest.mark.chaos
async def test_a_storm_of_rebalances_loses_nothing(common: CommonSettings, tmp_path: Path) -> None:
    async def storm() -> None:
        for number in range(8):
            guest = Worker(common, tmp_path / f"guest-{number}.log").start()
            await asyncio.sleep(2.5)
            if number % 2:
                guest.kill()
            else:
                await asyncio.to_thread(guest.stop)

    async with workers(common, tmp_path, 2) as found:
        await under_load(common, asyncio.create_task(storm()))
        await settled(common)
        assert [worker.stop() for worker in found] == [0, 0]
        await nothing_is_lost(common)


@pytest.mark.slow
async def test_a_broker_that_goes_away_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    server = broker.Broker(tmp_path / "broker", process.free_port())
    await asyncio.to_thread(server.prepare)
    await asyncio.to_thread(server.start)
    try:
        common = CommonSettings(kafka=server.bootstrap, topic_prefix="bounce.", log_format="text")
        await provision.apply(common, TOPICS)

        async def bounce() -> None:
            await asyncio.sleep(4)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            await asyncio.sleep(4)

        async with workers(common, tmp_path, 2) as found:
            await under_load(common, asyncio.create_task(bounce()))
            await settled(common)
            assert [worker.stop() for worker in found] == [0, 0]
            await nothing_is_lost(common)
    finally:
        await asyncio.to_thread(server.stop)
