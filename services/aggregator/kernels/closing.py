"""Which bars are to be sent: of entities that are being sent, of those whose longer bars end, and after a restart."""

from __future__ import annotations

from services.aggregator.compiled.memory import floats, integers
from services.aggregator.kernels.bars import WIDTHS, bar_add, held_roll
from services.aggregator.kernels.layout import (
    B_DUE,
    B_NEXT,
    B_START,
    BAR,
    DESK,
    E_AS_OF,
    E_BAR_AT,
    E_BARS,
    ENTITY,
    X_CLOSED,
    X_EXPIRE,
    X_LOG,
    X_SKEW,
)

# A trade or a quote from Python: PUT words, the arguments of bar_add after the desk.
I_ENTITY, I_SOURCE, I_TS, I_PRICE, I_SIZE, I_TRADED, I_QUOTE, I_VERSION, PUT = range(9)
EXPIRED = -1
"""What sweep_rows finds of an entity of which nobody spoke for long."""


def put_row(desk: int, row_at: int) -> int:
    """bar_add with arguments that lie in PUT words; price and size are (f)."""
    i, f = integers(row_at, PUT), floats(row_at, PUT)
    return bar_add(
        desk, i[I_ENTITY], i[I_SOURCE], i[I_TS], f[I_PRICE], f[I_SIZE], i[I_TRADED], i[I_QUOTE], i[I_VERSION]
    )  # fmt: skip


def show_rows(desk: int, count: int, entities_at: int, now: int, every: int, found_at: int) -> int:
    """Of entities that are being sent: (entity, start) of each open minute that changed and was not shown for a while; how many."""
    closed = integers(desk, DESK)[X_CLOSED]
    entities = integers(entities_at, count)
    found = integers(found_at, 2 * count)
    n = 0
    for k in range(count):
        e = integers(entities[k], ENTITY)
        bar = e[E_BARS]
        if bar == 0 or now - e[E_BAR_AT] < every:
            continue
        b = integers(bar, BAR)
        while b[B_NEXT] != 0:
            b = integers(b[B_NEXT], BAR)
        if b[B_DUE] != 0 and b[B_START] >= closed:
            e[E_BAR_AT] = now
            found[n] = entities[k]
            found[n + 1] = b[B_START]
            n += 2
    return n // 2


def sweep_rows(desk: int, count: int, entities_at: int, swept: int, bars: int, found_at: int) -> int:
    """(row, intervals) of each entity with longer bars that end at `swept`, one bit for each number in WIDTHS, or EXPIRED; how many.

    `bars` 0 where there are none, and only those are looked for of which nobody spoke for long.
    """
    x = integers(desk, DESK)
    entities = integers(entities_at, count)
    found = integers(found_at, 2 * count)
    expired = x[X_LOG] - x[X_EXPIRE]
    oldest = swept
    for k in range(1, len(WIDTHS)):
        if swept % WIDTHS[k] == 0:
            oldest = swept - WIDTHS[k] - x[X_SKEW]
    n = 0
    for row in range(count):
        as_of = integers(entities[row], ENTITY)[E_AS_OF]
        ending = 0
        if as_of < expired:
            ending = EXPIRED
        elif bars and as_of >= oldest:
            for k in range(1, len(WIDTHS)):
                if swept % WIDTHS[k] == 0 and has_roll(entities[row], k, swept - WIDTHS[k]):
                    ending |= 1 << k
        if ending != 0:
            found[n] = row
            found[n + 1] = ending
            n += 2
    return n // 2


def has_roll(entity: int, interval: int, start: int) -> bool:
    """Whether there is anything in a longer bar."""
    if held_roll(entity, interval, start) != 0:
        return True
    bar = integers(entity, ENTITY)[E_BARS]
    while bar != 0:
        b = integers(bar, BAR)
        if b[B_START] >= start:
            return bool(b[B_START] < start + WIDTHS[interval])
        bar = b[B_NEXT]
    return False


def open_rows(desk: int, count: int, entities_at: int, found_at: int, room: int) -> int:
    """After a restart: (entity, start) of open minutes, as many as have room; how many entities were looked at stands in the first.

    Closed minutes were all sent before the mark was written, so they are no longer due.
    """
    closed = integers(desk, DESK)[X_CLOSED]
    entities = integers(entities_at, count)
    found = integers(found_at, 1 + 2 * room)
    n = 0
    row = 0
    while row < count:
        before = n
        bar = integers(entities[row], ENTITY)[E_BARS]
        full = False
        while bar != 0:
            b = integers(bar, BAR)
            if b[B_START] < closed:
                b[B_DUE] = 0
            elif n == room:
                full = True
                break
            else:
                found[1 + 2 * n] = entities[row]
                found[2 + 2 * n] = b[B_START]
                n += 1
            bar = b[B_NEXT]
        if full:
            n = before
            break
        row += 1
    found[0] = row
    return n
