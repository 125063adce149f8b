"""Faust's own driver under the same engine: slower by the cost of an event per record, and needing none of our private code.

Its commits run ahead of the checkpoints; that is harmless, because a partition always reads on from its checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from faust.types import TP

log = logging.getLogger(__name__)


class OneRecord(NamedTuple):
    """A Faust message as the engine reads records; Faust keeps the timestamp in seconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Port:
    """What the host asks of the stock consumer."""

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self._thread = consumer._thread

    async def go_to(self, tp: TP, offset: int) -> None:
        """Fetch the partition from this offset on."""
        thread = self.consumer._thread
        # Faust's own `seek` changes aiokafka's buffers from another thread, in the middle of a fetch: KeyError there, and a crash.
        await thread.call_thread(thread.seek, tp, offset)
        # The loop delivers from the read offset on.
        self.consumer._read_offset[tp] = offset

    def highwater(self, tp: TP) -> int | None:
        """End of the log as the consumer last saw it."""
        found: int | None = self.consumer.highwater(tp)
        return found

    async def earliest(self, tp: TP) -> int:
        """First offset that the log still has."""
        offsets: Mapping[TP, int] = await self.consumer.earliest_offsets(tp)
        return offsets[tp]

    async def maybe_wait_for_commit_to_finish(self) -> None:
        """A commit that runs would swallow ours."""
        await self.consumer.maybe_wait_for_commit_to_finish()

    async def force_commit(self) -> None:
        """Commit now."""
        await self.consumer.force_commit()


async def intake(app: Any, message: Any) -> None:
    """Hand one record to its partition; a record beyond the next offset sends the consumer back to where the state is."""
    host = app.owner
    tp = message.tp
    partition = host.partition(tp)
    if partition is None:
        return
    expected = partition.position + 1
    if message.offset > expected:
        earliest = await host.consumer.earliest(tp)
        if earliest <= expected:
            host.healed(tp, expected, message.offset)
            await host.consumer.go_to(tp, expected)
            return
    record = OneRecord(message.offset, int((message.timestamp or 0) * 1000), message.key, message.value)
    await host.receive(tp, (record,), message.generation_id)
