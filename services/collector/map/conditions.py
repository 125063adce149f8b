"""Conditions of provider.yaml compiled to predicates `(row, at) -> bool`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from services.collector.map.paths import At, getter, key_of, parse
from services.collector.map.values import Bad, number
from services.collector.registry.mapping import Condition, Scalar
from services.common.errors import DefinitionError

Predicate = Callable[[Any, At], bool]
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "list": (list,),
    "text": (str,),
    "number": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}


def predicate(conditions: Sequence[Condition], where: str = "where") -> Predicate | None:
    """All conditions together; None when there are none."""
    tests = [test for condition in conditions for test in _tests(condition, where)]
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]

    def every(row: Any, at: At) -> bool:
        for test in tests:  # noqa: SIM110 - a generator would cost as much as the tests
            if not test(row, at):
                return False
        return True

    return every


def _tests(condition: Condition, where: str) -> list[Predicate]:
    tests: list[Predicate] = []
    if isinstance(condition.eq, str) and condition == Condition(path=condition.path, eq=condition.eq):
        key = key_of(parse(condition.path, where))
        if key is not None:
            return [_says(key, condition.eq)]
    if condition.any is not None and (endings := _endings(condition.any)) is not None:
        path, words = endings
        key = key_of(parse(path, where))
        if key is not None:
            tests.append(_ends(key, words))
        else:
            tests.append(_bound(getter(parse(path, where)), lambda value: type(value) is str and value.endswith(words)))
    elif condition.any is not None:
        choices = [one for one in (predicate([choice], where) for choice in condition.any) if one is not None]
        tests.append(_some(choices))
    get = getter(parse(condition.path, where))
    for check in _checks(condition, where):
        tests.append(_bound(get, check))
    return tests


def _endings(choices: Sequence[Condition]) -> tuple[str, tuple[str, ...]] | None:
    """One path with a choice of endings, which is how the quote side of a symbol is asked for: one call instead of many."""
    paths = {choice.path for choice in choices}
    words = tuple(choice.ends for choice in choices if choice.ends is not None)
    plain = all(choice == Condition(path=choice.path, ends=choice.ends) for choice in choices)
    return (paths.pop(), words) if len(paths) == 1 and len(words) == len(choices) and plain else None


def _some(choices: Sequence[Predicate]) -> Predicate:
    def some(row: Any, at: At) -> bool:
        for choice in choices:  # noqa: SIM110 - as above
            if choice(row, at):
                return True
        return False

    return some


def _bound(get: Callable[[Any, At], Any], check: Callable[[Any], bool]) -> Predicate:
    return lambda row, at: check(get(row, at))


def _says(key: str, word: str) -> Predicate:
    """The commonest test of a message, in one call."""
    return lambda row, at: type(row) is dict and row.get(key) == word


def _ends(key: str, words: tuple[str, ...]) -> Predicate:
    def ends(row: Any, at: At) -> bool:
        value = row.get(key) if type(row) is dict else None
        return type(value) is str and value.endswith(words)

    return ends


def same(wanted: Scalar) -> Callable[[Any], bool]:
    """Equality as the guide promises: text with text, numbers by value, flags only with flags."""
    if isinstance(wanted, bool):
        return lambda value: value is wanted
    if isinstance(wanted, (int, float)):
        return lambda value: type(value) in (int, float) and value == wanted
    return lambda value: type(value) is str and value == wanted


def _checks(condition: Condition, where: str) -> list[Callable[[Any], bool]]:
    checks: list[Callable[[Any], bool]] = []
    if condition.eq is not None:
        checks.append(same(condition.eq))
    if condition.ne is not None:
        equal = same(condition.ne)
        checks.append(lambda value: not equal(value))
    if condition.among is not None:
        choices = [same(choice) for choice in condition.among]
        checks.append(lambda value: any(choice(value) for choice in choices))
    if condition.not_in is not None:
        refused = [same(choice) for choice in condition.not_in]
        checks.append(lambda value: not any(choice(value) for choice in refused))
    for bound, holds in (
        (condition.gt, lambda read, limit: read > limit),
        (condition.ge, lambda read, limit: read >= limit),
        (condition.lt, lambda read, limit: read < limit),
        (condition.le, lambda read, limit: read <= limit),
    ):
        if bound is not None:
            checks.append(_compare(bound, holds))
    if condition.present is not None:
        wanted = condition.present
        checks.append(lambda value: (value is not None and value != "") is wanted)
    if condition.len is not None or condition.min_len is not None:
        checks.append(_length(condition.len, condition.min_len))
    if condition.starts is not None:
        start = condition.starts
        checks.append(lambda value: type(value) is str and value.startswith(start))
    if condition.ends is not None:
        end = condition.ends
        checks.append(lambda value: type(value) is str and value.endswith(end))
    if condition.has is not None:
        part = condition.has
        checks.append(lambda value: type(value) in (str, list, dict) and part in value)
    if condition.matches is not None:
        form = _pattern(condition.matches, where)
        checks.append(lambda value: type(value) is str and form.fullmatch(value) is not None)
    if condition.type is not None:
        kinds = _TYPES[condition.type]
        checks.append(lambda value: type(value) in kinds)
    return checks


def _pattern(text: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise DefinitionError(
            where=f"{where}.matches",
            expected="a regular expression of Python",
            got=f"{text!r}: {error}",
            do="see docs/providers/format.md, Rows",
        ) from None


def _compare(limit: float, holds: Callable[[float, float], bool]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        read = number(value) if value is not None else None
        return read is not None and not isinstance(read, Bad) and holds(read, limit)

    return check


def _length(exact: int | None, least: int | None) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if type(value) not in (list, dict, str):
            return False
        size = len(value)
        return (exact is None or size == exact) and (least is None or size >= least)

    return check
