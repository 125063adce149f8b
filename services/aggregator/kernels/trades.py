"""Trades told twice: a ring of recent ids for each source of an entity."""

from __future__ import annotations

from services.aggregator.compiled.memory import integers
from services.aggregator.kernels.blocks import RING_WORDS, alloc
from services.aggregator.kernels.layout import E_TOLD, ENTITY, RING, T_COUNT, T_NEXT, T_PLACE, T_SOURCE, TRADES, WORD

_HALF, _SIGN, _WHOLE = 0xFFFFFFFF, 1 << 31, 1 << 32


def heard(entity: int, source: int, crc: int) -> bool:
    """Whether the source told a trade of this id among its last TRADES different ones; nothing is remembered."""
    ring = integers(entity, ENTITY)[E_TOLD]
    while ring != 0 and integers(ring, RING)[T_SOURCE] != source:
        ring = integers(ring, RING)[T_NEXT]
    if ring == 0:
        return False
    ids = integers(ring + RING * WORD, TRADES // 2)
    count = integers(ring, RING)[T_COUNT]
    for k in range(count >> 1):
        two = ids[k]
        if two & _HALF == crc or (two >> 32) & _HALF == crc:
            return True
    return bool(count & 1 and ids[count >> 1] & _HALF == crc)


def told(desk: int, entity: int, source: int, crc: int) -> int:
    """1 when the source told a trade of this id among its last TRADES different ones; else the id is remembered, and 0."""
    if heard(entity, source, crc):
        return 1
    e = integers(entity, ENTITY)
    before, ring = 0, e[E_TOLD]
    while ring != 0:
        t = integers(ring, RING)
        if t[T_SOURCE] == source:
            break
        before, ring = ring, t[T_NEXT]
    if ring == 0:
        ring = alloc(desk, RING_WORDS)
        t = integers(ring, RING)
        t[T_NEXT] = 0
        t[T_SOURCE] = source
        t[T_COUNT] = 0
        t[T_PLACE] = 0
        if before != 0:
            integers(before, RING)[T_NEXT] = ring
        else:
            e[E_TOLD] = ring
    remember(ring, crc)
    return 0


def remember(ring: int, crc: int) -> None:
    """Put an id that is not among them into a ring; the oldest gives way."""
    t = integers(ring, RING)
    place = t[T_PLACE]
    ids = integers(ring + RING * WORD, TRADES // 2)
    if place & 1:
        # A word has a sign: the upper half takes the id as a number with one.
        ids[place >> 1] = (ids[place >> 1] & _HALF) | ((crc if crc < _SIGN else crc - _WHOLE) << 32)
    else:
        ids[place >> 1] = (ids[place >> 1] & ~_HALF) | crc
    t[T_PLACE] = place + 1 if place + 1 < TRADES else 0
    if t[T_COUNT] < TRADES:
        t[T_COUNT] += 1
