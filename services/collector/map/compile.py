"""Definitions compiled once to plain closures: payload and parameters in, raw events out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from schemas import metrics as catalogue
from schemas.events import Origin, Raw, Value
from services.collector.map.books import BookReader
from services.collector.map.conditions import Predicate, predicate
from services.collector.map.entities import Sources, SubjectReader, Unknown, subject_reader
from services.collector.map.fields import Reader, plain, reader
from services.collector.map.hooks import HOOKS
from services.collector.map.identity import Identity
from services.collector.map.inline import Inline, PlainNumber, inline
from services.collector.map.mapped import Mapped, RowFault
from services.collector.map.moments import Moment
from services.collector.map.paths import At, top
from services.collector.map.rows import Select, is_single, selector
from services.collector.map.values import AHEAD_MS, EARLIEST_MS, Bad
from services.collector.registry.mapping import Emit, FieldRule
from services.collector.registry.model import Endpoint, Provider
from services.common.errors import DefinitionError

_encode = msgspec.json.Encoder().encode
_hash = hashlib.blake2b
ID_BYTES = 12
"""Of an event's id: among a million million statements two share one with a chance of one in a hundred thousand."""

DRIFT_SHARE = 0.5
"""More than this share of the rows without a required field: the shape has changed, not a row."""


class _Field(NamedTuple):
    metric: str
    read: Reader
    required: bool
    path: str


Tell = Callable[[Any, At, int, int, Origin, Mapped, dict[str, int]], None]
"""(row, where it stands, its number, received_ms, origin, result, metric -> rows that lack it) adds what the row says."""


Emitter = Callable[[At, int, Origin, Mapped], None]
"""(place of the payload, received_ms, origin, result) adds the events of one emit."""


class Stamp(NamedTuple):
    """What every event of one mapper carries."""

    provider: str
    endpoint: str
    group: str | None
    weight: float
    registry: str | None


class Mapper:
    """Maps payloads of one endpoint (or one kind of message)."""

    def __init__(self, emitters: tuple[Emitter, ...], hook: str | None = None, book: BookReader | None = None) -> None:
        self._emitters = emitters
        self._book = book
        self._hook = HOOKS[hook] if hook is not None else None

    def map(self, payload: Any, params: Mapping[str, str], received_ms: int, origin: Origin) -> Mapped:
        """Events of a decoded payload; faults, unknown entities and drift as values, never an exception for data."""
        if self._hook is not None:
            payload = self._hook(payload, params)
        return self.map_at(top(payload, params, received_ms), received_ms, origin)

    def map_at(self, here: At, received_ms: int, origin: Origin) -> Mapped:
        """The same for a payload whose place is made already."""
        mapped = Mapped([], [], [], {}, [], top=here)
        for emit in self._emitters:
            emit(here, received_ms, origin, mapped)
        if self._book is not None:
            self._book.read(here, received_ms, mapped)
        return mapped


def compile_endpoint(provider: Provider, endpoint: str, identity: Identity, registry: str | None = None) -> Mapper:
    """Mapper of one endpoint; DefinitionError says where the definition cannot be meant."""
    definition: Endpoint = provider.endpoints[endpoint]
    if definition.hook is not None and definition.hook not in HOOKS:
        raise DefinitionError(
            where=f"endpoints.{endpoint}.hook",
            expected=f"one of {', '.join(sorted(HOOKS)) or 'none yet'}",
            got=definition.hook,
        )
    sources = Sources(provider, identity)
    emitters = compile_emits(
        definition.emits, provider, sources, stamp(provider, endpoint, registry), f"endpoints.{endpoint}"
    )
    where = f"endpoints.{endpoint}.book"
    book = BookReader(definition.book, sources, where) if definition.book is not None else None
    return Mapper(emitters, definition.hook, book)


def stamp(provider: Provider, endpoint: str, registry: str | None) -> Stamp:
    """The part of every event that the definition fixes."""
    return Stamp(provider.id, endpoint, provider.group, provider.weight, registry)


def compile_emits(
    emits: list[Emit], provider: Provider, sources: Sources, stamp: Stamp, where: str
) -> tuple[Emitter, ...]:
    """All emits of an endpoint or message."""
    return tuple(
        _compile(number, emit, provider, sources, stamp, f"{where}.emits[{number}]")
        for number, emit in enumerate(emits)
    )


def _compile(number: int, emit: Emit, provider: Provider, sources: Sources, stamp: Stamp, where: str) -> Emitter:
    specs = catalogue.load()
    category = emit.category or provider.home
    fields: list[_Field] = []
    numbers: list[PlainNumber] = []
    for index, (metric, rule) in enumerate(emit.fields.items()):
        place = f"{where}.fields.{metric}"
        spec = specs.get(metric)
        if spec is None or spec.category != category:
            said = "no metric of that name" if spec is None else f"a metric of {spec.category}"
            raise DefinitionError(where=place, expected=f"a metric of category {category}", got=said)
        shape = rule if isinstance(rule, FieldRule) else FieldRule(path=rule)
        path = shape.path if isinstance(shape.path, str) else (shape.path or [shape.each or ""])[0]
        fields.append(_Field(metric, reader(shape, spec, provider.nulls, place), shape.required, path))
        simple = plain(index, metric, shape, spec, provider.nulls, place)
        if simple is not None:
            numbers.append(simple)
    settled = {simple.place for simple in numbers}
    tell = _teller(
        number,
        category,
        stamp,
        subject_reader(emit.entity, emit.quote, sources, where),
        Moment(emit.event, f"{where}.event") if emit.event is not None else None,
        tuple(fields),
        inline(numbers),
        tuple(field for index, field in enumerate(fields) if index not in settled),
        {
            metric: 1 if specs[metric].unit == "base" else -1
            for metric in emit.fields
            if specs[metric].unit in ("base", "quote_per_base")
        },
    )
    if is_single(emit):
        return _single(number, predicate([*emit.when, *emit.where], where), tell)
    return _listed(number, selector(emit, where), tell)


def _single(number: int, holds: Predicate | None, tell: Tell) -> Emitter:
    """An emit whose one row is the payload itself."""

    def emit(here: At, received_ms: int, origin: Origin, mapped: Mapped) -> None:
        row = here.payload.root
        if holds is None or holds(row, here):
            mapped.rows += 1
            mapped.heads.append((number, (row, here)))
            lacking: dict[str, int] = {}
            tell(row, here, 0, received_ms, origin, mapped, lacking)
            if lacking:
                _drifted(lacking, 1, mapped)

    return emit


def _listed(number: int, select: Select, tell: Tell) -> Emitter:
    """An emit that selects its rows."""

    def emit(here: At, received_ms: int, origin: Origin, mapped: Mapped) -> None:
        rows, drift = select(here)
        if drift is not None:
            mapped.drift.append(drift)
        if not rows:
            return
        mapped.rows += len(rows)
        mapped.heads.append((number, rows[0]))
        lacking: dict[str, int] = {}
        for index, (row, at) in enumerate(rows):
            tell(row, at, index, received_ms, origin, mapped, lacking)
        if lacking:
            _drifted(lacking, len(rows), mapped)

    return emit


def _drifted(lacking: Mapping[str, int], rows: int, mapped: Mapped) -> None:
    """Say which required fields more than some rows lack."""
    for metric, count in lacking.items():
        if count > DRIFT_SHARE * rows:
            mapped.drift.append(f"{metric}: missing or unreadable in {count} of {rows} rows")


def _teller(
    number: int,
    category: str,
    stamp: Stamp,
    about: SubjectReader,
    event: Moment | None,
    fields: tuple[_Field, ...],
    settle: Inline,
    rest: tuple[_Field, ...],
    counted: Mapping[str, int],
) -> Tell:
    """What is done with each row: the collector's hot path, so names are bound once and calls are few.

    `settle` reads the plain numbers all at once and gives the indices of the fields that it left, `rest` are the others;
    `counted` are metrics in units of the base asset (1) or in money for one unit of it (-1).
    """
    provider, endpoint, group, weight, registry = stamp
    moment_of = event.read if event is not None else None

    def tell(
        row: Any, at: At, index: int, received_ms: int, origin: Origin, mapped: Mapped, lacking: dict[str, int]
    ) -> None:
        subject = about(row, at)
        if isinstance(subject, Unknown):
            mapped.unknown[subject.spelling] = mapped.unknown.get(subject.spelling, 0) + 1
            return
        entity, quote, units = subject
        values: dict[str, Value] = {}
        left = settle(row, values)
        for metric, read, required, path in [*rest, *(fields[one] for one in left)] if left else rest:
            value = read(row, at)
            if value is None or isinstance(value, Bad):
                if not _lack(number, index, entity, metric, path, value, required, lacking, mapped):
                    return
            else:
                values[metric] = value
        if not values:
            return
        if units != 1.0:
            _rescale(values, counted, units)
        event_ms: int | None = None
        if moment_of is not None:
            moment = moment_of(row, at)
            if type(moment) is int and EARLIEST_MS <= moment <= received_ms + AHEAD_MS:
                event_ms = moment
                if mapped.newest_event_ms is None or moment > mapped.newest_event_ms:
                    mapped.newest_event_ms = moment
            elif moment is not None:
                assert event is not None
                mapped.faults.append(_wrong_time(number, index, entity, event.path, moment, received_ms))
        said = _encode((provider, endpoint, category, entity, event_ms, quote, values))
        mapped.events.append(
            Raw(
                id=_hash(said, digest_size=ID_BYTES).hexdigest(), category=category, provider=provider, endpoint=endpoint,
                entity=entity, metrics=values, received_ms=received_ms, origin=origin, event_ms=event_ms, quote=quote,
                group=group, weight=weight, registry=registry,
            )
        )  # fmt: skip

    return tell


def _lack(
    number: int,
    index: int,
    entity: str,
    metric: str,
    path: str,
    value: Value | Bad | None,
    required: bool,
    lacking: dict[str, int],
    mapped: Mapped,
) -> bool:
    """Note a field without a usable value; whether the row can go on."""
    if isinstance(value, Bad):
        mapped.faults.append(RowFault(number, index, entity, metric, path, *value))
    elif required:
        mapped.faults.append(RowFault(number, index, entity, metric, path, "required and missing", ""))
    if required:
        lacking[metric] = lacking.get(metric, 0) + 1
    return not required


def _wrong_time(number: int, index: int, entity: str, path: str, moment: int | Bad, received_ms: int) -> RowFault:
    """The fault of a time that cannot be when the provider said it; the event goes on without it."""
    if isinstance(moment, Bad):
        return RowFault(number, index, entity, "event", path, *moment)
    said = "time before 2009" if moment < received_ms else "time in the future"
    return RowFault(number, index, entity, "event", path, said, str(moment))


def _rescale(values: dict[str, Value], counted: Mapping[str, int], units: float) -> None:
    """A code that stands for many units (1000SHIB): prices for one unit, quantities in units."""
    for metric, power in counted.items():
        value = values.get(metric)
        if type(value) is float:
            values[metric] = value * units if power > 0 else value / units


def event_id(
    provider: str,
    endpoint: str,
    category: str,
    entity: str,
    event_ms: int | None,
    quote: str | None,
    values: dict[str, Value],
) -> str:
    """The same statement fetched twice has the same id: a hash of who said what about whom, and when."""
    said = _encode((provider, endpoint, category, entity, event_ms, quote, values))
    return _hash(said, digest_size=ID_BYTES).hexdigest()
