"""Which shards this process polls, by Kafka's assignment of `commands.<category>`, and the commands that arrive with them.

A lease need only be efficient, not safe: two pollers of one shard publish the same event ids. So on revoke the shards are
kept until the new assignment says otherwise; only a member that Kafka no longer knows lets go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from schemas import topics
from schemas.events import Command
from services.common import kafka
from services.common.settings import CommonSettings

log = logging.getLogger(__name__)

GROUP: Final = "parallax.collector"
"""One group for all categories: its members may subscribe to different ones, each command still has one reader."""
COMMIT_EVERY_S: Final = 3.0
"""Each commit proves membership; FAUST.md part 2, section 6: the fence of a member that was cut off."""
REMEMBERED: Final = 4096
"""Command ids kept to leave out repeats."""


class Fetch(Protocol):
    """What is done with a command: `done`, `refused` or `failed`."""

    async def __call__(self, category: str, command: Command) -> str:
        """Fetch now."""


class Leases:
    """Shards held by this member of the group."""

    def __init__(self, partitions: dict[str, int], changed: Callable[[Leases], None]) -> None:
        """`changed` is called with these leases after each change."""
        self._partitions = partitions
        self._changed = changed
        self._held: dict[str, frozenset[int]] = {category: frozenset() for category in partitions}

    def owns(self, category: str, shard: str) -> bool:
        """True when the partition that `shard` hashes to is held."""
        count = self._partitions.get(category)
        return count is not None and kafka.partition_of(shard.encode(), count) in self._held[category]

    def held(self, category: str) -> int:
        """How many leases of a category are held."""
        return len(self._held[category])

    def hold(self, held: dict[str, frozenset[int]]) -> None:
        """These are ours now, all others are not."""
        fresh = {category: held.get(category, frozenset()) for category in self._partitions}
        if fresh != self._held:
            self._held = fresh
            self._changed(self)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Keeps polling through a rebalance; the difference counts, not the callbacks."""

    def __init__(self, leases: Leases, categories: dict[str, str]) -> None:
        self._leases = leases
        self._categories = categories

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Called with all partitions at every rebalance: nothing is let go here."""

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """The whole new assignment."""
        held: dict[str, set[int]] = {}
        for tp in assigned:
            held.setdefault(self._categories[tp.topic], set()).add(tp.partition)
        self._leases.hold({category: frozenset(numbers) for category, numbers in held.items()})
        log.info("leases", extra={"held": {category: sorted(numbers) for category, numbers in held.items()}})


class Follower:
    """Reads the command topics of the categories and keeps the leases true."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        leases: Leases,
        categories: dict[str, str],
        session_ms: int,
        fetch: Fetch,
        count: Callable[..., None],
    ) -> None:
        self.leases = leases
        self._consumer = consumer
        self._categories = categories
        self._session_s = session_ms / 1000
        self._fetch = fetch
        self._count = count
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._decode = msgspec.json.Decoder(Command).decode

    async def follow(self) -> None:
        """Run until cancelled: commands become fetches, commits prove membership."""
        proven_s = committed_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                fetched = await self._consumer.getmany(timeout_ms=500, max_records=50)
                for tp, records in fetched.items():
                    for record in records:
                        self._take(group, self._categories[tp.topic], record.value)
                now_s = time.monotonic()
                if now_s - committed_s >= COMMIT_EVERY_S:
                    committed_s = now_s
                    if await self._prove():
                        proven_s = now_s
                    elif now_s - proven_s > self._session_s:
                        self.leases.hold({})

    def _take(self, group: asyncio.TaskGroup, category: str, value: bytes) -> None:
        try:
            command = self._decode(value)
        except msgspec.MsgspecError:
            self._count("commands_total", category=category, result="refused")
            return
        if command.expires_ms <= time.time_ns() // 1_000_000:
            self._count("commands_total", category=category, result="expired")
            return
        if command.id in self._seen:
            self._count("commands_total", category=category, result="repeated")
            return
        self._seen[command.id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        group.create_task(self._run(category, command), name=f"command {command.id}")

    async def _run(self, category: str, command: Command) -> None:
        self._count("commands_total", category=category, result=await self._fetch(category, command))

    async def _prove(self) -> bool:
        """Commit what was read; False when the group does not know us (any more)."""
        held = self._consumer.assignment()
        if not held:
            return True
        try:
            await self._consumer.commit()
        except (CommitFailedError, IllegalStateError):
            return False
        except KafkaError as error:
            log.warning("lease not confirmed", extra={"error": f"{type(error).__name__}: {error}"})
            return False
        return True


@asynccontextmanager
async def follower(
    settings: CommonSettings,
    categories: Sequence[str],
    session_ms: int,
    changed: Callable[[Leases], None],
    fetch: Fetch,
    count: Callable[..., None],
) -> AsyncIterator[Follower]:
    """A member of the group of these categories; leaves the group at the end, so that others take over at once."""
    names = {topics.name(f"commands.{category}", settings.topic_prefix): category for category in categories}
    async with kafka.reader(
        settings,
        group_id=settings.topic_prefix + GROUP,
        auto_offset_reset="latest",
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=max(300, session_ms // 4),
        partition_assignment_strategy=(StickyPartitionAssignor,),
    ) as consumer:
        counts = {category: len(await kafka.partitions(consumer, [name])) for name, category in names.items()}
        leases = Leases(counts, changed)
        consumer.subscribe(list(names), listener=_Listener(leases, names))
        yield Follower(consumer, leases, names, session_ms, fetch, count)
