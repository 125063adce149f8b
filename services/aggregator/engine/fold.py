"""The fold: raw records in log order change entities. Kernels fold what is usual; the table of turns says what Python does else."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from zlib import crc32

from schemas.events import CONTROL_RATES
from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.engine import careful
from services.aggregator.engine.columns import Columns, Joined
from services.aggregator.engine.memory import address_of
from services.aggregator.engine.model import Record
from services.aggregator.engine.partition import Partition
from services.aggregator.engine.records import Records
from services.aggregator.engine.templates import NOBODY
from services.aggregator.kernels import layout as at

FIRST_ROOM = 256
"""Records of a batch for whose consequences there is room at first."""


def fold(partition: Partition, records: Sequence[Record], now_ms: int, behind: bool = False) -> None:
    """Fold a batch; records at or below the position are skipped, and nothing in it can raise. `behind`: much more waits."""
    partition.pace(now_ms, behind)
    if not records:
        return
    if partition.folding is None:
        partition.folding = Fold(partition)
    partition.folding.take(records, now_ms, behind)


class Fold:
    """The way of one partition's batches through the kernel; what the kernel gives is kept for the next batch."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.records: Sequence[Record] = ()
        self.now_ms = 0
        self.behind = False
        self.rows = array("q", bytes(8 * at.ROWS))
        self.rows_at = self.rows.buffer_info()[0]
        self.rows[at.R_HOLES], self.rows[at.R_SAID] = partition.holes_at, partition.said_at
        self._widen(FIRST_ROOM)

    def _widen(self, room: int) -> None:
        """Make room for what a batch of so many records may give."""
        self.room = room
        self.ready, self.changed = array("q", bytes(8 * room)), array("q", bytes(8 * room))
        self.later, self.opened, self.reopened = (array("q", bytes(16 * room)) for _ in range(3))
        for word, column in (
            (at.R_READY_AT, self.ready), (at.R_LATER_AT, self.later), (at.R_CHANGED_AT, self.changed),
            (at.R_OPENED_AT, self.opened), (at.R_REOPENED_AT, self.reopened),
        ):  # fmt: skip
            self.rows[word] = column.buffer_info()[0]

    def take(self, records: Sequence[Record], now_ms: int, behind: bool) -> None:
        """Fold a batch."""
        columns: Columns = records if isinstance(records, Records) else Joined(records)
        if len(records) > self.room:
            self._widen(2 * len(records))
        self.records, self.now_ms, self.behind = records, now_ms, behind
        rows = self.rows
        rows[at.R_AT], rows[at.R_COUNT], rows[at.R_TEXT] = 0, len(records), address_of(columns.text)
        rows[at.R_OFFSETS], rows[at.R_STAMPS] = columns.offsets.buffer_info()[0], columns.stamps.buffer_info()[0]
        rows[at.R_KEY_BEGINS], rows[at.R_KEY_ENDS] = (
            columns.key_begins.buffer_info()[0],
            columns.key_ends.buffer_info()[0],
        )
        rows[at.R_BEGINS], rows[at.R_ENDS] = columns.begins.buffer_info()[0], columns.ends.buffer_info()[0]
        rows[at.R_NOW], rows[at.R_BEHIND] = now_ms, behind
        new = columns.offsets[-1] > self.partition.position
        self.run()
        if new:
            # As driver/recovery.py compares it: no value counts as an empty one.
            self.partition.log_crc = crc32(
                memoryview(columns.text)[max(0, columns.begins[-1]) : max(0, columns.ends[-1])]
            )
        self.records = ()

    def run(self) -> None:
        """Until all are folded."""
        partition, rows = self.partition, self.rows
        store = partition.store
        while True:
            store.ready()
            store.refresh()
            why = KERNELS.fold_rows(store.desk_at, self.rows_at)
            self._drain()
            if why == at.WHY_DONE:
                return
            TURNS[why](self, rows[at.R_AT])

    def _drain(self) -> None:
        """Take over what the kernel gives."""
        partition, rows = self.partition, self.rows
        if n := rows[at.R_READY]:
            partition.due.ready.extend(self.ready[:n])
            partition.due.queued += n
        if n := rows[at.R_LATER]:
            partition.due.wait_all(self.later[: 2 * n])
        if n := rows[at.R_CHANGED]:
            partition.changed.update(dict.fromkeys(self.changed[:n]))
        if n := rows[at.R_OPENED]:
            opened = self.opened
            for k in range(0, 2 * n, 2):
                partition.candles.opened(opened[k], opened[k + 1])
        if n := rows[at.R_REOPENED]:
            reopened = self.reopened
            for k in range(0, 2 * n, 2):
                partition.candles.reopened(reopened[k], reopened[k + 1])
        counts = partition.counts
        counts.folded += rows[at.R_FOLDED]
        counts.replayed += rows[at.R_REPLAYED]
        counts.unchanged += rows[at.R_UNCHANGED]
        rows[at.R_READY] = rows[at.R_LATER] = rows[at.R_CHANGED] = rows[at.R_OPENED] = rows[at.R_REOPENED] = 0
        rows[at.R_FOLDED] = rows[at.R_REPLAYED] = rows[at.R_UNCHANGED] = 0

    # --- why the kernel stopped at a record -----------------------------------------------------------------------

    def unknown(self, row: int) -> None:
        """A text of a form that nobody has seen: Python folds it, and kernels the next of its form."""
        self.careful(row)
        learn_form(self.partition, self.records[row].value or b"")

    def careful(self, row: int) -> None:
        """Not for kernels."""
        careful.fold_one(self.partition, self.records[row], self.now_ms, self.behind)
        self.rows[at.R_AT] = row + 1

    def turn(self, row: int) -> None:
        """The log's clock passes something that closes; what closes has the version of this record."""
        partition = self.partition
        before, partition.position = partition.position, self.records[row].offset
        partition.turn_log(self.rows[at.R_RECEIVED])
        partition.position = before

    def memory(self, row: int) -> None:
        """Too little memory is free."""
        self.partition.store.ready(self.rows[at.R_NEED])

    def index(self, row: int) -> None:
        """More entities than the index holds."""
        self.partition.store.widen(1)

    def quote(self, row: int) -> None:
        """A quote asset without a number."""
        key = self.records[row].key
        assert key is not None
        self.partition.store.name_quote(key)

    def learn(self, row: int) -> None:
        """A window that kernels cannot learn from."""
        self.partition.learn(self.rows[at.R_ENTITY], self.rows[at.R_RECEIVED])


def learn_form(partition: Partition, value: bytes) -> None:
    """Let kernels read events of the form of this one, which was folded, from now on.

    Not of one that was set aside before its source had a number: numbers follow from what is folded alone.
    """
    try:
        said = careful.decode(value)
    except careful.UNREADABLE:
        return
    names, templates = tuple(said.metrics), partition.templates
    source = partition.names.by_key.get(careful.identity_of(said))
    if source is not None:
        plain = source.known and source.origin in partition.limits.origins
        templates.learn(value, source.number, plain, names, source.shape.kinds)
    elif said.entity == CONTROL_RATES and partition.rules.shape(names).unknown:
        templates.learn(value, NOBODY, False, ())


TURNS: dict[int, Callable[[Fold, int], None]] = {
    at.WHY_UNKNOWN: Fold.unknown,
    at.WHY_CAREFUL: Fold.careful,
    at.WHY_TURN: Fold.turn,
    at.WHY_MEMORY: Fold.memory,
    at.WHY_INDEX: Fold.index,
    at.WHY_QUOTE: Fold.quote,
    at.WHY_LEARN: Fold.learn,
}
"""What is done about each reason for which the kernel stops; it goes on from there."""
