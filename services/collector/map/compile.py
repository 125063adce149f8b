"""Definitions compiled once to plain closures: payload and parameters in, raw events out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from schemas import metrics as catalogue
from schemas.events import Origin, Raw, Value
from services.collector.map.books import BookReader
from services.collector.map.entities import (
    EntityReader,
    NameReader,
    Scaled,
    Sources,
    Unknown,
    entity_reader,
    quote_reader,
)  # fmt: skip
from services.collector.map.fields import Reader, reader
from services.collector.map.hooks import HOOKS
from services.collector.map.identity import Identity
from services.collector.map.mapped import Mapped, RowFault
from services.collector.map.moments import Moment
from services.collector.map.paths import At, top
from services.collector.map.rows import Select, selector
from services.collector.map.values import Bad, plausible_time
from services.collector.registry.mapping import Emit, FieldRule
from services.collector.registry.model import Endpoint, Provider
from services.common.errors import DefinitionError

_encode = msgspec.json.Encoder().encode

DRIFT_SHARE = 0.5
"""More than this share of the rows without a required field: the shape has changed, not a row."""


class _Field(NamedTuple):
    metric: str
    read: Reader
    required: bool
    path: str


class _Emitter(NamedTuple):
    """One emit, compiled."""

    category: str
    select: Select
    entity: EntityReader
    quote: NameReader | None
    event: Moment | None
    fields: tuple[_Field, ...]
    counted: Mapping[str, int]
    """Metrics counted in units of the base asset (1) or in money for one unit of it (-1)."""


class Stamp(NamedTuple):
    """What every event of one mapper carries."""

    provider: str
    endpoint: str
    group: str | None
    weight: float
    registry: str | None


class Mapper:
    """Maps payloads of one endpoint (or one kind of message)."""

    def __init__(
        self, emitters: tuple[_Emitter, ...], stamp: Stamp, hook: str | None = None, book: BookReader | None = None
    ) -> None:
        self._emitters = emitters
        self._stamp = stamp
        self._book = book
        self._hook = HOOKS[hook] if hook is not None else None

    def map(self, payload: Any, params: Mapping[str, str], received_ms: int, origin: Origin) -> Mapped:
        """Events of a decoded payload; faults, unknown entities and drift as values, never an exception for data."""
        mapped = Mapped([], [], [], {}, [])
        if self._hook is not None:
            payload = self._hook(payload, params)
        here = top(payload, params, received_ms)
        for number, emitter in enumerate(self._emitters):
            _emit(number, emitter, here, received_ms, origin, self._stamp, mapped)
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
    emitters = compile_emits(definition.emits, provider, sources, f"endpoints.{endpoint}")
    where = f"endpoints.{endpoint}.book"
    book = BookReader(definition.book, sources, where) if definition.book is not None else None
    return Mapper(emitters, stamp(provider, endpoint, registry), definition.hook, book)


def stamp(provider: Provider, endpoint: str, registry: str | None) -> Stamp:
    """The part of every event that the definition fixes."""
    return Stamp(provider.id, endpoint, provider.group, provider.weight, registry)


def compile_emits(emits: list[Emit], provider: Provider, sources: Sources, where: str) -> tuple[_Emitter, ...]:
    """All emits of an endpoint or message."""
    return tuple(_compile(emit, provider, sources, f"{where}.emits[{index}]") for index, emit in enumerate(emits))


def _compile(emit: Emit, provider: Provider, sources: Sources, where: str) -> _Emitter:
    specs = catalogue.load()
    category = emit.category or provider.home
    fields: list[_Field] = []
    for metric, rule in emit.fields.items():
        place = f"{where}.fields.{metric}"
        spec = specs.get(metric)
        if spec is None or spec.category != category:
            said = "no metric of that name" if spec is None else f"a metric of {spec.category}"
            raise DefinitionError(where=place, expected=f"a metric of category {category}", got=said)
        shape = rule if isinstance(rule, FieldRule) else FieldRule(path=rule)
        path = shape.path if isinstance(shape.path, str) else (shape.path or [shape.each or ""])[0]
        fields.append(_Field(metric, reader(shape, spec, provider.nulls, place), shape.required, path))
    return _Emitter(
        category=category,
        select=selector(emit, where),
        entity=entity_reader(emit.entity, sources, where),
        quote=quote_reader(emit.quote, sources, emit.entity, where),
        event=Moment(emit.event, f"{where}.event") if emit.event is not None else None,
        fields=tuple(fields),
        counted={
            metric: 1 if specs[metric].unit == "base" else -1
            for metric in emit.fields
            if specs[metric].unit in ("base", "quote_per_base")
        },
    )


def _emit(
    number: int,
    emitter: _Emitter,
    here: At,
    received_ms: int,
    origin: Origin,
    stamp: Stamp,
    mapped: Mapped,
) -> None:
    selected = emitter.select(here)
    if selected.drift is not None:
        mapped.drift.append(selected.drift)
    rows = selected.rows
    mapped.rows += len(rows)
    lacking: dict[str, int] = {}
    for index, (row, at) in enumerate(rows):
        entity = emitter.entity(row, at)
        if isinstance(entity, Unknown):
            mapped.unknown[entity.spelling] = mapped.unknown.get(entity.spelling, 0) + 1
            continue
        units = 1.0
        if isinstance(entity, Scaled):
            entity, units = entity
        values = _values(number, index, emitter, row, at, entity, lacking, mapped)
        if not values:
            continue
        if units != 1.0:
            _rescale(values, emitter.counted, units)
        quote: str | None = None
        if emitter.quote is not None:
            named = emitter.quote(row, at)
            if isinstance(named, Unknown):
                mapped.unknown[named.spelling] = mapped.unknown.get(named.spelling, 0) + 1
                continue
            quote = named
        event_ms: int | None = None
        if emitter.event is not None:
            moment = emitter.event(row, at)
            if type(moment) is int:
                if plausible_time(moment, received_ms):
                    event_ms = moment
                    if mapped.newest_event_ms is None or moment > mapped.newest_event_ms:
                        mapped.newest_event_ms = moment
                else:
                    said = "time before 2009" if moment < received_ms else "time in the future"
                    mapped.faults.append(
                        RowFault(number, index, entity, "event", emitter.event.path, said, str(moment))
                    )
            elif isinstance(moment, Bad):
                mapped.faults.append(RowFault(number, index, entity, "event", emitter.event.path, *moment))
        mapped.events.append(
            Raw(
                id=event_id(stamp.provider, stamp.endpoint, emitter.category, entity, event_ms, quote, values),
                category=emitter.category,
                provider=stamp.provider,
                endpoint=stamp.endpoint,
                entity=entity,
                metrics=values,
                received_ms=received_ms,
                origin=origin,
                event_ms=event_ms,
                quote=quote,
                group=stamp.group,
                weight=stamp.weight,
                registry=stamp.registry,
            )
        )
    for metric, count in lacking.items():
        if count > DRIFT_SHARE * len(rows):
            mapped.drift.append(f"{metric}: missing or unreadable in {count} of {len(rows)} rows")


def _values(
    number: int,
    index: int,
    emitter: _Emitter,
    row: Any,
    at: At,
    entity: str,
    lacking: dict[str, int],
    mapped: Mapped,
) -> dict[str, Value] | None:
    """Metrics of a row; None when a required one is missing (noted as a fault)."""
    values: dict[str, Value] = {}
    for metric, read, required, path in emitter.fields:
        value = read(row, at)
        if type(value) is Bad:
            mapped.faults.append(RowFault(number, index, entity, metric, path, *value))
        elif value is not None:
            values[metric] = value  # type: ignore[assignment]
            continue
        if required:
            lacking[metric] = lacking.get(metric, 0) + 1
            if value is None:
                mapped.faults.append(RowFault(number, index, entity, metric, path, "required and missing", ""))
            return None
    return values


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
    return hashlib.blake2b(said, digest_size=12).hexdigest()
