"""Reads the YAML tables beside it: strictly, with every fault of a file in one error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

T = TypeVar("T")

FOLDER = Path(__file__).parent


class TableError(ValueError):
    """A table says something that cannot be meant; its author must act. `faults`: one sentence each, with the place."""

    def __init__(self, file: str, faults: Iterable[str]) -> None:
        self.file = file
        self.faults = tuple(faults)
        super().__init__(f"schemas/{file}: {len(self.faults)} fault(s)\n" + "\n".join(f"  {f}" for f in self.faults))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, and a key that is written twice in one mapping is a fault (YAML itself keeps the last, silently)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        twice = []
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in mapping:
                twice.append(
                    f"line {key_node.start_mark.line + 1}: {key!r}: expected once in its mapping, came twice; delete one"
                )
            mapping[key] = self.construct_object(value_node, deep=True)
        if twice:
            raise _TwiceError(twice)
        return mapping


_Loader.add_constructor("tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node))


class _TwiceError(Exception):
    def __init__(self, faults: list[str]) -> None:
        super().__init__(faults)
        self.faults = faults


def parse(file: str, text: str) -> dict[str, Any]:
    """The mapping that a YAML text holds; TableError names the line of a syntax fault or of a key written twice."""
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except _TwiceError as error:
        raise TableError(file, error.faults) from None
    except yaml.YAMLError as error:
        raise TableError(file, [f"not YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(data, dict):
        raise TableError(file, [f"expected a mapping at the top, got {type(data).__name__}"])
    return data


def read(file: str) -> str:
    """Text of a table in this folder."""
    return (FOLDER / file).read_text(encoding="utf-8")


def rows(where: str, table: Mapping[str, Any], kind: type[T], faults: list[str]) -> dict[str, T]:
    """Each value of a mapping as `kind`; what does not fit is added to `faults` as `where.key: ...` and left out."""
    good: dict[str, T] = {}
    for key, value in table.items():
        try:
            good[key] = msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            faults.append(f"{where}.{key}: {error}")
    return good
