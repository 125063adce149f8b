"""A fence around every block of a partition's memory: uncompiled kernels that look or write beyond one are caught in the act."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from services.aggregator.compiled import memory
from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.compiled.table import ENTRIES, FUNCTIONS
from services.aggregator.engine.memory import Memory
from services.aggregator.kernels import blocks
from services.aggregator.kernels.layout import DESK, WORD


class Fence:
    """The chunks that partitions took, and the blocks in them that somebody holds, by address."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, int]] = []
        self.held: dict[int, int] = {}
        """Address of a block -> bytes that were asked for."""
        self._order: list[int] = []
        self.looks = 0

    def check(self, address: int, n: int) -> None:
        """AssertionError when n bytes from here are memory of a partition and not all of one block."""
        if n <= 0 or not any(begin <= address < end for begin, end in self.chunks):
            return
        self.looks += 1
        place = bisect_right(self._order, address) - 1
        start = self._order[place] if place >= 0 else 0
        assert address + n <= start + self.held.get(start, 0), f"{n} bytes at {address - start} of a block"

    def take(self, address: int, n: int) -> None:
        """A block is held."""
        place = bisect_right(self._order, address)
        assert place == 0 or self._order[place - 1] + self.held[self._order[place - 1]] <= address, "blocks overlap"
        assert place == len(self._order) or address + n <= self._order[place], "blocks overlap"
        assert any(begin <= address and address + n <= end for begin, end in self.chunks), (
            "a block ends behind its chunk"
        )
        insort(self._order, address)
        self.held[address] = n

    def forget(self, begin: int, end: int) -> None:
        """The system gave memory that it had got back."""
        self.chunks = [one for one in self.chunks if one[1] <= begin or end <= one[0]]
        for address in [one for one in self.held if begin <= one < end]:
            del self.held[address]
        self._order = sorted(self.held)

    def drop(self, address: int, words: int) -> None:
        """A block is given back, by who says how much was asked for."""
        assert blocks.room_in(self.held[address] // WORD) == blocks.room_in(words), "another size than was asked for"
        del self.held[address]
        self._order.remove(address)


def build(monkeypatch: pytest.MonkeyPatch) -> Fence:
    """Use the kernels uncompiled, inside a fence; partitions must be made afterwards."""
    KERNELS.warm(wait=True)
    fence = Fence()
    alloc, release, take_chunk = blocks.alloc, blocks.release, Memory._map

    def fenced_alloc(desk: int, words: int) -> int:
        with monkeypatch.context() as inside:
            inside.setattr(blocks, "integers", memory.integers)
            address = alloc(desk, words)
        fence.take(address, words * WORD)
        return address

    def fenced_release(desk: int, address: int, words: int) -> None:
        fence.drop(address, words)
        with monkeypatch.context() as inside:
            inside.setattr(blocks, "integers", memory.integers)
            release(desk, address, words)

    def fenced_chunk(self: Memory, n: int) -> tuple[int, int]:
        begin, end = take_chunk(self, n)
        fence.forget(begin, end)
        fence.chunks.append((begin, end))
        if len(self._chunks) == 1:
            fence.take(begin, (DESK + blocks.SIZES) * WORD)
        return begin, end

    def fenced_view(view: Callable[..., Any], size: int) -> Callable[..., Any]:
        def look(address: int, *shape: int) -> Any:
            n = size
            for one in shape:
                n *= int(one)
            fence.check(int(address), n)
            return view(address, *shape)

        return look

    def fenced_copy(to: int, source: int, n: int) -> None:
        fence.check(to, n)
        fence.check(source, n)
        memory.copy(to, source, n)

    monkeypatch.setattr(Memory, "_map", fenced_chunk)
    views = (("integers", 8), ("floats", 8), ("table", 8), ("octets", 1), ("singles", 4), ("shorts", 2))
    fenced: dict[str, Callable[..., Any]] = {name: fenced_view(getattr(memory, name), size) for name, size in views}
    fenced |= {"copy": fenced_copy, "alloc": fenced_alloc, "release": fenced_release}
    for module in {import_module(row.module) for row in FUNCTIONS}:
        for name, one in fenced.items():
            if module is not memory and hasattr(module, name):
                monkeypatch.setattr(module, name, one)
    for row in FUNCTIONS:
        if row.name in ENTRIES and ".kernels." in row.module:
            monkeypatch.setattr(KERNELS, row.name, getattr(import_module(row.module), row.name))
    return fence
