"""What a mapping gives: events, books, and what could not be read, as values."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from msgspec import Struct

from schemas.events import Raw
from services.collector.map.paths import At


class RowFault(NamedTuple):
    """A row or one of its fields that cannot be used; everything else of the answer goes on."""

    emit: int
    row: int
    entity: str | None
    field: str
    path: str
    reason: str
    got: str

    @property
    def words(self) -> str:
        """Which field, why, and what came, if anything did."""
        return f"{self.field}: {self.reason}" + f", got {self.got}" * bool(self.got)


class BookChange(NamedTuple):
    """Levels of one order book as a venue said them, (price, size); size 0 deletes."""

    entity: str
    quote: str
    kind: Literal["snapshot", "delta", "top"]
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    first: int | None = None
    last: int | None = None
    previous: int | None = None
    event_ms: int | None = None


BOOK = -1
"""Stands for the number of an emit where an order book is meant."""


class Mapped(Struct):
    """Result of mapping one payload."""

    events: list[Raw]
    faults: list[RowFault]
    books: list[BookChange]
    unknown: dict[str, int]
    """Spelling that no table knows -> rows that had it."""
    drift: list[str]
    """Evidence that the shape is not the one that was proven; empty when it is."""
    rows: int = 0
    newest_event_ms: int | None = None
    top: At | None = None
    """The payload as the mapping saw it."""
    heads: list[tuple[int, tuple[Any, At]]] = []
    """Number of an emit and the first row that it selected; emits without rows are not here."""
