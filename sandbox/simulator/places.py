"""Where a value stands in a payload, so that another can be written there: the inverse of a path."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from msgspec import structs

from services.collector.map import paths
from services.collector.map.paths import At, Getter, Path, Star
from services.collector.registry.mapping import Condition, Emit, Zip


@cache
def parse(text: str) -> Path:
    """A path, read once for each spelling; definitions have some thousands."""
    return paths.parse(text)


@cache
def getter(text: str) -> Getter:
    """The mapping's getter of a path."""
    return paths.getter(parse(text))


def knowing(emit: Emit) -> Emit:
    """The emit with a condition that always holds and asks for the index: so that every row knows its own."""
    whatever = Condition(any=[Condition(path="$index", present=True), Condition(path="$index", present=False)])
    return structs.replace(emit, where=[*emit.where, whatever])


class Place(NamedTuple):
    """A list or object and the index or key in it."""

    container: Any
    key: str | int

    def read(self) -> Any:
        """What stands there."""
        return self.container[self.key]

    def write(self, value: Any) -> None:
        """Put a value there."""
        self.container[self.key] = value


class Body:
    """A decoded body: `inner` is what the mapping sees of it; `answers` are the envelopes of a JSON-RPC batch, in its order."""

    def __init__(
        self, whole: Any, inner: Any, frame: Place | None = None, answers: list[dict[str, Any]] | None = None
    ) -> None:
        self.whole = whole
        self.inner = inner
        self.frame = frame
        self.answers = answers or []
        self.reshaped = False
        """A hook made `inner` from the body: its objects are the body's, its lists and bare values are not."""

    @classmethod
    def wrapped(cls, message: Any, unwrap: str | None) -> Body:
        """A socket message of which the mapping sees the part at `unwrap`, where there is one."""
        if unwrap is not None:
            place = _walk(message, parse(unwrap).steps, None, cls(message, message))
            if place is not None and place.read() is not None:
                return cls(message, place.read(), place)
        return cls(None, message, Place([message], 0))

    @classmethod
    def of(cls, whole: Any, kind: str) -> Body:
        """The body of an answer of this kind."""
        if kind in ("jsonrpc", "graphql"):
            word = "result" if kind == "jsonrpc" else "data"
            if type(whole) is dict and word in whole:
                return cls(whole, whole[word], Place(whole, word))
            if type(whole) is list:
                answers = sorted(
                    (one for one in whole if type(one) is dict),
                    key=lambda one: (str(type(one.get("id"))), one.get("id") or 0),
                )
                return cls(whole, [one.get("result") for one in answers], None, answers)
        return cls(None, whole, Place([whole], 0))

    def document(self) -> Any:
        """The whole body with what was written into it."""
        return self.frame.read() if self.whole is None and self.frame is not None else self.whole

    def root_place(self) -> Place | None:
        """Where the mapping's whole payload stands, when it can be replaced."""
        return self.frame


def locate(text: str, row: Any, at: At, emit: Emit, body: Body) -> Place | None:
    """The place that a path of a row names; None when nothing can be written there (parameters, keys, missing steps)."""
    path = parse(text)
    if path.is_wild:
        return None
    if path.origin == "row" and isinstance(emit.rows, Zip) and path.steps:
        return _in_column(path, at, emit.rows, body)
    if path.origin == "row":
        return _walk(row, path.steps, None if path.steps else _own_place(row, at, body), body)
    if path.origin == "root":
        return _walk(at.payload.root, path.steps, body.root_place(), body)
    if path.origin == "up":
        here: At | None = at
        for _ in range(path.ups - 1):
            here = here.above if here is not None else None
        return None if here is None else _walk(here.enclosing, path.steps, None, body)
    return None


def _own_place(row: Any, at: At, body: Body) -> Place | None:
    """Where a row stands that is a bare value."""
    if row is body.inner or at.enclosing is None:
        return body.root_place()
    key = at.key if at.key is not None else at.index
    if key is not None and type(at.enclosing) in (dict, list):
        inside = _container_of(row, key, at.enclosing)
        if inside is not None:
            return Place(inside, key)
    return None


def _container_of(row: Any, key: str | int, enclosing: Any) -> Any:
    """The list or object in `enclosing` that directly holds `row` under `key`; the same bare value may stand elsewhere too."""
    if type(enclosing) is dict:
        if enclosing.get(key) is row:
            return enclosing
    elif isinstance(key, int) and key < len(enclosing) and enclosing[key] is row:
        return enclosing
    for child in enclosing.values() if type(enclosing) is dict else enclosing:
        if type(child) in (dict, list):
            found = _container_of(row, key, child)
            if found is not None:
                return found
    return None


def _walk(value: Any, steps: tuple[str | int | Star, ...], own: Place | None, body: Body) -> Place | None:
    if not steps:
        return own
    if body.answers and value is body.inner and type(steps[0]) is int:
        envelope = Place(body.answers[int(str(steps[0]))], "result")
        return envelope if len(steps) == 1 else _walk(envelope.read(), steps[1:], None, body)
    for step in steps[:-1]:
        if (type(value) is dict and step in value) or (
            type(value) is list and type(step) is int and -len(value) <= step < len(value)
        ):
            value = value[step]  # type: ignore[index]
        else:
            return None
    last = steps[-1]
    there = (type(value) is dict and last in value) or (
        type(value) is list and type(last) is int and -len(value) <= last < len(value)
    )
    return Place(value, last) if there and not isinstance(last, Star) else None


def _in_column(path: Path, at: At, rows: Zip, body: Body) -> Place | None:
    """A zipped row exists only in the mapping; its value stands in a column."""
    column = rows.zip.get(str(path.steps[0]))
    if column is None or at.index is None:
        return None
    place = _walk(body.inner, parse(column).steps, body.root_place(), body)
    values = place.read() if place is not None else None
    if type(values) is not list or at.index >= len(values):
        return None
    return Place(values, at.index) if len(path.steps) == 1 else _walk(values[at.index], path.steps[1:], None, body)


def outermost(emit: Emit, body: Body) -> Place | None:
    """Where the outermost list (or object) of an emit's rows stands; None for a single row or columns."""
    if emit.rows is None or isinstance(emit.rows, Zip):
        return None
    path = parse(emit.rows)
    steps: list[Any] = []
    for step in path.steps:
        if isinstance(step, Star):
            break
        steps.append(step)
    else:
        return None
    value: Any = body.inner
    holder = body.root_place()
    for step in steps:
        if (type(value) is dict and step in value) or (type(value) is list and type(step) is int and step < len(value)):
            holder = Place(value, step)
            value = value[step]
        else:
            return None
    wanted = dict if next(s for s in path.steps if isinstance(s, Star)).over == "entries" else list
    return holder if type(value) is wanted else None
