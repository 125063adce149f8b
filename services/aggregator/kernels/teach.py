"""What a closed learning window of an entity teaches the fuser, in place; what `Partition.learn` does in Python."""

from __future__ import annotations

from services.aggregator.compiled.memory import floats, integers
from services.aggregator.kernels import layout as lay
from services.aggregator.kernels.enrol import enrol
from services.aggregator.kernels.fuse import fuse, lesson_of
from services.aggregator.kernels.gather import (
    C_PROVIDER,
    CLAIM,
    W_FIRST,
    W_METRIC,
    W_SAID,
    WINDOW,
    gather,
    listed,
    peers,
)
from services.aggregator.kernels.words import classify, learn_words

LEARN_SOURCES = 3
"""From so many sources on a window teaches: two that differ cannot say which of them is wrong, and what is learned takes
kilobytes for each key and metric, which the long tail of keys with one or two sources could not hold in memory."""


def kind_of(desk: int, window: int) -> int:
    """What is said in a window, of KIND_*."""
    metrics = integers(desk, lay.DESK)[lay.X_METRICS]
    metric = integers(window, WINDOW)[W_METRIC]
    return int(integers(metrics + metric * lay.METRIC * lay.WORD, lay.METRIC)[lay.M_KIND])


def closes(desk: int, entity: int, window: int, received: int) -> bool:
    """Whether a window is one that teaches: of a width that ends by this receive time, with enough sources."""
    x = integers(desk, lay.DESK)
    w = integers(window, WINDOW)
    if w[W_SAID] < LEARN_SOURCES:
        return False
    width = integers(x[lay.X_METRICS] + w[W_METRIC] * lay.METRIC * lay.WORD, lay.METRIC)[lay.M_WINDOW]
    return bool(received // width != integers(entity, lay.ENTITY)[lay.E_AS_OF] // width)


def agree(desk: int, entity: int, window: int) -> None:
    """Remember that the prices of a window agree, from now on if not before: on every line of those who said them."""
    x = integers(desk, lay.DESK)
    e = integers(entity, lay.ENTITY)
    w = integers(window, WINDOW)
    claims = integers(w[W_FIRST], w[W_SAID] * CLAIM)
    lines = integers(e[lay.E_INDEX], e[lay.E_COUNT] * lay.DIRECTORY)
    for k in range(w[W_SAID]):
        provider = claims[k * CLAIM + C_PROVIDER]
        since = e[lay.E_AS_OF]
        for sweep in range(2):
            for i in range(e[lay.E_COUNT]):
                line = i * lay.DIRECTORY
                source = x[lay.X_SOURCES] + lines[line + lay.D_SOURCE] * lay.SOURCE * lay.WORD
                if integers(source, lay.SOURCE)[lay.N_PROVIDER] != provider:
                    continue
                if sweep == 1:
                    lines[line + lay.D_AGREED] = since
                elif lines[line + lay.D_AGREED] != 0:
                    since = min(since, lines[line + lay.D_AGREED])


def teach(desk: int, entity: int, received: int) -> int:
    """Learn from the windows that close between the newest statement and this receive time.

    1 where Python must, and nothing was learned: something needs a closer look, or a source has no number among fusion's yet.
    """
    x = integers(desk, lay.DESK)
    e = integers(entity, lay.ENTITY)
    if e[lay.E_COUNT] < LEARN_SOURCES:
        return 0
    if gather(desk, entity, floats(desk, lay.DESK)[lay.X_NEAR]) != 0:
        return 1
    windows = integers(listed(desk), x[lay.X_METRICS_N])
    count = integers(x[lay.X_SCRATCH], 1)[0]
    for k in range(count):
        kind = kind_of(desk, windows[k])
        if kind == lay.KIND_SET or not closes(desk, entity, windows[k], received):
            continue
        if kind == lay.KIND_NUMBER:
            if not enrol(desk, entity, windows[k]):
                return 1
        elif not classify(desk, windows[k]):
            return 1
    judged = peers(desk)
    if judged != 0:
        agree(desk, entity, judged)
    touched = integers(x[lay.X_TOUCHED], x[lay.X_METRICS_N])
    for k in range(count):
        kind = kind_of(desk, windows[k])
        if kind == lay.KIND_SET or not closes(desk, entity, windows[k], received):
            continue
        if kind != lay.KIND_NUMBER:
            learn_words(desk, entity, windows[k])
        else:
            metric = integers(windows[k], WINDOW)[W_METRIC]
            lesson = integers(lesson_of(entity, metric), lay.LESSON)
            if fuse(desk, entity, windows[k], lesson[lay.L_ENTRY], lesson[lay.L_CAPACITY], 1) > 0.0:
                touched[metric] = 1
    return 0
