"""Texts in memory, as they stand in JSON: whether two say the same, as fusion.words sees it. ASCII without escapes is plain; the
rest needs Python, unless it is the same byte for byte."""

from __future__ import annotations

from services.aggregator.compiled.memory import integers, octets
from services.aggregator.kernels import layout as lay
from services.aggregator.kernels.ends import is_ascii
from services.aggregator.kernels.index import same_bytes

UNCERTAIN = -1
QUOTE, BACKSLASH, SPACE, APOSTROPHE, DELETE, UNDERSCORE = b"\"\\ '\x7f_"
BIG_A, BIG_Z, SMALL_A, SMALL_Z, ZERO, NINE = b"AZaz09"
CASE = 32


def same_raw(one: int, other: int) -> bool:
    """Whether two texts are the same bytes."""
    n = integers(one, lay.TEXT)[lay.T_BYTES]
    if integers(other, lay.TEXT)[lay.T_BYTES] != n:
        return False
    return same_bytes(one + lay.TEXT * lay.WORD, other + lay.TEXT * lay.WORD, n)


def is_plain(text: int) -> bool:
    """Whether every byte is a character that stands for itself."""
    n = integers(text, lay.TEXT)[lay.T_BYTES]
    begin = text + lay.TEXT * lay.WORD
    if not is_ascii(begin, begin + n):
        return False
    out = octets(begin, n)
    for k in range(n):
        if out[k] == BACKSLASH:
            return False
    return True


def small_letter(letter: int) -> int:
    """A letter without case."""
    return letter + CASE if BIG_A <= letter <= BIG_Z else letter


def stripped(text: int) -> int:
    """Where a plain label begins without outer space, in bytes from its quote."""
    out = octets(text + lay.TEXT * lay.WORD, integers(text, lay.TEXT)[lay.T_BYTES])
    at = 0
    if out[0] == QUOTE:
        at = 1
        while out[at] == SPACE:
            at += 1
    return at


def stripped_end(text: int, begin: int) -> int:
    """Where it ends."""
    n = int(integers(text, lay.TEXT)[lay.T_BYTES])
    out = octets(text + lay.TEXT * lay.WORD, n)
    if out[0] == QUOTE:
        n -= 1
        while n > begin and out[n - 1] == SPACE:
            n -= 1
    return n


def same_label(one: int, other: int) -> int:
    """Whether two labels are the same but for case and outer space (fusion.words.canonical): 1 or 0, or UNCERTAIN."""
    if same_raw(one, other):
        return 1
    if not is_plain(one) or not is_plain(other):
        return UNCERTAIN
    a, b = stripped(one), stripped(other)
    n = stripped_end(one, a) - a
    if stripped_end(other, b) - b != n:
        return 0
    first = octets(one + lay.TEXT * lay.WORD, a + n)
    second = octets(other + lay.TEXT * lay.WORD, b + n)
    for k in range(n):
        if small_letter(int(first[a + k])) != small_letter(int(second[b + k])):
            return 0
    return 1


def shown_before(one: int, other: int) -> int:
    """Whether Python's text for a label or flag comes before that of another one: 1 or 0, or UNCERTAIN."""
    if not is_plain(one) or not is_plain(other):
        return UNCERTAIN
    a, b = stripped(one), stripped(other)
    m, n = stripped_end(one, a) - a, stripped_end(other, b) - b
    first = octets(one + lay.TEXT * lay.WORD, a + m)
    second = octets(other + lay.TEXT * lay.WORD, b + n)
    # An apostrophe within it would change how Python shows it, and one ends what it shows.
    for k in range(m):
        if first[a + k] == APOSTROPHE or first[a + k] == DELETE:
            return UNCERTAIN
    for k in range(n):
        if second[b + k] == APOSTROPHE or second[b + k] == DELETE:
            return UNCERTAIN
    for k in range(max(m, n)):
        left = small_letter(int(first[a + k])) if k < m else APOSTROPHE
        right = small_letter(int(second[b + k])) if k < n else APOSTROPHE
        if left != right:
            return 1 if left < right else 0
    return 0


def members(text: int) -> int:
    """How many strings a plain list has; UNCERTAIN unless they come in order, each once and without outer space."""
    if not is_plain(text):
        return UNCERTAIN
    n = int(integers(text, lay.TEXT)[lay.T_BYTES])
    out = octets(text + lay.TEXT * lay.WORD, n)
    found = 0
    last = 0
    last_end = 0
    at = 1
    while at < n and out[at] == QUOTE:
        begin = at + 1
        end = begin
        while out[end] != QUOTE:
            end += 1
        if end > begin and (out[begin] == SPACE or out[end - 1] == SPACE):
            return UNCERTAIN
        if found > 0:
            k = 0
            while k < last_end - last and k < end - begin and out[last + k] == out[begin + k]:
                k += 1
            if k == end - begin or (k < last_end - last and out[last + k] > out[begin + k]):
                return UNCERTAIN
        found += 1
        last = begin
        last_end = end
        at = end + 2
    return found


def token_begin(text: int, at: int) -> int:
    """Where the next word of a text begins, from byte `at` on; its end where there is none."""
    n = integers(text, lay.TEXT)[lay.T_BYTES]
    out = octets(text + lay.TEXT * lay.WORD, n)
    while at < n and not is_wordlike(int(out[at])):
        at += 1
    return at


def token_end(text: int, at: int) -> int:
    """Where a word ends."""
    n = integers(text, lay.TEXT)[lay.T_BYTES]
    out = octets(text + lay.TEXT * lay.WORD, n)
    while at < n and is_wordlike(int(out[at])):
        at += 1
    return at


def is_wordlike(letter: int) -> bool:
    """Whether a character belongs to a word."""
    return ZERO <= letter <= NINE or SMALL_A <= small_letter(letter) <= SMALL_Z or letter == UNDERSCORE


def has_token(text: int, stop: int, other: int, begin: int, end: int) -> bool:
    """Whether the word from `begin` to `end` of another text is among those of a text that begin before byte `stop`."""
    out = octets(text + lay.TEXT * lay.WORD, integers(text, lay.TEXT)[lay.T_BYTES])
    word = octets(other + lay.TEXT * lay.WORD, integers(other, lay.TEXT)[lay.T_BYTES])
    at = token_begin(text, 0)
    while at < stop:
        last = token_end(text, at)
        if last - at == end - begin:
            same = True
            for k in range(end - begin):
                if small_letter(int(out[at + k])) != small_letter(int(word[begin + k])):
                    same = False
                    break
            if same:
                return True
        at = token_begin(text, last)
    return False


def overlap(one: int, other: int) -> float:
    """Share of the words of two texts that both have (fusion.words.overlap); -1 where that is not plain."""
    if same_raw(one, other):
        return 1.0
    if not is_plain(one) or not is_plain(other):
        return -1.0
    n = integers(other, lay.TEXT)[lay.T_BYTES]
    both = 0
    words = 0
    at = token_begin(one, 0)
    while at < integers(one, lay.TEXT)[lay.T_BYTES]:
        last = token_end(one, at)
        if not has_token(one, at, one, at, last):
            words += 1
            if has_token(other, n, one, at, last):
                both += 1
        at = token_begin(one, last)
    at = token_begin(other, 0)
    while at < n:
        last = token_end(other, at)
        if not has_token(other, at, other, at, last) and not has_token(
            one, integers(one, lay.TEXT)[lay.T_BYTES], other, at, last
        ):
            words += 1
        at = token_begin(other, last)
    return both / words if words > 0 else 1.0
