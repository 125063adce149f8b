"""The sockets of our share: opened, closed and opened anew as demand, leases and listings change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence

from services.collector import demand
from services.collector.listing import Listing
from services.collector.map.identity import Identity
from services.collector.registry.model import Param, Provider, Stream
from services.collector.stream.channel import Channel
from services.collector.stream.dialects import Socket, sockets

Symbols = dict[str, list[tuple[str, str]]]
"""Entity -> its subscriptions: (channel, value in the venue's spelling)."""
SETTLE_S = 15.0
"""Changes gather for so long before sockets are opened anew: a listing is learnt in many small steps."""


class Sockets:
    """Runs one Channel for each connection that is wanted."""

    def __init__(
        self,
        providers: Sequence[Provider],
        identity: Identity,
        listing: Listing,
        wanted: Callable[[], frozenset[str]],
        open_channel: Callable[[Socket, Symbols], Channel],
    ) -> None:
        self._providers = [provider for provider in providers if provider.streams]
        self._identity = identity
        self._listing = listing
        self._wanted = wanted
        self._open = open_channel
        self._owns: Callable[[str, str], bool] = lambda category, shard: True
        self._running: dict[str, tuple[Socket, asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()
        self._changed.set()

    def share(self, owns: Callable[[str, str], bool]) -> None:
        """Open only what `owns` says."""
        self._owns = owns
        self.replan()

    def replan(self) -> None:
        """Look again at what is wanted."""
        self._changed.set()

    async def run(self) -> None:
        """Keep the wanted sockets open until cancelled; a bug in one of them ends all."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._settle(group)
                await asyncio.sleep(SETTLE_S if self._running else 0)

    async def _settle(self, group: asyncio.TaskGroup) -> None:
        now_ms = time.time_ns() // 1_000_000
        wanted = {
            socket.key: (provider, socket)
            for provider in self._providers
            for socket in plan(provider, self._wanted(), self._identity, self._listing, now_ms)
            if self._owns(provider.home, socket.key)
        }
        for key, (socket, task) in list(self._running.items()):
            if key not in wanted or wanted[key][1] != socket:
                task.cancel()
                await asyncio.wait({task})
                del self._running[key]
        for key, (provider, socket) in wanted.items():
            if key not in self._running:
                channel = self._open(socket, symbols(provider, socket, self._identity))
                self._running[key] = (socket, group.create_task(channel.run(), name=key))


def plan(
    provider: Provider, wanted: Collection[str], identity: Identity, listing: Listing, now_ms: int
) -> list[Socket]:
    """Connections of a provider for what is wanted."""
    found = []
    for name, stream in provider.streams.items():
        parts = {
            channel: demand.subscriptions(provider, definition, wanted, identity, listing, now_ms)
            for channel, definition in stream.channels.items()
            if definition.on
        }
        found += sockets(provider.id, name, parts)
    return found


def symbols(provider: Provider, socket: Socket, identity: Identity) -> Symbols:
    """By which channels and values each entity of a socket is subscribed, so that its book can be asked for again."""
    stream: Stream = provider.streams[socket.stream]
    found: Symbols = {}
    for channel, params in socket.channels.items():
        for name, values in params.items():
            param = stream.channels[channel].params.get(name)
            if not isinstance(param, Param) or param.stands_for != "pair":
                continue
            reader = identity.symbols_of(provider, param.style)
            for value in values:
                sides = reader.pair(value)
                if sides is not None:
                    for kind in ("pair", "perp"):
                        found.setdefault(f"{kind}:{sides.base}/{sides.quote}", []).append((channel, value))
    return found
