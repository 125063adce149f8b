"""Random logs in which everything happens that a fold has to judge, and what a partition that folds them gives."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from services.aggregator.engine import Partition, careful, checkpoint
from services.aggregator.engine.checkpoint import Recovery
from services.aggregator.engine.fold import fold
from services.aggregator.engine.model import Output
from services.aggregator.fusion.layout import RING, SLOT
from services.aggregator.fusion.state import SLOTS_AT
from tests.unit.aggregator.engine.logs import T0, Record, raw, rules

LIMITS = {"expire_ms": 1_800_000, "retain_ms": 600_000, "max_record_bytes": 4000, "origins": ("live", "replay")}
"""Short enough that statements and entities grow too old within a log."""
CATEGORIES = ("market", "exchange", "derivatives", "onchain", "news")
PROVIDERS = ("aqua", "brick", "cedar", "delta", "ember")
ENTITIES = {
    "market": ("asset:coin", "asset:tether", "asset:bitcoin", "asset:other", "asset:usd", "pair:coin/usd"),
    "exchange": ("pair:coin/usd", "pair:coin/tether", "pair:bitcoin/euro", "asset:coin"),
    "derivatives": ("perp:coin/usd", "future:coin/usd:2026", "option:coin/gold:1:call", "asset:coin"),
    "onchain": ("chain:one", "chain:two"),
    "news": ("story:one", "story:two"),
}
SHAPES: dict[str, tuple[tuple[str, ...], ...]] = {
    "market": (("price",), ("price",), ("price", "volume_24h"), ("volume_24h", "price", "change_24h_pct"), ("asset_name", "price")),
    "exchange": (
        ("trade_price", "trade_size"), ("trade_price", "trade_size", "trade_side"), ("trade_price",), ("last", "bid", "ask"),
        ("last",), ("last", "pair_status"), ("trade_size",),
    ),
    "derivatives": (
        ("mark_price",), ("contract_trade_price", "contract_trade_size"), ("mark_price", "funding_rate"), ("open_interest",),
        ("contract_last", "contract_trade_side"),
    ),
    "onchain": (("tvl",), ("tx_count_24h", "tvl"), ("hashrate_hs",)),
    "news": (("title", "url"), ("sentiment",), ("sentiment", "title", "coins")),
}  # fmt: skip
WORDS: dict[str, Any] = {
    "asset_name": "Coin", "trade_side": "buy", "pair_status": "open", "contract_trade_side": "sell", "title": "News",
    "url": "https://example.com/a", "coins": ["coin"],
}  # fmt: skip
QUOTES = ("usd", "usd", "usd", "tether", "bitcoin", "euro", "gold", "", None)
STEPS = (0, 0, 0, 1, 40, 700, 700, 3000, 5000, 9000, 20_000, 61_000)


def story(seeds: Sequence[int], category: str) -> list[Record]:
    """A log; each of its records is made of one seed and the clock of those before, so that others can be left out."""
    at_ms = 0
    found: list[Record] = []
    for offset, seed in enumerate(seeds):
        rnd = random.Random(seed)
        at_ms += 2_000_000 if rnd.random() < 0.002 else 400_000 if rnd.random() < 0.004 else rnd.choice(STEPS)
        found.append(_record(rnd, offset + offset // 7, category, at_ms, found))
    return found


def _record(rnd: random.Random, offset: int, category: str, at_ms: int, before: list[Record]) -> Record:
    if before and rnd.random() < 0.08:
        # Word for word what was said before, now and then long ago.
        again = before[-min(len(before), rnd.choice((1, 1, 2, 5, 40)))]
        return again._replace(offset=offset)
    if rnd.random() < 0.05:
        return _odd(rnd, offset, category, at_ms)
    one = _control(rnd, at_ms) if rnd.random() < 0.06 else _event(rnd, category, at_ms)
    value = msgspec.json.encode(one)
    if rnd.random() < 0.02:
        value = value.replace(b'"entity":', b'"entity" : ')
    return Record(offset, one.received_ms, one.entity.encode(), value)


def _control(rnd: random.Random, at_ms: int) -> Any:
    asset = rnd.choice(("tether", "bitcoin", "euro", "usd", "unheard"))
    value: Any = rnd.choice((1.0, 0.9993, 1.1, 60_000.0, 0.0, -1.0, "much"))
    return raw("control:rates", "parallax", at_ms, endpoint="rates", quote=None, metrics={asset: value}, id=f"r{at_ms}")


def _event(rnd: random.Random, category: str, at_ms: int) -> Any:
    shape = rnd.choice(SHAPES[category])
    far = 10.0 if rnd.random() < 0.03 else 1.0
    metrics = {name: WORDS.get(name, far * 100.0 * (1 + round(rnd.gauss(0, 0.001), 5))) for name in shape}
    if "funding_rate" in metrics:
        metrics["funding_rate"] = 1e-4
    if rnd.random() < 0.04:
        metrics[rnd.choice(shape)] = rnd.choice((-1e40, "odd", True, 0.0, -0.0, 7))
    if rnd.random() < 0.02:
        metrics[rnd.choice(("vibes", "price", "bid"))] = 1.0
    received = at_ms - rnd.choice((0, 0, 0, 0, 0, 1, 5000, 70_000))
    event = rnd.choice((None, 0, 0, -1, -500, -2500, 4000, -62_000, -200_000, -1_300_000, 20_000, 10**12, -(10**13)))
    entity = rnd.choice(ENTITIES[category]) if rnd.random() < 0.99 else "control:rates"
    return raw(
        entity, rnd.choice(PROVIDERS), received, metrics=metrics, category=category,
        quote=rnd.choice(QUOTES) if rnd.random() < 0.5 else "usd", endpoint=rnd.choice(("tick", "tick", "full")),
        event_ms=None if event is None else T0 + received + event, id=str(rnd.randrange(12 if rnd.random() < 0.3 else 10**9)),
        origin=rnd.choice(("live",) * 12 + ("replay", "sandbox")), group=rnd.choice((None,) * 6 + ("house",)),
        weight=rnd.choice((1.0,) * 5 + (0.5,)),
    )  # fmt: skip


def _odd(rnd: random.Random, offset: int, category: str, at_ms: int) -> Record:
    """A record of which something is wrong."""
    one = _event(rnd, category, at_ms)
    key, value, stamp = one.entity.encode(), msgspec.json.encode(one), one.received_ms
    kind = rnd.randrange(9)
    if kind == 0:
        return Record(offset, stamp, None, value)
    if kind == 1:
        return Record(offset, stamp, key, rnd.choice((None, b"")))
    if kind == 2:
        return Record(offset, stamp, rnd.choice((b"", b"asset:wrong", key + b"s", key[:-1] + b"\xff")), value)
    if kind == 3:
        return Record(offset, stamp, key, value[: rnd.randrange(len(value))])
    if kind == 4:
        return Record(offset, stamp, key, value + b" " * 5000)
    if kind == 5:
        return Record(
            offset, stamp - 10**9, key, msgspec.json.encode(msgspec.structs.replace(one, received_ms=stamp + 10**7))
        )
    if kind == 6:
        return Record(
            offset, stamp, key, msgspec.json.encode(msgspec.structs.replace(one, received_ms=rnd.choice((5, -5, 0))))
        )
    if kind == 7:
        return Record(offset, rnd.choice((-1, None)), key, value)  # type: ignore[arg-type]
    return Record(offset, stamp, key, value.replace(b'"metrics":{', b'"metrics":{"vibes":{},'))


# --- ways through a log -----------------------------------------------------------------------------------------------

Way = Callable[[Partition, Sequence[Record], int], None]


def by_kernels(partition: Partition, records: Sequence[Record], now_ms: int) -> None:
    """All that kernels can read they fold."""
    fold(partition, records, now_ms)


def by_hand(partition: Partition, records: Sequence[Record], now_ms: int) -> None:
    """Every record by Python."""
    for record in records:
        if record.offset <= partition.position:
            partition.counts.replayed += 1
        else:
            careful.fold_one(partition, record, now_ms, behind=False)
            partition.log_crc = crc32(record.value or b"")


class Told(NamedTuple):
    """What came of a log."""

    partition: Partition
    sent: list[Output]
    saved: list[Output]
    asides: list[Any]
    announced: list[Any]
    counts: dict[str, Any]


def read(
    records: list[Record], category: str, way: Way, batches: Sequence[int], cuts: frozenset[int] = frozenset(),
    partition: Partition | None = None,
) -> Told:  # fmt: skip
    """Fold a log in batches of these lengths, over and over; after those of `cuts` a checkpoint is written."""
    if partition is None:
        partition = Partition(rules(category, **LIMITS), 0)
    sent: list[Output] = []
    saved: list[Output] = []
    begin = batch = 0
    while begin < len(records):
        end = begin + batches[batch % len(batches)]
        now_ms = 1000 * (batch + 1)
        way(partition, records[begin:end], now_ms)
        begin, batch = end, batch + 1
        sent += [*partition.take(now_ms, 1 << 30), *partition.candles.take(1 << 30)]
        if batch in cuts:
            out, topic = cut(partition, now_ms)
            sent += out
            saved += topic
    partition.candles.finish()
    sent += [*partition.take(10**12, 1 << 30), *partition.candles.take(1 << 30)]
    announced = [msgspec.structs.astuple(one) for one in partition.announcements]
    return Told(partition, sent, saved, list(partition.asides), announced, msgspec.to_builtins(partition.take_counts()))


def cut(partition: Partition, now_ms: int) -> tuple[list[Output], list[Output]]:
    """A whole checkpoint: what had to be sent for it, and what stands in the state topic."""
    partition.begin_cut()
    out = [*partition.take(now_ms, 1 << 30), *partition.candles.take(1 << 30)]
    topic = partition.take_cut(1 << 30) + partition.close_cut()
    partition.end_cut()
    return out, topic


def recovered(topic: Sequence[Output], category: str) -> Partition:
    """A partition that goes on from there."""
    recovery = Recovery()
    for key, value in topic:
        recovery.feed(key, value, [(checkpoint.VERSION_HEADER, (0).to_bytes(8, "big"))])
    return Partition(rules(category, **LIMITS), 0, recovery)


def by_version(sent: Sequence[Output]) -> dict[tuple[bytes, int], bytes]:
    """(key, version) -> record. Of bars without their origin: it is that of the entity when they are sent."""
    found: dict[tuple[bytes, int], bytes] = {}
    for key, value in sent:
        if value is not None:
            told = _ORIGIN.sub(b"", value) if b"|" in key else value
            version = int(told.split(b'"version":')[1].split(b",")[0].rstrip(b"}"))
            assert found.setdefault((key, version), told) == told, "two records of one version"
    return found


_ORIGIN = re.compile(rb'"origin":"[a-z]*",?')


def held(partition: Partition) -> dict[bytes, tuple[Any, ...]]:
    """What the partition knows of each entity, but for its bars, which depend on what was sent."""
    names = partition.store.tables.quote_names
    return {
        key: (
            one.version, one.as_of_ms, one.learn_at_ms, one.slots, one.agreed, one.seen, one.rank,
            names[one.own_quote] if one.own_quote >= 0 else None,
            {metric: learned[: _bytes(capacity)] for metric, (capacity, learned) in one.lessons.items()},
        )
        for key, one in partition.entities.items()
    }  # fmt: skip


def _bytes(capacity: int) -> int:
    """Of what is remembered of so many sources; behind it a word may be filled up."""
    return 8 * (SLOTS_AT + capacity * SLOT) + 4 * RING * capacity
