"""When a row says that it was so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from services.collector.map.paths import At, Getter, getter, key_of, parse
from services.collector.map.values import Bad, TimeReader, time_reader
from services.collector.registry.mapping import TimeRule
from services.common.errors import DefinitionError

MomentReader = Callable[[Any, At], "int | Bad | None"]


class Moment:
    """A row's own time: first path with a value, in its unit. `read` is its reader."""

    def __init__(self, rule: TimeRule, where: str) -> None:
        paths = [rule.path] if isinstance(rule.path, str) else rule.path
        getters = [getter(parse(path, f"{where}.path")) for path in paths]
        if rule.unit == "format" and rule.format is None:
            raise DefinitionError(where=f"{where}.format", expected="a strptime form", got="none")
        parse_time = time_reader(rule.unit, rule.format, rule.zone_h, rule.add_s)
        then = getter(parse(rule.then, f"{where}.then")) if rule.then is not None else None
        self.path = paths[0]
        key = key_of(parse(paths[0])) if len(paths) == 1 and then is None else None
        self.read = _first(getters, then, parse_time) if key is None else _one(key, parse_time)


def _one(key: str, parse_time: TimeReader) -> MomentReader:
    """The commonest, in one call less."""

    def one(row: Any, at: At) -> int | Bad | None:
        value = row.get(key) if type(row) is dict else None
        return None if value is None or value == "" else parse_time(value)

    return one


def _first(getters: Sequence[Getter], then: Getter | None, parse_time: TimeReader) -> MomentReader:
    def first(row: Any, at: At) -> int | Bad | None:
        for get in getters:
            value = get(row, at)
            if value is not None and value != "":
                return parse_time(value if then is None else _joined(value, then(row, at)))
        return None

    return first


def _joined(day: Any, hour: Any) -> Any:
    """Date and time of day as one text; no value when one is missing."""
    return None if hour is None or hour == "" else f"{day} {hour}"
