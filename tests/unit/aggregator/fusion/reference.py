"""The answer of the robust model, written a second time for reading: plain Python, no arrays, no kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Source:
    """One statement and what is known of its source."""

    value: float
    ts: float
    weight: float = 1.0
    group: str = ""
    variance: float = 0.36
    right: float = 0.9
    known: float = 0.0
    lag: float = 0.0
    first_seen: float | None = None
    """Set when the value is the one last learned."""
    shared: dict[int, float] = field(default_factory=dict)
    """Index of another source -> learned probability of being one voice."""
    away: float = 0.0
    """Its lasting distance from the middle source."""


@dataclass
class Before:
    """What is remembered of the key."""

    mean: float
    var: float
    at: float


@dataclass
class Belief:
    """The reference's answer."""

    value: float
    confidence: float
    voices: list[float]
    mean: float
    var: float


def normal_inside(low: float, high: float, mean: float, var: float) -> float:
    sd = math.sqrt(2.0 * var)
    return 0.5 * (math.erf((high - mean) / sd) - math.erf((low - mean) / sd))


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(x, -50.0)))


def voices_of(sources: list[Source], z: list[float]) -> list[float]:
    n = len(sources)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    ties = sum(sources[i].value == sources[j].value for i, j in pairs)

    def agree(i: int, j: int) -> float:
        return min(max(2.0 - abs(z[i] - z[j]) / 3.0, 0.0), 1.0)

    near = sum(agree(i, j) for i, j in pairs)
    totals = []
    for i in range(n):
        same = [j for j in range(n) if sources[j].value == sources[i].value]
        outer = sum(agree(i, j) for j in range(n) if j not in same)
        twin = 0.0
        if len(same) > 2:
            inner = len(same) * (len(same) - 1) // 2
            twin = max(0.0, 1.0 - 8.0 * (ties - inner + 1) / (max(near - inner - len(same) * outer, 0.0) + 2))
        total = 1.0
        for j in range(n):
            if j != i:
                share = sources[i].shared.get(j, 0.0)
                if sources[i].group == sources[j].group:
                    share = max(share, 0.97)
                if j in same:
                    share = max(share, twin)
                total += share
        totals.append(total)
    return [1.0 / total for total in totals]


def answer(
    sources: list[Source],
    as_of: float,
    tol: float,
    vol: float,
    drift: float = 0.0,
    inflation: float = 1.0,
    apart: float = 0.0,
    before: Before | None = None,
) -> Belief:
    """The model of docs/fusion.md for values in relative scale."""
    z, tau, noise, var, gain, odds = [], [], [], [], [], []
    drift *= min(2.0 * sum(s.first_seen is None for s in sources) / len(sources), 1.0)
    carried = 2.0 * (as_of - before.at) if before else math.inf
    for s in sources:
        t = min(s.ts, as_of)
        if s.first_seen is not None:
            t = min(t, s.first_seen)
        t -= s.lag
        trust = (10.0 * min(max(0.93 * s.weight, 0.05), 0.93) + s.known * s.right) / (10.0 + s.known)
        own = max(s.variance, 0.0025) * inflation + apart + min(s.away**2, 2.0)
        tau.append(t)
        z.append(math.log(s.value) / tol + drift * min(as_of - t, carried))
        noise.append(own)
        var.append(own + vol * (as_of - t))
        odds.append(trust)
        gain.append(math.log(trust / (1 - trust)) + math.log(400.0) - 0.5 * math.log(2 * math.pi * var[-1]))
    n = len(sources)
    u = voices_of(sources, z)
    fresh = [s.first_seen is None for s in sources]
    newness = prior = prior_var = steady = 0.0
    if before:
        prior, prior_var = before.mean + drift * (as_of - before.at), before.var + vol * (as_of - before.at)
        newness = sum(u[i] / var[i] for i in range(n) if fresh[i]) / sum(u[i] / var[i] for i in range(n))

    def support(c: float) -> float:
        total = sum(u[i] * max(0.0, gain[i] - 0.5 * (z[i] - c) ** 2 / var[i]) for i in range(n))
        return total + (max(0.0, 1.0 - 0.5 * (c - prior) ** 2 / prior_var) if before else 0.0)

    centre = max([*z, *([prior] if before else [])], key=lambda c: (round(support(c), 8), -c))
    r = [0.0] * n
    for _ in range(4):
        weights, points = [], []
        if before:
            steady = sigmoid(1.0 - 0.5 * (prior - centre) ** 2 / prior_var)
            weights.append(newness * steady / prior_var)
            points.append(prior)
        r = [sigmoid(gain[i] - 0.5 * (z[i] - centre) ** 2 / var[i]) for i in range(n)]
        weights += [u[i] * r[i] / var[i] for i in range(n)]
        points += z
        if sum(weights) > 0:
            centre = sum(w * p for w, p in zip(weights, points, strict=True)) / sum(weights)

    events = [(tau[i], 1, z[i], u[i] * r[i] / noise[i], u[i] * r[i]) for i in range(n)]
    if before:
        # The last answer comes after statements of its own time.
        events.append((before.at, 2, prior, newness * steady / before.var, 0.0))
    events.sort(key=lambda e: e[:2])
    mean, p, at = centre, 1e12, events[0][0]
    chi, dof = 0.0, newness * steady - 1.0
    for when, _, point, precision, voice in events:
        p += vol * max(when - at, 0.0)
        at = max(at, when)
        if precision < 1e-12:
            continue
        chi += (point - mean) ** 2 / (p + 1.0 / precision)
        dof += voice
        mean += p / (p + 1.0 / precision) * (point - mean)
        p = 1.0 / (1.0 / p + precision)
    p += vol * max(as_of - at, 0.0)
    p *= max((8.0 + chi) / (8.0 + max(dof, 0.0)), 0.6)

    first = sum(u[i] * r[i] * odds[i] for i in range(n))
    rivals = [i for i in range(n) if r[i] <= 0.5]
    other, other_mean, other_var = 0.0, mean, p
    if rivals:

        def against(c: float) -> float:
            return sum(u[j] * (1 - r[j]) * max(0.0, gain[j] - 0.5 * (z[j] - c) ** 2 / var[j]) for j in range(n))

        best = max(rivals, key=lambda i: (round(against(z[i]), 8), -z[i]))
        if against(z[best]) > 0.0:
            other_mean = z[best]
            for _ in range(2):
                q = [(1 - r[j]) * sigmoid(gain[j] - 0.5 * (z[j] - other_mean) ** 2 / var[j]) for j in range(n)]
                other = sum(u[j] * q[j] * odds[j] for j in range(n))
                bottom = sum(u[j] * q[j] / var[j] for j in range(n))
                other_mean = sum(u[j] * q[j] / var[j] * z[j] for j in range(n)) / bottom
                other_var = 1.0 / bottom
    a, b = first**3 / (first + 1.5), other**3 / (other + 1.5)
    if before:
        a *= max(math.exp(-min(0.5 * (mean - prior) ** 2 / prior_var, 50.0)), math.exp(-1.0))
        b *= max(math.exp(-min(0.5 * (other_mean - prior) ** 2 / prior_var, 50.0)), math.exp(-1.0))
    a, b = a / (a + b + 0.02), b / (a + b + 0.02)
    points = [mean]
    if b >= 0.02 and abs(other_mean - mean) <= 4.0:
        points += [mean + 0.25 * k * (other_mean - mean) for k in range(1, 5)]

    def held(c: float) -> float:
        return a * normal_inside(c - 1, c + 1, mean, p) + b * normal_inside(c - 1, c + 1, other_mean, other_var)

    value = max(points, key=held)
    return Belief(math.exp(value * tol), min(max(held(value), 0.0), 1.0), u, mean, p)
