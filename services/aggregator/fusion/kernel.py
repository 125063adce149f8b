"""The answer of the robust model to one window: one function in the subset of Python that numba compiles.

Uncompiled it gives the same bits (services/aggregator/compiled/kernels.py); `kernels/fuse.py` and `rows.py` fill its arrays.
The model, its assumptions and its constants are explained in docs/fusion.md.
"""

from __future__ import annotations

import math

from services.aggregator.fusion import layout as col
from services.aggregator.fusion.flags import mark
from services.aggregator.fusion.layout import Array
from services.aggregator.fusion.voices import weigh

SQRT_2 = math.sqrt(2.0)
LN_2PI = math.log(2.0 * math.pi)
LARGEST = 1e100
"""Larger values, in tolerances, are refused: their squares are no doubles."""
LN_REACH = math.log(400.0)
"""A wrong value lies anywhere within 400 tolerances."""
JUMP = 1.0
"""Log-odds at which a jump explains a window better than the last answer."""
EVEN = 1e-9
"""Scores closer than this are equal."""
WEIGHT_PRIOR = 0.93
"""P(inlier) of an unknown source with static weight 1."""
PRIOR_WINDOWS = 10.0
"""Windows after which a source's own record counts as much as its static weight."""
ELSEWHERE = 0.02
"""Weight of the camp nobody speaks for."""
OWN_MOST = 2.0
"""Most variance that a source gets for standing apart from the middle source for long."""
CHI_PRIOR = 8.0
"""Degrees of freedom with which the expected scatter of a window is believed against the seen one."""


def answer(
    n: int,
    window: Array,
    work: Array,
    result: Array,
    head: Array,
    slots: Array,
    sources: Array,
    pairs: Array,
    tol: float,
    rel: bool,
    lowest: float,
    highest: float,
    as_of: float,
) -> None:
    """Fill `work` and `result` from the window's columns (values, times, weights, slots); the state is only read."""
    vol = head[col.VOL]
    drift = head[col.DRIFT]
    inflation = head[col.INFL_A] / head[col.INFL_B]
    # 1. Age, noise and prior odds of each source.
    news = 0.0
    for i in range(n):
        slot = int(window[3 * n + i])
        if slots[slot, col.SEEN] == 0.0 or slots[slot, col.LAST_VALUE] != window[i]:
            news += 1.0
    # A trend is carried on only as far as new statements keep coming, and no further than two windows.
    drift *= min(2.0 * news / n, 1.0)
    carried = 2.0 * max(as_of - head[col.AT], 0.0)
    used = 0
    for i in range(n):
        value = window[i]
        slot = int(window[3 * n + i])
        row = int(slots[slot, col.ROW])
        work[col.SHARE, i] = 0.0
        work[col.RESP, i] = 0.0
        work[col.SECOND, i] = 0.0
        work[col.CODE, i] = col.RANGE
        work[col.ORDER, i] = -1.0
        # A refused value takes part in the loops below with no weight.
        work[col.VOICES, i] = 0.0
        work[col.GAIN, i] = -1e9
        work[col.Y, i] = -1e12
        work[col.NOISE, i] = 1.0
        work[col.VARIANCE, i] = 1.0
        work[col.FALL, i] = 0.5
        if not (value >= lowest and value <= highest) or value - value != 0.0 or (rel and value <= 0.0):
            continue
        if not rel and abs(value) > LARGEST * tol:
            continue
        work[col.CODE, i] = col.USED
        work[col.ORDER, used] = i
        used += 1
        ts = min(window[n + i], as_of)
        fresh = 1.0
        if slots[slot, col.SEEN] > 0.0 and slots[slot, col.LAST_VALUE] == value:
            # A number that does not move is as old as its first sight.
            ts = min(ts, slots[slot, col.FIRST_MS])
            fresh = 0.0
        tau = ts - sources[row, col.LAG]
        work[col.FRESH, i] = fresh
        work[col.TAU, i] = tau
        work[col.Y, i] = (math.log(value) if rel else value) / tol + drift * min(as_of - tau, carried)
        # What lasts is no noise, but who stands apart from the middle source is as far off as that.
        own = 0.0
        if slots[slot, col.SEEN] > 0.0:
            own = (slots[slot, col.OFF] - head[col.MIDDLE]) ** 2
        if not (own < OWN_MOST):
            own = OWN_MOST
        work[col.NOISE, i] = max(sources[row, col.S2], col.S2_FLOOR) * inflation + head[col.APART] + own
        work[col.VARIANCE, i] = work[col.NOISE, i] + vol * (as_of - tau)
        work[col.FALL, i] = 0.5 / work[col.VARIANCE, i]
        start = min(max(WEIGHT_PRIOR * window[2 * n + i], 0.05), WEIGHT_PRIOR)
        seen = sources[row, col.KNOWN]
        trust = (PRIOR_WINDOWS * start + seen * sources[row, col.RIGHT]) / (PRIOR_WINDOWS + seen)
        work[col.ODD, i] = trust
        work[col.GAIN, i] = (
            math.log(trust / (1.0 - trust)) + LN_REACH - 0.5 * (LN_2PI + math.log(work[col.VARIANCE, i]))
        )
    result[col.R_USED] = used
    if used == 0:
        result[col.R_VALUE] = 0.0
        result[col.R_CONF] = 0.0
        result[col.R_VOICES] = 0.0
        return
    # 2. Voices: what was learned, what the definitions say, and exact ties that chance does not explain.
    weigh(n, window, work, slots, pairs)
    # 3. The camp that explains most: a mixture, every source right with its own variance or wrong anywhere.
    remembers = head[col.COUNT] > 0.0
    before = 0.0
    before_var = 1.0
    newness = 0.0
    if remembers:
        elapsed = max(as_of - head[col.AT], 0.0)
        before = head[col.MEAN] + drift * elapsed
        before_var = head[col.VAR] + vol * elapsed
        fresh_sum = 0.0
        all_sum = 0.0
        for i in range(n):
            all_sum += work[col.VOICES, i] / work[col.VARIANCE, i]
            fresh_sum += work[col.VOICES, i] * work[col.FRESH, i] / work[col.VARIANCE, i]
        newness = fresh_sum / all_sum
    best = -1.0
    centre = 0.0
    for a in range(n + 1):
        if a < n and work[col.CODE, a] != col.RANGE:
            c = work[col.Y, a]
        elif a == n and remembers:
            c = before
        else:
            continue
        score = 0.0
        if remembers:
            score = max(0.0, JUMP - 0.5 * (c - before) * (c - before) / before_var)
        for i in range(n):
            d = work[col.Y, i] - c
            score += work[col.VOICES, i] * max(work[col.GAIN, i] - d * d * work[col.FALL, i], 0.0)
        # Sums differ in their last bits by order; of candidates that are equal but for those, the least is taken.
        if score > best + EVEN or (score > best - EVEN and c < centre):
            best = max(score, best)
            centre = c
    steady = 0.0
    for _ in range(4):
        top = 0.0
        bottom = 0.0
        if remembers:
            d = before - centre
            steady = 1.0 / (1.0 + math.exp(min(0.5 * d * d / before_var - JUMP, 50.0)))
            top = newness * steady / before_var * before
            bottom = newness * steady / before_var
        for i in range(n):
            d = work[col.Y, i] - centre
            r = 1.0 / (1.0 + math.exp(min(d * d * work[col.FALL, i] - work[col.GAIN, i], 50.0)))
            work[col.RESP, i] = r
            top += work[col.VOICES, i] * r / work[col.VARIANCE, i] * work[col.Y, i]
            bottom += work[col.VOICES, i] * r / work[col.VARIANCE, i]
        if bottom > 0.0:
            centre = top / bottom
    # 4. Event-time pass: oldest first, so that what all old statements miss is not counted as agreement.
    for a in range(1, used):
        moved = work[col.ORDER, a]
        key = work[col.TAU, int(moved)]
        b = a - 1
        while b >= 0 and work[col.TAU, int(work[col.ORDER, b])] > key:
            work[col.ORDER, b + 1] = work[col.ORDER, b]
            b -= 1
        work[col.ORDER, b + 1] = moved
    mean = centre
    var = 1e12
    at = work[col.TAU, int(work[col.ORDER, 0])]
    folded = not remembers
    if remembers:
        at = min(at, head[col.AT])
    chi = 0.0
    # Its expectation: one for each voice that is right, less the one that sets the level.
    dof = newness * steady - 1.0
    a = 0
    while a < used or not folded:
        i = -1
        if folded or (a < used and work[col.TAU, int(work[col.ORDER, a])] <= head[col.AT]):
            i = int(work[col.ORDER, a])
            a += 1
            tau = work[col.TAU, i]
            y = work[col.Y, i]
            precision = work[col.VOICES, i] * work[col.RESP, i] / work[col.NOISE, i]
        else:
            folded = True
            tau = head[col.AT]
            y = before
            precision = newness * steady / head[col.VAR]
        var += vol * max(tau - at, 0.0)
        at = max(at, tau)
        if precision < 1e-12:
            continue
        # What is kept of the old is computed directly: 1 - gain has no digits left after the first statement.
        kept_share = 1.0 / (1.0 + var * precision)
        gain = var * precision * kept_share
        # chi: squared surprise of each statement given all older ones, whatever the order among equals.
        chi += (y - mean) * (y - mean) / (var + 1.0 / precision)
        if i >= 0:
            dof += work[col.VOICES, i] * work[col.RESP, i]
            work[col.SHARE, i] = gain
        for b in range(a - (1 if i >= 0 else 0)):
            j = int(work[col.ORDER, b])
            work[col.SHARE, j] *= kept_share
        mean += gain * (y - mean)
        var *= kept_share
    var += vol * max(as_of - at, 0.0)
    dof = max(dof, 0.0)
    scatter = (CHI_PRIOR + chi) / (CHI_PRIOR + dof)
    var *= max(scatter, 0.6)
    # 5. The strongest other camp, and the belief over both: weight by voices, more than in proportion.
    voices = 0.0
    first_voices = 0.0
    for a in range(used):
        i = int(work[col.ORDER, a])
        voices += work[col.VOICES, i]
        first_voices += work[col.VOICES, i] * work[col.RESP, i] * work[col.ODD, i]
    rival = 0.0
    rival_mean = mean
    rival_var = var
    for i in range(n):
        if work[col.RESP, i] > 0.5 or work[col.CODE, i] == col.RANGE:
            continue
        c = work[col.Y, i]
        score = 0.0
        for j in range(n):
            d = work[col.Y, j] - c
            score += (
                work[col.VOICES, j]
                * (1.0 - work[col.RESP, j])
                * max(work[col.GAIN, j] - d * d * work[col.FALL, j], 0.0)
            )
        if score > rival + EVEN or (score > EVEN and score > rival - EVEN and c < rival_mean):
            rival = max(score, rival)
            rival_mean = c
    rival_voices = 0.0
    if rival > 0.0:
        for _ in range(2):
            top = 0.0
            bottom = 0.0
            rival_voices = 0.0
            for j in range(n):
                d = work[col.Y, j] - rival_mean
                r = (1.0 - work[col.RESP, j]) / (
                    1.0 + math.exp(min(d * d * work[col.FALL, j] - work[col.GAIN, j], 50.0))
                )
                work[col.SECOND, j] = r
                top += work[col.VOICES, j] * r / work[col.VARIANCE, j] * work[col.Y, j]
                bottom += work[col.VOICES, j] * r / work[col.VARIANCE, j]
                rival_voices += work[col.VOICES, j] * r * work[col.ODD, j]
            if bottom > 0.0:
                rival_mean = top / bottom
                rival_var = 1.0 / bottom
    first_weight = first_voices * first_voices * first_voices / (first_voices + 1.5)
    rival_weight = rival_voices * rival_voices * rival_voices / (rival_voices + 1.5)
    if remembers:
        d = mean - before
        first_weight *= max(math.exp(-min(0.5 * d * d / before_var, 50.0)), math.exp(-JUMP))
        d = rival_mean - before
        rival_weight *= max(math.exp(-min(0.5 * d * d / before_var, 50.0)), math.exp(-JUMP))
    total = first_weight + rival_weight + ELSEWHERE
    first_weight /= total
    rival_weight /= total
    # 6. The point whose +-1 holds the most belief.
    sd = math.sqrt(var)
    rival_sd = math.sqrt(rival_var)
    value = mean
    confidence = -1.0
    for step in range(5):
        c = mean + 0.25 * step * (rival_mean - mean)
        if step > 0 and (rival_weight < 0.02 or abs(rival_mean - mean) > 4.0):
            break
        held = (
            first_weight * 0.5 * (math.erf((c + 1.0 - mean) / sd / SQRT_2) - math.erf((c - 1.0 - mean) / sd / SQRT_2))
        )
        held += (
            rival_weight
            * 0.5
            * (
                math.erf((c + 1.0 - rival_mean) / rival_sd / SQRT_2)
                - math.erf((c - 1.0 - rival_mean) / rival_sd / SQRT_2)
            )
        )
        if held > confidence:
            confidence = held
            value = c
    low = mean - 1.96 * sd
    high = mean + 1.96 * sd
    if rival_weight > 0.05:
        low = min(low, rival_mean - 1.96 * rival_sd)
        high = max(high, rival_mean + 1.96 * rival_sd)
    # 7. Flags, with the reason that explains most.
    kept = mark(
        n, used, window, work, result, head, slots, sources, value, drift, carried, rival_voices, tol, rel, as_of
    )
    if kept == 0:
        # The belief lies between all statements; the answer is the nearest one, with what is believed of it.
        nearest_i = int(work[col.ORDER, 0])
        for a in range(1, used):
            i = int(work[col.ORDER, a])
            if abs(work[col.Y, i] - value) < abs(work[col.Y, nearest_i] - value):
                nearest_i = i
        value = work[col.Y, nearest_i] - drift * min(as_of - work[col.TAU, nearest_i], carried)
        confidence = (
            first_weight
            * 0.5
            * (math.erf((value + 1.0 - mean) / sd / SQRT_2) - math.erf((value - 1.0 - mean) / sd / SQRT_2))
        )
        work[col.CODE, nearest_i] = col.USED
        work[col.SHARE, nearest_i] = 1.0
        kept = 1
    shares = 0.0
    for a in range(used):
        shares += work[col.SHARE, int(work[col.ORDER, a])]
    if shares > 0.0:
        for a in range(used):
            work[col.SHARE, int(work[col.ORDER, a])] /= shares
    result[col.R_VALUE] = value
    result[col.R_CONF] = min(max(confidence, 0.0), 1.0)
    result[col.R_LOW] = min(low, value)
    result[col.R_HIGH] = max(high, value)
    result[col.R_VOICES] = voices
    result[col.R_USED] = kept
    result[col.R_MEAN] = mean
    result[col.R_VAR] = var
    result[col.R_SURE] = first_weight
    result[col.R_CHI] = chi
    result[col.R_DRIFT] = drift
    result[col.R_DOF] = dof
    result[col.R_RIVAL] = rival_weight
    result[col.R_RIVAL_MEAN] = rival_mean
    result[col.R_RIVAL_VAR] = rival_var
