"""What becomes of each service: a line for the person who started it, and a record on `ops.services`."""

from __future__ import annotations

import asyncio
import sys
import time
from types import TracebackType

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from sandbox.supervisor import Child
from schemas import topics
from schemas.events import ServiceState
from services.common import kafka
from services.common.settings import CommonSettings

SEND_S = 5.0
RETRY_S = 1.0
CLOSE_S = 3.0


class Announcer:
    """Collects states from the first moment on; publishes them, newest per service, while its context is open."""

    def __init__(self, started_s: float) -> None:
        self._started_s = started_s
        self._waiting: dict[str, ServiceState] = {}
        self._wake = asyncio.Event()

    def say(self, sentence: str) -> None:
        """A line on stderr with the seconds since the start."""
        sys.stderr.write(f"{time.monotonic() - self._started_s:6.1f} s  {sentence}\n")
        sys.stderr.flush()

    def report(self, child: Child, sentence: str) -> None:
        """Say it, and queue the child's state for publication."""
        self.say(sentence)
        self._waiting[child.name] = ServiceState(
            service=child.name,
            instance=child.name,
            state=child.state,
            restarts=child.restarts,
            since_ms=child.since_ms,
            last_exit=child.last_exit,
        )
        self._wake.set()

    def publishing(self, settings: CommonSettings) -> _Publishing:
        """A context in which queued states reach the topic; it outlasts a broker that comes and goes."""
        return _Publishing(self, settings)

    async def publish(self, settings: CommonSettings) -> None:
        """Send what is queued, for ever; a broker that does not answer is asked again."""
        topic = topics.name("ops.services", settings.topic_prefix)
        async with kafka.producer(settings) as producer:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for name, state in list(self._waiting.items()):
                    if await _sent(producer, topic, name, state) and self._waiting.get(name) is state:
                        del self._waiting[name]
                if self._waiting:
                    await asyncio.sleep(RETRY_S)
                    self._wake.set()

    def pending(self) -> int:
        """How many states wait to be sent."""
        return len(self._waiting)

    async def emptied(self) -> None:
        """Return when nothing waits to be sent."""
        while self.pending():
            await asyncio.sleep(0.05)


class _Publishing:
    def __init__(self, announcer: Announcer, settings: CommonSettings) -> None:
        self._announcer = announcer
        self._settings = settings
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._announcer.publish(self._settings), name="publish service states")

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        try:
            await asyncio.wait_for(self._announcer.emptied(), CLOSE_S)
        except TimeoutError:
            self._announcer.say("the last states of the services could not be published")
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


async def _sent(producer: AIOKafkaProducer, topic: str, name: str, state: ServiceState) -> bool:
    try:
        await asyncio.wait_for(producer.send_and_wait(topic, msgspec.json.encode(state), key=name.encode()), SEND_S)
    except (KafkaError, TimeoutError):
        return False
    return True
