"""From the state topic back to a partition: the newest whole checkpoint, and where the log goes on from it."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple
from zlib import crc32

from aiokafka import TopicPartition

from services.aggregator.engine import Partition, Rules
from services.aggregator.engine.checkpoint import Recovery
from services.common import kafka
from services.common.settings import CommonSettings

OPTIONS: dict[str, Any] = {
    "fetch_max_wait_ms": 50,
    "max_poll_records": 5000,
    "fetch_max_bytes": 2 * 1024 * 1024,
    "max_partition_fetch_bytes": 2 * 1024 * 1024,
}
"""A short wait, because the constant part of a recovery is the fetch that is under way when it ends; small fetches, because
several partitions recover at once and what they unpack is memory that the process keeps."""

FIRST_KEYS = 5
"""Keys that are named where many are damaged."""

log = logging.getLogger(__name__)


class Recovered(NamedTuple):
    """A partition as of its last checkpoint, and the offset to read on from."""

    partition: Partition
    start: int
    records: int


async def recover(settings: CommonSettings, rules: Rules, raw: str, state: str, number: int) -> Recovered:
    """Read partition `number` of the state topic, and look at the raw log that it belongs to."""
    log_tp, state_tp = TopicPartition(raw, number), TopicPartition(state, number)
    recovery = Recovery()
    records = 0
    async with kafka.reader(settings, **OPTIONS) as reader:
        reader.assign([state_tp, log_tp])
        ends = await reader.end_offsets([state_tp, log_tp])
        starts = await reader.beginning_offsets([state_tp, log_tp])
        reader.pause(log_tp)
        if ends[state_tp] > starts[state_tp]:
            reader.seek(state_tp, starts[state_tp])
            while await reader.position(state_tp) < ends[state_tp]:
                for batch in (await reader.getmany(state_tp, timeout_ms=500)).values():
                    records += len(batch)
                    for record in batch:
                        recovery.feed(record.key, record.value, record.headers)
        partition = Partition(rules, number, recovery)
        if await _renewed(reader, partition, log_tp, starts[log_tp], ends[log_tp]):
            partition.renew_log()
            log.warning(
                "%s/%d was made anew: reading it from its start, versions go on in epoch %d",
                raw,
                number,
                partition.epoch,
            )
    start = partition.position + 1
    if start < starts[log_tp]:
        if partition.position >= 0:
            log.error("%s/%d: records %d to %d are gone by retention, unread", raw, number, start, starts[log_tp] - 1)
        start = starts[log_tp]
        partition.position = start - 1
    if damaged := partition.damaged:
        first = ", ".join(repr(key.decode(errors="replace")) for key in damaged[:FIRST_KEYS])
        log.warning(
            "%s/%d: the state of %d keys cannot be read, and they begin anew with the log from %d on: %s%s",
            state,
            number,
            len(damaged),
            partition.position + 1,
            first,
            ", ..." if len(damaged) > FIRST_KEYS else "",
        )
    if recovery.dropped:
        log.info("%s/%d: %d records of an unfinished checkpoint are left out", state, number, recovery.dropped)
    return Recovered(partition, start, records)


async def _renewed(reader: Any, partition: Partition, tp: TopicPartition, start: int, end: int) -> bool:
    """Whether the log is another than the one the checkpoint was cut from: shorter, or with another record at its position."""
    position = partition.position
    if position < 0:
        return False
    if end <= position:
        return True
    if position < start or partition.log_crc is None:
        return False
    reader.resume(tp)
    reader.seek(tp, position)
    while await reader.position(tp) == position:
        for batch in (await reader.getmany(tp, timeout_ms=500, max_records=1)).values():
            for record in batch:
                return bool(record.offset != position or crc32(record.value or b"") != partition.log_crc)
    return False
