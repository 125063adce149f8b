"""The batch transport: Faust's aiokafka driver, but an agent gets one event per fetch: all that it brought of the topic.

Registered in the entry-point group `faust.transports`, so that broker URLs `batch://host:port` select it. Guards against
what a rebalance does to a driver are marked with the letters of docs/decisions (batch driver).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import ConsumerStoppedError
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from services.aggregator.driver.ports import Owner
from services.aggregator.driver.unpacking import Unpacker

GATHER_BYTES = 128 * 1024
"""While records come, the broker answers a fetch with this much (compressed) or after `linger_ms`, whichever is first: with what
all partitions have, because small batches cost forty times as much per record. A log that is ahead is never waited for."""
QUIET_WAIT_MS = 100
"""While nothing comes, the broker holds a fetch for so long, and answers with the first record. Not longer, because nothing else
is fetched meanwhile: a partition that was just recovered, or sought back, waits for the end of it."""
QUIET_AFTER_S = 0.05
"""Without a record for so long, nothing comes."""
TIMEOUT_S = 0.5
"""How long to wait for a record of a quiet log before looking whether anything else has changed."""

Batch = tuple[TP, Sequence[Any]]
"""What one fetch brought of a partition."""

log = logging.getLogger(__name__)


def held(found: bool, linger_ms: int) -> tuple[int, int]:
    """How many bytes end the wait of the next fetch at the broker, and after how many milliseconds it ends without them."""
    return (GATHER_BYTES, linger_ms) if found else (1, QUIET_WAIT_MS)


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The consumer's thread, with an assignor that gives all categories of an entity to one worker, fetches by load, and records
    that are unpacked all at once."""

    _calls = 0
    """Number of the newest question for records."""
    _unpacker: Unpacker

    async def on_start(self) -> None:
        """Call when the thread starts."""
        await super().on_start()
        # Before anything is assigned, so that it hears of all that is fetched.
        self._unpacker = Unpacker(self._ensure_consumer()._fetcher)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Round robin, which Faust fixes, spreads the categories of one partition over the workers.
        consumer._partition_assignment_strategy = (RangePartitionAssignor,)
        consumer._fetch_max_wait_ms = self.app.linger_ms
        return consumer

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> Any:
        self._calls = call = self._calls + 1
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():
            found = await self._unpacker.fetched(active_partitions, timeout or 0.0, max_records)
        if call != self._calls:
            # A rebalance cancels the loop that asked, but not its question here: what that one got would be missing to the loop
            # that asks now, at once or, worse, when it has just sought back over the gap that another such question left.
            for tp, records in found.items():
                if tp in consumer.assignment():
                    consumer.seek(tp, records[0].offset)
            return {}
        # Before the next fetch is sent, which is the next turn of this thread's loop.
        fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = held(bool(found), self.app.linger_ms)
        return found


class Consumer(driver.Consumer):  # type: ignore[misc]
    """A consumer whose messages are batches and whose offsets belong to the engine."""

    owner: Owner

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.next: dict[TP, int] = {}
        """Offset that the next delivered record of a partition must have."""
        self._asked: dict[TP, int] = {}
        """Offset that was already sought back to: a second gap there is one of the log itself."""
        self.fetched_s = time.monotonic()
        """When the loop last turned."""
        self.owner = self.app.owner

    def _new_consumer_thread(self) -> Any:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # --- offsets belong to the engine ---------------------------------------------------------------------------

    def _new_offset(self, tp: TP) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        offset: int | None = self.owner.committable(tp)
        return offset

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in self.assignment() if topics is None or tp in topics or tp.topic in topics)

    async def perform_seek(self) -> None:
        """After a rebalance: to the commit, then to where the state of each partition really is."""
        self.next.clear()
        self._asked.clear()
        await super().perform_seek()
        for tp, offset in self.owner.positions().items():
            if tp in self.assignment():
                await self.go_to(tp, offset)

    async def _seek(self, partition: TP, offset: int) -> None:
        """In the consumer's own thread: Faust's changes aiokafka's buffers from this one, in the middle of a fetch."""
        await self._thread.call_thread(self._thread.seek, partition, offset)

    async def go_to(self, tp: TP, offset: int) -> None:
        """Fetch the partition from this offset on."""
        self.next[tp] = offset
        self._asked.pop(tp, None)
        await self._seek(tp, offset)
        self._read_offset[tp] = offset

    # --- the loop -----------------------------------------------------------------------------------------------

    async def _drain_messages(self, fetcher: Any) -> None:
        stopped, fetcher_stopped = self._stopped.is_set, fetcher._stopped.is_set
        timeout_s = QUIET_AFTER_S
        try:
            while not (stopped() or fetcher_stopped()):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                    continue
                wanted = self._get_active_partitions() & self.owner.live()
                if not wanted:
                    await asyncio.sleep(0.02)
                    continue
                self.fetched_s = time.monotonic()
                generation = self.app.consumer_generation_id
                fetched: Mapping[TP, Sequence[Any]] = await self._getmany(wanted, timeout=timeout_s)
                timeout_s = QUIET_AFTER_S if fetched else TIMEOUT_S
                topics: dict[str, list[Batch]] = {}
                for found, records in fetched.items():
                    tp = ensure_TP(found)
                    if records and await self._in_order(tp, records, generation):
                        topics.setdefault(tp.topic, []).append((tp, records))
                for batches in topics.values():
                    await self._deliver(batches, generation)
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
            log.info("the broker's consumer stopped")
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    async def _in_order(self, tp: TP, records: Sequence[Any], generation: int) -> bool:
        """Whether these follow what was delivered; when some are missing before them, the partition is sought back."""
        expected = self.next.get(tp)
        first = records[0].offset
        if generation != self.app.consumer_generation_id or not self.flow_active or expected is None:
            return False
        if first > expected and self._asked.get(tp) != expected:
            # A: the fetch straddled a rebalance and brought records of the new assignment whose predecessors were
            # dropped with the old one. Seek back once; if the log itself has a gap there, the second time passes.
            self._asked[tp] = expected
            self.owner.healed(tp, expected, first)
            await self._seek(tp, expected)
            return False
        return True

    async def _deliver(self, batches: list[Batch], generation: int) -> None:
        """Hand what a fetch brought of one topic to its agent."""
        if generation != self.app.consumer_generation_id or not self.flow_active:
            return
        handed = asyncio.ensure_future(self.callback(_message(batches, generation)))
        await asyncio.sleep(0)
        if handed.done():
            handed.result()
        else:
            await self.wait_first(handed, self.suspend_flow.wait())
        if self.flow_active and generation == self.app.consumer_generation_id:
            for tp, records in batches:
                self.next[tp] = records[-1].offset + 1
                self._read_offset[tp] = records[-1].offset


def _message(batches: list[Batch], generation: int) -> ConsumerMessage:
    """One message of several partitions; Faust files it under the first, which matters to nobody, since offsets are the engine's."""
    tp, records = batches[0]
    last = records[-1]
    return ConsumerMessage(
        tp.topic, tp.partition, last.offset, last.timestamp / 1000.0, None, [], None, batches, None, 0, 0, tp,
        generation_id=generation,
    )  # fmt: skip


class Transport(driver.Transport):  # type: ignore[misc]
    """Kafka by batches; everything else is Faust's own."""

    Consumer = Consumer
    driver_version = f"batch over {driver.Transport.driver_version}"


async def intake(app: Any, message: Any) -> None:
    """Hand batches to their partitions."""
    await app.owner.receive(message.value, message.generation_id)
