"""A loopback exchange for `parallax bench e2e`: it speaks one venue's WebSocket protocol and knows when it said what."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from services.common.errors import MachineError
from services.gateway.ws.protocol import text_frame

VENUE = "binance"
"""Whose definition the collector uses; the words below are that venue's public protocol (aggTrade streams)."""
CHANNEL = "@aggTrade"
QUOTES = ("USDT", "USDC", "EUR")
"""Of what it has; who subscribes to another market hears nothing of it, as at the venue itself, which has none against the dollar."""
SETTLE_S = 20.0
"""The collector gathers changes of what it wants for 15 s before it opens its sockets anew."""
BURST_S = 0.002
"""Ticks that are due within this time leave in one write, as from a busy venue."""


class Subscribe(msgspec.Struct):
    """What a client of the venue asks for."""

    method: str
    params: list[str]
    id: int | str | None = None


class Venue:
    """Trades of the symbols that were subscribed to, round robin, each tick with a number of its own."""

    def __init__(self) -> None:
        self.symbols: dict[str, ServerConnection] = {}
        self.changed_s = 0.0
        """When a subscription last came or went."""
        self.said_ns: list[int] = []
        """Tick number -> when it was sent."""
        self.base = int(time.time() * 1000)
        """Number of tick 0; later runs of the bench must not repeat earlier numbers."""

    def settled(self) -> bool:
        """Whether the collector has made up its mind about its sockets."""
        return bool(self.symbols) and time.monotonic() - self.changed_s > SETTLE_S

    async def say(self, ticks_per_s: float, seconds: float) -> None:
        """Trades at that rate for so long."""
        symbols = list(self.symbols)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        sent = 0
        while (elapsed_s := loop.time() - began_s) < seconds:
            due = int(elapsed_s * ticks_per_s)
            bursts: dict[ServerConnection, list[bytes]] = {}
            now_ns = time.time_ns()
            if list(self.symbols) != symbols:
                raise MachineError(
                    "bench venue", expected="the same subscriptions throughout", got="others", do="run it again"
                )
            for _ in range(due - sent):
                number = len(self.said_ns)
                symbol = symbols[number % len(symbols)]
                bursts.setdefault(self.symbols[symbol], []).append(self._tick(symbol, number, now_ns // 1_000_000))
                self.said_ns.append(now_ns)
            sent = due
            for connection, frames in bursts.items():
                connection.transport.write(b"".join(frames))
            await asyncio.sleep(BURST_S)

    def _tick(self, symbol: str, number: int, now_ms: int) -> bytes:
        price = 100.0 + (number * 7919 % 1000) / 1e5
        return text_frame(
            b'{"stream":"%b@aggTrade","data":{"e":"aggTrade","E":%d,"s":"%b","a":%d,"p":"%.5f","q":"0.50000000","f":1,"l":1,'
            b'"T":%d,"m":false,"M":true}}'
            % (symbol.lower().encode(), now_ms, symbol.encode(), self.base + number, price, now_ms)
        )

    async def _serve(self, connection: ServerConnection) -> None:
        try:
            async for text in connection:
                asked = msgspec.json.decode(text, type=Subscribe)
                if asked.method == "SUBSCRIBE":
                    for stream in asked.params:
                        symbol = stream.removesuffix(CHANNEL).upper()
                        if stream.endswith(CHANNEL) and symbol.endswith(QUOTES):
                            self.changed_s = time.monotonic()
                            self.symbols[symbol] = connection
                await connection.send(msgspec.json.encode({"result": None, "id": asked.id}).decode())
        except ConnectionClosed:
            pass  # the collector plans its sockets anew as it learns what is listed
        finally:
            left = {symbol: owner for symbol, owner in self.symbols.items() if owner is not connection}
            if len(left) != len(self.symbols):
                self.symbols, self.changed_s = left, time.monotonic()


def answer(connection: ServerConnection, request: Request) -> Response | None:
    """REST beside the socket: a ticker for every symbol that is asked for, so that the collector takes all of them as listed."""
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return None
    path, _, query = request.path.partition("?")
    asked = parse_qs(query).get("symbols")
    if not path.endswith("/ticker/24hr") or asked is None:
        return connection.respond(HTTPStatus.NOT_FOUND, "only tickers and streams here\n")
    now_ms = time.time_ns() // 1_000_000
    rows = [
        {"symbol": symbol, "lastPrice": "100.00000", "closeTime": now_ms}
        for symbol in msgspec.json.decode(asked[0], type=list[str])
        if symbol.endswith(QUOTES)
    ]
    response = connection.respond(HTTPStatus.OK, msgspec.json.encode(rows).decode())
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response


@asynccontextmanager
async def venue() -> AsyncIterator[tuple[Venue, str]]:
    """A venue that listens, and the URL to give to the collector as its simulator."""
    found = Venue()
    server: Server
    async with serve(found._serve, "127.0.0.1", 0, process_request=answer, compression=None) as server:
        port: Any = next(iter(server.sockets)).getsockname()[1]
        yield found, f"http://127.0.0.1:{port}"
