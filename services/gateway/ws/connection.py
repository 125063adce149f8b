"""One client's states: refused, greeted, talking, gone. It reads commands; what goes out is written by the flush wheel."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from services.gateway.codes import CODE
from services.gateway.limits import LIMIT
from services.gateway.problems import CONTENT_TYPE, Problem
from services.gateway.view.index import Ambiguous, Unknown
from services.gateway.view.view import View
from services.gateway.ws import protocol
from services.gateway.ws.courier import Courier, message_events
from services.gateway.ws.flush import Wheel
from services.gateway.ws.frames import EXTENSION
from services.gateway.ws.hub import Client, Hub, Outlet
from services.gateway.ws.protocol import BadCommand, Command, text_frame
from services.gateway.ws.services import SERVICE, SERVICES, services_of

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

LIFETIME_SPREAD = 0.1
SHUTDOWN_SPREAD_MS = 15_000
"""Clients of a stopping server come back over this time, not at once."""


class Sockets:
    """The WebSocket application: everything under /ws."""

    def __init__(
        self,
        view: View,
        hub: Hub,
        wheel: Wheel,
        now_ms: Callable[[], int],
        loading: Callable[[], str],
        status: Callable[[], Any],
        *,
        per_client: int,
        origins: list[str],
    ) -> None:
        self._view = view
        self._hub = hub
        self._wheel = wheel
        self._now_ms = now_ms
        self._loading = loading
        self._status = status
        self._per_client = per_client
        self._origins = frozenset(origins)
        self._stopping = False

    def stats(self) -> dict[str, Any]:
        """Clients and what they were sent."""
        hub = self._hub
        return {
            "ws_clients": len(hub.clients),
            "ws_sent_records": hub.sent_records,
            "ws_writes": hub.sent_writes,
            "ws_skipped": hub.skipped,
        }

    def shut_down(self) -> None:
        """Tell every client when to come back, and close."""
        self._stopping = True
        now_ms = self._now_ms()
        for client in list(self._hub.clients.values()):
            notice = protocol.flat("server_shutdown", now_ms, reconnect_after_ms=random.randint(0, SHUTDOWN_SPREAD_MS))
            client.outlet.write(text_frame(notice))
            self._wheel.close(client, "restart", "server shutdown")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await receive()
        address = scope["client"][0] if scope.get("client") else ""
        try:
            preset = services_of(scope["path"])
            if preset is None:
                raise Problem("not-found", f"no WebSocket service at {scope['path']}; try /ws/master")
            origin = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), None)
            self.admit(address, origin)
        except Problem as problem:
            await refuse(problem, scope, send)
            return
        offered = scope.get("subprotocols", [])
        accept = {"type": "websocket.accept"}
        if protocol.PROTOCOL in offered:
            accept["subprotocol"] = protocol.PROTOCOL
        await send(accept)
        wire: Outlet | None = scope.get("extensions", {}).get(EXTENSION)
        courier = None if wire is not None else Courier(send, message_events)
        outlet: Outlet = wire if wire is not None else courier  # type: ignore[assignment]
        client = self.attend(outlet, address, None)
        try:
            self._greet(client)
            if preset:
                self._subscribe(client, Command(action="subscribe", services=list(preset)))
            await self._talk(client, receive)
        finally:
            self.leave(client)
            if courier is not None:
                await courier.stop()

    def admit(self, address: str, origin: str | None) -> None:
        """Problem when this client may not have one more connection now."""
        if origin is not None and self._origins and origin not in self._origins:
            raise Problem("forbidden-origin", f"origin {origin} is not one of {', '.join(sorted(self._origins))}")
        loading = self._loading()
        if loading or self._stopping:
            raise Problem("not-ready", loading or "the server is stopping", headers={"Retry-After": "1"})
        if self._hub.by_address.get(address, 0) >= self._per_client:
            raise Problem("connection-limit", f"{address} holds {self._per_client} connections, its limit")

    def attend(self, outlet: Outlet, address: str, command: Command | None) -> Client:
        """A client that hears what `command` subscribes to, until `leave`."""
        lifetime_ms = int(LIMIT["ws_lifetime_s"] * 1000 * random.uniform(1 - LIFETIME_SPREAD, 1 + LIFETIME_SPREAD))
        client = self._hub.connect(outlet, address, self._now_ms(), lifetime_ms)
        if command is not None:
            self._subscribe(client, command)
        return client

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self._hub.disconnect(client)

    def _greet(self, client: Client) -> None:
        now_ms = self._now_ms()
        services = [service.name for service in SERVICES]
        hello = protocol.flat(
            "connection_established",
            now_ms,
            client_id=f"client-{client.number}",
            available_services=services,
            protocol=protocol.PROTOCOL,
            heartbeat_s=LIMIT["ws_heartbeat_s"],
            resume_window_s=LIMIT["ws_resume_window_s"],
            limits={
                "messages_per_s": LIMIT["ws_messages_per_s"],
                "message_bytes": LIMIT["ws_message_bytes"],
                "topics": LIMIT["ws_topics"],
                "rates": list(protocol.RATES_MS),
            },
        )
        welcome = protocol.system(
            "welcome",
            {
                "message": "Parallax: what is true, how sure it is, and who disagreed.",
                "available_services": services,
                "usage": {"action": "subscribe", "service": "market_data", "symbols": ["BTC"], "rate": "live"},
            },
            now_ms,
        )
        status = protocol.system("status_update", self._status(), now_ms)
        self._say(client, hello, welcome, status)

    async def _talk(self, client: Client, receive: Receive) -> None:
        rate, burst = LIMIT["ws_messages_per_s"], float(LIMIT["ws_messages_burst"])
        left, seen_ms = burst, self._now_ms()
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            now_ms = self._now_ms()
            left = min(burst, left + max(0, now_ms - seen_ms) * rate / 1000) - 1
            seen_ms = now_ms
            if client.closing:
                continue
            if left < 0:
                self._wheel.close(client, "too_many_messages", f"more than {rate} messages a second")
                continue
            text = message.get("text")
            if text is None:
                self._wheel.close(client, "bad_frame", "expected JSON in text frames")
                continue
            try:
                command = protocol.read(text)
            except BadCommand as fault:
                if fault.frame:
                    self._wheel.close(client, "bad_frame", "expected a JSON object")
                else:
                    self._say(client, protocol.error(str(fault), now_ms))
                continue
            self._obey(client, command, now_ms)

    def _obey(self, client: Client, command: Command, now_ms: int) -> None:
        echo: dict[str, Any] = {"id": command.id} if command.id is not None else {}
        if command.action == "ping":
            self._say(client, protocol.system("pong", command.data, now_ms, **echo))
        elif command.action == "get_status":
            self._say(client, protocol.system("status", self._status(), now_ms, **echo))
        elif command.action == "list":
            data = [{"service": s.name, "delivery": s.delivery, "about": s.sentence} for s in SERVICES]
            self._say(client, protocol.system("services", data, now_ms, **echo))
        elif command.action == "subscribe":
            self._subscribe(client, command)
        else:
            self._unsubscribe(client, command, echo)

    def _subscribe(self, client: Client, command: Command) -> None:
        now_ms = self._now_ms()
        services = command.wanted()
        known = [service for service in services if service in SERVICE]
        if not known:
            named = f"expected a service, got {', '.join(services)}" if services else "expected service or services"
            self._say(client, protocol.error(named, now_ms, command.id))
            return
        names = (*command.symbols, *command.entities)
        if client.topics() + len(names) * len(known) > LIMIT["ws_topics"]:
            self._wheel.close(client, "topic_limit", f"more than {LIMIT['ws_topics']} topics")
            return
        accepted: dict[str, Any] = {}
        unknown, ambiguous = [name for name in services if name not in SERVICE], {}
        follow: list[bytes] = []
        for service in known:
            keys, lost, double = self._keys(service, names)
            ambiguous.update(double)
            unknown += lost
            if names and not keys:
                continue
            stream = self._hub.subscribe(client, service, keys, command.rate, batch=command.batch)
            accepted[service] = list(stream.selection.keys) if stream.selection.keys is not None else "all"
            positions = protocol.read_cursor(command.cursor, service) if command.cursor else None
            resumed, replayed = self._hub.resume(stream, positions) if positions is not None else (False, 0)
            if command.cursor is not None and SERVICE[service].delivery == "all":
                reason = None if resumed else "the cursor is not of this service, or older than what is kept"
                follow.append(
                    text_frame(
                        protocol.system(
                            "resumed",
                            {"service": service, "resumed": resumed, "replayed": replayed, "reason": reason},
                            now_ms,
                        )
                    )
                )
            if not resumed and command.snapshot:
                follow += self._hub.current(stream, LIMIT["ws_topics"], now_ms)
        ignored = {"unknown": sorted(set(unknown)), "not_entitled": [], "ambiguous": ambiguous}
        if not accepted:
            self._say(
                client, protocol.error("nothing of that can be subscribed to", now_ms, command.id, ignored=ignored)
            )
            return
        confirmed = {
            "service": command.service or known[0],
            "subscriptions": sorted(client.streams),
            "accepted": accepted,
            "ignored": ignored,
            "rate": command.rate,
            "cursors": {
                service: protocol.cursor_of(service, self._hub.feeds[service].positions)
                for service in accepted
                if SERVICE[service].delivery == "all"
            },
        }
        extra: dict[str, Any] = {"id": command.id} if command.id is not None else {}
        answer = text_frame(protocol.system("subscription_confirmed", confirmed, now_ms, **extra))
        client.outlet.write(b"".join([answer, *follow]))
        client.sent_ms = now_ms
        self._wheel.changed()

    def _unsubscribe(self, client: Client, command: Command, echo: dict[str, Any]) -> None:
        now_ms = self._now_ms()
        names = (*command.symbols, *command.entities)
        gone = []
        for service in command.wanted():
            keys = self._keys(service, names)[0] if service in SERVICE and names else []
            if (keys or not names) and self._hub.unsubscribe(client, service, keys):
                gone.append(service)
        if not gone:
            self._say(client, protocol.error("expected a service that is subscribed to", now_ms, command.id))
            return
        data = {"service": command.service or gone[0], "subscriptions": sorted(client.streams)}
        self._say(client, protocol.system("unsubscription_confirmed", data, now_ms, **echo))

    def _keys(self, service: str, names: tuple[str, ...]) -> tuple[list[str], list[str], dict[str, list[str]]]:
        """Keys of a service that names mean, the names that mean nothing, and those that mean several assets."""
        feed = self._hub.feeds[service]
        keys, unknown, ambiguous = [], [], {}
        for name in names:
            if name in feed.entries:
                keys.append(name)
                continue
            try:
                key = f"asset:{name}"
                if key not in feed.entries:
                    key = f"asset:{self._view.assets.resolve(name.removeprefix('asset:'), self._view.reported)}"
            except Unknown:
                unknown.append(name)
            except Ambiguous as fault:
                ambiguous[name] = fault.candidates
            else:
                # A known asset without a record yet is served as soon as there is one.
                if service == "market_data" or key in feed.entries:
                    keys.append(key)
                else:
                    unknown.append(name)
        return keys, unknown, ambiguous

    def _say(self, client: Client, *messages: bytes) -> None:
        client.outlet.write(b"".join([text_frame(message) for message in messages]))
        client.sent_ms = self._now_ms()


async def refuse(problem: Problem, scope: Scope, send: Send) -> None:
    """Answer a handshake with problem+json where the server can, else with a bare refusal."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": CODE["unknown_path"], "reason": problem.detail[:120]})
        return
    body = problem.body(scope["path"], f"{random.getrandbits(64):016x}")
    headers = [(b"content-type", CONTENT_TYPE), (b"content-length", b"%d" % len(body))]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "websocket.http.response.start", "status": problem.kind.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
