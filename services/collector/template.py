"""Bodies and subscriptions as JSON data with holes, as docs/providers/format.md says (Requests). Pure.

`{$param: name, as: int}` a value, `{$list: name, say: template}` one for each value of a batch, `"{name}"` inside a text,
`{$id: true}` a number of our own, `{$now: ms}` the time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from services.common.errors import DefinitionError

Values = Mapping[str, str | tuple[str, ...]]
"""Parameter name -> its value, or the values of a batch."""

UNIT_MS: Final = {"s": 1000.0, "ms": 1.0, "us": 0.001, "ns": 0.000_001}
_HOLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def render(template: Any, values: Values, now_ms: int = 0, number: int = 1) -> Any:
    """`template` with every hole filled; `number` is what `$id` stands for. DefinitionError names a value that is missing."""
    if isinstance(template, dict):
        if "$param" in template:
            return _typed(_value(template["$param"], values), template.get("as"))
        if "$list" in template:
            name = template["$list"]
            found = _value(name, values)
            each = found if isinstance(found, tuple) else (found,)
            say = template.get("say", {"$param": name, "as": template.get("as")})
            return [render(say, {**values, name: one}, now_ms, number) for one in each]
        if "$id" in template:
            return number
        if "$now" in template:
            return round(now_ms / UNIT_MS[template["$now"]])
        return {key: render(value, values, now_ms, number) for key, value in template.items()}
    if isinstance(template, list):
        return [render(part, values, now_ms, number) for part in template]
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


def mentions(template: Any, name: str) -> bool:
    """True when a hole of `template` takes the parameter `name`."""
    if isinstance(template, dict):
        if name in (template.get("$param"), template.get("$list")):
            return True
        return any(mentions(part, name) for part in template.values())
    if isinstance(template, list):
        return any(mentions(part, name) for part in template)
    return isinstance(template, str) and "{" + name + "}" in template


def _typed(found: str | tuple[str, ...], kind: str | None) -> Any:
    if isinstance(found, tuple):
        return [_typed(one, kind) for one in found]
    try:
        return int(found) if kind == "int" else float(found) if kind == "float" else found
    except ValueError:
        raise DefinitionError("$param", expected=f"a value that is {kind}", got=repr(found)) from None


def _value(name: str, values: Values) -> str | tuple[str, ...]:
    found = values.get(name)
    if found is None:
        raise DefinitionError(f"parameter {name}", expected="a value", got="none", do="give it a default or values")
    return found
