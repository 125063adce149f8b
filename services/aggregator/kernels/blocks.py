"""Memory of a partition: blocks of words, taken from the free ones of their size or from where nothing was yet; statements in them.

Up to EXACT words a block has exactly the size that was asked for, beyond that the next of four sizes per doubling, so that at
most a fifth is lost. Every size has its own list of free blocks, however large it is. Who releases a block says what was asked for.
"""

from __future__ import annotations

from services.aggregator.compiled.memory import copy, integers
from services.aggregator.fusion.layout import HEAD, PATH, SLOT
from services.aggregator.fusion.layout import RING as SAMPLES
from services.aggregator.kernels.layout import (
    B_NEXT,
    B_ROOM,
    BAR,
    D_AGREED,
    D_AT,
    D_SOURCE,
    DESK,
    DIRECTORY,
    E_BARS,
    E_COUNT,
    E_INDEX,
    E_LEARNED,
    E_LEARNED_ROOM,
    E_ROLLS,
    E_ROOM,
    E_SAID,
    E_SPACE,
    E_TOLD,
    E_USED,
    ENTITY,
    KIND_NUMBER,
    L_CAPACITY,
    L_ENTRY,
    LESSON,
    MARGIN,
    N_COUNT,
    N_VALUES,
    N_WORDS,
    P_KIND,
    PLACE,
    RING,
    ROLL,
    ROLLS,
    SOURCE,
    STATEMENT,
    T_BYTES,
    T_NEXT,
    TEXT,
    TRADES,
    VOICE,
    WORD,
    X_FREE,
    X_NEXT,
    X_PLACES,
    X_SOURCES,
)

EXACT = 32
"""Words up to which every size is its own."""
SIZES = EXACT + 4 * 56 + 1
"""Words at X_FREE: a list for each size that an address can have."""
RING_WORDS = RING + TRADES // 2
"""One ring of trade ids."""


def size_of(words: int) -> int:
    """Number of the size of a block in which so many words have room."""
    if words <= EXACT:
        return words
    left, doublings = words - 1, 0
    while left >= 8:
        left >>= 1
        doublings += 1
    return EXACT - 11 + 4 * doublings + left - 4


def room_in(words: int) -> int:
    """Words in the block that `alloc` gives for so many."""
    if words <= EXACT:
        return words
    left, doublings = words - 1, 0
    while left >= 8:
        left >>= 1
        doublings += 1
    return (left + 1) << doublings


def alloc(desk: int, words: int) -> int:
    """Address of a block of so many words, at least one; what stands in it is undefined. MARGIN bytes are free, so it never fails."""
    x = integers(desk, DESK)
    at = x[X_FREE] + size_of(words) * WORD
    free = integers(at, 1)
    block = int(free[0])
    if block:
        free[0] = integers(block, 1)[0]
        return block
    block = int(x[X_NEXT])
    x[X_NEXT] = block + room_in(words) * WORD
    return block


def release(desk: int, address: int, words: int) -> None:
    """Give back a block that was asked for with so many words."""
    free = integers(integers(desk, DESK)[X_FREE] + size_of(words) * WORD, 1)
    integers(address, 1)[0] = free[0]
    free[0] = address


def grown(room: int) -> int:
    """The next room of something that is full: one, two, then half as much again."""
    return room + room // 2 + 1


def statement_words(desk: int, source: int) -> int:
    """Words of a statement of this source."""
    return STATEMENT + int(integers(integers(desk, DESK)[X_SOURCES] + source * SOURCE * WORD, SOURCE)[N_COUNT])


def text_words(n: int) -> int:
    """Words of a text of n bytes."""
    return TEXT + (n + WORD - 1) // WORD


def put_value(desk: int, before: int, source: int, n: int) -> int:
    """Address of a copy of this text, in the place of another one, which is released; 0 for none before."""
    words = text_words(n)
    block = before
    if before == 0 or text_words(integers(before, TEXT)[T_BYTES]) != words:
        if before != 0:
            release(desk, before, text_words(integers(before, TEXT)[T_BYTES]))
        block = alloc(desk, words)
    text = integers(block, words)
    # Noughts behind it; of an empty text this is its length.
    text[words - 1] = 0
    text[T_BYTES] = n
    copy(block + TEXT * WORD, source, n)
    return block


def free_texts(desk: int, statement: int, source: int) -> None:
    """Release the texts of a statement of this source."""
    x = integers(desk, DESK)
    n = integers(x[X_SOURCES] + source * SOURCE * WORD, SOURCE)
    if n[N_WORDS] == 0:
        return
    places = integers(x[X_PLACES] + n[N_VALUES] * PLACE * WORD, n[N_COUNT] * PLACE)
    values = integers(statement + STATEMENT * WORD, n[N_COUNT])
    for k in range(n[N_COUNT]):
        if places[k * PLACE + P_KIND] != KIND_NUMBER and values[k] != 0:
            release(desk, values[k], text_words(integers(values[k], TEXT)[T_BYTES]))
            values[k] = 0


def find_statement(desk: int, entity: int, source: int) -> int:
    """Address of the line of this source in the entity's directory; 0 for none."""
    e = integers(entity, ENTITY)
    line = int(e[E_INDEX])
    for _ in range(e[E_COUNT]):
        if integers(line, DIRECTORY)[D_SOURCE] == source:
            return line
        line += DIRECTORY * WORD
    return 0


def said(desk: int, entity: int, line: int) -> int:
    """Address of the statement of a line of the directory."""
    return int(integers(entity, ENTITY)[E_SAID] + integers(line, DIRECTORY)[D_AT] * WORD)


def add_statement(desk: int, entity: int, source: int) -> int:
    """Make room for the first statement of this source and name it in the directory; address of the line.

    Its words are undefined, but that it has no texts yet.
    """
    e = integers(entity, ENTITY)
    count, used = e[E_COUNT], e[E_USED]
    if count == e[E_ROOM]:
        room = grown(count)
        e[E_INDEX] = moved(desk, e[E_INDEX], count * DIRECTORY, count * DIRECTORY, room * DIRECTORY)
        e[E_ROOM] = room
    need = statement_words(desk, source)
    space = e[E_SPACE]
    if used + need > space:
        # The first statement mostly stays alone; whoever hears a second one will hear more.
        new = used + need if count == 0 else used + need + used // 2
        new = room_in(new)
        e[E_SAID] = moved(desk, e[E_SAID], used, space, new)
        e[E_SPACE] = new
    line = int(e[E_INDEX] + count * DIRECTORY * WORD)
    d = integers(line, DIRECTORY)
    d[D_SOURCE], d[D_AT], d[D_AGREED] = source, used, 0
    words = integers(e[E_SAID] + used * WORD, need)
    for k in range(STATEMENT, need):
        words[k] = 0
    e[E_COUNT] = count + 1
    e[E_USED] = used + need
    return line


def moved(desk: int, block: int, used: int, words: int, room: int) -> int:
    """A block of so much room with what is used of this one, which is released."""
    new = alloc(desk, room)
    if words:
        copy(new, block, used * WORD)
        release(desk, block, words)
    return new


def appetite(entity: int) -> int:
    """Bytes that must be free before more is said of an entity: what MARGIN leaves room for, and for many statements, another home."""
    e = integers(entity, ENTITY)
    return MARGIN + 2 * WORD * int(e[E_SPACE] + DIRECTORY * e[E_ROOM])


def drop_statement(desk: int, entity: int, line: int) -> None:
    """Forget the statement of a line of the directory; the lines after it move up, and so do their statements."""
    e = integers(entity, ENTITY)
    first = integers(line, DIRECTORY)
    gone = statement_words(desk, first[D_SOURCE])
    begin, used = first[D_AT], e[E_USED]
    free_texts(desk, e[E_SAID] + begin * WORD, first[D_SOURCE])
    words = integers(e[E_SAID], used)
    for at in range(begin + gone, used):
        words[at - gone] = words[at]
    lines = (e[E_INDEX] + e[E_COUNT] * DIRECTORY * WORD - line) // WORD
    d = integers(line, lines)
    for at in range(DIRECTORY, lines):
        d[at - DIRECTORY] = d[at]
    for at in range(0, lines - DIRECTORY, DIRECTORY):
        d[at + D_AT] -= gone
    e[E_COUNT] -= 1
    e[E_USED] = used - gone


def bar_words(voices: int) -> int:
    """Words of a minute with room for so many voices."""
    return BAR + voices * VOICE


def free_bar(desk: int, bar: int) -> None:
    """Release a minute that no entity points to."""
    release(desk, bar, bar_words(integers(bar, BAR)[B_ROOM]))


def entry_words(capacity: int) -> int:
    """Words of what fusion remembers of one metric of a key with room for so many sources (fusion.layout ENTRY)."""
    return HEAD + 2 * PATH + capacity * SLOT + (capacity * SAMPLES * 2 + 3) // 4


def free_lessons(desk: int, entity: int) -> None:
    """Release what the fuser remembers of an entity."""
    e = integers(entity, ENTITY)
    at = e[E_LEARNED]
    if not at:
        return
    lesson = at + WORD
    for _ in range(integers(at, 1)[0]):
        one = integers(lesson, LESSON)
        release(desk, one[L_ENTRY], entry_words(one[L_CAPACITY]))
        lesson += LESSON * WORD
    release(desk, at, 1 + e[E_LEARNED_ROOM] * LESSON)
    e[E_LEARNED] = 0
    e[E_LEARNED_ROOM] = 0


def free_parts(desk: int, entity: int) -> int:
    """Release all blocks of an entity but its own words: as if nobody had spoken of it."""
    e = integers(entity, ENTITY)
    for k in range(e[E_COUNT]):
        d = integers(e[E_INDEX] + k * DIRECTORY * WORD, DIRECTORY)
        free_texts(desk, e[E_SAID] + d[D_AT] * WORD, d[D_SOURCE])
    if e[E_ROOM]:
        release(desk, e[E_INDEX], e[E_ROOM] * DIRECTORY)
    if e[E_SPACE]:
        release(desk, e[E_SAID], e[E_SPACE])
    bar = e[E_BARS]
    while bar:
        later = integers(bar, BAR)[B_NEXT]
        free_bar(desk, bar)
        bar = later
    if e[E_ROLLS]:
        release(desk, e[E_ROLLS], ROLLS * ROLL)
    ring = e[E_TOLD]
    while ring:
        later = integers(ring, RING)[T_NEXT]
        release(desk, ring, RING_WORDS)
        ring = later
    free_lessons(desk, entity)
    for word in (E_COUNT, E_ROOM, E_INDEX, E_USED, E_SPACE, E_SAID, E_BARS, E_ROLLS, E_TOLD):
        e[word] = 0
    return 0
