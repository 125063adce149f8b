"""Prometheus metrics of the health service, as rows."""

from __future__ import annotations

from services.common.metrics import COUNTER, GAUGE, HISTOGRAM, Metric

ROWS = (
    Metric("health_records_total", COUNTER, ("topic",), help="Records read."),
    Metric("health_dead_letters_total", COUNTER, ("topic",), help="Records that could not be read and went to dlq."),
    Metric("health_provider_score", GAUGE, ("provider",), help="Score of the provider, 0 to 100; absent while unknown."),
    Metric("health_providers", GAUGE, ("state",), help="Providers in this state."),
    Metric("health_alerts", GAUGE, ("state",), help="Alerts in this state."),
    Metric("health_transitions_total", COUNTER, ("alert", "state"), help="Times an alert entered this state."),
    Metric("health_evaluation_seconds", HISTOGRAM, (), help="Time of one evaluation of all scores and rules.",
           buckets=(0.001, 0.005, 0.02, 0.05, 0.1, 0.5, 2.0)),
    Metric("health_notifications_total", COUNTER, ("channel", "outcome"), help="Messages by channel: sent, retry, refused, given_up."),
)  # fmt: skip

PROVIDER_STATES = ("online", "degraded", "offline", "unrated")
ALERT_STATES = ("pending", "firing", "resolved")
NOTIFICATION_OUTCOMES = ("sent", "retry", "refused", "given_up")
