"""How good a record is, in five numbers from 0 to 1, per metric and per record; definitions in docs/fusion.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from msgspec import Struct

from services.aggregator.fusion.model import Answer, Observation, Spec
from services.aggregator.fusion.words import canonical


class Quality(Struct, gc=False):
    """schemas.events.Quality, made by position: every metric of every record has one."""

    completeness: float
    consistency: float
    timeliness: float
    diversity: float
    confidence: float


def of_metric(spec: Spec, answer: Answer, observations: Sequence[Observation], as_of_ms: int) -> Quality:
    """Quality of one metric: completeness is whether it has a value at all."""
    if answer.value is None or not observations:
        return Quality(0.0, 0.0, 0.0, 0.0, 0.0)
    groups: dict[str, bool] = {}
    age = total = 0.0
    within = _within(spec, answer)
    for o, share in zip(observations, answer.weights, strict=True):
        _, group, said, ts_ms, _ = o
        if within is None:
            agreed = agrees(spec, o, answer)
        else:
            agreed = (said.__class__ is float or said.__class__ is int) and within[0] <= said <= within[1]
        if agreed or group not in groups:
            groups[group] = agreed
        if share:
            if ts_ms < as_of_ms:
                age += share * (as_of_ms - ts_ms)
            total += share
    freshness = age / total / spec.freshness_ms if total > 0.0 else 1.0
    return Quality(
        1.0,
        sum(groups.values()) / len(groups),
        min(max(1.0 - freshness, 0.0), 1.0),
        1.0 - 1.0 / max(answer.n_voices, 1.0),
        answer.confidence,
    )


def _within(spec: Spec, answer: Answer) -> tuple[float, float] | None:
    """The values that agree with a number, so that each source costs two comparisons; None where `agrees` must look closer."""
    value = answer.value
    if not isinstance(value, float):
        return None
    reach = spec.tolerance * (1.0 + 1e-9)
    if spec.scale == "abs":
        return value - reach, value + reach
    if spec.scale != "rel" or value <= 0.0:
        return None
    return value * math.exp(-reach), value * math.exp(reach)


def of_record(metrics: Iterable[Quality], expected: int) -> Quality:
    """Quality of a record: means over its metrics, and the share of `expected` metrics that have a value."""
    n = 0
    consistency = timeliness = diversity = confidence = 0.0
    for metric in metrics:
        if metric.completeness > 0.0:
            n += 1
            consistency += metric.consistency
            timeliness += metric.timeliness
            diversity += metric.diversity
            confidence += metric.confidence
    if not n:
        return Quality(0.0, 0.0, 0.0, 0.0, 0.0)
    return Quality(
        min(n / max(expected, n), 1.0),
        consistency / n,
        timeliness / n,
        diversity / n,
        confidence / n,
    )


def agrees(spec: Spec, observation: Observation, answer: Answer) -> bool:
    """Whether a statement lies within the metric's tolerance of the answer."""
    error = residual(spec, observation, answer)
    return error is not None and error <= 1.0 + 1e-9


def residual(spec: Spec, observation: Observation, answer: Answer) -> float | None:
    """Distance of a statement from the answer in tolerances; 0 or infinite for labels and texts, None without a value.

    What health scores a provider's accuracy by.
    """
    said, value = observation.value, answer.value
    if value is None:
        return None
    if spec.scale in ("rel", "abs"):
        if not isinstance(said, (int, float)) or not isinstance(value, (int, float)):
            return math.inf
        if spec.scale == "abs":
            return abs(said - value) / spec.tolerance
        if said <= 0 or value <= 0:
            return 0.0 if said == value else math.inf
        return abs(math.log(said / value)) / spec.tolerance
    if isinstance(said, list) and isinstance(value, list):
        ours, theirs = set(value), set(said)
        gap = 1.0 - len(ours & theirs) / len(ours | theirs) if ours | theirs else 0.0
        return gap / spec.tolerance if spec.tolerance else 0.0 if gap == 0.0 else math.inf
    return 0.0 if canonical(said) == canonical(value) else math.inf
