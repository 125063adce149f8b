"""Whether records written under an old JSON Schema can be read under a new one, and what stands in the way. Pure."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def breaks(old: Json, new: Json, where: str = "") -> list[str]:
    """Every change of an object schema (with $defs) that breaks old records or old readers, as `path: what`."""
    return _objects(old, new, old.get("$defs", {}), new.get("$defs", {}), where or str(new.get("title", "")), set())


def _objects(old: Json, new: Json, old_defs: Json, new_defs: Json, where: str, seen: set[str]) -> list[str]:
    found = []
    old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
    for name, schema in old_fields.items():
        path = f"{where}.{name}"
        if name not in new_fields:
            found.append(f"{path}: removed or renamed; readers of old and new records need it")
            continue
        found += _values(schema, new_fields[name], old_defs, new_defs, path, seen)
    new_required = set(new.get("required", ())) - set(old.get("required", ()))
    found += [
        f"{where}.{name}: required now, and old records may lack it; give it a default" for name in sorted(new_required)
    ]
    return found


def _values(old: Json, new: Json, old_defs: Json, new_defs: Json, where: str, seen: set[str]) -> list[str]:
    if "$ref" in old and "$ref" in new:
        old_name, new_name = old["$ref"].rsplit("/", 1)[1], new["$ref"].rsplit("/", 1)[1]
        if old_name in seen:
            return []
        return _objects(old_defs[old_name], new_defs[new_name], old_defs, new_defs, where, seen | {old_name})
    found = [f"{where}: no longer takes {kind}" for kind in sorted(_kinds(old) - _kinds(new))]
    for part in ("items", "additionalProperties"):
        if isinstance(old.get(part), dict) and isinstance(new.get(part), dict):
            found += _values(old[part], new[part], old_defs, new_defs, f"{where}[]", seen)
    return found


def _kinds(schema: Json) -> set[str]:
    """The closed set of what a value may be: JSON types, enum members, references."""
    if "anyOf" in schema:
        return {kind for part in schema["anyOf"] for kind in _kinds(part)}
    if "enum" in schema:
        return {f"the value {value!r}" for value in schema["enum"]}
    if "$ref" in schema:
        return {schema["$ref"].rsplit("/", 1)[1]}
    return {"a number" if schema.get("type") == "integer" else f"a {schema.get('type', 'value of any kind')}"}
