"""Metrics of the gateway, as rows."""

from __future__ import annotations

from services.common.metrics import COUNTER, GAUGE, HISTOGRAM, Metric

ROWS = (
    Metric("gateway_records_total", COUNTER, ("topic",), "Records taken from a topic that were news."),
    Metric("gateway_records_refused_total", COUNTER, ("topic",), "Records that could not be read and went to dlq."),
    Metric("gateway_keys", GAUGE, ("category",), "Fused records held."),
    Metric("gateway_lag_records", GAUGE, (), "Records in the topics that this process has not read."),
    Metric("gateway_age_seconds", HISTOGRAM, ("topic",), "From a record's Kafka timestamp to this process's memory.",
           (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)),
    Metric("gateway_requests_total", COUNTER, ("status", "path"), "HTTP answers; path is hot or routed."),
    Metric("gateway_ws_clients", GAUGE, (), "Open WebSocket connections."),
    Metric("gateway_ws_sent_records_total", COUNTER, (), "Records written to WebSocket clients."),
    Metric("gateway_ws_writes_total", COUNTER, (), "Writes to WebSocket clients; each carries all records that were due."),
    Metric("gateway_ws_sent_bytes_total", COUNTER, (), "Bytes written to WebSocket clients."),
    Metric("gateway_ws_skipped_total", COUNTER, (), "Flushes left out because a client was not reading."),
    Metric("gateway_ws_closed_total", COUNTER, ("code",), "WebSocket connections that the gateway closed, by close code."),
    Metric("gateway_ws_flush_seconds", HISTOGRAM, (), "Time of one turn of the flush wheel.",
           (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)),
)  # fmt: skip
