"""provider.yaml as text: values with their lines, and every deviation from the shape with its line and the nearest right name."""

from __future__ import annotations

import difflib
import re
from functools import cache
from pathlib import Path
from types import GenericAlias
from typing import Any, Literal, NamedTuple

import msgspec
import yaml
from msgspec import inspect

Place = tuple[str | int, ...]


class Fault(NamedTuple):
    """One thing that is wrong in a file."""

    file: str
    line: int
    key: str
    said: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key + ': ' if self.key else ''}{self.said}"


class Document(NamedTuple):
    """A parsed file; `lines` gives the line of every place."""

    file: str
    value: Any
    lines: dict[Place, int]

    def fault(self, place: Place, said: str) -> Fault:
        """A fault at a place of this file (or at its nearest ancestor that has a line)."""
        known = place
        while known and known not in self.lines:
            known = known[:-1]
        return Fault(self.file, self.lines.get(known, 1), spell(place), said)


def spell(place: Place) -> str:
    """`endpoints.ticker.emits[0].fields`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def parse_yaml(file: Path, data: bytes) -> Document | Fault:
    """Values and lines of a YAML text; a duplicate key or bad YAML is a Fault."""
    loader = _Loader(data)
    try:
        node = loader.get_single_node()
        if node is None:
            return Fault(str(file), 1, "", "expected a definition, got an empty file")
        lines: dict[Place, int] = {}
        value = _plain(loader, node, (), lines)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return Fault(str(file), mark.line + 1 if mark else 1, "", f"not YAML: {getattr(error, 'problem', error)}")
    except _Twice as twice:
        return Fault(str(file), twice.line, twice.key, "written twice; keep one")
    finally:
        loader.dispose()
    return Document(str(file), value, lines)


class _Twice(Exception):
    def __init__(self, key: str, line: int) -> None:
        self.key = key
        self.line = line


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """The safe loader with the plain types of YAML 1.2: `on`, `NO` and dates stay text, `1e-9` is a number."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|false)$", "tf"),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("null", r"^(?:~|null|)$", ["~", "n", ""]),
    ("merge", r"^<<$", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(loader.construct_scalar(node)))


def _plain(loader: Any, node: Any, place: Place, lines: dict[Place, int]) -> Any:
    lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if key in result:
                raise _Twice(spell((*place, key)), key_node.start_mark.line + 1)
            result[key] = _plain(loader, value_node, (*place, key), lines)
            lines[(*place, key)] = key_node.start_mark.line + 1
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, inner, (*place, index), lines) for index, inner in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def shape_faults(document: Document, shape: type) -> list[Fault]:
    """Every deviation of a document from a struct, not only the first."""
    faults: list[Fault] = []
    _check(document, document.value, _described(shape), (), faults)
    return faults


@cache
def _described(shape: type) -> inspect.Type:
    """What msgspec knows of a shape; working it out costs more than checking a document."""
    return inspect.type_info(shape)


def _check(document: Document, value: Any, kind: Any, place: Place, faults: list[Fault]) -> None:
    if isinstance(kind, inspect.UnionType):
        return _check_union(document, value, kind, place, faults)
    if isinstance(kind, inspect.StructType):
        return _check_struct(document, value, kind, place, faults)
    if isinstance(kind, inspect.ListType):
        if not isinstance(value, list):
            faults.append(document.fault(place, f"expected a list, got {_say(value)}"))
            return None
        for index, inner in enumerate(value):
            _check(document, inner, kind.item_type, (*place, index), faults)
        return None
    if isinstance(kind, inspect.DictType):
        if not isinstance(value, dict):
            faults.append(document.fault(place, f"expected a mapping, got {_say(value)}"))
            return None
        for key, inner in value.items():
            if not isinstance(key, str):
                faults.append(
                    document.fault((*place, key), f'expected a text as key, got {key!r}; write "{key}" in quotes')
                )
            _check(document, inner, kind.value_type, (*place, key), faults)
        return None
    try:
        msgspec.convert(value, _as_type(kind))
    except msgspec.ValidationError:
        faults.append(document.fault(place, f"expected {_name(kind)}, got {_say(value)}{_near(value, kind)}"))
    return None


def _check_struct(document: Document, value: Any, kind: Any, place: Place, faults: list[Fault]) -> None:
    if not isinstance(value, dict):
        faults.append(document.fault(place, f"expected keys of {kind.cls.__name__}, got {_say(value)}"))
        return
    fields = {field.encode_name: field for field in kind.fields}
    for key in value:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, 1, 0.5)
            hint = f"; did you mean {near[0]!r}" if near else f"; known: {', '.join(fields)}"
            faults.append(document.fault((*place, key), f"unknown key{hint}"))
    for name, field in fields.items():
        if name in value:
            _check(document, value[name], field.type, (*place, name), faults)
        elif field.required:
            faults.append(document.fault(place, f"missing key {name!r}"))


def _check_union(document: Document, value: Any, kind: Any, place: Place, faults: list[Fault]) -> None:
    for choice in kind.types:
        if isinstance(choice, inspect.StructType) and isinstance(value, dict):
            return _check(document, value, choice, place, faults)
        if isinstance(choice, inspect.ListType) and isinstance(value, list):
            return _check(document, value, choice, place, faults)
    if any(_fits(value, choice) for choice in kind.types):
        return None
    names = " or ".join(_name(choice) for choice in kind.types if not isinstance(choice, inspect.NoneType))
    near = "".join(_near(value, choice) for choice in kind.types)
    faults.append(document.fault(place, f"expected {names}, got {_say(value)}{near}"))
    return None


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, _as_type(kind))
    except msgspec.ValidationError:
        return False
    return True


_PLAIN: dict[type, Any] = {
    inspect.StrType: str, inspect.IntType: int, inspect.FloatType: float, inspect.BoolType: bool, inspect.NoneType: None,
    inspect.AnyType: Any,
}  # fmt: skip


def _as_type(kind: Any) -> Any:
    if isinstance(kind, inspect.LiteralType):
        return getattr(Literal, "__getitem__")(kind.values)  # noqa: B009 - a subscript would be read as a type
    if isinstance(kind, inspect.VarTupleType):
        return GenericAlias(tuple, (_as_type(kind.item_type), ...))
    if isinstance(kind, inspect.StructType):
        return kind.cls
    if isinstance(kind, inspect.DictType):
        return dict
    if isinstance(kind, inspect.ListType):
        return list
    return _PLAIN[type(kind)]


_NAMES: dict[type, str] = {
    inspect.StrType: "a text", inspect.IntType: "a whole number", inspect.FloatType: "a number", inspect.BoolType: "true or false",
    inspect.ListType: "a list", inspect.DictType: "a mapping", inspect.VarTupleType: "a list", inspect.AnyType: "anything",
}  # fmt: skip


def _name(kind: Any) -> str:
    if isinstance(kind, inspect.LiteralType):
        return f"one of {', '.join(map(str, kind.values))}"
    if isinstance(kind, inspect.StructType):
        return f"keys of {kind.cls.__name__}"
    return _NAMES.get(type(kind), type(kind).__name__)


def _near(value: Any, kind: Any) -> str:
    if not isinstance(kind, inspect.LiteralType) or not isinstance(value, str):
        return ""
    near = difflib.get_close_matches(value, [str(choice) for choice in kind.values], 1, 0.4)
    return f"; write {near[0]!r}" if near else ""


def _say(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else repr(value)[:60]
