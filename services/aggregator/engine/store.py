"""What one partition holds, in memory that kernels read and write: its entities by address, and the tables beside them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.compiled.memory import integers
from services.aggregator.engine.memory import Memory, address_of, bytes_at, words_at
from services.aggregator.engine.rates import quote_in
from services.aggregator.engine.rules import Rules
from services.aggregator.engine.tables import Tables
from services.aggregator.engine.view import Entity
from services.aggregator.fusion import Fuser
from services.aggregator.kernels import layout as at

FIRST_LINES = 1024
"""Lines of the first index."""
PAPER = 1024
"""Bytes of the keys that are looked for without asking where they lie."""
PAGE = 1 << 16
"""Bytes of keys that are copied at once."""


class Store(Memory):
    """The memory of one partition, built from its rules."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self.rules = rules
        self.tables = Tables(self, rules)
        self.desk[at.X_SCRATCH] = self.block(at.SCRATCH)
        self.desk[at.X_INDEX] = self.block(FIRST_LINES)
        self.desk[at.X_INDEX_MASK] = FIRST_LINES - 1
        self._page_at = self.block(PAGE // at.WORD)
        self._page = words_at(self._page_at, PAGE // at.WORD).cast("B")
        self._paper_at = self.block(PAPER // at.WORD)
        self._paper = words_at(self._paper_at, PAPER // at.WORD).cast("B")

    # --- entities by key ------------------------------------------------------------------------------------------

    def find(self, key: bytes) -> int:
        """Address of the entity of this key; 0 when there is none."""
        n = len(key)
        if n > PAPER:
            return int(KERNELS.find_entity(self.desk_at, address_of(key), n))
        self._paper[:n] = key
        return int(KERNELS.find_entity(self.desk_at, self._paper_at, n))

    def entity(self, key: bytes) -> int:
        """Address of a new entity of this key, of which nobody spoke yet; there must be none of this key."""
        n = len(key)
        self.ready(at.MARGIN + n)
        self.widen(1)
        if n > PAPER:
            where = address_of(key)
        else:
            self._paper[:n] = key
            where = self._paper_at
        found = KERNELS.new_entity(self.desk_at, where, n)
        if not found:
            self.name_quote(key)
            found = KERNELS.new_entity(self.desk_at, where, n)
        return int(found)

    def name_quote(self, key: bytes) -> None:
        """Give a number to the asset in which the money of this entity stays, if it does."""
        own = quote_in(key.decode())
        if own is not None:
            self.tables.quote(own)

    def widen(self, more: int) -> None:
        """See to it that so many entities can be entered: at least half of the index stays empty."""
        desk = self.desk
        lines = desk[at.X_INDEX_MASK] + 1
        if 2 * (desk[at.X_INDEX_USED] + more) < lines:
            return
        before = desk[at.X_INDEX]
        # What was dropped is not entered again: mostly there is room in a table of the same size then.
        wider = FIRST_LINES
        while wider <= 3 * (desk[at.X_INDEX_LIVE] + more):
            wider *= 2
        KERNELS.grow_index(self.desk_at, self.block(wider), wider - 1)
        self.release(before, lines)

    def key(self, address: int) -> bytes:
        """The key of an entity."""
        return bytes_at(address + at.ENTITY * at.WORD, words_at(address, at.ENTITY)[at.E_KEY])

    def keys(self, addresses: Sequence[int]) -> list[bytes]:
        """The keys of many entities."""
        found: list[bytes] = []
        rows = array("q", addresses)
        ends = array("q", bytes(at.WORD * len(rows)))
        page = self._page
        while len(found) < len(rows):
            done = len(found)
            begin = done * at.WORD
            n = KERNELS.key_rows(
                len(rows) - done, rows.buffer_info()[0] + begin, self._page_at, PAGE, ends.buffer_info()[0] + begin
            )
            if not n:
                found.append(self.key(rows[done]))
                continue
            text, start = bytes(page[: ends[done + n - 1]]), 0
            for end in ends[done : done + n]:
                found.append(text[start:end])
                start = end
        return found

    def view(self, address: int) -> Entity:
        """An entity as Python sees it."""
        return Entity(self, address)

    def addresses(self) -> list[int]:
        """Addresses of all entities, by age of their memory."""
        lines = integers(self.desk[at.X_INDEX], self.desk[at.X_INDEX_MASK] + 1)
        found: list[int] = np.sort(lines[lines > at.GONE]).tolist()
        return found

    def __len__(self) -> int:
        return self.desk[at.X_INDEX_LIVE]

    def drop(self, address: int) -> None:
        """Forget an entity; its memory is given to others."""
        KERNELS.drop_entity(self.desk_at, address)

    def reset(self, address: int) -> None:
        """Forget all that was said of an entity; its key and its address stay."""
        KERNELS.reset_entity(self.desk_at, address)

    # --- beside them ----------------------------------------------------------------------------------------------

    def set_rate(self, asset: str, usd: float) -> None:
        """The rate of a quote asset, from this position of the log on."""
        self.tables.set_rate(asset, usd)

    def link(self, fuser: Fuser) -> None:
        """Use what this fuser knows; `refresh` follows it."""
        self.tables.link(fuser)

    def refresh(self) -> None:
        """To be called before each kernel that asks the fuser or lets it learn: cheap while it met nobody new."""
        self.tables.refresh()
