"""Where a socket connects: the definition's address, one that a token call gives, or the simulator's."""

from __future__ import annotations

from services.collector.decode import DecodeError, decode
from services.collector.origin import Upstream
from services.collector.registry.load import Registry
from services.collector.request import join
from services.collector.send import Failure, Request, Sender
from services.collector.stream import dialects
from services.collector.stream.dialects import Socket


class NoAddress(OSError):
    """The call that should have given the address did not; the socket is tried again later."""


class Addresses:
    """Finds the address of a socket each time it is opened."""

    def __init__(self, definitions: Registry, upstream: Upstream, sender: Sender) -> None:
        self._definitions = definitions
        self._upstream = upstream
        self._sender = sender

    async def of(self, socket: Socket) -> str:
        """The address to connect to now; NoAddress when a token call failed."""
        provider = self._definitions.providers[socket.provider]
        stream = provider.streams[socket.stream]
        base = None
        if stream.token is not None:
            url = self._upstream.http(provider.id, join(provider.bases[stream.token.base], stream.token.path))
            reply = await self._sender.send(Request(url=url, shown=url, method=stream.token.method))
            if isinstance(reply, Failure):
                raise NoAddress(f"token call: {reply.outcome}: {reply.detail}")
            try:
                base = dialects.token_address(stream, decode(reply.body, "json", reply.content_type))
            except DecodeError as error:
                raise NoAddress(f"token call: {error}") from None
            if base is None:
                raise NoAddress(f"token call: no address in the answer (status {reply.status})")
        return self._upstream.socket(provider.id, dialects.address(stream, socket, base))
