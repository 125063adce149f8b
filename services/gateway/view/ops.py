"""How the ops and signal topics are read and shown: definitions, scores, alerts, service states, signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from schemas.events import Alert, Definition, ProviderScore, ServiceState, Signal
from services.gateway.view.feed import BadRecord, Entry, Head, Rendered
from services.gateway.view.fused import encode
from services.gateway.view.numbers import LAST_MS, instant
from services.gateway.view.shapes import AlertRecord, ProviderRecord, ScoreRecord, ServiceRecord, SignalRecord

T = TypeVar("T")


class PlainKind(Generic[T]):
    """Records whose newest offset wins and that never go stale: the log's order is their version."""

    def __init__(
        self, shape: type[T], show: Callable[[T], Any], time_of: Callable[[T], int], name_of: Callable[[T], str]
    ) -> None:
        self._decode = msgspec.json.Decoder(shape).decode
        self._noun = shape.__name__
        self._show = show
        self._time_of = time_of
        self._name_of = name_of

    def head(self, key: str, value: bytes, offset: int) -> Head:
        """The offset as version, the record's own time as order, newest first."""
        record = self.read(value)
        at_ms = self._time_of(record)
        if not 0 <= at_ms <= LAST_MS:
            raise BadRecord(f"{self._noun}: expected a time between 1970 and 9999, got {at_ms}")
        if self._name_of(record) != key:
            raise BadRecord(f"{self._noun}: expected {key} (the key), got {self._name_of(record)}")
        return Head(version=offset, as_of_ms=at_ms, origin=getattr(record, "origin", ""), order=-float(at_ms))

    def render(self, entry: Entry, value: bytes, now_ms: int) -> Rendered:
        """The record as sockets carry it."""
        shown = encode(self._show(self.read(value)))
        return Rendered(valid_until_ms=LAST_MS, stale=False, fresh_until_ms=LAST_MS, json=shown)

    def read(self, value: bytes) -> T:
        """The record; BadRecord names the field that is wrong."""
        try:
            return self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise BadRecord(f"{self._noun}: {fault}") from fault


def definitions() -> PlainKind[Definition]:
    """Provider definitions, key `definition/<provider>`."""
    return PlainKind(
        Definition, lambda d: provider_record(d, None), lambda d: d.updated_ms, lambda d: f"definition/{d.provider}"
    )


def scores() -> PlainKind[ProviderScore]:
    """Provider scores, key `score/<provider>`."""
    return PlainKind(
        ProviderScore,
        lambda s: {"provider": s.provider, **msgspec.to_builtins(score_record(s))},
        lambda s: s.updated_ms,
        lambda s: f"score/{s.provider}",
    )


def alerts() -> PlainKind[Alert]:
    """Alert states, key: fingerprint."""
    return PlainKind(Alert, alert_record, lambda a: a.updated_ms, lambda a: a.fingerprint)


def services() -> PlainKind[ServiceState]:
    """Service processes, key: instance."""
    return PlainKind(ServiceState, service_record, lambda s: s.since_ms, lambda s: s.instance)


def signals() -> PlainKind[Signal]:
    """Signals, key: entity; every one of them is news, so readers take them from the ring."""
    return PlainKind(Signal, signal_record, lambda s: s.as_of_ms, lambda s: s.entity)


def provider_record(definition: Definition, score: ProviderScore | None) -> ProviderRecord:
    """A provider with its health."""
    return ProviderRecord(
        provider=definition.provider,
        name=definition.name,
        home=definition.home,
        categories=definition.categories,
        status=definition.status,
        group=definition.group,
        homepage=definition.homepage,
        docs=definition.docs,
        key_required=definition.key_required,
        endpoints=definition.endpoints,
        streams=definition.streams,
        weight=definition.weight,
        health=score_record(score) if score else None,
    )


def undefined_provider_record(score: ProviderScore) -> ProviderRecord:
    """A provider that health has judged and no collector has defined (yet)."""
    return ProviderRecord(
        provider=score.provider, name=None, home=None, categories=[], status=None, group=None, homepage=None, docs=None,
        key_required=None, endpoints=[], streams=[], weight=None, health=score_record(score),
    )  # fmt: skip


def score_record(score: ProviderScore) -> ScoreRecord:
    """A score as shown."""
    return ScoreRecord(
        state=score.state,
        score=score.score,
        components=score.components,
        samples=score.samples,
        reason=score.reason,
        last_ok=_instant(score.last_ok_ms),
        last_outcome=score.last_outcome,
        latency_p50_ms=score.latency_p50_ms,
        latency_p95_ms=score.latency_p95_ms,
        quota_used=score.quota_used,
        breaker=score.breaker,
        drift=score.drift or {},
        reputation=score.reputation,
        reputation_at=_instant(score.reputation_ms),
        one_voice_with=score.one_voice_with or [],
        residuals=score.residuals,
        origin=score.origin,
        updated_at=instant(score.updated_ms),
    )


def alert_record(alert: Alert) -> AlertRecord:
    """An alert as shown."""
    return AlertRecord(
        fingerprint=alert.fingerprint,
        name=alert.name,
        state=alert.state,
        severity=alert.severity,
        labels=alert.labels,
        summary=alert.summary,
        value=alert.value,
        remedy=alert.remedy,
        inhibited_by=alert.inhibited_by,
        since=instant(alert.since_ms),
        updated_at=instant(alert.updated_ms),
        resolved_at=_instant(alert.resolved_ms),
    )


def service_record(service: ServiceState) -> ServiceRecord:
    """A service process as shown."""
    return ServiceRecord(
        service=service.service,
        instance=service.instance,
        state=service.state,
        restarts=service.restarts,
        since=instant(service.since_ms),
        last_exit=service.last_exit,
    )


def signal_record(signal: Signal) -> SignalRecord:
    """A signal as shown."""
    return SignalRecord(
        id=signal.id,
        kind=signal.kind,
        entity=signal.entity,
        as_of=instant(signal.as_of_ms),
        confidence=signal.confidence,
        summary=signal.summary,
        evidence=dict(signal.evidence),
        inputs=signal.inputs,
        thresholds=signal.thresholds,
        origin=signal.origin,
        expires_at=_instant(signal.expires_ms),
    )


def _instant(ms: int | None) -> str | None:
    return instant(ms) if ms is not None and 0 <= ms <= LAST_MS else None
