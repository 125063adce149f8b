"""States of services reach `ops.services`, the newest per service, also across a broker that comes and goes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from aiokafka import TopicPartition

from sandbox import broker
from sandbox.announcer import Announcer
from sandbox.supervisor import Child, State
from schemas.events import ServiceState
from services.common import kafka, provision
from services.common.settings import CommonSettings
from tests.fixtures.until import until


def child(name: str, state: State, restarts: int = 0, last_exit: str | None = None) -> Child:
    made = Child(name, lambda: pytest.fail("not started here"), lambda: True, Path("/dev/null"))
    made.state, made.restarts, made.since_ms, made.last_exit = state, restarts, 1_700_000_000_000, last_exit
    return made


async def states(settings: CommonSettings) -> dict[bytes, ServiceState]:
    place = TopicPartition(f"{settings.topic_prefix}ops.services", 0)
    async with kafka.reader(settings) as reader:
        end = (await kafka.end_offsets(reader, [place]))[place]
        reader.assign([place])
        found: dict[bytes, ServiceState] = {}
        while await reader.position(place) < end:
            record = await reader.getone()
            found[record.key] = msgspec.json.decode(record.value, type=ServiceState)
        return found


@pytest.mark.topics("ops.services")
async def test_what_was_reported_before_and_during_is_published_when_the_context_ends(common: CommonSettings) -> None:
    announcer = Announcer(0.0)
    announcer.report(child("kafka", "ready"), "kafka ready")
    async with announcer.publishing(common):
        announcer.report(child("health", "crashed", 1, "signal 9"), "health crashed")
    assert await states(common) == {
        b"kafka": ServiceState(
            service="kafka", instance="kafka", state="ready", restarts=0, since_ms=1_700_000_000_000
        ),
        b"health": ServiceState(
            service="health",
            instance="health",
            state="crashed",
            restarts=1,
            since_ms=1_700_000_000_000,
            last_exit="signal 9",
        ),
    }


def test_a_sentence_goes_to_people_on_stderr_with_the_seconds_since_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import time

    Announcer(time.monotonic()).say("hello")
    assert capsys.readouterr() == ("", "   0.0 s  hello\n")


async def test_a_broker_that_was_away_hears_it_afterwards() -> None:
    with broker.embedded() as server:
        settings = CommonSettings(kafka=server.bootstrap)
        await provision.apply(settings, ["ops.services"])
        announcer = Announcer(0.0)
        async with announcer.publishing(settings):
            announcer.report(child("gateway", "starting"), "gateway starting")
            await until(lambda: announcer.pending() == 0)
            server.kill()
            announcer.report(child("kafka", "crashed", 0, "signal 9"), "kafka crashed")
            server.start()
            announcer.report(child("gateway", "ready"), "gateway ready")
            await until(lambda: announcer.pending() == 0)
        found = await states(settings)
    assert {key: state.state for key, state in found.items()} == {b"gateway": "ready", b"kafka": "crashed"}
