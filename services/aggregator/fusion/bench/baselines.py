"""How others fuse, written from their papers and sources, to be run beside ours on the same windows.

Each gives a value and a confidence. Where a rule has no probability of its own, its confidence is what its standard error
says under a normal law: P(|error| <= tol). Volumes, where a rule wants them, are the providers' sizes; ages come from times.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MAD_TO_SIGMA = 1.4826
MEDIAN_ERROR = math.sqrt(math.pi / 2)
"""Standard error of a median against that of a mean, for normal noise."""
KEEP = 0.995
"""Forgetting of rules that learn, the same as ours."""


class Window(NamedTuple):
    """One window: logarithms of values in tolerances, ages in seconds, sizes, and which provider each row is."""

    z: Floats
    ages_s: Floats
    sizes: Floats
    who: NDArray[np.int64]


class Baseline(Protocol):
    """A rule, with whatever memory it has."""

    def step(self, window: Window) -> tuple[float, float]:
        """Value (in tolerances) and confidence."""


def inside(error: float) -> float:
    """P(|e| <= 1) for a normal error of this standard deviation."""
    return math.erf(1.0 / (error * math.sqrt(2.0))) if error > 0 else 1.0


def weighted_median(z: Floats, weights: Floats) -> float:
    """The value at which half of the weight is reached; each value keeps its own weight when sorted."""
    order = np.argsort(z, kind="stable")
    total = np.cumsum(weights[order])
    return float(z[order][np.searchsorted(total, 0.5 * total[-1])])


def _weighted(z: Floats, weights: Floats) -> tuple[float, float]:
    share = weights / weights.sum()
    mean = float(share @ z)
    effective = 1.0 / float(share @ share)
    variance = float(share @ (z - mean) ** 2) * effective / max(effective - 1.0, 0.5)
    return mean, inside(math.sqrt(variance / effective))


def _around(z: Floats, weights: Floats, centre: float) -> float:
    """Confidence of a weighted median from the weighted median of distances."""
    share = weights / weights.sum()
    spread = MAD_TO_SIGMA * weighted_median(np.abs(z - centre), weights)
    return inside(MEDIAN_ERROR * spread * math.sqrt(float(share @ share)))


class Median:
    """Middle value."""

    def step(self, window: Window) -> tuple[float, float]:
        centre = float(np.median(window.z))
        return centre, _around(window.z, np.ones_like(window.z), centre)


class Mean:
    """Arithmetic mean."""

    def step(self, window: Window) -> tuple[float, float]:
        return _weighted(window.z, np.ones_like(window.z))


class Fenced:
    """Values outside 1.5 interquartile ranges are dropped, the rest averaged by size: a common recipe."""

    def step(self, window: Window) -> tuple[float, float]:
        low, high = np.quantile(window.z, [0.25, 0.75])
        reach = 1.5 * (high - low)
        kept = (window.z >= low - reach) & (window.z <= high + reach)
        return _weighted(window.z[kept], window.sizes[kept])


class Pyth:
    """Median of three votes per source (p - c, p, p + c); interval = larger of p50 - p25 and p75 - p50.

    Quartile indices as in pyth-client program/c/src/oracle/model/price_model.c (1484eeb6): cnt >> 2 and its mirror image.
    c is what a publisher states about itself; here its mean absolute distance from the aggregate so far.
    """

    def __init__(self) -> None:
        self.stated: dict[int, float] = {}

    def step(self, window: Window) -> tuple[float, float]:
        c = np.array([self.stated.get(int(i), 0.6) for i in window.who])
        votes = np.sort(np.concatenate([window.z - c, window.z, window.z + c]))
        middle = float(np.median(votes))
        quarter = len(votes) >> 2
        interval = max(middle - votes[quarter], votes[len(votes) - 1 - quarter] - middle)
        for i, z in zip(window.who, window.z, strict=True):
            own = self.stated.get(int(i), 0.6)
            self.stated[int(i)] = own + 0.05 * (min(abs(float(z) - middle), 10.0) - own)
        return middle, inside(float(interval))


class Band:
    """Weighted median; power counts x6 for the newest 1/32 of it, then x4 (2/32), x2 (4/32), x1.1 (8/32), x1.

    After bandprotocol/chain x/feeds/types/median.go (008394fb), whose cumulative sections are 1, 3, 7, 15, 32 of 32.
    """

    CUTS, TIMES = np.array([1.0, 3.0, 7.0, 15.0, 32.0]) / 32, np.array([6.0, 4.0, 2.0, 1.1, 1.0])

    def step(self, window: Window) -> tuple[float, float]:
        order = np.lexsort((-window.sizes, window.ages_s))
        power = window.sizes[order] / window.sizes.sum()
        upper = np.cumsum(power)
        lower = upper - power
        weights = np.zeros(len(power))
        start = 0.0
        for cut, times in zip(self.CUTS, self.TIMES, strict=True):
            weights += times * np.clip(np.minimum(upper, cut) - np.maximum(lower, start), 0.0, None)
            start = cut
        z = window.z[order]
        centre = weighted_median(z, weights)
        return centre, _around(z, weights, centre)


class Crh:
    """CRH (Li et al., SIGMOD 2014): w = -ln(share of the loss), truth = weighted median, iterated until it stands still."""

    def __init__(self, providers: int) -> None:
        self.loss = np.full(providers, 1.0)

    def step(self, window: Window) -> tuple[float, float]:
        truth = float(np.median(window.z))
        past = KEEP * self.loss[window.who]
        weights = np.ones_like(window.z)
        for _ in range(50):
            spread = max(float(np.std(window.z)), 1e-9)
            loss = past + np.abs(window.z - truth) / spread
            weights = -np.log(loss / loss.sum())
            found = weighted_median(window.z, weights)
            if found == truth:
                break
            truth = found
        self.loss[window.who] = past + np.abs(window.z - truth) / max(float(np.std(window.z)), 1e-9)
        return truth, _around(window.z, weights, truth)


class Gtm:
    """GTM (Zhao and Han, QDB 2012): truth ~ N(mu, s0^2), claim ~ N(truth, s_source^2), s_source^2 inverse-gamma; EM."""

    ALPHA, BETA = 10.0, 10.0 * 0.36

    def __init__(self, providers: int) -> None:
        self.count, self.square = np.zeros(providers), np.zeros(providers)

    def step(self, window: Window) -> tuple[float, float]:
        z, who = window.z, window.who
        # Outliers go first, as in the paper: here what is more than 50 tolerances off the median.
        near = np.abs(z - np.median(z)) < 50.0
        z, who = z[near], who[near]
        mu, wide = float(np.median(z)), max(float(np.var(z)), 1e-6)
        count, square = KEEP * self.count[who], KEEP * self.square[who]
        mean, variance = mu, wide
        for _ in range(50):
            noise = (2 * self.BETA + square + (z - mean) ** 2 + variance) / (2 * (self.ALPHA + 1) + count + 1)
            precision = 1.0 / wide + float(np.sum(1.0 / noise))
            found = (mu / wide + float(np.sum(z / noise))) / precision
            variance = 1.0 / precision
            if abs(found - mean) < 1e-9:
                break
            mean = found
        self.count[who], self.square[who] = count + 1, square + (z - mean) ** 2 + variance
        return mean, inside(math.sqrt(variance))


class Accu:
    """ACCU (Dong et al., VLDB 2009): votes ln(n A / (1 - A)), softmax; A = mean probability of a source's own claims.

    Numbers are put into buckets two tolerances wide, centred on the median; n = 10 wrong values.
    """

    FALSE_VALUES = 10.0

    def __init__(self, providers: int) -> None:
        self.count, self.right = np.full(providers, 10.0), np.full(providers, 8.0)

    def step(self, window: Window) -> tuple[float, float]:
        bucket = np.round((window.z - np.median(window.z)) / 2.0)
        kinds, which = np.unique(bucket, return_inverse=True)
        count, right = KEEP * self.count[window.who], KEEP * self.right[window.who]
        accuracy = right / count
        belief = np.zeros(len(kinds))
        for _ in range(50):
            accuracy = np.clip(accuracy, 0.01, 0.99)
            votes = np.bincount(which, np.log(self.FALSE_VALUES * accuracy / (1 - accuracy)), len(kinds))
            odds = np.exp(votes - votes.max())
            found = odds / odds.sum()
            if np.max(np.abs(found - belief)) < 1e-9:
                break
            belief = found
            accuracy = (right + belief[which]) / (count + 1)
        self.count[window.who], self.right[window.who] = count + 1, right + belief[which]
        best = int(np.argmax(belief))
        return float(window.z[which == best].mean()), float(belief[best])


class Cccagg:
    """Volume-weighted last trade, weight cut to .8, .6, .4, .2, .01 after 5, 10, 15, 20, 25 minutes (CCData's CCCAGG)."""

    MINUTES, FACTORS = np.array([5.0, 10.0, 15.0, 20.0, 25.0]), np.array([1.0, 0.8, 0.6, 0.4, 0.2, 0.01])

    def step(self, window: Window) -> tuple[float, float]:
        factors = self.FACTORS[np.searchsorted(self.MINUTES, window.ages_s / 60.0, side="right")]
        return _weighted(window.z, window.sizes * factors)


BASELINES: dict[str, Callable[[int], Baseline]] = {
    "median": lambda providers: Median(),
    "mean": lambda providers: Mean(),
    "iqr+weights": lambda providers: Fenced(),
    "pyth": lambda providers: Pyth(),
    "band": lambda providers: Band(),
    "crh": Crh,
    "gtm": Gtm,
    "accu": Accu,
    "cccagg": lambda providers: Cccagg(),
}
"""By name: a fresh rule for so many providers."""
