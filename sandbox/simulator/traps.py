"""Answers that change their form overnight: names, types and units, as providers do without notice. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from sandbox.simulator.moods import Behaviour

TYPES: Final[dict[str, Callable[[Any], Any]]] = {
    "object": lambda value: {"value": value},
    "list": lambda value: [value],
    "word": lambda value: f"about {value}",
    "flag": bool,
}
"""What a value becomes, by the name of the type."""


def changed(body: bytes, mood: Behaviour) -> bytes:
    """A JSON body in its new form; another kind of body as it is."""
    if not (mood.rename or mood.retype or mood.scale):
        return body
    try:
        value = json.loads(body)
    except ValueError:
        return body
    return json.dumps(reshaped(value, mood), separators=(",", ":"), ensure_ascii=False).encode()


def reshaped(value: Any, mood: Behaviour) -> Any:
    """The value with every key of `rename` spelled otherwise, of `retype` of another type, of `scale` in another unit."""
    if isinstance(value, list):
        return [reshaped(inner, mood) for inner in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, inner in value.items():
        new = reshaped(inner, mood)
        if key in mood.scale:
            new = _scaled(new, mood.scale[key])
        if key in mood.retype and new is not None:
            new = TYPES[mood.retype[key]](new)
        found[mood.rename.get(key, key)] = new
    return found


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        number = float(value) * factor
    except ValueError:
        return value
    return repr(number) if isinstance(value, str) else number
