"""Text at any address, a word or 32 bytes at once: what walking over JSON is made of.

The functions are the uncompiled forms; `compiled_forms` gives those that numba compiles, under the same names. The bytes that are
looked at must be readable, also those behind the end of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ctypes import c_int64, string_at
from typing import Any

LANES = 32
"""Bytes that are looked at in one step."""
QUOTE, ESCAPE, SPACE, ZERO = b'"\\ 0'
_WORD = 2**64 - 1
_plain: Any = re.compile(rb'[^"\\\x00-\x1f]*').match
_digits: Any = re.compile(rb"[0-9]*").match


def word_at(address: int) -> int:
    """The 8 bytes at the address as an int64, the first of them lowest."""
    return c_int64.from_address(int(address)).value


def mixed(a: int, b: int) -> int:
    """The two halves of the product of two words, taken without sign, one upon the other: every bit depends on every bit."""
    product = (int(a) & _WORD) * (int(b) & _WORD)
    return c_int64((product >> 64) ^ (product & _WORD)).value


def plain_at(address: int) -> int:
    """How many of the 32 bytes at the address come before the first quote, backslash or control character."""
    found: int = _plain(string_at(int(address), LANES)).end()
    return found


def digits_at(address: int) -> int:
    """How many of the 32 bytes at the address come before the first that is no digit."""
    found: int = _digits(string_at(int(address), LANES)).end()
    return found


def compiled_forms() -> dict[str, Any]:
    """The same functions for the compiler, by name."""
    import numba
    from llvmlite import ir  # type: ignore[import-untyped]
    from numba import int64
    from numba.extending import intrinsic

    byte, word, wide = ir.IntType(8), ir.IntType(64), ir.IntType(128)
    lanes = ir.VectorType(byte, LANES)

    def all_of(value: int) -> Any:
        return ir.Constant(lanes, [ir.Constant(byte, value)] * LANES)

    def before(ends: Callable[[Any, Any], Any]) -> Any:
        """How many bytes come before the first for which `ends` holds."""

        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            text = builder.load(builder.inttoptr(arguments[0], lanes.as_pointer()), align=1)
            mask = builder.zext(builder.bitcast(ends(builder, text), ir.IntType(LANES)), word)
            return builder.cttz(builder.or_(mask, word(1 << LANES)), ir.IntType(1)(1))

        return generate

    def ends_plain(builder: Any, text: Any) -> Any:
        special = (builder.icmp_unsigned("==", text, all_of(one)) for one in (QUOTE, ESCAPE))
        return builder.or_(builder.or_(*special), builder.icmp_unsigned("<", text, all_of(SPACE)))

    def ends_digits(builder: Any, text: Any) -> Any:
        return builder.icmp_unsigned(">", builder.sub(text, all_of(ZERO)), all_of(9))

    @intrinsic
    def load(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[0], word.as_pointer()), align=1)

        return int64(int64), generate

    @intrinsic
    def mix(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            product = builder.mul(*(builder.zext(one, wide) for one in arguments))
            return builder.xor(builder.trunc(product, word), builder.trunc(builder.lshr(product, wide(64)), word))

        return int64(int64, int64), generate

    @intrinsic
    def plain(typing: Any, address: Any) -> Any:
        return int64(int64), before(ends_plain)

    @intrinsic
    def digits(typing: Any, address: Any) -> Any:
        return int64(int64), before(ends_digits)

    intrinsics: Any = (load, mix, plain, digits)
    jit: Any = numba.njit
    return {name: jit(function) for name, function in _calling(*intrinsics).items()}


def _calling(load: Any, mix: Any, plain: Any, digits: Any) -> dict[str, Any]:
    """What the compiler sees in place of each function of this module: the processor's own instructions."""
    return {
        "word_at": lambda address: load(address),
        "mixed": lambda a, b: mix(a, b),
        "plain_at": lambda address: plain(address),
        "digits_at": lambda address: digits(address),
    }
