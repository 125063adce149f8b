"""Fields that are words: flags, texts, lists of texts, and spellings with a meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schemas.events import Value
from schemas.metrics import Spec
from services.collector.map.values import Bad, bad, flag, text, texts, without_markup
from services.collector.registry.mapping import FieldRule
from services.common.errors import DefinitionError


def word_of(rule: FieldRule, spec: Spec, where: str) -> Callable[[Any], Value | Bad | None]:
    if spec.unit == "bool":
        if rule.map is None:
            return flag
        return _spelled(rule, where, bool)
    if spec.unit == "texts":
        return lambda value: texts(value, rule.split)
    if rule.map is not None:
        return _spelled(rule, where, str)
    strip = rule.strip
    if not rule.html and not strip:
        return text

    def clean(value: Any) -> Value | Bad | None:
        spelled = text(value)
        if not isinstance(spelled, str):
            return spelled
        if rule.html:
            spelled = without_markup(spelled)
        return spelled.strip(strip + " ") or None

    return clean


_FLAG_WORDS = {True: "true", False: "false"}


def _spelled(rule: FieldRule, where: str, kind: type) -> Callable[[Any], Value | Bad | None]:
    table = rule.map or {}
    for spelling, meaning in (*table.items(), *([("other", rule.other)] if rule.other is not None else [])):
        if type(meaning) is not kind:
            raise DefinitionError(where=f"{where}.map.{spelling}", expected=kind.__name__, got=repr(meaning))
    other = rule.other

    def read(value: Any) -> Value | Bad | None:
        known = table.get(value if type(value) is str else _FLAG_WORDS[value] if type(value) is bool else "")
        if known is not None:
            return known
        spelled = text(value)
        if spelled is None or isinstance(spelled, Bad):
            return spelled
        if spelled in table:
            return table[spelled]
        return other if other is not None else bad(f"not one of {', '.join(table)}", value)

    return read
