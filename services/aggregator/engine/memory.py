"""Memory of one partition outside of Python: chunks that are taken from the system as they are needed, and the desk of its kernels."""

from __future__ import annotations

import ctypes
import mmap

from services.aggregator.kernels import blocks
from services.aggregator.kernels.layout import DESK, MARGIN, WORD, X_END, X_FREE, X_NEXT

CHUNK = 1 << 24
"""Bytes of a chunk; what is not touched of it costs nothing."""
FIRST_CHUNK = 1 << 22
"""Bytes of the first: most partitions are small."""


def words_at(address: int, n: int) -> memoryview[int]:
    """n int64 at this address."""
    return memoryview((ctypes.c_int64 * n).from_address(address)).cast("B").cast("q")


def doubles_at(address: int, n: int) -> memoryview[float]:
    """n float64 at this address."""
    return memoryview((ctypes.c_double * n).from_address(address)).cast("B").cast("d")


def bytes_at(address: int, n: int) -> bytes:
    """A copy of n bytes."""
    return ctypes.string_at(address, n)


def address_of(data: bytes) -> int:
    """Where these bytes lie, for as long as somebody holds them."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


class Memory:
    """The chunks and the desk; what lies in them is reached by address and lives as long as this."""

    def __init__(self) -> None:
        self._chunks: list[mmap.mmap] = []
        begin, end = self._map(FIRST_CHUNK)
        self.desk_at = begin
        """Address of DESK words."""
        self.desk = words_at(begin, DESK)
        """Its words, by X_*."""
        self.desk_floats = doubles_at(begin, DESK)
        """The same words as doubles."""
        self.desk[X_FREE] = begin + DESK * WORD
        self.desk[X_NEXT] = begin + (DESK + blocks.SIZES) * WORD
        self.desk[X_END] = end

    def ready(self, n: int = MARGIN) -> None:
        """See to it that so many bytes are free; to be called before a kernel that allocates."""
        desk = self.desk
        if desk[X_END] - desk[X_NEXT] < n:
            # What is left of the last chunk was hardly touched, so it is given up.
            desk[X_NEXT], desk[X_END] = self._map(max(CHUNK, n + MARGIN))

    def block(self, words: int) -> int:
        """Address of a new block, zeroed."""
        self.ready(words * WORD * 5 // 4 + MARGIN)
        untouched = self.desk[X_NEXT]
        address = blocks.alloc(self.desk_at, words)
        if address != untouched:
            ctypes.memset(address, 0, words * WORD)
        return address

    def release(self, address: int, words: int) -> None:
        """Give back what `block` gave for so many words."""
        blocks.release(self.desk_at, address, words)

    def keep(self, data: bytes) -> int:
        """Address of a copy of these bytes that stays."""
        address = self.block(max(1, (len(data) + WORD - 1) // WORD))
        ctypes.memmove(address, data, len(data))
        return address

    @property
    def taken(self) -> int:
        """Bytes of all chunks, touched or not."""
        return sum(map(len, self._chunks))

    def _map(self, n: int) -> tuple[int, int]:
        """Begin and end of a new chunk."""
        chunk = mmap.mmap(-1, n)
        self._chunks.append(chunk)
        begin = ctypes.addressof(ctypes.c_char.from_buffer(chunk))
        return begin, begin + n
