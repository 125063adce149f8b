"""Paths of provider.yaml: parsed once to steps, compiled to getters `(row, at) -> value or None`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from services.common.errors import DefinitionError

Getter = Callable[[Any, "At"], Any]
Origin = Literal["row", "root", "up", "key", "index", "param"]
Wild = Literal["list", "one_or_list", "entries"]


class Payload(Struct):
    """What a mapping works on: the decoded body, the request's parameters, and when it came."""

    root: Any
    params: Mapping[str, str]
    at_ms: int


class At(Struct):
    """Where a row stands: its payload, the wildcard key or index, the enclosing row."""

    payload: Payload
    enclosing: Any = None
    above: At | None = None
    key: str | None = None
    index: int | None = None


NOW = 1 << 62
"""A moment after every row of the tables: today's reading."""


def top(root: Any, params: Mapping[str, str] | None = None, at_ms: int = NOW) -> At:
    """The place of a whole payload."""
    return At(Payload(root, params or {}, at_ms))


class Path(NamedTuple):
    """A parsed path. `ups` counts `^`; `name` is the parameter's name; wild steps stand in `steps` as Wild words in a Star."""

    text: str
    origin: Origin
    ups: int
    name: str | None
    steps: tuple[str | int | Star, ...]

    @property
    def is_wild(self) -> bool:
        """Whether it names several values."""
        return any(isinstance(step, Star) for step in self.steps)


class Star(NamedTuple):
    """A wildcard step."""

    over: Wild
    many: int = 1
    """Elements of the list that make one row (`[*2]` of price, size, price, size)."""


_STEP = re.compile(
    r"""\.?(?:(?P<entries>\*)|(?P<plain>[^.\[\]"^$*\s][^.\[\]"\s]*))|\[(?:(?P<star>\*(?:\?|\d+)?)|(?P<index>-?\d+)|"(?P<quoted>[^"]*)")\]"""
)
_HEAD = re.compile(r"(?P<ups>\^*)(?P<word>\$param\.(?P<name>[A-Za-z0-9_.\-\[\]]+)|\$key|\$index|\$)?")


def parse(text: str, where: str = "path") -> Path:
    """The path written in `text`; DefinitionError says at which character it cannot be read."""
    if text in (".", ""):
        return Path(text, "row", 0, None, ())
    head = _HEAD.match(text)
    assert head is not None  # the pattern matches the empty text
    ups, word, position = len(head["ups"]), head["word"] or "", head.end()
    steps: list[str | int | Star] = []
    if word.startswith("$param."):
        return Path(text, "param", 0, head["name"], ())
    while position < len(text):
        step = _STEP.match(text, position)
        if step is None or step.end() == position:
            if text[position:] == ".":
                break
            raise DefinitionError(
                where=where,
                expected='steps like key, [0], [*], [*2], .* or ["odd key"]',
                got=f"{text!r}, not readable from character {position + 1}",
                do="see docs/providers/format.md, Paths",
            )
        steps.append(_step(step))
        position = step.end()
    origin: Origin = "up" if ups else "row"
    if word == "$":
        origin = "root"
    elif word in ("$key", "$index"):
        origin = "key" if word == "$key" else "index"
    return Path(text, origin, ups, None, tuple(steps))


def _step(match: re.Match[str]) -> str | int | Star:
    if match["entries"]:
        return Star("entries")
    if match["star"]:
        return _star(match["star"])
    if match["index"] is not None:
        return int(match["index"])
    if match["quoted"] is not None:
        return match["quoted"]
    return match["plain"]


def _star(text: str) -> Star:
    if text == "*?":
        return Star("one_or_list")
    return Star("list", max(int(text[1:] or 1), 1))


def key_of(path: Path) -> str | None:
    """The key, for a path that is no more than one key of the row."""
    key = path.steps[0] if path.origin == "row" and len(path.steps) == 1 else None
    return key if isinstance(key, str) else None


def getter(path: Path) -> Getter:
    """Getter of a path without wildcards; None when any step is missing."""
    if path.origin == "param":
        return _from_param(path.name or "")
    if path.origin in ("key", "index"):
        return _from_place(path.origin, path.ups, path.steps)
    walk = walker(path.steps)
    if path.origin == "root":
        return lambda row, at: walk(at.payload.root)
    if path.origin == "up":
        return _from_above(path.ups, walk)
    if len(path.steps) == 1:
        return _single(path.steps[0])
    return lambda row, at: walk(row)


def _single(step: str | int | Star) -> Getter:
    if isinstance(step, str):
        key = step

        def by_key(row: Any, at: At) -> Any:
            return row.get(key) if type(row) is dict else None

        return by_key
    if isinstance(step, int):
        index = step

        def by_index(row: Any, at: At) -> Any:
            try:
                return row[index] if type(row) is list else None
            except IndexError:
                return None

        return by_index
    raise DefinitionError(where="path", expected="one value", got="a wildcard", do="use `each` with `take`, or `rows`")


def walker(steps: tuple[str | int | Star, ...]) -> Callable[[Any], Any]:
    """Follow plain steps from a value; None when one is missing."""
    if any(isinstance(step, Star) for step in steps):
        raise DefinitionError(
            where="path", expected="one value", got="a wildcard", do="use `each` with `take`, or `rows`"
        )
    if not steps:
        return lambda value: value

    def walk(value: Any) -> Any:
        for step in steps:
            kind = type(value)
            if kind is dict:
                value = value.get(step)
            elif kind is list and type(step) is int:
                try:
                    value = value[step]
                except IndexError:
                    return None
            else:
                return None
        return value

    return walk


def _from_param(name: str) -> Getter:
    return lambda row, at: at.payload.params.get(name)


def _from_place(origin: Origin, ups: int, steps: tuple[str | int | Star, ...]) -> Getter:
    def place(row: Any, at: At) -> Any:
        here: At | None = at
        for _ in range(ups):
            here = here.above if here is not None else None
        if here is None:
            return None
        return here.key if origin == "key" else here.index

    return place


def _from_above(ups: int, walk: Callable[[Any], Any]) -> Getter:
    def above(row: Any, at: At) -> Any:
        here: At | None = at
        for _ in range(ups - 1):
            here = here.above if here is not None else None
        return None if here is None else walk(here.enclosing)

    return above
