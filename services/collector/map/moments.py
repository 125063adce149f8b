"""When a row says that it was so."""

from __future__ import annotations

from typing import Any

from services.collector.map.paths import At, getter, parse
from services.collector.map.values import Bad, TimeReader, time_reader
from services.collector.registry.mapping import TimeRule
from services.common.errors import DefinitionError


class Moment:
    """Reader of a row's own time: first path with a value, in its unit."""

    def __init__(self, rule: TimeRule, where: str) -> None:
        paths = [rule.path] if isinstance(rule.path, str) else rule.path
        self._getters = [getter(parse(path, f"{where}.path")) for path in paths]
        self._then = getter(parse(rule.then, f"{where}.then")) if rule.then is not None else None
        if rule.unit == "format" and rule.format is None:
            raise DefinitionError(where=f"{where}.format", expected="a strptime form", got="none")
        self._parse: TimeReader = time_reader(rule.unit, rule.format, rule.zone_h, rule.add_s)
        self.path = paths[0]

    def __call__(self, row: Any, at: At) -> int | Bad | None:
        for get in self._getters:
            value = get(row, at)
            if value is not None and value != "":
                return self._parse(value if self._then is None else _joined(value, self._then(row, at)))
        return None


def _joined(day: Any, hour: Any) -> Any:
    """Date and time of day as one text; no value when one is missing."""
    return None if hour is None or hour == "" else f"{day} {hour}"
