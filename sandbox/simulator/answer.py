"""An endpoint's answer: its own example, with the hidden market's values written where its mapping reads them.

Steps: the example is decoded; rows are multiplied for the assets asked for; each row is given its identity; then the
mapping's own selectors and readers say what each row is about, and every number is written by the inverse of its rule.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from msgspec import Struct

from sandbox.simulator.identity import Target, Universe, beside, set_identity
from sandbox.simulator.inverse import Taken, write_field
from sandbox.simulator.places import Body, getter, knowing, locate, outermost
from sandbox.simulator.spelling import read_time, time_like
from sandbox.simulator.truth import Truth
from schemas import metrics
from schemas.metrics import Spec
from services.collector.map.entities import (
    EntityReader,
    NameReader,
    Scaled,
    Sources,
    Unknown,
    entity_reader,
    quote_reader,
)
from services.collector.map.fields import Reader, reader
from services.collector.map.paths import At, top
from services.collector.map.rows import Select, selector
from services.collector.map.values import Bad
from services.collector.registry.mapping import Emit, FieldRule, TimeRule, Zip
from services.collector.registry.model import Provider

MINUTE_MS = 60_000
LAG_MS = 40
"""What is told was true a little before it is told."""
NUMBERED = ("trade_id", "contract_trade_id")
"""Names that must differ from one statement to the next."""


class Mood(NamedTuple):
    """How a provider tells today: `factor` on prices (liar), `at_ms` of what it knows, `now_ms` that it claims."""

    factor: float
    at_ms: float
    now_ms: int


class Compiled(Struct, frozen=True):
    """One emit with the mapping's own readers."""

    emit: Emit
    category: str
    select: Select
    entity: EntityReader
    quote: NameReader | None
    order: tuple[tuple[str, Any], ...]
    """Fields in the order of writing."""
    readers: tuple[tuple[bool, Reader], ...]
    """Whether a field is required, and the mapping's reader of it."""


class Note(NamedTuple):
    """A metric that was not written, and why."""

    metric: str
    entity: str
    reason: str


class Row(NamedTuple):
    """A row that counts: about whom, in how many units of it a price is, in what quote."""

    row: Any
    at: At
    entity: str
    units: float
    quote: str | None


class Writer:
    """Writes the market into the example of one endpoint or message."""

    def __init__(self, provider: Provider, emits: list[Emit], truth: Truth, universe: Universe, where: str) -> None:
        self.provider = provider
        self._truth = truth
        self._universe = universe
        self._specs = metrics.load()
        sources = Sources(provider, universe.identity)
        self.emits = [
            Compiled(
                emit,
                emit.category or provider.home,
                selector(knowing(emit), f"{where}.emits[{index}]"),
                entity_reader(emit.entity, sources, where),
                quote_reader(emit.quote, sources, emit.entity, where),
                _in_order(emit.fields),
                tuple(
                    (
                        isinstance(rule, FieldRule) and rule.required,
                        reader(_rule(rule), self._specs[metric], provider.nulls, where),
                    )
                    for metric, rule in emit.fields.items()
                ),
            )
            for index, emit in enumerate(emits)
        ]

    def write(
        self, body: Body, params: Mapping[str, str], asked: list[Target], mood: Mood, shift_ms: int
    ) -> list[Note]:
        """Fill `body` in place; what could not be written is told. `shift_ms` moves the example's own times to now."""
        here = top(body.inner, params)
        if not body.reshaped:
            self._multiply(body, here, asked)
        notes: list[Note] = []
        taken: Taken = set()
        for one in self.emits:
            notes += self._fill(one, here, body, mood, shift_ms, taken)
        return notes

    def _multiply(self, body: Body, here: At, asked: list[Target]) -> None:
        """Give the rows of each container the identities that were asked for; rows that say nothing stay behind them."""
        done: set[int] = set()
        for one in self.emits:
            holder = outermost(one.emit, body)
            if holder is None:
                self._rename_single(one, body, here, asked)
                continue
            container = holder.read()
            if id(container) in done or one.emit.limit is not None or one.emit.unique is not None:
                continue
            lead = self._leader(container, body)
            if lead is None:
                continue
            done.add(id(container))
            self._spread(lead, container, body, here, asked)

    def _leader(self, container: Any, body: Body) -> Compiled | None:
        """The emit that says who a row of this container is about: markets before assets."""
        rivals = [
            one for one in self.emits if (place := outermost(one.emit, body)) is not None and place.read() is container
        ]
        rivals = [
            one for one in rivals if one.emit.entity.kind in ("pair", "perp", "asset") and one.emit.entity.fixed is None
        ]
        return min(rivals, key=lambda one: one.emit.entity.kind == "asset", default=None)

    def _spread(self, lead: Compiled, container: Any, body: Body, here: At, asked: list[Target]) -> None:
        said = self._said(lead, here)
        if not said:
            return
        outer = list(dict.fromkeys(_outer_key(at) for at, _ in said))
        if len(outer) > 1 and len({entity for _, entity in said}) == 1:
            return  # many statements of one entity (trades, bars): not a list of entities
        quotes = [entity.rpartition("/")[2] for _, entity in said if "/" in entity]
        targets = asked or self._universe.targets(lead.emit.entity.kind, list(dict.fromkeys(quotes)))
        targets = [target for target in targets if self._universe.can_name(self.provider, lead.emit.entity, target)]
        keys = self._models(lead, here)
        if not targets or not keys:
            return
        rule = lead.emit.entity
        by_key = "$key" in (rule.id, rule.symbol, rule.contract) or "^$key" in (rule.id, rule.symbol, rule.contract)
        pieces = {key: container[key] for key in outer}
        before = container.copy()
        if type(container) is list:
            rest = [piece for index, piece in enumerate(container) if index not in pieces]
            container[:] = [copy.deepcopy(pieces[_model(keys, i)]) for i in range(len(targets))] + rest
            order: dict[Any, Target] = dict(enumerate(targets))
        else:
            others = {key: piece for key, piece in container.items() if key not in pieces}
            container.clear()
            order = {}
            for i, target in enumerate(targets):
                old = _model(keys, i)
                new = (
                    self._universe.spell(
                        self.provider, rule, beside(self._universe, self.provider, rule, target, str(old))
                    )
                    if by_key
                    else f"{old}{i}"
                    if i >= len(keys)
                    else old
                )
                if new is not None and new not in container:
                    container[new] = copy.deepcopy(pieces[old])
                    order[new] = target
            container.update(others)
        for row, at in _all_rows(lead.emit, here):
            target_here = order.get(_outer_key(at))
            if target_here is not None:
                set_identity(self._universe, self.provider, lead.emit, target_here, row, at, body)
        if not self._said(lead, here):  # the mapping asks for others than we thought of: the example keeps its own
            container.clear()
            container.extend(before) if type(container) is list else container.update(before)

    def _rename_single(self, one: Compiled, body: Body, here: At, asked: list[Target]) -> None:
        """An answer about one thing is about the one that was asked for."""
        if (
            len(asked) != 1
            or one.emit.entity.fixed is not None
            or one.emit.entity.kind not in ("pair", "perp", "asset")
        ):
            return
        for row, at in one.select(here).rows:
            set_identity(self._universe, self.provider, one.emit, asked[0], row, at, body)

    def _models(self, lead: Compiled, here: At) -> list[Any]:
        """Outer keys of rows that serve as models, the fullest first; rows that lack what is required do not."""
        full: dict[Any, int] = {}
        for row, at in lead.select(here).rows:
            read = [(required, read(row, at)) for required, read in lead.readers]
            known = sum(value is not None and not isinstance(value, Bad) for _, value in read)
            lacking = any(required and (value is None or isinstance(value, Bad)) for required, value in read)
            if not isinstance(lead.entity(row, at), Unknown) and not lacking:
                full[_outer_key(at)] = full.get(_outer_key(at), 0) + known
        return sorted(full, key=lambda key: -full[key])

    def _said(self, one: Compiled, here: At) -> list[tuple[At, str]]:
        return [(found.at, found.entity) for found in self._rows(one, here)]

    def _fill(self, one: Compiled, here: At, body: Body, mood: Mood, shift_ms: int, taken: Taken) -> Iterator[Note]:
        rows = self._rows(one, here)
        if one.emit.event is not None:
            _retime(one.emit, one.emit.event, rows, body, mood.now_ms, taken)
            rows = self._rows(one, here) if isinstance(one.emit.rows, Zip) else rows  # copies of columns just written
        for found in rows:
            yield from self._row(one, found, body, mood, shift_ms, taken)

    def _rows(self, one: Compiled, here: At) -> list[Row]:
        """The rows that count, with what they are about."""
        rows: list[Row] = []
        for row, at in one.select(here).rows:
            entity = one.entity(row, at)
            quote = one.quote(row, at) if one.quote is not None else None
            if not isinstance(entity, Unknown) and not isinstance(quote, Unknown):
                rows.append(Row(row, at, _name(entity), entity.units if isinstance(entity, Scaled) else 1.0, quote))
        return rows

    def _row(self, one: Compiled, found: Row, body: Body, mood: Mood, shift_ms: int, taken: Taken) -> Iterator[Note]:
        row, at, entity, units, quote = found
        if body.reshaped and not isinstance(row, dict):
            for name in one.emit.fields:
                yield Note(name, entity, "a hook reshapes the answer, and this value has no place in it")
            return
        told_ms = mood.at_ms
        if one.emit.event is not None:
            own_ms = _event_of(one.emit.event, row, at)
            if own_ms is not None:
                told_ms = min(mood.at_ms, own_ms)
        for name, rule in one.order:
            if one.emit.order is not None and one.emit.order.by in _paths(rule):
                yield Note(name, entity, "the rows are ordered by it")
                continue
            spec = self._specs[name]
            if spec.unit == "unix_ms" or _is_between_times(rule, spec):
                _shift(rule, one.emit, row, at, body, shift_ms, taken)
                continue
            value = self._truth.value(spec, entity, quote, told_ms, self.provider.id)
            if name in NUMBERED:
                value = str(mood.now_ms * 100 + len(taken) % 100)
            if value is None:
                continue
            if isinstance(value, float) and spec.unit == "quote_per_base":
                value *= mood.factor * units
            elif isinstance(value, float) and spec.unit == "base":
                value /= units
            reason = write_field(rule, spec, value, row, at, one.emit, body, taken)
            if reason is not None:
                yield Note(name, entity, reason)


BEST = 5
"""The first rows, of the largest assets, are made from the fullest example; the others show what else the example shows."""


def _model(keys: list[Any], number: int) -> Any:
    return keys[0] if number < BEST else keys[number % len(keys)]


def _rule(rule: Any) -> FieldRule:
    return rule if isinstance(rule, FieldRule) else FieldRule(path=rule)


def _in_order(fields: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Fields so that a place which enters another's arithmetic is written before it."""
    waiting = dict(fields)
    order: list[tuple[str, Any]] = []
    while waiting:
        own = {name: set(_paths(rule)) for name, rule in waiting.items()}
        free = [
            name
            for name, rule in waiting.items()
            if not any(operand in own[other] for operand in _operands(rule) for other in waiting if other != name)
        ]
        for name in free or [next(iter(waiting))]:
            order.append((name, waiting.pop(name)))
    return tuple(order)


def _paths(rule: Any) -> list[str]:
    path = rule.path if isinstance(rule, FieldRule) else rule
    return [path] if isinstance(path, str) else list(path or [])


def _operands(rule: Any) -> list[str]:
    """Paths that enter a field's arithmetic."""
    if not isinstance(rule, FieldRule):
        return []
    words = [rule.plus, rule.minus, rule.times, rule.over, rule.decimals]
    return [word for part in words for word in (part if isinstance(part, list) else [part]) if isinstance(word, str)]


def _all_rows(emit: Emit, here: At) -> list[tuple[Any, At]]:
    """Rows of an emit before its filters: identities are written first, filters look at them later."""
    bare = Emit(rows=emit.rows, entity=emit.entity, fields={})
    return selector(knowing(bare), "rows")(here).rows


def _name(entity: str | Scaled) -> str:
    return entity.name if isinstance(entity, Scaled) else entity


def _outer_key(at: At) -> Any:
    """Index or key of a row in the outermost list or object."""
    here = at
    while here.above is not None and here.above.above is not None:
        here = here.above
    return here.key if here.key is not None else here.index


def _event_of(rule: TimeRule, row: Any, at: At) -> int | None:
    for path in [rule.path] if isinstance(rule.path, str) else rule.path:
        value = getter(path)(row, at)
        if value not in (None, ""):
            return read_time(value, rule.unit, rule.format, rule.zone_h, rule.add_s)
    return None


def _retime(
    emit: Emit,
    rule: TimeRule,
    rows: Iterable[Row],
    body: Body,
    now_ms: int,
    taken: Taken,
) -> None:
    """The newest statement about an entity is of now; older ones keep their distance to it, bars keep to their minutes."""
    if rule.then is not None:
        return  # a date and a time of day apart stay those of the example
    known = [(row, at, entity, _event_of(rule, row, at)) for row, at, entity, *_ in rows]
    newest: dict[str, int] = {}
    count: dict[str, int] = {}
    aligned = all(at_ms is None or at_ms % MINUTE_MS == 0 for *_, at_ms in known)
    for _, _, entity, at_ms in known:
        if at_ms is not None:
            newest[entity] = max(at_ms, newest.get(entity, 0))
            count[entity] = count.get(entity, 0) + 1
    for row, at, entity, at_ms in known:
        if at_ms is None:
            continue
        shift_ms = now_ms - newest[entity]
        if aligned and count[entity] > 1:
            shift_ms -= shift_ms % MINUTE_MS
        for path in [rule.path] if isinstance(rule.path, str) else rule.path:
            place = locate(path, row, at, emit, body)
            if place is None or place.read() in (None, ""):
                continue
            if (id(place.container), place.key) not in taken:
                written = time_like(at_ms + shift_ms, place.read(), rule.unit, rule.format, rule.zone_h, rule.add_s)
                if written is not None:
                    place.write(written)
                    taken.add((id(place.container), place.key))
            break


def _is_between_times(rule: Any, spec: Spec) -> bool:
    """Whether a rule takes one time from another: both are moved, so that what lies between them stays."""
    return isinstance(rule, FieldRule) and isinstance(rule.minus, str) and rule.unit == "ms" and spec.unit == "hours"


def _shift(rule: Any, emit: Emit, row: Any, at: At, body: Body, shift_ms: int, taken: Taken) -> None:
    """Moments that are not the statement's own keep their distance to the example's time."""
    path, unit = (rule.path, rule.time) if isinstance(rule, FieldRule) else (rule, "ms")
    for one in [path] if isinstance(path, str) else path or []:
        place = locate(one, row, at, emit, body)
        if place is None or place.read() in (None, "") or (id(place.container), place.key) in taken:
            continue
        at_ms = read_time(place.read(), unit)
        written = None if at_ms is None else time_like(at_ms + shift_ms, place.read(), unit)
        if written is not None:
            place.write(written)
            taken.add((id(place.container), place.key))
        return
