# ruff: noqa: E501 - a line of the page is a line here
"""The kill rates of all proofs as a committed file and a page made of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from services.collector.mutation import Score

ROOT: Final = Path(__file__).parents[3]
DATA: Final = ROOT / "bench" / "results" / "mutation.json"
PAGE: Final = ROOT / "docs" / "providers" / "proofs.md"


def rows_of(scores: Iterable[tuple[str, Score]]) -> list[dict[str, Any]]:
    """One row for each provider (its home category before it) that has something to break."""
    return [
        {
            "home": home,
            "provider": one.provider,
            "targets": one.targets,
            "mutants": one.killed + len(one.survivors),
            "killed": one.killed,
            "survivors": [f"{left.target} {left.place}: {left.what}" for left in one.survivors],
        }
        for home, one in scores
        if one.targets
    ]


def data(rows: Iterable[Mapping[str, Any]], commit: str) -> str:
    """The file: a row a line, so that a change of one provider is a change of one line."""
    lines = ",\n".join(f"  {json.dumps(row)}" for row in sorted(rows, key=lambda row: (row["home"], row["provider"])))
    return f'{{\n "commit": {json.dumps(commit)},\n "rows": [\n{lines}\n ]\n}}\n'


def page(said: Mapping[str, Any]) -> str:
    """The page, from the file alone."""
    rows = said["rows"]
    mutants, killed = sum(row["mutants"] for row in rows), sum(row["killed"] for row in rows)
    lines = [
        "# What the proofs notice",
        "",
        "Written by `parallax providers mutate --write` from `bench/results/mutation.json`; not edited by hand.",
        "",
        "Each mapped path, entity, unit, scale, filter, order, time and quote of a definition, and each condition that tells the messages of a socket apart, is broken once: deleted, swapped with its neighbour, or changed for another one.",
        "A break that no proof of the provider notices survives. A test holds every provider at no survivors (`tests/unit/collector/test_proof.py`).",
        "Where the parts of one selection hold each other they count as one: keys that must be there, a type that another condition reads inside, the same condition in several messages of a stream.",
        "Spellings of no value (`nulls`) and `required` are not broken: what they do is the engine's, and its own tests hold it.",
        "",
        f"{len(rows)} providers, {sum(row['targets'] for row in rows)} endpoints and streams with proofs, {mutants} breaks, {killed} noticed"
        f" ({100 * killed / mutants:.2f} %), at commit {said['commit']}.",
        "",
        "| home | provider | endpoints and streams | breaks | noticed | survivors |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        left = "; ".join(row["survivors"]) or "none"
        lines.append(
            f"| {row['home']} | {row['provider']} | {row['targets']} | {row['mutants']} | {row['killed']} | {left} |"
        )
    return "\n".join(lines) + "\n"
