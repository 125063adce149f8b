"""The seven named rules for numbers, as rows: each gives a value and which sources it used, in terms a user can check.

A rule chooses the value only; what that value is worth (its confidence) comes from the same belief for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

IQR_FENCE = 1.5
"""Tukey's fence, in interquartile ranges."""
MAD_FENCE = 3.5
"""Iglewicz and Hoaglin (1993), in median absolute deviations scaled to a standard deviation."""
MAD_TO_SIGMA = 1.4826
IQR_MINIMUM = 4
"""Quartiles of fewer sources say nothing; the median absolute deviation takes over."""


class Claims(NamedTuple):
    """One window as columns; all have the same length, at least one row, values finite."""

    providers: Sequence[str]
    values: Sequence[float]
    times_ms: Sequence[float]
    weights: Sequence[float]
    trust: Sequence[float]
    """Learned reliability of each source, any positive scale."""
    same: float
    """Two values are the same answer when they differ by at most this much."""


class Choice(NamedTuple):
    """The value of a rule, and the share of each source in it (0 = not used)."""

    value: float
    shares: list[float]


def weighted_average(claims: Claims) -> Choice:
    """Arithmetic mean by static weight."""
    return _average(claims, [True] * len(claims.values))


def majority_vote(claims: Claims) -> Choice:
    """The largest group of values that agree within the tolerance, by number, then by weight; its mean."""
    order = sorted(range(len(claims.values)), key=lambda i: claims.values[i])
    best: tuple[int, float, int, int] = (0, 0.0, 0, 0)
    start = 0
    for end in range(len(order)):
        while claims.values[order[end]] - claims.values[order[start]] > 2 * claims.same:
            start += 1
        size = end - start + 1
        weight = sum(claims.weights[i] for i in order[start : end + 1])
        if (size, weight) > best[:2]:
            best = (size, weight, start, end + 1)
    used = set(order[best[2] : best[3]])
    return _average(claims, [i in used for i in range(len(order))])


def highest_confidence(claims: Claims) -> Choice:
    """The source that has been most reliable so far; by static weight while nothing is learned."""
    return _single(claims, lambda i: (claims.trust[i], claims.weights[i], claims.times_ms[i]))


def most_recent(claims: Claims) -> Choice:
    """The newest statement; of equally new ones that of the higher weight."""
    return _single(claims, lambda i: (claims.times_ms[i], claims.weights[i]))


def source_priority(claims: Claims) -> Choice:
    """The source with the highest static weight; of equals the newest."""
    return _single(claims, lambda i: (claims.weights[i], claims.times_ms[i]))


def median(claims: Claims) -> Choice:
    """Middle value; the mean of the two middle ones for an even number."""
    order = sorted(range(len(claims.values)), key=lambda i: claims.values[i])
    n = len(order)
    middle = {order[(n - 1) // 2], order[n // 2]}
    shares = [1 / len(middle) if i in middle else 0.0 for i in range(n)]
    return Choice(sum(claims.values[i] for i in middle) / len(middle), shares)


def outlier_removal(claims: Claims) -> Choice:
    """Weighted mean of the values inside Tukey's fences; inside 3.5 scaled MADs under four sources."""
    values = sorted(claims.values)
    if len(values) >= IQR_MINIMUM:
        first, third = quantile(values, 0.25), quantile(values, 0.75)
        reach = IQR_FENCE * (third - first)
        low, high = first - reach, third + reach
    else:
        centre = quantile(values, 0.5)
        spread = quantile(sorted(abs(v - centre) for v in values), 0.5)
        reach = max(MAD_FENCE * MAD_TO_SIGMA * spread, claims.same)
        low, high = centre - reach, centre + reach
    return _average(claims, [low <= v <= high for v in claims.values])


def quantile(ordered: Sequence[float], p: float) -> float:
    """Quantile of sorted values by linear interpolation (Hyndman and Fan type 7)."""
    at = p * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def _average(claims: Claims, used: list[bool]) -> Choice:
    weights = [w if u else 0.0 for w, u in zip(claims.weights, used, strict=True)]
    total = sum(weights)
    if total <= 0.0:
        weights = [1.0 if u else 0.0 for u in used]
        total = sum(weights)
    shares = [w / total for w in weights]
    return Choice(sum(s * v for s, v in zip(shares, claims.values, strict=True)), shares)


def _single(claims: Claims, rank: Callable[[int], tuple[float, ...]]) -> Choice:
    # Providers' names break the last tie, so that the order of arrival never decides.
    n = len(claims.values)
    first = min(range(n), key=lambda i: (*(-r for r in rank(i)), claims.providers[i], claims.values[i]))
    return Choice(claims.values[first], [float(i == first) for i in range(n)])


STRATEGIES: dict[str, Callable[[Claims], Choice]] = {
    "weighted_average": weighted_average,
    "majority_vote": majority_vote,
    "highest_confidence": highest_confidence,
    "most_recent": most_recent,
    "median": median,
    "outlier_removal": outlier_removal,
    "source_priority": source_priority,
}
"""By the names of the metric catalogue; `robust`, the default, is not here because it is a model, not a rule."""
