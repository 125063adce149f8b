"""One supervised socket: connect, subscribe, listen, and connect again; a bad message never ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from schemas.events import Attempt, Origin, Raw
from services.collector.backoff import SOCKETS
from services.collector.decode import DecodeError, decode_message
from services.collector.drift.compare import worded
from services.collector.guards import StreamGuard
from services.collector.map.compile import stamp
from services.collector.map.identity import Identity
from services.collector.map.mapped import BookChange, Mapped
from services.collector.map.messages import Bindings, Heard, compile_stream
from services.collector.publish import Publisher
from services.collector.registry.model import Provider
from services.collector.send import USER_AGENT
from services.collector.stream import dialects
from services.collector.stream.book import Verdict
from services.collector.stream.dialects import Socket
from services.collector.stream.ends import Ended, why
from services.collector.stream.tally import Tally
from services.collector.stream.tops import Resync, Tops
from services.common.metrics import Metrics

log = logging.getLogger(__name__)

FRAME_BYTES: Final = 8 * 1024 * 1024
"""Largest message, unpacked; a full book of the largest pair is 1 MB."""
OPEN_S: Final = 10.0
CLOSE_S: Final = 2.0
REPORT_S: Final = 30.0
"""How often an open socket says on `ops.fetches` what it received."""
SNAPSHOT_PAUSE_S: Final = 1.0
"""Shortest time between two snapshots of one book: each costs a good part of a venue's budget."""
STALE_SILENCES: Final = 2
"""Event time may stand still for so many times `silence_s` while messages come; then the feed is frozen and is opened anew."""
RENEW_SHARE: Final = 0.9
"""A connection is renewed at this share of the age at which the server would close it."""
HEALTHY_S: Final = 60.0
"""A connection that lived so long was good: the next back-off starts small."""


class Snapshots(Protocol):
    """Asks a REST endpoint for the start of a book."""

    async def __call__(
        self, provider: str, endpoint: str, param: str, entity: str, take: Callable[[list[BookChange], int], None]
    ) -> None:
        """`take` gets the book changes of the answer and when they were received."""


class Channel:
    """Supervises one connection of a stream."""

    def __init__(
        self,
        provider: Provider,
        socket: Socket,
        identity: Identity,
        registry: str,
        publisher: Publisher,
        metrics: Metrics,
        address: Callable[[], Awaitable[str]],
        snapshots: Snapshots,
        symbols: Mapping[str, list[tuple[str, str]]],
        guard: StreamGuard,
        tls: ssl.SSLContext | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`symbols`: entity -> the subscriptions (channel, value) that its book may come from."""
        self._provider = provider
        self._socket = socket
        self._stream = provider.streams[socket.stream]
        self._mapper = compile_stream(provider, socket.stream, identity, registry)
        self._tops = Tops(self._stream, stamp(provider, socket.stream, registry))
        self._publisher = publisher
        self._metrics = metrics
        self._address = address
        self._snapshots = snapshots
        self._symbols = symbols
        self._guard = guard
        self._tls = tls
        self._draw = draw
        self._origin: Origin = publisher.origin
        self._bindings: Bindings = {}
        self._tally = Tally()
        self._acks = 0
        self._outgoing: list[str] = []
        self._singly = False
        """True once a subscription was refused: then each value is asked for by itself."""
        self._resyncs: dict[str, asyncio.Task[None]] = {}
        self._messages = metrics.child("socket_messages_total", provider=provider.id)

    async def run(self) -> None:
        """Keep the socket open until cancelled."""
        failures = 0
        while True:
            opened_s, started_ms = time.monotonic(), _now_ms()
            reason, outcome, detail = await self._once()
            failures = 1 if time.monotonic() - opened_s >= HEALTHY_S else failures + 1
            self._metrics.inc("socket_reconnects_total", provider=self._provider.id, reason=reason)
            self._report(outcome, started_ms, f"{reason}: {detail}" if detail else reason)
            log.info(
                "socket ended",
                extra={"socket": self._socket.key, "reason": reason, "detail": detail, "failures": failures},
            )
            if reason != "renewed":
                await asyncio.sleep(SOCKETS.wait_s(failures, self._draw()))

    async def _once(self) -> tuple[str, str, str]:
        """One connection from opening to its end: reason, outcome class, detail."""
        self._tops.reset()
        self._bindings = {}
        now_s = time.monotonic()
        self._tally, self._acks = Tally(heard_s=now_s, advanced_s=now_s), 0
        self._outgoing = []
        beat = self._stream.heartbeat
        ping_s = beat.every_s if beat.kind == "ws_ping" else None
        try:
            url = await self._address()
            async with connect(
                url,
                ssl=self._tls if url.startswith("wss") else None,
                user_agent_header=USER_AGENT,
                open_timeout=OPEN_S,
                close_timeout=CLOSE_S,
                ping_interval=ping_s,
                ping_timeout=ping_s,
                max_size=FRAME_BYTES,
            ) as ws:
                await self._serve(ws)
        except BaseExceptionGroup as group:
            expected, bugs = group.split((Ended, WebSocketException, OSError))
            if bugs is not None:
                raise bugs from None
            assert expected is not None
            return why(expected)
        except (Ended, WebSocketException, OSError) as error:
            return why(error)
        finally:
            await self._drop_resyncs()
        raise AssertionError("a socket ends by an exception")

    async def _serve(self, ws: ClientConnection) -> None:
        self._metrics.inc("sockets_open", 1, provider=self._provider.id)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._subscribe(ws), name="subscribe")
                group.create_task(self._beat(ws), name="heartbeat")
                group.create_task(self._watch(), name="watch")
                group.create_task(self._listen(ws), name="listen")
        finally:
            self._metrics.inc("sockets_open", -1, provider=self._provider.id)

    async def _subscribe(self, ws: ClientConnection) -> None:
        texts = dialects.subscribe(self._stream, self._socket, _now_ms(), self._singly)
        for text in texts:
            await ws.send(text)
        ack = self._stream.ack
        if not texts or ack is None or not ack.when:
            return
        await asyncio.sleep(ack.timeout_s)
        if not self._acks:
            raise Ended("no_ack", "TIMEOUT", f"no subscription was confirmed within {ack.timeout_s:g} s")

    async def _beat(self, ws: ClientConnection) -> None:
        if self._stream.heartbeat.kind != "message":
            return
        number = 0
        while True:
            await asyncio.sleep(self._stream.heartbeat.every_s)
            number += 1
            text = dialects.heartbeat(self._stream, _now_ms(), number)
            if text is not None:
                await ws.send(text)

    async def _watch(self) -> None:
        """Ends the connection when it is too old, silent, or its data stands still, and reports what it received."""
        opened_s = reported_s = time.monotonic()
        age_s = self._stream.max_age_s
        step_s = min(1.0, self._stream.silence_s / 4)
        while True:
            await asyncio.sleep(step_s)
            now_s = time.monotonic()
            if age_s is not None and now_s - opened_s > age_s * RENEW_SHARE:
                raise Ended("renewed")
            silent_s = now_s - self._tally.heard_s
            if silent_s > self._stream.silence_s:
                raise Ended("silent", "TIMEOUT", f"no message for {silent_s:.0f} s")
            stood_s = now_s - self._tally.advanced_s
            if self._tally.standing and stood_s > STALE_SILENCES * self._stream.silence_s:
                raise Ended("stale", "STALE", f"the event time has not moved for {stood_s:.0f} s")
            if now_s - reported_s >= REPORT_S:
                reported_s = now_s
                self._report("OK" if self._tally.messages else "EMPTY", _now_ms() - round(REPORT_S * 1000), None)

    async def _listen(self, ws: ClientConnection) -> None:
        async for frame in ws:
            received_ms = _now_ms()
            self._messages.inc()  # type: ignore[union-attr]
            self._tally.messages += 1
            self._tally.bytes += len(frame)
            self._tally.heard_s = time.monotonic()
            await self._publisher.room()
            answers = self._take(frame, received_ms)
            for text in answers:
                await ws.send(text)
        raise Ended("closed", "NETWORK", "the server closed the connection")

    def _take(self, frame: bytes | str, received_ms: int) -> list[str]:
        """Read one message and publish what it says; the texts to send in answer."""
        try:
            payload = decode_message(frame, self._stream.frames)
            heard = self._mapper.read(payload, received_ms, self._origin, self._bindings)
        except DecodeError as error:
            self._bury(frame, received_ms, error.outcome, str(error))
            return []
        except Exception as error:  # a definition or mapping that fails on one message must not silence the venue
            log.exception("message could not be mapped", extra={"socket": self._socket.key})
            self._bury(frame, received_ms, "MAPPING_FAILED", f"{type(error).__name__}: {error}")
            return []
        self._hear(heard, frame, received_ms)
        answers, self._outgoing = self._outgoing, []
        return answers

    def _hear(self, heard: Heard, frame: bytes | str, received_ms: int) -> None:
        match heard.kind:
            case "ping":
                self._outgoing.append(dialects.pong(self._stream, heard.reply, received_ms))
            case "data":
                self._confirmed(received_ms)
                assert heard.mapped is not None
                self._publish(heard.message or "", heard.mapped, frame, received_ms)
            case "ack" | "bound":
                self._confirmed(received_ms)
            case "refused" | "error":
                self._report("UNSUPPORTED", received_ms, f"{heard.kind}: {heard.detail or heard.message or ''}")
                self._bury(frame, received_ms, heard.kind.upper(), heard.detail)
                if heard.kind == "refused" and not self._singly:
                    self._singly = True
                    raise Ended("refused", "UNSUPPORTED", heard.detail or "")
            case "unknown":
                self._bury(frame, received_ms, "UNKNOWN_MESSAGE", None)

    def _confirmed(self, received_ms: int) -> None:
        self._acks += 1
        if self._acks == 1:
            self._report("OK", received_ms, "subscribed")

    def _publish(self, message: str, mapped: Mapped, frame: bytes | str, received_ms: int) -> None:
        events = mapped.events
        if mapped.books:
            tops, broken = self._tops.apply(mapped.books, received_ms, self._origin)
            events = events + tops
            for resync in broken:
                self._resync(resync)
        if mapped.faults or mapped.drift:
            fault = mapped.faults[0] if mapped.faults else None
            detail = fault.words if fault else mapped.drift[0]
            self._tally.faults += len(mapped.faults)
            self._metrics.inc("rows_failed_total", len(mapped.faults), provider=self._provider.id)
            self._bury(frame, received_ms, "ROWS" if fault else "SCHEMA_DRIFT", detail)
            for one in mapped.faults:
                if one.field == "book" and one.entity is not None:
                    self._resync(self._tops.spoil(one.entity))
        if mapped.unknown:
            self._metrics.inc("rows_unknown_total", sum(mapped.unknown.values()), provider=self._provider.id)
        if mapped.newest_event_ms is not None:
            self._advance(mapped.newest_event_ms)
        events = self._allowed(message, mapped, events, frame, received_ms)
        if events:
            self._publisher.events(events, "stream")
            self._tally.events += len(events)

    def _allowed(
        self, message: str, mapped: Mapped, events: list[Raw], frame: bytes | str, received_ms: int
    ) -> list[Raw]:
        """The events without what has drifted; frames of which something is held back go to the dead letters."""
        verdict = self._guard.judge(message, mapped, events)
        if verdict is None:
            return events
        if verdict.held:
            self._tally.held += verdict.held
            self._metrics.inc("held_values_total", verdict.held, provider=self._provider.id)
            self._bury(frame, received_ms, "SCHEMA_DRIFT", verdict.words or "looks like a change of unit")
        if verdict.changed:
            self._report("OK", received_ms, None)
        return verdict.events

    def _advance(self, event_ms: int) -> None:
        tally = self._tally
        if tally.newest_event_ms is None or event_ms > tally.newest_event_ms:
            tally.newest_event_ms, tally.advanced_s, tally.standing = event_ms, time.monotonic(), 0
        else:
            tally.standing += 1

    def _resync(self, resync: Resync) -> None:
        """Ask for a new start of a book, by REST, by subscribing anew, or in the end by a new connection."""
        self._metrics.inc("book_resyncs_total", provider=self._provider.id, reason=str(resync.why))
        if resync.entity in self._resyncs:
            return
        if self._tops.snapshot is None:
            if resync.why != Verdict.WAITING:  # a new book waits for the snapshot that the socket sends by itself
                self._resubscribe(resync)
            return
        task = asyncio.create_task(self._fetch_snapshot(resync.entity), name=f"snapshot {resync.entity}")
        self._resyncs[resync.entity] = task
        task.add_done_callback(lambda _: self._resyncs.pop(resync.entity, None))

    def _resubscribe(self, resync: Resync) -> None:
        texts = [
            text
            for channel, value in self._symbols.get(resync.entity, [])
            for text in dialects.resubscribe(
                self._stream, channel, {next(iter(self._socket.channels[channel])): value}, _now_ms()
            )
        ]
        if not texts:
            raise Ended("resync", "STALE", f"book of {resync.entity}: {resync.why}")
        self._outgoing += texts

    async def _fetch_snapshot(self, entity: str) -> None:
        source = self._tops.snapshot
        assert source is not None

        def take(changes: list[BookChange], received_ms: int) -> None:
            events, _ = self._tops.apply(changes, received_ms, self._origin)
            self._publisher.events(events, "stream")

        failures = 0
        while True:
            await self._snapshots(self._provider.id, source.endpoint, source.param, entity, take)
            if not self._tops.needs_snapshot(entity):
                return
            failures += 1
            await asyncio.sleep(SOCKETS.wait_s(failures, self._draw(), SNAPSHOT_PAUSE_S))

    async def _drop_resyncs(self) -> None:
        tasks = list(self._resyncs.values())
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    def _bury(self, frame: bytes | str, received_ms: int, reason: str, detail: str | None) -> None:
        value = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
        self._publisher.dead(reason, self._provider.id, self._socket.stream, value, received_ms, detail)

    def _report(self, outcome: str, started_ms: int, detail: str | None) -> None:
        now_ms = _now_ms()
        tally = self._tally
        newest = tally.newest_event_ms
        drift = self._guard.differences
        if drift and outcome in ("OK", "EMPTY"):
            outcome, detail = "SCHEMA_DRIFT", worded(drift)
        self._metrics.set("drifted", len(drift), provider=self._provider.id, endpoint=self._socket.stream)
        self._publisher.attempt(
            Attempt(
                provider=self._provider.id,
                endpoint=self._socket.stream,
                category=self._provider.home,
                outcome=outcome,
                origin=self._origin,
                started_ms=started_ms,
                finished_ms=now_ms,
                bytes=tally.bytes,
                events=tally.events,
                rows_failed=tally.faults,
                held=tally.held or None,
                data_age_ms=None if newest is None else now_ms - newest,
                detail=detail,
            )
        )
        self._metrics.inc("attempts_total", provider=self._provider.id, outcome=outcome)
        tally.messages = tally.events = tally.faults = tally.held = tally.bytes = 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
