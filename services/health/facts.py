"""What the rules may speak of: named facts per subject, made from the observations and the scores. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from schemas.events import ProviderScore
from services.health.observations import FAILURES_BY_NETWORK, Provider, Watch

Scope = Literal["provider", "category", "service", "topic", "asset", "system"]
Kind = Literal["number", "share", "duration", "word"]
Value = float | str | None


class Fact(NamedTuple):
    """One name a rule may use: durations are in seconds; a share is 0 to 1 and told in percent."""

    scope: Scope
    name: str
    kind: Kind
    sentence: str


FACTS = (
    Fact("provider", "state", "word", "Published state: online, degraded, offline or unrated."),
    Fact("provider", "score", "number", "Published score, 0 to 100."),
    Fact("provider", "samples", "number", "Attempts in the window that say something."),
    Fact("provider", "failures_in_row", "number", "Failed attempts since the last good one."),
    Fact(
        "provider", "since_ok", "duration", "Time since the last good answer, or since the first attempt without one."
    ),
    Fact(
        "provider",
        "latency_ratio",
        "number",
        "95th percentile of latency in targets; the target is the provider's own slow median.",
    ),
    Fact("provider", "availability", "share", "Good answers of those due, 0 to 1, the newest counting most."),
    Fact("provider", "freshness", "share", "Share of time in which the newest data was young enough, 0 to 1."),
    Fact("provider", "accuracy", "share", "Closeness to what the others say, 0 to 1."),
    Fact("provider", "validity", "share", "Readable rows that do not stand still, 0 to 1."),
    Fact("provider", "quota_used", "share", "Share of the tightest known budget that is used; 1 is all of it."),
    Fact("provider", "budget_skips", "share", "Share of what was due and skipped because the budget did not allow it."),
    Fact("provider", "outcome", "word", "Outcome of the newest attempt."),
    Fact("provider", "drifted", "number", "Endpoints and streams whose answers differ from what was proven."),
    Fact("provider", "drift", "word", "Which of them, and how."),
    Fact("provider", "breaker", "word", "closed, open or half_open; closed while no attempt says otherwise."),
    Fact(
        "category",
        "silence",
        "number",
        "Time since its collector last showed a sign of life, in its usual pauses, at least the category's cadence.",
    ),
    Fact("category", "on_time", "share", "Share of scheduled attempts that started on time."),
    Fact("category", "scheduled", "number", "Scheduled attempts in the window."),
    Fact("category", "online", "number", "Live providers that are not offline."),
    Fact("category", "rated", "number", "Live providers that have a rating."),
    Fact("service", "state", "word", "starting, ready, crashed or stopped."),
    Fact("service", "restarts", "number", "Restarts since the runner started it."),
    Fact("topic", "growth", "number", "Records added in the last five minutes."),
    Fact("asset", "spread", "share", "(max - min) / value over the used sources."),
    Fact("asset", "confidence", "share", "Probability that the value is within tolerance of the truth."),
    Fact("asset", "sources", "number", "Used sources."),
    Fact(
        "system",
        "unreachable",
        "share",
        "Share of the providers tried lately whose newest attempt failed on the network.",
    ),
    Fact("system", "tried", "number", "Providers tried lately."),
)

LATELY_S = 180.0
"""What `tried` and `unreachable` look back: three polls of the fastest common cadence."""


class Subject(NamedTuple):
    """Something a rule can hold for: its labels and its facts; a fact that is None is not known."""

    scope: Scope
    labels: dict[str, str]
    facts: dict[str, Value]


def subjects(
    watch: Watch,
    scores: Mapping[str, ProviderScore],
    cadences_s: Mapping[str, float],
    growth: Mapping[str, float],
    as_of_ms: int,
    time_scale: float = 1.0,
) -> list[Subject]:
    """Every subject at `as_of_ms`. `cadences_s`: category -> seconds; `growth`: topic -> records in the last minutes."""
    found = [_provider(p, scores.get(name), as_of_ms) for name, p in sorted(watch.providers.items())]
    found += _categories(watch, scores, cadences_s, as_of_ms)
    for key, state in sorted(watch.services.items()):
        labels = {"service": state.service, "instance": state.instance or key}
        found.append(Subject("service", labels, {"state": state.state, "restarts": float(state.restarts)}))
    for topic, records in sorted(growth.items()):
        found.append(Subject("topic", {"topic": topic}, {"growth": records}))
    for (category, entity, metric), seen in sorted(watch.agreements.items()):
        labels = {"category": category, "entity": entity, "metric": metric}
        known: dict[str, Value] = {"spread": seen.spread, "confidence": seen.confidence, "sources": float(seen.sources)}
        found.append(Subject("asset", labels, known))
    found.append(_system(watch.providers.values(), as_of_ms, LATELY_S * time_scale))
    return found


def _provider(provider: Provider, score: ProviderScore | None, as_of_ms: int) -> Subject:
    parts = score.components if score else {}
    reference_ms = provider.last_ok_ms
    if reference_ms is None and provider.fetches:
        reference_ms = provider.fetches[0].at_ms
    ratio = None
    if score and score.latency_p95_ms is not None and score.latency_target_ms:
        ratio = score.latency_p95_ms / score.latency_target_ms
    facts: dict[str, Value] = {
        "state": score.state if score else None,
        "score": score.score if score else None,
        "samples": float(score.samples) if score else None,
        "failures_in_row": None if provider.last_attempt_ms is None else float(provider.failures_in_row),
        "since_ok": None if reference_ms is None else max(0, as_of_ms - reference_ms) / 1000,
        "latency_ratio": ratio,
        "quota_used": provider.quota_used,
        "budget_skips": sum(f.by_budget for f in provider.fetches) / len(provider.fetches)
        if provider.fetches
        else None,
        "outcome": provider.last_outcome,
        "drifted": None if provider.last_attempt_ms is None else float(len(provider.drifts)),
        "drift": "; ".join(f"{name}: {one.words}" for name, one in sorted(provider.drifts.items())) or None,
        "breaker": provider.breaker or (None if provider.last_attempt_ms is None else "closed"),
        **{name: parts.get(name) for name in ("availability", "freshness", "accuracy", "validity")},
    }
    return Subject("provider", {"provider": provider.name, "category": provider.category}, facts)


def _categories(
    watch: Watch, scores: Mapping[str, ProviderScore], cadences_s: Mapping[str, float], as_of_ms: int
) -> Iterable[Subject]:
    """One subject for each category that has live providers or whose collector was seen."""
    expected = {category: pulse.last_ms for category, pulse in watch.categories.items()}
    for provider in watch.providers.values():
        if provider.definition is not None and provider.definition.status == "live":
            home = provider.definition.home
            if home not in watch.categories:
                expected[home] = max(expected.get(home, 0), provider.definition.updated_ms)
    for category, seen_ms in sorted(expected.items()):
        members = [p for p in watch.providers.values() if p.category == category]
        states = [scores[p.name].state for p in members if p.name in scores]
        timed = [fetch.on_time for p in members for fetch in p.fetches if fetch.on_time is not None]
        pulse = watch.categories.get(category)
        usual_s = max(cadences_s.get(category, 0.0), pulse.usual_ms / 1000 if pulse is not None else 0.0)
        yield Subject(
            "category",
            {"category": category},
            {
                "silence": None if not usual_s else max(0, as_of_ms - seen_ms) / 1000 / usual_s,
                "on_time": sum(timed) / len(timed) if timed else None,
                "scheduled": float(len(timed)),
                "online": float(sum(state in ("online", "degraded") for state in states)),
                "rated": float(sum(state != "unrated" for state in states)),
            },
        )


def _system(providers: Iterable[Provider], as_of_ms: int, lately_s: float) -> Subject:
    tried = [p for p in providers if p.last_attempt_ms is not None and as_of_ms - p.last_attempt_ms <= lately_s * 1000]
    unreachable = sum(p.last_outcome in FAILURES_BY_NETWORK for p in tried)
    share = unreachable / len(tried) if tried else None
    return Subject("system", {}, {"unreachable": share, "tried": float(len(tried))})
