"""Who speaks with one voice: weights of the answer, and what a closed window teaches about pairs of sources.

Written, like the kernel, in the subset of Python that numba compiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from services.aggregator.fusion import layout as col
from services.aggregator.fusion.layout import Array

TIE_REACH, TIE_FADE = 3.0, 2.0
"""Equal values are weighed against the pairs that agree in the main: fully up to 3 tolerances apart, not at all from 6."""
TIE_LEAST, TIE_CHANCE = 3, 8.0
"""So many equal values may be copies; ties among all others speak for chance, the lack of them among many against it."""
VOICE_FROM, VOICE_OVER, MOST_SHARED = 3.0, 6.0, 0.98
"""Log-odds of being one voice from which, and over which, two sources are taken for one."""
GROUP_VOICE = 0.97
"""Sources of one independence group are one voice, nearly."""
SAME_VOICE = 0.8
"""Correlation of errors that two statements of one voice have at least."""
SMALL = 0.7
"""Errors within this many deviations are not wrong enough to prove anything."""
TIMED = 12.0
"""Samples before a source's lag is known well enough to tell shared errors from shared lateness."""
PAIR_FLOOR, PAIR_CEIL = -6.0, 12.0
PAIR_KEEP = 0.995
TIMING = 0.3
"""Variance of an error of timing, in that of the quantity over one sampling interval."""


def share_of(odds: float) -> float:
    """How far two sources are one voice, by the log-odds of it."""
    return min(max(odds - VOICE_FROM, 0.0) / VOICE_OVER, MOST_SHARED)


def shared(pairs: Array, providers: Sequence[str]) -> dict[str, list[str]]:
    """Provider -> those with which it is more likely one voice than not; `providers` in the order of `pairs`."""
    found: dict[str, list[str]] = {}
    for i, one in enumerate(providers[: col.PAIRS]):
        for j, other in enumerate(providers[:i]):
            if share_of(float(pairs[i, j])) >= 0.5:
                found.setdefault(one, []).append(other)
                found.setdefault(other, []).append(one)
    return {provider: sorted(others) for provider, others in found.items()}


def weigh(n: int, window: Array, work: Array, slots: Array, pairs: Array) -> None:
    """Fill `work[VOICES]`: what was learned, what the definitions say, and exact ties that chance does not explain."""
    ties = 0
    for i in range(n):
        for j in range(i):
            if window[i] == window[j]:
                ties += 1
    near = 0.0
    if ties > 0:
        for i in range(n):
            for j in range(i):
                near += min(max(TIE_FADE - abs(work[col.Y, i] - work[col.Y, j]) / TIE_REACH, 0.0), 1.0)
    for i in range(n):
        if work[col.CODE, i] == col.RANGE:
            continue
        slot = int(window[3 * n + i])
        pid = int(slots[slot, col.PID])
        gid = slots[slot, col.GID]
        twin = 0.0
        if ties > 0:
            same = 0
            outer = 0.0
            for j in range(n):
                if window[i] == window[j]:
                    same += 1
                else:
                    outer += min(max(TIE_FADE - abs(work[col.Y, i] - work[col.Y, j]) / TIE_REACH, 0.0), 1.0)
            if same >= TIE_LEAST:
                # Do others that agree in the main also agree to the last digit? Then so may these, without copying.
                inner = same * (same - 1) // 2
                # Equal statements of different age are carried on along the trend, and may then lie apart.
                others = max(near - inner - same * outer, 0.0) + 2.0
                twin = max(0.0, 1.0 - TIE_CHANCE * (ties - inner + 1.0) / others)
        total = 1.0
        for j in range(i):
            if work[col.CODE, j] == col.RANGE:
                continue
            other = int(window[3 * n + j])
            shared = 0.0
            qid = int(slots[other, col.PID])
            if pid >= 0 and qid >= 0:
                # The lower triangle is in force, the upper accumulates.
                odds = float(pairs[max(pid, qid), min(pid, qid)])
                if odds > VOICE_FROM:
                    shared = min((odds - VOICE_FROM) / VOICE_OVER, MOST_SHARED)
            if gid == slots[other, col.GID]:
                shared = max(shared, GROUP_VOICE)
            if twin > shared and window[i] == window[j]:
                shared = twin
            total += shared
            work[col.VOICES, j] += shared
        work[col.VOICES, i] += total
    for i in range(n):
        if work[col.CODE, i] != col.RANGE:
            work[col.VOICES, i] = 1.0 / work[col.VOICES, i]


def follow_pairs(
    n: int,
    used: int,
    window: Array,
    work: Array,
    head: Array,
    slots: Array,
    ring: Array,
    sources: Array,
    pairs: Array,
    sampling: bool,
    teach: float,
    var: float,
) -> None:
    """Update the log-odds of being one voice: given how large two errors are, do they point the same way?

    Small errors prove nothing. The later of two sources is compared with what the earlier one said that long ago.
    """
    unit = head[col.UNIT]
    inflation = head[col.INFL_A] / head[col.INFL_B]
    common = 0.0
    weights = 0.0
    for sweep in range(2):
        for a in range(used):
            i = int(work[col.ORDER, a])
            slot = int(window[3 * n + i])
            pid = int(slots[slot, col.PID])
            if pid < 0 or pid >= col.PAIRS or sources[int(slots[slot, col.ROW]), col.N_LAG] < TIMED:
                continue
            for b in range(a):
                j = int(work[col.ORDER, b])
                other = int(window[3 * n + j])
                qid = int(slots[other, col.PID])
                if qid < 0 or qid >= col.PAIRS or qid == pid or sources[int(slots[other, col.ROW]), col.N_LAG] < TIMED:
                    continue
                if work[col.FRESH, i] == 0.0 and work[col.FRESH, j] == 0.0:
                    continue
                first = work[col.SURPRISE, i]
                second = work[col.SURPRISE, j]
                behind = 0.0
                if unit > 0.0:
                    behind = (
                        sources[int(slots[slot, col.ROW]), col.LAG] - sources[int(slots[other, col.ROW]), col.LAG]
                    ) / unit
                steps = math.floor(abs(behind) + 0.5)
                if steps > 0:
                    if not sampling or steps > col.RING:
                        continue
                    # The later one repeats what the earlier one said that long ago.
                    early = other if behind > 0.0 else slot
                    if ring[early, steps - 1, 1] < 0:
                        continue
                    row = int(slots[early, col.ROW])
                    then = float(ring[early, steps - 1, 0]) / col.RING_ERROR
                    then /= math.sqrt(
                        max(sources[row, col.S2], col.S2_FLOOR) * inflation + var + TIMING * head[col.VOL] * unit
                    )
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
                    both = work[col.VOICES, i] * work[col.VOICES, j]
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


def advance_pairs(pairs: Array, known: int) -> None:
    """Bring the evidence about pairs of the first `known` providers into force: upper triangle to lower."""
    for a in range(known):
        for b in range(a):
            pairs[a, b] = pairs[b, a]
