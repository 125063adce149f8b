"""What a closed window teaches: about the key (learn), and about its sources (learn, in force after advance).

Written, like the kernel, in the subset of Python that numba compiles; `teach` softens everything in contested windows.
"""

from __future__ import annotations

import math

from services.aggregator.fusion.kernel import Array
from services.aggregator.fusion.layout import (
    APART, AT, AUTO_A, AUTO_B, COUNT, DRIFT, FAST_A, FAST_D, FIRST_MS, FRESH, FRONT, GAIN, INFL_A, INFL_B, KNOWN, LAG, LAST_MS, LAST_VALUE, LONG_A, LONG_D, MEAN,
    METRIC, METRIC_UNIT, MOVE_A, MOVE_D, N_ERR, N_IN, N_LAG, NOISE, OFF, ORDER, PAIRS, PATH, PID, PROFILE, RATE, R_CHI, R_DOF, R_DRIFT, R_MEAN, R_SURE, R_VAR, RESID, RESP, RIGHT, RING, RING_AGE, RING_ERROR, ROW, S2, S2_CEIL, S2_FLOOR, S2_START, SAMPLES, SECOND, SEEN, SHARE, SHIFTS, SLOW_A,
    SLOW_B, SLOW_D, SUM_ERR, SUM_IN, SURPRISE, TAU, UNIT, VAR, VOICE, VOICES, VOL, Y, ZERO_SHIFT,
)

SAMPLE_MS = 4000.0
"""Shortest time between two samples of the path; longer when windows are further apart."""
SLOW_KEEP, FAST_KEEP, MOVE_KEEP, INFLATION_KEEP = 0.98, 0.75, 0.8, 0.99
AUTO_KEEP, TREND_FROM, TREND_OVER = 0.85, 0.4, 0.25
"""Autocorrelation of moves from which, and over which, a trend is believed."""
OFF_GAIN, MAD_TO_SIGMA = 0.1, 1.4826
SOURCE_KEEP, RIGHT_KEEP, PROFILE_KEEP, PAIR_KEEP = 0.98, 0.995, 0.985, 0.995
LONG, LONG_KEEP = 10, 0.99
"""Samples over which the long volatility is taken."""
SAME_VOICE = 0.8
"""Correlation of errors that two statements of one voice have at least."""
PAIR_FLOOR, PAIR_CEIL = -6.0, 12.0
SMALL = 0.7
"""Errors within this many deviations are not wrong enough to prove anything."""
TIMED = 12.0
"""Samples before a source's lag is known well enough to tell shared errors from shared lateness."""
ERR_PRIOR = 6.0
"""Windows that the starting variance of a source is worth."""
FRONT_SHARE = 0.15
"""The front of the pack: this quantile of lags, by voices."""
FRONT_VOICES = 1.5
"""and more than one voice, always."""


def at_time(path: Array, samples: int, now: float, mean: float, t: float) -> float:
    """Our answer as it was at `t`, linear between samples; the oldest sample for all older times."""
    if t >= now or samples == 0:
        return mean
    later_t = now
    later = mean
    for k in range(samples):
        if path[k, 0] <= t:
            if later_t <= path[k, 0]:
                return later
            return path[k, 1] + (later - path[k, 1]) * (t - path[k, 0]) / (later_t - path[k, 0])
        later_t = path[k, 0]
        later = path[k, 1]
    return later


def middle_of(used: int, n: int, window: Array, work: Array, slots: Array, sources: Array, origin: float, distance: bool
              ) -> float:
    """Median of the sources' lasting offsets (or of their distance from `origin`), by voices and precision."""
    total = 0.0
    for a in range(used):
        i = int(work[ORDER, a])
        slot = int(window[3 * n + i])
        row = int(slots[slot, ROW])
        work[SECOND, i] = work[VOICES, i] * (work[RESP, i] + 0.01) / max(sources[row, S2], S2_START)
        work[GAIN, i] = abs(slots[slot, OFF] - origin) if distance else slots[slot, OFF]
        total += work[SECOND, i]
    below = 0.0
    last = -1e300
    while below < 0.5 * total:
        nearest = 1e300
        for a in range(used):
            i = int(work[ORDER, a])
            if work[GAIN, i] > last and work[GAIN, i] < nearest:
                nearest = work[GAIN, i]
        if nearest == 1e300:
            break
        for a in range(used):
            i = int(work[ORDER, a])
            if work[GAIN, i] == nearest:
                below += work[SECOND, i]
        last = nearest
    return last


def learn(n: int, window: Array, work: Array, result: Array, head: Array, path: Array, slots: Array, ring: Array,
          sources: Array, pairs: Array, as_of: float) -> None:
    """Update the key and the accumulators of its sources from a window that `answer` has just worked on."""
    mean = result[R_MEAN]
    var = result[R_VAR]
    teach = result[R_SURE] * result[R_SURE]
    used = 0
    while used < n and work[ORDER, used] >= 0.0:
        used += 1
    drift = result[R_DRIFT]
    carried = 2.0 * max(as_of - head[AT], 0.0)
    metric = int(head[METRIC])
    front = sources[metric, LAG]
    if front != head[FRONT]:
        # The metric's timeline moved: what we took for the answer at t was the answer at t - shift.
        for k in range(int(head[SAMPLES])):
            path[k, 0] -= front - head[FRONT]
        head[AT] -= front - head[FRONT]
        head[FRONT] = front
    count = head[COUNT]
    elapsed = as_of - head[AT]
    vol = head[VOL]
    if count > 0.0:
        if elapsed <= 0.0:
            return
        moved = mean - head[MEAN]
        surprise = moved - drift * elapsed
        measured = head[VAR] + var
        if count == 1.0:
            if sources[metric, METRIC_UNIT] == 0.0:
                sources[metric, METRIC_UNIT] = elapsed * math.ceil(SAMPLE_MS / elapsed)
            head[UNIT] = sources[metric, METRIC_UNIT]
            head[SLOW_D] = 4.0 * elapsed
            head[SLOW_A] = vol * head[SLOW_D]
        # A jump counts as a jump, not as volatility to come: it is cut against the volatility before it.
        usual = max(head[SLOW_A] - 0.7 * head[SLOW_B], 0.05 * head[SLOW_A]) / head[SLOW_D]
        head[SLOW_A] = SLOW_KEEP * head[SLOW_A] + teach * min(surprise * surprise, 12.0 * (measured + usual * elapsed))
        head[SLOW_B] = SLOW_KEEP * head[SLOW_B] + teach * measured
        head[SLOW_D] = SLOW_KEEP * head[SLOW_D] + teach * elapsed
        slow = max(head[SLOW_A] - 0.7 * head[SLOW_B], 0.05 * head[SLOW_A]) / head[SLOW_D]
        head[FAST_A] = FAST_KEEP * head[FAST_A] + teach * max(
            min(surprise * surprise, 100.0 * (measured + vol * elapsed)) - measured, 0.0)
        head[FAST_D] = FAST_KEEP * head[FAST_D] + teach * elapsed
        # A trend shows in moves that resemble the ones before them; neither a walk nor a jump does that.
        rate = moved / elapsed
        head[AUTO_A] = AUTO_KEEP * head[AUTO_A] + rate * head[RATE]
        head[AUTO_B] = AUTO_KEEP * head[AUTO_B] + rate * rate
        head[RATE] = rate
        head[MOVE_A] = MOVE_KEEP * head[MOVE_A] + moved
        head[MOVE_D] = MOVE_KEEP * head[MOVE_D] + elapsed
        trend = 0.0
        if count > 8.0 and head[AUTO_B] > 0.0:
            trend = min(max((head[AUTO_A] / head[AUTO_B] - TREND_FROM) / TREND_OVER, 0.0), 1.0)
        head[DRIFT] = trend * head[MOVE_A] / head[MOVE_D]
        # Sources of many lags average to a path that hardly moves from window to window, but it moves in the long run.
        if head[SAMPLES] > LONG:
            far = at_time(path, int(head[SAMPLES]), as_of, mean, path[LONG - 1, 0])
            span = as_of - path[LONG - 1, 0]
            step = mean - far
            calm = teach * (1.0 - trend)
            head[LONG_A] = (1.0 - (1.0 - LONG_KEEP) * calm) * head[LONG_A] + calm * min(
                step * step, 6.0 * span * max(usual, head[LONG_A] / max(head[LONG_D], span)))
            head[LONG_D] = (1.0 - (1.0 - LONG_KEEP) * calm) * head[LONG_D] + calm * span
        head[VOL] = max(slow, 0.5 * head[FAST_A] / max(head[FAST_D], 3.0 * elapsed),
                        0.8 * head[LONG_A] / max(head[LONG_D], 1.0))
        head[INFL_A] = min(max(INFLATION_KEEP * (head[INFL_A] - 20.0) + teach * result[R_CHI] + 20.0, 10.0), 1e6)
        head[INFL_B] = INFLATION_KEEP * (head[INFL_B] - 20.0) + teach * result[R_DOF] + 20.0
        head[INFL_A] = min(max(head[INFL_A], 0.5 * head[INFL_B]), 4.0 * head[INFL_B])
    inflation = head[INFL_A] / head[INFL_B]
    samples = int(head[SAMPLES])
    unit = head[UNIT]
    sampling = samples == 0 or (count > 1.0 and as_of - path[0, 0] >= 0.99 * unit)
    for a in range(used):
        i = int(work[ORDER, a])
        slot = int(window[3 * n + i])
        row = int(slots[slot, ROW])
        lag = sources[row, LAG]
        tau = work[TAU, i]
        stated = work[Y, i] - drift * min(as_of - tau, carried)
        error = stated - at_time(path, samples, as_of, mean, tau)
        work[RESID, i] = error
        scale = max(sources[row, S2], S2_FLOOR) * inflation + var + 0.3 * vol * unit
        work[NOISE, i] = math.sqrt(scale)
        r = work[RESP, i]
        weight = teach * (1.0 if work[FRESH, i] > 0.0 else 0.25)
        own = min(work[SHARE, i], 0.8)
        sources[row, N_ERR] = SOURCE_KEEP * sources[row, N_ERR] + weight * r
        # Noise is what is left without the slow part: a source that is off by a constant is not noisy but elsewhere.
        noise = error - slots[slot, OFF]
        slots[slot, OFF] += OFF_GAIN * weight * r * noise
        sources[row, SUM_ERR] = SOURCE_KEEP * sources[row, SUM_ERR] + weight * r * noise * noise / (1.0 - own) / inflation
        sources[row, N_IN] = RIGHT_KEEP * sources[row, N_IN] + weight
        sources[row, SUM_IN] = RIGHT_KEEP * sources[row, SUM_IN] + weight * r
        sources[row, VOICE] = SOURCE_KEEP * sources[row, VOICE] + (1.0 - SOURCE_KEEP) * work[VOICES, i] * r
        if sampling and samples > 0:
            cap = 9.0 * (sources[row, S2] * inflation + 10.0 * vol * unit)
            sources[row, N_LAG] = PROFILE_KEEP * sources[row, N_LAG] + weight
            for k in range(len(SHIFTS)):
                shift = SHIFTS[k]
                off = error
                if shift > samples or -shift > samples:
                    pass
                elif shift >= 0:
                    off = stated - at_time(path, samples, as_of, mean, tau + lag - shift * unit)
                else:
                    # What it said some samples ago, against what we have come to say since.
                    back = -shift - 1
                    if ring[slot, back, 1] >= 0:
                        then = path[back, 0] - float(ring[slot, back, 1]) * unit / RING_AGE
                        said = float(ring[slot, back, 0]) / RING_ERROR + at_time(path, samples, as_of, mean, then)
                        off = said - at_time(path, samples, as_of, mean, then + lag - shift * unit)
                sources[row, PROFILE + k] = PROFILE_KEEP * sources[row, PROFILE + k] + weight * min(off * off, cap)
    middle = middle_of(used, n, window, work, slots, sources, 0.0, False)
    spread = middle_of(used, n, window, work, slots, sources, middle, True)
    head[APART] = (MAD_TO_SIGMA * spread) ** 2 if used > 2 else 0.0
    for a in range(used):
        # Wrong, for pairs: fast errors against our answer, slow ones against the middle source, which a slow lie of a
        # minority cannot move.
        i = int(work[ORDER, a])
        u = (work[RESID, i] - middle) / work[NOISE, i]
        work[SURPRISE, i] = math.copysign(max(min(abs(u), 5.0) - SMALL, 0.0), u)
    # Pairs: given how large two errors are, do they point the same way? Small errors prove nothing.
    if used >= 4:
        common = 0.0
        weights = 0.0
        for sweep in range(2):
            for a in range(used):
                i = int(work[ORDER, a])
                slot = int(window[3 * n + i])
                pid = int(slots[slot, PID])
                if pid < 0 or pid >= PAIRS or sources[int(slots[slot, ROW]), N_LAG] < TIMED:
                    continue
                for b in range(a):
                    j = int(work[ORDER, b])
                    other = int(window[3 * n + j])
                    qid = int(slots[other, PID])
                    if qid < 0 or qid >= PAIRS or qid == pid or sources[int(slots[other, ROW]), N_LAG] < TIMED:
                        continue
                    if work[FRESH, i] == 0.0 and work[FRESH, j] == 0.0:
                        continue
                    first = work[SURPRISE, i]
                    second = work[SURPRISE, j]
                    behind = 0.0
                    if unit > 0.0:
                        behind = (sources[int(slots[slot, ROW]), LAG] - sources[int(slots[other, ROW]), LAG]) / unit
                    steps = int(math.floor(abs(behind) + 0.5))
                    if steps > 0:
                        if not sampling or steps > RING:
                            continue
                        # The later one repeats what the earlier one said that long ago.
                        early = other if behind > 0.0 else slot
                        if ring[early, steps - 1, 1] < 0:
                            continue
                        row = int(slots[early, ROW])
                        then = float(ring[early, steps - 1, 0]) / RING_ERROR
                        then /= math.sqrt(max(sources[row, S2], S2_FLOOR) * inflation + var + 0.3 * vol * unit)
                        then = min(max(then, -5.0), 5.0)
                        then = math.copysign(max(abs(then) - SMALL, 0.0), then)
                        if behind > 0.0:
                            second = then
                        else:
                            first = then
                    size = SAME_VOICE / (2.0 * (1.0 - SAME_VOICE * SAME_VOICE))
                    kappa = size * (first * first + second * second)
                    # log I0(kappa) to a few per cent; the likelihood ratio of a von Mises law for the angle.
                    ratio = 2.0 * size * first * second - kappa * kappa / (3.6 + 0.93 * kappa)
                    if sweep == 0:
                        both = work[VOICES, i] * work[VOICES, j]
                        common += both * ratio
                        weights += both
                    else:
                        top = min(pid, qid)
                        bottom = max(pid, qid)
                        seen = PAIR_KEEP * float(pairs[top, bottom]) + teach * min(max(ratio - common, -2.0), 2.0)
                        pairs[top, bottom] = min(max(seen, PAIR_FLOOR), PAIR_CEIL)
            if sweep == 0:
                # What all pairs share is an error of ours, not a common voice.
                common = max(common / weights, 0.0) if weights > 0.0 else 0.0
    if sampling:
        keep = min(samples, PATH - 1)
        for k in range(keep, 0, -1):
            path[k, 0] = path[k - 1, 0]
            path[k, 1] = path[k - 1, 1]
        path[0, 0] = as_of
        path[0, 1] = mean
        head[SAMPLES] = keep + 1
        for slot in range(slots.shape[0]):
            for k in range(RING - 1, 0, -1):
                ring[slot, k, 0] = ring[slot, k - 1, 0]
                ring[slot, k, 1] = ring[slot, k - 1, 1]
            ring[slot, 0, 1] = -1
        for a in range(used):
            i = int(work[ORDER, a])
            slot = int(window[3 * n + i])
            ring[slot, 0, 0] = int(min(max(work[RESID, i] * RING_ERROR, -32000.0), 32000.0))
            age = max(as_of - work[TAU, i], 0.0) / unit * RING_AGE if unit > 0.0 else 0.0
            ring[slot, 0, 1] = int(age) if age < 32000.0 else -1
    for i in range(n):
        slot = int(window[3 * n + i])
        if slots[slot, SEEN] == 0.0 or slots[slot, LAST_VALUE] != window[i]:
            slots[slot, FIRST_MS] = min(window[n + i], as_of)
            slots[slot, LAST_VALUE] = window[i]
        slots[slot, SEEN] += 1.0
        slots[slot, LAST_MS] = as_of
    head[MEAN] = mean
    head[VAR] = var
    head[AT] = as_of
    head[COUNT] = count + 1.0


def advance(rows: Array, metric: int, sources: Array, scratch: Array) -> None:
    """Bring what was learned about the sources of one metric into force; `rows` are theirs, `metric` is its own row."""
    total = 0.0
    unit = sources[metric, METRIC_UNIT]
    for a in range(len(rows)):
        row = int(rows[a])
        sources[row, S2] = min(max((ERR_PRIOR * S2_START + sources[row, SUM_ERR]) / (ERR_PRIOR + sources[row, N_ERR]),
                                   S2_FLOOR), S2_CEIL)
        sources[row, KNOWN] = sources[row, N_IN]
        if sources[row, N_IN] > 0.0:
            sources[row, RIGHT] = min(max(sources[row, SUM_IN] / sources[row, N_IN], 0.01), 0.99)
        seen = sources[row, N_LAG]
        if seen >= 8.0:
            best = ZERO_SHIFT
            for k in range(len(SHIFTS)):
                if sources[row, PROFILE + k] < sources[row, PROFILE + best]:
                    best = k
            lag = 0.0
            least = sources[row, PROFILE + best]
            # Errors of neighbouring samples overlap by the shift: that many fewer of them are independent.
            if sources[row, PROFILE + ZERO_SHIFT] > least * (1.0 + 3.0 * math.sqrt(2.0 * (1.0 + abs(SHIFTS[best])) / seen)):
                # The profile is a V with its tip between grid points; its arms rise by the volatility.
                last = len(SHIFTS) - 1
                low_arm = (sources[row, PROFILE] - least) / max(SHIFTS[best] - SHIFTS[0], 1)
                high_arm = (sources[row, PROFILE + last] - least) / max(SHIFTS[last] - SHIFTS[best], 1)
                slope = max(low_arm, high_arm, 1e-12)
                other = best
                if best > 0 and best < last:
                    other = best + 1 if sources[row, PROFILE + best + 1] < sources[row, PROFILE + best - 1] else best - 1
                lower = min(best, other)
                upper = max(best, other)
                tilt = (sources[row, PROFILE + upper] - sources[row, PROFILE + lower]) / (2.0 * slope)
                lag = min(max(0.5 * (SHIFTS[lower] + SHIFTS[upper]) - tilt, float(SHIFTS[lower])), float(SHIFTS[upper]))
            sources[row, LAG] = lag * unit
        total += sources[row, VOICE]
    # The front of the pack: nobody may lag behind our own timeline by less than nothing.
    front = 0.0
    passed = 0.0
    previous = -1e18
    while passed < max(FRONT_SHARE * total, FRONT_VOICES):
        nearest = 1e18
        for a in range(len(rows)):
            lag = sources[int(rows[a]), LAG]
            if lag > previous and lag < nearest:
                nearest = lag
        if nearest == 1e18:
            break
        for a in range(len(rows)):
            if sources[int(rows[a]), LAG] == nearest:
                passed += sources[int(rows[a]), VOICE]
        front = nearest
        previous = nearest
    if front >= -0.5 * unit:
        front = 0.0
    for a in range(len(rows)):
        row = int(rows[a])
        sources[row, LAG] = max(sources[row, LAG] - front, 0.0)
        if front < 0.0:
            # Evidence was gathered against the old timeline; read it off the new one, from the early end.
            for k in range(len(SHIFTS)):
                at = SHIFTS[k] + front / unit
                j = 0
                while j < len(SHIFTS) - 2 and SHIFTS[j + 1] < at:
                    j += 1
                part = min(max((at - SHIFTS[j]) / (SHIFTS[j + 1] - SHIFTS[j]), 0.0), 1.0)
                scratch[k] = (1.0 - part) * sources[row, PROFILE + j] + part * sources[row, PROFILE + j + 1]
            for k in range(len(SHIFTS)):
                sources[row, PROFILE + k] = scratch[k]
    sources[metric, LAG] -= front


def advance_pairs(pairs: Array, known: int) -> None:
    """Bring the evidence about pairs of the first `known` providers into force: upper triangle to lower."""
    for a in range(known):
        for b in range(a):
            pairs[a, b] = pairs[b, a]
