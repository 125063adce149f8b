"""What was seen of providers, assets and services within the window: the memory from which scores and facts are made."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from schemas.events import Attempt, Definition, Fused, Origin, ProviderScore, Reputation, ServiceState, Source
from services.health.tables import Scoring

MAX_FETCHES = 4096
"""Attempts kept per provider: an hour of one a second; beyond that the oldest say nothing new."""
MAX_RESIDUALS = 2048
PAUSES = 64
DRIFTED = "SCHEMA_DRIFT"
FAILURES_BY_NETWORK = frozenset({"NETWORK", "TIMEOUT"})


class Fetch(NamedTuple):
    """One attempt, as far as it says something: None says nothing."""

    at_ms: int
    endpoint: str
    outcome: str
    available: bool | None
    valid_share: float | None
    latency_ms: float | None
    data_age_ms: int
    due_ms: int | None
    on_time: bool | None
    by_budget: bool
    """Skipped because the budget did not allow it."""


class Distance(NamedTuple):
    """How far one new statement was from the others: z in error bars; stalled: unchanged while the others moved."""

    at_ms: int
    z: float
    stalled: bool | None
    off_bps: float = 0.0
    """How far above (or below) the others."""


class Drift(NamedTuple):
    """What changed in the answers of one endpoint, as its collector last said."""

    at_ms: int
    words: str


class Said(NamedTuple):
    """What a provider said of an entity when it was last sampled, and what the others said."""

    said_ms: int
    value: float
    others: float


class Provider:
    """Everything seen of one provider."""

    __slots__ = (
        "breakers", "category", "definition", "detail", "drifts", "failures_in_row", "fetches", "last_attempt_ms", "last_ok_ms",
        "last_outcome", "name", "one_voice_with", "origin", "quota_used", "reputation", "reputation_ms", "residuals", "said",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.category = ""
        self.origin: Origin = "live"
        self.definition: Definition | None = None
        self.fetches: deque[Fetch] = deque(maxlen=MAX_FETCHES)
        self.residuals: deque[Distance] = deque(maxlen=MAX_RESIDUALS)
        self.said: dict[str, Said] = {}
        self.last_attempt_ms: int | None = None
        self.last_ok_ms: int | None = None
        self.last_outcome: str | None = None
        self.detail: str | None = None
        self.drifts: dict[str, Drift] = {}
        """Endpoint or stream -> how its answers differ from what was proven; one that answers as proven is not here."""
        self.quota_used: float | None = None
        self.breakers: dict[str, str] = {}
        self.reputation: dict[str, float] | None = None
        self.reputation_ms: int | None = None
        self.one_voice_with: list[str] = []
        self.failures_in_row = 0

    @property
    def breaker(self) -> str | None:
        """open when the breakers of all endpoints are, closed when one is; None when no attempt told."""
        states = set(self.breakers.values())
        if len(states) > 1:
            return "closed" if "closed" in states else "half_open"
        return next(iter(states), None)


class Pulse:
    """Signs of life of one category's collector: when the last one came, and the longest usual pause between two."""

    __slots__ = ("last_ms", "pauses_ms")

    def __init__(self, at_ms: int) -> None:
        self.last_ms = at_ms
        self.pauses_ms: deque[int] = deque(maxlen=PAUSES)

    def beat(self, at_ms: int) -> None:
        """One more sign of life; an older one than the last tells nothing."""
        if at_ms > self.last_ms:
            self.pauses_ms.append(at_ms - self.last_ms)
            self.last_ms = at_ms

    @property
    def usual_ms(self) -> int:
        """The longest of the last pauses: providers that are asked rarely make no collector silent."""
        return max(self.pauses_ms, default=0)


class Agreement(NamedTuple):
    """How well the sources of one fused metric agree."""

    as_of_ms: int
    category: str
    entity: str
    metric: str
    spread: float
    confidence: float
    sources: int


class Watch:
    """The memory of this service; every method is told the time. Bounded by the window and the table's maxima."""

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring
        self.providers: dict[str, Provider] = {}
        self.categories: dict[str, Pulse] = {}
        self.services: dict[str, ServiceState] = {}
        self.agreements: dict[tuple[str, str, str], Agreement] = {}
        self._last_ok_ms: dict[str, int] = {}
        self._metrics: dict[str, list[str]] = {}
        self._sampled_ms: dict[tuple[str, str], int] = {}
        for residual in scoring.residuals:
            self._metrics.setdefault(residual.category, []).append(residual.metric)

    def saw_attempt(self, attempt: Attempt) -> None:
        """Remember one attempt, or one that was due and skipped."""
        provider = self._provider(attempt.provider)
        at_ms = attempt.finished_ms or attempt.started_ms
        provider.category, provider.origin = attempt.category, attempt.origin
        if attempt.breaker is not None:
            provider.breakers[attempt.endpoint] = attempt.breaker
        if attempt.quota_used is not None:
            provider.quota_used = attempt.quota_used
        self.categories.setdefault(attempt.category, Pulse(at_ms)).beat(at_ms)
        available, valid_share = _verdict(attempt, self.scoring)
        provider.fetches.append(
            Fetch(
                at_ms=at_ms,
                endpoint=attempt.endpoint,
                outcome=attempt.outcome,
                available=available,
                valid_share=valid_share,
                latency_ms=None if attempt.cached else attempt.latency_ms,
                data_age_ms=max(0, attempt.data_age_ms or 0),
                due_ms=attempt.due_ms,
                on_time=attempt.on_time,
                by_budget=attempt.skip_reason in self.scoring.skips_by_budget,
            )
        )
        if attempt.outcome == "SKIPPED":
            return
        if attempt.outcome == DRIFTED:
            provider.drifts[attempt.endpoint] = Drift(at_ms, attempt.detail or "in a way that was not told")
        elif attempt.outcome == "OK" and not attempt.cached:
            provider.drifts.pop(attempt.endpoint, None)
        provider.last_attempt_ms, provider.last_outcome, provider.detail = at_ms, attempt.outcome, attempt.detail
        if available:
            provider.last_ok_ms, provider.failures_in_row = at_ms, 0
        elif available is False:
            provider.failures_in_row += 1

    def saw_definition(self, name: str, definition: Definition | None) -> None:
        """Remember a definition; None forgets the provider."""
        if definition is None:
            self.providers.pop(name, None)
            return
        provider = self._provider(name)
        provider.definition = definition
        provider.category = definition.home

    def saw_score(self, score: ProviderScore) -> None:
        """Take over what an earlier run of this service knew and attempts no longer show."""
        if score.last_ok_ms is not None:
            self._last_ok_ms[score.provider] = score.last_ok_ms
            if (provider := self.providers.get(score.provider)) is not None:
                provider.last_ok_ms = max(score.last_ok_ms, provider.last_ok_ms or 0)

    def saw_reputation(self, told: Reputation) -> None:
        """Take over what fusion learned about a provider."""
        provider = self._provider(told.provider)
        provider.reputation, provider.reputation_ms = told.reputation, told.updated_ms
        provider.one_voice_with = told.one_voice_with

    def saw_service(self, key: str, state: ServiceState | None) -> None:
        """Remember the state of a service instance; None forgets it."""
        if state is None:
            self.services.pop(key, None)
        else:
            self.services[key] = state

    def wants(self, category: str, entity: str, at_ms: int) -> bool:
        """Whether a fused record of this entity is worth decoding now: one sample in `residual_every_s`."""
        if category not in self._metrics:
            return False
        key = (category, entity)
        last_ms = self._sampled_ms.get(key)
        if last_ms is None and len(self._sampled_ms) >= self.scoring.max_entities:
            return False
        return last_ms is None or at_ms - last_ms >= self.scoring.residual_every_s * 1000

    def saw_fused(self, record: Fused) -> None:
        """Compare every new statement in a fused record with what the others said."""
        self._sampled_ms[(record.category, record.entity)] = record.as_of_ms
        for name in self._metrics.get(record.category, ()):
            metric = record.metrics.get(name)
            if metric is None or not isinstance(metric.value, float | int):
                continue
            self.agreements[(record.category, record.entity, name)] = Agreement(
                record.as_of_ms,
                record.category,
                record.entity,
                name,
                metric.spread or 0.0,
                metric.confidence,
                metric.sources,
            )
            half_width = (metric.high - metric.low) / 2 if metric.high is not None and metric.low is not None else 0.0
            for source in metric.by:
                self._compare(f"{record.entity}|{name}", source, metric.by, half_width, record.as_of_ms)

    def forget(self, as_of_ms: int) -> None:
        """Drop what is older than the window."""
        oldest_ms = as_of_ms - self.scoring.window_s * 1000
        for provider in self.providers.values():
            for seen in (provider.fetches, provider.residuals):
                while seen and seen[0].at_ms < oldest_ms:
                    seen.popleft()
            provider.drifts = {name: one for name, one in provider.drifts.items() if one.at_ms >= oldest_ms}
        for key in [key for key, agreement in self.agreements.items() if agreement.as_of_ms < oldest_ms]:
            del self.agreements[key]
        for sampled in [key for key, at_ms in self._sampled_ms.items() if at_ms < oldest_ms]:
            del self._sampled_ms[sampled]

    def _provider(self, name: str) -> Provider:
        known = self.providers.get(name)
        if known is None:
            known = self.providers[name] = Provider(name)
            known.last_ok_ms = self._last_ok_ms.get(name)
        return known

    def _compare(self, about: str, source: Source, by: list[Source], half_width: float, as_of_ms: int) -> None:
        others = others_say(source.provider, by)
        if others is None or not isinstance(source.value, float | int) or others <= 0:
            return
        provider = self._provider(source.provider)
        said_ms, value = as_of_ms - source.age_ms, float(source.value)
        before = provider.said.get(about)
        if before is not None and said_ms <= before.said_ms:
            return  # the same statement, seen again
        provider.said[about] = Said(said_ms, value, others)
        floor = others * self.scoring.residual_floor_bps / 10_000
        moved = before is not None and abs(others - before.others) > floor
        stalled = (before is not None and value == before.value) if moved else None
        off_bps = (value / others - 1.0) * 10_000
        provider.residuals.append(Distance(as_of_ms, abs(value - others) / max(half_width, floor), stalled, off_bps))


def others_say(provider: str, by: list[Source]) -> float | None:
    """Weighted mean of the used sources without this one, so that a heavy source cannot grade itself; None below two."""
    others = [
        (s.weight, float(s.value))
        for s in by
        if s.provider != provider and s.weight > 0 and isinstance(s.value, float | int)
    ]
    if len(others) < 2:
        return None
    return sum(weight * value for weight, value in others) / sum(weight for weight, _ in others)


def _verdict(attempt: Attempt, scoring: Scoring) -> tuple[bool | None, float | None]:
    if attempt.outcome == "SKIPPED":
        return (False if attempt.skip_reason in scoring.skips_against else None), None
    verdict = scoring.outcomes.get(attempt.outcome)
    if verdict is None:
        return None, None
    events, held = attempt.events or 0, attempt.held or 0
    if attempt.outcome == DRIFTED and events and held:
        return verdict.available, events / (events + held)  # the part that is as proven went on
    if not verdict.valid:
        return verdict.available, None if verdict.valid is None else 0.0
    rows = events + (attempt.rows_failed or 0)
    return verdict.available, 1.0 - (attempt.rows_failed or 0) / rows if rows else 1.0
