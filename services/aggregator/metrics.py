"""The aggregator's metrics, as rows; counters move once per batch."""

from __future__ import annotations

from services.aggregator.engine.model import Reason
from services.common.metrics import COUNTER, GAUGE, HISTOGRAM, Metric

ROWS: tuple[Metric, ...] = (
    Metric("raw_folded_total", COUNTER, ("category",), help="Raw records that changed an entity."),
    Metric("raw_unchanged_total", COUNTER, ("category",), help="Raw records that said nothing newer than what was known."),
    Metric("raw_replayed_total", COUNTER, ("category",), help="Raw records skipped because they had been folded before."),
    Metric("raw_aside_total", COUNTER, ("category", "reason"), help="Raw records set aside to dlq or late, by reason."),
    Metric("rates_folded_total", COUNTER, ("category",), help="Control records with exchange rates."),
    Metric("fused_sent_total", COUNTER, ("category",), help="Fused records that are durable."),
    Metric("candles_sent_total", COUNTER, ("category",), help="Bars that are durable."),
    Metric("state_sent_total", COUNTER, ("category",), help="Entities written to checkpoints."),
    Metric("state_damaged_total", COUNTER, ("category",), help="Keys whose state could not be read at recovery; they begin anew."),
    Metric("batch_records", HISTOGRAM, help="Records per batch handed to an agent.", buckets=(1, 3, 10, 30, 100, 300, 1000, 2000)),
    Metric(
        "fused_latency_seconds", HISTOGRAM, ("category",),
        help="Newest receive time in a batch until its fused records are durable.",
        buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 10),
    ),
    Metric("lag_records", GAUGE, ("category", "partition"), help="Records in the log that are not yet folded."),
    Metric("safe_offset_age_seconds", GAUGE, ("category", "partition"), help="Seconds since the partition's last checkpoint."),
    Metric("entities", GAUGE, ("category", "partition"), help="Entities held."),
    Metric("partitions_live", GAUGE, help="Partitions that are assigned and recovered."),
    Metric("rebalances_total", COUNTER, help="Times the group gave out partitions anew."),
    Metric("rebalance_pause_seconds", HISTOGRAM, help="Revocation until a partition folds again.", buckets=(0.1, 0.3, 1, 3, 10, 30)),
    Metric("recovery_seconds", HISTOGRAM, help="Time to read a partition's state.", buckets=(0.05, 0.1, 0.3, 1, 3, 10, 30)),
    Metric("gaps_healed_total", COUNTER, help="Fetches that began after the next offset and were sought back."),
    Metric("writes_held_total", COUNTER, help="Times writing stopped until membership of the group was proved."),
    Metric("signals_records_total", COUNTER, ("topic",), help="Records read by the signals agent."),
    Metric("signals_bad_total", COUNTER, ("topic",), help="Records that the signals agent could not read."),
    Metric("signals_sent_total", COUNTER, ("kind",), help="Signals published."),
    Metric("moods_sent_total", COUNTER, ("category",), help="Statements about moods, published as raw events."),
    Metric("stories_sent_total", COUNTER, ("what",), help="Statements that make one story of several: telling or mark."),
    Metric("writes_failed_total", COUNTER, ("topic",), help="Writes that the broker refused and that are tried again."),
)  # fmt: skip

REASONS = tuple(reason.value for reason in Reason)
"""Every label value exists at 0 from the start, so that a first failure is a rise."""
