"""A field rule backwards: which value must stand at its path so that the mapping reads this one. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.simulator.places import Body, Place, getter, locate, parse
from sandbox.simulator.spelling import number_like, time_like
from schemas.events import Value
from schemas.metrics import Spec
from services.collector.map import units
from services.collector.map.paths import At
from services.collector.map.rows import each
from services.collector.map.values import SHORT, Bad, integer, number
from services.collector.registry.mapping import Emit, FieldRule

STEP = 0.0001
"""Between neighbours where the largest or smallest of a list is meant."""

Taken = set[tuple[int, Any]]
"""Places that were written already: (id of the list or object, index or key)."""

Operand = Callable[["str | float"], "float | None"]


def write_field(
    rule: str | list[str] | FieldRule,
    spec: Spec,
    value: Value,
    row: Any,
    at: At,
    emit: Emit,
    body: Body,
    taken: Taken,
) -> str | None:
    """Write `value` where the rule reads it; the reason when it cannot be done, None when it was.

    `taken` are places that were written already in this answer: they are left alone, for the first writer is the leading one.
    """
    rule = rule if isinstance(rule, FieldRule) else FieldRule(path=rule)
    if rule.fixed is not None and rule.path is None:
        return "the rule says the value itself"
    if rule.type in ("count", "present", "missing") or (rule.type == "bool" and spec.number):
        return f"type {rule.type} is about the shape"
    if rule.map is not None:
        return "words are left as the example has them"
    if rule.each is not None:
        return _write_each(rule, spec, value, row, at, emit, body, taken)
    return _write_one(rule, spec, value, row, at, emit, body, taken)


def _write_one(
    rule: FieldRule, spec: Spec, value: Value, row: Any, at: At, emit: Emit, body: Body, taken: Taken
) -> str | None:
    place = _first(rule, row, at, emit, body)
    if place is None:
        return "nothing stands at the path"
    if (id(place.container), place.key) in taken:
        _write_subtrahend(rule, spec, value, place, row, at, emit, body, taken)
        return None
    written = _raw(rule, spec, value, place.read(), row, at)
    if written is None:
        return f"cannot be written like {place.read()!r}"
    place.write(written)
    taken.add((id(place.container), place.key))
    return None


def _write_subtrahend(
    rule: FieldRule, spec: Spec, value: Value, whole: Place, row: Any, at: At, emit: Emit, body: Body, taken: Taken
) -> None:
    """What is taken from a number that another field has written already says the value, where nothing else does."""
    if not isinstance(rule.minus, str) or rule.over or rule.times or rule.plus or rule.decimals or rule.invert:
        return
    place, total = locate(rule.minus, row, at, emit, body), number(whole.read())
    if place is None or (id(place.container), place.key) in taken or not isinstance(value, float):
        return
    if isinstance(total, float):
        written = number_like(total - value / units.factor(rule.unit, spec.unit), place.read())
        if written is not None:
            place.write(written)
            taken.add((id(place.container), place.key))


def _write_each(
    rule: FieldRule, spec: Spec, value: Value, row: Any, at: At, emit: Emit, body: Body, taken: Taken
) -> str | None:
    take = rule.take or "sum"
    if (
        not isinstance(value, float | int)
        or isinstance(value, bool)
        or take in ("count", "any", "all", "list", "spread")
    ):
        return f"take {take} is about the shape"
    rows = each(rule.each or "", rule.where, rule.first, "each")(row, at) or []
    if not rows:
        return "the list is empty"
    chosen = {"first": rows[:1], "last": rows[-1:]}.get(take, rows)
    if rule.by is not None:
        known = [(size, inner) for inner in rows if isinstance(size := number(getter(rule.by)(*inner)), float)]
        chosen = [(max if take == "max" else min)(known, key=lambda one: one[0])[1]] if known else []
    for index, (inner, inner_at) in enumerate(chosen):
        share = {"sum": value / len(rows), "max": value * (1 - STEP * index), "min": value * (1 + STEP * index)}.get(
            take, value
        )
        reason = _write_one(rule, spec, share, inner, inner_at, emit, body, taken)
        if reason is not None:
            return reason
    return None


def _first(rule: FieldRule, row: Any, at: At, emit: Emit, body: Body) -> Place | None:
    """The place of the first path that has a value."""
    paths = [rule.path] if isinstance(rule.path, str) else list(rule.path or ["."])
    for path in paths:
        if parse(path).is_wild or getter(path)(row, at) in (None, ""):
            continue
        place = locate(path, row, at, emit, body)
        if place is not None and place.read() not in (*rule.nulls, None, ""):
            return place
    return None


def _raw(rule: FieldRule, spec: Spec, value: Value, example: Any, row: Any, at: At) -> Any:
    if isinstance(value, str):
        if value.isdecimal():
            return int(value) if isinstance(example, int) else value
        if not isinstance(example, str):
            return None
        return value.lower() if example.islower() else value.upper() if example.isupper() else value
    if isinstance(value, list | bool):
        return None
    if rule.type == "time" or (rule.type is None and spec.unit == "unix_ms"):
        return time_like(int(value), example, rule.time)

    def operand(word: str | float) -> float | None:
        read = number(getter(word)(row, at)) if isinstance(word, str) else float(word)
        return read if isinstance(read, float) and read != 0 else None

    before = _before(rule, spec, float(value), operand, lambda path: integer(getter(path)(row, at)))
    if before is None:
        return None
    if rule.type == "short" and isinstance(example, str):
        before /= SHORT.get(example.strip()[-1:].lower(), 1.0)
    whole = (
        rule.type in ("integer", "hex")
        or rule.decimals is not None
        or (spec.unit in ("count", "rank") and isinstance(example, int))
    )
    return number_like(before, example, whole)


def _before(rule: FieldRule, spec: Spec, value: float, operand: Operand, places: Callable[[str], Any]) -> float | None:
    """The arithmetic of a rule undone, last step first."""
    value /= units.factor(rule.unit, spec.unit)
    if rule.complement is not None:
        value = rule.complement - value
    if rule.invert:
        if value == 0:
            return None
        value = 1 / value
    if rule.decimals is not None:
        scale = rule.decimals if isinstance(rule.decimals, int) else places(rule.decimals)
        if scale is None or isinstance(scale, Bad):
            return None
        value *= 10**scale
    undo: tuple[tuple[Any, Callable[[float, float], float]], ...] = (
        (rule.over, lambda v, o: v * o),
        (rule.times, lambda v, o: v / o),
        (rule.minus, lambda v, o: v + o),
        (rule.plus, lambda v, o: v - o),
    )
    for words, back in undo:
        for word in reversed(words if isinstance(words, list) else [words]):
            other = operand(word)
            if other is None:
                return None
            value = back(value, other)
    return value
