"""Faust's own driver under the same engine: slower by the cost of an event per record, and needing none of our private code.

Its commits run ahead of the checkpoints; that is harmless, because a partition always reads on from its checkpoint.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from faust.types import TP

from services.aggregator.engine.records import OneRecord

log = logging.getLogger(__name__)


AGAIN_S = 1.0
"""A seek that brought nothing in this time is repeated; meanwhile the records that were fetched before it pass by."""


class Unread(dict[TP, int | None]):
    """What Faust has read: nothing. It notes each record that it hands on and drops all before it, also those that we go back to."""

    def __getitem__(self, tp: TP) -> int | None:
        return None


def deliver_again(consumer: Any) -> None:
    """Let Faust hand on every record that it fetches; to be called before it fetches."""
    consumer._read_offset = Unread()


class Port:
    """What the host asks of the stock consumer."""

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self._thread = consumer._thread
        self._sought: dict[TP, tuple[int, float]] = {}

    def waits(self, tp: TP, offset: int) -> bool:
        """Whether the partition was sought back to this offset a moment ago; if not, it is noted as sought now."""
        now_s = time.monotonic()
        before, at_s = self._sought.get(tp, (-1, 0.0))
        if before == offset and now_s - at_s < AGAIN_S:
            return True
        self._sought[tp] = (offset, now_s)
        return False

    async def go_to(self, tp: TP, offset: int) -> None:
        """Fetch the partition from this offset on."""
        thread = self.consumer._thread
        # Faust's own `seek` changes aiokafka's buffers from another thread, in the middle of a fetch: KeyError there, and a crash.
        await thread.call_thread(thread.seek, tp, offset)

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
    """Hand one record to its partition; a record beyond the next offset sends the consumer back to where the state is.

    A thousand records may have been fetched behind it: they are dropped, and do not each send the consumer back again.
    """
    host = app.owner
    tp = message.tp
    partition = host.partition(tp)
    if partition is None:
        return
    expected = partition.position + 1
    if message.offset > expected:
        if host.consumer.waits(tp, expected):
            return
        earliest = await host.consumer.earliest(tp)
        if earliest <= expected:
            host.healed(tp, expected, message.offset)
            await host.consumer.go_to(tp, expected)
            return
    # Faust keeps the timestamp in seconds.
    record = OneRecord(message.offset, int((message.timestamp or 0) * 1000), message.key, message.value)
    await host.receive([(tp, (record,))], message.generation_id)
