"""What generated pages are made of: a page with its note, a table, a length of time; and how pages are written."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"))


def page(note: str, title: str, intro: str, *parts: str) -> str:
    """A page; the note says that it is generated, and from what."""
    return "\n\n".join((f"# {title}", note, intro, *parts)) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under their columns."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def duration(ms: int) -> str:
    """`90 s`, `5 min`, `6 h`."""
    size, unit = next((size, unit) for size, unit in UNITS if ms % size == 0)
    return f"{ms // size} {unit}"


def write(folder: Path, pages: Mapping[str, str]) -> None:
    """Write pages by their file names, and say so."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (folder / name).write_text(text)
    sys.stderr.write(f"{len(pages)} pages in {folder.relative_to(ROOT)}\n")
