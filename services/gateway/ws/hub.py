"""Who wants what: clients, their streams, and the bytes that are due to each. Pure; the flush wheel gives it the time.

A reader's whole position is one tick per stream, so a client that does not read costs nothing but its subscription:
when it reads again it gets, once, what changed since. Streams that ask for the same keys and stand at the same tick
share one joined buffer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from services.gateway.view.feed import Entry, Feed
from services.gateway.ws import protocol

SNAPSHOT_PART_RECORDS = 200
"""Records of one snapshot message: below 1 MB, the message limit of common client libraries."""
SLOTS = {"live": 1, "250ms": 5, "1s": 20, "5s": 20, "30s": 20}
"""Slots of 50 ms over which the clients of a rate are spread; the slower rates skip whole rounds."""
SNAPSHOT_EVENTS = 50
"""Newest events that a new reader of an event service is given."""

Joined = tuple[bytes, int, int]
"""Frames, records in them, tick up to which they speak."""


class Outlet(Protocol):
    """One client's socket."""

    def ok(self) -> bool:
        """Whether it can be written to now."""

    def write(self, frames: bytes) -> None:
        """Send frames without awaiting the client."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake."""


class Selection:
    """Keys of one feed that some readers want; None: all of them. Readers with equal selections share the object."""

    __slots__ = ("_removals", "_waiting", "entries", "feed", "keys", "readers", "service")

    def __init__(self, service: str, feed: Feed, keys: tuple[str, ...] | None) -> None:
        self.service = service
        self.feed = feed
        self.keys = keys
        self.readers = 0
        self.entries: list[Entry] = [Entry(key=key) for key in keys or ()]
        self._waiting = bool(keys)
        self._removals = feed.removals

    def wanted(self) -> list[Entry]:
        """Entries of the named keys; those of keys without a record have tick 0."""
        if self._waiting or self._removals != self.feed.removals:
            self.entries = [self.feed.entries.get(entry.key) or Entry(key=entry.key) for entry in self.entries]
            self._waiting = any(entry.version < 0 for entry in self.entries)
            self._removals = self.feed.removals
        return self.entries

    def changed_after(self, tick: int) -> list[Entry]:
        """Wanted entries that changed after `tick`."""
        if self.keys is not None:
            return [entry for entry in self.wanted() if entry.tick > tick]
        changed = list(self.feed.changed_after(tick))
        changed.reverse()
        return changed

    def current(self, limit: int) -> list[Entry]:
        """Wanted entries that exist, at most `limit`, in the listing's order when all are wanted."""
        if self.keys is None:
            return self.feed.ordered()[:limit]
        return [entry for entry in self.wanted() if entry.version >= 0][:limit]


Shared = dict[tuple[Selection, int, bool], Joined]
"""Frames by selection, position and batching: what one turn has joined so far."""


class Stream:
    """One client's subscription to one service."""

    __slots__ = ("batch", "last", "rate", "selection")

    def __init__(self, selection: Selection, rate: str, *, batch: bool) -> None:
        self.selection = selection
        self.rate = rate
        self.batch = batch
        self.last = selection.feed.tick


class Client:
    """One connection."""

    __slots__ = (
        "address", "blocked_ms", "closing", "expires_ms", "number", "outlet", "sent_ms", "skipped", "streams",
    )  # fmt: skip

    def __init__(self, number: int, outlet: Outlet, address: str, now_ms: int, expires_ms: int) -> None:
        self.number = number
        self.outlet = outlet
        self.address = address
        self.streams: dict[str, Stream] = {}
        self.sent_ms = now_ms
        self.expires_ms = expires_ms
        self.blocked_ms: int | None = None
        """Since when the client does not read."""
        self.skipped = 0
        """Turns left out because of that."""
        self.closing = False

    def topics(self) -> int:
        """Keys that its streams name."""
        return sum(len(stream.selection.keys or ()) for stream in self.streams.values())


class Hub:
    """All clients, by number and by address; selections by content."""

    def __init__(self, feeds: Mapping[str, Feed]) -> None:
        self.feeds = feeds
        self.clients: dict[int, Client] = {}
        self.by_address: dict[str, int] = {}
        self.buckets: dict[str, list[dict[int, Client]]] = {
            rate: [{} for _ in range(slots)] for rate, slots in SLOTS.items()
        }
        """Rate -> slot -> clients with a stream of that rate, by number."""
        self._selections: dict[tuple[str, tuple[str, ...] | None], Selection] = {}
        self._numbers = 0
        self.sent_records = 0
        self.sent_writes = 0
        self.sent_bytes = 0
        self.skipped = 0

    def connect(self, outlet: Outlet, address: str, now_ms: int, lifetime_ms: int) -> Client:
        """A new client without subscriptions."""
        self._numbers += 1
        client = Client(self._numbers, outlet, address, now_ms, now_ms + lifetime_ms)
        self.clients[client.number] = client
        self.by_address[address] = self.by_address.get(address, 0) + 1
        return client

    def disconnect(self, client: Client) -> None:
        """Forget a client and what only it wanted."""
        if self.clients.pop(client.number, None) is None:
            return
        for service in list(client.streams):
            self.unsubscribe(client, service, ())
        left = self.by_address.pop(client.address) - 1
        if left:
            self.by_address[client.address] = left

    def subscribe(self, client: Client, service: str, keys: Sequence[str], rate: str, *, batch: bool) -> Stream:
        """Add keys of a service (none: all of them) to what the client gets; the newest rate holds for the service."""
        old = client.streams.get(service)
        wanted: tuple[str, ...] | None = None
        if keys:
            before = old.selection.keys if old is not None else ()
            wanted = None if before is None else tuple(dict.fromkeys((*before, *keys)))
        stream = Stream(self._select(service, wanted), rate, batch=batch)
        if old is not None:
            stream.last = min(stream.last, old.last)
            self._release(old.selection)
        client.streams[service] = stream
        self._file(client)
        return stream

    def unsubscribe(self, client: Client, service: str, keys: Sequence[str]) -> bool:
        """Take keys (none: all of them) out of what the client gets; False when there was nothing to take."""
        old = client.streams.get(service)
        if old is None:
            return False
        left = tuple(key for key in old.selection.keys or () if key not in set(keys)) if keys else ()
        if keys and left:
            stream = Stream(self._select(service, left), old.rate, batch=old.batch)
            stream.last = old.last
            client.streams[service] = stream
        else:
            del client.streams[service]
        self._release(old.selection)
        self._file(client)
        return True

    def current(self, stream: Stream, limit: int, now_ms: int) -> list[bytes]:
        """Snapshot frames of what a stream is about: records, or the newest events of an event service."""
        selection, feed = stream.selection, stream.selection.feed
        if feed.ring is not None:
            past = [p.entry for p in feed.ring if selection.keys is None or p.entry.key in selection.keys]
            entries: Sequence[Entry] = past[-SNAPSHOT_EVENTS:]
        else:
            entries = selection.current(limit)
        service, size = selection.service, SNAPSHOT_PART_RECORDS
        parts = max(1, -(-len(entries) // size))
        seq = max((entry.offset for entry in entries), default=0)
        frames = []
        for part in range(parts):
            chunk = entries[part * size : (part + 1) * size]
            records = b",".join([feed.rendered(entry, now_ms).json for entry in chunk])
            frames.append(protocol.text_frame(protocol.snapshot(service, seq, now_ms, records, part + 1, parts)))
        stream.last = feed.tick
        return frames

    def resume(self, stream: Stream, positions: Mapping[int, int]) -> tuple[bool, int]:
        """Put an event stream back to where its reader was; whether that was possible, and how many events follow."""
        feed = stream.selection.feed
        if feed.ring is None:
            return False, 0
        if any(offset >= positions.get(partition, 0) for partition, offset in feed.ring_lost.items()):
            return False, 0
        missed = [past.entry.tick for past in feed.ring if past.entry.offset >= positions.get(past.entry.partition, 0)]
        stream.last = min(missed) - 1 if missed else feed.tick
        return True, len(missed)

    def due(self, stream: Stream, now_ms: int, shared: Shared) -> Joined | None:
        """What changed for a stream since it was served; `shared` is the turn's memory of joined frames.

        None when an event stream fell behind what is kept.
        """
        selection, feed = stream.selection, stream.selection.feed
        if feed.ring is not None and feed.ring_lost_tick > stream.last:
            return None
        if selection.readers == 1:
            # Keeping what nobody shares would hold the whole turn's bytes at once, and fault in new pages for them.
            return self._join(selection, stream.last, now_ms, batch=stream.batch)
        key = (selection, stream.last, stream.batch)
        joined = shared.get(key)
        if joined is None:
            joined = shared[key] = self._join(selection, stream.last, now_ms, batch=stream.batch)
        return joined

    def oldest(self) -> dict[str, int]:
        """Service -> tick that every reader of it has seen, for the feeds to forget what came before."""
        seen = {service: feed.tick for service, feed in self.feeds.items()}
        for client in self.clients.values():
            for service, stream in client.streams.items():
                if stream.last < seen[service]:
                    seen[service] = stream.last
        return seen

    def _file(self, client: Client) -> None:
        """Put a client into the buckets of the rates that its streams have."""
        rates = {stream.rate for stream in client.streams.values()}
        for rate, slots in self.buckets.items():
            slot = slots[client.number % len(slots)]
            if rate in rates:
                slot[client.number] = client
            else:
                slot.pop(client.number, None)

    def _join(self, selection: Selection, last: int, now_ms: int, *, batch: bool) -> Joined:
        feed, service = selection.feed, selection.service
        upto = feed.tick
        if feed.ring is not None:
            frames = []
            for past in reversed(feed.ring):
                if past.entry.tick <= last:
                    break
                if selection.keys is None or past.entry.key in selection.keys:
                    frames.append(self._event_frame(feed, service, past.entry, past.positions, now_ms))
            frames.reverse()
            return b"".join(frames), len(frames), upto
        if batch:
            entries = selection.changed_after(last)
            if not entries:
                return b"", 0, upto
            records = b",".join([feed.rendered(entry, now_ms).json for entry in entries])
            seq = max(entry.offset for entry in entries)
            return protocol.text_frame(protocol.update(service, seq, now_ms, records)), len(entries), upto
        # One expression, because it runs once per record and client: a call per record would double the cost.
        if selection.keys is None:
            frames = [entry.frame or self._frame(feed, service, entry, now_ms) for entry in feed.changed_after(last)]
            frames.reverse()
        else:
            frames = [
                entry.frame or self._frame(feed, service, entry, now_ms)
                for entry in selection.wanted()
                if entry.tick > last
            ]
        return b"".join(frames), len(frames), upto

    def _frame(self, feed: Feed, service: str, entry: Entry, now_ms: int) -> bytes:
        message = protocol.update(service, entry.offset, entry.written_ms, feed.rendered(entry, now_ms).json)
        frame = entry.frame = protocol.text_frame(message)
        return frame

    def _event_frame(self, feed: Feed, service: str, entry: Entry, positions: dict[int, int], now_ms: int) -> bytes:
        if entry.frame is None:
            cursor = protocol.cursor_of(service, positions)
            record = feed.rendered(entry, now_ms).json
            entry.frame = protocol.text_frame(
                protocol.update(service, entry.offset, entry.written_ms, record, cursor=cursor)
            )
        return entry.frame

    def _select(self, service: str, keys: tuple[str, ...] | None) -> Selection:
        selection = self._selections.get((service, keys))
        if selection is None:
            selection = self._selections[service, keys] = Selection(service, self.feeds[service], keys)
        selection.readers += 1
        return selection

    def _release(self, selection: Selection) -> None:
        selection.readers -= 1
        if not selection.readers:
            del self._selections[selection.service, selection.keys]
