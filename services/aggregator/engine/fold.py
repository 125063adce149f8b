"""The fold: raw records in log order change entities; what cannot be used is set aside, with its reason and its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import msgspec

from schemas.events import CONTROL_RATES, Value
from services.aggregator.engine.model import (
    EARLIEST_MS,
    EPOCH_SPAN,
    MINUTE_MS,
    Aside,
    Entity,
    Reason,
    Record,
    Shape,
    Statement,
)
from services.aggregator.engine.partition import Partition
from services.aggregator.engine.rules import TARGET
from services.aggregator.engine.windows import SEEN_TRADES

_decode = msgspec.json.Decoder(Statement).decode


def fold(partition: Partition, records: Sequence[Record], now_ms: int, behind: bool = False) -> None:
    """Fold a batch; records at or below the position are skipped, and nothing in it can raise. `behind`: much more waits.

    One function, and plain tuples in it, because it runs for every record: what it calls is what happens rarely.
    """
    partition.pace(now_ms, behind)
    position = partition.position
    base = partition.epoch * EPOCH_SPAN
    limits = partition.limits
    max_bytes, skew_ms, future_ms, expire_ms = (
        limits.max_record_bytes,
        limits.skew_ms,
        limits.future_ms,
        limits.expire_ms,
    )
    entities, changed = partition.entities, partition.changed
    names = partition.names
    known = names.by_key.get
    factor, ranks = partition.rates.factor, partition.rules.ranks
    put = partition.due.put_behind if behind else partition.due.put
    saving = partition.cut.pending if partition.cut is not None else None
    candles = partition.candles
    log_ms, turn_ms = partition.log_ms, partition.turn_ms
    replayed = unchanged = folded = 0
    value = None
    for record in records:
        offset = record.offset
        if offset <= position:
            replayed += 1
            continue
        partition.position = position = offset
        key, value = record.key, record.value
        if not value or not key or len(value) > max_bytes:
            _aside(partition, record, Reason.TOO_LARGE if value and key else Reason.EMPTY, f"{len(value or b'')} bytes")
            continue
        try:
            said = _decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            _aside(partition, record, Reason.UNDECODABLE, str(fault))
            continue
        held = entities.get(key)
        if held.__class__ is bytes:
            held = partition.unpack(key, held)
        name = said.entity
        if (held is None or held.name != name) and name.encode() != key:  # type: ignore[union-attr]
            _aside(partition, record, Reason.KEY, f"entity {name!r}")
            continue
        received_ms = said.received_ms
        if received_ms > log_ms:
            stamp = record.timestamp
            if stamp is not None and received_ms > stamp + future_ms:
                _aside(partition, record, Reason.TIME, f"received_ms {received_ms}, log {stamp}")
                continue
            if received_ms >= turn_ms:
                partition.turn_log(received_ms)
                turn_ms = partition.turn_ms
            partition.log_ms = log_ms = received_ms
        elif received_ms < EARLIEST_MS:
            _aside(partition, record, Reason.TIME, f"received_ms {received_ms}")
            continue
        if held is None and name == CONTROL_RATES:
            partition.rates.take(said)
            partition.counts.control += 1
            continue

        metrics = said.metrics
        quote = said.quote
        identity = (said.provider, said.endpoint, quote, said.group, said.weight, said.origin, tuple(metrics))
        source = known(identity) or names.source(identity)
        number, checks, plain, money, rule, keep_ms = source.plan
        for check, low, high, _ in checks:
            amount = metrics[check]
            if amount.__class__ is not float or not low <= amount <= high:
                plain = False
        if not plain:
            if said.origin not in limits.origins:
                _aside(partition, record, Reason.ORIGIN, said.origin)
                continue
            usable = _usable(partition, record, metrics, source.shape)
            if usable is not None:
                if not usable:
                    continue
                metrics = usable
                source = names.source((*identity[:6], tuple(metrics)))
                number, _, _, money, rule, keep_ms = source.plan

        ts_ms = said.event_ms
        if ts_ms is None:
            ts_ms = received_ms
        elif ts_ms > received_ms + skew_ms:
            ts_ms = received_ms + skew_ms
        trade = rule is not None and rule.kind == "trade"
        if log_ms - ts_ms > keep_ms or (trade and ts_ms < candles.settled_ms):
            _aside(partition, record, Reason.LATE, f"event {ts_ms}, log {log_ms}")
            continue

        if saving and key in saving:
            partition.save(key)
        if held is None or log_ms - held.as_of_ms > expire_ms:  # type: ignore[union-attr]
            if held is None:
                partition.hot += 1
            else:
                partition.fuser.forget_key(name)
            entities[key] = held = Entity(key)
        entity: Entity = held  # type: ignore[assignment]
        slot = entity.slots.get(number)
        newer = slot is None or ts_ms > slot[0] or (ts_ms == slot[0] and _wins(said.id, slot[1]))
        if trade:
            if _told(entity, number, said.id):
                unchanged += 1
                continue
        elif not newer:
            unchanged += 1
            continue
        version = base + offset
        rate = None if not money else 1.0 if quote == TARGET else factor(quote, name, ranks)
        if rule is not None and rate is not None:
            price = metrics[rule.price] * rate  # type: ignore[operator]
            bars = entity.bars
            voice = None
            if bars is not None and not trade:
                bar = bars[-1]
                if bar.start_ms >= candles.closed_ms and 0 <= ts_ms - bar.start_ms < MINUTE_MS:
                    voice = bar.quotes.get(number)
            if voice is not None and ts_ms >= voice.last_ms:
                # The common case of Candles.add, in line: a newer price in the open minute.
                voice.last_ms, voice.close = ts_ms, price
                if price > voice.high:
                    voice.high = price
                elif price < voice.low:
                    voice.low = price
                bar.version, bar.due = version, True
            else:
                size = metrics.get(rule.size or "", 0.0) if trade else None
                candles.add(entity, number, ts_ms, price, size, (quote if rate == 1.0 else TARGET) or "", version)  # type: ignore[arg-type]
        if received_ms >= entity.learn_at_ms:
            partition.learn(entity, received_ms)
        if newer:
            entity.slots[number] = (ts_ms, said.id, rate, tuple(metrics.values()))
        entity.version = version
        if received_ms > entity.as_of_ms:
            entity.as_of_ms = received_ms
        entity.payload = None
        changed[key] = entity
        if not entity.dirty:
            put(entity, now_ms)
        folded += 1
    counts = partition.counts
    counts.folded += folded
    counts.replayed += replayed
    counts.unchanged += unchanged
    if value is not None:
        partition.log_crc = crc32(value)


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


def _wins(tie: str, held: str | int) -> bool:
    """Whether of two statements of one time the first counts: by the CRC of their ids, so that order does not matter."""
    if tie == held:
        return False
    return crc32(tie.encode()) > (held if isinstance(held, int) else crc32(held.encode()))


def _told(entity: Entity, source: int, tie: str) -> bool:
    """Whether this trade was told before, as far as is remembered."""
    if entity.seen is None:
        entity.seen = {}
    seen = entity.seen.setdefault(source, {})
    crc = crc32(tie.encode())
    if crc in seen:
        return True
    seen[crc] = None
    if len(seen) > SEEN_TRADES:
        del seen[next(iter(seen))]
    return False
