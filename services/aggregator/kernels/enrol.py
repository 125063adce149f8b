"""Room for what the fuser will remember: of a metric of an entity that teaches for the first time, and of sources new to it."""

from __future__ import annotations

from services.aggregator.compiled.memory import copy, floats, integers, octets
from services.aggregator.fusion import layout as col
from services.aggregator.kernels import layout as lay
from services.aggregator.kernels.blocks import alloc, appetite, entry_words, release, room_in
from services.aggregator.kernels.fuse import find_slot, lesson_of, row_of
from services.aggregator.kernels.gather import C_GROUP, C_PROVIDER, CLAIM, W_FIRST, W_METRIC, W_SAID, WINDOW

SLOTS_AT = col.HEAD + 2 * col.PATH
MOST_SLOTS = 2 * col.MOST_SOURCES
"""Sources that a key remembers; with more, Python decides who makes room."""


def newcomers(desk: int, window: int, entry: int, capacity: int) -> int:
    """How many sources of a window have no slot; -1 when one of them has no number in fusion's tables yet."""
    x = integers(desk, lay.DESK)
    w = integers(window, WINDOW)
    claims = integers(w[W_FIRST], w[W_SAID] * CLAIM)
    missing = 0
    slot = -1
    for k in range(w[W_SAID]):
        row = row_of(desk, w[W_METRIC], claims[k * CLAIM + C_PROVIDER])
        group = integers(x[lay.X_GROUPS] + claims[k * CLAIM + C_GROUP] * lay.GROUP * lay.WORD, lay.GROUP)
        found = -1
        if entry != 0:
            found = find_slot(entry, capacity, row, slot + 1)
        if found >= 0:
            slot = found
            continue
        if row == 0 or group[lay.G_GID] < 0:
            return -1
        missing += 1
    return missing


def blank_entry(entry: int, capacity: int, begin: int) -> None:
    """Noughts from slot `begin` on; a sample that was never taken is -1."""
    numbers = floats(entry, SLOTS_AT + capacity * col.SLOT)
    for k in range(SLOTS_AT + begin * col.SLOT, SLOTS_AT + capacity * col.SLOT):
        numbers[k] = 0.0
    ring = octets(entry + (SLOTS_AT + capacity * col.SLOT) * lay.WORD, capacity * col.RING * 4)
    for k in range(begin * col.RING * 4, capacity * col.RING * 4):
        ring[k] = 255


def new_entry(desk: int, metric: int, capacity: int) -> int:
    """What is remembered of a metric of which nothing is known yet."""
    x = integers(desk, lay.DESK)
    m = integers(x[lay.X_METRICS] + metric * lay.METRIC * lay.WORD, lay.METRIC)
    context = integers(x[lay.X_FUSION], col.CONTEXT)
    spec = floats(context[col.C_SPECS] + m[lay.M_SPEC] * col.SPEC_WIDTH * lay.WORD, col.SPEC_WIDTH)
    entry = alloc(desk, entry_words(capacity))
    numbers = floats(entry, SLOTS_AT)
    for k in range(SLOTS_AT):
        numbers[k] = 0.0
    numbers[col.VOL] = spec[col.START_VOL]
    numbers[col.INFL_A] = col.INFLATION_PRIOR
    numbers[col.INFL_B] = col.INFLATION_PRIOR
    numbers[col.METRIC] = m[lay.M_ROW]
    blank_entry(entry, capacity, 0)
    return entry


def wider_entry(desk: int, entry: int, had: int, capacity: int) -> int:
    """The same with room for more sources; the old memory is released."""
    new = alloc(desk, entry_words(capacity))
    copy(new, entry, (SLOTS_AT + had * col.SLOT) * lay.WORD)
    blank_entry(new, capacity, had)
    copy(
        new + (SLOTS_AT + capacity * col.SLOT) * lay.WORD,
        entry + (SLOTS_AT + had * col.SLOT) * lay.WORD,
        had * col.RING * 4,
    )
    release(desk, entry, entry_words(had))
    return new


def new_lesson(desk: int, entity: int, metric: int, entry: int, capacity: int) -> None:
    """Enter what is remembered of a metric in the lines of the entity."""
    e = integers(entity, lay.ENTITY)
    count = 0
    if e[lay.E_LEARNED] != 0:
        count = integers(e[lay.E_LEARNED], 1)[0]
    if e[lay.E_LEARNED] == 0 or count == e[lay.E_LEARNED_ROOM]:
        room = count + count // 2 + 1
        block = alloc(desk, 1 + room * lay.LESSON)
        if e[lay.E_LEARNED] != 0:
            copy(block, e[lay.E_LEARNED], (1 + count * lay.LESSON) * lay.WORD)
            release(desk, e[lay.E_LEARNED], 1 + e[lay.E_LEARNED_ROOM] * lay.LESSON)
        e[lay.E_LEARNED] = block
        e[lay.E_LEARNED_ROOM] = room
    lines = integers(e[lay.E_LEARNED], 1 + (count + 1) * lay.LESSON)
    lines[0] = count + 1
    line = 1 + count * lay.LESSON
    lines[line + lay.L_METRIC] = metric
    lines[line + lay.L_ENTRY] = entry
    lines[line + lay.L_CAPACITY] = capacity


def enrol(desk: int, entity: int, window: int) -> bool:
    """Give a slot to every source of a window that has none; False, and nothing is changed, where Python must."""
    x = integers(desk, lay.DESK)
    w = integers(window, WINDOW)
    metric = w[W_METRIC]
    entry = 0
    capacity = 0
    line = lesson_of(entity, metric)
    if line != 0:
        lesson = integers(line, lay.LESSON)
        entry = lesson[lay.L_ENTRY]
        capacity = lesson[lay.L_CAPACITY]
    missing = newcomers(desk, window, entry, capacity)
    if missing == 0 and line != 0:
        return True
    m = integers(x[lay.X_METRICS] + metric * lay.METRIC * lay.WORD, lay.METRIC)
    if missing < 0 or capacity + missing > MOST_SLOTS or m[lay.M_ROW] == 0:
        return False
    # What else may be said of the entity in this record must have room behind it.
    left = x[lay.X_END] - x[lay.X_NEXT] - room_in(entry_words(capacity + missing)) * lay.WORD
    if left < appetite(entity) - lay.MARGIN // 2:
        return False
    if entry == 0:
        entry = new_entry(desk, metric, missing)
        new_lesson(desk, entity, metric, entry, missing)
    else:
        entry = wider_entry(desk, entry, capacity, capacity + missing)
        lesson = integers(line, lay.LESSON)
        lesson[lay.L_ENTRY] = entry
        lesson[lay.L_CAPACITY] = capacity + missing
    numbers = floats(entry, SLOTS_AT + (capacity + missing) * col.SLOT)
    claims = integers(w[W_FIRST], w[W_SAID] * CLAIM)
    slot = capacity
    for k in range(w[W_SAID]):
        provider = claims[k * CLAIM + C_PROVIDER]
        row = row_of(desk, metric, provider)
        if find_slot(entry, slot, row, 0) >= 0:
            continue
        at = SLOTS_AT + slot * col.SLOT
        numbers[at + col.ROW] = row
        numbers[at + col.PID] = integers(x[lay.X_PROVIDERS] + provider * lay.PROVIDER * lay.WORD, lay.PROVIDER)[
            lay.A_PID
        ]
        group = claims[k * CLAIM + C_GROUP]
        numbers[at + col.GID] = integers(x[lay.X_GROUPS] + group * lay.GROUP * lay.WORD, lay.GROUP)[lay.G_GID]
        # As new as the newest, so that it does not make room for the next of the same window.
        numbers[at + col.LAST_MS] = numbers[col.AT] + 1.0
        slot += 1
    return True
