"""The way in: what a machine without Python is told, and that nothing happens when all is there already."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "cmp", "rm", "df", "awk", "grep", "tail", "cut", "sed", "sleep", "cp", "env", "cat")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that setup needs, in a folder of their own."""
    folder = tmp_path / "clone"
    (folder / "scripts").mkdir(parents=True)
    for name in ("scripts/setup.sh", "pyproject.toml", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("compiled", "kernels", "fusion"):
        (folder / "services" / "aggregator" / name).mkdir(parents=True)
        (folder / "services" / "aggregator" / name / "rows.py").touch()
    return folder


def setup(clone: Path, *arguments: str, path: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    shell = shutil.which("sh")
    assert shell
    settings = {"PATH": path or os.environ["PATH"], **environ}
    command = [shell, str(clone / "scripts" / "setup.sh"), *arguments]
    return subprocess.run(command, env=settings, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)


def stamp(clone: Path, kind: str, pins: str) -> None:
    """Leave the mark of a finished setup."""
    (clone / ".venv" / f".{kind}").write_text((clone / pins).read_text() + (clone / "pyproject.toml").read_text())
    (clone / ".venv" / ".kernels").touch()


def test_without_python_it_says_which_one_and_how_to_get_it(clone: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (tools / name).symlink_to(found)
    done = setup(clone, "run", path=str(tools))
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "setup: Python 3.11 or newer is needed, and none was found."
    assert "apt install python3.11 python3.11-venv" in done.stderr
    assert not (clone / ".venv").exists()


def test_a_python_that_is_too_old_is_not_taken(clone: Path, tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(str(shutil.which(name)))
    (tools / "python3").symlink_to(old)
    assert setup(clone, "run", path=str(tools)).returncode == 1


@pytest.mark.parametrize("kind, pins", [("run", "requirements.txt"), ("dev", "requirements-dev.txt")])
def test_nothing_happens_when_the_pins_are_installed_already(clone: Path, kind: str, pins: str) -> None:
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 99\n")
    python.chmod(0o755)
    stamp(clone, kind, pins)
    done = setup(clone, kind)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["compiled", "kernels", "fusion"])
def test_kernels_that_changed_are_compiled_before_anything_runs(clone: Path, name: str) -> None:
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    stamp(clone, "run", "requirements.txt")
    os.utime(clone / ".venv" / ".kernels", (1_000_000_000, 1_000_000_000))
    source = clone / "services" / "aggregator" / name / "rows.py"
    for other in (clone / "services").rglob("*.py"):
        os.utime(other, (900_000_000, 900_000_000))
    assert setup(clone, "run").stderr == ""
    source.touch()
    done = setup(clone, "run")
    told = "setup: compiling the kernels of the aggregator, which changed (half a minute)\n"
    assert (done.returncode, done.stderr) == (0, told)
    assert setup(clone, "run").stderr == ""


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_a_change_of_pins_or_of_the_project_installs_again(clone: Path, name: str) -> None:
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 99\n")
    python.chmod(0o755)
    stamp(clone, "run", "requirements.txt")
    with (clone / name).open("a") as file:
        file.write("# changed\n")
    done = setup(clone, "run")
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1] == "setup: the packages could not be installed; the whole log is .venv/setup.log"
    )


def test_what_tests_need_is_enough_to_run(clone: Path) -> None:
    python = clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 99\n")
    python.chmod(0o755)
    stamp(clone, "dev", "requirements-dev.txt")
    assert setup(clone, "run").returncode == 0


def test_another_word_is_a_wrong_call(clone: Path) -> None:
    done = setup(clone, "everything")
    assert (done.returncode, done.stderr) == (2, "setup: expected run or dev, got everything\n")


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_pin_has_a_hash_and_no_file_names_a_place_to_get_it_from(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    pins = [number for number, line in enumerate(lines) if re.match(r"[a-zA-Z0-9._-]+==", line)]
    assert len(pins) > 50
    assert [lines[number] for number in pins if "--hash=sha256:" not in lines[number + 1]] == []
    assert [line for line in lines if re.search(r"://|--index-url|--find-links|--extra-index|file:", line)] == []


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_everything_that_is_wanted_is_pinned(name: str) -> None:
    wanted = re.findall(r"^([a-zA-Z][\w.-]*)", (ROOT / f"{name}.in").read_text(), re.M)
    pinned = {_plain(found) for found in re.findall(r"^([a-zA-Z][\w.-]*)==", (ROOT / f"{name}.txt").read_text(), re.M)}
    assert [found for found in wanted if _plain(found) not in pinned] == []


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
