"""One provider's observations at one time -> score 0..100, its components and the evidence. Pure; weights: scoring.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from statistics import median
from typing import Literal, NamedTuple, TypedDict

from msgspec import structs

from schemas.events import ProviderScore
from services.health.observations import Fetch, Provider
from services.health.tables import Scoring

State = Literal["online", "degraded", "offline", "unrated"]
MAD_TO_SIGMA = 1.4826
"""Of a normal law: its deviation over the median distance from its middle."""
RANK: dict[State, int] = {"online": 2, "degraded": 1, "offline": 0}


class Streak(NamedTuple):
    """How many evaluations in a row argued for another state than the published one."""

    state: State
    seen: int


START = Streak("unrated", 0)


def score(
    provider: Provider, prior: ProviderScore | None, streak: Streak, scoring: Scoring, as_of_ms: int
) -> tuple[ProviderScore, Streak]:
    """The provider's score at `as_of_ms`, and the streak to pass in next time; `prior` is what was last published."""
    counted = [fetch for fetch in provider.fetches if fetch.available is not None]
    latencies = sorted(fetch.latency_ms for fetch in counted if fetch.available and fetch.latency_ms is not None)
    p50 = _quantile(latencies, 0.5)
    target_ms = latency_target(prior, p50, scoring, as_of_ms)
    components = components_of(provider, target_ms, scoring, as_of_ms)
    value, reason = _gated(_shrunk(_weighted(components, scoring), len(counted), scoring), provider, scoring)
    wanted = _state_of(value, len(counted), scoring)
    state, streak = settle(prior.state if prior else "unrated", wanted, streak, scoring)
    return ProviderScore(
        provider=provider.name,
        state=state,
        score=None if value is None else round(value, 1),
        components={name: round(part, 4) for name, part in components.items()},
        samples=len(counted),
        updated_ms=as_of_ms,
        last_ok_ms=provider.last_ok_ms,
        last_outcome=provider.last_outcome,
        reason=reason,
        latency_p50_ms=p50,
        latency_p95_ms=_quantile(latencies, 0.95),
        latency_target_ms=target_ms,
        quota_used=provider.quota_used,
        breaker=provider.breaker,
        origin=provider.origin,
        drift={name: one.words for name, one in sorted(provider.drifts.items())} or None,
        residuals=residuals(provider),
        **learned(provider, prior),
    ), streak


class Learned(TypedDict):
    """What fusion learned about a provider, as it stands in its score."""

    reputation: dict[str, float] | None
    reputation_ms: int | None
    one_voice_with: list[str] | None


def learned(provider: Provider, prior: ProviderScore | None) -> Learned:
    """The newest that was told of its reputation; what was published before, until something is."""
    if provider.reputation is None and prior is not None:
        return {
            "reputation": prior.reputation,
            "reputation_ms": prior.reputation_ms,
            "one_voice_with": prior.one_voice_with,
        }
    return {
        "reputation": provider.reputation,
        "reputation_ms": provider.reputation_ms,
        "one_voice_with": provider.one_voice_with or None,
    }


def residuals(provider: Provider) -> dict[str, float] | None:
    """Bias and noise of a provider's statements against the others', by medians, so that one bad hour does not decide."""
    off = [distance.off_bps for distance in provider.residuals]
    if not off:
        return None
    bias = median(off)
    noise = MAD_TO_SIGMA * median(abs(one - bias) for one in off)
    return {"count": float(len(off)), "bias_bps": round(bias, 2), "noise_bps": round(noise, 2)}


def components_of(provider: Provider, target_ms: float | None, scoring: Scoring, as_of_ms: int) -> dict[str, float]:
    """The components that have evidence, each 0..1; the gate on availability is applied."""
    parts = {
        "availability": availability(provider.fetches, scoring, as_of_ms),
        "freshness": freshness(provider, scoring, as_of_ms),
        "accuracy": accuracy(provider, scoring, as_of_ms),
        "latency": latency(provider.fetches, target_ms),
        "validity": validity(provider, scoring, as_of_ms),
        "headroom": None if provider.quota_used is None else _fall(provider.quota_used, scoring.headroom_from, 1.0),
    }
    known = {name: part for name, part in parts.items() if part is not None}
    if known.get("availability", 1.0) < scoring.gate_availability:
        known.update({name: 0.0 for name in ("accuracy", "validity") if name in known})
    return known


def availability(fetches: Iterable[Fetch], scoring: Scoring, as_of_ms: int) -> float | None:
    """Good answers of those due, the newest counting most."""
    return _faded(((f.at_ms, float(f.available)) for f in fetches if f.available is not None), scoring, as_of_ms)


def validity(provider: Provider, scoring: Scoring, as_of_ms: int) -> float | None:
    """Share of rows that could be read, less what stood still while the others moved."""
    read = _faded(((f.at_ms, f.valid_share) for f in provider.fetches if f.valid_share is not None), scoring, as_of_ms)
    if read is None:
        return None
    stalled = _faded(
        ((r.at_ms, float(r.stalled)) for r in provider.residuals if r.stalled is not None), scoring, as_of_ms
    )
    return read * max(0.0, 1.0 - scoring.stalled_factor * (stalled or 0.0))


def accuracy(provider: Provider, scoring: Scoring, as_of_ms: int) -> float | None:
    """Mean of 1 / (1 + (z / scale)^2), z being the distance from the others in error bars."""
    return _faded(
        ((r.at_ms, 1.0 / (1.0 + (r.z / scoring.residual_scale) ** 2)) for r in provider.residuals), scoring, as_of_ms
    )


def latency(fetches: Iterable[Fetch], target_ms: float | None) -> float | None:
    """1 up to the target, 0 from four times the target, by the 95th percentile."""
    p95 = _quantile(sorted(f.latency_ms for f in fetches if f.available and f.latency_ms is not None), 0.95)
    if p95 is None or target_ms is None:
        return None
    return _fall(p95, target_ms, 4 * target_ms)


def freshness(provider: Provider, scoring: Scoring, as_of_ms: int) -> float | None:
    """Mean over the endpoints of the share of time in which the newest data was young enough; None before an attempt."""
    by_endpoint: dict[str, list[Fetch]] = {}
    for fetch in provider.fetches:
        if fetch.available is not None:
            by_endpoint.setdefault(fetch.endpoint, []).append(fetch)
    shares = [
        share
        for fetches in by_endpoint.values()
        if (share := _fresh_share(fetches, lifetime_ms(fetches, provider.category, scoring), as_of_ms)) is not None
    ]
    return sum(shares) / len(shares) if shares else None


def lifetime_ms(fetches: list[Fetch], category: str, scoring: Scoring) -> float:
    """How old data of an endpoint may be: the category's time, or two of the intervals at which we ask."""
    dues = sorted({fetch.due_ms if fetch.due_ms is not None else fetch.at_ms for fetch in fetches})
    gaps = [later - earlier for earlier, later in pairwise(dues)]
    return max(scoring.freshness_s.get(category, 0.0) * 1000, 2 * median(gaps) if gaps else 0.0)


def settle(current: State, wanted: State, streak: Streak, scoring: Scoring) -> tuple[State, Streak]:
    """The state to publish: a change needs several evaluations in a row, more of them downward than upward."""
    if wanted == current:
        return current, Streak(wanted, 0)
    if "unrated" in (current, wanted):
        return wanted, Streak(wanted, 0)
    seen = streak.seen + 1 if streak.state == wanted else 1
    needed = scoring.evaluations_down if RANK[wanted] < RANK[current] else scoring.evaluations_up
    return (wanted, Streak(wanted, 0)) if seen >= needed else (current, Streak(wanted, seen))


def latency_target(prior: ProviderScore | None, p50_ms: float | None, scoring: Scoring, as_of_ms: int) -> float | None:
    """The provider's own slow median, never below the floor; it is carried from score to score."""
    before = prior.latency_target_ms if prior else None
    if p50_ms is None:
        return before
    now = max(p50_ms, scoring.latency_floor_ms)
    if before is None or prior is None:
        return now
    kept: float = 0.5 ** (max(0, as_of_ms - prior.updated_ms) / (scoring.latency_half_life_s * 1000))
    return max(kept * before + (1 - kept) * now, scoring.latency_floor_ms)


def same_verdict(a: ProviderScore, b: ProviderScore) -> bool:
    """Whether two scores differ in nothing but the time and the slow target."""
    still = {"updated_ms": 0, "latency_target_ms": None, "reputation_ms": None}
    return structs.replace(a, **still) == structs.replace(b, **still)


def _weighted(components: dict[str, float], scoring: Scoring) -> float | None:
    whole = sum(scoring.weights[name] for name in components)
    return 100 * sum(scoring.weights[name] * part for name, part in components.items()) / whole if whole else None


def _shrunk(value: float | None, samples: int, scoring: Scoring) -> float | None:
    if value is None or samples == 0:
        return None
    return (value * samples + scoring.pseudo_score * scoring.pseudo_samples) / (samples + scoring.pseudo_samples)


def _gated(value: float | None, provider: Provider, scoring: Scoring) -> tuple[float | None, str | None]:
    if value is None:
        return None, "no attempts yet"
    if provider.last_outcome == "AUTH":
        return min(value, scoring.cap_auth), "auth"
    if provider.breaker == "open":
        return min(value, scoring.cap_breaker_open), "breaker open"
    if provider.failures_in_row:
        return value, f"{provider.failures_in_row} failed in a row: {provider.last_outcome}"
    return value, None


def _state_of(value: float | None, samples: int, scoring: Scoring) -> State:
    if value is None or samples < scoring.min_samples:
        return "unrated"
    if value >= scoring.online_from:
        return "online"
    return "offline" if value < scoring.offline_below else "degraded"


def _fresh_share(fetches: list[Fetch], life_ms: float, as_of_ms: int) -> float | None:
    whole_ms = as_of_ms - fetches[0].at_ms
    if whole_ms <= 0:
        return None
    fresh_ms = 0.0
    until_ms = as_of_ms
    for fetch in reversed([fetch for fetch in fetches if fetch.available]):
        fresh_ms += max(0.0, min(until_ms - fetch.at_ms, life_ms - fetch.data_age_ms))
        until_ms = fetch.at_ms
    return min(1.0, fresh_ms / whole_ms)


def _faded(parts: Iterable[tuple[int, float]], scoring: Scoring, as_of_ms: int) -> float | None:
    total = whole = 0.0
    for at_ms, part in parts:
        weight = 0.5 ** (max(0, as_of_ms - at_ms) / (scoring.half_life_s * 1000))
        total += weight * part
        whole += weight
    return total / whole if whole else None


def _fall(value: float, full: float, none: float) -> float:
    return min(1.0, max(0.0, (none - value) / (none - full)))


def _quantile(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
