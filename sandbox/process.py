"""Child processes that cannot outlive us: own session, killed by the kernel when the parent dies, stopped by pid."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from services.common.errors import MachineError

POLL_S = 0.02
"""How often a condition on a starting or stopping child is looked at."""

PORTS: Final = range(20_000, 30_000)
"""Where free ports are looked for: below those that systems give to outgoing connections (32,768 on Linux, 49,152 elsewhere). One of
theirs may be gone before the server takes it, and while a server is away for a restart, its clients can even connect to themselves."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def before_exec() -> None:
    """Run in the child: the kernel kills it when the thread that started it ends (Linux), and it may open all files it can."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def spawn(
    argv: Sequence[str | Path], log_path: Path, environ: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, its output appended to `log_path`. Call it from the main thread."""
    with log_path.open("ab") as log_file:
        return subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            env=None if environ is None else dict(environ),
            start_new_session=True,
            preexec_fn=before_exec,
        )


def stop(process: subprocess.Popen[bytes], budget_s: float) -> int:
    """SIGTERM, then SIGKILL when the budget is spent; returns the exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            return process.wait(budget_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def wait_for(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], budget_s: float, what: str, log: Path
) -> None:
    """Return when `ready()`; MachineError when the child ends first or the budget is spent, with the end of its log."""
    end = time.monotonic() + budget_s
    while not ready():
        code = process.poll()
        if code is not None:
            raise MachineError(what, expected="a running server", got=f"exit {code}", do=f"read {log}:\n{tail(log)}")
        if time.monotonic() >= end:
            process.kill()
            process.wait()
            raise MachineError(
                what, expected=f"ready in {budget_s:.0f} s", got="silence", do=f"read {log}:\n{tail(log)}"
            )
        time.sleep(POLL_S)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now, and that no connection can be given later."""
    for port in random.sample(PORTS, len(PORTS)):
        if not port_taken(port):
            return port
    raise MachineError(
        "ports of 127.0.0.1",
        expected=f"a free one from {PORTS[0]} to {PORTS[-1]}",
        got="none",
        do="stop who listens there",
    )


def port_taken(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
        return False


def require_free(port: int, what: str, host: str = "127.0.0.1") -> None:
    """MachineError when somebody listens on the port already."""
    if port_taken(port, host):
        raise MachineError(
            f"{what}, port {port}",
            expected="a free port",
            got="one in use",
            do="stop who listens there, or choose another",
        )


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a text file; empty when there is none."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def cache_folder() -> Path:
    """Where downloads are kept between runs: XDG_CACHE_HOME/parallax or ~/.cache/parallax."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "parallax"
