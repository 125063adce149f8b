"""Which statements are set aside, and why: the reason that explains most of the distance from the answer.

Written, like the kernel, in the subset of Python that numba compiles.
"""

from __future__ import annotations

import math

from services.aggregator.fusion import layout as col
from services.aggregator.fusion.layout import Array

LN10 = math.log(10.0)
FLAG = 3.0
"""A value further than this many tolerances from the answer is flagged."""
FROZEN_WINDOWS = 2.5
"""Windows for which a value stands still, while most others moved, before it is called frozen."""
COPIED = 0.6 - 1e-9
"""A voice of less is a copy's; just under 3/5, which three equal values reach but for the last bits of a sum."""


def mark(
    n: int,
    used: int,
    window: Array,
    work: Array,
    result: Array,
    head: Array,
    slots: Array,
    sources: Array,
    value: float,
    drift: float,
    carried: float,
    rival_voices: float,
    tol: float,
    rel: bool,
    as_of: float,
) -> int:
    """Fill `work[CODE]` and the spread of the others; how many others there are."""
    vol = head[col.VOL]
    lowest_used = 0.0
    highest_used = 0.0
    kept = 0
    for a in range(used):
        i = int(work[col.ORDER, a])
        slot = int(window[3 * n + i])
        row = int(slots[slot, col.ROW])
        stated = work[col.Y, i] - drift * min(as_of - work[col.TAU, i], carried)
        off = stated - value
        if abs(off) > FLAG:
            moved = 0
            for j in range(n):
                if work[col.CODE, j] != col.RANGE and (
                    work[col.FRESH, j] > 0.0 or slots[int(window[3 * n + j]), col.FIRST_MS] > slots[slot, col.FIRST_MS]
                ):
                    moved += 1
            powers = off * tol / LN10
            nearest = math.floor(powers + 0.5)
            if rel and nearest != 0.0 and abs(powers - nearest) * LN10 < max(10.0 * tol, 0.02):
                work[col.CODE, i] = col.UNIT_OFF
            elif (
                work[col.FRESH, i] == 0.0
                and as_of - slots[slot, col.FIRST_MS] > FROZEN_WINDOWS * (as_of - head[col.AT])
                and 2 * moved > used
            ):
                work[col.CODE, i] = col.FROZEN
            elif work[col.VOICES, i] < COPIED and work[col.RESP, i] < 0.5:
                work[col.CODE, i] = col.COPY
            elif sources[row, col.LAG] > 0.0 and vol * sources[row, col.LAG] > 1.0:
                work[col.CODE, i] = col.LAGGING
            elif work[col.SECOND, i] > 0.5 and rival_voices > 1.5:
                work[col.CODE, i] = col.CAMP
            else:
                work[col.CODE, i] = col.RANGE
            work[col.SHARE, i] = 0.0
        else:
            if kept == 0 or stated < lowest_used:
                lowest_used = stated
            if kept == 0 or stated > highest_used:
                highest_used = stated
            kept += 1
    result[col.R_SPREAD] = highest_used - lowest_used
    return kept
