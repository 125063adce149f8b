"""Words to the terminal: rows to standard output, talk to standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

DONE, FAILED, WRONG_CALL = 0, 1, 2


class WrongCall(Exception):
    """The caller asked for something that is not there; the words say what is."""


def talk(text: str) -> None:
    """Words for the person at the terminal."""
    sys.stderr.write(text + "\n")


def tell(text: str) -> None:
    """One row of data."""
    sys.stdout.write(text + "\n")


def table(rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    """Rows in aligned columns."""
    shown = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max([len(column), *(len(line[index]) for line in shown)]) for index, column in enumerate(columns)]
    for line in ([*columns], *shown):
        tell("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return str(len(value)) if len(value) > 4 else ",".join(value) or "-"
    return str(value)
