"""Local order book of one market: snapshot plus differences, gaps and crossings noticed, best bid and ask given. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from services.collector.map.mapped import BookChange

Rule = Literal["none", "rising", "contiguous", "range", "previous"]
Level = tuple[float, float]
"""Price and size; size 0 removes the price."""

WAITING_MAX: Final = 2_000
"""Differences kept while a snapshot is on its way: at 100 ms a message, three minutes."""
CROSSED_MAX: Final = 5
"""So many messages in a row may leave bid >= ask before the book counts as broken: some venues send the two sides apart."""
_INF: Final = float("inf")


class Verdict(StrEnum):
    """What one update did."""

    CHANGED = "changed"
    """The best bid or ask is another one."""
    SAME = "same"
    """Taken; the top is as it was."""
    OLD = "old"
    """Left out: the book already holds something newer."""
    WAITING = "waiting"
    """Kept until a snapshot comes."""
    GAP = "gap"
    """Changes are missing: the book is empty again and needs a snapshot."""
    CROSSED = "crossed"
    """Bid >= ask for too long: the book is empty again and needs a snapshot."""
    INVALID = "invalid"
    """A price or size that no book can hold; nothing was taken."""


class Top(NamedTuple):
    """Best bid and ask with their sizes; None where that side is empty."""

    bid: float | None
    bid_size: float | None
    ask: float | None
    ask_size: float | None


class _Side:
    """Sizes by price, and the prices in order; `best` is the index of the best price: 0 for asks, -1 for bids."""

    __slots__ = ("_best", "_prices", "_sizes")

    def __init__(self, best: Literal[0, -1]) -> None:
        self._best: Final = best
        self._sizes: dict[float, float] = {}
        self._prices: list[float] = []

    def replace(self, levels: Iterable[Level]) -> None:
        sizes: dict[float, float] = {}
        for price, size in levels:
            if size > 0:
                sizes[price] = sizes.get(price, 0.0) + size  # a venue that lists each order names a price several times
        self._sizes = sizes
        self._prices = sorted(sizes)

    def apply(self, levels: Iterable[Level]) -> None:
        for price, size in levels:
            known = price in self._sizes
            if size > 0:
                self._sizes[price] = size
                if not known:
                    insort(self._prices, price)
            elif known:
                del self._sizes[price]
                del self._prices[bisect_left(self._prices, price)]

    def trim(self, depth: int) -> None:
        surplus = len(self._prices) - depth
        if surplus <= 0:
            return
        gone = self._prices[:surplus] if self._best == -1 else self._prices[depth:]
        self._prices = self._prices[surplus:] if self._best == -1 else self._prices[:depth]
        for price in gone:
            del self._sizes[price]

    def best(self) -> tuple[float | None, float | None]:
        if not self._prices:
            return None, None
        price = self._prices[self._best]
        return price, self._sizes[price]

    def __len__(self) -> int:
        return len(self._prices)


class Book:
    """One market's book under one sequence rule. Feed it every message in order; ask `needs_snapshot` after each."""

    def __init__(self, rule: Rule = "none", depth: int | None = None) -> None:
        self._rule = rule
        self._depth = depth
        self._bids, self._asks = _Side(-1), _Side(0)
        self._ready = False
        self._bridged = False
        self._last: int | None = None
        self._crossed = 0
        self._waiting: deque[BookChange] = deque(maxlen=WAITING_MAX)
        self._top = Top(None, None, None, None)

    @property
    def needs_snapshot(self) -> bool:
        """True until a snapshot has been taken, and again after a gap."""
        return not self._ready

    @property
    def top(self) -> Top:
        """Best bid and ask after the last update that was taken."""
        return self._top

    @property
    def levels(self) -> tuple[int, int]:
        """How many bids and asks are held."""
        return len(self._bids), len(self._asks)

    @property
    def waiting(self) -> int:
        """How many differences wait for a snapshot."""
        return len(self._waiting)

    def apply(self, update: BookChange) -> Verdict:
        """Take one message; see Verdict for what may come back."""
        if not _sound(update.bids) or not _sound(update.asks):
            return Verdict.INVALID
        if update.kind == "delta":
            return self._delta(update)
        if update.kind == "snapshot" and self._ready and self._older(update):
            return Verdict.OLD
        return self._snapshot(update)

    def reset(self) -> None:
        """Forget everything; the next snapshot starts anew."""
        self._bids.replace(())
        self._asks.replace(())
        self._ready = self._bridged = False
        self._last = None
        self._crossed = 0
        self._top = Top(None, None, None, None)
        self._waiting.clear()

    def _older(self, update: BookChange) -> bool:
        return self._rule != "none" and update.last is not None and self._last is not None and update.last < self._last

    def _snapshot(self, update: BookChange) -> Verdict:
        before = self._top
        self._bids.replace(update.bids)
        self._asks.replace(update.asks)
        self._ready, self._last, self._crossed = True, update.last, 0
        self._bridged = update.last is None
        waiting, self._waiting = self._waiting, deque(maxlen=WAITING_MAX)
        for late in waiting:
            if self._delta(late) in (Verdict.GAP, Verdict.CROSSED):
                return Verdict.GAP
        return self._settle(before)

    def _delta(self, update: BookChange) -> Verdict:
        if not self._ready:
            self._waiting.append(update)
            return Verdict.WAITING
        match self._follows(update):
            case Verdict.OLD:
                return Verdict.OLD
            case Verdict.GAP:
                self.reset()
                self._waiting.append(update)
                return Verdict.GAP
        before = self._top
        self._bids.apply(update.bids)
        self._asks.apply(update.asks)
        if update.last is not None:
            self._last = update.last
        self._bridged = True
        return self._settle(before)

    def _follows(self, update: BookChange) -> Verdict:
        """SAME when `update` is the next one, else OLD or GAP. The first after a snapshot may overlap it."""
        last, have = update.last, self._last
        if self._rule == "none" or last is None or have is None:
            return Verdict.SAME
        if self._rule == "previous" and update.previous is not None:
            if update.previous == have:
                return Verdict.SAME
            if last <= have:
                return Verdict.OLD
            return Verdict.SAME if not self._bridged and update.previous <= have else Verdict.GAP
        if last <= have:
            return Verdict.OLD
        if self._rule == "contiguous":
            return Verdict.SAME if last == have + 1 else Verdict.GAP
        if self._rule == "range":
            first = update.first if update.first is not None else last
            return Verdict.SAME if first <= have + 1 else Verdict.GAP
        return Verdict.SAME

    def _settle(self, before: Top) -> Verdict:
        if self._depth is not None:
            self._bids.trim(self._depth)
            self._asks.trim(self._depth)
        top = Top(*self._bids.best(), *self._asks.best())
        if top.bid is not None and top.ask is not None and top.bid >= top.ask:
            self._crossed += 1
            if self._crossed < CROSSED_MAX:
                return Verdict.SAME
            self.reset()
            return Verdict.CROSSED
        self._crossed = 0
        self._top = top
        return Verdict.SAME if top == before else Verdict.CHANGED


def _sound(levels: list[Level]) -> bool:
    """Finite prices above zero, finite sizes not below it; price 0 with size 0 only carries a sequence number."""
    return all(0 <= size < _INF and (0 < price < _INF or price == size == 0) for price, size in levels)
