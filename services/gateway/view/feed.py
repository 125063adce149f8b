"""The newest record of every key of one topic, with a change order that any number of readers can follow at their own pace."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from copy import copy
from itertools import islice
from typing import Protocol

from msgspec import Struct

PACKED_FROM_BYTES = 256
"""Shorter records gain nothing from packing."""
PACK_LEVEL = 1
"""Measured on fused records: a quarter of the size for 12 to 20 us."""
PACKED_AT_ONCE = 4
"""Records packed per record taken, so that catching up never stalls the loop."""
RAW_BUDGET_BYTES = 32 * 1024 * 1024
"""Unpacked records of one feed; 200,000 keys of ordinary records then fit a gateway of 300 MB."""
RENDERED_BUDGET_BYTES = 16 * 1024 * 1024
"""Rendered forms of one feed's records."""


class BadRecord(ValueError):
    """A record that cannot be read; the words say which field, for the dead letter's `reason`."""


class Body(Struct, gc=False):
    """One ready answer: its bytes, its strong tag, and its gzip form once somebody asked for it."""

    identity: bytes
    etag: bytes
    last_modified: bytes
    max_age_s: int
    zipped: bytes | None = None


class Rendered(Struct, gc=False):
    """What one version of one record looks like until `valid_until_ms`, when a staleness label changes."""

    valid_until_ms: int
    stale: bool
    fresh_until_ms: int
    json: bytes
    bodies: dict[str, Body] | None = None

    def size(self) -> int:
        """Bytes it will hold with its frame and one body, roughly; the same number for ever."""
        return 400 + 4 * len(self.json)


class Entry(Struct, gc=False):
    """One key's newest record; the same object for as long as the key lives, so that readers may hold on to it."""

    key: str
    raw: bytes = b""
    packed: bool = False
    version: int = -1
    offset: int = -1
    partition: int = 0
    written_ms: int = 0
    tick: int = 0
    order: float = 0.0
    rendered: Rendered | None = None
    frame: bytes | None = None
    """The version as it goes to sockets, once somebody wanted it; what it says of staleness was true then."""


class Head(Struct, gc=False):
    """What `Kind.head` reads out of a record."""

    version: int
    as_of_ms: int
    origin: str
    order: float = 0.0
    """Rank in listings, the smallest first."""
    stands_for_it: str | None = None
    """Key that stands for this one, where it is not itself: it is shown there, and nowhere else."""


class Kind(Protocol):
    """How the records of one topic are read and shown."""

    def head(self, key: str, value: bytes, offset: int) -> Head:
        """Version and order of a record; BadRecord when it cannot be read."""

    def render(self, entry: Entry, value: bytes, now_ms: int) -> Rendered:
        """The record as clients see it."""


class Past(Struct, gc=False):
    """One version of one key, kept for readers that must see every one of them."""

    entry: Entry
    positions: dict[int, int]
    """Where the feed was right after it: what a reader who has seen it resumes from."""


class Ticks:
    """Counts the changes of a whole view, so that `changed after tick t` is one comparison."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0


class Feed:
    """Latest by max(version) of one topic.

    Raw bytes are kept and rendering is left to the first reader. Beyond `raw_budget_bytes` the records that changed
    longest ago are packed, with a record of the same feed as the dictionary. `ring` > 0 keeps that many newest versions
    for readers that must see every one of them.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        ticks: Ticks,
        *,
        raw_budget_bytes: int = RAW_BUDGET_BYTES,
        rendered_budget_bytes: int = RENDERED_BUDGET_BYTES,
        ring: int = 0,
    ) -> None:
        self.name = name
        self.kind = kind
        self.entries: dict[str, Entry] = {}
        self.positions: dict[int, int] = {}
        """Partition -> offset after the last record applied."""
        self.changed: dict[str, Entry] = {}
        """Keys in the order of their last change, forgotten up to the tick that all readers have seen."""
        self.ring: deque[Past] | None = deque(maxlen=ring) if ring else None
        self.ring_lost: dict[int, int] = {}
        """Partition -> offset of the newest version that fell out of the ring."""
        self.ring_lost_tick = 0
        self.tick = 0
        self.as_of_by_origin: dict[str, int] = {}
        self.elsewhere: dict[str, str] = {}
        """Key -> key that stands for it."""
        self.removals = 0
        """Keys that were deleted; their Entry objects are dead, a key that comes back gets a new one."""
        self.order_tick = 0
        """Tick of the last change of the listing's order."""
        self._ticks = ticks
        self._raw_budget = raw_budget_bytes
        self._loose_bytes = 0
        self._hand: deque[tuple[int, Entry]] = deque()
        self._hand_tick = 0
        self._dictionary = b""
        self._rendered: deque[tuple[Entry, Rendered]] = deque()
        self._rendered_bytes = 0
        self._rendered_budget = rendered_budget_bytes
        self._sorted: list[Entry] = []
        self._sorted_tick = -1

    def __len__(self) -> int:
        return len(self.entries)

    def apply(self, key: str, value: bytes | None, partition: int, offset: int, written_ms: int) -> bool:
        """Take one record; True when it is news. BadRecord leaves everything as it was, but for the position."""
        self.positions[partition] = offset + 1
        if value is None:
            self.elsewhere.pop(key, None)
            return self._remove(key)
        head = self.kind.head(key, value, offset)
        if head.stands_for_it is not None:
            self.elsewhere[key] = head.stands_for_it
            return self._remove(key)
        if self.elsewhere:
            self.elsewhere.pop(key, None)
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = Entry(key=key)
            self.order_tick = self._ticks.now + 1
        elif head.version < entry.version:
            return False
        elif head.version == entry.version:
            # The same record written again after a crash: replicas that saw either must name it alike.
            entry.offset, entry.written_ms = offset, written_ms
            entry.rendered = entry.frame = None
            return False
        elif head.order != entry.order:
            self.order_tick = self._ticks.now + 1
        if not entry.packed:
            self._loose_bytes -= len(entry.raw)
        self._ticks.now += 1
        entry.raw, entry.packed, entry.version, entry.offset = value, False, head.version, offset
        entry.partition, entry.written_ms, entry.order = partition, written_ms, head.order
        entry.tick = self.tick = self._ticks.now
        entry.rendered = entry.frame = None
        self.changed.pop(key, None)
        self.changed[key] = entry
        if head.as_of_ms > self.as_of_by_origin.get(head.origin, 0):
            self.as_of_by_origin[head.origin] = head.as_of_ms
        if self.ring is not None:
            self._remember(entry)
        self._loose_bytes += len(value)
        if self._loose_bytes > self._raw_budget:
            self._pack()
        return True

    def value(self, entry: Entry) -> bytes:
        """The record's bytes as they came."""
        return zlib.decompressobj(-15, zdict=self._dictionary).decompress(entry.raw) if entry.packed else entry.raw

    def rendered(self, entry: Entry, now_ms: int) -> Rendered:
        """The record as clients see it at `now_ms`; rendered at most once per version and staleness label."""
        ready = entry.rendered
        if ready is not None and now_ms < ready.valid_until_ms:
            return ready
        ready = entry.rendered = self.kind.render(entry, self.value(entry), now_ms)
        self._rendered.append((entry, ready))
        self._rendered_bytes += ready.size()
        while self._rendered_bytes > self._rendered_budget:
            owner, oldest = self._rendered.popleft()
            self._rendered_bytes -= oldest.size()
            if owner.rendered is oldest:
                owner.rendered = owner.frame = None
        return ready

    def changed_after(self, tick: int) -> Iterator[Entry]:
        """Entries that changed after `tick`, newest first."""
        for key in reversed(self.changed):
            entry = self.changed[key]
            if entry.tick <= tick:
                return
            yield entry

    def forget(self, tick: int) -> None:
        """Drop the change order up to `tick`, which every reader has seen."""
        changed = self.changed
        seen = 0
        for entry in changed.values():
            if entry.tick > tick:
                break
            seen += 1
        if seen == len(changed):
            changed.clear()
        else:
            for key in list(islice(changed, seen)):
                del changed[key]

    def ordered(self) -> list[Entry]:
        """Entries by their order, then key."""
        if self._sorted_tick < self.order_tick:
            self._sorted = sorted(self.entries.values(), key=lambda entry: (entry.order, entry.key))
            self._sorted_tick = self.order_tick
        return self._sorted

    def version_tag(self) -> str:
        """The position in every partition, the same on every replica that has read as far."""
        return ".".join(str(self.positions[partition]) for partition in sorted(self.positions))

    def _remove(self, key: str) -> bool:
        entry = self.entries.pop(key, None)
        if entry is None:
            return False
        self.changed.pop(key, None)
        self._ticks.now += 1
        self.tick = self.order_tick = self._ticks.now
        if not entry.packed:
            self._loose_bytes -= len(entry.raw)
        entry.raw, entry.version, entry.tick, entry.packed = b"", -1, 0, False
        entry.rendered = entry.frame = None
        self.removals += 1
        return True

    def _remember(self, entry: Entry) -> None:
        assert self.ring is not None
        if len(self.ring) == self.ring.maxlen:
            lost = self.ring[0].entry
            self.ring_lost[lost.partition] = lost.offset
            self.ring_lost_tick = lost.tick
        self.ring.append(Past(copy(entry), dict(self.positions)))

    def _pack(self) -> None:
        """Pack the records that changed longest ago until the loose ones fit their budget, a few per record taken."""
        if not self._hand and self._ticks.now - self._hand_tick >= len(self.entries) // 8:
            loose = [(e.tick, e) for e in self.entries.values() if not e.packed and len(e.raw) >= PACKED_FROM_BYTES]
            self._hand = deque(sorted(loose, key=lambda pair: pair[0]))
            self._hand_tick = self._ticks.now
        left = PACKED_AT_ONCE
        while self._hand and left and self._loose_bytes > self._raw_budget:
            tick, entry = self._hand.popleft()
            if entry.tick != tick or entry.packed or entry.version < 0:
                continue
            if not self._dictionary:
                self._dictionary = entry.raw
            packer = zlib.compressobj(PACK_LEVEL, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, self._dictionary)
            self._loose_bytes -= len(entry.raw)
            entry.raw = packer.compress(entry.raw) + packer.flush()
            entry.packed = True
            left -= 1
