"""Order books of the hidden market, in a venue's own messages: the inverse of a book rule. Pure.

The book of a tick is a function of the tick; a change from one tick to a later one deletes what stood and writes what stands.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from sandbox.simulator.answer import LAG_MS
from sandbox.simulator.identity import Target, Universe, set_identity
from sandbox.simulator.market import draw
from sandbox.simulator.places import Body, Place, knowing, locate, outermost, parse
from sandbox.simulator.spelling import number_like, time_like
from sandbox.simulator.truth import Truth
from services.collector.map.paths import At, top
from services.collector.map.rows import selector
from services.collector.registry.mapping import Emit, FieldRule
from services.collector.registry.model import Book, Provider

DEPTH = 5
LEVEL_BPS = 1.2
"""Distance of the best level from the middle, and between levels."""
Side = Literal["bid", "ask"]


class Level(NamedTuple):
    """Price and size of one side; size 0 deletes."""

    side: Side
    price: float
    size: float


class Turn(NamedTuple):
    """From which tick to which a message leads; `before` is None for a whole book."""

    before: int | None
    tick: int
    at_ms: int


class BookWriter:
    """Writes books into the example of one message or answer."""

    def __init__(self, provider: Provider, rule: Book, truth: Truth, universe: Universe, tick_ms: int) -> None:
        self._provider = provider
        self._rule = rule
        self._truth = truth
        self._universe = universe
        self._tick_ms = tick_ms
        self._emit = Emit(entity=rule.entity, rows=rule.rows, fields={})
        self._select = selector(knowing(self._emit), "book")

    def write(self, body: Body, target: Target, turn: Turn, params: dict[str, str], factor: float) -> None:
        """Fill `body` in place with the book of `target`."""
        self._rename_key(body, target)
        rows = self._select(top(body.inner, params)).rows
        for row, at in rows[:1]:
            set_identity(self._universe, self._provider, self._emit, target, row, at, body)
            self._levels(row, at, body, list(self._changes(target, turn, factor)))
            self._numbers(row, at, body, turn)

    def _rename_key(self, body: Body, target: Target) -> None:
        """Where books stand under the name of their market, the first takes the market's name and the others go."""
        holder = outermost(self._emit, body) if self._rule.entity.symbol == "$key" else None
        name = self._universe.spell(self._provider, self._rule.entity, target)
        if holder is not None and name is not None and holder.read():
            holder.write({name: next(iter(holder.read().values()))})

    def levels(self, target: Target, tick: int, factor: float) -> list[Level]:
        """The whole book at a tick, best levels first."""
        at_ms = tick * self._tick_ms - LAG_MS
        market = self._truth.market
        middle = (
            market.price(target.base, target.quote, at_ms) * market.told(self._provider.id, target.base, at_ms) * factor
        )
        found = []
        for side, sign in (("bid", -1), ("ask", 1)):
            for depth in range(1, DEPTH + 1):
                size = (
                    5_000
                    / market.usd(target.base, at_ms)
                    * (1.2 + draw(self._provider.id, target.base, side, depth, tick) ** 2)
                )
                found.append(Level(side, middle * (1 + sign * depth * LEVEL_BPS / 10_000), size))  # type: ignore[arg-type]
        return found

    def _changes(self, target: Target, turn: Turn, factor: float) -> Iterator[Level]:
        for tick in range(turn.before, turn.tick) if turn.before is not None else ():
            for level in self.levels(target, tick, factor):
                yield level._replace(size=0.0)
        yield from self.levels(target, turn.tick, factor)

    def _levels(self, row: Any, at: At, body: Body, levels: list[Level]) -> None:
        rule = self._rule
        if rule.changes is not None:
            self._put_list(rule.changes, row, at, body, levels, [])
            return
        if rule.bids is not None and rule.bids == rule.asks:
            self._put_both(rule.bids, row, at, body, levels)
            return
        sides: tuple[tuple[str | None, Side], ...] = ((rule.bids, "bid"), (rule.asks, "ask"))
        shown = [one for path, _ in sides if path is not None for one in self._shown(path, row, at, body)]
        for path, side in sides:
            if path is not None:
                self._put_list(path, row, at, body, [level for level in levels if level.side == side], shown[:1])

    def _put_both(self, path: str, row: Any, at: At, body: Body, levels: list[Level]) -> None:
        """One list whose elements hold a level of both sides."""
        place = locate(path, row, at, self._emit, body)
        if place is None or not isinstance(place.read(), list) or not place.read():
            return
        example = place.read()[0]
        bids, asks = ([level for level in levels if level.side == side] for side in ("bid", "ask"))
        place.write([self._like(self._like(example, bid), ask) for bid, ask in zip(bids, asks, strict=False)])

    def _shown(self, path: str, row: Any, at: At, body: Body) -> list[Any]:
        place = locate(path, row, at, self._emit, body)
        return place.read() if place is not None and isinstance(place.read(), list) else []

    def _put_list(self, path: str, row: Any, at: At, body: Body, levels: list[Level], else_like: list[Any]) -> None:
        """A side that is empty in the example takes its levels' form from the other one."""
        place = locate(path, row, at, self._emit, body)
        if place is None or not isinstance(place.read(), list):
            return
        shown = place.read() or else_like
        single = bool(shown) and not isinstance(shown[0], list | dict)
        if single:
            place.write(self._like(shown, levels[-1]))
        elif shown:
            place.write([self._like(shown[0], level) for level in levels])

    def _like(self, example: Any, level: Level) -> Any:
        rule = self._rule
        made = copy.deepcopy(example)
        size = -level.size if rule.signed and level.side == "ask" else level.size
        if rule.count is not None:
            _set(made, rule.count, 0 if level.size == 0 else 1)
            size = size or (-1.0 if rule.signed and level.side == "ask" else 1.0)
        of_asks = level.side == "ask"
        for said, value in (
            ((of_asks and rule.ask_price) or rule.price, level.price),
            ((of_asks and rule.ask_size) or rule.size, size),
        ):
            path, scale = _written(said)
            if path is not None:
                _set(made, path, number_like(value * scale, _get(made, path), whole=scale != 1.0))
        if rule.side is not None:
            word = next((word for word, side in rule.sides.items() if side == level.side), None)
            if word is not None:
                _set(made, rule.side, word)
        return made

    def _numbers(self, row: Any, at: At, body: Body, turn: Turn) -> None:
        rule = self._rule
        before = turn.tick - 1 if turn.before is None else turn.before
        numbers: list[tuple[str | None, int]] = []
        if rule.sequence is not None:
            numbers = [
                (rule.sequence.first, before + 1),
                (rule.sequence.previous, before),
                (rule.sequence.last, turn.tick),
            ]
        for path, number in numbers:
            place = locate(path, row, at, self._emit, body) if path is not None else None
            if place is not None:
                place.write(str(number) if isinstance(place.read(), str) else number)
        if rule.event is not None:
            for path in [rule.event.path] if isinstance(rule.event.path, str) else rule.event.path:
                place = locate(path, row, at, self._emit, body)
                if place is not None and place.read() not in (None, ""):
                    event = rule.event
                    written = time_like(turn.at_ms, place.read(), event.unit, event.format, event.zone_h, event.add_s)
                    place.write(written if written is not None else place.read())
                    break


def _at(value: Any, path: str) -> Place | None:
    steps = parse(path).steps
    for step in steps[:-1]:
        value = value[step]
    return Place(value, steps[-1]) if steps else None  # type: ignore[arg-type]


def _get(value: Any, path: str) -> Any:
    place = _at(value, path)
    return None if place is None else place.read()


def _written(said: str | FieldRule) -> tuple[str | None, float]:
    """Where a number of a level stands and what it is multiplied with there; no place when that depends on the answer."""
    if not isinstance(said, FieldRule):
        return said, 1.0
    plain = isinstance(said.path, str) and said == FieldRule(path=said.path, decimals=said.decimals, type=said.type)
    if not plain or isinstance(said.decimals, str):
        return None, 1.0
    return str(said.path), 10.0 ** (said.decimals or 0)


def _set(value: Any, path: str, new: Any) -> None:
    place = _at(value, path)
    if place is not None and new is not None:
        place.write(new)
