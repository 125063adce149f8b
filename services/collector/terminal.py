"""Words to the terminal: rows to standard output, talk to standard error."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from services.common.errors import DefinitionError, MachineError

DONE, FAILED, WRONG_CALL = 0, 1, 2
FEW = 20
"""So many names are told all; of more, the nearest."""


class WrongCall(Exception):
    """The caller asked for something that is not there; the words say what is."""


def known(what: str, name: str, names: Iterable[str], see: str = "parallax providers list") -> str:
    """The name, which is one of `names`; else WrongCall with those it may have meant, or where they are listed."""
    choices = list(dict.fromkeys(names))
    if name in choices:
        return name
    if len(choices) <= FEW:
        raise WrongCall(f"no {what} {name!r}; expected one of {', '.join(choices)}")
    close = difflib.get_close_matches(name, choices, 3, 0.5)
    raise WrongCall(f"no {what} {name!r}; " + (f"did you mean {', '.join(close)}?" if close else f"see: {see}"))


def counted(number: int, one: str) -> str:
    """`1 fault`, `2 faults`."""
    return f"{number} {one}" + "s" * (number != 1)


def guarded(call: Callable[[], int]) -> int:
    """The exit code of a command, from the reading of its words on; what it cannot do ends as words for a person."""
    try:
        return call()
    except SystemExit as stop:  # argparse has said what is wrong, or helped
        return DONE if stop.code in (0, None) else WRONG_CALL
    except WrongCall as wrong:
        talk(str(wrong))
        return WRONG_CALL
    except (DefinitionError, MachineError) as error:
        talk(str(error))
        return FAILED


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
