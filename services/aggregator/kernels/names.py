"""Keys of entities as JSON text: what JSON escapes is written as msgspec writes it, all other UTF-8 goes through as it is."""

from __future__ import annotations

import numpy as np

from services.aggregator.compiled.memory import integers, octets
from services.aggregator.compiled.types import Array
from services.aggregator.kernels.layout import E_KEY, ENTITY, WORD

_QUOTE, _ESCAPE, _SPACE = 34, 92, 32
_SHORT: Array = np.zeros(_SPACE, np.uint8)
"""Control character -> the letter that stands for it behind a backslash; 0: it is written in hexadecimal."""
for _control, _letter in zip(b"\b\t\n\f\r", b"btnfr", strict=True):
    _SHORT[_control] = _letter
_HEXADECIMAL: Array = np.frombuffer(b"0123456789abcdef", np.uint8)
_LONG: Array = np.frombuffer(b"\\u00", np.uint8)
MOST = 6
"""Bytes that one byte of a key becomes at most."""


def write_key(out: Array, at: int, entity: int) -> int:
    """Write the key of an entity, without quotes around it; returns where it ends. MOST bytes for each of the key must be free."""
    n = integers(entity, ENTITY)[E_KEY]
    key = octets(entity + ENTITY * WORD, n)
    for k in range(n):
        one = key[k]
        if one >= _SPACE and one != _QUOTE and one != _ESCAPE:
            out[at] = one
            at += 1
            continue
        out[at] = _ESCAPE
        at += 1
        if one >= _SPACE:
            out[at] = one
        elif _SHORT[one] != 0:
            out[at] = _SHORT[one]
        else:
            for j in range(1, 4):
                out[at] = _LONG[j]
                at += 1
            out[at] = _HEXADECIMAL[one >> 4]
            at += 1
            out[at] = _HEXADECIMAL[one & 15]
        at += 1
    return at
