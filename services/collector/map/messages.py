"""Socket messages: which kind each is, what its mapping gives, and which channel number means what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from schemas.events import Origin
from services.collector.map.books import BookReader
from services.collector.map.compile import Mapper, compile_emits, stamp
from services.collector.map.conditions import Predicate, predicate
from services.collector.map.entities import Sources
from services.collector.map.identity import Identity
from services.collector.map.mapped import Mapped
from services.collector.map.paths import At, Getter, getter, parse
from services.collector.map.paths import top as place
from services.collector.map.values import text
from services.collector.registry.model import Message, Provider, Stream

Kind = Literal["data", "ignore", "error", "ack", "refused", "ping", "bound", "unknown"]
Bindings = dict[str, dict[str, str]]
"""Channel number -> the parameters that its `subscribed` message gave it. One per connection."""


NO_PARAMS: Mapping[str, str] = MappingProxyType({})
NOWHERE = place(None)
"""Stands for the place of a message where nothing asks for it."""


class Heard(Struct, frozen=True):
    """What a message is, by name, and what it says."""

    kind: Kind
    message: str | None = None
    mapped: Mapped | None = None
    detail: str | None = None
    reply: Mapping[str, Any] | None = None
    """For `ping`: the message itself, to answer from."""


class _Route(NamedTuple):
    name: str
    kind: Literal["data", "ignore", "error"]
    holds: Predicate | None
    params: Mapping[str, Getter]
    bind_key: Getter | None
    bind_params: Mapping[str, Getter]
    mapper: Mapper


class StreamMapper:
    """Reads the messages of one stream. Immutable; what a connection learns is in its `Bindings`."""

    def __init__(self, provider: Provider, stream: str, identity: Identity, registry: str | None = None) -> None:
        definition: Stream = provider.streams[stream]
        where = f"streams.{stream}"
        sources = Sources(provider, identity)
        self._unwrap = _get(definition.unwrap, f"{where}.unwrap")
        self._bound_by = _get(definition.bound_by, f"{where}.bound_by")
        ack = definition.ack
        said = msgspec.json.encode([definition.ack, definition.heartbeat.when, definition.unwrap, definition.bound_by])
        self._is_plain = not any(mark in said for mark in (b'"$', b'"^'))
        self._ack = predicate(ack.when, f"{where}.ack.when") if ack is not None else None
        self._refused = predicate(ack.refused, f"{where}.ack.refused") if ack is not None else None
        self._detail = _get(ack.detail if ack is not None else None, f"{where}.ack.detail")
        heartbeat = definition.heartbeat
        self._ping = predicate(heartbeat.when, f"{where}.heartbeat.when") if heartbeat.kind == "reply" else None
        self._routes = tuple(
            self._route(name, message, provider, sources, stream, registry)
            for name, message in definition.messages.items()
        )

    def _route(
        self, name: str, message: Message, provider: Provider, sources: Sources, stream: str, registry: str | None
    ) -> _Route:
        where = f"streams.{stream}.messages.{name}"
        bind = message.bind
        return _Route(
            name=name,
            kind=message.kind,
            holds=predicate(message.when, f"{where}.when"),
            params={key: getter(parse(path, f"{where}.params.{key}")) for key, path in message.params.items()},
            bind_key=_get(bind.key if bind is not None else None, f"{where}.bind.key"),
            bind_params={
                key: getter(parse(path, f"{where}.bind.params.{key}"))
                for key, path in (bind.params if bind is not None else {}).items()
            },
            mapper=Mapper(
                compile_emits(message.emits, provider, sources, stamp(provider, stream, registry), where),
                book=BookReader(message.book, sources, f"{where}.book") if message.book is not None else None,
            ),
        )

    def read(
        self,
        payload: Any,
        received_ms: int,
        origin: Origin,
        bindings: Bindings | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Heard:
        """What one decoded message is and says."""
        given: Mapping[str, str] = params or NO_PARAMS
        top = NOWHERE if self._is_plain else place(payload, given)
        if self._ping is not None and self._ping(payload, top):
            return Heard("ping", reply=payload if type(payload) is dict else {})
        if self._refused is not None and self._refused(payload, top):
            return Heard("refused", detail=_say(self._detail, payload, top))
        if self._bound_by is not None and bindings:
            number = text(self._bound_by(payload, top))
            if isinstance(number, str) and number in bindings:
                given = {**given, **bindings[number]}
        inner = self._unwrap(payload, top) if self._unwrap is not None else None
        heard = self._match(payload if inner is None else inner, given, received_ms, origin, bindings)
        if heard is None and inner is not None:
            heard = self._match(payload, given, received_ms, origin, bindings)
        if heard is not None and heard.kind != "bound":
            return heard
        if self._ack is not None and self._ack(payload, top):
            return Heard("ack", detail=_say(self._detail, payload, top))
        return heard or Heard("unknown")

    def _match(
        self, payload: Any, given: Mapping[str, str], received_ms: int, origin: Origin, bindings: Bindings | None
    ) -> Heard | None:
        top = place(payload, given, received_ms)
        for route in self._routes:
            if route.holds is not None and not route.holds(payload, top):
                continue
            if route.bind_key is not None:
                number = text(route.bind_key(payload, top))
                if isinstance(number, str) and bindings is not None:
                    bindings[number] = _words(route.bind_params, payload, top)
                return Heard("bound", route.name)
            if route.kind != "data":
                return Heard(route.kind, route.name, detail=_say(self._detail, payload, top))
            if route.params:
                top = place(payload, {**given, **_words(route.params, payload, top)}, received_ms)
            return Heard("data", route.name, route.mapper.map_at(top, received_ms, origin))
        return None


def _get(path: str | None, where: str) -> Getter | None:
    return getter(parse(path, where)) if path is not None else None


def _words(getters: Mapping[str, Callable[[Any, At], Any]], payload: Any, top: At) -> dict[str, str]:
    read = {name: text(get(payload, top)) for name, get in getters.items()}
    return {name: value for name, value in read.items() if isinstance(value, str)}


def _say(get: Getter | None, payload: Any, top: At) -> str | None:
    said = get(payload, top) if get is not None else None
    return None if said is None else str(said)[:200]


def compile_stream(provider: Provider, stream: str, identity: Identity, registry: str | None = None) -> StreamMapper:
    """Reader of one stream's messages; DefinitionError says where the definition cannot be meant."""
    return StreamMapper(provider, stream, identity, registry)
