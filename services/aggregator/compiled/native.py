"""Machine code from a file into memory: the few relocations that a self-contained object of the compiler needs.

An object of numba holds everything it calls but the C library's mathematics. Anything else in it (another processor, another
kind of relocation, a symbol nobody knows) is refused, and the caller compiles in its own process instead.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

MACHINE = "x86_64"
_ELF64, _RELOCATABLE, _X86_64 = b"\x7fELF\x02\x01", 1, 62
_SYMTAB, _RELA, _NOBITS = 2, 4, 8
_ALLOC = 2
_UNDEFINED, _COMMON = 0, 0xFFF2
_R_64, _R_PC32, _R_PLT32, _R_PC64 = 1, 2, 4, 24
_READ_EXECUTE = 5


class NativeError(Exception):
    """The object is not of a kind that can be placed."""


class _Section(NamedTuple):
    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


class Code:
    """One object, placed; functions of it are called by their symbols."""

    def __init__(self, data: bytes) -> None:
        if platform.machine() != MACHINE or data[:6] != _ELF64:
            raise NativeError(f"expected an ELF64 object on {MACHINE}, got {data[:6]!r} on {platform.machine()}")
        kind, machine = struct.unpack_from("<HH", data, 16)
        if (kind, machine) != (_RELOCATABLE, _X86_64):
            raise NativeError(f"expected a relocatable object for x86-64, got type {kind} for machine {machine}")
        (table,) = struct.unpack_from("<Q", data, 40)
        width, count = struct.unpack_from("<HH", data, 58)
        sections = [_Section._make(struct.unpack_from("<IIQQQQIIQQ", data, table + k * width)) for k in range(count)]
        self._symbols = self._read_symbols(data, sections)
        places, size = self._layout(sections)
        # What is common (zeroed, 8 bytes each here) follows what is in the file.
        commons = {k: size + 16 * n for n, k in enumerate(k for k, s in enumerate(self._symbols) if s[2] == _COMMON)}
        self._memory = mmap.mmap(-1, size + 16 * len(commons) + 16)
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        for number, place in places.items():
            section = sections[number]
            if section.type != _NOBITS:
                self._memory[place : place + section.size] = data[section.offset : section.offset + section.size]
        self.functions = {
            name: self._base + places[index] + value for name, value, index in self._symbols if name and index in places
        }
        for section in sections:
            # Unwinding tables describe frames to a debugger; nothing is thrown through these.
            if (
                section.type == _RELA
                and section.info in places
                and self._named(data, sections, section.info) != ".eh_frame"
            ):
                self._relocate(data, section, places, commons)
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        if protect(self._base, len(self._memory), _READ_EXECUTE):
            raise NativeError(f"memory may not be made executable (errno {ctypes.get_errno()})")

    @staticmethod
    def _named(data: bytes, sections: list[_Section], number: int) -> str:
        (names,) = struct.unpack_from("<H", data, 62)
        start = sections[names].offset + sections[number].name
        return data[start : data.index(0, start)].decode()

    @staticmethod
    def _read_symbols(data: bytes, sections: list[_Section]) -> list[tuple[str, int, int]]:
        """Name, value and section of each symbol."""
        found = []
        for section in sections:
            if section.type == _SYMTAB:
                strings = sections[section.link].offset
                for at in range(section.offset, section.offset + section.size, 24):
                    name, _, _, index, value, _ = struct.unpack_from("<IBBHQQ", data, at)
                    start = strings + name
                    found.append((data[start : data.index(0, start)].decode() if name else "", value, index))
        return found

    @staticmethod
    def _layout(sections: list[_Section]) -> tuple[dict[int, int], int]:
        places: dict[int, int] = {}
        size = 0
        for number, section in enumerate(sections):
            if section.flags & _ALLOC and section.size:
                size += -size % max(section.align, 1)
                places[number] = size
                size += section.size
        return places, size + -size % 16

    def _relocate(self, data: bytes, section: _Section, places: dict[int, int], commons: dict[int, int]) -> None:
        for at in range(section.offset, section.offset + section.size, 24):
            offset, info, addend = struct.unpack_from("<QQq", data, at)
            number, kind = info >> 32, info & 0xFFFFFFFF
            name, value, index = self._symbols[number]
            if index == _UNDEFINED:
                target = _external(name)
            elif index == _COMMON:
                target = self._base + commons[number]
            elif index in places:
                target = self._base + places[index] + value
            else:
                raise NativeError(f"symbol {name!r} is in section {index}, which is not in memory")
            place = places[section.info] + offset
            target += addend
            if kind == _R_64:
                struct.pack_into("<Q", self._memory, place, target)
                continue
            target -= self._base + place
            if kind == _R_PC64:
                struct.pack_into("<q", self._memory, place, target)
            elif kind in (_R_PC32, _R_PLT32) and -(2**31) <= target < 2**31:
                struct.pack_into("<i", self._memory, place, target)
            else:
                raise NativeError(f"relocation {kind} of {name!r} is not known")


_NEVER = frozenset({"NRT_MemInfo_call_dtor"})
"""What frees an array of numba's own; ours lie in memory that is not its own, so to come here is a fault worth an abort."""
_LIBRARIES = (ctypes.CDLL("libm.so.6"), ctypes.CDLL(None)) if platform.system() == "Linux" else ()


def _external(name: str) -> int:
    """Address of a function of the C library."""
    for library in _LIBRARIES:
        try:
            found = ctypes.cast(getattr(library, "abort" if name in _NEVER else name), ctypes.c_void_p).value
        except AttributeError:
            continue
        if found:
            return found
    raise NativeError(f"symbol {name!r} is not known")


def function(code: Code, symbol: str, arguments: int) -> Callable[..., int]:
    """A kernel of so many integers; its result is one, or nothing that counts. It keeps Python's lock, because to release it
    costs more than a small call."""
    prototype = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * arguments)
    call = prototype(code.functions[symbol])
    # numba's convention: where the result goes, where the exception goes, then the arguments; a status comes back.
    slot = (ctypes.c_int64 * 2)()
    result, fault = ctypes.addressof(slot), ctypes.addressof(slot) + 8

    def run(*given: int, _keep: Any = (code, slot)) -> int:
        status = call(result, fault, *given)
        if status:
            raise ArithmeticError(f"kernel {symbol[:40]} ended with status {status}")
        return slot[0]

    return run
