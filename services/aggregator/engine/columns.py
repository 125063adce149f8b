"""Records of a log as columns over one buffer of bytes: what kernels read them from."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

from services.aggregator.engine.model import Record
from services.aggregator.kernels.layout import SLACK


class Columns(Protocol):
    """Offsets and timestamps (-1: none), and where key and value of each record begin and end in `text` (-1: null)."""

    text: bytes
    offsets: array[int]
    stamps: array[int]
    key_begins: array[int]
    key_ends: array[int]
    begins: array[int]
    ends: array[int]


class Joined:
    """Columns made of record objects, for clients that give those."""

    __slots__ = ("begins", "ends", "key_begins", "key_ends", "offsets", "stamps", "text")

    def __init__(self, records: Sequence[Record]) -> None:
        keys = [record.key for record in records]
        values = [record.value for record in records]
        self.offsets = array("q", [record.offset for record in records])
        self.stamps = array("q", [-1 if record.timestamp is None else int(record.timestamp) for record in records])
        parts = [*keys, *values]
        text = b"".join(part for part in parts if part)
        self.text = text + bytes(SLACK)
        ends = array("q", accumulate(len(part) if part else 0 for part in parts))
        begins = array("q", [0, *ends[:-1]]) if ends else array("q")
        if None in parts:
            for number, part in enumerate(parts):
                if part is None:
                    begins[number] = ends[number] = -1
        count = len(keys)
        self.key_begins, self.key_ends = begins[:count], ends[:count]
        self.begins, self.ends = begins[count:], ends[count:]
