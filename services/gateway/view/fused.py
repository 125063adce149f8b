"""How fused records are read and shown: the asset's flat record, the general record, and who said what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from schemas.events import Fused, FusedMetric, Origin, Source, Value
from services.gateway.view.feed import BadRecord, Body, Entry, Head, Rendered
from services.gateway.view.index import Index
from services.gateway.view.news import news_record, stands_for
from services.gateway.view.numbers import LAST_MS, decimal, http_date, instant, is_number
from services.gateway.view.shapes import (
    AssetRecord,
    EntityRecord,
    Meta,
    MetricRecord,
    NewsRecord,
    Shown,
    SourceRecord,
    SourcesRecord,
)  # fmt: skip

EPOCH_BITS = 40
"""`version` is the log epoch shifted by this, plus an offset."""
REPLAY_RECHECK_MS = 1_000
"""A replay has its own clock, so its labels are looked at again this often."""
UNRANKED = 1e6
"""Assets without a rank come after all ranked ones, in the order of the asset table."""
ORDERS: dict[str, tuple[str, int]] = {
    "market": ("market_rank", 1),
    "news": ("published_at", -1),
    "whale": ("transfer_time", -1),
}
"""What a listing is sorted by, and whether the smallest (1) or the greatest (-1) comes first; elsewhere by entity."""

encode = msgspec.json.Encoder().encode


class MetricSpec(Struct, frozen=True):
    """What the catalogue says of a metric that matters to readers."""

    unit: str
    shown_as: Literal["amount", "number", "instant"]
    """Money and quantities as decimal strings, moments as RFC 3339, the rest as numbers."""
    freshness_ms: int


class HeadMetric(Struct, gc=False):
    """The parts of a fused metric that are checked on arrival; `by` waits for a reader."""

    value: Value | None
    confidence: float
    as_of_ms: int = 0


class FusedHead(Struct, gc=False):
    """The parts of a fused record that are checked on arrival."""

    entity: str
    category: str
    version: int
    as_of_ms: int
    origin: Origin
    metrics: dict[str, HeadMetric]


class Skipped(Struct, gc=False):
    """A source of which only the existence counts."""


class BriefMetric(Struct, gc=False):
    """What listings show of a fused metric; decoding the sources would be most of the cost of a listing."""

    value: Value | None
    confidence: float
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    sources: int = 0
    method: str = ""
    as_of_ms: int = 0
    by: list[Skipped] = []


class Brief(Struct, gc=False):
    """What listings show of a fused record."""

    entity: str
    as_of_ms: int
    origin: Origin
    metrics: dict[str, BriefMetric]
    quote: str | None = None


class ReplayClock:
    """The newest receive time of replayed records: what `now` means to a replay."""

    __slots__ = ("now_ms",)

    def __init__(self) -> None:
        self.now_ms = 0


class FusedKind:
    """Records of `fused.<category>`."""

    def __init__(self, category: str, specs: Mapping[str, MetricSpec], assets: Index, clock: ReplayClock) -> None:
        self.category = category
        self._specs = specs
        self._assets = assets
        self._clock = clock
        metric, sign = ORDERS.get(category, (None, 1))
        self._order_metric: str | None = metric
        self._order_sign = sign
        self._read_head = msgspec.json.Decoder(FusedHead).decode
        self._read_brief = msgspec.json.Decoder(Brief).decode
        self._read = msgspec.json.Decoder(Fused).decode

    def head(self, key: str, value: bytes, offset: int) -> Head:
        """Version, time and rank; BadRecord when the record contradicts its key or its topic."""
        try:
            fused = self._read_head(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise BadRecord(f"fused record: {fault}") from fault
        if fused.entity != key:
            raise BadRecord(f"fused record: expected entity {key} (the key), got {fused.entity}")
        if fused.category != self.category:
            raise BadRecord(f"fused record: expected category {self.category} (the topic), got {fused.category}")
        if not 0 <= fused.as_of_ms <= LAST_MS:
            raise BadRecord(f"fused record: expected as_of_ms between 1970 and 9999, got {fused.as_of_ms}")
        if fused.origin == "replay" and fused.as_of_ms > self._clock.now_ms:
            self._clock.now_ms = fused.as_of_ms
        order = self._order(fused)
        return Head(
            version=fused.version,
            as_of_ms=fused.as_of_ms,
            origin=fused.origin,
            order=order,
            stands_for_it=stands_for(fused) if self.category == "news" else None,
        )

    def render(self, entry: Entry, value: bytes, now_ms: int) -> Rendered:
        """The record as listings and sockets carry it."""
        shown: AssetRecord | NewsRecord | EntityRecord
        if self._is_asset(entry.key):
            brief = self._read_brief(value)
            age = self._ages(brief, now_ms)
            shown = self._asset(brief, entry, age)
        else:
            fused = self._read(value)
            age = self._ages(fused, now_ms)
            if self.category == "news" and "title" in fused.metrics:
                shown = news_record(fused, entry, stale=age.stale)
            else:
                shown = self._entity(fused, entry, age, sources=False)
        return Rendered(
            valid_until_ms=age.valid_until_ms, stale=age.stale, fresh_until_ms=age.fresh_until_ms, json=encode(shown)
        )

    def page(self, entry: Entry, value: bytes, now_ms: int, *, sources: bool) -> Body:
        """The record's own page: every metric, with its sources where they were asked for."""
        fused = self._read(value)
        age = self._ages(fused, now_ms)
        shown: AssetRecord | EntityRecord
        if self._is_asset(entry.key):
            shown = self._asset(fused, entry, age)
            shown.metrics = self._metrics(fused, age, sources=sources)
            shown.quality = fused.quality
        else:
            shown = self._entity(fused, entry, age, sources=sources)
        return self._body(shown, fused, entry, age)

    def sources(self, entry: Entry, value: bytes, now_ms: int) -> Body:
        """Who said what about the entity, with age, weight, deviation and reason of exclusion."""
        fused = self._read(value)
        age = self._ages(fused, now_ms)
        shown = SourcesRecord(
            entity=fused.entity,
            asset_id=fused.entity[6:] if self._is_asset(entry.key) else None,
            origin=fused.origin,
            quote=fused.quote,
            as_of=instant(fused.as_of_ms),
            stale=age.stale,
            ver=entry.version,
            seq=entry.offset,
            metrics=self._metrics(fused, age, sources=True),
        )
        return self._body(shown, fused, entry, age)

    def _order(self, fused: FusedHead) -> float:
        if self._order_metric is None:
            return 0.0
        metric = fused.metrics.get(self._order_metric)
        if metric is None or not is_number(metric.value):
            if self._order_sign < 0:
                return -float(fused.as_of_ms)
            return UNRANKED + self._assets.place(fused.entity.removeprefix("asset:"))
        return self._order_sign * float(metric.value)  # type: ignore[arg-type]

    def _is_asset(self, entity: str) -> bool:
        return self.category == "market" and entity.startswith("asset:")

    def _body(self, shown: Struct, fused: Fused, entry: Entry, age: Ages) -> Body:
        main = _main_metric(fused)
        meta = Meta(
            as_of=instant(fused.as_of_ms),
            stale=age.stale,
            origins=[fused.origin],
            seq=entry.offset,
            ver=entry.version,
            method=main.method if main else None,
            latency_ms=_latency_ms(entry, fused),
        )
        return Body(
            identity=encode({"data": shown, "meta": meta}),
            etag=etag(entry, age.stale_count),
            last_modified=http_date(entry.written_ms).encode(),
            max_age_s=1,
        )

    def _ages(self, fused: Fused | Brief, now_ms: int) -> Ages:
        """Which metrics are past their freshness at `now_ms`, and when the next one will be."""
        now = self._clock.now_ms if fused.origin == "replay" else now_ms
        stale = []
        newest_ms, main_ms, next_ms = fused.as_of_ms, None, LAST_MS
        for name, metric in fused.metrics.items():
            spec = self._specs.get(name)
            until_ms = (metric.as_of_ms or fused.as_of_ms) + (spec.freshness_ms if spec else DEFAULT_FRESHNESS_MS)
            if until_ms <= now:
                stale.append(name)
            elif until_ms < next_ms:
                next_ms = until_ms
            if until_ms > newest_ms:
                newest_ms = until_ms
            if name == "price":
                main_ms = until_ms
        fresh_until_ms = newest_ms if main_ms is None else main_ms
        valid_until_ms = now_ms + REPLAY_RECHECK_MS if fused.origin == "replay" else next_ms
        return Ages(fresh_until_ms <= now, len(stale), frozenset(stale), min(fresh_until_ms, LAST_MS), valid_until_ms)

    def _shown(self, name: str, value: Value | None) -> Shown:
        if isinstance(value, bool | str | list) or value is None:
            return value
        spec = self._specs.get(name)
        if spec is None or spec.shown_as == "amount":
            return decimal(float(value))
        if spec.shown_as == "instant":
            return instant(int(value)) if 0 <= value <= LAST_MS else None
        return int(value) if float(value).is_integer() else float(value)

    def _metrics(self, fused: Fused, age: Ages, *, sources: bool) -> dict[str, MetricRecord]:
        return {name: self._metric(name, metric, fused, age, sources) for name, metric in fused.metrics.items()}

    def _metric(self, name: str, metric: FusedMetric, fused: Fused, age: Ages, sources: bool) -> MetricRecord:
        spec = self._specs.get(name)
        as_of_ms = metric.as_of_ms or fused.as_of_ms
        record = MetricRecord(
            value=self._shown(name, metric.value),
            unit=spec.unit if spec else None,
            confidence=metric.confidence,
            low=self._shown(name, metric.low),
            high=self._shown(name, metric.high),
            spread=metric.spread,
            sources_used=metric.sources,
            sources_total=len(metric.by),
            voices=metric.voices,
            method=metric.method,
            as_of=instant(as_of_ms),
            stale=name in age.stale_metrics,
            quality=metric.quality,
        )
        if sources:
            record.sources = [self._source(name, source, metric, fused.as_of_ms) for source in metric.by]
        return record

    def _source(self, name: str, source: Source, metric: FusedMetric, as_of_ms: int) -> SourceRecord:
        return SourceRecord(
            provider=source.provider,
            value=self._shown(name, source.value),
            age_ms=source.age_ms,
            as_of=instant(max(0, as_of_ms - source.age_ms)),
            weight=source.weight,
            used=source.why is None,
            why_excluded=source.why,
            deviation_bps=_deviation_bps(source.value, metric.value),
        )

    def _asset(self, fused: Fused | Brief, entry: Entry, age: Ages) -> AssetRecord:
        metrics = fused.metrics
        asset = self._assets.get(fused.entity[6:])
        price = metrics.get("price")
        half = (price.high - price.low) / 2 if price and price.high is not None and price.low is not None else None

        def amount(name: str) -> str | None:
            metric = metrics.get(name)
            return decimal(float(metric.value)) if metric and is_number(metric.value) else None  # type: ignore[arg-type]

        def number(name: str) -> float | None:
            metric = metrics.get(name)
            return float(metric.value) if metric and is_number(metric.value) else None  # type: ignore[arg-type]

        rank = number("market_rank")
        return AssetRecord(
            asset_id=fused.entity[6:],
            symbol=asset.symbol if asset else None,
            name=asset.name if asset else None,
            rank=int(rank) if rank is not None else None,
            price=amount("price"),
            conf=decimal(half) if half is not None else None,
            conf_lo=decimal(price.low) if price and price.low is not None else None,
            conf_hi=decimal(price.high) if price and price.high is not None else None,
            confidence=price.confidence if price else None,
            spread=price.spread if price else None,
            high_24h=amount("high_24h"),
            low_24h=amount("low_24h"),
            volume_24h=amount("volume_24h"),
            market_cap=amount("market_cap"),
            change_1h_pct=number("change_1h_pct"),
            change_24h_pct=number("change_24h_pct"),
            change_7d_pct=number("change_7d_pct"),
            circulating_supply=amount("circulating_supply"),
            quote=fused.quote,
            source="fused",
            method=price.method if price else None,
            sources_used=price.sources if price else 0,
            sources_total=len(price.by) if price else 0,
            origin=fused.origin,
            as_of=instant(fused.as_of_ms),
            fused_at=instant(entry.written_ms),
            latency_ms=_latency_ms(entry, fused),
            fresh_until=instant(age.fresh_until_ms),
            stale=age.stale,
            stale_reason=_stale_reason(age),
            ver=entry.version,
            seq=entry.offset,
        )

    def _entity(self, fused: Fused, entry: Entry, age: Ages, *, sources: bool) -> EntityRecord:
        return EntityRecord(
            entity=fused.entity,
            category=fused.category,
            quote=fused.quote,
            source="fused",
            origin=fused.origin,
            as_of=instant(fused.as_of_ms),
            fused_at=instant(entry.written_ms),
            latency_ms=_latency_ms(entry, fused),
            fresh_until=instant(age.fresh_until_ms),
            stale=age.stale,
            stale_reason=_stale_reason(age),
            ver=entry.version,
            seq=entry.offset,
            quality=fused.quality,
            metrics=self._metrics(fused, age, sources=sources),
        )


DEFAULT_FRESHNESS_MS = 600_000
"""For a metric that the catalogue of this build does not know (a newer aggregator); the slowest polled category's pace."""


class Ages(Struct, gc=False):
    """Freshness of a record at one moment."""

    stale: bool
    """Whether the metric that readers came for (the price; elsewhere the freshest one) is past its freshness."""
    stale_count: int
    stale_metrics: frozenset[str]
    fresh_until_ms: int
    valid_until_ms: int


def etag(entry: Entry, stale_count: int) -> bytes:
    """`"<epoch>-<offset>"`, with `-s<n>` when n metrics are labelled stale: the label changes the bytes."""
    suffix = f"-s{stale_count}" if stale_count else ""
    return f'"{entry.version >> EPOCH_BITS}-{entry.offset}{suffix}"'.encode()


def _main_metric(fused: Fused) -> FusedMetric | None:
    return fused.metrics.get("price") or next(iter(fused.metrics.values()), None)


def _latency_ms(entry: Entry, fused: Fused | Brief) -> int:
    return max(0, entry.written_ms - fused.as_of_ms)


def _stale_reason(age: Ages) -> str | None:
    return f"no source has renewed it since {instant(age.fresh_until_ms)}" if age.stale else None


def _deviation_bps(said: Value, fused: Value | None) -> float | None:
    if not is_number(said) or not is_number(fused) or not fused:
        return None
    return round((float(said) - float(fused)) / abs(float(fused)) * 1e4, 3)  # type: ignore[arg-type]
