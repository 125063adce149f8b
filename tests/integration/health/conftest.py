"""A health process on a real broker, and what it says on its topics."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from sandbox.process import free_port
from schemas.events import Alert, Attempt, Definition, ProviderScore
from services.common import kafka as clients
from services.common.settings import CommonSettings
from tests.fixtures import tail
from tests.fixtures.until import until

BROKEN = ("broken", "definition/x")
"""Keys under which tests put bytes that are no alert."""

WRITTEN = ("ops.alerts", "ops.providers", "dlq")
NEEDED = ("ops.*", "fused.market", "dlq", "late")
"""Topics that this service reads or writes."""

TIME_SCALE = 0.02
"""An hour in 72 s: a rule of 30 s ripens in 0.6 s, an evaluation comes every 0.2 s."""


def now_ms() -> int:
    """The clock that stamps what the tests publish."""
    return time.time_ns() // 1_000_000


class Process:
    """`parallax health` as an operator runs it; started and killed as often as the test likes."""

    def __init__(self, common: CommonSettings) -> None:
        self._common = common
        self._running: subprocess.Popen[bytes] | None = None
        self.url = ""

    async def start(self, **variables: str) -> None:
        """Start it and wait until it is ready to judge."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environ = os.environ | {
            "PARALLAX_KAFKA": self._common.kafka,
            "PARALLAX_TOPIC_PREFIX": self._common.topic_prefix,
            "PARALLAX_OPS_PORT": str(port),
            "PARALLAX_TIME_SCALE": str(TIME_SCALE),
            "PARALLAX_LOG_FORMAT": "text",
        }
        self._running = subprocess.Popen([sys.executable, "-m", "services.cli", "health"], env=environ | variables)
        async with httpx.AsyncClient(timeout=30) as client:
            await until(lambda: self._probe(client, "/readyz"), "health is ready")

    async def _probe(self, client: httpx.AsyncClient, path: str) -> bool:
        assert self.alive, "health ended by itself"
        try:
            return (await client.get(self.url + path)).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._running is not None and self._running.poll() is None

    def end(self, number: signal.Signals) -> int:
        """Send the signal and return the exit code."""
        assert self._running is not None
        self._running.send_signal(number)
        return self._running.wait(60)

    def abandon(self) -> None:
        """Leave nothing running."""
        if self.alive:
            self.end(signal.SIGKILL)


class Topics:
    """Publishes what collectors publish, and keeps what health publishes."""

    def __init__(
        self, prefix: str, producer: AIOKafkaProducer, reader: AIOKafkaConsumer, tps: list[TopicPartition]
    ) -> None:
        self.prefix = prefix
        self._producer = producer
        self._reader = reader
        self._tps = tps
        self._seen: dict[str, list[tuple[str, bytes, dict[str, bytes]]]] = {}
        self._passed: dict[str, int] = {}
        """Alert -> how many of its published states have been waited for."""

    async def put(self, topic: str, key: str, value: bytes) -> None:
        """One record."""
        await self._producer.send_and_wait(self.prefix + topic, key=key.encode(), value=value)

    async def attempt(self, provider: str, outcome: str = "OK", category: str = "market", **more: object) -> None:
        """One upstream attempt, now."""
        fields = {"endpoint": "prices", "category": category, "origin": "sandbox", "started_ms": now_ms()}
        event = Attempt(provider=provider, outcome=outcome, **fields | more)  # type: ignore[arg-type]
        await self.put("ops.fetches", provider, msgspec.json.encode(event))

    async def define(self, provider: str, home: str = "market") -> None:
        """One provider's definition."""
        event = Definition(
            provider=provider, name=provider, categories=[home], home=home, status="live", endpoints=["prices"],
            streams=[], group=provider, registry="r", updated_ms=now_ms(),
        )  # fmt: skip
        await self.put("ops.providers", f"definition/{provider}", msgspec.json.encode(event))

    async def records(self, topic: str) -> list[tuple[str, bytes, dict[str, bytes]]]:
        """Every record of a topic that came so far: key, value, headers."""
        for tp, records in await tail.rest(self._reader, self._tps):
            rows = self._seen.setdefault(tp.topic.removeprefix(self.prefix), [])
            rows += [((r.key or b"").decode(), r.value, dict(r.headers)) for r in records]
        return self._seen.get(topic, [])

    async def alerts(self, name: str) -> list[Alert]:
        """Every state in which an alert of that name was published, oldest first."""
        records = await self.records("ops.alerts")
        rows = [msgspec.json.decode(value, type=Alert) for key, value, _ in records if key not in BROKEN]
        return [alert for alert in rows if alert.name == name]

    async def score(self, provider: str) -> ProviderScore | None:
        """The newest score of a provider."""
        rows = [value for key, value, _ in await self.records("ops.providers") if key == f"score/{provider}"]
        return msgspec.json.decode(rows[-1], type=ProviderScore) if rows else None

    async def until_state(self, name: str, state: str) -> Alert:
        """The alert when it next comes to this state, after those that were waited for before; it may have gone on since."""

        async def there() -> Alert | None:
            states = await self.alerts(name)
            for number in range(self._passed.get(name, 0), len(states)):
                if states[number].state == state:
                    self._passed[name] = number + 1
                    return states[number]
            return None

        alert: Alert = await until(there, f"{name} is {state}")
        return alert


@pytest.fixture
def process(common: CommonSettings) -> Iterator[Process]:
    """A health process, not started yet; ended after the test."""
    one = Process(common)
    yield one
    one.abandon()


@pytest.fixture
async def topics(common: CommonSettings) -> AsyncIterator[Topics]:
    """The topics of this test."""
    async with clients.producer(common) as producer, clients.reader(common) as reader:
        tps = await clients.partitions(reader, [common.topic_prefix + name for name in WRITTEN])
        reader.assign(tps)
        await reader.seek_to_beginning(*tps)
        yield Topics(common.topic_prefix, producer, reader, tps)
