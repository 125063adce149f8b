"""When bars are sent: the open minute now and then, each bar once it is closed, and again when a late trade changes it.

The bars lie in the memory of the entities (kernels/bars.py); here stands which of them are to be sent, by address and start.
"""

from __future__ import annotations

import struct
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.engine.model import MINUTE_MS, Output
from services.aggregator.kernels.bars import MADE, REOPENED, WIDTHS
from services.aggregator.kernels.candle import TELL, U_HEARD, U_VALUE_END
from services.aggregator.kernels.closing import EXPIRED
from services.aggregator.kernels.layout import WORD, X_CLOSED

if TYPE_CHECKING:
    from services.aggregator.engine.checkpoint import Mark
    from services.aggregator.engine.partition import Partition

BUSY = 10
"""An entity that said this much in a minute has its longer bars shown at every minute, not only when they close."""
BASE = 0
"""Number of the minute among the intervals (kernels.bars.WIDTHS)."""
LONGER = tuple(enumerate(WIDTHS))[1:]
"""Number and length of the longer intervals, shortest first; each bar starts at a multiple of its length."""
SWEEP_MS = WIDTHS[1]
"""Every longer interval ends at a multiple of the shortest, so one pass over the entities closes them all."""
WRITTEN_AT_ONCE = 256
PAGE_BYTES = 1 << 17
"""Output of one call for so many bars: most of them have room in it, and it stays in the processor's cache."""
FOUND_AT_ONCE = 4096

Item = tuple[int, int, int]
"""A bar that is to be sent: address of the entity, number of the interval, start."""

# The words of kernels.closing.PUT.
_pack = struct.Struct("<qqqddqqq").pack


class Candles:
    """The bars of one partition that are to be sent."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.store = partition.store
        self.queue: deque[Item] = deque()
        self.queued = 0
        self.taken = 0
        """How many of those ever queued were taken."""
        self._closed_ms = 0
        self.closed_version = 0
        self.swept_ms = 0
        self.swept_version = 0
        self.index: dict[int, list[int]] = {}
        """Open minute -> entities that have a bar in it."""
        self._sweep: array[int] | None = None
        """Entities that are still to be looked at."""
        self._held: dict[int, None] = {}
        """Entities whose longer bars were not shown because the log was far ahead."""
        self._gone: dict[int, int] = {}
        """Forgotten entities of which something may stand in the queue -> `queued` then: what was queued before is not theirs
        who live at the address now."""
        self._page = array("B")
        """Where kernels write bars."""

    @property
    def closed_ms(self) -> int:
        """Minutes that start before this are closed."""
        return self._closed_ms

    @closed_ms.setter
    def closed_ms(self, closed_ms: int) -> None:
        self._closed_ms = self.store.desk[X_CLOSED] = closed_ms

    @property
    def settled_ms(self) -> int:
        """Minutes that start before this take no more trades."""
        return self.partition.log_ms - self.partition.limits.lateness_ms - MINUTE_MS

    def marks(self) -> dict[str, Any]:
        """What a mark keeps of the bars."""
        return {
            "closed_ms": self.closed_ms, "closed_version": self.closed_version, "swept_ms": self.swept_ms,
            "swept_version": self.swept_version, "sweeping": self.sweeping,
        }  # fmt: skip

    def restore(self, mark: Mark) -> None:
        """Go on where a mark was written: open minutes are indexed again, an interrupted sweep begins again."""
        self.closed_ms, self.closed_version = mark.closed_ms, mark.closed_version
        self.swept_ms, self.swept_version = mark.swept_ms, mark.swept_version
        entities = array("q", self.store.addresses())
        if self.partition.rules.candles:
            found = array("q", bytes((1 + 2 * FOUND_AT_ONCE) * WORD))
            while entities:
                n = KERNELS.open_rows(
                    self.store.desk_at, len(entities), _address(entities), _address(found), FOUND_AT_ONCE
                )
                for k in range(1, 2 * n, 2):
                    self.opened(found[k], found[k + 1])
                entities = entities[found[0] :]
        if mark.sweeping:
            self._begin_sweep()

    # --- what the fold changes --------------------------------------------------------------------------------------

    def add(
        self, entity: int, source: int, ts_ms: int, price: float, size: float | None, quote: str, version: int
    ) -> None:
        """Put a trade or a quote (`size` None) into its minute, unless the minute takes no more."""
        store = self.store
        store.ready()
        number = store.tables.quote(quote)
        row = array("q", _pack(entity, source, ts_ms, price, size or 0.0, size is not None, number, version))
        said = KERNELS.put_row(store.desk_at, _address(row))
        if said & REOPENED:
            self.reopened(entity, ts_ms - ts_ms % MINUTE_MS)
        elif said == MADE:
            self.opened(entity, ts_ms - ts_ms % MINUTE_MS)

    def opened(self, entity: int, start_ms: int) -> None:
        """A bar was made in an open minute."""
        self.index.setdefault(start_ms, []).append(entity)

    def reopened(self, entity: int, start_ms: int) -> None:
        """The bar of a closed minute changed, which was sent as it had been: it is sent again, as are the longer ones."""
        self._queue(entity, BASE, start_ms)
        for number, width in LONGER:
            begin = start_ms - start_ms % width
            if begin + width <= self.swept_ms:
                self._queue(entity, number, begin)

    def forget(self, entity: int) -> None:
        """An entity is about to be dropped: nothing of it is sent any more, and its address may become another's."""
        if self.queue:
            self._gone[entity] = self.queued
        self._held.pop(entity, None)
        for entities in self.index.values():
            if entity in entities:
                entities.remove(entity)

    def _queue(self, entity: int, interval: int, start_ms: int) -> None:
        self.queue.append((entity, interval, start_ms))
        self.queued += 1

    # --- when they are sent -----------------------------------------------------------------------------------------

    def show(self, entities: Sequence[int], now_ms: int) -> None:
        """Queue the open minutes of entities that are being sent, where they were not shown for a while."""
        rows = array("q", entities)
        found = array("q", bytes(2 * WORD * len(rows)))
        n = KERNELS.show_rows(
            self.store.desk_at, len(rows), _address(rows), now_ms, self.partition.limits.candle_ms, _address(found)
        )
        for k in range(0, 2 * n, 2):
            self._queue(found[k], BASE, found[k + 1])

    def catch_up(self) -> None:
        """The log is no longer far ahead: queue all open bars that were held back."""
        for start_ms, entities in sorted(self.index.items()):
            for entity in entities:
                self._queue(entity, BASE, start_ms)
        for entity in self._held:
            for item in self._current(entity, self.closed_ms - MINUTE_MS):
                self._queue(*item)
        self._held.clear()

    def _current(self, entity: int, start_ms: int) -> Iterable[Item]:
        """The longer bars in which a closed minute lies that are still open."""
        for number, width in LONGER:
            begin = start_ms - start_ms % width
            if begin + width > self.closed_ms:
                yield entity, number, begin

    def advance(self, log_ms: int) -> None:
        """Close the minutes and the longer bars that the log's clock has passed."""
        closed_ms = log_ms - self.partition.limits.grace_ms
        closed_ms -= closed_ms % MINUTE_MS
        if closed_ms <= self.closed_ms:
            return
        self.closed_ms, self.closed_version = closed_ms, self.partition.version
        for start_ms in sorted(start_ms for start_ms in self.index if start_ms < closed_ms):
            for entity in self.index.pop(start_ms):
                self._queue(entity, BASE, start_ms)
        swept_ms = closed_ms - closed_ms % SWEEP_MS
        if swept_ms > self.swept_ms:
            self.finish()
            self.swept_ms, self.swept_version = swept_ms, self.partition.version
            self._begin_sweep()

    def _begin_sweep(self) -> None:
        self._sweep = array("q", self.store.addresses())

    @property
    def sweeping(self) -> bool:
        """Whether entities are still to be looked at."""
        return self._sweep is not None

    def finish(self) -> None:
        """Complete the sweep that is under way."""
        while self._sweep is not None:
            self.sweep(1 << 30)

    def sweep(self, limit: int) -> None:
        """Look at up to `limit` more entities: close the long bars that ended, forget whom nobody speaks of.

        Only here entities are forgotten, each after its turn, so those that are still to be looked at are all there.
        """
        if self._sweep is None:
            return
        rows, self._sweep = self._sweep[:limit], self._sweep[limit:]
        found = array("q", bytes(2 * WORD * len(rows)))
        n = KERNELS.sweep_rows(
            self.store.desk_at, len(rows), _address(rows), self.swept_ms, bool(self.partition.rules.candles),
            _address(found),
        )  # fmt: skip
        for k in range(0, 2 * n, 2):
            entity, ending = rows[found[k]], found[k + 1]
            if ending == EXPIRED:
                self.partition.forget(entity)
                continue
            for number, width in LONGER:
                if ending >> number & 1:
                    self._queue(entity, number, self.swept_ms - width)
        if not self._sweep:
            self._sweep = None

    # --- their records ----------------------------------------------------------------------------------------------

    def take(self, limit: int) -> list[Output]:
        """Some `limit` bars to send, in order."""
        out: list[Output] = []
        queue = self.queue
        while queue and len(out) < limit:
            items = [queue.popleft() for _ in range(min(len(queue), limit - len(out), WRITTEN_AT_ONCE))]
            if self._gone:
                items = [item for place, item in enumerate(items, self.taken) if place >= self._gone.get(item[0], 0)]
            self.taken = self.queued - len(queue)
            heard = self._write(items, out)
            if heard and max(heard) >= BUSY:
                self._write_longer([item for item, said in zip(items, heard, strict=True) if said >= BUSY], out)
        if not queue:
            self._gone.clear()
        self.partition.counts.candles += len(out)
        return out

    def _write_longer(self, minutes: list[Item], out: list[Output]) -> None:
        """Append the longer bars in which these lie, unless the log is far ahead."""
        if self.partition.behind:
            self._held.update(dict.fromkeys(entity for entity, _, _ in minutes))
            return
        self._write([item for entity, _, start_ms in minutes for item in self._current(entity, start_ms)], out)

    def _write(self, items: list[Item], out: list[Output]) -> array[int]:
        """Append the records of these bars, as far as there is anything to send; how much was said in each closed minute."""
        heard = array("q")
        while len(heard) < len(items):
            left = items[len(heard) :] if heard else items
            asks = array("q", (self.closed_version, self.swept_ms, self.swept_version))
            asks.extend(chain.from_iterable(left))
            tells = array("q", bytes(TELL * WORD * len(left)))
            page = self._page
            done = KERNELS.candle_rows(
                self.store.desk_at, len(left), _address(asks), _address(page), len(page), _address(tells)
            )
            if not done:
                # The first needs more than there is: a key may be long.
                self._page = array("B", bytes(max(PAGE_BYTES, 2 * len(page))))
                continue
            told = tells[: done * TELL]
            text = page[: max(told[U_VALUE_END::TELL])].tobytes()
            fields = iter(told)
            out += [
                (text[key:key_end], text[value:value_end])
                for key, key_end, value, value_end, _ in zip(fields, fields, fields, fields, fields, strict=True)
                if value_end
            ]
            heard += told[U_HEARD::TELL]
        return heard


def _address(words: array[int]) -> int:
    return words.buffer_info()[0]
