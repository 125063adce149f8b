"""A server of our own on loopback: one process on a port and a folder, stopped, killed and started again on the same data."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sandbox import process


class Server(ABC):
    """What the broker and the cache have in common; each says how it is prepared, called, and known to be ready."""

    name: str
    ready_s: float
    stop_s: float

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.port = port or process.free_port()
        self.log_path = folder / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """What must be there before the process starts; cheap when it is there already."""

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The process to start."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it answers now."""

    @property
    def pid(self) -> int | None:
        """The process id, None when it was never started."""
        return self._process.pid if self._process else None

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process else None

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process; from the main thread, after `prepare`. It is not ready yet."""
        process.require_free(self.port, self.name)
        self._process = process.spawn(self.command(), self.log_path)
        return self._process

    def start(self) -> None:
        """Prepare, spawn and wait until ready; MachineError with the end of the log when it is not."""
        self.prepare()
        process.wait_for(self.ready, self.spawn(), self.ready_s, self.name, self.log_path)

    def stop(self) -> None:
        """Stop cleanly, by force when the budget is spent."""
        if self._process is not None:
            process.stop(self._process, self.stop_s)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


S = TypeVar("S", bound=Server)


@contextmanager
def running(make: Callable[[Path], S], folder: Path | None) -> Iterator[S]:
    """The server, started; without a folder its data is temporary and it is killed at the end, with one it is stopped cleanly."""
    used = folder or Path(tempfile.mkdtemp(prefix="parallax-"))
    server = make(used)
    try:
        server.start()
        yield server
    finally:
        if folder is None:
            server.kill()
            shutil.rmtree(used, ignore_errors=True)
        else:
            server.stop()
