"""The partitions of this process: recovered, folded, sent, checkpointed, handed over. The same for both drivers."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from faust.types import TP

from schemas import topics
from services.aggregator.driver.held import Held
from services.aggregator.driver.measure import count
from services.aggregator.driver.membership import Membership
from services.aggregator.driver.ports import FULL_RECORDS
from services.aggregator.driver.recovery import recover
from services.aggregator.driver.writer import Writer
from services.aggregator.engine import Partition, Rules, rates
from services.aggregator.engine.fold import fold
from services.aggregator.engine.model import Reason
from services.aggregator.engine.rates import CONTROL_KEY
from services.aggregator.settings import AggregatorSettings
from services.common.metrics import Metrics

TAKE = 1500
"""Fused records per write: about what fits a batch; while the log is ahead, some tens of milliseconds of work."""
CANDLES_TAKE = 2000
CUT_TAKE = 2000
BEHIND_MS = 3000
"""A large batch whose newest record is this old means that the log is ahead: what is sent now would be old in the next moment.
A large batch of fresh records is only a burst, and nobody waits for it."""
BEHIND_PAUSE = 4
"""While the log is ahead, checkpoints of the same keys are so many times rarer: each of them sends every key that changed."""
SWEEP_TAKE = 1000
ASIDES_AT_ONCE = 500
TURN_S = 0.01
"""Grain of the timer that looks for keys whose interval is over."""
PASSED_MS = 10
"""What is due goes out with the records of the next fetch; after so many milliseconds, without them."""
SLOW_TURNS = 10
"""Bars, checkpoints and counters are looked after in every tenth turn: an open bar is sent once a second at most, so that a
tenth of a second gathers many into one write."""

log = logging.getLogger(__name__)


def is_behind(records: Sequence[Any], wall_ms: float) -> bool:
    """Whether a batch says that much more of the log is still to come; it paces what is sent, never what is said."""
    return len(records) >= FULL_RECORDS and wall_ms - records[-1].timestamp >= BEHIND_MS


class Host:
    """Owns the partitions; the transport asks it, the agents feed it, Faust's signals tell it of rebalances."""

    def __init__(self, settings: AggregatorSettings, rules: Mapping[str, Rules], metrics: Metrics) -> None:
        self.settings = settings
        self.rules = rules
        self.metrics = metrics
        self.held: dict[TP, Held] = {}
        self.consumer: Any = None
        """Faust's consumer, set when it exists."""
        self.membership = Membership(settings.session_s, self._prove, metrics)
        self.writer: Writer | None = None
        self.failed: asyncio.Future[None] | None = None
        """Gets the exception of a task that broke; the app crashes with it."""
        prefix = settings.topic_prefix
        self._category = {topics.name(f"raw.{category}", prefix): category for category in rules}
        self._fused = {category: topics.name(f"fused.{category}", prefix) for category in rules}
        self._state = {category: topics.name(f"state.{category}", prefix) for category in rules}
        self._candles = topics.name("candles.1m", prefix)
        self._dlq, self._late = topics.name("dlq", prefix), topics.name("late", prefix)
        self._rate_topics = [(category, topics.name(f"raw.{category}", prefix)) for category in rates.TOPICS]
        self._generation = -1
        self._clean = False
        """Whether everything was durable at the last revocation."""

    # --- what the transport asks ----------------------------------------------------------------------------------

    def live(self) -> set[TP]:
        """Partitions whose state is in."""
        return {tp for tp, held in self.held.items() if held.live}

    def positions(self) -> Mapping[TP, int]:
        """The next offset of each live partition."""
        return {tp: held.partition.position + 1 for tp, held in self.held.items() if held.live and held.partition}

    def committable(self, tp: TP) -> int | None:
        """Offset behind the last checkpoint of the partition."""
        held = self.held.get(tp)
        return held.committable if held else None

    def partition(self, tp: TP) -> Partition | None:
        """The engine of a live partition."""
        held = self.held.get(tp)
        return held.partition if held is not None and held.live else None

    @property
    def generation(self) -> int:
        """Generation of the newest assignment; -1 before the first."""
        return self._generation

    @property
    def broken(self) -> bool:
        """Whether a task of ours failed, so that nothing more may be written."""
        return self.failed is not None and self.failed.done()

    def healed(self, tp: TP, expected: int, first: int) -> None:
        """Count a fetch that was sought back."""
        self.metrics.inc("gaps_healed_total")
        log.info("%s/%d: fetched from %d, expected %d: sought back", tp.topic, tp.partition, first, expected)

    # --- rebalances -----------------------------------------------------------------------------------------------

    async def revoked(self, evicted: bool) -> None:
        """All partitions are revoked: make everything durable, unless the group has thrown us out already."""
        self.metrics.inc("rebalances_total")
        now_s = time.monotonic()
        for held in self.held.values():
            if held.live:
                held.since_s = now_s
            held.live = False
        self._clean = False
        recovering = [task for held in self.held.values() if held.partition is None for task in held.tasks]
        await _cancel(recovering)
        if evicted and self.held:
            log.warning("the group went on without us: nothing of ours is written")
        else:
            self._clean = await self._flush()
        await _cancel([task for held in self.held.values() for task in held.tasks])
        for held in self.held.values():
            held.tasks = []
            if held.partition is not None:
                count(self.metrics, held.category, held.partition.take_counts())

    async def _flush(self) -> bool:
        """Send, checkpoint and let commit everything that was folded; False when it takes longer than half a session."""
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(self.settings.session_s / 2):
                await asyncio.gather(*(self._finish(held) for held in self.held.values() if held.partition is not None))
            if self.consumer is not None:
                await self.consumer.maybe_wait_for_commit_to_finish()
                await self.consumer.force_commit()
        except TimeoutError:
            log.warning("could not make everything durable in time: the rest is folded again by who comes next")
            return False
        log.info("made %d partitions durable in %.0f ms", len(self.held), 1000 * (time.monotonic() - started_s))
        return True

    async def _finish(self, held: Held) -> None:
        partition = held.partition
        assert partition is not None
        # The lane may begin anew before we hear that it was idle: cancelled then, it would lose what it had taken to write.
        while not held.idle.is_set():
            await held.idle.wait()
        await _cancel(held.tasks[:1])
        if partition.cut is not None:
            await self._work(held, finish=True)
        partition.due.hurry()
        partition.candles.finish()
        if partition.position >= 0 and (partition.changed or held.committable != partition.position + 1):
            partition.begin_cut()
            await self._work(held, finish=True)

    def assigned(self, assigned: set[TP], generation: int) -> None:
        """The partitions of the new generation: keep what is surely current, recover the rest in the background."""
        keep = self._clean and generation == self._generation + 1
        self._generation = generation
        self.membership.confirmed()
        now_s = time.monotonic()
        before, self.held = self.held, {}
        for tp in sorted(assigned):
            category = self._category.get(tp.topic)
            if category is None:
                continue
            held = before.get(tp) if keep else None
            if held is None or held.partition is None:
                since_s = before[tp].since_s if tp in before else now_s
                held = Held(tp, category, since_s)
                held.tasks = [
                    asyncio.create_task(self._guarded(self._recover(held)), name=f"recover {tp.topic}/{tp.partition}")
                ]
            else:
                self._start(held)
            self.held[tp] = held
        log.info("%d partitions, %d kept", len(self.held), sum(held.live for held in self.held.values()))

    async def _recover(self, held: Held) -> None:
        started_s = time.monotonic()
        category, number = held.category, held.tp.partition
        found = await recover(self.settings, self.rules[category], held.tp.topic, self._state[category], number)
        held.partition = found.partition
        held.committable = found.partition.position + 1 if found.partition.position >= 0 else None
        took_s = time.monotonic() - started_s
        self.metrics.observe("recovery_seconds", took_s)
        self.metrics.inc("state_damaged_total", len(found.partition.damaged), category=category)
        if found.records:
            entities = len(found.partition.entities)
            log.info("%s/%d: %d entities, %d records, %.2f s", held.tp.topic, number, entities, found.records, took_s)
        if self.held.get(held.tp) is held:
            await self.consumer.go_to(held.tp, found.start)
            self._start(held)

    def _start(self, held: Held) -> None:
        held.live = True
        held.cut_at_s = time.monotonic()
        held.idle = asyncio.Event()
        held.idle.set()
        name = f"{held.tp.topic}/{held.tp.partition}"
        held.tasks = [
            asyncio.create_task(self._guarded(self._lane(held)), name=f"lane {name}"),
            asyncio.create_task(self._guarded(self._aside_lane(held)), name=f"asides {name}"),
        ]
        held.kick.set()
        self.metrics.observe("rebalance_pause_seconds", time.monotonic() - held.since_s)

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as fault:
            log.exception("a partition's task broke")
            if self.failed is not None and not self.failed.done():
                self.failed.set_exception(fault)

    async def _prove(self) -> bool:
        offsets = {tp: held.committable for tp, held in self.held.items() if held.committable is not None}
        if not offsets or self.consumer is None:
            return False
        return bool(await self.consumer._thread.commit(offsets))

    # --- folding --------------------------------------------------------------------------------------------------

    async def receive(self, batches: Sequence[tuple[TP, Sequence[Any]]], generation: int) -> None:
        """Fold batches, and wake the lanes that send; waits when more is changed than a checkpoint should hold."""
        if generation != self._generation:
            return
        full = []
        for tp, records in batches:
            held = self.held.get(tp)
            if held is None or not held.live or held.partition is None:
                continue
            partition = held.partition
            fold(partition, records, int(time.monotonic() * 1000), is_behind(records, time.time() * 1000))
            if partition.asides:
                held.asides_kick.set()
            held.kick.set()
            if len(partition.changed) > 2 * self.settings.checkpoint_keys:
                full.append(held)
        self.metrics.observe("batch_records", sum(len(records) for _, records in batches))
        for held in full:
            await held.idle.wait()

    # --- sending --------------------------------------------------------------------------------------------------

    async def _lane(self, held: Held) -> None:
        """Everything that one partition sends, one write of each topic in flight: order is kept, and load makes batches grow."""
        while True:
            await held.kick.wait()
            held.kick.clear()
            held.idle.clear()
            try:
                await self._work(held, finish=False)
            finally:
                held.idle.set()

    async def _work(self, held: Held, finish: bool) -> None:
        partition, writer = held.partition, self.writer
        assert partition is not None
        assert writer is not None
        number, category = held.tp.partition, held.category
        while True:
            now_s = time.monotonic()
            if partition.cut is None and not finish and self._cut_due(held, now_s):
                partition.begin_cut()
            if partition.candles.sweeping:
                partition.candles.sweep(SWEEP_TAKE)
            log_ms = partition.log_ms
            fused = partition.take(int(now_s * 1000), TAKE)
            cut = partition.cut
            candles = partition.candles.take(CANDLES_TAKE) if held.bars or cut is not None else []
            held.bars = len(candles) >= CANDLES_TAKE
            state = partition.take_cut(CUT_TAKE) if cut is not None else []
            told, partition.announcements = partition.announcements, []
            writes = []
            if fused:
                writes.append(writer.send(self._fused[category], number, fused))
            if candles:
                writes.append(writer.send(self._candles, number, candles))
            if state and cut is not None:
                writes.append(writer.send(self._state[category], number, state, cut.mark.version))
            if told:
                writes.append(writer.tell(await self._rates(told)))
            if len(writes) == 1:
                await writes[0]
            elif writes:
                await asyncio.gather(*writes)
            if fused:
                self.metrics.observe("fused_latency_seconds", max(0.0, time.time() - log_ms / 1000), category=category)
            if state:
                self.metrics.inc("state_sent_total", len(state), category=category)
            if cut is not None and await self._close(held, partition, finish):
                if finish:
                    return
            elif cut is None and len(fused) < TAKE and not held.bars:
                # What has become due meanwhile goes with what the next fetch brings: few large writes instead of many small.
                return
            elif not writes and not finish:
                return

    def _cut_due(self, held: Held, now_s: float) -> bool:
        partition = held.partition
        assert partition is not None
        if len(partition.changed) >= self.settings.checkpoint_keys:
            return True
        pause_s = self.settings.checkpoint_s * (BEHIND_PAUSE if partition.behind else 1)
        return partition.position >= 0 and now_s - held.cut_at_s >= pause_s and (
            bool(partition.changed) or held.committable != partition.position + 1
        )  # fmt: skip

    async def _close(self, held: Held, partition: Partition, finish: bool) -> bool:
        """Write the mark when everything up to the cut is durable; False while something is still under way."""
        cut = partition.cut
        assert cut is not None
        if not partition.cut_is_out():
            return False
        if held.asides_sent < cut.asides:
            if finish:
                await asyncio.sleep(TURN_S)
            return False
        assert self.writer is not None
        await self.writer.send(self._state[held.category], held.tp.partition, partition.close_cut())
        held.committable = partition.end_cut()
        held.cut_at_s = time.monotonic()
        return True

    async def _aside_lane(self, held: Held) -> None:
        """Dead and late letters, on their own way: while they cannot be written, only the commit stands still."""
        partition = held.partition
        assert partition is not None
        source = (held.tp.topic, held.tp.partition)
        while True:
            await held.asides_kick.wait()
            held.asides_kick.clear()
            while partition.asides:
                asides = [partition.asides[n] for n in range(min(ASIDES_AT_ONCE, len(partition.asides)))]
                assert self.writer is not None
                await self.writer.set_aside({Reason.LATE: self._late}, self._dlq, source, asides)
                for _ in asides:
                    partition.asides.popleft()
                held.asides_sent += len(asides)
            held.kick.set()

    async def _rates(self, told: Sequence[Any]) -> list[tuple[str, int, bytes, bytes]]:
        """The control records of these rates, one for each partition that the topics really have."""
        assert self.writer is not None
        numbers = {topic: await self.writer.partitions(topic) for _, topic in self._rate_topics}
        return [
            (topic, number, CONTROL_KEY, rates.control(a.asset, a.usd, a.as_of_ms, a.version, a.origin, category))
            for a in told
            for category, topic in self._rate_topics
            for number in numbers[topic]
        ]

    async def turn(self) -> None:
        """Wake lanes that have something to send, for ever."""
        for number in itertools.count():
            now_s = time.monotonic()
            now_ms = int(now_s * 1000)
            slow = number % SLOW_TURNS == 0
            for held in self.held.values():
                partition = held.partition
                if not held.live or partition is None:
                    continue
                due_ms = partition.due.next_ms
                if due_ms is not None and due_ms <= now_ms - PASSED_MS:
                    held.kick.set()
                if slow:
                    count(self.metrics, held.category, partition.take_counts())
                    if partition.overdue(now_ms) or (partition.cut is None and self._cut_due(held, now_s)):
                        held.bars = True
                        held.kick.set()
            await asyncio.sleep(TURN_S)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
