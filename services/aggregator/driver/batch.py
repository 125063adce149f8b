"""The batch transport: Faust's aiokafka driver, but an agent gets one event per fetched batch of a partition.

Registered in the entry-point group `faust.transports`, so that broker URLs `batch://host:port` select it. Guards against
what a rebalance does to a driver are marked with the letters of docs/decisions (batch driver).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from services.aggregator.driver.ports import FULL_RECORDS, Owner

BUSY_PER_S = 500.0
"""From this many records a second on, fetches are spaced, because small batches cost forty times as much per record."""

log = logging.getLogger(__name__)


FETCH_WAIT_MS = 20
"""How long the broker may hold a fetch that finds nothing. A fetch asks only for partitions without buffered records, and
while it is held nothing else is fetched: with Faust's 1,500 ms a busy partition stood still for so long, several times a minute."""


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The consumer's thread, with an assignor that gives all categories of an entity to one worker."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Round robin, which Faust fixes, spreads the categories of one partition over the workers.
        consumer._partition_assignment_strategy = (RangePartitionAssignor,)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class Consumer(driver.Consumer):  # type: ignore[misc]
    """A consumer whose messages are batches and whose offsets belong to the engine."""

    owner: Owner
    linger_s: float = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.next: dict[TP, int] = {}
        """Offset that the next delivered record of a partition must have."""
        self._asked: dict[TP, int] = {}
        """Offset that was already sought back to: a second gap there is one of the log itself."""
        self._per_s = 0.0
        self.fetched_s = time.monotonic()
        """When the loop last turned."""
        self.owner = self.app.owner
        self.linger_s = self.app.linger_s

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
        loop = asyncio.get_running_loop()
        last_s = loop.time()
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
                fetched: Mapping[TP, list[Any]] = await self._getmany(wanted, timeout=0.5)
                count = 0
                for tp, records in fetched.items():
                    if records and await self._deliver(ensure_TP(tp), records, generation):
                        count += len(records)
                now_s = loop.time()
                await self._linger(count, now_s - last_s)
                last_s = now_s
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
            log.info("the broker's consumer stopped")
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    async def _deliver(self, tp: TP, records: list[Any], generation: int) -> bool:
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
        message = _message(tp, records, generation)
        await self.wait_first(self.callback(message), self.suspend_flow.wait())
        if self.flow_active and generation == self.app.consumer_generation_id:
            self.next[tp] = records[-1].offset + 1
            self._read_offset[tp] = records[-1].offset
        return True

    async def _linger(self, count: int, took_s: float) -> None:
        if took_s > 0:
            weight = min(1.0, took_s)
            self._per_s += weight * (count / took_s - self._per_s)
        if self._per_s > BUSY_PER_S and count < FULL_RECORDS:
            await asyncio.sleep(self.linger_s)


def _message(tp: TP, records: list[Any], generation: int) -> ConsumerMessage:
    last = records[-1]
    return ConsumerMessage(
        tp.topic, tp.partition, last.offset, last.timestamp / 1000.0, last.timestamp_type, [], None, records, None, 0, 0, tp,
        generation_id=generation,
    )  # fmt: skip


class Transport(driver.Transport):  # type: ignore[misc]
    """Kafka by batches; everything else is Faust's own."""

    Consumer = Consumer
    driver_version = f"batch over {driver.Transport.driver_version}"


async def intake(app: Any, message: Any) -> None:
    """Hand a batch to its partition."""
    await app.owner.receive(message.tp, message.value, message.generation_id)
