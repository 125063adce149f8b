"""The answer of the robust model to one window: one function in the subset of Python that numba compiles.

It is written without helpers because an uncompiled run must give the same bits (services/aggregator/fusion/compiled.py).
The model, its assumptions and its constants are explained in docs/fusion.md.
"""

from __future__ import annotations

import math
from typing import Any

from services.aggregator.fusion.layout import (
    APART, AT, CAMP, CODE, COPY, COUNT, DRIFT, FALL, FIRST_MS, FRESH, FROZEN, GAIN, GID, INFL_A, INFL_B, LAG, LAGGING, LAST_VALUE, MEAN, KNOWN, NOISE, ODD, RIGHT, ORDER, PID, R_CHI, R_CONF, R_DOF, R_DRIFT, R_HIGH, R_LOW, R_MEAN, R_RIVAL,
    R_RIVAL_MEAN, R_RIVAL_VAR, R_SPREAD, R_SURE, R_USED, R_VALUE, R_VAR, R_VOICES, RANGE, RESP, ROW, S2, S2_FLOOR, SECOND, SEEN, SHARE,
    TAU, UNIT_OFF, USED, VAR, VARIANCE, VOICES, VOL, Y,
)

Array = Any
"""numpy.ndarray of float64 (pairs: float32); numba infers the types."""

LN10 = math.log(10.0)
SQRT_2 = math.sqrt(2.0)
LN_2PI = math.log(2.0 * math.pi)
LN_REACH = math.log(400.0)
"""A wrong value lies anywhere within 400 tolerances."""
JUMP = 3.0
"""Log-odds at which a jump explains a window better than the last answer."""
GROUP_VOICE = 0.97
"""Sources of one independence group are one voice, nearly."""
FLAG = 3.0
"""A value further than this many tolerances from the answer is flagged."""
EVEN = 1e-9
"""Scores closer than this are equal."""
FROZEN_WINDOWS = 2.5
"""Windows for which a value stands still, while most others moved, before it is called frozen."""
TIE_REACH, TIE_FADE = 3.0, 2.0
"""Equal values are weighed against the pairs that agree in the main: fully up to 3 tolerances apart, not at all from 6."""
TIE_LEAST, TIE_CHANCE = 3, 8.0
"""So many equal values may be copies; ties among all others speak for chance, the lack of them among many against it."""
VOICE_FROM, VOICE_OVER, MOST_SHARED = 3.0, 6.0, 0.98
"""Log-odds of being one voice from which, and over which, two sources are taken for one."""
WEIGHT_PRIOR = 0.93
"""P(inlier) of an unknown source with static weight 1."""
PRIOR_WINDOWS = 10.0
"""Windows after which a source's own record counts as much as its static weight."""
ELSEWHERE = 0.02
"""Weight of the camp nobody speaks for."""
CHI_PRIOR = 8.0
"""Degrees of freedom with which the expected scatter of a window is believed against the seen one."""


def answer(n: int, window: Array, work: Array, result: Array, head: Array, slots: Array, sources: Array, pairs: Array,
           tol: float, rel: bool, lowest: float, highest: float, as_of: float) -> None:
    """Fill `work` and `result` from the window's columns (values, times, weights, slots); the state is only read."""
    vol = head[VOL]
    drift = head[DRIFT]
    inflation = head[INFL_A] / head[INFL_B]
    # 1. Age, noise and prior odds of each source.
    news = 0.0
    for i in range(n):
        slot = int(window[3 * n + i])
        if slots[slot, SEEN] == 0.0 or slots[slot, LAST_VALUE] != window[i]:
            news += 1.0
    # A trend is carried on only as far as new statements keep coming, and no further than two windows.
    drift *= min(2.0 * news / n, 1.0)
    carried = 2.0 * max(as_of - head[AT], 0.0)
    used = 0
    for i in range(n):
        value = window[i]
        slot = int(window[3 * n + i])
        row = int(slots[slot, ROW])
        work[SHARE, i] = 0.0
        work[RESP, i] = 0.0
        work[SECOND, i] = 0.0
        work[CODE, i] = RANGE
        work[ORDER, i] = -1.0
        # A refused value takes part in the loops below with no weight.
        work[VOICES, i] = 0.0
        work[GAIN, i] = -1e9
        work[Y, i] = -1e12
        work[NOISE, i] = 1.0
        work[VARIANCE, i] = 1.0
        work[FALL, i] = 0.5
        if not (value >= lowest and value <= highest) or value - value != 0.0 or (rel and value <= 0.0):
            continue
        work[CODE, i] = USED
        work[ORDER, used] = i
        used += 1
        ts = min(window[n + i], as_of)
        fresh = 1.0
        if slots[slot, SEEN] > 0.0 and slots[slot, LAST_VALUE] == value:
            # A number that does not move is as old as its first sight.
            ts = min(ts, slots[slot, FIRST_MS])
            fresh = 0.0
        tau = ts - sources[row, LAG]
        work[FRESH, i] = fresh
        work[TAU, i] = tau
        work[Y, i] = (math.log(value) if rel else value) / tol + drift * min(as_of - tau, carried)
        work[NOISE, i] = max(sources[row, S2], S2_FLOOR) * inflation + head[APART]
        work[VARIANCE, i] = work[NOISE, i] + vol * (as_of - tau)
        work[FALL, i] = 0.5 / work[VARIANCE, i]
        start = min(max(WEIGHT_PRIOR * window[2 * n + i], 0.05), WEIGHT_PRIOR)
        seen = sources[row, KNOWN]
        trust = (PRIOR_WINDOWS * start + seen * sources[row, RIGHT]) / (PRIOR_WINDOWS + seen)
        work[ODD, i] = trust
        work[GAIN, i] = (math.log(trust / (1.0 - trust)) + LN_REACH
                         - 0.5 * (LN_2PI + math.log(work[VARIANCE, i])))
    result[R_USED] = used
    if used == 0:
        result[R_VALUE] = 0.0
        result[R_CONF] = 0.0
        result[R_VOICES] = 0.0
        return
    # 2. Voices: what was learned, what the definitions say, and exact ties that chance does not explain.
    ties = 0
    for i in range(n):
        for j in range(i):
            if window[i] == window[j]:
                ties += 1
    near = 0.0
    if ties > 0:
        for i in range(n):
            for j in range(i):
                near += min(max(TIE_FADE - abs(work[Y, i] - work[Y, j]) / TIE_REACH, 0.0), 1.0)
    for i in range(n):
        if work[CODE, i] == RANGE:
            continue
        slot = int(window[3 * n + i])
        pid = int(slots[slot, PID])
        gid = slots[slot, GID]
        twin = 0.0
        if ties > 0:
            same = 0
            outer = 0.0
            for j in range(n):
                if window[i] == window[j]:
                    same += 1
                else:
                    outer += min(max(TIE_FADE - abs(work[Y, i] - work[Y, j]) / TIE_REACH, 0.0), 1.0)
            if same >= TIE_LEAST:
                # Do others that agree in the main also agree to the last digit? Then so may these, without copying.
                inner = same * (same - 1) // 2
                twin = max(0.0, 1.0 - TIE_CHANCE * (ties - inner + 1.0) / (near - inner - same * outer + 2.0))
        total = 1.0
        for j in range(i):
            if work[CODE, j] == RANGE:
                continue
            other = int(window[3 * n + j])
            shared = 0.0
            qid = int(slots[other, PID])
            if pid >= 0 and qid >= 0:
                # The lower triangle is in force, the upper accumulates.
                odds = float(pairs[max(pid, qid), min(pid, qid)])
                if odds > VOICE_FROM:
                    shared = min((odds - VOICE_FROM) / VOICE_OVER, MOST_SHARED)
            if gid == slots[other, GID]:
                shared = max(shared, GROUP_VOICE)
            if twin > shared and window[i] == window[j]:
                shared = twin
            total += shared
            work[VOICES, j] += shared
        work[VOICES, i] += total
    for i in range(n):
        if work[CODE, i] != RANGE:
            work[VOICES, i] = 1.0 / work[VOICES, i]
    # 3. The camp that explains most: a mixture, every source right with its own variance or wrong anywhere.
    remembers = head[COUNT] > 0.0
    before = 0.0
    before_var = 1.0
    newness = 0.0
    if remembers:
        elapsed = max(as_of - head[AT], 0.0)
        before = head[MEAN] + drift * elapsed
        before_var = head[VAR] + vol * elapsed
        fresh_sum = 0.0
        all_sum = 0.0
        for i in range(n):
            all_sum += work[VOICES, i] / work[VARIANCE, i]
            fresh_sum += work[VOICES, i] * work[FRESH, i] / work[VARIANCE, i]
        newness = fresh_sum / all_sum
    best = -1.0
    centre = 0.0
    for a in range(n + 1):
        if a < n and work[CODE, a] != RANGE:
            c = work[Y, a]
        elif a == n and remembers:
            c = before
        else:
            continue
        score = 0.0
        if remembers:
            score = max(0.0, JUMP - 0.5 * (c - before) * (c - before) / before_var)
        for i in range(n):
            d = work[Y, i] - c
            score += work[VOICES, i] * max(work[GAIN, i] - d * d * work[FALL, i], 0.0)
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
            d = work[Y, i] - centre
            r = 1.0 / (1.0 + math.exp(min(d * d * work[FALL, i] - work[GAIN, i], 50.0)))
            work[RESP, i] = r
            top += work[VOICES, i] * r / work[VARIANCE, i] * work[Y, i]
            bottom += work[VOICES, i] * r / work[VARIANCE, i]
        if bottom > 0.0:
            centre = top / bottom
    # 4. Event-time pass: oldest first, so that what all old statements miss is not counted as agreement.
    for a in range(1, used):
        moved = work[ORDER, a]
        key = work[TAU, int(moved)]
        b = a - 1
        while b >= 0 and work[TAU, int(work[ORDER, b])] > key:
            work[ORDER, b + 1] = work[ORDER, b]
            b -= 1
        work[ORDER, b + 1] = moved
    mean = centre
    var = 1e12
    at = work[TAU, int(work[ORDER, 0])]
    folded = not remembers
    if remembers:
        at = min(at, head[AT])
    chi = 0.0
    # Its expectation: one for each voice that is right, less the one that sets the level.
    dof = newness * steady - 1.0
    a = 0
    while a < used or not folded:
        i = -1
        if folded or (a < used and work[TAU, int(work[ORDER, a])] <= head[AT]):
            i = int(work[ORDER, a])
            a += 1
            tau = work[TAU, i]
            y = work[Y, i]
            precision = work[VOICES, i] * work[RESP, i] / work[NOISE, i]
        else:
            folded = True
            tau = head[AT]
            y = before
            precision = newness * steady / head[VAR]
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
            dof += work[VOICES, i] * work[RESP, i]
            work[SHARE, i] = gain
        for b in range(a - (1 if i >= 0 else 0)):
            j = int(work[ORDER, b])
            work[SHARE, j] *= kept_share
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
        i = int(work[ORDER, a])
        voices += work[VOICES, i]
        first_voices += work[VOICES, i] * work[RESP, i] * work[ODD, i]
    rival = 0.0
    rival_mean = mean
    rival_var = var
    for i in range(n):
        if work[RESP, i] > 0.5 or work[CODE, i] == RANGE:
            continue
        c = work[Y, i]
        score = 0.0
        for j in range(n):
            d = work[Y, j] - c
            score += work[VOICES, j] * (1.0 - work[RESP, j]) * max(work[GAIN, j] - d * d * work[FALL, j], 0.0)
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
                d = work[Y, j] - rival_mean
                r = (1.0 - work[RESP, j]) / (1.0 + math.exp(min(d * d * work[FALL, j] - work[GAIN, j], 50.0)))
                work[SECOND, j] = r
                top += work[VOICES, j] * r / work[VARIANCE, j] * work[Y, j]
                bottom += work[VOICES, j] * r / work[VARIANCE, j]
                rival_voices += work[VOICES, j] * r * work[ODD, j]
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
        held = first_weight * 0.5 * (math.erf((c + 1.0 - mean) / sd / SQRT_2) - math.erf((c - 1.0 - mean) / sd / SQRT_2))
        held += rival_weight * 0.5 * (math.erf((c + 1.0 - rival_mean) / rival_sd / SQRT_2)
                                      - math.erf((c - 1.0 - rival_mean) / rival_sd / SQRT_2))
        if held > confidence:
            confidence = held
            value = c
    low = mean - 1.96 * sd
    high = mean + 1.96 * sd
    if rival_weight > 0.05:
        low = min(low, rival_mean - 1.96 * rival_sd)
        high = max(high, rival_mean + 1.96 * rival_sd)
    # 7. Flags, with the reason that explains most.
    lowest_used = 0.0
    highest_used = 0.0
    kept = 0
    for a in range(used):
        i = int(work[ORDER, a])
        slot = int(window[3 * n + i])
        row = int(slots[slot, ROW])
        stated = work[Y, i] - drift * min(as_of - work[TAU, i], carried)
        off = stated - value
        if abs(off) > FLAG:
            moved = 0
            for j in range(n):
                if work[CODE, j] != RANGE and (work[FRESH, j] > 0.0 or
                                               slots[int(window[3 * n + j]), FIRST_MS] > slots[slot, FIRST_MS]):
                    moved += 1
            powers = off * tol / LN10
            nearest = math.floor(powers + 0.5)
            if rel and nearest != 0.0 and abs(powers - nearest) * LN10 < max(10.0 * tol, 0.02):
                work[CODE, i] = UNIT_OFF
            elif work[FRESH, i] == 0.0 and as_of - slots[slot, FIRST_MS] > FROZEN_WINDOWS * (as_of - head[AT]) \
                    and 2 * moved > used:
                work[CODE, i] = FROZEN
            elif work[VOICES, i] < 0.6 and work[RESP, i] < 0.5:
                work[CODE, i] = COPY
            elif sources[row, LAG] > 0.0 and vol * sources[row, LAG] > 1.0:
                work[CODE, i] = LAGGING
            elif work[SECOND, i] > 0.5 and rival_voices > 1.5:
                work[CODE, i] = CAMP
            else:
                work[CODE, i] = RANGE
            work[SHARE, i] = 0.0
        else:
            if kept == 0 or stated < lowest_used:
                lowest_used = stated
            if kept == 0 or stated > highest_used:
                highest_used = stated
            kept += 1
    if kept == 0:
        # The belief lies between all statements; the answer is the nearest one, with what is believed of it.
        nearest_i = int(work[ORDER, 0])
        for a in range(1, used):
            i = int(work[ORDER, a])
            if abs(work[Y, i] - value) < abs(work[Y, nearest_i] - value):
                nearest_i = i
        value = work[Y, nearest_i] - drift * min(as_of - work[TAU, nearest_i], carried)
        confidence = first_weight * 0.5 * (math.erf((value + 1.0 - mean) / sd / SQRT_2)
                                           - math.erf((value - 1.0 - mean) / sd / SQRT_2))
        work[CODE, nearest_i] = USED
        work[SHARE, nearest_i] = 1.0
        kept = 1
    shares = 0.0
    for a in range(used):
        shares += work[SHARE, int(work[ORDER, a])]
    if shares > 0.0:
        for a in range(used):
            work[SHARE, int(work[ORDER, a])] /= shares
    result[R_VALUE] = value
    result[R_CONF] = min(max(confidence, 0.0), 1.0)
    result[R_LOW] = min(low, value)
    result[R_HIGH] = max(high, value)
    result[R_VOICES] = voices
    result[R_USED] = kept
    result[R_MEAN] = mean
    result[R_VAR] = var
    result[R_SURE] = first_weight
    result[R_SPREAD] = highest_used - lowest_used
    result[R_CHI] = chi
    result[R_DRIFT] = drift
    result[R_DOF] = dof
    result[R_RIVAL] = rival_weight
    result[R_RIVAL_MEAN] = rival_mean
    result[R_RIVAL_VAR] = rival_var
