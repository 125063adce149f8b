"""A provider dies and comes back while health itself is killed: each state of the alert is published once."""

from __future__ import annotations

import signal

import pytest

from tests.integration.health.conftest import NEEDED, Process, Topics

pytestmark = pytest.mark.topics(*NEEDED)


SLOWLY, SOON = "0.5", "0.1"
"""A rule of 30 s ripens in 15 s, in which who is pending is killed also on a busy machine, and in 3 s."""


async def fail(topics: Topics, times: int = 3) -> None:
    for _ in range(times):
        await topics.attempt("acme", "TIMEOUT")


async def test_kill_nine_neither_raises_an_alert_again_nor_forgets_it(process: Process, topics: Topics) -> None:
    await topics.attempt("acme")
    await process.start(PARALLAX_TIME_SCALE=SLOWLY)
    await fail(topics)
    pending = await topics.until_state("provider_offline", "pending")
    process.end(signal.SIGKILL)

    await process.start(PARALLAX_TIME_SCALE=SOON)
    firing = await topics.until_state("provider_offline", "firing")
    assert (firing.fingerprint, firing.since_ms) == (pending.fingerprint, pending.since_ms)
    assert firing.labels == {"provider": "acme", "category": "market"}
    assert firing.summary == "acme does not answer: 3 failures in a row, last TIMEOUT"
    process.end(signal.SIGKILL)

    await process.start(PARALLAX_TIME_SCALE=SOON)
    await topics.attempt("witness")
    await topics.attempt("acme")
    resolved = await topics.until_state("provider_offline", "resolved")
    assert resolved.resolved_ms == resolved.updated_ms > firing.updated_ms
    states = [alert.state for alert in await topics.alerts("provider_offline")]
    assert states == ["pending", "firing", "resolved"]
    assert process.end(signal.SIGTERM) == 0


async def test_a_provider_that_came_back_while_health_was_away_is_resolved(process: Process, topics: Topics) -> None:
    await process.start()
    await fail(topics)
    await topics.until_state("provider_offline", "firing")
    process.end(signal.SIGKILL)
    await topics.attempt("acme")
    await process.start()
    await topics.until_state("provider_offline", "resolved")
