"""Where what begins at an address of JSON text ends: strings, numbers, lists of strings; strictly, as msgspec writes them."""

from __future__ import annotations

from services.aggregator.compiled.text import LANES, digits_at, plain_at, word_at

STRANGE = -1
QUOTE, COMMA, MINUS, PLUS, POINT = b'",-+.'
ZERO, NINE, SMALL_E, SMALL_T, SMALL_F = b"09etf"
OPEN_LIST, CLOSE_LIST = b"[]"
TRUE, FALSE = (int.from_bytes(word, "little") for word in (b"true", b"false"))
MASK_4, MASK_5 = ((1 << 8 * n) - 1 for n in (4, 5))
BEYOND_ASCII = -0x7F7F7F7F7F7F7F80
"""The highest bit of each of 8 bytes."""


def string_end(begin: int, stop: int) -> int:
    """Address of the quote that ends the string whose text begins here; -1 when there is none, or something needs a parser."""
    place = begin
    n = plain_at(place)
    while n == LANES:
        place += LANES
        if place >= stop:
            return STRANGE
        n = plain_at(place)
    place += n
    if place >= stop or word_at(place) & 255 != QUOTE:
        return STRANGE
    return place


def digits_end(begin: int, stop: int) -> int:
    """Address of the first byte from here that is no digit, or one behind `stop`."""
    n = digits_at(begin)
    place = begin + n
    while n == LANES and place < stop:
        n = digits_at(place)
        place += n
    return place


def number_end(begin: int, stop: int) -> int:
    """Address behind the number that begins here; -1 when it is none in JSON's grammar."""
    place = begin
    if word_at(place) & 255 == MINUS:
        place += 1
    first = place
    place = digits_end(place, stop)
    if place == first or place >= stop or (place > first + 1 and word_at(first) & 255 == ZERO):
        return STRANGE
    word = word_at(place)
    if word & 255 == POINT:
        first = place + 1
        place = digits_end(first, stop)
        if place == first or place >= stop:
            return STRANGE
        word = word_at(place)
    if (word & 255) | 32 == SMALL_E:
        sign = (word >> 8) & 255
        first = place + 2 if sign in (PLUS, MINUS) else place + 1
        place = digits_end(first, stop)
        if place == first:
            return STRANGE
    # A number is never the last of an event.
    return place if place < stop else STRANGE


def list_end(begin: int, stop: int) -> int:
    """Address behind the list of strings that begins here; -1 when it is none."""
    place = begin + 1
    if word_at(place) & 255 == CLOSE_LIST:
        return place + 1
    while place < stop and word_at(place) & 255 == QUOTE:
        place = string_end(place + 1, stop)
        if place < 0:
            return STRANGE
        letter = (word_at(place) >> 8) & 255
        if letter == CLOSE_LIST:
            return place + 2
        if letter != COMMA:
            return STRANGE
        place += 2
    return STRANGE


def value_end(begin: int, stop: int) -> int:
    """Address behind the value that begins here; -1 when it is none that a metric can have, or something needs a parser."""
    word = word_at(begin)
    letter = word & 255
    if letter == QUOTE:
        end = string_end(begin + 1, stop)
        return end + 1 if end >= 0 else STRANGE
    if letter == OPEN_LIST:
        return list_end(begin, stop)
    if letter == SMALL_T and word & MASK_4 == TRUE:
        return begin + 4
    if letter == SMALL_F and word & MASK_5 == FALSE:
        return begin + 5
    return number_end(begin, stop)


def is_ascii(begin: int, end: int) -> bool:
    """Whether all bytes are below 128."""
    place = begin
    seen = 0
    while place + 8 <= end:
        seen |= word_at(place)
        place += 8
    seen |= word_at(place) & ((1 << (8 * (end - place))) - 1)
    return seen & BEYOND_ASCII == 0
