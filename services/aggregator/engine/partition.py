"""One partition of one category: folds its log, says what to send, cuts checkpoints. Everything is a function of the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from services.aggregator.engine import checkpoint, emit, quarantine
from services.aggregator.engine.candles import Candles
from services.aggregator.engine.checkpoint import FUSER, NAMES, Mark, Recovery
from services.aggregator.engine.model import EARLIEST_MS, EPOCH_SPAN, MINUTE_MS, Aside, Counts, Entity, Output
from services.aggregator.engine.names import Names
from services.aggregator.engine.rates import Rates
from services.aggregator.engine.render import render
from services.aggregator.engine.rules import TARGET, Rules
from services.aggregator.fusion import Fuser

HOT_KEPT = 2048
"""So many entities stay unpacked after a checkpoint; beyond, those at rest go back to their bytes, a fifth of the size."""


RENDERED_AT_ONCE = 128
"""Records that are computed together: enough to pay for the call, few enough to stay in the processor's cache."""

LEARN_SOURCES = 3
"""From so many sources on a window teaches: two that differ cannot say which of them is wrong, and what is learned takes
kilobytes for each key and metric, which the long tail of keys with one or two sources could not hold in memory."""


class Announcement(Struct, frozen=True):
    """A rate to be told to every partition that converts money."""

    asset: str
    usd: float
    as_of_ms: int
    version: int
    origin: str


class Cut(Struct):
    """A checkpoint on its way out."""

    mark: Mark
    pending: dict[bytes, Entity | None]
    out: list[Output]
    special: list[Output]
    queued: int
    """All that was ready to be sent at the cut has gone when so many were taken."""
    queued_candles: int
    asides: int
    saved: dict[bytes, bytes]
    written: int = 0


class Partition:
    """State and queues of one partition. Times given to it are wall-clock and decide only when things are sent, never what."""

    def __init__(self, rules: Rules, number: int, recovered: Recovery | None = None) -> None:
        self.rules = rules
        self.number = number
        self.limits = rules.limits
        self.position = -1
        """Offset of the newest raw record folded."""
        self.epoch = 0
        self.log_ms = EARLIEST_MS - 1
        """Newest receive time seen in the log: the clock of everything that expires or closes."""
        self.next_epoch_ms = 0
        self.turn_ms = 0
        """Log time at which something closes: an epoch, a minute."""
        self.log_crc: int | None = None
        self.entities: dict[bytes, Entity | bytes] = {}
        self.hot = 0
        self.names = Names(rules)
        self.fuser = Fuser()
        self.rates = Rates()
        self.due = emit.Due(rules.limits.emit_ms, rules.limits.behind_ms)
        self.changed: dict[bytes, Entity | None] = {}
        self.cut: Cut | None = None
        self.asides: deque[Aside] = deque()
        self.asides_queued = 0
        self.announcements: list[Announcement] = []
        self.counts = Counts()
        self.taken = 0
        self.gone: list[bytes] = []
        self.behind_until_ms: int | None = None
        self._saved_names = 0
        self._saved_fuser = b""
        self.candles = Candles(self)
        if recovered is not None:
            self._restore(recovered)

    # --- recovery -------------------------------------------------------------------------------------------------

    def _restore(self, recovered: Recovery) -> None:
        mark = recovered.mark
        if mark is None:
            return
        self.position, self.epoch, self.log_ms, self.next_epoch_ms = (
            mark.position,
            mark.epoch,
            mark.log_ms,
            mark.next_epoch_ms,
        )
        self.log_crc = mark.log_crc
        self.rates.known = dict(mark.rates)
        self.entities = dict[bytes, Entity | bytes](recovered.entities)
        recovered.entities = {}
        if NAMES in recovered.special:
            self.names = Names.load(recovered.special[NAMES], self.rules)
        if FUSER in recovered.special:
            self.fuser = Fuser.load(recovered.special[FUSER])
        self._saved_names = len(self.names.sources)
        self._saved_fuser = self.fuser.dump()
        self.candles.restore(mark)

    def renew_log(self) -> None:
        """Start at the beginning of a log that was made anew: versions go on rising."""
        self.epoch += 1
        self.position = -1
        self.log_crc = None

    @property
    def version(self) -> int:
        """The version of a record folded at the current position."""
        return self.epoch * EPOCH_SPAN + self.position

    def entity(self, key: bytes) -> Entity | None:
        """The entity of this key, unpacked; None when nobody spoke of it."""
        held = self.entities.get(key)
        return self.unpack(key, held) if isinstance(held, bytes) else held

    def unpack(self, key: bytes, value: bytes) -> Entity:
        """Turn the bytes of an entity back into the entity, in place."""
        entity, learned = checkpoint.thaw(key, value)
        if learned is not None:
            self.fuser.load_key(key.decode(), learned)
        entity.learn_at_ms = self.learn_at(entity.as_of_ms)
        self.entities[key] = entity
        self.hot += 1
        return entity

    # --- time of the log ------------------------------------------------------------------------------------------

    def learn_at(self, as_of_ms: int) -> int:
        """When the shortest learning window after `as_of_ms` begins."""
        width = self.rules.windows[0] if self.rules.windows else self.limits.epoch_ms
        return as_of_ms - as_of_ms % width + width

    def learn(self, entity: Entity, received_ms: int) -> None:
        """Close the learning windows that end between the entity's newest statement and this receive time."""
        as_of_ms = entity.as_of_ms
        key = entity.name
        entity.learn_at_ms = self.learn_at(received_ms)
        if len(entity.slots) > 1 and received_ms // MINUTE_MS != as_of_ms // MINUTE_MS:
            self._trim(entity)
        if len(entity.slots) < LEARN_SOURCES:
            return
        closing = {width for width in self.rules.windows if received_ms // width != as_of_ms // width}
        found, aside, _ = emit.claims(entity, self.names, self.rules)
        if self.rules.newcomers is not None:
            quarantine.settle(entity, found, aside, self.rules.newcomers)
        for name, observations in found.items():
            spec = self.rules.specs[name]
            if spec.window_ms in closing and len(observations) >= LEARN_SOURCES:
                self.fuser.learn(spec, key, observations, as_of_ms)

    def _trim(self, entity: Entity) -> None:
        """Drop statements that are too old to be shown, and those of which a newer one of the same endpoint says all."""
        sources, slots = self.names.sources, entity.slots
        newest: dict[tuple[str, str, str | None, str], int] = {}
        for number, slot in sorted(slots.items(), key=lambda row: (row[1][0], row[0]), reverse=True):
            source = sources[number]
            first = newest.setdefault((source.provider, source.endpoint, source.quote, source.origin), number)
            said_again = first != number and sources[first].shape.covers(source.shape)
            if said_again or entity.as_of_ms - slot[0] > source.shape.keep_ms:
                del slots[number]

    def turn_log(self, log_ms: int) -> None:
        """The log's clock reached `turn_ms`: close what ends. Before the fuser learns, all dirty keys are answered as of before."""
        self.log_ms = log_ms
        if log_ms >= self.next_epoch_ms:
            width = self.limits.epoch_ms
            if self.next_epoch_ms:
                waiting = [entity for entity in self.due.waiting() if entity.payload is None]
                for begin in range(0, len(waiting), RENDERED_AT_ONCE):
                    self._render(waiting[begin : begin + RENDERED_AT_ONCE])
                self.fuser.advance(self.next_epoch_ms)
            self.next_epoch_ms = log_ms - log_ms % width + width
        self.candles.advance(log_ms)
        self.turn_ms = min(self.next_epoch_ms, self.candles.closed_ms + MINUTE_MS + self.limits.grace_ms)

    def pace(self, now_ms: int, behind: bool) -> None:
        """Hear whether much more of the log waits; it decides when things are sent."""
        if behind:
            self.behind_until_ms = now_ms + self.limits.behind_ms

    @property
    def behind(self) -> bool:
        """Whether much more of the log waited lately, so that what would be sent now is soon old."""
        return self.behind_until_ms is not None

    def overdue(self, now_ms: int) -> bool:
        """Whether there is something to send, or to look for, that no record announces."""
        due_ms, until_ms = self.due.next_ms, self.behind_until_ms
        return (
            (due_ms is not None and due_ms <= now_ms)
            or (until_ms is not None and until_ms <= now_ms)
            or self.candles.sweeping
            or bool(self.candles.queue)
        )

    # --- sending --------------------------------------------------------------------------------------------------

    def _render(self, entities: Sequence[Entity]) -> None:
        """Put the records of these into them, all at once."""
        market = self.rules.category == "market"
        for entity, (data, price, origin) in zip(
            entities, render(entities, self.names, self.rules, self.fuser), strict=True
        ):
            entity.payload = data
            if price is not None and market:
                kind, _, asset = entity.name.partition(":")
                if (
                    kind == "asset"
                    and asset in self.rules.ranks
                    and asset != TARGET
                    and self.rates.due(asset, price, entity.as_of_ms)
                ):
                    self.announcements.append(Announcement(asset, price, entity.as_of_ms, entity.version, origin))

    def take(self, now_ms: int, limit: int) -> list[Output]:
        """Up to `limit` fused records that are due now; the caller sends them in this order and says so with `sent`."""
        if self.behind_until_ms is not None and now_ms >= self.behind_until_ms:
            self.behind_until_ms = None
            self.candles.catch_up()
            self.due.hurry()
        due = self.due
        due.turn(now_ms)
        ready = due.ready
        out: list[Output] = []
        while ready and len(out) < limit:
            batch = [ready.popleft() for _ in range(min(len(ready), limit - len(out), RENDERED_AT_ONCE))]
            self._render([entity for entity in batch if entity.payload is None])
            for entity in batch:
                data, entity.payload = entity.payload, None
                entity.dirty = False
                entity.sent_at_ms = now_ms
                out.append((entity.key, data))
                if entity.bars is not None and self.behind_until_ms is None:
                    self.candles.show(entity, now_ms)
        self.taken += len(out)
        self.counts.fused += len(out)
        if self.gone:
            out += [(key, None) for key in self.gone]
            self.gone = []
        return out

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def begin_cut(self) -> Cut:
        """Begin a checkpoint at the current position: from now on, entities are saved before they change."""
        assert self.cut is None
        self.due.hurry()
        mark = Mark(
            self.position, self.epoch, self.log_ms, self.next_epoch_ms, dict(self.rates.known), **self.candles.marks(),
            log_crc=self.log_crc,
        )  # fmt: skip
        special: list[Output] = []
        if len(self.names.sources) != self._saved_names:
            self._saved_names = len(self.names.sources)
            special.append(checkpoint.special(NAMES, mark.version, self.log_ms, self.names.dump()))
        learned = self.fuser.dump()
        if learned != self._saved_fuser:
            self._saved_fuser = learned
            special.append(checkpoint.special(FUSER, mark.version, self.log_ms, learned))
        self.cut = Cut(
            mark, self.changed, [], special, self.due.queued, self.candles.queued, self.asides_queued, {},
        )  # fmt: skip
        self.changed = {}
        return self.cut

    def save(self, key: bytes) -> None:
        """Save one entity of the cut as it is now."""
        cut = self.cut
        assert cut is not None
        entity = cut.pending.pop(key)
        data = None
        if entity is not None:
            data = checkpoint.freeze(entity, self.fuser.dump_key(entity.name))
            cut.saved[key] = data
        cut.out.append((key, data))

    def take_cut(self, limit: int) -> list[Output]:
        """Up to `limit` state records of the cut; empty when all are out."""
        cut = self.cut
        assert cut is not None
        while cut.pending and len(cut.out) < limit:
            self.save(next(iter(cut.pending)))
        out, cut.out = cut.out[:limit], cut.out[limit:]
        cut.written += len(out)
        return out

    def cut_is_out(self) -> bool:
        """Whether all entities of the cut are saved, and all fused records and bars up to it taken."""
        cut = self.cut
        assert cut is not None
        return not cut.pending and not cut.out and self.taken >= cut.queued and self.candles.taken >= cut.queued_candles

    def close_cut(self) -> list[Output]:
        """What belongs to the whole partition, the mark last; to be written when everything up to the cut is out."""
        assert self.cut is not None
        assert not self.cut.pending
        assert not self.cut.out
        return [*self.cut.special, checkpoint.mark_record(self.cut.mark)]

    def end_cut(self) -> int:
        """The mark is durable: entities at rest go back to bytes. Returns the offset up to which may be committed."""
        cut, self.cut = self.cut, None
        assert cut is not None
        if self.hot > HOT_KEPT:
            for key, data in cut.saved.items():
                entity = self.entities.get(key)
                if entity.__class__ is Entity and not entity.dirty and key not in self.changed:
                    self.entities[key] = data
                    self.hot -= 1
                    self.fuser.forget_key(key.decode())
        return cut.mark.position + 1

    def forget(self, key: bytes) -> None:
        """Forget an entity of which nobody spoke for long; its records become tombstones."""
        held = self.entities.pop(key, None)
        if held is None:
            return
        if held.__class__ is Entity:
            self.hot -= 1
        self.fuser.forget_key(key.decode())
        self.changed[key] = None
        self.gone.append(key)

    def take_counts(self) -> Counts:
        """What happened since the last call."""
        counts, self.counts = self.counts, Counts()
        return counts
