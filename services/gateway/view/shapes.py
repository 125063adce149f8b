"""The records that clients see, one struct each; the encoder, the OpenAPI document and the AsyncAPI document use the same ones.

Money and quantities are decimal strings, never in exponent form; ratios, ranks and scores are numbers; instants are RFC 3339 with `Z`.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from schemas.events import Origin, Quality

Shown = str | float | bool | list[str] | None
"""A metric's value as shown: amounts as decimal strings, other numbers as numbers."""


class SourceRecord(Struct, kw_only=True):
    """What one provider said about one metric, and what became of it."""

    provider: str
    value: Shown
    age_ms: int
    """Age of the statement at the record's `as_of`."""
    as_of: str
    weight: float
    """Share of the answer, 0..1."""
    used: bool
    why_excluded: str | None
    deviation_bps: float | None
    """(value - fused) / |fused| in basis points; null for values that are not numbers."""


class MetricRecord(Struct, kw_only=True, omit_defaults=True):
    """Our answer for one metric."""

    value: Shown
    unit: str | None
    confidence: float
    """Probability, 0..1, that the value is within the metric's tolerance of the truth."""
    low: Shown
    high: Shown
    spread: float | None
    sources_used: int
    sources_total: int
    voices: float
    """Independent voices that the used sources amount to."""
    method: str
    as_of: str
    stale: bool
    quality: Quality | None = None
    """Of this metric; absent where the record has no other, whose quality it is."""
    sources: list[SourceRecord] | None = None
    """Only where sources were asked for."""


class AssetRecord(Struct, kw_only=True, omit_defaults=True):
    """An asset on the market: the fused answers side by side, money in `quote`."""

    asset_id: str
    symbol: str | None
    name: str | None
    rank: int | None
    price: str | None
    conf: str | None
    """Half-width of the interval around the price, in units of `quote`."""
    conf_lo: str | None
    conf_hi: str | None
    confidence: float | None
    """Of the price; the other metrics' confidences are in the asset's own page."""
    spread: float | None
    high_24h: str | None
    low_24h: str | None
    volume_24h: str | None
    market_cap: str | None
    change_1h_pct: float | None
    change_24h_pct: float | None
    change_7d_pct: float | None
    circulating_supply: str | None
    quote: str | None
    source: Literal["fused"]
    method: str | None
    sources_used: int
    sources_total: int
    origin: Origin
    as_of: str
    fused_at: str
    latency_ms: int
    """From the newest source's receive time to the fused record's publication."""
    fresh_until: str | None
    stale: bool
    stale_reason: str | None
    ver: int
    """Rises with every fusion of this asset."""
    seq: int
    """Offset in the fused topic's partition."""
    quality: Quality | None = None
    metrics: dict[str, MetricRecord] | None = None
    """Every fused metric; only in the asset's own page."""


class NewsTelling(Struct, kw_only=True):
    """One story as one provider carried it."""

    provider: str
    publisher: str | None
    title: str | None
    url: str | None
    published_at: str | None


class NewsRecord(Struct, kw_only=True):
    """One story, told once, with everybody who carried it."""

    story_id: str
    title: str | None
    url: str | None
    published_at: str | None
    """Of several tellings the middle one."""
    first_published_at: str | None
    publisher: str | None
    author: str | None
    summary: str | None
    image_url: str | None
    language: str | None
    assets: list[str]
    """Asset ids, or the source's own words where it gives no identity."""
    tags: list[str]
    sentiment: float | None
    carried_by: list[str]
    """Providers that carried it."""
    tellings: list[NewsTelling]
    """What each of them said: title, address and time, first published first."""
    confidence: float | None
    origin: Origin
    as_of: str
    fused_at: str
    stale: bool
    ver: int
    seq: int


class EntityRecord(Struct, kw_only=True, omit_defaults=True):
    """A fused record of any category."""

    entity: str
    category: str
    quote: str | None
    source: Literal["fused"]
    origin: Origin
    as_of: str
    fused_at: str
    latency_ms: int
    fresh_until: str | None
    stale: bool
    stale_reason: str | None
    ver: int
    seq: int
    quality: Quality | None
    metrics: dict[str, MetricRecord]


class SourcesRecord(Struct, kw_only=True):
    """Who said what about one entity."""

    entity: str
    asset_id: str | None
    origin: Origin
    quote: str | None
    as_of: str
    stale: bool
    ver: int
    seq: int
    metrics: dict[str, MetricRecord]


class CandleRecord(Struct, kw_only=True):
    """One OHLCV bar; prices in `quote`, volume in units of the base asset."""

    start: str
    open: str | None
    high: str | None
    low: str | None
    close: str | None
    volume: str | None
    trades: int
    sources: int
    closed: bool
    """False while the bar may still change."""
    origin: Origin
    ver: int


class BarsRecord(Struct, kw_only=True):
    """Bars of one entity, oldest first, as rows or as columns."""

    entity: str
    interval: str
    interval_ms: int
    quote: str
    candles: list[CandleRecord] | dict[str, list[str | int | bool | None]]


class ScoreRecord(Struct, kw_only=True):
    """Health of a provider as the health service sees it."""

    state: Literal["online", "degraded", "offline", "unrated"]
    score: float | None
    components: dict[str, float]
    samples: int
    reason: str | None
    last_ok: str | None
    last_outcome: str | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    quota_used: float | None
    breaker: str | None
    drift: dict[str, str]
    """Endpoint or stream -> how its answers differ from what was proven; what differs is held back."""
    reputation: dict[str, float] | None
    """What fusion learned: windows, accuracy (P(inlier)), error_tol (in tolerances), lag_ms, voice (1/m for one of m copies)."""
    reputation_at: str | None
    one_voice_with: list[str]
    """Providers whose errors it shares: likely the same upstream, or a copy."""
    residuals: dict[str, float] | None
    """Its statements against what the others said, within the window: count, bias_bps, noise_bps."""
    origin: Origin
    updated_at: str


class ProviderRecord(Struct, kw_only=True):
    """A provider: what it is, and how it fares."""

    provider: str
    name: str | None
    home: str | None
    categories: list[str]
    status: str | None
    """As its definition says: live, key-required, paid, retired."""
    group: str | None
    homepage: str | None
    docs: str | None
    key_required: bool | None
    endpoints: list[str]
    streams: list[str]
    weight: float | None
    health: ScoreRecord | None
    """Null until the health service has judged it."""


class AlertRecord(Struct, kw_only=True):
    """State of one alert."""

    fingerprint: str
    name: str
    state: Literal["pending", "firing", "resolved"]
    severity: Literal["page", "ticket", "info"]
    labels: dict[str, str]
    summary: str
    value: float | None
    remedy: str | None
    inhibited_by: str | None
    """Name of the firing alert that explains this one; nobody is told of it meanwhile."""
    since: str
    updated_at: str
    resolved_at: str | None


class ServiceRecord(Struct, kw_only=True):
    """State of one service process."""

    service: str
    instance: str
    state: Literal["starting", "ready", "crashed", "stopped"]
    restarts: int
    since: str
    last_exit: str | None


class SignalRecord(Struct, kw_only=True):
    """A derived finding with its evidence."""

    id: str
    kind: str
    entity: str
    as_of: str
    confidence: float
    summary: str
    evidence: dict[str, Any]
    inputs: list[str]
    thresholds: dict[str, float]
    origin: Origin
    expires_at: str | None


class Meta(Struct, kw_only=True, omit_defaults=True):
    """What holds for the whole answer."""

    as_of: str | None
    stale: bool
    """Of a list: whether every record in it is."""
    origins: list[Origin]
    """Where the data came from: live providers, a replay of recordings, or the sandbox."""
    source: str = "fused"
    seq: int | None = None
    ver: int | None = None
    method: str | None = None
    latency_ms: int | None = None
    count: int | None = None
    total: int | None = None
    next_cursor: str | None = None
    next_url: str | None = None
    missing: list[str] | None = None
    """Assets that were asked for and of which nothing is known yet."""
