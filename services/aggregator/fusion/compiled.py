"""The kernels, compiled once and kept on disk; until they are ready the same functions run uncompiled, to the same bits.

`warm` compiles in a thread and swaps the functions in. Both forms use IEEE doubles in the order written and the same
exp, log and erf of the C library, without fused or reordered operations: which of them answered cannot be seen in an
answer, so a replay agrees whenever the compiler happened to be ready (tests/unit/aggregator/fusion/test_compiled.py).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from os import W_OK, access, getuid
from pathlib import Path
from tempfile import gettempdir
from threading import Lock, Thread
from types import FunctionType
from typing import Any

from services.aggregator.fusion import kernel, learning


class Kernels:
    """The functions in use: uncompiled until `ready`."""

    def __init__(self) -> None:
        self.answer: Callable[..., None] = kernel.answer
        self.learn: Callable[..., None] = learning.learn
        self.advance: Callable[..., None] = learning.advance
        self.advance_pairs: Callable[..., None] = learning.advance_pairs
        self.ready = False
        self._thread: Thread | None = None
        self._lock = Lock()

    def warm(self, wait: bool = False) -> None:
        """Load or compile the kernels, in a thread unless `wait`; a second call does no work twice."""
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._compile, name="fusion-compile", daemon=True)
                self._thread.start()
        if wait:
            self._thread.join()

    def _compile(self) -> None:
        import numba
        import numpy as np

        numba.config.CACHE_DIR = str(_cache())
        from numba import boolean, float32, float64, int16, int64, njit, void

        vector, table = float64[::1], float64[:, ::1]
        pairs = float32[:, ::1]
        at_time = njit(float64(table, int64, float64, float64, float64), cache=True)(learning.at_time)
        middle_of = njit(float64(int64, int64, vector, table, table, table, float64, boolean), cache=True)(learning.middle_of)
        answer = njit(
            void(int64, vector, table, vector, vector, table, table, pairs, float64, boolean, float64, float64, float64),
            cache=True,
        )(kernel.answer)
        learn = njit(
            void(int64, vector, table, vector, vector, table, table, int16[:, :, ::1], table, pairs, float64), cache=True
        )(_with(learning.learn, at_time=at_time, middle_of=middle_of))
        advance = njit(void(int64[::1], int64, table, vector), cache=True)(learning.advance)
        advance_pairs = njit(void(pairs, int64), cache=True)(learning.advance_pairs)
        advance_pairs(np.zeros((1, 1), np.float32), 0)
        self.answer, self.learn, self.advance, self.advance_pairs = answer, learn, advance, advance_pairs
        self.ready = True


def _cache() -> Path:
    """Where compiled kernels are kept: beside the source, or in the temporary folder where that is read-only.

    numba looks at the file of a function only; the name holds all three files, because constants are compiled in.
    """
    folder = Path(__file__).parent
    sources = b"".join((folder / name).read_bytes() for name in ("layout.py", "kernel.py", "learning.py"))
    name = "kernels-" + sha256(sources).hexdigest()[:16]
    beside = folder / "__pycache__"
    if access(beside if beside.exists() else folder, W_OK):
        return beside / name
    return Path(gettempdir()) / f"parallax-{getuid()}" / name


def _with(function: Any, **names: Any) -> FunctionType:
    """The same function, finding other functions under these names."""
    copy = FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__, function.__defaults__)
    copy.__annotations__ = function.__annotations__
    copy.__qualname__ = function.__qualname__
    copy.__module__ = function.__module__
    return copy


KERNELS = Kernels()
"""Of this process: compiling twice would be waste, and the functions hold no state."""
