"""Is a proof worth its name? Each path, scale, unit, filter, order and message choice broken once; a proof must turn red."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import structs

from services.collector import proof
from services.collector.map.identity import Identity
from services.collector.registry.mapping import Condition, Emit, EntityRule, FieldRule, QuoteRule, TimeRule
from services.collector.registry.model import Book, Endpoint, Message, Provider, Stream
from services.common.errors import DefinitionError

ABSENT = "no_such_key_in_any_answer"
SCALES: Final = ("short", "count", "present", "missing")
"""Types that change the value; the others only say what the catalogue says anyway."""


class Mutant(NamedTuple):
    """A definition with one thing broken."""

    target: str
    """Endpoint or stream."""
    place: str
    what: str
    provider: Provider


class Survivor(NamedTuple):
    """A break that no proof noticed."""

    target: str
    place: str
    what: str


class Score(NamedTuple):
    """How many breaks the proofs of one provider noticed."""

    provider: str
    killed: int
    survivors: tuple[Survivor, ...]
    targets: int = 0
    """Endpoints and streams that have a proof of their own."""

    @property
    def rate(self) -> float:
        """Share of breaks noticed; 1 when there was nothing to break."""
        total = self.killed + len(self.survivors)
        return self.killed / total if total else 1.0


def score(provider: Provider, cases: Sequence[proof.Case], identity: Identity) -> Score:
    """Run the proofs of a provider against every mutant of it."""
    by_target: dict[str, list[proof.Case]] = {}
    for case in cases:
        by_target.setdefault(case.target, []).append(case)
    killed: set[Survivor] = set()
    survived: list[Survivor] = []
    for mutant in mutants(provider, by_target.keys()):
        one = Survivor(mutant.target, mutant.place, mutant.what)
        if _noticed(mutant, by_target[mutant.target], identity):
            killed.add(one)
        else:
            survived.append(one)
    twins = {name: twins_of(provider, name) for name in provider.endpoints}
    repeated = {name: _repeated(stream) for name, stream in provider.streams.items()}
    left = [
        one
        for one in survived
        if not any(one._replace(target=twin) in killed for twin in twins.get(one.target, ()))
        and not any(
            Survivor(one.target, *other) in killed
            for other in repeated.get(one.target, {}).get((one.place, one.what), ())
        )
    ]
    return Score(provider.id, len(killed) + len(survived) - len(left), tuple(left), len(by_target))


def twins_of(provider: Provider, name: str) -> list[str]:
    """Other endpoints of the same path with the same mapping (one pair, some, all): they share their proofs."""
    own = provider.endpoints[name]
    return [
        other
        for other, endpoint in provider.endpoints.items()
        if other != name and (endpoint.path, endpoint.emits, endpoint.body) == (own.path, own.emits, own.body)
    ]


def _noticed(mutant: Mutant, cases: Sequence[proof.Case], identity: Identity) -> bool:
    try:
        return any(proof.differences(case.expected, proof.run(mutant.provider, case, identity)) for case in cases)
    except DefinitionError:
        return True


def mutants(provider: Provider, targets: Any) -> Iterator[Mutant]:
    """Every break of the endpoints and streams that have a proof."""
    for name, endpoint in provider.endpoints.items():
        if name in targets:
            yield from _of_endpoint(provider, name, endpoint)
    for name, stream in provider.streams.items():
        if name in targets:
            yield from _of_stream(provider, name, stream)


def _of_endpoint(provider: Provider, name: str, endpoint: Endpoint) -> Iterator[Mutant]:
    def with_endpoint(changed: Endpoint) -> Provider:
        return structs.replace(provider, endpoints={**provider.endpoints, name: changed})

    for index, emit in enumerate(endpoint.emits):
        for what, broken in _emits(emit):
            emits = [*endpoint.emits[:index], broken, *endpoint.emits[index + 1 :]]
            yield Mutant(name, f"emits[{index}]", what, with_endpoint(structs.replace(endpoint, emits=emits)))
    if endpoint.book is not None:
        for what, book in _books(endpoint.book):
            yield Mutant(name, "book", what, with_endpoint(structs.replace(endpoint, book=book)))


def _of_stream(provider: Provider, name: str, stream: Stream) -> Iterator[Mutant]:
    def with_message(key: str, changed: Message) -> Provider:
        messages = {**stream.messages, key: changed}
        return structs.replace(provider, streams={**provider.streams, name: structs.replace(stream, messages=messages)})

    for key, message in stream.messages.items():
        for param in message.params:
            lost = structs.replace(message, params={**message.params, param: ABSENT})
            yield Mutant(name, key, f"params.{param} gone", with_message(key, lost))
    for key, message in stream.messages.items():
        for what, when in _conditions(message.when):
            yield Mutant(name, key, f"when{what}", with_message(key, structs.replace(message, when=when)))
    for key, message in stream.messages.items():
        for index, emit in enumerate(message.emits):
            for what, broken in _emits(emit):
                emits = [*message.emits[:index], broken, *message.emits[index + 1 :]]
                yield Mutant(
                    name, f"{key}.emits[{index}]", what, with_message(key, structs.replace(message, emits=emits))
                )
        if message.book is not None:
            for what, book in _books(message.book):
                yield Mutant(name, f"{key}.book", what, with_message(key, structs.replace(message, book=book)))


def _conditions(when: list[Condition]) -> Iterator[tuple[str, list[Condition]]]:
    """Ways to take a message for another kind: each condition dropped, or with another value.

    Keys that must be there are one shape and are dropped together; a type whose inside another condition reads says nothing more.
    """
    shape = [
        condition
        for condition in when
        if condition.present and condition == Condition(path=condition.path, present=True)
    ]
    if len(shape) > 1:
        yield " presence removed", [condition for condition in when if condition not in shape]
    for index, condition in enumerate(when):
        before, after = when[:index], when[index + 1 :]
        if (len(shape) == 1 or condition not in shape) and not _is_implied(condition, [*before, *after]):
            yield f"[{index}] removed", [*before, *after]
        for what, broken in _otherwise(condition):
            yield f"[{index}] {what}", [*before, broken, *after]


def _is_implied(condition: Condition, others: list[Condition]) -> bool:
    """A list or object of which another condition reads an element by value."""
    inside = ("[",) if condition.path == "." else (f"{condition.path}.", f"{condition.path}[")
    plain = condition == Condition(path=condition.path, type=condition.type)
    return plain and any(other.eq is not None and other.path.startswith(inside) for other in others)


def _repeated(stream: Stream) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Where the same condition stands in several messages (the kinds of one channel): place and break -> the other ones."""
    where: dict[bytes, list[tuple[str, str]]] = {}
    for key, message in stream.messages.items():
        for index, condition in enumerate(message.when):
            where.setdefault(msgspec.json.encode(condition), []).append((key, f"when[{index}] removed"))
    return {one: [other for other in places if other != one] for places in where.values() for one in places}


def _otherwise(condition: Condition) -> Iterator[tuple[str, Condition]]:
    if condition.eq is not None:
        other = not condition.eq if isinstance(condition.eq, bool) else ABSENT
        yield "changed", structs.replace(condition, eq=other)
    for key in ("starts", "ends", "has", "matches"):
        if getattr(condition, key) is not None:
            yield f"{key} changed", structs.replace(condition, **{key: ABSENT})
    if condition.present is not None:
        yield "turned", structs.replace(condition, present=not condition.present)
    if condition.type is not None:
        yield "type changed", structs.replace(condition, type="null" if condition.type != "null" else "text")
    for key in ("len", "min_len"):
        length = getattr(condition, key)
        if length is not None:
            yield f"{key} changed", structs.replace(condition, **{key: length + 1})
    for key, said in (("among", condition.among), ("any", condition.any)):
        for index in range(len(said or ())):
            rest = [*said[:index], *said[index + 1 :]] if said is not None else []
            yield f"{key}[{index}] removed", structs.replace(condition, **{key: rest})


def _emits(emit: Emit) -> Iterator[tuple[str, Emit]]:
    for key in ("where", "when"):
        conditions = getattr(emit, key)
        for index in range(len(conditions)):
            yield (
                f"{key}[{index}] removed",
                structs.replace(emit, **{key: [*conditions[:index], *conditions[index + 1 :]]}),
            )
    if emit.order is not None:
        yield "order turned round", structs.replace(emit, order=structs.replace(emit.order, desc=not emit.order.desc))
    if emit.limit is not None:
        yield "limit removed", structs.replace(emit, limit=None)
    if emit.unique is not None:
        yield "unique removed", structs.replace(emit, unique=None)
    if emit.event is not None:
        yield "event removed", structs.replace(emit, event=None)
        for what, event in _times(emit.event):
            yield f"event {what}", structs.replace(emit, event=event)
    if emit.quote is not None:
        other: str | QuoteRule = "dogecoin" if emit.quote != "dogecoin" else "bitcoin"
        yield "quote changed", structs.replace(emit, quote=other)
    if isinstance(emit.quote, QuoteRule):
        for key in ("symbol", "id"):
            if getattr(emit.quote, key) is not None:
                yield f"quote.{key} gone", structs.replace(emit, quote=structs.replace(emit.quote, **{key: ABSENT}))
    if isinstance(emit.rows, str):
        yield (
            "rows gone",
            structs.replace(
                emit, rows=f"{ABSENT}.{emit.rows.lstrip('$.')}" if emit.rows[0] != "$" else f"{ABSENT}{emit.rows[1:]}"
            ),
        )
    elif emit.rows is not None:
        yield from (
            (
                f"rows.{name} gone",
                structs.replace(emit, rows=structs.replace(emit.rows, zip={**emit.rows.zip, name: ABSENT})),
            )
            for name in emit.rows.zip
        )
    yield from ((f"entity {what}", structs.replace(emit, entity=entity)) for what, entity in _entities(emit.entity))
    yield from _fields(emit)


def _entities(rule: EntityRule) -> Iterator[tuple[str, EntityRule]]:
    """Ways to misread what a row is about."""
    for key in ("id", "symbol", "base", "quote", "chain", "contract", "hash", "address", "url", "strike", "right"):
        if getattr(rule, key) is not None:
            yield f"{key} gone", structs.replace(rule, **{key: ABSENT})
    if rule.base is not None and rule.quote is not None:
        yield "base and quote swapped", structs.replace(rule, base=rule.quote, quote=rule.base)
    for key, other in (("chain_is", ("ethereum", "bitcoin")), ("quote_is", ("dogecoin", "bitcoin"))):
        if getattr(rule, key) is not None:
            yield f"{key} changed", structs.replace(rule, **{key: other[getattr(rule, key) == other[0]]})
    if rule.expiry is not None:
        yield "expiry path gone", structs.replace(rule, expiry=structs.replace(rule.expiry, path=ABSENT))


def _times(rule: TimeRule) -> Iterator[tuple[str, TimeRule]]:
    if isinstance(rule.path, list):
        for index in range(len(rule.path)):
            yield f"path[{index}] removed", structs.replace(rule, path=[*rule.path[:index], *rule.path[index + 1 :]])
    yield "path gone", structs.replace(rule, path=ABSENT)
    other = {
        "s": "ms",
        "ms": "s",
        "us": "ms",
        "ns": "us",
        "epoch": "ns",
        "iso": "ms",
        "rfc822": "ms",
        "date": "s",
        "format": "ms",
    }
    yield "unit changed", structs.replace(rule, unit=other[rule.unit], format=None)
    if rule.then is not None:
        yield "then removed", structs.replace(rule, then=None)
    if rule.add_s:
        yield "add_s removed", structs.replace(rule, add_s=0.0)
    if rule.zone_h:
        yield "zone_h removed", structs.replace(rule, zone_h=0.0)


def _fields(emit: Emit) -> Iterator[tuple[str, Emit]]:
    names = list(emit.fields)
    rules = {name: rule if isinstance(rule, FieldRule) else FieldRule(path=rule) for name, rule in emit.fields.items()}

    def with_rule(name: str, rule: FieldRule) -> Emit:
        return structs.replace(emit, fields={**rules, name: rule})

    for name in names:
        yield (
            f"{name}: removed",
            structs.replace(emit, fields={key: rule for key, rule in rules.items() if key != name}),
        )
        for what, rule in _rules(rules[name]):
            yield f"{name}: {what}", with_rule(name, rule)
    for one, other in pairwise(names):
        first, second = rules[one], rules[other]
        if first.path is None or second.path is None or first.path == second.path:
            continue
        swapped = {
            **rules,
            one: structs.replace(first, path=second.path),
            other: structs.replace(second, path=first.path),
        }
        yield f"{one} and {other}: paths swapped", structs.replace(emit, fields=swapped)


def _rules(rule: FieldRule) -> Iterator[tuple[str, FieldRule]]:
    if rule.path is not None and not (rule.each is not None and rule.take in ("count", "any")):
        yield "path gone", structs.replace(rule, path=ABSENT)
    if isinstance(rule.path, list):
        for index in range(len(rule.path)):
            yield f"path[{index}] removed", structs.replace(rule, path=[*rule.path[:index], *rule.path[index + 1 :]])
    if rule.unit is not None:
        yield "unit removed", structs.replace(rule, unit=None)
    if rule.decimals is not None:
        yield "decimals removed", structs.replace(rule, decimals=None)
    for key in ("plus", "minus", "times", "over"):
        if getattr(rule, key) not in ([], None):
            yield f"{key} removed", structs.replace(rule, **{key: []})
    for key in ("invert", "abs"):
        if getattr(rule, key):
            yield f"{key} removed", structs.replace(rule, **{key: False})
    if rule.complement is not None:
        yield "complement removed", structs.replace(rule, complement=None)
    if rule.map is not None and len(set(rule.map.values())) > 1:
        keys = list(rule.map)
        turned = dict(zip(keys, [*list(rule.map.values())[1:], rule.map[keys[0]]], strict=True))
        yield "map turned", structs.replace(rule, map=turned)
    for index in range(len(rule.where)):
        yield f"where[{index}] removed", structs.replace(rule, where=[*rule.where[:index], *rule.where[index + 1 :]])
    if rule.first is not None:
        yield "first removed", structs.replace(rule, first=None)
    turned_take = {"max": "min", "min": "max", "sum": "max", "mean": "max", "any": "all", "all": "any"}
    if rule.take in turned_take:
        yield "take turned", structs.replace(rule, take=turned_take[rule.take])
    if rule.by is not None:
        yield "by gone", structs.replace(rule, by=ABSENT)
    if rule.strip:
        yield "strip removed", structs.replace(rule, strip="")
    if rule.type in SCALES:
        yield "type removed", structs.replace(rule, type=None)
    if rule.type == "time" or rule.time != "ms":
        yield "time changed", structs.replace(rule, time="ns" if rule.time != "ns" else "s")
    if rule.html:
        yield "html removed", structs.replace(rule, html=False)
    if rule.split is not None:
        yield "split removed", structs.replace(rule, split=None)
    if rule.other is not None:
        yield "other removed", structs.replace(rule, other=None)


def _books(book: Book) -> Iterator[tuple[str, Book]]:
    if book.bids is not None and book.asks is not None:
        yield "bids and asks swapped", structs.replace(book, bids=book.asks, asks=book.bids)
    yield "price and size swapped", structs.replace(book, price=book.size, size=book.price)
    for key in ("price", "size", "ask_price", "ask_size"):
        rule = getattr(book, key)
        if isinstance(rule, FieldRule):
            for what, broken in _rules(rule):
                yield f"{key} {what}", structs.replace(book, **{key: broken})
        elif rule is not None:
            yield f"{key} gone", structs.replace(book, **{key: ABSENT})
    for key in ("bids", "asks", "changes", "side", "count", "rows"):
        if getattr(book, key) is not None:
            yield f"{key} gone", structs.replace(book, **{key: ABSENT})
    if book.signed:
        yield "signed removed", structs.replace(book, signed=False)
    yield from ((f"entity {what}", structs.replace(book, entity=entity)) for what, entity in _entities(book.entity))
    if book.sequence is not None:
        for key in ("first", "last", "previous"):
            if getattr(book.sequence, key) is not None:
                yield (
                    f"sequence.{key} gone",
                    structs.replace(book, sequence=structs.replace(book.sequence, **{key: ABSENT})),
                )
    if book.event is not None:
        yield "event removed", structs.replace(book, event=None)
        for what, event in _times(book.event):
            yield f"event {what}", structs.replace(book, event=event)
    if book.kind_when:
        yield "kind_when removed", structs.replace(book, kind_when=[])
    if len(book.sides) > 1:
        keys = list(book.sides)
        yield "sides turned", structs.replace(book, sides={keys[0]: book.sides[keys[1]], keys[1]: book.sides[keys[0]]})
