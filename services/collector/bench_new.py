"""`parallax bench new`: are the proposals of `providers new` right? Each saved answer of the registry, proposed anew.

Question: how much of a finished definition does one answer give, and how often is what is proposed wrong? What is proposed of a provider
is by what the *other* definitions taught (its group and its namesakes are left out of the vocabulary). The rules themselves were written
by people who knew these answers, so a stranger's API may fare worse. What the caller would say (the one thing that all is about, the
currency) is taken from the finished definition.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

from msgspec import to_builtins

from services.collector import proof
from services.collector.decode import DecodeError, decode, open_answer
from services.collector.judging import Answer, Tally, judge
from services.collector.map import identity
from services.collector.registry import load as loading
from services.collector.registry.load import Registry
from services.collector.terminal import DONE, table, talk
from services.collector.vocabulary import Vocabulary, learn

RESULT = Path("bench/results/new.json")
COLUMNS = (
    "kind",
    "answers",
    "proposed",
    "rows",
    "metrics",
    "right",
    "wrong",
    "more",
    "times",
    "time_right",
    "time_wrong",
)


def main(argv: list[str]) -> int:
    """Judge all, print the table, write it."""
    parser = argparse.ArgumentParser(prog="parallax bench new", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only one of N answers")
    parser.add_argument("--no-write", action="store_true", help=f"do not write {RESULT}")
    args = parser.parse_args(argv)
    tallies = judge(answers(loading.load([loading.BUILT_IN]), args.every), identity.load())
    rows = [*(to_builtins(one) for one in tallies), total(tallies)]
    table(rows, COLUMNS)
    if not args.no_write:
        lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
        said = " ".join((__doc__ or "").split("\n\n")[1].split()) if (__doc__ or "").count("\n\n") else ""
        RESULT.write_text(f'{{\n "question": {json.dumps(said)},\n "rows": [\n{lines}\n ]\n}}\n', encoding="utf-8")
        talk(f"wrote {RESULT}")
    return DONE


def total(tallies: list[Tally]) -> dict[str, Any]:
    """All kinds together."""
    return {"kind": "all", **{name: sum(getattr(one, name) for one in tallies) for name in COLUMNS[1:]}}


def answers(registry: Registry, every: int = 1) -> Iterator[tuple[Answer, Vocabulary]]:
    """Saved good answers, each with a vocabulary that does not know its provider, the provider's group or its namesakes."""
    for name, loaded in sorted(registry.loaded.items()):
        provider = loaded.provider
        known: Vocabulary | None = None
        for case in proof.cases(loaded.folder):
            endpoint = provider.endpoints.get(case.target)
            if case.name != case.target or endpoint is None or case.expected.outcome != "OK":
                continue
            if crc32(f"{name}.{case.target}".encode()) % every:
                continue  # chosen by name, so that a new definition does not change which others are judged
            try:
                payload = open_answer(
                    decode(case.payload.read_bytes(), endpoint.body, shape=endpoint.csv), endpoint.body
                )
            except DecodeError:
                continue
            if known is None:
                group, first = provider.group or name, name.split("_")[0]
                known = learn(
                    one
                    for one in registry.providers.values()
                    if (one.group or one.id) != group and one.id.split("_")[0] != first
                )
            asked = {key: proof.text_of(value) for key, value in case.expected.params.items()}
            yield Answer(provider, case.target, payload, asked, case.expected.events, case.expected.received_ms), known
