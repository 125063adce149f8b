"""The 13 kinds of question, from categories.yaml."""

from __future__ import annotations

from functools import cache

from msgspec import Struct

from schemas import tables

FILE = "categories.yaml"


class Category(Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of question; every metric belongs to exactly one."""

    cadence_s: int
    """How often its providers are polled, unless a definition says otherwise."""
    cache_s: int
    """How long an answer may be served from the collector's cache."""
    expire_h: int
    """After so many hours of silence, by the log's own clock, an entity is forgotten."""
    entities: list[str]
    """Kinds of entity (the word before the first colon) that it is asked about."""
    sentence: str


def parse(text: str) -> dict[str, Category]:
    """Categories by name, in the order of the file; TableError lists every fault."""
    faults: list[str] = []
    found = tables.rows("", tables.parse(FILE, text), Category, faults)
    faults += [
        f".{name}: cadence_s, cache_s and expire_h must be above 0"
        for name, row in found.items()
        if row.cadence_s <= 0 or row.cache_s <= 0 or row.expire_h <= 0
    ]
    if faults:
        raise tables.TableError(FILE, faults)
    return found


@cache
def load() -> dict[str, Category]:
    """Categories of this release; read once."""
    return parse(tables.read(FILE))
