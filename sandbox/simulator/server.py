"""The simulator on a port: HTTP and sockets at /<provider>/<real path>, /_control, /_truth, /readyz. A plain ASGI application."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

import msgspec

from sandbox.simulator.moods import Behaviour
from sandbox.simulator.simulator import Response, Simulator
from sandbox.simulator.sockets import Socket
from schemas import metrics

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_000_000
BUSY_SHARE = 0.3
"""The sockets take at most this share of the time; on a busy machine the venues speak more slowly, but requests are answered."""


class Listener(NamedTuple):
    """An open socket and how to send to it."""

    provider: str
    socket: Socket
    send: Send


class Server:
    """The ASGI application."""

    def __init__(self, simulator: Simulator, tick_s: float) -> None:
        self._simulator = simulator
        self._tick_s = tick_s
        self._listeners: dict[int, Listener] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, query = unquote(scope["path"]), scope["query_string"].decode()
        body = await _body(receive)
        word, _, rest = path.lstrip("/").partition("/")
        if word == "readyz":
            response = Response(200, {"content-type": "text/plain"}, b"ok\n")
        elif word == "_control":
            response = self._control(scope["method"], rest, body)
        elif word == "_truth":
            response = self._truth(query)
        else:
            response = self._asked(word, scope["method"], "/" + rest, query, body)
        if response.delay_ms:
            await asyncio.sleep(response.delay_ms / 1000)
        await _answer(response, send)

    def _asked(self, provider: str, method: str, path: str, query: str, body: bytes) -> Response:
        """The provider's answer; a definition that the simulator stumbles over is named in the log and in the answer."""
        try:
            return self._simulator.respond(provider, method, path, query, body, now_ms())
        except Exception as fault:
            log.exception("%s %s %s cannot be simulated", provider, method, path)
            return _json(500, {"detail": f"{provider} {path}: {type(fault).__name__}: {fault}"})

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        word, _, rest = unquote(scope["path"]).lstrip("/").partition("/")
        socket = Socket.open(self._simulator, word, "/" + rest)
        await receive()
        if socket is None or self._simulator.moods.of(word).dead:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})
        self._listeners[id(socket)] = Listener(word, socket, send)
        try:
            while True:
                event = await receive()
                if event["type"] == "websocket.disconnect":
                    return
                text = event.get("text") or (event.get("bytes") or b"").decode("utf-8", "replace")
                for message in socket.hear(text, now_ms()):
                    await send(_frame(message))
        finally:
            self._listeners.pop(id(socket), None)

    async def talk(self) -> None:
        """Every tick, say to every socket what was subscribed there; those of a killed provider are closed."""
        while True:
            started = time.monotonic()
            for listener in list(self._listeners.values()):
                try:
                    await self._say(listener)
                except (OSError, RuntimeError):
                    self._listeners.pop(id(listener.socket), None)  # it went away while we spoke
                except Exception:
                    log.exception("a socket of %s cannot be simulated", listener.provider)
                    self._listeners.pop(id(listener.socket), None)
                await asyncio.sleep(0)
            spent_s = time.monotonic() - started
            await asyncio.sleep(max(self._tick_s - spent_s, spent_s * (1 / BUSY_SHARE - 1), 0.001))

    async def _say(self, listener: Listener) -> None:
        mood = self._simulator.moods.of(listener.provider)
        if mood.dead:
            self._listeners.pop(id(listener.socket), None)
            await listener.send({"type": "websocket.close", "code": 1011})
            return
        for message in listener.socket.tick(now_ms()):
            await listener.send(_frame(b"\x00garbage" if mood.garbage else message))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        talking = asyncio.create_task(self.talk(), name="talk to the sockets")
        try:
            while True:
                event = await receive()
                await send({"type": event["type"] + ".complete"})
                if event["type"] == "lifespan.shutdown":
                    return
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)

    def _control(self, method: str, provider: str, body: bytes) -> Response:
        """GET: who is faulty. POST /_control/<provider>: behave so. DELETE: all healthy."""
        if method == "DELETE":
            self._simulator.moods.clear()
        elif method == "POST":
            if provider not in self._simulator.registry.providers:
                return _json(404, {"detail": f"no provider {provider!r}"})
            try:
                self._simulator.moods.set(provider, msgspec.json.decode(body, type=Behaviour))
            except msgspec.DecodeError as fault:
                return _json(422, {"detail": str(fault)})
        return _json(200, msgspec.to_builtins(self._simulator.moods.faulty()))

    def _truth(self, query: str) -> Response:
        """?entity=asset:bitcoin&metric=price&quote=usd&at_ms=...: what is true then; at_ms is now without."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        spec = metrics.load().get(asked.get("metric", "price"))
        at_ms = int(asked.get("at_ms") or now_ms())
        entity = asked.get("entity", "asset:bitcoin")
        if spec is None:
            return _json(404, {"detail": f"no metric {asked.get('metric')!r}"})
        value = self._simulator.truth.value(spec, entity, asked.get("quote", "usd"), at_ms)
        return _json(200, {"entity": entity, "metric": spec.name, "at_ms": at_ms, "value": value})


def now_ms() -> int:
    """The only clock of the simulator."""
    return time.time_ns() // 1_000_000


async def _answer(response: Response, send: Send) -> None:
    """Send a response; status 0 promises a body and does not send it, upon which the server breaks the connection."""
    headers = dict(response.headers) | {"content-length": str(len(response.body) if response.status else 1000)}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status or 200, "headers": pairs})
    with suppress(RuntimeError) if not response.status else nullcontext():
        await send({"type": "http.response.body", "body": response.body})


async def _body(receive: Receive) -> bytes:
    body = b""
    while len(body) < MAX_BODY_BYTES:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    return body


def _frame(message: str | bytes) -> dict[str, Any]:
    return {"type": "websocket.send", "bytes" if isinstance(message, bytes) else "text": message}


def _json(status: int, value: Any) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(value).encode())
