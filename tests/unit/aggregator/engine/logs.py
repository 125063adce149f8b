"""Logs for engine tests: records made from raw events, and a partition that folded them."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from schemas import metrics
from schemas.events import Raw
from services.aggregator.engine import Limits, Partition, Rules
from services.aggregator.engine.fold import fold

T0 = 1_760_000_040_000
"""A whole minute, and a whole multiple of nothing longer."""
QUOTES = ("usd", "euro", "tether", "usd-coin", "bitcoin")


class Record(NamedTuple):
    """A record of a log."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def rules(category: str = "market", **limits: Any) -> Rules:
    """Rules of a category from the real catalogue."""
    return Rules(category, metrics.load(), Limits(**limits), QUOTES)


def raw(entity: str = "asset:coin", provider: str = "aqua", at_ms: int = 0, **fields: Any) -> Raw:
    """A raw event, `at_ms` after T0; `metrics` or one `price`."""
    said = {"price": fields.pop("price", 100.0)} if "metrics" not in fields else fields.pop("metrics")
    defaults = {
        "id": f"{provider}-{entity}-{at_ms}",
        "category": "market",
        "endpoint": "tick",
        "origin": "live",
        "quote": "usd",
    }
    return Raw(provider=provider, entity=entity, received_ms=T0 + at_ms, metrics=said, **{**defaults, **fields})


def log(*raws: Raw | bytes, start: int = 0) -> list[Record]:
    """Records of these events, one after another; bytes are taken as a value as they are."""
    found = []
    for number, one in enumerate(raws, start):
        if isinstance(one, bytes):
            found.append(Record(number, T0, b"asset:coin", one))
        else:
            found.append(Record(number, one.received_ms, one.entity.encode(), msgspec.json.encode(one)))
    return found


def folded(records: list[Record], category: str = "market", **limits: Any) -> Partition:
    """A fresh partition that folded these."""
    partition = Partition(rules(category, **limits), 0)
    fold(partition, records, 0)
    return partition


def sent(partition: Partition, now_ms: int = 10**9) -> dict[str, dict[str, Any]]:
    """What the partition sends by then: entity -> fused record."""
    return {key.decode(): msgspec.json.decode(value or b"null") for key, value in partition.take(now_ms, 1 << 30)}
