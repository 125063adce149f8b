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

from services.aggregator.compiled import memory, numbers, text
from services.aggregator.compiled.table import ENTRIES, FUNCTIONS, TYPES


def compile_all(wrapped: bool) -> dict[str, Any]:
    """All kernels by name, compiled for this processor; `wrapped` for calls from Python."""
    import numba

    jit: Any = numba.njit  # stubs of numba do not know all options
    made = {**_primitives(), **numbers.compiled_forms(), **text.compiled_forms()}
    kinds = {letter: eval(name, vars(numba)) for letter, name in TYPES.items()}  # noqa: S307 - names of our own table
    for row in FUNCTIONS:
        function = getattr(import_module(row.module), row.name)
        signature = kinds[row.result](*(kinds[letter] for letter in row.arguments))
        own = _with(function, **made)
        # Nothing is allocated, so that nothing is counted (_nrt).
        made[row.name] = jit(signature, _nrt=False, no_cfunc_wrapper=True, no_cpython_wrapper=not wrapped)(own)
    return made


def _primitives() -> dict[str, Any]:
    """The functions of memory.py for the compiler, by name."""
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba import float32, float64, int16, int64, types, uint8, uint64, void
    from numba.extending import intrinsic
    from numba.np import arrayobj

    word, wide, byte = ir.IntType(64), ir.IntType(128), ir.IntType(8).as_pointer()

    def view(item: Any, shape: int) -> Any:
        """An array over memory that is known by its address, which nobody counts references to."""
        array = types.Array(item, shape, "C")

        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            found = context.make_array(array)(context, builder)
            width = word(context.get_abi_sizeof(context.get_data_type(item)))
            strides = [width]
            for n in reversed(arguments[2:]):
                strides.insert(0, builder.mul(strides[0], n))
            data = builder.inttoptr(arguments[0], found.data.type)
            populate: Any = arrayobj.populate_array
            populate(found, data, shape=arguments[1:], strides=strides, itemsize=width, meminfo=None)
            return found._getvalue()

        return array(int64, *[int64] * shape), generate

    @intrinsic
    def floats(typing: Any, address: Any, n: Any) -> Any:
        return view(float64, 1)

    @intrinsic
    def table(typing: Any, address: Any, rows: Any, columns: Any) -> Any:
        return view(float64, 2)

    @intrinsic
    def singles(typing: Any, address: Any, rows: Any, columns: Any) -> Any:
        return view(float32, 2)

    @intrinsic
    def shorts(typing: Any, address: Any, rows: Any, columns: Any, depth: Any) -> Any:
        return view(int16, 3)

    @intrinsic
    def integers(typing: Any, address: Any, n: Any) -> Any:
        return view(int64, 1)

    @intrinsic
    def octets(typing: Any, address: Any, n: Any) -> Any:
        return view(uint8, 1)

    @intrinsic
    def copy(typing: Any, to: Any, source: Any, n: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            move = builder.module.declare_intrinsic("llvm.memcpy", [byte, byte, word])
            places = [builder.inttoptr(one, byte) for one in arguments[:2]]
            builder.call(move, [*places, arguments[2], ir.IntType(1)(0)])
            return context.get_dummy_value()

        return void(int64, int64, int64), generate

    @intrinsic
    def high(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            product = builder.mul(*(builder.zext(one, wide) for one in arguments))
            return builder.trunc(builder.lshr(product, wide(64)), word)

        return uint64(uint64, uint64), generate

    forms: tuple[Any, ...] = (floats, table, singles, shorts, integers, octets, copy, high)
    made = {form.__name__: form for form in forms}
    assert set(made) <= set(vars(memory))
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
