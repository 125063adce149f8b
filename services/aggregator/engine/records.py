"""Records of a log as they came: one buffer of bytes with columns over it, and record objects only for who asks."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

from services.aggregator.kernels.layout import SLACK

PADDING = SLACK
"""Zero bytes behind the last record, so that kernels may read words and vectors at every byte."""


class OneRecord(NamedTuple):
    """One record, as the engine reads it; the timestamp is in milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Records(Sequence[OneRecord]):
    """A sequence of records that is also columns (columns.Columns): offsets, timestamps, and the places of keys and values in
    `text`, -1 for null."""

    __slots__ = ("begins", "ends", "key_begins", "key_ends", "offsets", "stamps", "text")

    def __init__(self, text: bytes, columns: Sequence[array[int]]) -> None:
        self.text = text
        self.offsets, self.stamps, self.key_begins, self.key_ends, self.begins, self.ends = columns

    def _columns(self) -> tuple[array[int], ...]:
        return self.offsets, self.stamps, self.key_begins, self.key_ends, self.begins, self.ends

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, number: int) -> OneRecord: ...
    @overload
    def __getitem__(self, number: slice) -> Records: ...
    def __getitem__(self, number: int | slice) -> OneRecord | Records:
        if isinstance(number, slice):
            return Records(self.text, [column[number] for column in self._columns()])
        return self._one(*(column[number] for column in self._columns()))

    def __iter__(self) -> Iterator[OneRecord]:
        return map(self._one, *self._columns())

    def _one(self, offset: int, stamp: int, key: int, key_end: int, begin: int, end: int) -> OneRecord:
        text = self.text
        return OneRecord(
            offset, stamp, text[key:key_end] if key >= 0 else None, text[begin:end] if begin >= 0 else None
        )
