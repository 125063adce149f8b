"""The records on our topics, one msgspec struct each; JSON Schema and AsyncAPI are generated from these.

Wire format: UTF-8 JSON objects, one per Kafka record. Fields may be added, with a default; never removed or renamed.
Times are Unix epoch milliseconds (`_ms`). Money and quantities are IEEE doubles in shortest round-trip form.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Value = float | bool | str | list[str]
Origin = Literal["live", "replay", "sandbox"]

CONTROL_RATES = "control:rates"
"""Entity of the quote-conversion control records that the aggregator writes into raw.* partitions."""


class Raw(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one provider said about one entity at one time, in one category. Topic `raw.<category>`, key: entity."""

    id: str
    """Deterministic: the same statement fetched twice has the same id."""
    category: str
    provider: str
    endpoint: str
    entity: str
    metrics: dict[str, Value]
    """Catalogue name -> value in the catalogue's unit; money is in `quote`."""
    received_ms: int
    origin: Origin
    event_ms: int | None = None
    """The provider's own time of the statement; None when it gives none."""
    quote: str | None = None
    """Asset id (`usd`, `tether`, `bitcoin`) in which metrics of unit `quote` are counted."""
    group: str | None = None
    """Independence group, when it is not the provider itself."""
    weight: float = 1.0
    """Static prior of the provider, from its definition."""
    registry: str | None = None
    """Short hash of the definition that mapped it."""
    intended: str | None = None
    """Provider that was to answer, when a pool sent another."""
    reason: str | None = None
    """Why the pool sent another."""


class Source(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one provider contributed to one fused metric."""

    provider: str
    value: Value
    age_ms: int
    weight: float = 0.0
    """Share of the answer, 0..1; 0 when excluded."""
    why: str | None = None
    """Why it was excluded; None when used."""


class FusedMetric(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Our answer for one metric of one entity."""

    value: Value | None
    confidence: float
    """Calibrated probability, 0..1, that `value` is within the metric's tolerance of the truth."""
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    """(max - min) / |value| over the used sources; None for values that are not numbers."""
    sources: int = 0
    """How many sources were used."""
    voices: float = 0.0
    """How many independent voices they amount to."""
    method: str = ""
    as_of_ms: int = 0
    by: list[Source] = []
    quality: Quality | None = None
    """Quality of this metric alone; None in a record of one metric, whose own quality it is."""


class Quality(Struct, frozen=True, kw_only=True):
    """Quality of a record, each 0..1; definitions in docs/fusion.md."""

    completeness: float
    consistency: float
    timeliness: float
    diversity: float
    confidence: float


class Fused(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Our answer for one entity in one category. Topic `fused.<category>`, key: entity. Readers keep max(version)."""

    entity: str
    category: str
    version: int
    """log epoch * 2**40 + offset of the raw record last folded; rises per key."""
    as_of_ms: int
    """Newest receive time folded; no wall clock of the aggregator enters a record."""
    origin: Origin
    metrics: dict[str, FusedMetric]
    quote: str | None = None
    """Asset id in which money is counted (`usd` in category market)."""
    quality: Quality | None = None


class Candle(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fused OHLCV bar. Topic `candles.1m`, key: `<entity>|<interval>|<start_ms>`, partition of the entity."""

    entity: str
    interval: str
    start_ms: int
    open: float
    high: float
    low: float
    close: float
    quote: str
    version: int
    origin: Origin
    volume: float = 0.0
    """In units of the base asset; 0 when no trade was seen, only quotes."""
    trades: int = 0
    sources: int = 0
    closed: bool = False


class Command(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A fetch on demand. Topic `commands.<category>`, key: shard `<provider>|<endpoint>`, so its lease holder answers."""

    id: str
    """Chosen by who asks; a second command with the same id is left out."""
    expires_ms: int
    """After this nobody waits for the answer."""
    provider: str | None = None
    """None: the pool of the question picks one."""
    endpoint: str | None = None
    params: dict[str, str] = {}
    """Parameter -> value in the provider's spelling."""
    entity: str | None = None
    """What is wanted, when no provider is named; it also stays in the interest set until `keep_ms`."""
    keep_ms: int | None = None


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One upstream attempt, or one that was due and skipped. Topic `ops.fetches`, key: provider."""

    provider: str
    endpoint: str
    category: str
    """Home category of the provider, whose collector made the attempt."""
    outcome: str
    """OK, SKIPPED, or a class of the error taxonomy (services/collector/classify.py)."""
    origin: Origin
    started_ms: int
    due_ms: int | None = None
    finished_ms: int | None = None
    delay_ms: int | None = None
    on_time: bool | None = None
    skip_reason: str | None = None
    status: int | None = None
    latency_ms: float | None = None
    bytes: int | None = None
    events: int | None = None
    rows_failed: int | None = None
    held: int | None = None
    """Values of drifted metrics that were held back; the other metrics of the answer went out."""
    try_number: int = 1
    cached: bool = False
    intended: str | None = None
    reason: str | None = None
    quota_used: float | None = None
    """Share of the tightest known budget that is used, 0..1."""
    breaker: Literal["closed", "open", "half_open"] | None = None
    data_age_ms: int | None = None
    """Receive time minus the newest event time in the answer."""
    detail: str | None = None
    """Redacted explanation of a failure."""


class Definition(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Summary of a provider definition. Topic `ops.providers`, key: `definition/<provider>`; written by collectors."""

    provider: str
    name: str
    categories: list[str]
    home: str
    status: str
    endpoints: list[str]
    streams: list[str]
    group: str
    registry: str
    updated_ms: int
    homepage: str | None = None
    docs: str | None = None
    weight: float = 1.0
    key_required: bool = False


class ProviderScore(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Health of a provider. Topic `ops.providers`, key: `score/<provider>`; written by health."""

    provider: str
    state: Literal["online", "degraded", "offline", "unrated"]
    score: float | None
    """0..100."""
    components: dict[str, float]
    samples: int
    updated_ms: int
    last_ok_ms: int | None = None
    last_outcome: str | None = None
    reason: str | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_target_ms: float | None = None
    """The provider's own slow median, by which its latency is judged."""
    quota_used: float | None = None
    breaker: str | None = None
    origin: Origin = "live"
    reputation: dict[str, float] | None = None
    """What fusion learned about it (Reputation)."""
    reputation_ms: int | None = None
    """When that was told."""
    one_voice_with: list[str] | None = None
    residuals: dict[str, float] | None = None
    """Its statements against what the others said: count, bias_bps (median), noise_bps (deviation, by the median)."""
    drift: dict[str, str] | None = None
    """Endpoint or stream -> how its answers differ from what was proven; what differs is held back."""


class Reputation(Struct, frozen=True, kw_only=True):
    """What fusion learned about a provider. Topic `ops.providers`, key: `reputation/<provider>`; by the signals agent."""

    provider: str
    reputation: dict[str, float]
    """windows, accuracy (P(inlier)), error_tol (standard error in tolerances), lag_ms, voice (1/m for one of m copies)."""
    updated_ms: int
    one_voice_with: list[str] = []
    """Providers whose errors it shares: likely the same upstream, or a copy."""


class Held(Struct, frozen=True, kw_only=True):
    """What a collector holds back since a change of unit. Topic `ops.providers`, key: `held/<provider>/<endpoint>/<message>`."""

    provider: str
    endpoint: str
    message: str
    """Kind of message of a stream; empty for an endpoint."""
    registry: str
    """Hash of the definition; another one starts anew."""
    powers: dict[str, int]
    """Metric -> power of ten by which it jumped (0: one divided by it); empty when nothing is held back any more."""
    levels: dict[str, list[tuple[str, str, str | None, float]]]
    """Metric -> last accepted values: parameters of the request, entity, quote, value."""
    updated_ms: int


class Alert(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """State of one alert. Topic `ops.alerts`, key: fingerprint."""

    fingerprint: str
    name: str
    state: Literal["pending", "firing", "resolved"]
    severity: Literal["page", "ticket", "info"]
    labels: dict[str, str]
    summary: str
    since_ms: int
    updated_ms: int
    resolved_ms: int | None = None
    value: float | None = None
    remedy: str | None = None
    inhibited_by: str | None = None
    """Name of the firing alert that explains this one, so that nobody is told of it."""
    told: Literal["firing", "resolved"] | None = None
    """State that was last told to the notification channels."""
    told_ms: int | None = None


class ServiceState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """State of one service process. Topic `ops.services`, key: service instance; written by the runner."""

    service: str
    instance: str
    state: Literal["starting", "ready", "crashed", "stopped"]
    restarts: int
    since_ms: int
    last_exit: str | None = None


class Signal(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A derived finding with its evidence. Topics `signals.arbitrage`, `signals.anomaly`, key: entity."""

    id: str
    kind: str
    entity: str
    as_of_ms: int
    confidence: float
    summary: str
    evidence: dict[str, Any]
    """What it rests on, by name: values, objects of values, or lists of either."""
    inputs: list[str]
    thresholds: dict[str, float]
    origin: Origin
    expires_ms: int | None = None


class Archived(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Header `meta` of a record on topic `archive`; the record's value is the body, verbatim after redaction. Key: provider."""

    provider: str
    endpoint: str
    fingerprint: str
    received_ms: int
    origin: Origin
    registry: str
    status: int | None = None
    method: str = "GET"
    url: str | None = None
    """Redacted."""
    params: dict[str, str] = {}
    content_type: str | None = None
    headers: dict[str, str] = {}
    """Quota and cache headers only."""
