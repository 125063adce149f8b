"""Raw events without a parser: those of one kind are the same text but for a few holes, so a template says what they say.

`scan` walks the JSON once, strictly, finds the holes (numbers, `id`, `entity`, and whatever stands in `metrics`) and looks up
the template by the text between them; `read` then takes from the holes what the template says stands there. Mostly the template
can be guessed, and the text is only compared with it. What is not compact JSON of the expected form, as msgspec writes it, is
strange: Python reads it. Nothing is accepted here that msgspec would read otherwise, because a template is made only of an event
that msgspec has read (engine/templates.py), and between two events of a template only holes differ.
"""

from __future__ import annotations

import zlib

import numpy as np

from services.aggregator.compiled.memory import floats, integers, octets
from services.aggregator.compiled.text import digits_at, mixed, word_at
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.digits import read_float, read_int
from services.aggregator.kernels.ends import (
    COMMA,
    FALSE,
    MASK_4,
    MASK_5,
    MINUS,
    NINE,
    OPEN_LIST,
    QUOTE,
    SMALL_F,
    SMALL_T,
    STRANGE,
    TRUE,
    ZERO,
    is_ascii,
    number_end,
    string_end,
    value_end,
)

OPEN, CLOSE, COLON = b"{}:"

# Keys and words, as the 8 bytes that hold them; a shorter one is compared under the mask of its length.
ID, ENTITY, WEIGHT, METRICS = (int.from_bytes(key, "little") for key in (b"id", b"entity", b"weight", b"metrics"))
NULL = int.from_bytes(b"null", "little")
MASK_2, MASK_6, MASK_7 = ((1 << 8 * n) - 1 for n in (2, 6, 7))
SEED, FACTOR, OTHER = 0x1E3779B97F4A7C15, 0x3F58476D1CE4E5B9, 0x14D049BB133111EB
INTEGER_DIGITS = 15
"""Times with more digits are read by Python."""
ALL = 0xFFFFFFFF
FIRST = int.from_bytes(b'{"id":"', "little")
WINDOW, WINDOW_END = 30, 70
"""Bytes from the end of the id between which provider and endpoint stand; if not quite, guesses are worse, not wrong."""


CRC = np.array(
    [zlib.crc32(bytes([byte, *[0] * zeros]), ALL) ^ ALL for zeros in range(8) for byte in range(256)], dtype=np.uint32
)
"""CRC-32 of each byte with 0 to 7 zeros behind it: with these, 8 bytes are taken in one step."""


def hash_run(before: int, begin: int, end: int) -> int:
    """The hash of a text that goes on with these bytes."""
    found = before ^ (end - begin)
    place = begin
    while place + 16 <= end:
        found = mixed(found ^ word_at(place), word_at(place + 8) ^ FACTOR)
        place += 16
    rest = end - place
    if rest >= 8:
        last = word_at(place + 8) & ((1 << (8 * (rest - 8))) - 1)
        return mixed(found ^ word_at(place), last ^ OTHER)
    return mixed(found ^ (word_at(place) & ((1 << (8 * rest)) - 1)), OTHER)


def same_text(a: int, b: int, n: int) -> bool:
    """Whether two stretches of n bytes are equal."""
    k = 0
    while k + 8 <= n:
        if word_at(a + k) != word_at(b + k):
            return False
        k += 8
    return (word_at(a + k) ^ word_at(b + k)) & ((1 << (8 * (n - k))) - 1) == 0


def walk(begin: int, stop: int, text_at: int, holes_at: int) -> int:
    """Find the holes, their count and the hash of the text between them: 0, or -1 for what is strange."""
    holes = integers(holes_at, at.HOLES_WORDS)
    holes[at.Z_COUNT] = 0
    holes[at.Z_HASH] = 0
    holes[at.Z_FIRST] = 0
    holes[at.Z_LAST] = 0
    if word_at(begin) & 255 != OPEN:
        return STRANGE
    count = 0
    found = SEED
    run = begin
    inside = False
    place = begin + 1
    while True:
        # A key.
        if word_at(place) & 255 != QUOTE:
            return STRANGE
        key = place + 1
        end = string_end(key, stop)
        if end < 0:
            return STRANGE
        size = end - key
        word = word_at(end)
        if (word >> 8) & 255 != COLON:
            return STRANGE
        letter = (word >> 16) & 255
        place = end + 2
        # Its value.
        if inside or letter == MINUS or (letter >= ZERO and letter <= NINE):
            end = value_end(place, stop)
            if end < 0:
                return STRANGE
            if inside or size != 6 or word_at(key) & MASK_6 != WEIGHT:
                if count == at.MOST_HOLES:
                    return STRANGE
                found = hash_run(found, run, place)
                holes[at.HOLES + 2 * count] = place - text_at
                holes[at.HOLES + 2 * count + 1] = end - text_at
                count += 1
                run = end
            place = end
        elif letter == QUOTE:
            first = place + 1
            end = string_end(first, stop)
            if end < 0:
                return STRANGE
            name = word_at(key)
            if (size == 2 and name & MASK_2 == ID) or (size == 6 and name & MASK_6 == ENTITY):
                if count == at.MOST_HOLES or not is_ascii(first, end):
                    return STRANGE
                found = hash_run(found, run, first)
                holes[at.HOLES + 2 * count] = first - text_at
                holes[at.HOLES + 2 * count + 1] = end - text_at
                count += 1
                run = end
            place = end + 1
        elif letter == OPEN:
            if size != 7 or word_at(key) & MASK_7 != METRICS:
                return STRANGE
            inside = True
            holes[at.Z_FIRST] = count
            place += 1
            if word_at(place) & 255 != CLOSE:
                continue
        else:
            word = word_at(place)
            if word & MASK_4 == TRUE or word & MASK_4 == NULL:
                place += 4
            elif word & MASK_5 == FALSE:
                place += 5
            else:
                return STRANGE
        # What stands between it and the next key.
        letter = word_at(place) & 255
        if inside and letter == CLOSE:
            inside = False
            holes[at.Z_LAST] = count
            place += 1
            letter = word_at(place) & 255
        place += 1
        if letter != COMMA:
            break
    if letter != CLOSE or place != stop:
        return STRANGE
    found = hash_run(found, run, stop)
    holes[at.Z_COUNT] = count
    holes[at.Z_HASH] = found if found != 0 else 1
    return 0


def fits(template: int, begin: int, stop: int, text_at: int, holes_at: int) -> bool:
    """Whether the text between the holes is the template's."""
    line = integers(template, at.TEMPLATE)
    holes = integers(holes_at, at.HOLES_WORDS)
    count = holes[at.Z_COUNT]
    if line[at.H_HOLES] != count:
        return False
    known = line[at.H_TEXT]
    left = line[at.H_TEXT_N]
    run = begin
    for k in range(count + 1):
        end = text_at + holes[at.HOLES + 2 * k] if k < count else stop
        n = end - run
        if n > left or not same_text(run, known, n):
            return False
        known += n
        left -= n
        if k < count:
            run = text_at + holes[at.HOLES + 2 * k + 1]
    return bool(left == 0)


def serves(template: int, begin: int, stop: int, text_at: int, holes_at: int) -> bool:
    """Whether the event is one of the template; its holes are found then. What `walk` would find, without looking for it."""
    line = integers(template, at.TEMPLATE)
    holes = integers(holes_at, at.HOLES_WORDS)
    count = line[at.H_HOLES]
    runs = integers(line[at.H_RUNS], count + 1)
    known = line[at.H_TEXT]
    place = begin
    for k in range(count + 1):
        n = runs[k] >> 2
        if place + n > stop or not same_text(place, known, n):
            return False
        place += n
        known += n
        if k < count:
            hole = runs[k] & 3
            if hole == at.HOLE_STRING:
                end = string_end(place, stop)
            elif hole == at.HOLE_NUMBER:
                end = number_end(place, stop)
            else:
                end = value_end(place, stop)
            if end < 0 or (hole == at.HOLE_STRING and not is_ascii(place, end)):
                return False
            holes[at.HOLES + 2 * k] = place - text_at
            holes[at.HOLES + 2 * k + 1] = end - text_at
            place = end
    holes[at.Z_COUNT] = count
    return bool(place == stop)


def guess(desk: int, begin: int, stop: int) -> int:
    """Address of two templates that an event with this provider and endpoint may have."""
    guesses = integers(desk, at.DESK)[at.X_GUESSES]
    others = guesses + 2 * at.WORD * at.GUESSES
    if word_at(begin) & MASK_7 != FIRST:
        return int(others)
    place = string_end(begin + 7, stop)
    if place < 0 or place + WINDOW_END > stop:
        return int(others)
    place += WINDOW
    found = mixed(word_at(place) ^ SEED, word_at(place + 8) ^ FACTOR)
    found = mixed(found ^ word_at(place + 16), word_at(place + 24) ^ OTHER)
    found = mixed(found ^ word_at(place + 32), FACTOR)
    return int(guesses + 2 * at.WORD * (found & (at.GUESSES - 1)))


def find(desk: int, begin: int, stop: int, text_at: int, holes_at: int) -> int:
    """The template of an event whose holes are known, by the hash of its text; 0 for none."""
    x = integers(desk, at.DESK)
    mask = x[at.X_TEMPLATES_MASK]
    lines = x[at.X_TEMPLATES]
    found = integers(holes_at, at.HOLES)[at.Z_HASH]
    place = found & mask
    while True:
        template = lines + at.WORD * at.TEMPLATE * place
        known = integers(template, at.TEMPLATE)[at.H_HASH]
        if known == 0:
            return 0
        if known == found and fits(template, begin, stop, text_at, holes_at):
            return int(template)
        place = (place + 1) & mask


def scan(desk: int, text_at: int, begin: int, end: int, holes_at: int) -> int:
    """Address of the template of the event text[begin:end]; 0 when there is none yet; -1 when Python must read the event.

    SLACK bytes behind the end can be read. The holes are at `holes_at` (layout HOLES) unless the answer is -1, their hash when it
    is 0.
    """
    start = text_at + begin
    stop = text_at + end
    likely = integers(guess(desk, start, stop), 2)
    template = likely[0]
    if template != 0 and serves(template, start, stop, text_at, holes_at):
        return int(template)
    template = likely[1]
    if template != 0 and serves(template, start, stop, text_at, holes_at):
        likely[1] = likely[0]
        likely[0] = template
        return int(template)
    if walk(start, stop, text_at, holes_at) < 0:
        return STRANGE
    template = find(desk, start, stop, text_at, holes_at)
    if template != 0:
        likely[1] = likely[0]
        likely[0] = template
    return int(template)


def crc_of(begin: int, end: int) -> int:
    """CRC-32 of these bytes, as zlib computes it."""
    crc = ALL
    place = begin
    while place + 8 <= end:
        word = word_at(place) ^ crc
        crc = int(
            np.int64(CRC[1792 + (word & 255)])
            ^ np.int64(CRC[1536 + ((word >> 8) & 255)])
            ^ np.int64(CRC[1280 + ((word >> 16) & 255)])
            ^ np.int64(CRC[1024 + ((word >> 24) & 255)])
            ^ np.int64(CRC[768 + ((word >> 32) & 255)])
            ^ np.int64(CRC[512 + ((word >> 40) & 255)])
            ^ np.int64(CRC[256 + ((word >> 48) & 255)])
            ^ np.int64(CRC[(word >> 56) & 255])
        )
        place += 8
    rest = word_at(place)
    while place < end:
        crc = int(CRC[(crc ^ rest) & 255]) ^ (crc >> 8)
        rest >>= 8
        place += 1
    return int(crc ^ ALL)


def whole(begin: int, end: int) -> bool:
    """Whether this number is an integer of few digits."""
    first = begin
    if word_at(begin) & 255 == MINUS:
        first += 1
    return end - first <= INTEGER_DIGITS and digits_at(first) >= end - first


def said_as(kind: int, begin: int, end: int) -> bool:
    """Whether these bytes are a text of this kind that can be kept as it stands."""
    letter = word_at(begin) & 255
    if kind == at.KIND_FLAG:
        right = letter in (SMALL_T, SMALL_F)
    elif kind == at.KIND_SET:
        right = letter == OPEN_LIST
    else:
        right = letter == QUOTE
    return right and end - begin <= at.LONGEST_TEXT and is_ascii(begin, end)


def read(desk: int, template: int, text_at: int, holes_at: int, said_at: int) -> int:
    """What stands in the holes that scan found, as words at `said_at` (layout SAID): 0, or 1 when Python must read the event."""
    line = integers(template, at.TEMPLATE)
    count = line[at.H_HOLES]
    roles = integers(line[at.H_ROLES], count)
    holes = integers(holes_at, at.HOLES_WORDS)
    said = integers(said_at, at.SAID_WORDS)
    values = floats(said_at, at.SAID_WORDS)
    said[at.Y_TIMED] = 0
    for k in range(count):
        role = roles[k]
        begin = holes[at.HOLES + 2 * k]
        end = holes[at.HOLES + 2 * k + 1]
        if role >= at.ROLE_VALUE + at.MOST_HOLES:
            kind = (role - at.ROLE_VALUE) // at.MOST_HOLES
            if not said_as(kind, text_at + begin, text_at + end):
                return 1
            place = at.SAID + (role - at.ROLE_VALUE) % at.MOST_HOLES
            said[place] = text_at + begin
            said[place + at.MOST_HOLES] = end - begin
        elif role >= at.ROLE_VALUE:
            letter = word_at(text_at + begin) & 255
            if letter != MINUS and (letter < ZERO or letter > NINE):
                return 1
            value = read_float(octets(text_at, end), begin, end)
            if not abs(value) < np.inf:
                return 1
            if end - begin == 2 and value == 0.0:
                # An integer 0 has no sign: this is "-0".
                value = 0.0
            values[at.SAID + role - at.ROLE_VALUE] = value
        elif role == at.ROLE_RECEIVED or role == at.ROLE_EVENT:
            if not whole(text_at + begin, text_at + end):
                return 1
            time = read_int(octets(text_at, end), begin, end)
            if role == at.ROLE_RECEIVED:
                said[at.Y_RECEIVED] = time
            else:
                said[at.Y_EVENT] = time
                said[at.Y_TIMED] = 1
        elif role == at.ROLE_ID:
            said[at.Y_TIE] = crc_of(text_at + begin, text_at + end)
        elif role == at.ROLE_ENTITY:
            said[at.Y_ENTITY] = begin
            said[at.Y_ENTITY_END] = end
    return 0
