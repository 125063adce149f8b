"""Counters per batch, and the gauges of the partitions."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from services.aggregator.engine.model import Counts
from services.common.metrics import Metrics

if TYPE_CHECKING:
    from services.aggregator.driver.host import Host

GAUGE_S = 1.0

COUNTERS = {
    "raw_folded_total": "folded",
    "raw_unchanged_total": "unchanged",
    "raw_replayed_total": "replayed",
    "rates_folded_total": "control",
    "fused_sent_total": "fused",
    "candles_sent_total": "candles",
}
"""Metric -> field of the engine's counts."""


def count(metrics: Metrics, category: str, counts: Counts) -> None:
    """Add what happened in a batch."""
    for name, field in COUNTERS.items():
        number = getattr(counts, field)
        if number:
            metrics.inc(name, number, category=category)
    for reason, number in counts.aside.items():
        metrics.inc("raw_aside_total", number, category=category, reason=reason)


async def gauge(host: Host) -> None:
    """Keep the gauges, for ever."""
    metrics = host.metrics
    while True:
        now_s = time.monotonic()
        for tp, held in host.held.items():
            partition = held.partition
            if partition is None or not held.live:
                continue
            labels = {"category": held.category, "partition": str(tp.partition)}
            metrics.set("entities", len(partition.entities), **labels)
            metrics.set("safe_offset_age_seconds", now_s - held.cut_at_s, **labels)
            highwater = host.consumer.highwater(tp) if host.consumer is not None else None
            if highwater is not None:
                metrics.set("lag_records", max(0, highwater - 1 - partition.position), **labels)
        metrics.set("partitions_live", len(host.live()))
        await asyncio.sleep(GAUGE_S)
