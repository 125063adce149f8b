"""The fold of one record in Python: what kernels cannot read or judge. What cannot be used is set aside, with its reason and bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

from schemas.events import CONTROL_RATES, Value
from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.engine.model import EARLIEST_MS, Aside, Reason, Record, Shape, Statement
from services.aggregator.engine.names import SourceKey
from services.aggregator.engine.rules import TARGET
from services.aggregator.kernels.layout import LATEST_MS

if TYPE_CHECKING:
    from services.aggregator.engine.model import Source
    from services.aggregator.engine.partition import Partition

decode = msgspec.json.Decoder(Statement).decode
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def identity_of(said: Statement) -> SourceKey:
    """What makes the source of a statement; an empty quote is none."""
    return (said.provider, said.endpoint, said.quote or None, said.group, said.weight, said.origin, tuple(said.metrics))


def fold_one(partition: Partition, record: Record, now_ms: int, behind: bool) -> None:
    """Fold one record, whatever it is; nothing in it can raise."""
    partition.position = record.offset
    key, value = record.key, record.value
    limits = partition.limits
    if not value or not key or len(value) > limits.max_record_bytes:
        reason = Reason.TOO_LARGE if value and key else Reason.EMPTY
        return _aside(partition, record, reason, f"{len(value or b'')} bytes")
    try:
        said = decode(value)
    except UNREADABLE as fault:
        return _aside(partition, record, Reason.UNDECODABLE, str(fault))
    name = said.entity
    if name.encode() != key:
        return _aside(partition, record, Reason.KEY, f"entity {name!r}")
    received_ms = said.received_ms
    if received_ms > partition.log_ms:
        stamp = record.timestamp
        latest_ms = LATEST_MS if stamp is None or stamp < 0 else min(stamp + limits.future_ms, LATEST_MS)
        if received_ms > latest_ms:
            return _aside(partition, record, Reason.TIME, f"received_ms {received_ms}, log {stamp}")
        if received_ms >= partition.turn_ms:
            partition.turn_log(received_ms)
        partition.log_ms = received_ms
    elif received_ms < EARLIEST_MS:
        return _aside(partition, record, Reason.TIME, f"received_ms {received_ms}")
    if name == CONTROL_RATES:
        partition.take_rates(said)
        return None
    found = _source(partition, record, said)
    if found is not None:
        _put(partition, record, said, *found, now_ms, behind)
    return None


def _source(partition: Partition, record: Record, said: Statement) -> tuple[Source, dict[str, Value]] | None:
    """Who says it, and what of it can be used; None when nothing can."""
    metrics = said.metrics
    identity = identity_of(said)
    source = partition.names.source(identity)
    if said.origin not in partition.limits.origins:
        _aside(partition, record, Reason.ORIGIN, said.origin)
        return None
    usable = _usable(partition, record, metrics, source.shape)
    if usable is None:
        return source, metrics
    if not usable:
        return None
    return partition.names.source((*identity[:6], tuple(usable))), usable


def _put(
    partition: Partition,
    record: Record,
    said: Statement,
    source: Source,
    metrics: dict[str, Value],
    now_ms: int,
    behind: bool,
) -> None:
    limits, store, log_ms = partition.limits, partition.store, partition.log_ms
    number, shape = source.number, source.shape
    rule = shape.candle
    received_ms = said.received_ms
    ts_ms = received_ms if said.event_ms is None else min(said.event_ms, received_ms + limits.skew_ms)
    trade = rule is not None and rule.kind == "trade"
    if log_ms - ts_ms > shape.keep_ms or (trade and ts_ms < partition.candles.settled_ms):
        return _aside(partition, record, Reason.LATE, f"event {ts_ms}, log {log_ms}")
    assert record.key is not None
    address = partition.at(record.key)
    entity = store.view(address)
    if entity.version >= 0 and log_ms - entity.as_of_ms > limits.expire_ms:
        partition.renew(address)
    tie = crc32(said.id.encode())
    slot = entity.slot(number)
    newer = slot is None or (ts_ms, tie) > (slot[0], slot[1])
    if not trade and not newer:
        partition.counts.unchanged += 1
        return None
    store.ready()
    if trade and KERNELS.told(store.desk_at, address, number, tie):
        partition.counts.unchanged += 1
        return None
    if received_ms >= entity.learn_at_ms:
        partition.learn(address, received_ms)
    version = partition.version
    rate = partition.rates.factor(source.quote, entity.name, partition.rules.ranks) if shape.money else None
    if rule is not None and rate is not None:
        price = metrics[rule.price] * rate  # type: ignore[operator]
        size = metrics.get(rule.size or "", 0.0) if trade else None
        quote = (source.quote if rate == 1.0 else TARGET) or ""
        partition.candles.add(address, number, ts_ms, price, size, quote, version)  # type: ignore[arg-type]
    if newer:
        entity.put(number, ts_ms, tie, rate, tuple(metrics.values()))
    entity.version = version
    entity.as_of_ms = max(entity.as_of_ms, received_ms)
    partition.touch(address, now_ms, behind)
    partition.counts.folded += 1
    return None


def _aside(partition: Partition, record: Record, reason: Reason, detail: str) -> None:
    partition.asides.append(Aside(reason, detail[:500], record.offset, record.key, record.value))
    partition.asides_queued += 1
    aside = partition.counts.aside
    aside[reason.value] = aside.get(reason.value, 0) + 1


def _usable(partition: Partition, record: Record, metrics: dict[str, Value], shape: Shape) -> dict[str, Value] | None:
    """The metrics that can be used, when some cannot; None when all can. The record goes to `dlq` in the first case."""
    bad = [
        f"{name}={metrics[name]!r}"
        for name, low, high, kind in (*shape.numbers, *shape.words)
        if metrics[name].__class__ is not kind or (kind is float and not low <= metrics[name] <= high)  # type: ignore[operator]
    ]
    if not bad and not shape.unknown:
        return None
    detail = ", ".join((*bad, *shape.unknown))
    _aside(partition, record, Reason.ABSURD if bad else Reason.METRIC, detail)
    gone = {text.split("=", 1)[0] for text in bad} | set(shape.unknown)
    return {name: value for name, value in metrics.items() if name not in gone}
