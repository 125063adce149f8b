"""Words of 64 bits without a sign, the bits of doubles, and eight bytes at once: what reading and writing numbers is made of.

The functions are the uncompiled forms; `compiled_forms` gives those that numba compiles, under the same names.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from services.aggregator.compiled.types import Array

Word = Any
"""numpy.uint64; numba knows the type."""
_MASK = (1 << 64) - 1


def low(a: Word, b: Word) -> Word:
    """The lower half of the product of two uint64."""
    return np.uint64(int(a) * int(b) & _MASK)


def plus(a: Word, b: Word) -> Word:
    """The sum of two uint64 without its carry."""
    return np.uint64(int(a) + int(b) & _MASK)


def leading(a: Word) -> Word:
    """How many zero bits a uint64 begins with; 64 for 0."""
    return np.uint64(64 - int(a).bit_length())


def trailing(a: Word) -> Word:
    """How many zero bits a uint64 ends with; 64 for 0."""
    return np.uint64((int(a) & -int(a)).bit_length() - 1 if a else 64)


def bits(value: float) -> Word:
    """The bits of a double as uint64."""
    return np.uint64(struct.unpack("<Q", struct.pack("<d", value))[0])


def double(a: Word) -> float:
    """The double of these bits."""
    found: float = struct.unpack("<d", struct.pack("<Q", int(a)))[0]
    return found


def place(view: Array, at: int) -> int:
    """The address of one element of bytes."""
    return int(view.ctypes.data) + int(at)


def load(view: Array, at: int) -> Word:
    """Eight bytes as uint64, the first of them lowest; those behind the end of the array are something, or nothing."""
    return np.uint64(int.from_bytes(bytes(view[at : at + 8]), "little"))


def store(view: Array, at: int, word: Word) -> None:
    """A uint64 as eight bytes."""
    view[at : at + 8] = np.frombuffer(int(word).to_bytes(8, "little"), np.uint8)


def parsed(text: Array, at: int, end: int) -> float:
    """The double of the number text[at:end], after which comes what is no part of a number (compiled, this is C's strtod)."""
    return float(bytes(text[at:end]))


def compiled_forms() -> dict[str, Any]:
    """The same functions for the compiler, by name."""
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba import float64, int64, uint64, void
    from numba.core import cgutils
    from numba.extending import intrinsic

    declare: Any = cgutils.get_or_insert_function
    word, byte = ir.IntType(64), ir.IntType(8).as_pointer()

    def element(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.gep(array.data, [arguments[1]])

    @intrinsic
    def low(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return builder.mul(*arguments)

        return uint64(uint64, uint64), generate

    @intrinsic
    def plus(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return builder.add(*arguments)

        return uint64(uint64, uint64), generate

    @intrinsic
    def leading(typing: Any, a: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

        return uint64(uint64), generate

    @intrinsic
    def trailing(typing: Any, a: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

        return uint64(uint64), generate

    @intrinsic
    def bits(typing: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], word)

        return uint64(float64), generate

    @intrinsic
    def double(typing: Any, a: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], ir.DoubleType())

        return float64(uint64), generate

    @intrinsic
    def place(typing: Any, view: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.ptrtoint(element(context, builder, signature, arguments), word)

        return int64(view, int64), generate

    @intrinsic
    def load(typing: Any, view: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source = builder.bitcast(element(context, builder, signature, arguments), word.as_pointer())
            return builder.load(source, align=1)

        return uint64(view, int64), generate

    @intrinsic
    def store(typing: Any, view: Any, at: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target = builder.bitcast(element(context, builder, signature, arguments), word.as_pointer())
            builder.store(arguments[2], target, align=1)
            return context.get_dummy_value()

        return void(view, int64, uint64), generate

    @intrinsic
    def parsed(typing: Any, text: Any, at: Any, end: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            of_c = ir.FunctionType(ir.DoubleType(), [byte, byte.as_pointer()])
            function = declare(builder.module, of_c, "strtod")
            return builder.call(function, [element(context, builder, signature, arguments), byte.as_pointer()(None)])

        return float64(text, int64, int64), generate

    forms: tuple[Any, ...] = (low, plus, leading, trailing, bits, double, place, load, store, parsed)
    return {form.__name__: form for form in forms}
