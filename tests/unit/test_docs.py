"""Docs agree with the code: references are current, links lead somewhere, commands in examples exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import reference
from services.aggregator.kernels import layout
from services.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "services").rglob("*.md"),
        *(ROOT / "bench").rglob("*.md"),
    )
    if "providers" not in path.parts or path.parent.name == "providers"
)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)\s]*)?\)")
COMMAND = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?parallax ([a-z]+)", re.M)
TARGET = re.compile(r"^(?:\$ )?make ([a-z]+)", re.M)
FILE = re.compile(r"(?<![\w/])[a-z_][\w/]*\.(?:py|yaml)\b")
FENCE = re.compile(r"```[a-z]*\n(.*?)```", re.S)


@pytest.mark.parametrize("name, text", reference.pages().items(), ids=list(reference.pages()))
def test_a_generated_page_is_what_would_be_written_now(name: str, text: str) -> None:
    assert (reference.FOLDER / name).read_text() == text, "run: make docs"


def test_no_generated_page_is_left_over() -> None:
    assert {path.name for path in reference.FOLDER.iterdir()} == set(reference.pages())


def test_every_setting_and_metric_has_a_sentence() -> None:
    for name in ("settings.md", "metrics.md", "topics.md", "commands.md"):
        rows = [line for line in reference.pages()[name].splitlines() if line.startswith("| `")]
        assert rows
        assert [row for row in rows if not re.search(r"[.?:!]( Secret\.)? \|$", row)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    targets = [
        target for target, _ in LINK.findall(path.read_text()) if not target.startswith(("http:", "https:", "mailto:"))
    ]
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_examples_exist(path: Path) -> None:
    examples = "\n".join(FENCE.findall(path.read_text()))
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(COMMAND.findall(examples)) - {row.name for row in COMMANDS} == set()
    assert set(TARGET.findall(examples)) - set(targets) == set()


@pytest.mark.parametrize("path", sorted(ROOT.glob("services/*/README.md")), ids=lambda path: str(path.parent.name))
def test_modules_and_tables_named_by_a_service_exist(path: Path) -> None:
    named = {name for code in re.findall(r"`([^`\n]+)`", path.read_text()) for name in FILE.findall(code)}
    assert [name for name in sorted(named) if not any(path.parent.rglob(name))] == []


def test_every_reason_for_which_the_fold_stops_is_explained() -> None:
    text = (ROOT / "docs" / "engine.md").read_text()
    reasons = [name for name in vars(layout) if name.startswith("WHY_")]
    assert reasons
    assert re.findall(r"^\| `(WHY_\w+)`", text, re.M) == sorted(reasons, key=vars(layout).__getitem__)


def test_modules_named_by_the_page_of_the_engine_exist() -> None:
    named = {
        name
        for code in re.findall(r"(?s)```.*?```|`[^`]+`", (ROOT / "docs" / "engine.md").read_text())
        for name in FILE.findall(code)
    }
    places = (ROOT, ROOT / "services" / "aggregator", ROOT / "services" / "aggregator" / "kernels")
    assert [name for name in sorted(named) if not any((place / name).exists() for place in places)] == []


def test_decision_records_are_numbered_and_whole() -> None:
    paths = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in paths] == list(range(1, len(paths) + 1))
    for path in paths:
        headings = re.findall(r"^## (.+)$", path.read_text(), re.M)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"], path.name
