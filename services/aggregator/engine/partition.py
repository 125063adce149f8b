"""One partition of one category: folds its log, says what to send, cuts checkpoints. Everything is a function of the log."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.engine import checkpoint, emit, lessons
from services.aggregator.engine.candles import Candles
from services.aggregator.engine.checkpoint import FUSER, NAMES, Cut, Mark, Recovery
from services.aggregator.engine.entities import Entities
from services.aggregator.engine.model import (
    EARLIEST_MS,
    EPOCH_SPAN,
    MINUTE_MS,
    Aside,
    Counts,
    Output,
    Statement,
)
from services.aggregator.engine.names import Names
from services.aggregator.engine.rates import Announcement, Rates
from services.aggregator.engine.render import Paper, render
from services.aggregator.engine.rules import Rules
from services.aggregator.engine.store import Store
from services.aggregator.engine.templates import Templates
from services.aggregator.engine.view import Entity
from services.aggregator.fusion import Fuser
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.blocks import appetite

if TYPE_CHECKING:
    from services.aggregator.engine.fold import Fold

RENDERED_AT_ONCE = 128
"""Records that are computed together: enough to pay for the call, few enough to stay in the processor's cache."""


class Partition:
    """State and queues of one partition. Times given to it are wall-clock and decide only when things are sent, never what."""

    def __init__(self, rules: Rules, number: int, recovered: Recovery | None = None) -> None:
        KERNELS.warm(wait=True)
        self.rules = rules
        self.number = number
        self.limits = rules.limits
        self.store = Store(rules)
        self.names = Names(rules, self.store.tables)
        self.templates = Templates(self.store.desk_at, self.store.keep)
        self.holes_at, self.said_at = self.store.block(at.HOLES_WORDS), self.store.block(at.SAID_WORDS)
        self.entities = Entities(self.store)
        self.epoch = 0
        self.position = -1
        self.log_ms = EARLIEST_MS - 1
        self.next_epoch_ms = 0
        self.turn_ms = 0
        self.log_crc: int | None = None
        self.fuser = Fuser()
        self.store.link(self.fuser)
        self.rates = Rates()
        self.due = emit.Due()
        self.changed: dict[int, None] = {}
        """Entities that changed since the last checkpoint, by address."""
        self.forgotten: dict[bytes, None] = {}
        """Keys that were forgotten since."""
        self.cut: Cut | None = None
        self.asides: deque[Aside] = deque()
        self.asides_queued = 0
        self.announcements: list[Announcement] = []
        self.counts = Counts()
        self.taken = 0
        self.gone: list[bytes] = []
        self.damaged: list[bytes] = []
        """Keys whose state could not be read: they begin anew with the log behind the mark, and their next checkpoint replaces it.
        Nothing is deleted because of it: another release may be able to read what this one cannot."""
        self.paper = Paper(self.store)
        self.payloads: dict[int, bytes] = {}
        """Records that had to be computed before they were due, by the address of their entity."""
        self.behind_until_ms: int | None = None
        self._saved_names = 0
        self._saved_fuser = b""
        self.candles = Candles(self)
        self.folding: Fold | None = None
        """The way of its batches through the kernel, once there was one."""
        if recovered is not None:
            self._restore(recovered)

    # --- where the log stands: words of the desk, which kernels read and write ---------------------------------------

    @property
    def position(self) -> int:
        """Offset of the newest raw record folded."""
        return self.store.desk[at.X_POSITION]

    @position.setter
    def position(self, offset: int) -> None:
        self.store.desk[at.X_POSITION] = offset

    @property
    def epoch(self) -> int:
        """How often the log was made anew."""
        return self.store.desk[at.X_BASE] // EPOCH_SPAN

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.store.desk[at.X_BASE] = epoch * EPOCH_SPAN

    @property
    def log_ms(self) -> int:
        """Newest receive time seen in the log: the clock of everything that expires or closes."""
        return self.store.desk[at.X_LOG]

    @log_ms.setter
    def log_ms(self, log_ms: int) -> None:
        self.store.desk[at.X_LOG] = log_ms

    @property
    def turn_ms(self) -> int:
        """Log time at which something closes: an epoch, a minute."""
        return self.store.desk[at.X_TURN]

    @turn_ms.setter
    def turn_ms(self, turn_ms: int) -> None:
        self.store.desk[at.X_TURN] = turn_ms

    @property
    def version(self) -> int:
        """The version of a record folded at the current position."""
        return self.store.desk[at.X_BASE] + self.position

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
        for asset, rate in mark.rates.items():
            self.store.set_rate(asset, rate.usd)
        if NAMES in recovered.special:
            self.names = Names.load(recovered.special[NAMES], self.rules, self.store.tables)
        if FUSER in recovered.special:
            self.fuser = Fuser.load(recovered.special[FUSER])
            self.store.link(self.fuser)
        self.damaged = checkpoint.thaw_all(self.store, recovered.entities)
        recovered.entities = {}
        self._saved_names = len(self.names.sources)
        self._saved_fuser = self.fuser.dump()
        self.candles.restore(mark)

    def renew_log(self) -> None:
        """Start at the beginning of a log that was made anew: versions go on rising."""
        self.epoch += 1
        self.position = -1
        self.log_crc = None

    # --- entities -------------------------------------------------------------------------------------------------

    def entity(self, key: bytes) -> Entity | None:
        """The entity of this key; None when nobody spoke of it."""
        return self.entities.get(key)

    def at(self, key: bytes) -> int:
        """The address of the entity of this key, which is made when it is new."""
        return self.store.find(key) or self.store.entity(key)

    def renew(self, address: int) -> None:
        """Make an entity of which nobody spoke for too long one of which nobody ever spoke."""
        self.candles.forget(address)
        self.store.reset(address)

    def touch(self, address: int, now_ms: int, behind: bool) -> None:
        """Note that an entity changed: it is to be saved, and to be sent."""
        entity = self.store.view(address)
        entity.rendered = False
        if not entity.changed:
            entity.changed = True
            self.changed[address] = None
        if not entity.dirty:
            entity.dirty = True
            limits = self.limits
            self.due.put(address, now_ms + limits.behind_ms if behind else entity.sent_at_ms + limits.emit_ms, now_ms)

    def take_rates(self, said: Statement) -> None:
        """Fold a control record."""
        self.rates.take(said)
        for asset in said.metrics:
            rate = self.rates.known.get(asset)
            if rate is not None:
                self.store.set_rate(asset, rate.usd)
        self.counts.control += 1

    # --- time of the log ------------------------------------------------------------------------------------------

    def learn_at(self, as_of_ms: int) -> int:
        """When the shortest learning window after `as_of_ms` begins."""
        width = self.rules.windows[0] if self.rules.windows else self.limits.epoch_ms
        return as_of_ms - as_of_ms % width + width

    def learn(self, address: int, received_ms: int) -> None:
        """Close the learning windows that end between the entity's newest statement and this receive time."""
        store = self.store
        entity = store.view(address)
        as_of_ms = entity.as_of_ms
        entity.learn_at_ms = self.learn_at(received_ms)
        if len(entity) > 1 and received_ms // MINUTE_MS != as_of_ms // MINUTE_MS:
            KERNELS.trim(store.desk_at, address)
        store.ready(appetite(address))
        store.refresh()
        if KERNELS.teach(store.desk_at, address, received_ms):
            lessons.learn(store, self.names, self.rules, self.fuser, entity, received_ms)

    def turn_log(self, log_ms: int) -> None:
        """The log's clock reached `turn_ms`: close what ends. Before the fuser learns, all dirty keys are answered as of before."""
        self.log_ms = log_ms
        if log_ms >= self.next_epoch_ms:
            width = self.limits.epoch_ms
            if self.next_epoch_ms:
                self._render_early()
                lessons.collect(self.store, self.fuser)
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

    def _rendered(self, addresses: Sequence[int]) -> list[Output]:
        """The records of these as they are now."""
        if not addresses:
            return []
        self.store.ready()
        out: list[Output] = []
        for address, (key, data, price, origin) in zip(
            addresses, render(addresses, self.names, self.rules, self.fuser, self.paper), strict=True
        ):
            out.append((key, data))
            if price is not None:
                self._announce(self.store.view(address), price, origin)
        return out

    def _announce(self, entity: Entity, price: float, origin: str) -> None:
        """Tell the rate of an asset in which money is quoted, when it moved."""
        asset = entity.name.partition(":")[2]
        if self.rates.due(asset, price, entity.as_of_ms):
            self.announcements.append(Announcement(asset, price, entity.as_of_ms, entity.version, origin))

    def _render_early(self) -> None:
        """Compute the records of all that is dirty before what was learned changes them."""
        waiting, view = self.due.waiting(), self.store.view
        for begin in range(0, len(waiting), RENDERED_AT_ONCE):
            some = [one for one in waiting[begin : begin + RENDERED_AT_ONCE] if not view(one).rendered]
            for address, (_, data) in zip(some, self._rendered(some), strict=True):
                assert data is not None
                self.payloads[address] = data
                view(address).rendered = True

    def take(self, now_ms: int, limit: int) -> list[Output]:
        """Up to `limit` fused records that are due now; the caller sends them in this order."""
        if self.behind_until_ms is not None and now_ms >= self.behind_until_ms:
            self.behind_until_ms = None
            self.candles.catch_up()
            self.due.hurry()
        self.due.turn(now_ms)
        ready = self.due.ready
        out: list[Output] = []
        while ready and len(out) < limit:
            batch = array("q", [ready.popleft() for _ in range(min(len(ready), limit - len(out), RENDERED_AT_ONCE))])
            out += self._due(batch, now_ms)
        self.taken += len(out)
        self.counts.fused += len(out)
        if self.gone:
            out += [(key, None) for key in self.gone]
            self.gone = []
        return out

    def _due(self, batch: array[int], now_ms: int) -> list[Output]:
        made = array("q", bytes(8 * len(batch)))
        early = KERNELS.send_rows(len(batch), batch.buffer_info()[0], now_ms, made.buffer_info()[0])
        if not early:
            out = self._rendered(batch)
        else:
            fresh = iter(self._rendered([one for one, held in zip(batch, made, strict=True) if not held]))
            out = [
                (self.store.key(one), self.payloads[one]) if held else next(fresh)
                for one, held in zip(batch, made, strict=True)
            ]
        if self.payloads:
            for one in batch:
                # Also those of which more was heard after they were made.
                self.payloads.pop(one, None)
        if self.behind_until_ms is None:
            self.candles.show(batch, now_ms)
        return out

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def begin_cut(self) -> Cut:
        """Begin a checkpoint at the current position."""
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
        lessons.collect(self.store, self.fuser)
        learned = self.fuser.dump()
        if learned != self._saved_fuser:
            self._saved_fuser = learned
            special.append(checkpoint.special(FUSER, mark.version, self.log_ms, learned))
        # All are saved now, which takes some microseconds each: nothing has to be saved later, before it changes.
        out: deque[Output] = deque((key, None) for key in self.forgotten if not self.store.find(key))
        changed = array("q", self.changed)
        KERNELS.mark_rows(len(changed), changed.buffer_info()[0], at.F_CHANGED, 0)
        out.extend(zip(self.store.keys(changed), checkpoint.freeze_all(self.store, changed), strict=True))
        self.cut = Cut(mark, out, special, self.due.queued, self.candles.queued, self.asides_queued)
        self.changed, self.forgotten = {}, {}
        return self.cut

    def take_cut(self, limit: int) -> list[Output]:
        """Up to `limit` state records of the cut; empty when all are out."""
        cut = self.cut
        assert cut is not None
        out = [cut.out.popleft() for _ in range(min(limit, len(cut.out)))]
        cut.written += len(out)
        return out

    def cut_is_out(self) -> bool:
        """Whether all of the cut is out, and all fused records and bars up to it are taken."""
        cut = self.cut
        assert cut is not None
        return not cut.out and self.taken >= cut.queued and self.candles.taken >= cut.queued_candles

    def close_cut(self) -> list[Output]:
        """What belongs to the whole partition, the mark last; to be written when everything up to the cut is out."""
        assert self.cut is not None
        assert not self.cut.out
        return [*self.cut.special, checkpoint.mark_record(self.cut.mark)]

    def end_cut(self) -> int:
        """The mark is durable. Returns the offset up to which may be committed."""
        cut, self.cut = self.cut, None
        assert cut is not None
        return cut.mark.position + 1

    def forget(self, address: int) -> None:
        """Forget an entity of which nobody spoke for long, unless something of it is still to be sent; its records become tombstones."""
        entity = self.store.view(address)
        if entity.dirty:
            return
        key = entity.key
        self.changed.pop(address, None)
        self.payloads.pop(address, None)
        self.candles.forget(address)
        self.store.drop(address)
        self.forgotten[key] = None
        self.gone.append(key)

    def take_counts(self) -> Counts:
        """What happened since the last call."""
        counts, self.counts = self.counts, Counts()
        return counts
