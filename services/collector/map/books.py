"""Book rules compiled to readers: payload -> changes of order books, as the venue said them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from services.collector.map.conditions import predicate
from services.collector.map.entities import Scaled, Sources, Unknown, entity_reader, quote_reader
from services.collector.map.fields import amount
from services.collector.map.mapped import BOOK, BookChange, Mapped, RowFault
from services.collector.map.moments import Moment
from services.collector.map.paths import At, Getter, Star, getter, parse
from services.collector.map.rows import grouped, selector
from services.collector.map.values import Bad, integer, number, plausible_time
from services.collector.registry.mapping import Emit, FieldRule
from services.collector.registry.model import Book
from services.common.errors import DefinitionError

Level = tuple[float, float]
Sides = tuple[list[Level], list[Level]]


class BookReader:
    """Reads the levels that one message or response carries."""

    def __init__(self, rule: Book, sources: Sources, where: str) -> None:
        self._kind: Literal["snapshot", "delta", "top"] = rule.kind
        self._entity = entity_reader(rule.entity, sources, where)
        quote = quote_reader("pair", sources, rule.entity, where)
        assert quote is not None  # "pair" always gives a reader
        self._quote = quote
        self._select = selector(Emit(entity=rule.entity, rows=rule.rows, fields={}), where)
        self._is_snapshot = predicate(rule.kind_when, f"{where}.kind_when")
        self._event = Moment(rule.event, f"{where}.event").read if rule.event is not None else None
        self._sides = _sides(rule, where)
        sequence = rule.sequence
        self._first = _optional(sequence.first if sequence else None, f"{where}.sequence.first")
        self._last = _optional(sequence.last if sequence else None, f"{where}.sequence.last")
        self._previous = _optional(sequence.previous if sequence else None, f"{where}.sequence.previous")

    def read(self, top: At, received_ms: int, mapped: Mapped) -> None:
        """Add the changes of a payload to `mapped`; a level that cannot be read spoils its change, not the others."""
        selected = self._select(top)
        if selected.drift is not None:
            mapped.drift.append(selected.drift)
        for index, (row, at) in enumerate(selected.rows):
            mapped.rows += 1
            if index == 0:
                mapped.heads.append((BOOK, (row, at)))
            entity, quote = self._entity(row, at), self._quote(row, at)
            if isinstance(entity, Unknown) or isinstance(quote, Unknown):
                spelling = entity.spelling if isinstance(entity, Unknown) else str(quote)
                mapped.unknown[spelling] = mapped.unknown.get(spelling, 0) + 1
                continue
            units = 1.0
            if isinstance(entity, Scaled):
                entity, units = entity
            try:
                bids, asks = self._sides(row, at)
            except _LevelError as error:
                mapped.faults.append(RowFault(BOOK, index, entity, "book", "levels", str(error), error.got))
                continue
            if units != 1.0:
                bids = [(price / units, size * units) for price, size in bids]
                asks = [(price / units, size * units) for price, size in asks]
            kind = self._kind
            if self._is_snapshot is not None:
                kind = "snapshot" if self._is_snapshot(top.payload.root, top) or self._is_snapshot(row, at) else kind
            moment = self._event(row, at) if self._event is not None else None
            event_ms = moment if isinstance(moment, int) and plausible_time(moment, received_ms) else None
            if event_ms is not None and (mapped.newest_event_ms is None or event_ms > mapped.newest_event_ms):
                mapped.newest_event_ms = event_ms
            mapped.books.append(
                BookChange(
                    entity, quote, kind, bids, asks,
                    _count(self._first, row, at), _count(self._last, row, at), _count(self._previous, row, at), event_ms,
                )
            )  # fmt: skip


class _LevelError(ValueError):
    def __init__(self, said: str, got: Any) -> None:
        super().__init__(said)
        self.got = repr(got)[:80]


def _optional(path: str | None, where: str) -> Getter | None:
    return getter(parse(path, where)) if path is not None else None


def _count(get: Getter | None, row: Any, at: At) -> int | None:
    if get is None:
        return None
    value = integer(get(row, at))
    return None if isinstance(value, Bad) else value


def _sides(rule: Book, where: str) -> Callable[[Any, At], Sides]:
    apart = rule.ask_price is not None or rule.ask_size is not None
    level = _level(rule, rule.price, rule.size, apart, where)
    if rule.changes is not None:
        return _mixed(rule, level, where)
    if rule.bids is None and rule.asks is None:
        raise DefinitionError(where=where, expected="bids and asks, or changes", got="neither")
    of_asks = _level(rule, rule.ask_price or rule.price, rule.ask_size or rule.size, apart, where) if apart else level
    bids = _levels(rule.bids, level, f"{where}.bids")
    asks = _levels(rule.asks, of_asks, f"{where}.asks")
    return lambda row, at: (bids(row, at), asks(row, at))


Amount = Callable[[Any, At], "float | int | Bad | None"]


def _amount(written: str | FieldRule, where: str) -> Amount:
    """Reader of a price or size: a path, or a rule with its scale."""
    if isinstance(written, FieldRule):
        return amount(written, where)
    get = getter(parse(written, where))
    return lambda row, at: number(get(row, at))


def _level(
    rule: Book, price_at: str | FieldRule, size_at: str | FieldRule, apart: bool, where: str
) -> Callable[[Any, At], Level | None]:
    price = _amount(price_at, f"{where}.price")
    size = _amount(size_at, f"{where}.size")
    count = _optional(rule.count, f"{where}.count")
    signed = rule.signed

    def level(row: Any, at: At) -> Level | None:
        at_price, of_size = price(row, at), size(row, at)
        if apart and at_price is None and of_size is None:
            return None  # the deeper side has more levels than the other
        if not isinstance(at_price, (int, float)) or not isinstance(of_size, (int, float)):
            raise _LevelError("a level without price and size", row)
        if at_price == 0 and of_size == 0:
            return None  # a mere step of the sequence (KuCoin)
        if at_price <= 0 or (of_size < 0 and not signed):
            raise _LevelError("a level with a price or size below zero", row)
        if count is not None and number(count(row, at)) == 0.0:
            return float(at_price), 0.0
        return float(at_price), float(of_size)

    return level


def _levels(path: str | None, level: Callable[[Any, At], Level | None], where: str) -> Callable[[Any, At], list[Level]]:
    if path is None:
        return lambda row, at: []
    get, many = _list_at(path, where)

    def levels(row: Any, at: At) -> list[Level]:
        found = get(row, at)
        if found is None:
            return []
        if type(found) is not list:
            raise _LevelError(f"{path}: expected a list of levels", found)
        inner = At(at.payload, row, at)
        return [read for one in grouped(found, many) if (read := level(one, inner)) is not None]

    return levels


def _list_at(path: str, where: str) -> tuple[Getter, int]:
    """Getter of a list of levels, and how many elements make a level (`bids[*2]`)."""
    parsed = parse(path, where)
    if parsed.steps and isinstance(parsed.steps[-1], Star):
        return getter(parsed._replace(steps=parsed.steps[:-1])), parsed.steps[-1].many
    return getter(parsed), 1


def _mixed(rule: Book, level: Callable[[Any, At], Level | None], where: str) -> Callable[[Any, At], Sides]:
    """Levels of both sides in one list: a side word in each, or the sign of the size."""
    get = getter(parse(rule.changes or ".", f"{where}.changes"))
    side_of = _optional(rule.side, f"{where}.side")
    size_of = _amount(rule.size, f"{where}.size")
    if side_of is None and not rule.signed:
        raise DefinitionError(where=where, expected="side with sides, or signed", got="neither")

    def mixed(row: Any, at: At) -> Sides:
        found = get(row, at)
        if found is None:
            return [], []
        if type(found) is not list:
            raise _LevelError("expected a list of levels", found)
        inner = At(at.payload, row, at)
        single = bool(found) and type(found[0]) not in (list, dict)
        bids: list[Level] = []
        asks: list[Level] = []
        for one in [found] if single else found:
            read = level(one, inner)
            if read is None:
                continue
            price, size = read
            if side_of is not None:
                side = rule.sides.get(str(side_of(one, inner)))
            else:
                signed_size = size_of(one, inner)
                side = "bid" if isinstance(signed_size, (int, float)) and signed_size > 0 else "ask"
            if side is None:
                raise _LevelError(f"expected a side of {', '.join(rule.sides)}", one)
            (bids if side == "bid" else asks).append((price, abs(size)))
        return bids, asks

    return mixed
