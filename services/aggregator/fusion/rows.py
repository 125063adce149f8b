"""Many windows in one call: each row of a table names one (key, metric), its observations and where its state lies.

Written, like the kernel, in the subset of Python that numba compiles. All arguments are integers, most of them addresses,
so that a compiled form can be called without knowing numpy. What a row gives is in the metric's own unit, rounded, with
its quality: nothing is left to be done per metric in Python.
"""

from __future__ import annotations

import math

from services.aggregator.compiled.memory import floats, integers, shorts, singles, table
from services.aggregator.fusion import layout as col
from services.aggregator.fusion.kernel import (
    ELSEWHERE,
    LARGEST,
    LN_2PI,
    LN_REACH,
    PRIOR_WINDOWS,
    SQRT_2,
    WEIGHT_PRIOR,
    answer,
)
from services.aggregator.fusion.lags import advance
from services.aggregator.fusion.layout import Array
from services.aggregator.fusion.learning import learn
from services.aggregator.fusion.voices import advance_pairs

UNDER_MINIMUM = 0.5
"""Most confidence of an answer from fewer sources than the metric asks for."""
ZERO_TRUST = 0.9
"""P(right) of a source that says zero where everything else is positive."""
DIGITS = 12
"""Significant digits of an answer: what logarithms leave behind these is noise, and a lone source is repeated to the letter."""
ROUNDED_ABOVE, ROUNDED_BELOW = 1e-10, 1e30
"""Sizes of what is rounded here: between them the powers of ten that it takes, up to the 22nd, are exact doubles."""
FURTHEST = 700.0
"""exp of more than this is no double."""
GUESTS_AT = 8 * (col.RESULT + col.HEAD)
WINDOW_AT = GUESTS_AT + 8 * col.MOST_SOURCES * col.SLOT
WORK_AT = WINDOW_AT + 8 * col.MOST_SOURCES * 4
"""Bytes from the start of the scratch memory: result and an empty head, strangers, the window, the work."""


def rounded(value: float) -> float:
    """The double nearest to the decimal of DIGITS digits; the value itself where powers of ten are not exact."""
    size = abs(value)
    if not (size > ROUNDED_ABOVE and size < ROUNDED_BELOW):
        return value
    exponent = DIGITS - 1 - math.floor(math.log10(size))
    digits = 0.0
    power = 1.0
    for _ in range(3):
        power = 1.0
        for _ in range(abs(exponent)):
            power *= 10.0
        # Both factors are exact, so that one division (or product) rounds once.
        digits = math.floor((size * power if exponent >= 0 else size / power) + 0.5)
        if digits >= 10.0**DIGITS:
            exponent -= 1
        elif digits < 10.0 ** (DIGITS - 1):
            exponent += 1
        else:
            break
    size = digits / power if exponent >= 0 else digits * power
    return size if value > 0.0 else -size


def finish(
    n: int,
    row: int,
    spec: int,
    specs: Array,
    outs: Array,
    window: Array,
    work: Array,
    result: Array,
    slots: Array,
    as_of: float,
) -> None:
    """Turn the kernel's result into the answer of row `row`: units, digits, and quality."""
    tol = specs[spec, col.TOL]
    relative = specs[spec, col.REL] > 0.0
    used = result[col.R_USED]
    value = result[col.R_VALUE]
    low = result[col.R_LOW]
    high = result[col.R_HIGH]
    spread = result[col.R_SPREAD]
    if relative:
        value = math.exp(value * tol)
        low = math.exp(low * tol)
        high = math.exp(min(high * tol, FURTHEST))
        spread = math.expm1(min(spread * tol, FURTHEST))
    else:
        value *= tol
        low *= tol
        high *= tol
        spread = spread * tol / abs(value) if value != 0.0 else 0.0
    value = rounded(value)
    confidence = result[col.R_CONF]
    if used < specs[spec, col.MINIMUM]:
        confidence = min(confidence, UNDER_MINIMUM)
    outs[row, col.O_VALUE] = value
    outs[row, col.O_CONF] = confidence
    outs[row, col.O_LOW] = low
    outs[row, col.O_HIGH] = high
    outs[row, col.O_SPREAD] = spread
    outs[row, col.O_USED] = used
    outs[row, col.O_VOICES] = result[col.R_VOICES]
    judge(n, row, spec, specs, outs, window, work, slots, value, as_of)


def judge(
    n: int,
    row: int,
    spec: int,
    specs: Array,
    outs: Array,
    window: Array,
    work: Array,
    slots: Array,
    value: float,
    as_of: float,
) -> None:
    """Quality of the answer: share of groups that agree with it, and its age against the metric's freshness."""
    reach = specs[spec, col.TOL] * (1.0 + 1e-9)
    lowest = value - reach
    highest = value + reach
    if specs[spec, col.REL] > 0.0:
        lowest = value
        highest = value
        if value > 0.0:
            lowest = value * math.exp(-reach)
            highest = value * math.exp(reach)
    groups = 0.0
    agreed = 0.0
    age = 0.0
    total = 0.0
    for i in range(n):
        # Beside each other, so that comparing them is cheap; the row is free once the answer stands.
        work[col.RESID, i] = slots[int(window[3 * n + i]), col.GID]
    for i in range(n):
        group = work[col.RESID, i]
        first = True
        for j in range(i):
            if work[col.RESID, j] == group:
                first = False
                break
        if first:
            groups += 1.0
            for j in range(i, n):
                if work[col.RESID, j] == group and window[j] >= lowest and window[j] <= highest:
                    agreed += 1.0
                    break
        share = work[col.SHARE, i]
        if share > 0.0:
            total += share
            if window[n + i] < as_of:
                age += share * (as_of - window[n + i])
    freshness = 1.0
    if total > 0.0:
        freshness = age / total / specs[spec, col.FRESHNESS]
    outs[row, col.O_CONSISTENCY] = agreed / groups
    outs[row, col.O_TIMELINESS] = min(max(1.0 - freshness, 0.0), 1.0)


def alone(
    row: int,
    spec: int,
    value: float,
    ts: float,
    weight: float,
    source: int,
    specs: Array,
    outs: Array,
    sources: Array,
    as_of: float,
) -> bool:
    """The answer to a lone statement about a key of which nothing is remembered: the kernel's own, with what is known put in.

    False where it is less simple: the value is refused, or the source is more often wrong than right.
    """
    relative = specs[spec, col.REL] > 0.0
    if not (value >= specs[spec, col.LOWEST] and value <= specs[spec, col.HIGHEST]) or value - value != 0.0:
        return False
    tol = specs[spec, col.TOL]
    if (relative and value <= 0.0) or (not relative and abs(value) > LARGEST * tol):
        return False
    vol = specs[spec, col.START_VOL]
    age = as_of - (min(ts, as_of) - sources[source, col.LAG])
    noise = max(sources[source, col.S2], col.S2_FLOOR)
    variance = noise + vol * age
    start = min(max(WEIGHT_PRIOR * weight, 0.05), WEIGHT_PRIOR)
    seen = sources[source, col.KNOWN]
    trust = (PRIOR_WINDOWS * start + seen * sources[source, col.RIGHT]) / (PRIOR_WINDOWS + seen)
    odds = math.log(trust / (1.0 - trust)) + LN_REACH - 0.5 * (LN_2PI + math.log(variance))
    right = 1.0 / (1.0 + math.exp(min(-odds, 50.0)))
    precision = right / noise
    if right <= 0.5 or precision < 1e-12:
        return False
    # A belief of variance 1e12 meets the statement, and then waits until now; nothing scatters.
    var = 1e12 / (1.0 + 1e12 * precision) + vol * max(age, 0.0)
    voices = right * trust
    belief = voices * voices * voices / (voices + 1.5)
    belief /= belief + ELSEWHERE
    sd = math.sqrt(var)
    confidence = min(max(belief * math.erf(1.0 / sd / SQRT_2), 0.0), 1.0)
    if specs[spec, col.MINIMUM] > 1.0:
        confidence = min(confidence, UNDER_MINIMUM)
    at = math.log(value) / tol if relative else value / tol
    low = at - 1.96 * sd
    high = at + 1.96 * sd
    outs[row, col.O_VALUE] = rounded(math.exp(at * tol) if relative else value)
    outs[row, col.O_CONF] = confidence
    outs[row, col.O_LOW] = math.exp(low * tol) if relative else low * tol
    outs[row, col.O_HIGH] = math.exp(min(high * tol, FURTHEST)) if relative else high * tol
    outs[row, col.O_SPREAD] = 0.0
    outs[row, col.O_USED] = 1.0
    outs[row, col.O_VOICES] = 1.0
    outs[row, col.O_CONSISTENCY] = 1.0
    outs[row, col.O_TIMELINESS] = min(max(1.0 - max(as_of - ts, 0.0) / specs[spec, col.FRESHNESS], 0.0), 1.0)
    outs[row, col.O_SURE] = belief
    outs[row, col.O_MEAN] = at
    outs[row, col.O_VAR] = var
    outs[row, col.O_RIVAL] = 0.0
    outs[row, col.O_RIVAL_MEAN] = at
    outs[row, col.O_RIVAL_VAR] = var
    return True


def mostly_zero(n: int, zeros: int, row: int, outs: Array, window: Array, work: Array) -> None:
    """Most say zero, which has no logarithm: a vote between nothing and something."""
    odds = 1.0
    for _ in range(abs(2 * zeros - n)):
        odds *= ZERO_TRUST / (1.0 - ZERO_TRUST)
    for i in range(n):
        is_zero = window[i] == 0.0
        work[col.SHARE, i] = 1.0 / zeros if is_zero else 0.0
        work[col.CODE, i] = col.USED if is_zero else col.RANGE
    outs[row, col.O_VALUE] = 0.0
    outs[row, col.O_CONF] = odds / (1.0 + odds)
    outs[row, col.O_LOW] = 0.0
    outs[row, col.O_HIGH] = 0.0
    outs[row, col.O_SPREAD] = 0.0
    outs[row, col.O_USED] = zeros
    outs[row, col.O_VOICES] = n
    # The table keeps what another window left in it; no width says that there is no belief to choose from.
    outs[row, col.O_VAR] = 0.0


def answer_window(
    n: int,
    row: int,
    spec: int,
    entry: int,
    capacity: int,
    as_of: float,
    scratch_at: int,
    specs: Array,
    outs: Array,
    sources: Array,
    pairs: Array,
    teach: int,
) -> None:
    """Answer one window into row `row` of `outs`, or, with `teach`, learn from it; shares and codes stay in the work.

    At WINDOW_AT of the scratch memory stand its n values, times, weights and slots. A slot below 0 is a stranger's, whose
    ROW, PID and GID stand in its row of the guests.
    """
    result = floats(scratch_at, col.RESULT)
    guests = table(scratch_at + GUESTS_AT, col.MOST_SOURCES, col.SLOT)
    # Just as wide as the window, so that it stays in the nearest cache.
    window = floats(scratch_at + WINDOW_AT, 4 * n)
    work = table(scratch_at + WORK_AT, col.WORKS, n)
    relative = specs[spec, col.REL] > 0.0
    zeros = 0
    strange = entry == 0
    for i in range(n):
        if window[i] == 0.0:
            zeros += 1
        if window[3 * n + i] < 0.0:
            strange = True
    head = floats(scratch_at + 8 * col.RESULT, col.HEAD)
    if entry != 0:
        head = floats(entry, col.HEAD)
    else:
        for k in range(col.HEAD):
            head[k] = 0.0
        head[col.VOL] = specs[spec, col.START_VOL]
        head[col.INFL_A] = col.INFLATION_PRIOR
        head[col.INFL_B] = col.INFLATION_PRIOR
    slots = guests
    slots_at = entry + 8 * (col.HEAD + 2 * col.PATH)
    if not strange:
        slots = table(slots_at, capacity, col.SLOT)
    else:
        # Some are not known to this key yet: for this one answer they sit beside those that are.
        for i in range(n):
            slot = int(window[3 * n + i])
            if slot >= 0:
                known = table(slots_at, capacity, col.SLOT)
                for k in range(col.SLOT):
                    guests[i, k] = known[slot, k]
            else:
                for k in range(col.SEEN, col.SLOT):
                    guests[i, k] = 0.0
            window[3 * n + i] = i
    if relative and 2 * zeros > n and teach == 0:
        mostly_zero(n, zeros, row, outs, window, work)
        judge(n, row, spec, specs, outs, window, work, slots, 0.0, as_of)
        return
    answer(
        n, window, work, result, head, slots, sources, pairs, specs[spec, col.TOL], relative,
        specs[spec, col.LOWEST], specs[spec, col.HIGHEST], as_of,
    )  # fmt: skip
    outs[row, col.O_USED] = result[col.R_USED]
    if not result[col.R_USED] > 0.0:
        return
    if teach != 0:
        path = table(entry + 8 * col.HEAD, col.PATH, 2)
        ring = shorts(slots_at + 8 * capacity * col.SLOT, capacity, col.RING, 2)
        learn(n, window, work, result, head, path, slots, ring, sources, pairs, as_of)
        return
    finish(n, row, spec, specs, outs, window, work, result, slots, as_of)
    outs[row, col.O_SURE] = result[col.R_SURE]
    outs[row, col.O_MEAN] = result[col.R_MEAN]
    outs[row, col.O_VAR] = result[col.R_VAR]
    outs[row, col.O_RIVAL] = result[col.R_RIVAL]
    outs[row, col.O_RIVAL_MEAN] = result[col.R_RIVAL_MEAN]
    outs[row, col.O_RIVAL_VAR] = result[col.R_RIVAL_VAR]


def answer_rows(
    count: int, total: int, rows_at: int, columns_at: int, outs_at: int, shares_at: int, context_at: int, teach: int
) -> None:
    """Answer `count` rows, or, with `teach`, learn from them one after the other; see layout.py for the tables.

    columns: values, times, weights and slots of all `total` observations; a slot below 0 is a stranger, by its place.
    context: what stays from call to call (layout.C_*).
    """
    context = integers(context_at, col.CONTEXT)
    rows = table(rows_at, count, col.ROW_WIDTH)
    specs = table(context[col.C_SPECS], context[col.C_SPECS_N], col.SPEC_WIDTH)
    columns = table(columns_at, 4, total)
    outs = table(outs_at, count, col.OUT_WIDTH)
    shares = table(shares_at, 2, total)
    sources = table(context[col.C_SOURCES], context[col.C_SOURCES_N], col.SOURCE)
    pairs = singles(context[col.C_PAIRS], col.PAIRS, col.PAIRS)
    strangers = table(context[col.C_STRANGERS], context[col.C_STRANGERS_N], col.STRANGER)
    scratch_at = context[col.C_SCRATCH]
    guests = table(scratch_at + GUESTS_AT, col.MOST_SOURCES, col.SLOT)
    first = 0
    for row in range(count):
        n = int(rows[row, col.N])
        spec = int(rows[row, col.SPEC])
        entry = int(rows[row, col.ENTRY])
        as_of = rows[row, col.AS_OF]
        if n == 1 and entry == 0 and teach == 0:
            stranger = -1 - int(columns[3, first])
            if alone(
                row, spec, columns[0, first], columns[1, first], columns[2, first], int(strangers[stranger, 0]), specs, outs,
                sources, as_of,
            ):  # fmt: skip
                shares[0, first] = 1.0
                shares[1, first] = col.USED
                first += 1
                continue
        window = floats(scratch_at + WINDOW_AT, 4 * n)
        for i in range(n):
            for k in range(4):
                window[k * n + i] = columns[k, first + i]
            slot = int(columns[3, first + i])
            if slot < 0:
                guests[i, col.ROW] = strangers[-1 - slot, 0]
                guests[i, col.PID] = strangers[-1 - slot, 1]
                guests[i, col.GID] = strangers[-1 - slot, 2]
        answer_window(
            n, row, spec, entry, int(rows[row, col.CAPACITY]), as_of, scratch_at, specs, outs, sources, pairs, teach
        )  # fmt: skip
        work = table(scratch_at + WORK_AT, col.WORKS, n)
        for i in range(n):
            shares[0, first + i] = work[col.SHARE, i]
            shares[1, first + i] = work[col.CODE, i]
        first += n


def advance_sources(rows_at: int, count: int, metric: int, sources_at: int, sources_n: int, scratch_at: int) -> None:
    """Bring what was learned about the sources of one metric into force; `rows` are theirs, `metric` is its own row."""
    advance(
        integers(rows_at, count), metric, table(sources_at, sources_n, col.SOURCE), floats(scratch_at, len(col.SHIFTS))
    )


def advance_voices(pairs_at: int, known: int) -> None:
    """Bring the evidence about pairs of the first `known` providers into force."""
    advance_pairs(singles(pairs_at, col.PAIRS, col.PAIRS), known)
