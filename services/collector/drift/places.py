"""The places that a mapping reads, without reading them as values: where each stands, and which kinds of value it may hold. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from msgspec import structs

from schemas.metrics import Spec
from services.collector.map.paths import At, Path, parse
from services.collector.map.rows import Row, Select, each, selector
from services.collector.map.values import MINUS
from services.collector.registry.mapping import Emit, EntityRule, FieldRule, QuoteRule, TimeRule
from services.collector.registry.model import Book

Kind = Literal["number", "hex", "word", "bool", "list", "object"]
Role = Literal["field", "entity", "event", "filter"]
Elements = Callable[[Any, At], "list[Row] | None"]

MISSING: Final = object()
"""Nothing is written there; a null is something."""

NUMBER: Final[frozenset[Kind]] = frozenset({"number"})
ANY: Final[frozenset[Kind]] = frozenset({"number", "hex", "word", "bool", "list", "object"})
SCALAR: Final[frozenset[Kind]] = frozenset({"number", "hex", "word"})
READS: Final[Mapping[str, frozenset[Kind]]] = {
    "number": NUMBER,
    "integer": NUMBER,
    "clock": NUMBER,
    "calendar": frozenset({"word"}),
    "hex": frozenset({"hex"}),
    "bool": frozenset({"bool", "number", "word"}),
    "text": SCALAR,
    "spelled": SCALAR | {"bool"},
    "list": frozenset({"list", "word"}),
    "any": ANY,
}
"""How a place is read -> kinds of value that may stand there without a change of meaning: a number as text is a number."""

LEVELS: Final = "book"
"""Name of the places of an order book."""
CLOCKS: Final = frozenset({"s", "ms", "us", "ns"})
ENTITY_PATHS: Final = ("id", "symbol", "base", "quote", "contract", "chain", "hash", "address", "url")


class Place(NamedTuple):
    """Something that the mapping reads of each row: the first of `paths` that has a value."""

    name: str
    """The metric; `entity`, `event`, or `filter` for what has another role."""
    role: Role
    paths: tuple[Path, ...]
    reads: frozenset[Kind]
    required: bool
    strip: str = ""
    spellings: frozenset[str] = frozenset()
    """Words that have a meaning; any other word is a fault. Empty: all words are welcome."""
    elements: Elements | None = None
    """The list inside a row whose elements hold the value."""

    @property
    def text(self) -> str:
        """Its paths as the definition writes them."""
        return " or ".join(path.text for path in self.paths)


class Probe(NamedTuple):
    """The places of one emit, and which rows have them."""

    select: Select
    select_all: Select
    """Rows before the filter, which is a place too."""
    places: tuple[Place, ...]
    filters: tuple[Place, ...]


def probe(emit: Emit, specs: Mapping[str, Spec], where: str) -> Probe:
    """The places of an emit; paths that were refused when the mapping was compiled do not come here."""
    fields = [place for metric, rule in emit.fields.items() for place in _of_field(metric, rule, specs[metric], where)]
    filters = [
        Place("filter", "filter", (path,), ANY, required=False)
        for condition in emit.where
        if condition.present is not False and (path := parse(condition.path)).steps and _is_plain(path)
    ]
    everything = structs.replace(emit, where=[], order=None, limit=None, unique=None)
    return Probe(
        selector(emit, where),
        selector(everything, where),
        (*_of_entity(emit.entity, emit.quote), *_of_event(emit.event), *fields),
        tuple(filters),
    )


def book_probe(rule: Book, where: str) -> Probe:
    """The places of an order book: its sides, its sequence and its time."""
    rows = Emit(entity=rule.entity, rows=rule.rows, fields={})
    apart = (rule.bids, rule.asks, rule.changes)
    sides = [place for path in apart for place in _place(LEVELS, "field", path, READS["list"], required=False)]
    steps = rule.sequence
    numbers = (steps.first, steps.last, steps.previous) if steps is not None else ()
    order = [place for path in numbers for place in _place(LEVELS, "field", path, SCALAR, required=False)]
    places = (*_of_entity(rule.entity, None), *_of_event(rule.event), *sides, *order)
    select = selector(rows, where)
    return Probe(select, select, places, ())


def _is_plain(path: Path) -> bool:
    return path.origin in ("row", "root", "up") and not path.is_wild


def _readable(paths: str | list[str] | None) -> tuple[Path, ...]:
    written = [paths] if isinstance(paths, str) else paths or []
    return tuple(path for path in map(parse, written) if _is_plain(path))


def _of_entity(rule: EntityRule, quote: str | QuoteRule | None) -> Iterator[Place]:
    if rule.fixed is None:
        for name in ENTITY_PATHS:
            yield from _place("entity", "entity", getattr(rule, name), SCALAR, required=True)
    if isinstance(quote, QuoteRule):
        yield from _place("entity", "entity", quote.symbol or quote.id, SCALAR, required=True)


def _of_event(rule: TimeRule | None) -> Iterator[Place]:
    if rule is not None:
        reads = READS["clock" if rule.unit in CLOCKS else "calendar"]
        if rule.unit in CLOCKS:
            reads = reads | {"hex"}
        yield from _place("event", "event", rule.path, reads, required=False)


def _of_field(metric: str, rule: str | list[str] | FieldRule, spec: Spec, where: str) -> Iterator[Place]:
    shape = rule if isinstance(rule, FieldRule) else FieldRule(path=rule)
    if shape.fixed is not None and shape.path is None:
        return
    elements = each(shape.each, shape.where, shape.first, where) if shape.each is not None else None
    if elements is not None and not _is_plain(parse(shape.each or "")) and not parse(shape.each or "").is_wild:
        return
    yield from _place(
        metric,
        "field",
        shape.path if shape.path is not None or elements is None else ".",
        READS[_reading(shape, spec)],
        required=shape.required,
        strip=shape.strip,
        spellings=frozenset(shape.map) if shape.map is not None and shape.other is None else frozenset(),
        elements=elements,
    )
    if elements is None:
        for words in (shape.plus, shape.minus, shape.times, shape.over, [shape.decimals]):
            for word in words if isinstance(words, list) else [words]:
                if isinstance(word, str):
                    reads = READS["hex" if shape.type == "hex" and words != [shape.decimals] else "number"]
                    yield from _place(metric, "field", word, reads, required=False, strip=shape.strip)


def _place(
    name: str,
    role: Role,
    paths: str | list[str] | None,
    reads: frozenset[Kind],
    required: bool,
    strip: str = "",
    spellings: frozenset[str] = frozenset(),
    elements: Elements | None = None,
) -> Iterator[Place]:
    found = _readable(paths)
    if found:
        yield Place(name, role, found, reads, required, strip, spellings, elements)


def _reading(rule: FieldRule, spec: Spec) -> str:
    """A row of READS."""
    if rule.type in ("present", "missing", "count") or rule.take in ("count", "any", "all"):
        return "any"
    if rule.map is not None:
        return "spelled"
    if rule.type == "time" or (rule.type is None and spec.number and spec.unit == "unix_ms"):
        return "clock" if rule.time in CLOCKS else "calendar"
    if rule.type in ("number", "integer", "hex", "bool"):
        return str(rule.type)
    if spec.number:
        return "number"
    return {"bool": "bool", "texts": "list"}.get(spec.unit, "text")


def values(place: Place, row: Any, at: At) -> tuple[bool, Any]:
    """Whether anything is written at a place of a row, and the first value that is there (None: null, or nothing)."""
    if place.elements is not None:
        rows = place.elements(row, at)
        if rows is None:
            return False, None
        if not rows:
            return True, None
        row, at = rows[0]
    written = False
    for path in place.paths:
        value = reach(path, row, at)
        if value is MISSING:
            continue
        written = True
        if value is not None and value != "":
            return True, value
    return written, None


def reach(path: Path, row: Any, at: At) -> Any:
    """The value at a plain path, or MISSING; what is inside of a null is null, as the receiver of a contract's creation."""
    return _walk(start(path, row, at), path.steps)


def start(path: Path, row: Any, at: At) -> Any:
    """Where a path begins."""
    if path.origin == "root":
        return at.payload.root
    here: At | None = at
    for _ in range(path.ups - 1):
        here = here.above if here is not None else None
    if path.ups:
        return MISSING if here is None else here.enclosing
    return row


def _walk(value: Any, steps: tuple[Any, ...]) -> Any:
    for step in steps:
        if (type(value) is dict and step in value) or (
            type(value) is list and type(step) is int and -len(value) <= step < len(value)
        ):
            value = value[step]
            if value is None:
                return None
        else:
            return MISSING
    return value


def parent(path: Path, row: Any, at: At) -> tuple[dict[str, Any], int] | None:
    """The innermost object on the way of a path in which a step by name is looked up, and that step's index; None without one."""
    value = start(path, row, at)
    found = None
    for index, step in enumerate(path.steps):
        if type(value) is dict and type(step) is str:
            found = (value, index)
        value = _walk(value, (step,))
        if value is MISSING:
            break
    return found


def kind_of(value: Any, strip: str = "") -> Kind:
    """The kind of a value that is not null."""
    if type(value) is bool:
        return "bool"
    if type(value) in (int, float):
        return "number"
    if type(value) is str:
        return _kind_of_text(value, strip)
    return "list" if type(value) is list else "object"


def _kind_of_text(text: str, strip: str) -> Kind:
    if text[:2] in ("0x", "0X"):
        return "hex"
    for letter in strip + " ":
        text = text.replace(letter, "")
    try:
        float(text.replace(MINUS, "-"))
    except ValueError:
        return "word"
    return "number"
