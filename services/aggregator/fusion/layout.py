"""Where each number of the learned state lives in its array, and the constants of the model; shared by the kernels.

Units: an error of 1 is one tolerance (z = ln(value)/tol for rel, value/tol for abs); variances are its square, times ms.
"""

from __future__ import annotations

from services.aggregator.compiled.types import Array as Array

# One key and metric: HEAD, a float64 vector.
(
    MEAN,
    VAR,
    AT,
    COUNT,
    VOL,
    DRIFT,
    SLOW_A,
    SLOW_B,
    SLOW_D,
    FAST_A,
    FAST_D,
    MOVE_A,
    MOVE_D,
    LONG_A,
    LONG_D,
    INFL_A,
    INFL_B,
    UNIT,
    SAMPLES,
    FRONT,
    METRIC,
    APART,
    RATE,
    AUTO_A,
    AUTO_B,
    MIDDLE,
    HEAD,
) = range(27)

# One source within a key and metric: SLOTS, float64 (capacity, SLOT).
ROW, PID, GID, SEEN, LAST_VALUE, FIRST_MS, LAST_MS, OFF, SLOT = range(9)

# One source within a metric: SOURCES, float64 (rows, SOURCE). The first four are in force, the others accumulate.
S2, RIGHT, KNOWN, LAG, N_ERR, SUM_ERR, N_IN, SUM_IN, VOICE, N_LAG, PROFILE = range(11)
SHIFTS = (-10, -7, -5, -3, -2, -1, 0, 1, 2, 3, 5, 7, 10, 13)
"""Lags that are tried, in units of the key's sampling interval; negative: the source leads our answer."""
# The row of a metric itself: LAG says by how much its timeline was moved so far, METRIC_UNIT its sampling interval.
METRIC_UNIT = N_LAG
ZERO_SHIFT = SHIFTS.index(0)
SOURCE = PROFILE + len(SHIFTS)

# One window: WORK, float64 (WORKS, capacity), one row per quantity of a source.
SHARE, CODE, RESP, Y, TAU, VARIANCE, VOICES, GAIN, NOISE, ODD, FRESH, SECOND, ORDER, RESID, SURPRISE, FALL, WORKS = (
    range(17)
)
# and RESULT, float64 vector; the first seven go into the answer as they are.
(
    R_VALUE,
    R_CONF,
    R_LOW,
    R_HIGH,
    R_SPREAD,
    R_USED,
    R_VOICES,
    R_MEAN,
    R_VAR,
    R_SURE,
    R_CHI,
    R_DOF,
    R_RIVAL,
    R_RIVAL_MEAN,
    R_RIVAL_VAR,
    R_DRIFT,
    RESULT,
) = range(17)

# Reasons, as codes of WORK[CODE].
USED, UNIT_OFF, FROZEN, LAGGING, COPY, CAMP, RANGE = range(7)
REASONS: tuple[str | None, ...] = (None, "unit", "frozen", "lagging", "copy", "camp", "range")

PATH = 24
"""Samples of our own answer that a key remembers."""
RING = 11
"""Samples of each source's statements that a key remembers; one more than the largest lead that is tried."""
RING_ERROR, RING_AGE = 64.0, 256.0
"""Steps of the ring's int16 numbers: errors in 1/64 tolerance, ages in 1/256 sampling interval."""
PAIRS = 96
"""Providers whose pairs are followed; 96 x 96 float32 are 36 KB."""

S2_START = 0.36
"""Error variance of an unknown source: 0.6 of the tolerance."""
S2_FLOOR = 0.0025
S2_CEIL = 1e6

MOST_SOURCES = 128
"""Sources of one window that are looked at, and half as many as a key remembers."""
INFLATION_PRIOR = 20.0

# One window among many (rows.py): ROWS, float64 (windows, ROW_WIDTH). SPEC is a row of SPECS. ENTRY is the address of what is
# remembered of the key, 0 for nothing: HEAD, then PATH x 2, then CAPACITY slots, all float64, then CAPACITY x RING x 2 int16.
N, AS_OF, SPEC, ENTRY, CAPACITY, ROW_WIDTH = range(6)
# What a window's metric is: SPECS, float64 (specifications, SPEC_WIDTH).
TOL, REL, LOWEST, HIGHEST, MINIMUM, FRESHNESS, START_VOL, SPEC_WIDTH = range(8)
# What comes out: OUTS, float64 (windows, OUT_WIDTH), in the metric's unit; the belief in tolerances, for the named rules.
(
    O_VALUE,
    O_CONF,
    O_LOW,
    O_HIGH,
    O_SPREAD,
    O_USED,
    O_VOICES,
    O_CONSISTENCY,
    O_TIMELINESS,
    O_SURE,
    O_MEAN,
    O_VAR,
    O_RIVAL,
    O_RIVAL_MEAN,
    O_RIVAL_VAR,
    OUT_WIDTH,
) = range(16)
# A source that a key does not know: ROW, PID, GID.
STRANGER = 3
SCRATCH = RESULT + HEAD + MOST_SOURCES * (SLOT + 4 + WORKS)
"""Doubles that a call needs for itself."""
# What stays from call to call: CONTEXT, int64, addresses and lengths of the tables.
C_SOURCES, C_SOURCES_N, C_PAIRS, C_STRANGERS, C_STRANGERS_N, C_SPECS, C_SPECS_N, C_SCRATCH, CONTEXT = range(9)
