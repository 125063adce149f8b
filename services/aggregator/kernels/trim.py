"""Statements that need not be kept: too old to be shown, or said again, with more, by the same endpoint."""

from __future__ import annotations

from services.aggregator.compiled.memory import integers
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.blocks import drop_statement


def covers(desk: int, more: int, less: int) -> bool:
    """Whether a source says every metric that the other says."""
    x = integers(desk, at.DESK)
    a = integers(x[at.X_SOURCES] + more * at.SOURCE * at.WORD, at.SOURCE)
    b = integers(x[at.X_SOURCES] + less * at.SOURCE * at.WORD, at.SOURCE)
    first = integers(x[at.X_PLACES] + a[at.N_VALUES] * at.PLACE * at.WORD, a[at.N_COUNT] * at.PLACE)
    second = integers(x[at.X_PLACES] + b[at.N_VALUES] * at.PLACE * at.WORD, b[at.N_COUNT] * at.PLACE)
    for i in range(b[at.N_COUNT]):
        found = False
        for j in range(a[at.N_COUNT]):
            if first[j * at.PLACE + at.P_METRIC] == second[i * at.PLACE + at.P_METRIC]:
                found = True
                break
        if not found:
            return False
    return True


def trim(desk: int, entity: int) -> int:
    """Drop what is older than it may be kept, and that of which a newer statement of the same stem says all; how many."""
    x = integers(desk, at.DESK)
    e = integers(entity, at.ENTITY)
    count = e[at.E_COUNT]
    if 3 * count > at.SCRATCH:
        return trim_old(desk, entity)
    lines = integers(e[at.E_INDEX], count * at.DIRECTORY)
    sources = x[at.X_SOURCES]
    marks = integers(x[at.X_SCRATCH], 3 * count)
    dropped = 0
    for i in range(count):
        number = lines[i * at.DIRECTORY + at.D_SOURCE]
        source = integers(sources + number * at.SOURCE * at.WORD, at.SOURCE)
        marks[i] = 0
        marks[count + i] = source[at.N_STEM]
        marks[2 * count + i] = integers(e[at.E_SAID] + lines[i * at.DIRECTORY + at.D_AT] * at.WORD, at.STATEMENT)[
            at.S_TS
        ]
        if e[at.E_AS_OF] - marks[2 * count + i] > source[at.N_KEEP]:
            marks[i] = 1
            dropped += 1
    for i in range(count):
        newest = i
        for j in range(count):
            later = marks[2 * count + j] - marks[2 * count + newest]
            if marks[count + j] == marks[count + i] and (
                later > 0 or (later == 0 and lines[j * at.DIRECTORY] > lines[newest * at.DIRECTORY])
            ):
                newest = j
        if newest != i and marks[i] == 0 and covers(desk, lines[newest * at.DIRECTORY], lines[i * at.DIRECTORY]):
            marks[i] = 1
            dropped += 1
    if dropped == 0:
        return 0
    for i in range(count - 1, -1, -1):
        if marks[i] != 0:
            leave_agreed(desk, entity, i)
            drop_statement(desk, entity, e[at.E_INDEX] + i * at.DIRECTORY * at.WORD)
    return dropped


def trim_old(desk: int, entity: int) -> int:
    """Drop what is older than it may be kept, where there is too much to compare all with all; how many."""
    x = integers(desk, at.DESK)
    e = integers(entity, at.ENTITY)
    dropped = 0
    for i in range(e[at.E_COUNT] - 1, -1, -1):
        line = integers(e[at.E_INDEX] + i * at.DIRECTORY * at.WORD, at.DIRECTORY)
        keep = integers(x[at.X_SOURCES] + line[at.D_SOURCE] * at.SOURCE * at.WORD, at.SOURCE)[at.N_KEEP]
        if e[at.E_AS_OF] - integers(e[at.E_SAID] + line[at.D_AT] * at.WORD, at.STATEMENT)[at.S_TS] > keep:
            leave_agreed(desk, entity, i)
            drop_statement(desk, entity, e[at.E_INDEX] + i * at.DIRECTORY * at.WORD)
            dropped += 1
    return dropped


def leave_agreed(desk: int, entity: int, gone: int) -> None:
    """Since when a provider agrees stays with another line of it, when this one goes."""
    x = integers(desk, at.DESK)
    e = integers(entity, at.ENTITY)
    lines = integers(e[at.E_INDEX], e[at.E_COUNT] * at.DIRECTORY)
    since = lines[gone * at.DIRECTORY + at.D_AGREED]
    if since == 0:
        return
    sources = x[at.X_SOURCES]
    number = lines[gone * at.DIRECTORY + at.D_SOURCE]
    provider = integers(sources + number * at.SOURCE * at.WORD, at.SOURCE)[at.N_PROVIDER]
    for i in range(e[at.E_COUNT]):
        other = integers(sources + lines[i * at.DIRECTORY + at.D_SOURCE] * at.SOURCE * at.WORD, at.SOURCE)
        if i != gone and other[at.N_PROVIDER] == provider:
            held = lines[i * at.DIRECTORY + at.D_AGREED]
            if held == 0 or since < held:
                lines[i * at.DIRECTORY + at.D_AGREED] = since
            return
