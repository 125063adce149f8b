"""How late each source is: its past statements against our path, and ours against its; and where the front of the pack is.

Written, like the kernel, in the subset of Python that numba compiles.
"""

from __future__ import annotations

import math

from services.aggregator.fusion import layout as col
from services.aggregator.fusion.layout import Array

PROFILE_KEEP = 0.985
FRONT_SHARE = 0.15
"""The front of the pack: this quantile of lags, by voices."""
FRONT_VOICES = 1.5
"""and more than one voice, always."""
ERR_PRIOR = 6.0
"""Windows that the starting variance of a source is worth."""


def at_time(path: Array, samples: int, now: float, mean: float, t: float) -> float:
    """Our answer as it was at `t`, linear between samples; the oldest sample for all older times."""
    if t >= now or samples == 0:
        return mean
    later_t = now
    later = mean
    for k in range(samples):
        if path[k, 0] <= t:
            if later_t <= path[k, 0]:
                return float(later)
            return float(path[k, 1] + (later - path[k, 1]) * (t - path[k, 0]) / (later_t - path[k, 0]))
        later_t = path[k, 0]
        later = path[k, 1]
    return float(later)


def follow_lag(
    row: int,
    slot: int,
    samples: int,
    unit: float,
    as_of: float,
    mean: float,
    stated: float,
    error: float,
    tau: float,
    weight: float,
    path: Array,
    ring: Array,
    sources: Array,
    cap: float,
) -> None:
    """Add to a source's profile: its squared error at every lag that is tried, each cut at `cap`."""
    lag = sources[row, col.LAG]
    # On time: against what we said before and after, not at the moment when it was part of the answer itself.
    here = tau + lag
    on_time = stated - 0.5 * (
        at_time(path, samples, as_of, mean, here - unit) + at_time(path, samples, as_of, mean, here + unit)
    )
    sources[row, col.N_LAG] = PROFILE_KEEP * sources[row, col.N_LAG] + weight
    for k in range(len(col.SHIFTS)):
        shift = col.SHIFTS[k]
        off = on_time
        if shift == 0 or shift > samples or -shift > samples:
            pass
        elif shift >= 0:
            off = stated - at_time(path, samples, as_of, mean, here - shift * unit)
        else:
            # What it said some samples ago, against what we have come to say since.
            back = -shift - 1
            if ring[slot, back, 1] >= 0:
                then = path[back, 0] - float(ring[slot, back, 1]) * unit / col.RING_AGE
                said = float(ring[slot, back, 0]) / col.RING_ERROR + at_time(path, samples, as_of, mean, then)
                off = said - at_time(path, samples, as_of, mean, then + lag - shift * unit)
        sources[row, col.PROFILE + k] = PROFILE_KEEP * sources[row, col.PROFILE + k] + weight * min(off * off, cap)


def advance(rows: Array, metric: int, sources: Array, scratch: Array) -> None:
    """Bring what was learned about the sources of one metric into force; `rows` are theirs, `metric` is its own row."""
    total = 0.0
    unit = sources[metric, col.METRIC_UNIT]
    for a in range(len(rows)):
        row = int(rows[a])
        sources[row, col.S2] = min(
            max(
                (ERR_PRIOR * col.S2_START + sources[row, col.SUM_ERR]) / (ERR_PRIOR + sources[row, col.N_ERR]),
                col.S2_FLOOR,
            ),
            col.S2_CEIL,
        )
        sources[row, col.KNOWN] = sources[row, col.N_IN]
        if sources[row, col.N_IN] > 0.0:
            sources[row, col.RIGHT] = min(max(sources[row, col.SUM_IN] / sources[row, col.N_IN], 0.01), 0.99)
        seen = sources[row, col.N_LAG]
        if seen >= 8.0:
            best = col.ZERO_SHIFT
            for k in range(len(col.SHIFTS)):
                if sources[row, col.PROFILE + k] < sources[row, col.PROFILE + best]:
                    best = k
            lag = 0.0
            least = sources[row, col.PROFILE + best]
            # Errors of neighbouring samples overlap by the shift: that many fewer of them are independent.
            if sources[row, col.PROFILE + col.ZERO_SHIFT] > least * (
                1.0 + 3.0 * math.sqrt(2.0 * (1.0 + abs(col.SHIFTS[best])) / seen)
            ):
                # The profile is a V with its tip between grid points; its arms rise by the volatility.
                last = len(col.SHIFTS) - 1
                low_arm = (sources[row, col.PROFILE] - least) / max(col.SHIFTS[best] - col.SHIFTS[0], 1)
                high_arm = (sources[row, col.PROFILE + last] - least) / max(col.SHIFTS[last] - col.SHIFTS[best], 1)
                slope = max(low_arm, high_arm, 1e-12)
                other = best
                if best > 0 and best < last:
                    other = (
                        best + 1
                        if sources[row, col.PROFILE + best + 1] < sources[row, col.PROFILE + best - 1]
                        else best - 1
                    )
                lower = min(best, other)
                upper = max(best, other)
                tilt = (sources[row, col.PROFILE + upper] - sources[row, col.PROFILE + lower]) / (2.0 * slope)
                lag = min(
                    max(0.5 * (col.SHIFTS[lower] + col.SHIFTS[upper]) - tilt, float(col.SHIFTS[lower])),
                    float(col.SHIFTS[upper]),
                )
            sources[row, col.LAG] = lag * unit
        total += sources[row, col.VOICE]
    # The front of the pack: nobody may lag behind our own timeline by less than nothing.
    front = 0.0
    passed = 0.0
    previous = -1e18
    while passed < max(FRONT_SHARE * total, FRONT_VOICES):
        nearest = 1e18
        for a in range(len(rows)):
            lag = sources[int(rows[a]), col.LAG]
            if lag > previous and lag < nearest:
                nearest = lag
        if nearest == 1e18:
            break
        for a in range(len(rows)):
            if sources[int(rows[a]), col.LAG] == nearest:
                passed += sources[int(rows[a]), col.VOICE]
        front = nearest
        previous = nearest
    if front >= -0.5 * unit:
        front = 0.0
    for a in range(len(rows)):
        row = int(rows[a])
        sources[row, col.LAG] = max(sources[row, col.LAG] - front, 0.0)
        if front < 0.0:
            # Evidence was gathered against the old timeline; read it off the new one, from the early end.
            for k in range(len(col.SHIFTS)):
                at = col.SHIFTS[k] + front / unit
                j = 0
                while j < len(col.SHIFTS) - 2 and col.SHIFTS[j + 1] < at:
                    j += 1
                part = min(max((at - col.SHIFTS[j]) / (col.SHIFTS[j + 1] - col.SHIFTS[j]), 0.0), 1.0)
                scratch[k] = (1.0 - part) * sources[row, col.PROFILE + j] + part * sources[row, col.PROFILE + j + 1]
            for k in range(len(col.SHIFTS)):
                sources[row, col.PROFILE + k] = scratch[k]
    sources[metric, col.LAG] -= front
