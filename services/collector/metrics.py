"""Metrics of the collector, one row each."""

from __future__ import annotations

from typing import Final

from services.common.metrics import COUNTER, GAUGE, HISTOGRAM, Metric

ROWS: Final = (
    Metric("attempts_total", COUNTER, ("provider", "outcome"), help="Upstream attempts by outcome class."),
    Metric("skips_total", COUNTER, ("provider", "reason"), help="Times a job was due and not started, by reason."),
    Metric("events_total", COUNTER, ("category", "source"), help="Raw events published; source is poll or stream."),
    Metric("rows_failed_total", COUNTER, ("provider",), help="Rows of answers that could not be mapped."),
    Metric("rows_unknown_total", COUNTER, ("provider",), help="Rows about entities that no table knows."),
    Metric("held_values_total", COUNTER, ("provider",), help="Values held back because what the provider says has drifted."),
    Metric("drifted", GAUGE, ("provider", "endpoint"), help="Ways in which an endpoint's answers differ from what was proven."),
    Metric(
        "attempt_seconds",
        HISTOGRAM,
        ("category",),
        help="Time from asking a provider to its whole answer.",
        buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    ),
    Metric(
        "start_delay_seconds",
        HISTOGRAM,
        ("category",),
        help="Time from a job's due time to its start.",
        buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60),
    ),
    Metric("on_time_total", COUNTER, ("category", "on_time"), help="Starts within 5 s of their due time, yes or no."),
    Metric("jobs", GAUGE, (), help="Jobs in the timetable."),
    Metric("jobs_in_flight", GAUGE, (), help="Jobs under way."),
    Metric("quota_used_ratio", GAUGE, ("provider",), help="Share of the provider's tightest budget that is used."),
    Metric("quota_warnings_total", COUNTER, ("provider",), help="Attempts made with 80 % or more of a budget used."),
    Metric("diverted_total", COUNTER, ("provider", "reason"), help="Questions that another provider answered, by the intended one."),
    Metric("breaker_open", GAUGE, ("provider", "endpoint"), help="1 while the breaker is open or half open."),
    Metric("limits_shared", GAUGE, (), help="1 while limits are counted in Redis, 0 while in this process."),
    Metric("cache_total", COUNTER, ("result",), help="Cache lookups: hit, shared (joined a flight), revived (304), miss."),
    Metric("cache_bytes", GAUGE, (), help="Bodies held by the cache."),
    Metric("dead_letters_total", COUNTER, ("provider", "reason"), help="Bodies and messages set aside."),
    Metric("refused_records_total", COUNTER, ("topic",), help="Records that the broker would never take."),
    Metric("outbox_records", GAUGE, (), help="Records that wait for Kafka."),
    Metric("outbox_bytes", GAUGE, (), help="Bytes that wait for Kafka."),
    Metric("outbox_stalled", GAUGE, (), help="1 while Kafka acknowledges nothing."),
    Metric("leases", GAUGE, ("category",), help="Polling leases held."),
    Metric("commands_total", COUNTER, ("category", "result"), help="Fetches on demand: done, expired, repeated, refused, failed."),
    Metric("sockets_open", GAUGE, ("provider",), help="Sockets that are connected."),
    Metric("socket_messages_total", COUNTER, ("provider",), help="Messages received on sockets."),
    Metric("socket_reconnects_total", COUNTER, ("provider", "reason"), help="Sockets opened again, by why the last one ended."),
    Metric("book_resyncs_total", COUNTER, ("provider", "reason"), help="Order books that had to start again: gap, crossed, invalid."),
)  # fmt: skip
