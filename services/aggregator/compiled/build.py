"""Compiles the kernels with numba; `python -m services.aggregator.compiled.build FILE` keeps the machine code in a file.

The file is what lets a running aggregator do without the compiler, which takes 100 MB and a second to load (native.py).
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

import msgspec

from services.aggregator.compiled import memory, text
from services.aggregator.compiled.numbers import compiled_forms
from services.aggregator.compiled.table import ENTRIES, FUNCTIONS, TYPES


def compile_all(wrapped: bool) -> dict[str, Any]:
    """All kernels by name, compiled for this processor; `wrapped` for calls from Python."""
    import numba
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba import float32, float64, int16, int64, types, uint8, uint64, void
    from numba.extending import intrinsic

    @intrinsic
    def _pointer(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

        return types.voidptr(types.int64), generate

    @intrinsic
    def _copy(typing: Any, to: Any, source: Any, n: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            byte = ir.IntType(8).as_pointer()
            move = builder.module.declare_intrinsic("llvm.memcpy", [byte, byte, ir.IntType(64)])
            places = [builder.inttoptr(one, byte) for one in arguments[:2]]
            builder.call(move, [*places, arguments[2], ir.Constant(ir.IntType(1), 0)])
            return context.get_dummy_value()

        return void(int64, int64, int64), generate

    @intrinsic
    def _high(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            wide = ir.IntType(128)
            product = builder.mul(*(builder.zext(one, wide) for one in arguments))
            return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

        return uint64(uint64, uint64), generate

    # Stubs of numba know neither intrinsics nor all options.
    pointer: Any = _pointer
    move: Any = _copy
    upper: Any = _high
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

    def octets(address: int, n: int) -> Any:
        return view(pointer(address), (n,), uint8)

    def copy(to: int, source: int, n: int) -> None:
        move(to, source, n)

    def high(a: Any, b: Any) -> Any:
        return upper(a, b)

    primitives = (floats, table, singles, shorts, integers, octets, copy, high)
    made: dict[str, Any] = {function.__name__: jit(function) for function in primitives}
    assert set(made) <= set(vars(memory))
    made |= compiled_forms()
    made |= text.compiled_forms()
    kinds = {letter: eval(name, vars(numba)) for letter, name in TYPES.items()}  # names of our own table
    for row in FUNCTIONS:
        function = getattr(import_module(row.module), row.name)
        signature = kinds[row.result](*(kinds[letter] for letter in row.arguments))
        own = _with(function, **made)
        made[row.name] = jit(signature, no_cfunc_wrapper=True, no_cpython_wrapper=not wrapped)(own)
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
