"""When bars are sent: the open minute now and then, each bar once it is closed, and again when a late trade changes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from services.aggregator.engine import checkpoint, emit, windows
from services.aggregator.engine.model import MINUTE_MS, ORIGINS, Entity, Output
from services.aggregator.engine.windows import BASE, INTERVALS, SWEEP_MS, WIDTHS, Bar

if TYPE_CHECKING:
    from services.aggregator.engine.partition import Partition

BUSY = 10
"""An entity that said this much in a minute has its longer bars shown at every minute, not only when they close."""


class Candles:
    """The bars of one partition that are to be sent."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.queue: deque[tuple[bytes, str, int]] = deque()
        self.ready: list[Output] = []
        """Bars that had to be rendered before their minute was given up."""
        self.queued = 0
        self.taken = 0
        self.closed_ms = 0
        """Minutes that start before this are closed."""
        self.closed_version = 0
        self.swept_ms = 0
        self.swept_version = 0
        self.index: dict[int, list[bytes]] = {}
        """Open minute -> entities that have a bar in it."""
        self._sweep: Iterator[bytes] | None = None
        self._held: dict[bytes, None] = {}
        """Entities whose longer bars were not shown because the log was far ahead."""

    @property
    def settled_ms(self) -> int:
        """Minutes that start before this take no more trades."""
        return self.partition.log_ms - self.partition.limits.lateness_ms - MINUTE_MS

    def marks(self) -> dict[str, Any]:
        """What a mark keeps of the bars."""
        return {
            "closed_ms": self.closed_ms, "closed_version": self.closed_version, "swept_ms": self.swept_ms,
            "swept_version": self.swept_version, "sweeping": self._sweep is not None,
        }  # fmt: skip

    def restore(self, mark: checkpoint.Mark) -> None:
        """Go on where a mark was written: open minutes are indexed again, an interrupted sweep begins again."""
        self.closed_ms, self.closed_version = mark.closed_ms, mark.closed_version
        self.swept_ms, self.swept_version = mark.swept_ms, mark.swept_version
        entities = self.partition.entities
        if self.partition.rules.candles:
            oldest_ms = self.closed_ms - self.partition.limits.skew_ms
            for key, value in entities.items():
                if checkpoint.as_of(value) >= oldest_ms:  # type: ignore[arg-type]
                    for start_ms in checkpoint.bar_starts(value):  # type: ignore[arg-type]
                        if start_ms >= self.closed_ms:
                            self.index.setdefault(start_ms, []).append(key)
        if mark.sweeping:
            self._sweep = iter(list(entities))

    def add(
        self, entity: Entity, source: int, ts_ms: int, price: float, size: float | None, quote: str, version: int
    ) -> None:
        """Put a trade or a quote into its minute, unless the minute takes no more."""
        start_ms = ts_ms - ts_ms % MINUTE_MS
        settled_ms = self.settled_ms
        if start_ms < settled_ms:
            return
        bars = entity.bars
        if bars is None:
            bars = entity.bars = []
        elif bars[0].start_ms < settled_ms:
            self._settle(entity, settled_ms)
            bars = entity.bars
            if bars is None:
                bars = entity.bars = []
        bar = bars[-1] if bars else None
        if bar is None or bar.start_ms != start_ms:
            bar = windows.find(entity, start_ms)
            if bar is None:
                bar = Bar(start_ms, version, {}, {}, quote)
                bars.append(bar)
                if len(bars) > 1:
                    bars.sort(key=_start)
                if start_ms >= self.closed_ms:
                    self.index.setdefault(start_ms, []).append(entity.key)
        windows.add(bar, source, ts_ms, price, size)
        bar.version = version
        if start_ms < self.closed_ms:
            self._late(entity, bar)
        else:
            bar.due = True

    def _late(self, entity: Entity, bar: Bar) -> None:
        if not bar.due:
            bar.due = True
            self._queue(entity.key, BASE, bar.start_ms)
        for interval, width in INTERVALS.items():
            begin = bar.start_ms - bar.start_ms % width
            if begin + width <= self.swept_ms:
                self._queue(entity.key, interval, begin)

    def _settle(self, entity: Entity, before_ms: int) -> None:
        for bar in entity.bars or ():
            if bar.start_ms < before_ms and bar.due:
                self.ready.append(self._minute(entity, bar))
                self.queued += 1
        windows.settle(entity, before_ms)

    def _queue(self, key: bytes, interval: str, start_ms: int) -> None:
        self.queue.append((key, interval, start_ms))
        self.queued += 1

    def show(self, entity: Entity, now_ms: int) -> None:
        """Queue the open minute of an entity that is being sent, when it was not shown for a while."""
        if now_ms - entity.candle_at_ms >= self.partition.limits.candle_ms:
            bar = entity.bars[-1]  # type: ignore[index]
            if bar.due and bar.start_ms >= self.closed_ms:
                entity.candle_at_ms = now_ms
                self._queue(entity.key, BASE, bar.start_ms)

    def catch_up(self) -> None:
        """The log is no longer far ahead: queue all open bars that were held back."""
        for start_ms, keys in sorted(self.index.items()):
            for key in keys:
                self._queue(key, BASE, start_ms)
        last_ms = self.closed_ms - MINUTE_MS
        for key in self._held:
            for name, width in INTERVALS.items():
                begin = last_ms - last_ms % width
                if begin + width > self.closed_ms:
                    self._queue(key, name, begin)
        self._held.clear()

    def advance(self, log_ms: int) -> None:
        """Close the minutes and the longer bars that the log's clock has passed."""
        closed_ms = log_ms - self.partition.limits.grace_ms
        closed_ms -= closed_ms % MINUTE_MS
        if closed_ms <= self.closed_ms:
            return
        self.closed_ms, self.closed_version = closed_ms, self.partition.version
        for start_ms in sorted(start_ms for start_ms in self.index if start_ms < closed_ms):
            for key in self.index.pop(start_ms):
                self._queue(key, BASE, start_ms)
        swept_ms = closed_ms - closed_ms % SWEEP_MS
        if swept_ms > self.swept_ms:
            self.finish()
            self.swept_ms, self.swept_version = swept_ms, self.partition.version
            self._sweep = iter(list(self.partition.entities))

    @property
    def sweeping(self) -> bool:
        """Whether entities are still to be looked at."""
        return self._sweep is not None

    def finish(self) -> None:
        """Complete the sweep that is under way."""
        while self._sweep is not None:
            self.sweep(1 << 30)

    def sweep(self, limit: int) -> None:
        """Look at up to `limit` more entities: close the long bars that ended, forget whom nobody speaks of."""
        if self._sweep is None:
            return
        partition = self.partition
        swept_ms = self.swept_ms
        ending = [(name, width) for name, width in INTERVALS.items() if swept_ms % width == 0]
        oldest_ms = swept_ms - ending[-1][1] - partition.limits.skew_ms
        expired_ms = partition.log_ms - partition.limits.expire_ms
        bars = bool(partition.rules.candles)
        for _, key in zip(range(limit), self._sweep, strict=False):
            held = partition.entities.get(key)
            if held is None:
                continue
            as_of_ms = checkpoint.as_of(held) if isinstance(held, bytes) else held.as_of_ms
            if as_of_ms < expired_ms:
                partition.forget(key)
            elif bars and as_of_ms >= oldest_ms:
                entity = held if held.__class__ is Entity else checkpoint.thaw(key, held)[0]  # type: ignore[arg-type]
                for name, width in ending:
                    if windows.roll(entity, name, swept_ms - width) is not None:
                        self._queue(key, name, swept_ms - width)
        else:
            if self._sweep.__length_hint__() == 0:  # type: ignore[attr-defined]
                self._sweep = None

    def take(self, limit: int) -> list[Output]:
        """Up to `limit` bars to send, in order."""
        out, self.ready = self.ready[:limit], self.ready[limit:]
        self.taken += len(out)
        while self.queue and len(out) < limit:
            key, interval, start_ms = self.queue.popleft()
            self.taken += 1
            out += self._render(key, interval, start_ms)
        self.partition.counts.candles += len(out)
        return out

    def _render(self, key: bytes, interval: str, start_ms: int) -> list[Output]:
        held = self.partition.entities.get(key)
        if held is None:
            return []
        entity = held if held.__class__ is Entity else checkpoint.thaw(key, held)[0]  # type: ignore[arg-type]
        assert isinstance(entity, Entity)
        if interval != BASE:
            return self._long(entity, interval, start_ms)
        bar = windows.find(entity, start_ms)
        closed = start_ms < self.closed_ms
        if bar is None or not (bar.due or closed):
            return []
        out = [self._minute(entity, bar)]
        if closed and _said(bar) >= BUSY:
            if self.partition.behind:
                self._held[key] = None
                return out
            for name, width in INTERVALS.items():
                begin = start_ms - start_ms % width
                if begin + width > self.closed_ms:
                    out += self._long(entity, name, begin)
        return out

    def _minute(self, entity: Entity, bar: Bar) -> Output:
        closed = bar.start_ms < self.closed_ms
        bar.due = False
        version = max(bar.version, self.closed_version) if closed else bar.version
        return emit.candle(
            entity.name, BASE, bar.start_ms, windows.fuse(bar), bar.quote, version, closed, self._origin(entity)
        )

    def _long(self, entity: Entity, interval: str, start_ms: int) -> list[Output]:
        found = windows.roll(entity, interval, start_ms)
        if found is None:
            return []
        closed = start_ms + WIDTHS[interval] <= self.swept_ms
        version = max(found.version, self.swept_version if closed else 0)
        key = entity.name
        quote = emit.quote_of(key, self.partition.rules.category, True) or ""
        return [emit.candle(key, interval, start_ms, found, quote, version, closed, self._origin(entity))]

    def _origin(self, entity: Entity) -> str:
        sources = self.partition.names.sources
        if len(entity.slots) == 1:
            (number,) = entity.slots
            return sources[number].origin
        return max((sources[number].origin for number in entity.slots), key=ORIGINS.__getitem__, default="live")


def _start(bar: Bar) -> int:
    return bar.start_ms


def _said(bar: Bar) -> int:
    return sum(voice.trades for voice in bar.trades.values()) or len(bar.quotes)
