"""What is noted about many entities at once: that they are sent, and where they stand for checkpoints."""

from __future__ import annotations

from services.aggregator.compiled.memory import copy, integers
from services.aggregator.kernels import layout as at


def send_rows(count: int, entities_at: int, now: int, made_at: int) -> int:
    """Note that these are sent now; how many have a record that was made before, and, for each, whether it does."""
    entities = integers(entities_at, count)
    made = integers(made_at, count)
    early = 0
    for k in range(count):
        e = integers(entities[k], at.ENTITY)
        flags = e[at.E_FLAGS]
        made[k] = 1 if flags & at.F_PAYLOAD else 0
        early += made[k]
        e[at.E_FLAGS] = flags & ~(at.F_PAYLOAD | at.F_DIRTY)
        e[at.E_SENT_AT] = now
    return early


def mark_rows(count: int, entities_at: int, without: int, more: int) -> int:
    """Take some flags from entities and give them others."""
    entities = integers(entities_at, count)
    for k in range(count):
        e = integers(entities[k], at.ENTITY)
        e[at.E_FLAGS] = e[at.E_FLAGS] & ~without | more
    return count


def key_rows(count: int, entities_at: int, out_at: int, out_bytes: int, ends_at: int) -> int:
    """Write the keys of these one after another, and where each ends; how many had room."""
    entities = integers(entities_at, count)
    ends = integers(ends_at, count)
    end = 0
    for k in range(count):
        n = integers(entities[k], at.ENTITY)[at.E_KEY]
        if end + n > out_bytes:
            return k
        copy(out_at + end, entities[k] + at.ENTITY * at.WORD, n)
        end += n
        ends[k] = end
    return count
