"""Field rules compiled to readers `(row, at) -> value, None (no value) or Bad (there, but unusable)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from schemas.events import Value
from schemas.metrics import Spec
from services.collector.map import units
from services.collector.map.conditions import same
from services.collector.map.inline import PlainNumber
from services.collector.map.paths import At, getter, key_of, parse
from services.collector.map.rows import Row, each
from services.collector.map.values import (
    MAX,
    Bad,
    bad,
    flag,
    hexadecimal,
    integer,
    number,
    short,
    text,
    texts,
    time_reader,
)  # fmt: skip
from services.collector.map.words import word_of
from services.collector.registry.mapping import FieldRule, Scalar
from services.common.errors import DefinitionError

Reader = Callable[[Any, At], "Value | Bad | None"]
Number = Callable[[Any, At], "float | int | Bad | None"]
Getter = Callable[[Any, At], Any]


def reader(rule: FieldRule, spec: Spec, nulls: Sequence[Scalar], where: str) -> Reader:
    """Reader of one metric in the catalogue's unit; values outside its plausible range are Bad."""
    kind = rule.type or _kind_of(spec)
    if rule.fixed is not None and rule.path is None:
        return _fixed(rule.fixed, spec, where)
    if kind in ("present", "missing"):
        return _presence(rule, nulls, kind == "present", where)
    if not spec.number:
        return _words(rule, spec, nulls, kind, where)
    return _quantity(rule, spec, nulls, kind, where)


def _kind_of(spec: Spec) -> str:
    if spec.number:
        return "time" if spec.unit == "unix_ms" else "number"
    return {"bool": "bool", "texts": "list"}.get(spec.unit, "text")


def _fixed(value: Scalar, spec: Spec, where: str) -> Reader:
    fits = type(value) in (int, float) if spec.number else type(value) is (bool if spec.unit == "bool" else str)
    if not fits:
        raise DefinitionError(where=f"{where}.is", expected=f"a value of unit {spec.unit}", got=repr(value))
    constant: Value = float(value) if spec.number else value
    return lambda row, at: constant


def _nothing(nulls: Sequence[Scalar]) -> Callable[[Any], bool] | None:
    if not nulls:
        return None
    tests = [same(null) for null in nulls]
    return lambda value: any(test(value) for test in tests)


def found(rule: FieldRule, nulls: Sequence[Scalar], where: str) -> Getter:
    """First path with a value; null spellings are no value."""
    paths = [rule.path] if isinstance(rule.path, str) else list(rule.path or ["."])
    getters = [getter(parse(path, f"{where}.path")) for path in paths]
    empty = _nothing([*nulls, *rule.nulls])
    if len(getters) == 1 and empty is None:
        return getters[0]

    def get(row: Any, at: At) -> Any:
        for one in getters:
            value = one(row, at)
            if value is not None and value != "" and (empty is None or not empty(value)):
                return value
        return None

    return get


def _presence(rule: FieldRule, nulls: Sequence[Scalar], wanted: bool, where: str) -> Reader:
    get = found(rule, nulls, where)
    return lambda row, at: (get(row, at) not in (None, "", [], {})) is wanted


def amount(rule: FieldRule, where: str) -> Number:
    """Reader of a number that is no metric of its own, as the price of a level."""
    parse_value = _number_of(rule, rule.type or "number", where)
    return _worked(rule, parse_value, (), where) or _simple(rule, parse_value, (), where)


def _quantity(rule: FieldRule, spec: Spec, nulls: Sequence[Scalar], kind: str, where: str) -> Reader:
    low, high = spec.plausible or (-MAX, MAX)
    parse_value = _number_of(rule, kind, where)
    work = _worked(rule, parse_value, nulls, where)
    factor = units.factor(rule.unit, spec.unit, f"{where}.unit")
    divisor = 1.0 if factor == 1.0 else _divisor(factor)
    base: Number = work or _simple(rule, parse_value, nulls, where)

    def read(row: Any, at: At) -> Value | Bad | None:
        value = base(row, at)
        if value is None or isinstance(value, Bad):
            return value
        try:
            scaled = value / divisor if divisor is not None else value * factor
        except OverflowError:
            return bad("not finite", str(value)[:80])
        if low <= scaled <= high:
            return scaled
        return bad(f"outside the plausible range {low:g} to {high:g}", scaled)

    return read


def _divisor(factor: float) -> float | None:
    """n for a factor 1/n: dividing rounds once, multiplying by 1e-9 twice."""
    whole = round(1.0 / factor) if 0.0 < factor < 1.0 else 0
    return float(whole) if whole and 1.0 / whole == factor else None


def plain(
    index: int, metric: str, rule: FieldRule, spec: Spec, nulls: Sequence[Scalar], where: str
) -> PlainNumber | None:
    """The field as one number under one key of the row, when it is no more than that."""
    kind = rule.type or _kind_of(spec)
    if (
        kind != "number"
        or not spec.number
        or rule.fixed is not None
        or rule.each is not None
        or not isinstance(rule.path, str)
    ):
        return None
    work = (rule.abs, rule.plus, rule.minus, rule.times, rule.over, rule.decimals is not None, rule.invert)
    if (
        any(part not in (False, []) for part in work)
        or rule.complement is not None
        or rule.map is not None
        or rule.strip
    ):
        return None
    key = key_of(parse(rule.path, f"{where}.path"))
    if key is None:
        return None
    factor = units.factor(rule.unit, spec.unit, f"{where}.unit")
    divisor = 1.0 if factor == 1.0 else _divisor(factor)
    low, high = spec.plausible or (-MAX, MAX)
    return PlainNumber(index, metric, key, (*nulls, *rule.nulls), divisor, factor, low, high, rule.required)


def _number_of(rule: FieldRule, kind: str, where: str) -> Callable[[Any], float | int | Bad | None]:
    if kind == "time":
        return time_reader(rule.time)
    if kind == "count":
        return lambda value: float(len(value)) if type(value) in (list, dict, str) else None
    if kind == "hex":
        return hexadecimal
    if kind == "bool":
        return flag
    if kind not in ("number", "short", "integer"):
        raise DefinitionError(
            where=f"{where}.type", expected="a number's type", got=kind, do="the catalogue's metric is a number"
        )
    plain: Callable[[Any], float | int | Bad | None] = (
        integer if kind == "integer" or rule.decimals is not None else short if kind == "short" else number
    )
    strip = _stripper(rule.strip)
    if rule.map is None:
        return plain if strip is None else lambda value: plain(strip(value))
    return _mapped(rule, plain, strip)


def _mapped(
    rule: FieldRule, plain: Callable[[Any], Any], strip: Callable[[Any], Any] | None
) -> Callable[[Any], float | int | Bad | None]:
    table = rule.map or {}
    other = rule.other

    def read(value: Any) -> float | int | Bad | None:
        spelled = text(value)
        if spelled is None or isinstance(spelled, Bad):
            return spelled
        if spelled in table:
            return plain(table[spelled])  # type: ignore[no-any-return]
        if other is not None:
            return plain(other)  # type: ignore[no-any-return]
        return bad(f"not one of {', '.join(table)}", value)

    return read


def _stripper(characters: str) -> Callable[[Any], Any] | None:
    if not characters:
        return None
    drop = str.maketrans("", "", characters + " ")
    return lambda value: value.translate(drop) if type(value) is str else value


def _simple(rule: FieldRule, parse_value: Callable[[Any], Any], nulls: Sequence[Scalar], where: str) -> Number:
    if rule.each is not None:
        return _taken(rule, parse_value, nulls, where)
    get = found(rule, nulls, where)
    return lambda row, at: parse_value(get(row, at))


def _taken(rule: FieldRule, parse_value: Callable[[Any], Any], nulls: Sequence[Scalar], where: str) -> Number:
    elements = each(rule.each or "", rule.where, rule.first, f"{where}.each")
    get = found(rule, nulls, where)
    take = rule.take or "sum"
    choose = _extreme(rule, where)
    whole = each(rule.each or "", (), None, f"{where}.each")

    def read(row: Any, at: At) -> float | int | Bad | None:
        rows = elements(row, at)
        if rows is None:
            return None
        if take == "count":
            return float(len(rows))
        if not rows and take == "sum" and not whole(row, at):
            return None
        if choose is not None:
            rows = choose(rows)
        values: list[float] = []
        for inner in rows:
            value = parse_value(get(*inner))
            if isinstance(value, Bad):
                return value
            if value is not None:
                values.append(value)
        return _reduced(take, values) if values or not rows else None

    return read


def _extreme(rule: FieldRule, where: str) -> Callable[[list[Row]], list[Row]] | None:
    """The one element that is largest or smallest by another number; None when the rule names none."""
    if rule.by is None:
        return None
    get, sign = getter(parse(rule.by, f"{where}.by")), 1.0 if rule.take == "max" else -1.0

    def choose(rows: list[Row]) -> list[Row]:
        best: Row | None = None
        highest = -MAX
        for row in rows:
            size = number(get(*row))
            if isinstance(size, float) and (best is None or sign * size > highest):
                best, highest = row, sign * size
        return [] if best is None else [best]

    return choose


def _reduced(take: str, values: list[float]) -> float | None:
    if not values:
        return 0.0 if take == "sum" else None
    if take == "mean":
        return sum(values) / len(values)
    if take == "spread":
        return max(values) - min(values)
    if take == "first":
        return values[0]
    if take == "last":
        return values[-1]
    if take == "max":
        return max(values)
    return min(values) if take == "min" else float(sum(values))


def _worked(rule: FieldRule, parse_value: Callable[[Any], Any], nulls: Sequence[Scalar], where: str) -> Number | None:
    """Arithmetic of a rule, in the order of its keys; None when it has none."""
    steps: list[Callable[[float, Any, At], float | Bad | None]] = []
    for key, words in (("plus", rule.plus), ("minus", rule.minus), ("times", rule.times), ("over", rule.over)):
        for word in words if isinstance(words, list) else [words]:
            steps.append(_step(key, word, hexadecimal if rule.type == "hex" else number, nulls, f"{where}.{key}"))
    if rule.abs:
        steps.insert(0, lambda value, row, at: abs(value))
    if rule.decimals is not None:
        steps.append(_descaled(rule.decimals, where))
    if rule.invert:
        steps.append(lambda value, row, at: 1.0 / value if value else None)
    if rule.complement is not None:
        whole = rule.complement
        steps.append(lambda value, row, at: whole - value)
    if not steps:
        return None
    base = _simple(rule, parse_value, nulls, where)

    def work(row: Any, at: At) -> float | int | Bad | None:
        value = base(row, at)
        for step in steps:
            if value is None or isinstance(value, Bad):
                return value
            value = step(value, row, at)
        return value

    return work


def _step(
    key: str,
    word: str | float,
    parse_value: Callable[[Any], float | int | Bad | None],
    nulls: Sequence[Scalar],
    where: str,
) -> Callable[[float, Any, At], float | Bad | None]:
    if isinstance(word, str):
        get = found(FieldRule(path=word), nulls, where)

        def operand(row: Any, at: At) -> float | int | Bad | None:
            return parse_value(get(row, at))
    else:
        constant = float(word)

        def operand(row: Any, at: At) -> float | int | Bad | None:
            return constant

    def step(value: float, row: Any, at: At) -> float | Bad | None:
        other = operand(row, at)
        if other is None or isinstance(other, Bad):
            return other
        if key == "plus":
            return value + other
        if key == "minus":
            return value - other
        if key == "times":
            return value * other
        return value / other if other else None

    return step


MAX_DECIMALS = 80


def _descaled(decimals: int | str, where: str) -> Callable[[float, Any, At], float | Bad | None]:
    get: Getter = (
        (lambda row, at: decimals) if isinstance(decimals, int) else getter(parse(decimals, f"{where}.decimals"))
    )

    def descale(value: float, row: Any, at: At) -> float | Bad | None:
        places = integer(get(row, at))
        if places is None or isinstance(places, Bad):
            return places
        if not 0 <= places <= MAX_DECIMALS:
            return bad("decimals out of range", places)
        try:
            return float(value / 10**places)
        except OverflowError:
            return bad("not finite", value)

    return descale


def _words(rule: FieldRule, spec: Spec, nulls: Sequence[Scalar], kind: str, where: str) -> Reader:
    plain = word_of(rule, spec, where)
    if rule.each is None:
        get = found(rule, nulls, where)
        return lambda row, at: plain(get(row, at))
    elements = each(rule.each, rule.where, rule.first, f"{where}.each")
    get = found(rule, nulls, where)
    take = rule.take or ("list" if spec.unit == "texts" else "first")

    def read(row: Any, at: At) -> Value | Bad | None:
        rows = elements(row, at)
        if rows is None:
            return None
        if take == "list":
            return texts([get(*inner) for inner in rows], rule.split)
        values = [plain(get(*inner)) for inner in rows]
        kept = [value for value in values if value is not None]
        if take in ("any", "all"):
            if take == "any" and rule.path is None:
                return bool(rows)
            flags = [value is True for value in kept]
            return (any(flags) if take == "any" else all(flags)) if flags or not rows else None
        if not kept:
            return None
        return kept[-1] if take == "last" else kept[0]

    return read
