"""The kernels as machine code, made once and kept on disk; until it is there the same functions run uncompiled, to the same bits.

A process of its own compiles (build.py); this one only places the code in its memory (native.py), so that a running
aggregator carries no compiler. Where that is not possible the compiler is loaded after all. Compiled or not, the functions
use IEEE doubles in the order written and the same exp, log and erf of the C library, without fused or reordered operations:
which of them answered cannot be seen in an answer, so a replay agrees (docs/engine.md says which tests hold that).
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from os import W_OK, access, environ, getuid
from pathlib import Path
from tempfile import gettempdir
from threading import Lock, Thread
from typing import Any

import msgspec

from services.aggregator.compiled.native import Code, NativeError, function
from services.aggregator.compiled.table import ENTRIES, FUNCTIONS, LAYOUTS, arguments_of

BUILD = "services.aggregator.compiled.build"
BUILD_S = 300
"""Longest time the compiler may take; half a minute on an idle core."""

log = logging.getLogger(__name__)


class Kernels:
    """The functions in use, by name: uncompiled until `ready`."""

    def __init__(self) -> None:
        self.ready = False
        self._thread: Thread | None = None
        self._lock = Lock()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # Uncompiled ones are found when they are called: their modules import this one.
        if name in ENTRIES:
            found: Callable[..., Any] = next(
                getattr(import_module(row.module), name) for row in FUNCTIONS if row.name == name
            )
            return found
        raise AttributeError(f"{name!r} is not an entry: expected one of {', '.join(ENTRIES)}")

    def _use(self, made: Mapping[str, Callable[..., Any]]) -> None:
        for name in ENTRIES:
            setattr(self, name, made[name])

    def warm(self, wait: bool = False) -> None:
        """Load or compile the kernels, in a thread unless `wait`; a second call does no work twice."""
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._make, name="compile", daemon=True)
                self._thread.start()
        if wait:
            self._thread.join()

    def _make(self) -> None:
        try:
            path = _kept()
            if not path.exists():
                subprocess.run(
                    [sys.executable, "-m", BUILD, str(path)], check=True, timeout=BUILD_S, capture_output=True
                )
            made = place(path.read_bytes())
        except (NativeError, OSError, subprocess.SubprocessError, msgspec.DecodeError) as fault:
            log.warning("compiled kernels cannot be placed (%s): the compiler is loaded instead", fault)
            from services.aggregator.compiled.build import compile_all

            made = compile_all(wrapped=True)
        self._use(made)
        self.ready = True


def place(data: bytes) -> dict[str, Callable[..., int]]:
    """The functions of a file that build.py wrote; NativeError when they cannot run here."""
    objects = msgspec.msgpack.decode(data, type=dict[str, tuple[str, bytes]])
    return {name: function(Code(objects[name][1]), objects[name][0], arguments_of(name)) for name in ENTRIES}


def _kept() -> Path:
    """Where the code is kept: beside the source, or in the temporary folder where it is not there and that is read-only.

    The name says for what it holds: all sources, because they are compiled into one; the compiler; and the processor.
    """
    folder = Path(__file__).parent
    sources = sorted(
        {row.module for row in FUNCTIONS}
        | {*LAYOUTS, *(f"{__package__}.{name}" for name in ("build", "table", "text"))}
    )
    known = b"".join(Path(str(import_module(name).__file__)).read_bytes() for name in sources)
    known += f"{version('numba')} {sys.version_info[:2]} {_processor()}".encode()
    name = f"kernels-{sha256(known).hexdigest()[:16]}.bin"
    beside = folder / "__pycache__"
    if (beside / name).exists() or access(beside if beside.exists() else folder, W_OK):
        return beside / name
    return Path(gettempdir()) / f"parallax-{getuid()}" / name


def _processor() -> str:
    """What the processor can do: code for one may be illegal on another. Who names one to the compiler (an image that is to run on
    many machines) has it made for that one."""
    if named := environ.get("NUMBA_CPU_NAME"):
        return f"{named} {environ.get('NUMBA_CPU_FEATURES', '')}"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith("flags")), "")


KERNELS = Kernels()
"""Of this process: compiling twice would be waste, and the functions hold no state."""
