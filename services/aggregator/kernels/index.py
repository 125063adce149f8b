"""Entities by key: a table of addresses, found by a hash of the key's bytes, which stand at the end of each entity."""

from __future__ import annotations

from services.aggregator.compiled.memory import copy, integers, octets
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.blocks import alloc

HALF = 0x7FFFFFFF
"""The hash stays below 2^31, so that no product leaves an int64, compiled or not."""
FACTOR = 0x5BD1E995
NEVER = -(10**9)
"""A wall clock at which nothing was sent yet."""
ASSET = int.from_bytes(b"asset:", "little")
PAIR, PERP, FUTURE, OPTION = (int.from_bytes(kind, "little") for kind in (b"pair:", b"perp:", b"future:", b"option:"))
"""Kinds of entities whose money stays in their own quote (engine/rules.py OWN_QUOTE), as words."""
SLASH, COLON = 47, 58


def key_hash(key: int, n: int) -> int:
    """A number below 2^31 for these bytes."""
    words = integers(key, n >> 3)
    found = n
    for k in range(n >> 3):
        word = words[k]
        found = ((found ^ ((word ^ (word >> 62)) & HALF)) * FACTOR) ^ ((word >> 31) & HALF)
        found = (found ^ (found >> 27)) & HALF
    tail = octets(key, n)
    for k in range(n & ~7, n):
        found = (found ^ int(tail[k])) * FACTOR
        found = (found ^ (found >> 27)) & HALF
    found = found * FACTOR
    return (found ^ (found >> 29)) & HALF


def same_bytes(a: int, b: int, n: int) -> bool:
    """Whether two stretches of n bytes are equal."""
    left = integers(a, n >> 3)
    right = integers(b, n >> 3)
    for k in range(n >> 3):
        if left[k] != right[k]:
            return False
    first = octets(a, n)
    second = octets(b, n)
    for k in range(n & ~7, n):
        if first[k] != second[k]:
            return False
    return True


def find_entity(desk: int, key: int, n: int) -> int:
    """The entity of this key; 0 for none."""
    x = integers(desk, at.DESK)
    mask = x[at.X_INDEX_MASK]
    lines = integers(x[at.X_INDEX], mask + 1)
    line = key_hash(key, n) & mask
    while lines[line] != 0:
        entity = lines[line]
        if entity != at.GONE:
            e = integers(entity, at.ENTITY)
            if e[at.E_KEY] == n and same_bytes(entity + at.WORD * at.ENTITY, key, n):
                return int(entity)
        line = (line + 1) & mask
    return 0


def put_entity(desk: int, entity: int) -> None:
    """Enter an entity that is in no line; there must be a free one."""
    x = integers(desk, at.DESK)
    e = integers(entity, at.ENTITY)
    mask = x[at.X_INDEX_MASK]
    lines = integers(x[at.X_INDEX], mask + 1)
    line = key_hash(entity + at.WORD * at.ENTITY, e[at.E_KEY]) & mask
    while lines[line] != 0:
        line = (line + 1) & mask
    lines[line] = entity
    x[at.X_INDEX_USED] += 1
    x[at.X_INDEX_LIVE] += 1


def take_entity(desk: int, entity: int) -> int:
    """Take an entity, which must be in it, out of the index."""
    x = integers(desk, at.DESK)
    e = integers(entity, at.ENTITY)
    mask = x[at.X_INDEX_MASK]
    lines = integers(x[at.X_INDEX], mask + 1)
    line = key_hash(entity + at.WORD * at.ENTITY, e[at.E_KEY]) & mask
    while lines[line] != entity:
        line = (line + 1) & mask
    lines[line] = at.GONE
    x[at.X_INDEX_LIVE] -= 1
    return 0


def blank_entity(entity: int) -> None:
    """Make the words of an entity those of one of which nobody spoke; its key, rank and quote stay."""
    e = integers(entity, at.ENTITY)
    rank = e[at.E_RANK]
    quote = e[at.E_QUOTE]
    key = e[at.E_KEY]
    for k in range(at.ENTITY):
        e[k] = 0
    e[at.E_VERSION] = -1
    e[at.E_SENT_AT] = NEVER
    e[at.E_BAR_AT] = NEVER
    e[at.E_RANK] = rank
    e[at.E_QUOTE] = quote
    e[at.E_KEY] = key


def starts_with(key: int, n: int, begin: int, length: int) -> bool:
    """Whether the key begins with these characters, the first in the lowest byte."""
    if n < length:
        return False
    text = octets(key, length)
    for k in range(length):
        if int(text[k]) != (begin >> (8 * k)) & 255:
            return False
    return True


def quote_named(desk: int, name: int, n: int) -> int:
    """The number of the quote asset of this name; -1 when there is none."""
    if n == 0:
        return at.NO_QUOTE
    x = integers(desk, at.DESK)
    quotes = integers(x[at.X_QUOTES], x[at.X_QUOTES_N] * at.QUOTE)
    for number in range(x[at.X_QUOTES_N]):
        line = number * at.QUOTE
        if quotes[line + at.Q_KEY_N] == n and same_bytes(quotes[line + at.Q_KEY], name, n):
            return number
    return -1


def new_entity(desk: int, key: int, n: int) -> int:
    """An entity of this key, entered, of which nobody spoke yet; 0 when its own quote asset has no number yet."""
    x = integers(desk, at.DESK)
    own = -1
    rank = -1
    begin = 0
    if starts_with(key, n, PAIR, 5) or starts_with(key, n, PERP, 5):
        begin = 5
    elif starts_with(key, n, FUTURE, 7) or starts_with(key, n, OPTION, 7):
        begin = 7
    if begin > 0:
        # The quote stands behind the last slash; what follows a colon there is not part of it.
        text = octets(key, n)
        for k in range(begin, n):
            if text[k] == SLASH:
                begin = k + 1
        end = begin
        while end < n and text[end] != COLON:
            end += 1
        own = quote_named(desk, key + begin, end - begin)
        if own < 0:
            return 0
    elif starts_with(key, n, ASSET, 6):
        number = quote_named(desk, key + 6, n - 6)
        if number >= 0:
            quotes = integers(x[at.X_QUOTES], x[at.X_QUOTES_N] * at.QUOTE)
            rank = quotes[number * at.QUOTE + at.Q_RANK]
    entity = alloc(desk, at.ENTITY + ((n + 7) >> 3))
    e = integers(entity, at.ENTITY)
    e[at.E_RANK] = rank
    e[at.E_QUOTE] = own
    e[at.E_KEY] = n
    blank_entity(entity)
    copy(entity + at.WORD * at.ENTITY, key, n)
    put_entity(desk, entity)
    return entity


def grow_index(desk: int, lines_at: int, mask: int) -> int:
    """Move all entities into a larger table, which is empty and has `mask` + 1 lines."""
    x = integers(desk, at.DESK)
    before = integers(x[at.X_INDEX], x[at.X_INDEX_MASK] + 1)
    count = x[at.X_INDEX_MASK] + 1
    x[at.X_INDEX] = lines_at
    x[at.X_INDEX_MASK] = mask
    x[at.X_INDEX_USED] = 0
    x[at.X_INDEX_LIVE] = 0
    for k in range(count):
        if before[k] > at.GONE:
            put_entity(desk, before[k])
    return int(x[at.X_INDEX_LIVE])
