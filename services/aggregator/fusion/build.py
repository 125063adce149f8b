"""Compiles the kernels with numba; `python -m services.aggregator.fusion.build FILE` keeps the machine code in a file.

The file is what lets a running aggregator do without the compiler, which takes 100 MB and a second to load (native.py).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import msgspec

from services.aggregator.fusion import flags, kernel, lags, learning, memory, rows, voices

ENTRIES = ("answer_rows", "advance_sources", "advance_voices")
"""What is called from outside, with integers only."""


def compile_all(wrapped: bool) -> dict[str, Any]:
    """All kernels by name, compiled for this processor; `wrapped` for calls from Python."""
    import numba
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba import boolean, float32, float64, int16, int64, types, void
    from numba.extending import intrinsic

    @intrinsic
    def _pointer(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

        return types.voidptr(types.int64), generate

    # Stubs of numba know neither intrinsics nor all options.
    pointer: Any = _pointer
    view: Any = numba.carray  # type: ignore[attr-defined]
    jit: Any = numba.njit

    def floats(address: int, n: int) -> Any:
        return view(pointer(address), (n,), float64)

    def table(address: int, rows: int, columns: int) -> Any:
        return view(pointer(address), (rows, columns), float64)

    def singles(address: int, rows: int, columns: int) -> Any:
        return view(pointer(address), (rows, columns), float32)

    def shorts(address: int, rows: int, columns: int, depth: int) -> Any:
        return view(pointer(address), (rows, columns, depth), int16)

    def integers(address: int, n: int) -> Any:
        return view(pointer(address), (n,), int64)

    i, f, b, v, t = int64, float64, boolean, float64[::1], float64[:, ::1]
    pairs, ring = float32[:, ::1], int16[:, :, ::1]
    made: dict[str, Any] = {function.__name__: jit(function) for function in (floats, table, singles, shorts, integers)}
    assert set(made) <= set(vars(memory))
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
        (rows.rounded, f(f)),
        (rows.judge, void(i, i, i, t, t, v, t, t, f, f)),
        (rows.finish, void(i, i, i, t, t, v, t, v, t, f)),
        (rows.mostly_zero, void(i, i, i, t, v, t)),
        (rows.alone, b(i, i, f, f, f, i, t, t, t, f)),
        (rows.answer_rows, void(*[i] * 8)),
        (rows.advance_sources, void(*[i] * 6)),
        (rows.advance_voices, void(i, i)),
    ):
        own = _with(function, **made)
        made[function.__name__] = jit(signature, no_cfunc_wrapper=True, no_cpython_wrapper=not wrapped)(own)
    return made


def _with(function: Any, **names: Any) -> FunctionType:
    """The same function, finding other functions under these names."""
    copy = FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__, function.__defaults__)
    copy.__annotations__ = function.__annotations__
    copy.__qualname__ = function.__qualname__
    copy.__module__ = function.__module__
    return copy


def objects() -> dict[str, tuple[str, bytes]]:
    """Name -> symbol and relocatable object of each entry, with all that it calls inside."""
    found = {}
    for name, function in compile_all(wrapped=False).items():
        if name in ENTRIES:
            (compiled,) = function.overloads.values()
            found[name] = compiled.fndesc.llvm_func_name, compiled.library._get_compiled_object()
    return found


def main(argv: list[str]) -> int:
    """Write the file; whole or not at all."""
    target = Path(argv[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(msgspec.msgpack.encode(objects()))
    part.rename(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
