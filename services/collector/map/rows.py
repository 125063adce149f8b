"""Row selection: which parts of a payload are rows, in which order, and where each stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from services.collector.map.conditions import Predicate, predicate
from services.collector.map.paths import At, Path, Star, getter, parse, walker
from services.collector.map.values import number
from services.collector.registry.mapping import Condition, Emit, Order, Zip

Row = tuple[Any, At]
Select = Callable[[At], "Selected"]


class Selected(NamedTuple):
    """Rows that count, and why the shape is not the expected one (None when it is)."""

    rows: list[Row]
    drift: str | None


class _Level(NamedTuple):
    walk: Callable[[Any], Any]
    star: Star
    text: str


def selector(emit: Emit, where: str) -> Select:
    """Selector of an emit: rows, where, order, unique, limit."""
    alike = b"$index" not in msgspec.json.encode(emit)
    choose = _zipped(emit.rows, where) if isinstance(emit.rows, Zip) else _chosen(emit.rows, where, alike)
    holds = predicate(emit.when, f"{where}.when")
    keep = predicate(emit.where, f"{where}.where")
    arrange = _arranged(emit, where)
    optional = emit.optional

    def select(top: At) -> Selected:
        payload = top.payload.root
        if holds is not None and not holds(payload, top):
            return Selected([], None)
        rows, drift = choose(payload, top)
        if keep is not None:
            rows = [row for row in rows if keep(row[0], row[1])]
        if arrange is not None:
            rows = arrange(rows)
        return Selected(rows, None if optional else drift)

    return select


def is_single(emit: Emit) -> bool:
    """Whether the payload itself is the one row, as in most socket messages."""
    return emit.rows is None and emit.order is None and emit.limit is None and emit.unique is None


Choose = Callable[[Any, At], tuple[list[Row], str | None]]


def _chosen(text: str | None, where: str, alike: bool = False) -> Choose:
    if text is None:
        return lambda payload, top: ([(payload, top)], None)
    path = parse(text, f"{where}.rows")
    levels, tail = _levels(path)
    if not levels:
        walk = walker(path.steps)

        def one(payload: Any, top: At) -> tuple[list[Row], str | None]:
            row = walk(payload)
            if row is None:
                return [], f"{text}: nothing there"
            return [(row, At(top.payload, payload, top))], None

        return one
    if len(levels) == 1 and not tail and levels[0].star.over != "entries":
        return _flat(levels[0], text, alike)

    def nested(payload: Any, top: At) -> tuple[list[Row], str | None]:
        faults: list[str] = []
        rows: list[Row] = [(payload, top)]
        for level in levels:
            rows = [inner for row in rows for inner in _spread(level, row, faults)]
        if tail:
            reach = walker(tail)
            rows = [(value, at) for value, at in ((reach(row), at) for row, at in rows) if value is not None]
        return rows, faults[0] if faults and not rows else None

    return nested


def _flat(level: _Level, text: str, alike: bool) -> Choose:
    """The usual case, one list. Rows that never ask for their index stand at one place, made once."""
    walk = level.walk
    single = level.star.over == "one_or_list"
    many = level.star.many

    def flat(payload: Any, top: At) -> tuple[list[Row], str | None]:
        found = walk(payload)
        if type(found) is list:
            if many > 1:
                found = grouped(found, many)
            whole = top.payload
            if alike:
                at = At(whole, payload, top)
                return [(row, at) for row in found], None
            return [(row, At(whole, payload, top, None, index)) for index, row in enumerate(found)], None
        if single and type(found) is dict:
            return [(found, At(top.payload, payload, top, None, 0))], None
        return [], None if found is None and _is_null(level, payload) else _wrong(text, "a list", found)

    return flat


def _spread(level: _Level, row: Row, faults: list[str]) -> Iterator[Row]:
    value, at = row
    found = level.walk(value)
    over = level.star.over
    if over == "entries":
        if type(found) is dict:
            for key, inner in found.items():
                yield inner, At(at.payload, value, at, key)
            return
    elif type(found) is list:
        for index, inner in enumerate(grouped(found, level.star.many)):
            yield inner, At(at.payload, value, at, None, index)
        return
    elif over == "one_or_list" and type(found) is dict:
        yield found, At(at.payload, value, at, None, 0)
        return
    if found is not None or not _is_null(level, value):
        faults.append(_wrong(level.text, "an object" if over == "entries" else "a list", found))


def grouped(found: list[Any], many: int) -> list[Any]:
    """Elements by `many`, each group a row; what is left over at the end is no row."""
    if many == 1:
        return found
    return [found[start : start + many] for start in range(0, len(found) - many + 1, many)]


def _is_null(level: _Level, value: Any) -> bool:
    """Whether the container is written and null (no rows), not missing (drift)."""
    steps = level.text
    if value is None:
        return not steps
    return level.walk(value) is None and _written(value, steps)


def _written(value: Any, text: str) -> bool:
    for step in parse(text).steps if text else ():
        if not _has(value, step):
            return False
        value = value[step]
    return value is None


def _has(value: Any, step: str | int | Star) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and -len(value) <= step < len(value)
    return isinstance(value, dict) and step in value


def _wrong(text: str, wanted: str, found: Any) -> str:
    came = "nothing" if found is None else f"{type(found).__name__}"
    return f"{text or 'payload'}: expected {wanted}, got {came}"


def _levels(path: Path) -> tuple[list[_Level], tuple[str | int | Star, ...]]:
    levels: list[_Level] = []
    steps: list[str | int | Star] = []
    for step in path.steps:
        if isinstance(step, Star):
            levels.append(_Level(walker(tuple(steps)), step, _spell(steps)))
            steps = []
        else:
            steps.append(step)
    return levels, tuple(steps)


def _spell(steps: list[str | int | Star]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f'["{step}"]' for step in steps)


def _zipped(rows: Zip, where: str) -> Choose:
    columns = {name: walker(parse(text, f"{where}.rows.zip.{name}").steps) for name, text in rows.zip.items()}

    def choose(payload: Any, top: At) -> tuple[list[Row], str | None]:
        lists = {name: walk(payload) for name, walk in columns.items()}
        for name, column in lists.items():
            if type(column) is not list:
                return [], _wrong(rows.zip[name], "a list", column)
        lengths = {len(column) for column in lists.values()}
        if len(lengths) != 1:
            return [], f"columns {', '.join(rows.zip)}: expected lists of one length, got {sorted(lengths)}"
        names = tuple(lists)
        return [
            (dict(zip(names, values, strict=True)), At(top.payload, payload, top, None, index))
            for index, values in enumerate(zip(*lists.values(), strict=True))
        ], None

    return choose


def _arranged(emit: Emit, where: str) -> Callable[[list[Row]], list[Row]] | None:
    if emit.order is None and emit.limit is None and emit.unique is None:
        return None
    sort = _sorted(emit.order, where) if emit.order is not None else None
    mark = getter(parse(emit.unique, f"{where}.unique")) if emit.unique is not None else None
    limit = emit.limit

    def arrange(rows: list[Row]) -> list[Row]:
        if sort is not None:
            rows = sort(rows)
        if mark is not None:
            seen: set[str] = set()
            rows = [row for row in rows if _first_time(repr(mark(*row)), seen)]
        return rows if limit is None else rows[:limit]

    return arrange


def _first_time(mark: str, seen: set[str]) -> bool:
    new = mark not in seen
    seen.add(mark)
    return new


def _sorted(order: Order, where: str) -> Callable[[list[Row]], list[Row]]:
    get = getter(parse(order.by, f"{where}.order.by"))
    sign = -1.0 if order.desc else 1.0

    def rank(row: Row) -> tuple[int, float, str]:
        value = get(*row)
        read = number(value) if type(value) in (int, float, str) else None
        if isinstance(read, float):
            return (0, sign * read, "")
        return (1, 0.0, value) if type(value) is str and value else (2, 0.0, "")

    def sort(rows: list[Row]) -> list[Row]:
        ranked = sorted(rows, key=rank)
        words = [row for row in ranked if rank(row)[0] == 1]
        if order.desc and words:
            numbers = [row for row in ranked if rank(row)[0] == 0]
            rest = [row for row in ranked if rank(row)[0] == 2]
            return numbers + words[::-1] + rest
        return ranked

    return sort


def _holder(path: Path) -> Callable[[Any], Any]:
    """What stands where the elements begin."""
    steps = list(path.steps)
    first = next((index for index, step in enumerate(steps) if isinstance(step, Star)), len(steps))
    return walker(tuple(steps[:first]))


def each(
    text: str, conditions: Sequence[Condition], first: int | None, where: str
) -> Callable[[Any, At], list[Row] | None]:
    """Elements of a list inside a row, the row that encloses it, or the payload; None when the list is not there, or null."""
    path = parse(text, where)
    choose = _chosen(text if path.is_wild else f"{text}[*]", where)
    holder = _holder(path)
    start = getter(path._replace(steps=()))
    keep: Predicate | None = predicate(conditions, where)

    def elements(row: Any, at: At) -> list[Row] | None:
        source = start(row, at)
        rows, drift = choose(source, At(at.payload, row, at))
        if drift is not None or (not rows and holder(source) is None):
            return None
        if keep is not None:
            rows = [inner for inner in rows if keep(*inner)]
        return rows if first is None else rows[:first]

    return elements
