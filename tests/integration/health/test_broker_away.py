"""The broker is killed under health: no alert is lost, none is told twice, and what came since is judged."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from sandbox import broker
from sandbox.broker import Broker
from services.common import provision
from services.common.settings import CommonSettings
from tests.fixtures.until import until
from tests.integration.health.conftest import Process, Topics

pytestmark = [pytest.mark.slow]


@pytest.fixture
def server() -> Iterator[Broker]:
    """A broker of this test's own, for it is killed."""
    with broker.embedded() as found:
        yield found


@pytest.fixture
def common(server: Broker) -> CommonSettings:
    """In place of the shared broker."""
    settings = CommonSettings(kafka=server.bootstrap, topic_prefix="away.", log_format="text")
    asyncio.run(provision.apply(settings))
    return settings


async def test_an_alert_outlives_the_broker_and_is_resolved_by_what_comes_after(
    server: Broker, process: Process, topics: Topics
) -> None:
    await topics.attempt("acme")
    await process.start()
    for _ in range(3):
        await topics.attempt("acme", "TIMEOUT")
    firing = await topics.until_state("provider_offline", "firing")

    os.kill(server.pid or 0, signal.SIGKILL)
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(2)  # an outage of some evaluations
    assert process.alive
    async with httpx.AsyncClient(timeout=60) as client:
        assert (await client.get(process.url + "/livez")).status_code == 200
    await asyncio.to_thread(server.start)

    for _ in range(3):
        await topics.attempt("other", "TIMEOUT")
    both = await until(lambda: _states(topics, "firing", "firing"), "the alert of what failed after")
    await topics.attempt("other")
    await topics.attempt("acme")
    await until(lambda: _states(topics, "resolved", "resolved"), "both are over")
    assert both[firing.fingerprint] == ["pending", "firing"]
    told = await _told(topics)
    assert told[firing.fingerprint] == ["pending", "firing", "resolved"], "each state once, also over the gap"
    assert process.alive
    assert process.end(signal.SIGTERM) == 0


async def _told(topics: Topics) -> dict[str, list[str]]:
    """Alert -> its states as they were published."""
    found: dict[str, list[str]] = {}
    for alert in await topics.alerts("provider_offline"):
        found.setdefault(alert.fingerprint, []).append(alert.state)
    return found


async def _states(topics: Topics, *wanted: str) -> dict[str, list[str]] | None:
    """The alerts, once each is in the state that is wanted of it."""
    found = await _told(topics)
    return found if tuple(states[-1] for states in found.values()) == wanted else None
