"""Checkpoints: every entity as it was at one position of the log, closed by a mark; and the way back from them.

A checkpoint is a consistent cut. Entity records are written first, the mark of the position last; a reader takes, per key,
the highest version at or below the highest mark, so a half-written checkpoint, or one of a process that had already lost
the partition, changes nothing. From there the log is folded again, and gives what it gave the first time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from msgspec import MsgspecError, Struct, msgpack

from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.engine import earlier
from services.aggregator.engine.memory import address_of
from services.aggregator.engine.model import EPOCH_SPAN, Output
from services.aggregator.engine.rates import Rate
from services.aggregator.kernels.layout import MARGIN
from services.aggregator.kernels.thaw import NO_KEY, SPREAD

if TYPE_CHECKING:
    from services.aggregator.engine.store import Store

MARK, NAMES, FUSER = b"!mark", b"!names", b"!fuser"
SPECIAL = frozenset((MARK, NAMES, FUSER))

VERSION_BYTES = 8
HEAD_BYTES = 14
"""A state value begins with its version (8 bytes) and as_of_ms (6), big-endian, so that both can be compared unread."""

VERSION_HEADER = "version"
"""Header of a tombstone: the version (8 bytes, big-endian) at which the entity was forgotten."""


class Mark(Struct, array_like=True):
    """What belongs to the whole partition at the position of a cut."""

    position: int
    epoch: int
    log_ms: int
    next_epoch_ms: int
    rates: dict[str, Rate]
    closed_ms: int
    """Minutes that start before this are closed."""
    closed_version: int
    swept_ms: int
    """The newest boundary of the longer intervals that was reached."""
    swept_version: int
    sweeping: bool
    """Whether the bars that end there were still being closed."""
    log_crc: int | None = None
    """CRC-32 of the log record at the position, to tell a log that was made anew."""

    @property
    def version(self) -> int:
        """The mark's place among versions."""
        return self.epoch * EPOCH_SPAN + self.position


class Cut(Struct):
    """A checkpoint on its way out."""

    mark: Mark
    out: deque[Output]
    special: list[Output]
    queued: int
    """All that was ready to be sent at the cut has gone when so many were taken."""
    queued_candles: int
    asides: int
    written: int = 0


_encode_mark = msgpack.Encoder().encode
_decode_mark = msgpack.Decoder(Mark).decode


def head(version: int, as_of_ms: int) -> bytes:
    """The head of a state value."""
    return version.to_bytes(8, "big") + as_of_ms.to_bytes(6, "big")


ROOM = 1 << 20
"""Bytes in which states are written together at first; one that is larger gets more."""


def freeze_all(store: Store, addresses: Sequence[int]) -> list[bytes]:
    """The state values of these entities."""
    entities = np.array(addresses, np.int64)
    spans = np.empty((len(entities), 2), np.int64)
    found: list[bytes] = []
    room = bytearray(ROOM)
    while len(found) < len(entities):
        rest = entities[len(found) :]
        out = np.frombuffer(room, np.uint8)
        done = KERNELS.freeze_rows(
            store.desk_at, len(rest), rest.ctypes.data, out.ctypes.data, len(room), spans.ctypes.data
        )
        view = memoryview(room)
        found += [bytes(view[begin:end]) for begin, end in zip(*spans[:done].T.tolist(), strict=True)]
        if not done:
            room = bytearray(2 * len(room))
    return found


def thaw_all(store: Store, values: Mapping[bytes, bytes]) -> list[bytes]:
    """Make entities of all these keys and state values; the keys of those that are damaged, of which there is no entity then.

    The store must know all sources, and be linked to the fuser.
    """
    store.refresh()
    store.widen(len(values))
    damaged: list[bytes] = []
    again: dict[bytes, bytes] = {}
    keys = list(values)
    for row, address, n in _thaw_rows(store, values):
        key, value = keys[row], values[keys[row]]
        try:
            if n == NO_KEY:
                store.name_quote(key)
                again[key] = value
                continue
            if earlier.is_earlier(value):
                again[key] = earlier.translate(key, value, store)
        except (MsgspecError, LookupError, ValueError):
            pass
        if key not in again:
            damaged.append(key)
        if address:
            store.drop(address)
    return damaged + thaw_all(store, again) if again else damaged


def _thaw_rows(store: Store, values: Mapping[bytes, bytes]) -> list[list[int]]:
    """Make what entities can be made; of those that need another look: row, address, and how many bytes of the state were read."""
    count = len(values)
    text = b"".join(chain.from_iterable(values.items()))
    lengths = np.fromiter(map(len, chain.from_iterable(values.items())), np.int64, 2 * count)
    ends = np.cumsum(lengths)
    spans = np.stack([ends - lengths, ends], axis=1).reshape(count, 4)
    out = np.empty((count, 2), np.int64)
    row = 0
    while row < count:
        store.ready(MARGIN + SPREAD * int(lengths[2 * row + 1]) + 2 * int(lengths[2 * row]))
        row = KERNELS.thaw_rows(store.desk_at, row, count, address_of(text), spans.ctypes.data, out.ctypes.data)
    odd = np.flatnonzero(out[:, 1] != lengths[1::2])
    found: list[list[int]] = np.column_stack([odd, out[odd]]).tolist()
    return found


class Recovery:
    """Reads the records of one partition of a state topic, in order, and keeps the newest whole checkpoint."""

    def __init__(self) -> None:
        self.entities: dict[bytes, bytes] = {}
        self.mark: Mark | None = None
        self.special: dict[bytes, bytes] = {}
        self.dropped = 0
        """Records of checkpoints that were never closed, so far."""
        self._versions: dict[bytes, bytes] = {}
        self._open: list[tuple[bytes, bytes | None, bytes]] = []

    def feed(self, key: bytes | None, value: bytes | None, headers: object = ()) -> None:
        """Take the next record."""
        if key is None:
            return
        if key == MARK:
            if value is not None:
                self._close(_decode_mark(memoryview(value)[HEAD_BYTES:]))
            return
        if value is not None:
            self._open.append((key, value, value[:VERSION_BYTES]))
            return
        version = dict(headers).get(VERSION_HEADER)  # type: ignore[call-overload]
        if version is not None:
            self._open.append((key, None, bytes(version)))

    def _close(self, mark: Mark) -> None:
        if self.mark is not None and mark.version < self.mark.version:
            return
        self.mark = mark
        limit = mark.version.to_bytes(8, "big")
        entities, waiting = self.entities, []
        for record in self._open:
            key, value, version = record
            if version > limit:
                waiting.append(record)
            elif key in SPECIAL:
                if value is not None and version >= self._versions.get(key, b""):
                    self._versions[key] = version
                    self.special[key] = value[HEAD_BYTES:]
            else:
                held = entities.get(key)
                gone = self._versions.get(key, b"")
                if (held is None or version >= held[:VERSION_BYTES]) and version >= gone:
                    if value is None:
                        entities.pop(key, None)
                        self._versions[key] = version
                    else:
                        entities[key] = value
        self._open = waiting
        self.dropped = len(waiting)


def special(key: bytes, version: int, as_of_ms: int, body: bytes) -> tuple[bytes, bytes]:
    """The state record of something that belongs to the whole partition."""
    return key, head(version, as_of_ms) + body


def mark_record(mark: Mark) -> tuple[bytes, bytes]:
    """The record that closes a checkpoint."""
    return special(MARK, mark.version, mark.log_ms, _encode_mark(mark))
