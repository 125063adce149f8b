"""What a closed window teaches: about the key (learn), and about its sources (learn, in force after advance).

Written, like the kernel, in the subset of Python that numba compiles; `teach` softens everything in contested windows.
"""

from __future__ import annotations

import math

from services.aggregator.fusion import layout as col
from services.aggregator.fusion.lags import at_time, follow_lag
from services.aggregator.fusion.layout import Array
from services.aggregator.fusion.voices import SMALL, TIMING, follow_pairs

SAMPLE_MS = 4000.0
"""Shortest time between two samples of the path; longer when windows are further apart."""
SLOW_KEEP, FAST_KEEP, MOVE_KEEP, INFLATION_KEEP = 0.98, 0.75, 0.8, 0.99
AUTO_KEEP, TREND_FROM, TREND_OVER = 0.85, 0.4, 0.25
"""Autocorrelation of moves from which, and over which, a trend is believed."""
OFF_GAIN, MAD_TO_SIGMA = 0.15, 1.4826
SOURCE_KEEP, RIGHT_KEEP = 0.98, 0.995
APART_SHARE = 0.25
"""Of the spread of lasting offsets that is added to every variance; the rest goes to those who stand apart."""
PAIR_LEAST = 7
"""Sources of a window in which errors may be shared: among fewer the answer is too much of their own making."""
TREND_VOICES, TREND_SPAN = 3.0, 3.0
"""Voices from which, and over which, a trend can be told from late sources that catch up one by one."""
LONG, LONG_KEEP = 10, 0.99
"""Samples over which the long volatility is taken."""


def middle_of(
    used: int, n: int, window: Array, work: Array, slots: Array, sources: Array, origin: float, distance: bool
) -> float:
    """Median of the sources' lasting offsets (or of their distance from `origin`), by voices and precision."""
    total = 0.0
    for a in range(used):
        i = int(work[col.ORDER, a])
        slot = int(window[3 * n + i])
        row = int(slots[slot, col.ROW])
        work[col.SECOND, i] = work[col.VOICES, i] * (work[col.RESP, i] + 0.01) / max(sources[row, col.S2], col.S2_START)
        work[col.GAIN, i] = abs(slots[slot, col.OFF] - origin) if distance else slots[slot, col.OFF]
        total += work[col.SECOND, i]
    below = 0.0
    last = -1e300
    while below < 0.5 * total:
        nearest = 1e300
        for a in range(used):
            i = int(work[col.ORDER, a])
            if work[col.GAIN, i] > last and work[col.GAIN, i] < nearest:
                nearest = work[col.GAIN, i]
        if nearest == 1e300:
            break
        for a in range(used):
            i = int(work[col.ORDER, a])
            if work[col.GAIN, i] == nearest:
                below += work[col.SECOND, i]
        last = nearest
    return last


def learn(
    n: int,
    window: Array,
    work: Array,
    result: Array,
    head: Array,
    path: Array,
    slots: Array,
    ring: Array,
    sources: Array,
    pairs: Array,
    as_of: float,
) -> None:
    """Update the key and the accumulators of its sources from a window that `answer` has just worked on."""
    mean = result[col.R_MEAN]
    var = result[col.R_VAR]
    teach = result[col.R_SURE] * result[col.R_SURE]
    used = 0
    while used < n and work[col.ORDER, used] >= 0.0:
        used += 1
    drift = result[col.R_DRIFT]
    carried = 2.0 * max(as_of - head[col.AT], 0.0)
    metric = int(head[col.METRIC])
    front = sources[metric, col.LAG]
    if front != head[col.FRONT]:
        # The metric's timeline moved: what we took for the answer at t was the answer at t - shift.
        for k in range(int(head[col.SAMPLES])):
            path[k, 0] -= front - head[col.FRONT]
        head[col.AT] -= front - head[col.FRONT]
        head[col.FRONT] = front
    count = head[col.COUNT]
    elapsed = as_of - head[col.AT]
    vol = head[col.VOL]
    if count > 0.0:
        if elapsed <= 0.0:
            return
        moved = mean - head[col.MEAN]
        surprise = moved - drift * elapsed
        measured = head[col.VAR] + var
        if count == 1.0:
            if sources[metric, col.METRIC_UNIT] == 0.0:
                sources[metric, col.METRIC_UNIT] = elapsed * math.ceil(SAMPLE_MS / elapsed)
            head[col.UNIT] = sources[metric, col.METRIC_UNIT]
            head[col.SLOW_D] = 4.0 * elapsed
            head[col.SLOW_A] = vol * head[col.SLOW_D]
        # A jump counts as a jump, not as volatility to come: it is cut against the volatility before it.
        usual = max(head[col.SLOW_A] - 0.7 * head[col.SLOW_B], 0.05 * head[col.SLOW_A]) / head[col.SLOW_D]
        head[col.SLOW_A] = SLOW_KEEP * head[col.SLOW_A] + teach * min(
            surprise * surprise, 12.0 * (measured + usual * elapsed)
        )
        head[col.SLOW_B] = SLOW_KEEP * head[col.SLOW_B] + teach * measured
        head[col.SLOW_D] = SLOW_KEEP * head[col.SLOW_D] + teach * elapsed
        slow = max(head[col.SLOW_A] - 0.7 * head[col.SLOW_B], 0.05 * head[col.SLOW_A]) / head[col.SLOW_D]
        head[col.FAST_A] = FAST_KEEP * head[col.FAST_A] + teach * max(
            min(surprise * surprise, 100.0 * (measured + vol * elapsed)) - measured, 0.0
        )
        head[col.FAST_D] = FAST_KEEP * head[col.FAST_D] + teach * elapsed
        # A trend shows in moves that resemble the ones before them; neither a walk nor a jump does that.
        rate = moved / elapsed
        head[col.AUTO_A] = AUTO_KEEP * head[col.AUTO_A] + rate * head[col.RATE]
        head[col.AUTO_B] = AUTO_KEEP * head[col.AUTO_B] + rate * rate
        head[col.RATE] = rate
        head[col.MOVE_A] = MOVE_KEEP * head[col.MOVE_A] + moved
        head[col.MOVE_D] = MOVE_KEEP * head[col.MOVE_D] + elapsed
        trend = 0.0
        if count > 8.0 and head[col.AUTO_B] > 0.0:
            trend = min(max((head[col.AUTO_A] / head[col.AUTO_B] - TREND_FROM) / TREND_OVER, 0.0), 1.0)
            trend *= min(max((result[col.R_VOICES] - TREND_VOICES) / TREND_SPAN, 0.0), 1.0)
        head[col.DRIFT] = trend * head[col.MOVE_A] / head[col.MOVE_D]
        # Sources of many lags average to a path that hardly moves from window to window, but it moves in the long run.
        if head[col.SAMPLES] > LONG:
            far = at_time(path, int(head[col.SAMPLES]), as_of, mean, path[LONG - 1, 0])
            span = as_of - path[LONG - 1, 0]
            step = mean - far
            calm = teach * (1.0 - trend)
            head[col.LONG_A] = (1.0 - (1.0 - LONG_KEEP) * calm) * head[col.LONG_A] + calm * min(
                step * step, 6.0 * span * max(usual, head[col.LONG_A] / max(head[col.LONG_D], span))
            )
            head[col.LONG_D] = (1.0 - (1.0 - LONG_KEEP) * calm) * head[col.LONG_D] + calm * span
        head[col.VOL] = max(
            slow,
            0.5 * head[col.FAST_A] / max(head[col.FAST_D], 3.0 * elapsed),
            0.8 * head[col.LONG_A] / max(head[col.LONG_D], 1.0),
        )
        head[col.INFL_A] = min(
            max(INFLATION_KEEP * (head[col.INFL_A] - 20.0) + teach * result[col.R_CHI] + 20.0, 10.0), 1e6
        )
        head[col.INFL_B] = INFLATION_KEEP * (head[col.INFL_B] - 20.0) + teach * result[col.R_DOF] + 20.0
        head[col.INFL_A] = min(max(head[col.INFL_A], 0.5 * head[col.INFL_B]), 4.0 * head[col.INFL_B])
    inflation = head[col.INFL_A] / head[col.INFL_B]
    samples = int(head[col.SAMPLES])
    unit = head[col.UNIT]
    sampling = samples == 0 or (count > 1.0 and as_of - path[0, 0] >= 0.99 * unit)
    for a in range(used):
        i = int(work[col.ORDER, a])
        slot = int(window[3 * n + i])
        row = int(slots[slot, col.ROW])
        tau = work[col.TAU, i]
        stated = work[col.Y, i] - drift * min(as_of - tau, carried)
        error = stated - at_time(path, samples, as_of, mean, tau)
        work[col.RESID, i] = error
        scale = max(sources[row, col.S2], col.S2_FLOOR) * inflation + var + TIMING * vol * unit
        work[col.NOISE, i] = math.sqrt(scale)
        r = work[col.RESP, i]
        weight = teach * (1.0 if work[col.FRESH, i] > 0.0 else 0.25)
        own = min(work[col.SHARE, i], 0.8)
        sources[row, col.N_ERR] = SOURCE_KEEP * sources[row, col.N_ERR] + weight * r
        # Noise is what is left without the slow part: a source that is off by a constant is not noisy but elsewhere.
        noise = error - slots[slot, col.OFF]
        slots[slot, col.OFF] += OFF_GAIN * weight * r * noise
        sources[row, col.SUM_ERR] = (
            SOURCE_KEEP * sources[row, col.SUM_ERR] + weight * r * noise * noise / (1.0 - own) / inflation
        )
        sources[row, col.N_IN] = RIGHT_KEEP * sources[row, col.N_IN] + weight
        sources[row, col.SUM_IN] = RIGHT_KEEP * sources[row, col.SUM_IN] + weight * r
        sources[row, col.VOICE] = SOURCE_KEEP * sources[row, col.VOICE] + (1.0 - SOURCE_KEEP) * work[col.VOICES, i] * r
        if sampling and samples > 0:
            follow_lag(
                row,
                slot,
                samples,
                unit,
                as_of,
                mean,
                stated,
                error,
                tau,
                weight,
                path,
                ring,
                sources,
                9.0 * (sources[row, col.S2] * inflation + 10.0 * vol * unit),
            )
    middle = middle_of(used, n, window, work, slots, sources, 0.0, False)
    spread = middle_of(used, n, window, work, slots, sources, middle, True)
    head[col.APART] = APART_SHARE * (MAD_TO_SIGMA * spread) ** 2 if used > 2 else 0.0
    head[col.MIDDLE] = middle if used > 2 else 0.0
    for a in range(used):
        # Wrong, for pairs: fast errors against our answer, slow ones against the middle source, which a slow lie of a
        # minority cannot move.
        i = int(work[col.ORDER, a])
        u = (work[col.RESID, i] - middle) / work[col.NOISE, i]
        work[col.SURPRISE, i] = math.copysign(max(min(abs(u), 5.0) - SMALL, 0.0), u)
    if used >= PAIR_LEAST:
        follow_pairs(n, used, window, work, head, slots, ring, sources, pairs, sampling, teach, var)
    if sampling:
        keep = min(samples, col.PATH - 1)
        for k in range(keep, 0, -1):
            path[k, 0] = path[k - 1, 0]
            path[k, 1] = path[k - 1, 1]
        path[0, 0] = as_of
        path[0, 1] = mean
        head[col.SAMPLES] = keep + 1
        for slot in range(slots.shape[0]):
            for k in range(col.RING - 1, 0, -1):
                ring[slot, k, 0] = ring[slot, k - 1, 0]
                ring[slot, k, 1] = ring[slot, k - 1, 1]
            ring[slot, 0, 1] = -1
        for a in range(used):
            i = int(work[col.ORDER, a])
            slot = int(window[3 * n + i])
            ring[slot, 0, 0] = int(min(max(work[col.RESID, i] * col.RING_ERROR, -32000.0), 32000.0))
            age = max(as_of - work[col.TAU, i], 0.0) / unit * col.RING_AGE if unit > 0.0 else 0.0
            ring[slot, 0, 1] = int(age) if age < 32000.0 else -1
    for i in range(n):
        slot = int(window[3 * n + i])
        if slots[slot, col.SEEN] == 0.0 or slots[slot, col.LAST_VALUE] != window[i]:
            slots[slot, col.FIRST_MS] = min(window[n + i], as_of)
            slots[slot, col.LAST_VALUE] = window[i]
        slots[slot, col.SEEN] += 1.0
        slots[slot, col.LAST_MS] = as_of
    head[col.MEAN] = mean
    head[col.VAR] = var
    head[col.AT] = as_of
    head[col.COUNT] = count + 1.0
