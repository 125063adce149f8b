"""Windows of `gather` as fusion's own functions take them, with what is remembered of the key."""

from __future__ import annotations

from services.aggregator.compiled.memory import floats, integers, singles, table
from services.aggregator.fusion import layout as col
from services.aggregator.fusion.rows import GUESTS_AT, WINDOW_AT, WORK_AT, alone, answer_window
from services.aggregator.kernels import layout as lay
from services.aggregator.kernels.gather import (
    C_GROUP,
    C_PROVIDER,
    C_TS,
    C_VALUE,
    C_WEIGHT,
    CLAIM,
    G_OUT,
    W_FIRST,
    W_METRIC,
    W_SAID,
    WINDOW,
)


def lesson_of(entity: int, metric: int) -> int:
    """Address of the line that says where the entity's learned state of a metric lies; 0 for none."""
    at = integers(entity, lay.ENTITY)[lay.E_LEARNED]
    if at == 0:
        return 0
    count = integers(at, 1)[0]
    for k in range(count):
        line = at + (1 + k * lay.LESSON) * lay.WORD
        if integers(line, lay.LESSON)[lay.L_METRIC] == metric:
            return int(line)
    return 0


def find_slot(entry: int, capacity: int, row: int, begin: int) -> int:
    """The slot of the source of this row, looked for from `begin` on, where it stands as a rule; -1 for none."""
    if row == 0:
        return -1
    slots = floats(entry + 8 * (col.HEAD + 2 * col.PATH), capacity * col.SLOT)
    slot = begin
    for _ in range(capacity):
        if slot >= capacity:
            slot = 0
        if slots[slot * col.SLOT + col.ROW] == row:
            return slot
        slot += 1
    return -1


def row_of(desk: int, metric: int, provider: int) -> int:
    """The row of a source in fusion's table; 0 for a stranger."""
    x = integers(desk, lay.DESK)
    rows_at = x[lay.X_ROWS] + (metric * x[lay.X_PROVIDERS_N] + provider) * lay.WORD
    return int(integers(rows_at, 1)[0])


def fill_window(desk: int, window: int, entry: int, capacity: int) -> int:
    """Put a window where fusion reads it; how many of its sources the key does not know."""
    x = integers(desk, lay.DESK)
    w = integers(window, WINDOW)
    n = w[W_SAID]
    scratch = integers(x[lay.X_FUSION], col.CONTEXT)[col.C_SCRATCH]
    columns = floats(scratch + WINDOW_AT, 4 * n)
    guests = table(scratch + GUESTS_AT, col.MOST_SOURCES, col.SLOT)
    claims = integers(w[W_FIRST], n * CLAIM)
    numbers = floats(w[W_FIRST], n * CLAIM)
    strangers = 0
    slot = -1
    for i in range(n):
        at = i * CLAIM
        provider = claims[at + C_PROVIDER]
        columns[i] = numbers[at + C_VALUE]
        columns[n + i] = claims[at + C_TS]
        columns[2 * n + i] = numbers[at + C_WEIGHT]
        row = row_of(desk, w[W_METRIC], provider)
        found = find_slot(entry, capacity, row, slot + 1) if entry != 0 else -1
        columns[3 * n + i] = found
        if found >= 0:
            slot = found
        else:
            strangers += 1
            guests[i, col.ROW] = row
            guests[i, col.PID] = integers(x[lay.X_PROVIDERS] + provider * lay.PROVIDER * lay.WORD, lay.PROVIDER)[
                lay.A_PID
            ]
            guests[i, col.GID] = integers(x[lay.X_GROUPS] + claims[at + C_GROUP] * lay.GROUP * lay.WORD, lay.GROUP)[
                lay.G_GID
            ]
    return strangers


def fuse(desk: int, entity: int, window: int, entry: int, capacity: int, teach: int) -> float:
    """Answer a window, or learn from it: the answer stands at G_OUT, shares and codes in fusion's work; how many were used."""
    x = integers(desk, lay.DESK)
    w = integers(window, WINDOW)
    n = w[W_SAID]
    context = integers(x[lay.X_FUSION], col.CONTEXT)
    scratch = context[col.C_SCRATCH]
    specs = table(context[col.C_SPECS], context[col.C_SPECS_N], col.SPEC_WIDTH)
    sources = table(context[col.C_SOURCES], context[col.C_SOURCES_N], col.SOURCE)
    pairs = singles(context[col.C_PAIRS], col.PAIRS, col.PAIRS)
    outs = table(x[lay.X_SCRATCH] + G_OUT * lay.WORD, 1, col.OUT_WIDTH)
    as_of = float(integers(entity, lay.ENTITY)[lay.E_AS_OF])
    metric = w[W_METRIC]
    spec = integers(x[lay.X_METRICS] + metric * lay.METRIC * lay.WORD, lay.METRIC)[lay.M_SPEC]
    if n == 1 and entry == 0 and teach == 0:
        claim = integers(w[W_FIRST], CLAIM)
        said = floats(w[W_FIRST], CLAIM)
        row = row_of(desk, metric, claim[C_PROVIDER])
        if alone(
            0, spec, said[C_VALUE], float(claim[C_TS]), said[C_WEIGHT], row, specs, outs, sources, as_of
        ):  # fmt: skip
            work = table(scratch + WORK_AT, col.WORKS, 1)
            work[col.SHARE, 0] = 1.0
            work[col.CODE, 0] = col.USED
            return 1.0
    fill_window(desk, window, entry, capacity)
    answer_window(n, 0, spec, entry, capacity, as_of, scratch, specs, outs, sources, pairs, teach)
    return float(outs[0, col.O_USED])
