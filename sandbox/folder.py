"""The data folder of one run: locked against a second run, and swept away when it was temporary."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sandbox.process import cache_folder
from services.common.errors import MachineError

NEEDED_GB = 1.0
LOCK = ".lock"


@contextmanager
def data_folder(wanted: Path | None) -> Iterator[Path]:
    """The folder `wanted`, or a temporary one that goes at the end; MachineError when it is in use or the disk is full."""
    runs = cache_folder() / "runs"
    if wanted is None:
        runs.mkdir(parents=True, exist_ok=True)
        sweep(runs)
        folder = Path(tempfile.mkdtemp(dir=runs))
    else:
        folder = wanted.expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        if not _locks(lock):
            raise MachineError(
                f"--data {folder}",
                expected="a folder of one run",
                got="one in use",
                do="stop that run, or name another",
            )
        try:
            require_space(folder)
            (folder / "logs").mkdir(exist_ok=True)
            yield folder
        finally:
            if wanted is None:
                shutil.rmtree(folder, ignore_errors=True)


def sweep(runs: Path) -> list[Path]:
    """Remove the temporary folders of runs that were killed; returns them."""
    gone = []
    for folder in sorted(runs.iterdir()):
        lock_path = folder / LOCK
        if not lock_path.exists():
            continue
        with lock_path.open("w") as lock:
            if _locks(lock):
                shutil.rmtree(folder, ignore_errors=True)
                gone.append(folder)
    return gone


def free_gb(folder: Path) -> float:
    """Gigabytes left on the disk of this folder."""
    return shutil.disk_usage(folder).free / 1e9


def require_space(folder: Path) -> None:
    """MachineError when the disk is as good as full."""
    left = free_gb(folder)
    if left < NEEDED_GB:
        raise MachineError(
            f"disk of {folder}",
            expected=f"{NEEDED_GB:.0f} GB free",
            got=f"{left:.1f} GB",
            do="make room, or use --data on another disk",
        )


def _locks(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
