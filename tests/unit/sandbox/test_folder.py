"""The data folder belongs to one run, and a temporary one goes away even after a kill."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from sandbox import folder
from services.common.errors import MachineError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "parallax"


def test_a_temporary_folder_is_gone_afterwards() -> None:
    with folder.data_folder(None) as first, folder.data_folder(None) as second:
        assert first != second
        assert (first / "logs").is_dir()
    assert (first.exists(), second.exists()) == (False, False)


def test_a_named_folder_stays_and_is_refused_to_a_second_run(tmp_path: Path) -> None:
    wanted = tmp_path / "data"
    with folder.data_folder(wanted) as used:
        assert used == wanted
        with (
            pytest.raises(MachineError, match="expected a folder of one run, got one in use"),
            folder.data_folder(wanted),
        ):
            raise AssertionError("a second run must not get here")
    with folder.data_folder(wanted) as again:
        assert again == wanted


def test_folders_of_killed_runs_are_swept_and_those_in_use_are_not(own_cache: Path) -> None:
    dead, alive, foreign = (own_cache / "runs" / name for name in ("dead", "alive", "foreign"))
    for path in (dead, alive, foreign):
        path.mkdir(parents=True)
    (dead / folder.LOCK).touch()
    with (alive / folder.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert folder.sweep(own_cache / "runs") == [dead]
    assert (dead.exists(), alive.exists(), foreign.exists()) == (False, True, True)


def test_a_full_disk_is_named_with_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "NEEDED_GB", 1e9)
    with pytest.raises(MachineError, match=r"disk of .*: expected 1000000000 GB free, got [\d.]+ GB; make room"):
        folder.require_space(tmp_path)
