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

from services.aggregator.fusion import flags, kernel, lags, learning, voices


class Kernels:
    """The functions in use: uncompiled until `ready`."""

    def __init__(self) -> None:
        self.answer: Callable[..., None] = kernel.answer
        self.learn: Callable[..., None] = learning.learn
        self.advance: Callable[..., None] = lags.advance
        self.advance_pairs: Callable[..., None] = voices.advance_pairs
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

        numba.config.CACHE_DIR = str(_cache())  # type: ignore[attr-defined]
        from numba import boolean, float32, float64, int16, int64, njit, void

        f, i, b, v, t = float64, int64, boolean, float64[::1], float64[:, ::1]
        pairs, ring = float32[:, ::1], int16[:, :, ::1]
        made: dict[str, Any] = {}
        # In the order in which they call each other.
        for function, signature in (
            (voices.weigh, void(i, v, t, t, pairs)),
            (flags.mark, i(i, i, v, t, v, v, t, t, f, f, f, f, f, b, f)),
            (kernel.answer, void(i, v, t, v, v, t, t, pairs, f, b, f, f, f)),
            (lags.at_time, f(t, i, f, f, f)),
            (lags.follow_lag, void(i, i, i, f, f, f, f, f, f, f, t, ring, t, f)),
            (voices.follow_pairs, void(i, i, v, t, v, t, ring, t, pairs, b, f, f)),
            (learning.middle_of, f(i, i, v, t, t, t, f, b)),
            (learning.learn, void(i, v, t, v, v, t, t, ring, t, pairs, f)),
            (lags.advance, void(int64[::1], i, t, v)),
            (voices.advance_pairs, void(pairs, i)),
        ):
            made[function.__name__] = njit(signature, cache=True)(_with(function, **made))
        self.answer, self.learn, self.advance, self.advance_pairs = (
            made[name] for name in ("answer", "learn", "advance", "advance_pairs")
        )
        self.ready = True


def _cache() -> Path:
    """Where compiled kernels are kept: beside the source, or in the temporary folder where that is read-only.

    numba looks at the file of a function only; the name holds all of them, because constants are compiled in.
    """
    folder = Path(__file__).parent
    sources = b"".join(
        (folder / name).read_bytes()
        for name in ("layout.py", "kernel.py", "voices.py", "flags.py", "learning.py", "lags.py")
    )
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
