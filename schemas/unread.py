"""Systems that are known and not read, from unread.yaml."""

from __future__ import annotations

from functools import cache

import msgspec
from msgspec import Struct

from schemas import categories, tables

FILE = "unread.yaml"


class Unread(Struct, frozen=True, forbid_unknown_fields=True):
    """One system without a definition."""

    name: str
    home: str
    """Category in which one would look for it."""
    date: str
    """ISO date on which the reason was found."""
    reason: str


def parse(text: str) -> dict[str, Unread]:
    """Rows by id; TableError lists every fault."""
    rows: dict[str, Unread] = {}
    faults: list[str] = []
    for key, row in tables.parse(FILE, text).items():
        try:
            rows[key] = msgspec.convert(row, Unread)
        except msgspec.ValidationError as error:
            faults.append(f"{key}: {error}")
            continue
        if rows[key].home not in categories.load():
            faults.append(f"{key}: expected a category as home, got {rows[key].home!r}")
    if faults:
        raise tables.TableError(FILE, faults)
    return rows


@cache
def load() -> dict[str, Unread]:
    """All rows, by id."""
    return parse((tables.FOLDER / FILE).read_text(encoding="utf-8"))
