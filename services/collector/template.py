"""Bodies and subscriptions as JSON data with holes: `{$param: name}` one value, `{$list: name, say: text}` one text each. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.common.errors import DefinitionError

Values = Mapping[str, str | tuple[str, ...]]
"""Parameter name -> its value, or the values of a batch."""

_HOLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def render(template: Any, values: Values) -> Any:
    """`template` with every hole filled; DefinitionError names a parameter that has no value."""
    if isinstance(template, dict):
        if "$param" in template:
            found = _value(template["$param"], values)
            return list(found) if isinstance(found, tuple) else found
        if "$list" in template:
            name = template["$list"]
            found = _value(name, values)
            each = found if isinstance(found, tuple) else (found,)
            say = template.get("say", "{" + name + "}")
            return [fill(say, {**values, name: one}) for one in each]
        return {key: render(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [render(part, values) for part in template]
    if isinstance(template, str):
        return fill(template, values, strict=False)
    return template


def fill(text: str, values: Values, strict: bool = True) -> str:
    """`text` with each `{name}` replaced; a batch is joined by commas. Not strict: unknown names stay as they are."""

    def one(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values and not strict:
            return match[0]
        found = _value(name, values)
        return ",".join(found) if isinstance(found, tuple) else found

    return _HOLE.sub(one, text)


def _value(name: str, values: Values) -> str | tuple[str, ...]:
    found = values.get(name)
    if found is None:
        raise DefinitionError(f"parameter {name}", expected="a value", got="none", do="give it a default or values")
    return found
