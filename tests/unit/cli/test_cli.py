"""One command line: rows, lazy imports, exit codes that scripts can rely on."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from services import cli


@pytest.mark.parametrize("row", cli.COMMANDS, ids=lambda row: row.name)
def test_every_command_leads_to_a_function(row: cli.Command) -> None:
    module, function = row.target.split(":")
    assert callable(getattr(import_module(module), function))


def test_the_help_names_every_command_with_its_sentence() -> None:
    lines = [line.split(maxsplit=1) for line in cli.usage().splitlines() if line.startswith("  ")]
    assert lines == [[row.name, row.sentence] for row in cli.COMMANDS]


def test_the_help_imports_nothing_but_the_table() -> None:
    program = "import sys; from services.cli import main; main(['--help']); print(sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert [name for name in ("msgspec", "asyncio", "aiokafka", "yaml", "argparse") if f"'{name}'" in loaded] == []


@pytest.mark.parametrize(
    "word, hint",
    [
        ("topcs", "did you mean: parallax topics"),
        ("agregator", "did you mean: parallax aggregator"),
        ("zzzzzz", "see: parallax --help"),
    ],
)
def test_a_wrong_command_is_exit_2_with_the_nearest_name(
    word: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([word]) == 2
    assert capsys.readouterr() == ("", f"parallax: no command {word!r}; {hint}\n")


def test_without_a_command_the_help_is_shown_and_the_call_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert capsys.readouterr().out == cli.usage() + "\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"], ["--version"]])
def test_asking_is_exit_0(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out != ""


def test_a_wrong_setting_is_exit_2_and_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARALLAX_OPS_PORT", "high")
    assert cli.main(["topics", "list"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("PARALLAX_OPS_PORT: expected int >= 0 <= 65535, got 'high'; ")
    assert captured.err.count("\n") == 1
