"""docs/metrics.md, from the metric catalogue."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

from schemas import categories, metrics
from schemas.metrics import Catalogue, Spec

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"

HEAD = """# Metrics

Everything that a provider can state, in one category each. Made from `schemas/metrics.yaml` by `make docs`;
change that file, not this one.

An answer is right when it is within the tolerance of the truth: a share of the value (`±0.1 %`) or an amount in the
metric's unit (`±0.25`). Words have no tolerance: a majority of the sources decides, or the newest statement stands.
A value outside of the plausible range is refused. Sources are compared, and learned from, in windows; a statement
that is older than "fresh for" no longer counts.
"""

_UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1))


def page(catalogue: Catalogue) -> str:
    """The page as Markdown: units, kinds, then a table per category."""
    parts = [HEAD, "## Units\n", "| unit | meaning |", "| --- | --- |"]
    parts += [f"| `{unit}` | {sentence} |" for unit, sentence in catalogue.units.items()]
    parts += ["\n## Kinds\n", "| kind | meaning |", "| --- | --- |"]
    parts += [f"| {name} | {kind.sentence} |" for name, kind in catalogue.kinds.items()]
    for name, category in categories.load().items():
        rows = catalogue.of_category(name)
        parts += [
            f"\n## {name}\n",
            f"{category.sentence} {len(rows)} metrics.\n",
            "| metric | unit | kind | tolerance | plausible | window | fresh for | strategy | meaning |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *(_line(spec) for spec in rows),
        ]
    return "\n".join(parts) + "\n"


def _line(spec: Spec) -> str:
    names = f"`{spec.name}`" + "".join(f"<br>also `{alias}`" for alias in spec.aliases)
    cells = (
        names, f"`{spec.unit}`", spec.kind, tolerance(spec), plausible(spec), span(spec.window_ms), span(spec.freshness_ms),
        spec.strategy, spec.sentence,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def tolerance(spec: Spec) -> str:
    """Tolerance in words: relative ones as percent, absolute ones in the unit, none for words."""
    if not spec.number:
        return "-"
    return f"±{spec.tolerance * 100:.6g} %" if spec.scale == "rel" else f"±{_number(spec.tolerance)}"


def plausible(spec: Spec) -> str:
    """The closed interval of values that are not refused; moments as dates."""
    if spec.plausible is not None and spec.unit == "unix_ms":
        return " .. ".join(dt.datetime.fromtimestamp(ms / 1000, dt.UTC).date().isoformat() for ms in spec.plausible)
    return "-" if spec.plausible is None else f"{_number(spec.plausible[0])} .. {_number(spec.plausible[1])}"


def span(ms: int) -> str:
    """A duration in the largest unit that divides it."""
    unit, size = next((unit, size) for unit, size in _UNITS_MS if ms % size == 0)
    return f"{ms // size} {unit}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:.8g}"


def main() -> int:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(metrics.load()), encoding="utf-8")
    sys.stderr.write(f"{PAGE.name}: {len(metrics.load())} metrics\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
