"""The order books of one stream: changes in, events of the best bid and ask out, and which books have to start again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from schemas.events import Origin, Raw, Value
from services.collector.map.compile import Stamp, event_id
from services.collector.map.mapped import BookChange
from services.collector.registry.model import Snapshot, Stream
from services.collector.stream.book import Book, Rule, Verdict

BROKEN: Final = (Verdict.GAP, Verdict.CROSSED, Verdict.INVALID)

SAYS: Final[dict[str, tuple[str, str, str, str | None, str | None]]] = {
    "pair": ("exchange", "bid", "ask", "bid_size", "ask_size"),
    "perp": ("derivatives", "contract_bid", "contract_ask", None, None),
    "future": ("derivatives", "contract_bid", "contract_ask", None, None),
}
"""Kind of entity -> category and metric names. Sizes of contracts are in units that differ by venue, so they stay out."""


class Resync(Struct, frozen=True, kw_only=True):
    """A book that needs a snapshot, and why."""

    entity: str
    why: Verdict


class Tops:
    """Books by entity, all under the stream's rule."""

    def __init__(self, stream: Stream, stamp: Stamp) -> None:
        books = [message.book for message in stream.messages.values() if message.book is not None]
        sequence = next((book.sequence for book in books if book.sequence is not None), None)
        self._rule: Rule = sequence.rule if sequence is not None else "none"
        self._depth = next((book.depth for book in books if book.depth is not None), None)
        self.snapshot: Snapshot | None = next((book.snapshot for book in books if book.snapshot is not None), None)
        """Where a snapshot is asked for; None when the socket sends it."""
        self._stamp = stamp
        self._books: dict[str, Book] = {}

    def apply(self, changes: Iterable[BookChange], received_ms: int, origin: Origin) -> tuple[list[Raw], list[Resync]]:
        """Take changes in order; the events of tops that changed, and the books that need a snapshot now."""
        events: list[Raw] = []
        broken: list[Resync] = []
        for change in changes:
            book = self._books.get(change.entity)
            if book is None:
                book = self._books[change.entity] = Book(self._rule, self._depth)
            verdict = book.apply(change)
            if verdict == Verdict.CHANGED:
                event = self._event(change, book, received_ms, origin)
                if event is not None:
                    events.append(event)
            elif verdict in BROKEN or (verdict == Verdict.WAITING and book.waiting == 1):
                if verdict == Verdict.INVALID:
                    book.reset()
                broken.append(Resync(entity=change.entity, why=verdict))
        return events, broken

    def needs_snapshot(self, entity: str) -> bool:
        """True while the book of `entity` waits for its start."""
        book = self._books.get(entity)
        return book is not None and book.needs_snapshot

    def spoil(self, entity: str) -> Resync:
        """A message about this book could not be read: what it held is no longer known."""
        book = self._books.get(entity)
        if book is not None:
            book.reset()
        return Resync(entity=entity, why=Verdict.INVALID)

    def reset(self) -> None:
        """Forget all books; a new connection starts anew."""
        self._books.clear()

    def _event(self, change: BookChange, book: Book, received_ms: int, origin: Origin) -> Raw | None:
        says = SAYS.get(change.entity.partition(":")[0])
        if says is None:
            return None
        category, *names = says
        metrics: dict[str, Value] = {
            name: value
            for name, value in zip(
                names, (book.top.bid, book.top.ask, book.top.bid_size, book.top.ask_size), strict=True
            )
            if name is not None and value is not None
        }
        if not metrics:
            return None
        stamp = self._stamp
        return Raw(
            id=event_id(
                stamp.provider, stamp.endpoint, category, change.entity, change.event_ms, change.quote, metrics
            ),
            category=category,
            provider=stamp.provider,
            endpoint=stamp.endpoint,
            entity=change.entity,
            metrics=metrics,
            received_ms=received_ms,
            origin=origin,
            event_ms=change.event_ms,
            quote=change.quote,
            group=stamp.group,
            weight=stamp.weight,
            registry=stamp.registry,
        )
