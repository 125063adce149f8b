"""The flush wheel: the only timer of the WebSocket side. No coroutine of a client can hold it up.

Twenty slots of 50 ms: a client's number picks its slot, so that writes spread over the period of its rate. Streams of
rate `live` are served as records come, with pauses in proportion to what serving them took.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from services.common.metrics import Metrics
from services.gateway.codes import CODE
from services.gateway.limits import LIMIT
from services.gateway.ws import protocol
from services.gateway.ws.hub import Client, Hub, Shared
from services.gateway.ws.protocol import RATES_MS

SLOT_MS = 50
SLOTS_PER_S = 20
CLIENTS_BETWEEN_YIELDS = 50
"""Clients served before the loop gets its turn: p99 of a REST call beside 5,000 clients was 39 ms so, 79 ms with 500."""
LIVE_REST = 3.0
"""Pause after serving the live streams, in units of the time that it took: they take at most a quarter of the loop."""

log = logging.getLogger(__name__)


class Wheel:
    """Serves the hub's clients and ends those that are too slow or too old."""

    def __init__(self, hub: Hub, metrics: Metrics, now_ms: Callable[[], int], fastest_ms: int) -> None:
        self._hub = hub
        self._metrics = metrics
        self._now_ms = now_ms
        self._fastest_s = fastest_ms / 1000
        self._changed = asyncio.Event()
        self._left_out = False
        self._told = (0, 0, 0, 0)
        self.turn = 0

    def changed(self) -> None:
        """The view took records: wake the live streams."""
        self._changed.set()

    async def run(self) -> None:
        """Turn until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_slots(), name="flush wheel")
            group.create_task(self._run_live(), name="flush live")

    async def _run_slots(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s += SLOT_MS / 1000
            late_s = loop.time() - due_s
            if late_s > 1.0:
                due_s += late_s
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            self.turn += 1
            await self._turn()

    async def _run_live(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            began_s = time.perf_counter()
            await self._serve(list(self._hub.buckets["live"][0].values()), "live")
            took_s = time.perf_counter() - began_s
            await asyncio.sleep(max(self._fastest_s, LIVE_REST * took_s))

    async def _turn(self) -> None:
        if self._left_out:
            # A live client that did not read is tried again even when nothing changes any more.
            self._left_out = False
            self._changed.set()
        began_s = time.perf_counter()
        served = 0
        for rate in ("250ms", "1s", "5s", "30s"):
            slots = self._hub.buckets[rate]
            bucket = slots[self.turn % len(slots)]
            if bucket:
                served += len(bucket)
                await self._serve(list(bucket.values()), rate)
        slot = self.turn % SLOTS_PER_S
        now_ms = self._now_ms()
        for client in [c for c in self._hub.clients.values() if c.number % SLOTS_PER_S == slot]:
            self._look_after(client, now_ms)
        if slot == 0:
            for service, tick in self._hub.oldest().items():
                self._hub.feeds[service].forget(tick)
            self._measure()
        if served:
            self._metrics.observe("gateway_ws_flush_seconds", time.perf_counter() - began_s)

    async def _serve(self, clients: list[Client], rate: str) -> None:
        now_ms = self._now_ms()
        shared: Shared = {}
        for at, client in enumerate(clients):
            if at % CLIENTS_BETWEEN_YIELDS == CLIENTS_BETWEEN_YIELDS - 1:
                await asyncio.sleep(0)
                now_ms = self._now_ms()
            try:
                self._serve_one(client, rate, now_ms, shared)
            except Exception:
                # One client's transport may fail in ways of its own; the others are served all the same.
                log.exception("client %d could not be served", client.number)
                self._hub.disconnect(client)
                with contextlib.suppress(Exception):
                    self.close(client, "fault", "the server could not write")

    def _serve_one(self, client: Client, rate: str, now_ms: int, shared: Shared) -> None:
        streams = [s for s in client.streams.values() if s.rate == rate and s.last < s.selection.feed.tick]
        if not streams or client.closing or not self._its_turn(client, rate):
            return
        if not client.outlet.ok():
            client.skipped += 1
            self._left_out = True
            self._hub.skipped += 1
            if client.blocked_ms is None:
                client.blocked_ms = now_ms
            return
        parts: list[bytes] = []
        records = 0
        for stream in streams:
            joined = self._hub.due(stream, now_ms, shared)
            if joined is None:
                self.close(
                    client, "slow", protocol.cursor_of(stream.selection.service, stream.selection.feed.positions)
                )
                return
            frames, count, stream.last = joined
            if count:
                parts.append(frames)
                records += count
        if not parts:
            return
        if client.skipped:
            notice = protocol.flat("slow_consumer", now_ms, skipped=client.skipped, since=client.blocked_ms)
            parts.append(protocol.text_frame(notice))
            client.skipped, client.blocked_ms = 0, None
        payload = parts[0] if len(parts) == 1 else b"".join(parts)
        client.outlet.write(payload)
        client.sent_ms = now_ms
        self._hub.sent_records += records
        self._hub.sent_writes += 1
        self._hub.sent_bytes += len(payload)

    def _its_turn(self, client: Client, rate: str) -> bool:
        """Whether a rate of several seconds has come round for this client."""
        seconds = RATES_MS[rate] // 1000
        return seconds < 2 or (self.turn // SLOTS_PER_S + client.number) % seconds == 0

    def _look_after(self, client: Client, now_ms: int) -> None:
        """Once a second: end what is too slow or too old, and say something into a silence."""
        if client.closing:
            return
        if client.outlet.ok():
            if not client.skipped:
                client.blocked_ms = None
        elif client.blocked_ms is None:
            client.blocked_ms = now_ms
        if client.blocked_ms is not None and now_ms - client.blocked_ms >= LIMIT["ws_slow_s"] * 1000:
            self.close(client, "slow", "not reading")
        elif now_ms >= client.expires_ms:
            self.close(client, "lifetime", "reconnect")
        elif client.blocked_ms is None and now_ms - client.sent_ms >= LIMIT["ws_heartbeat_s"] * 1000:
            seq = {name: stream.selection.feed.tick for name, stream in client.streams.items()}
            client.outlet.write(protocol.text_frame(protocol.flat("ping", now_ms, seq=max(seq.values(), default=0))))
            client.sent_ms = now_ms

    def close(self, client: Client, code: str, reason: str) -> None:
        """End a connection by a code of codes.py; the reason is cut to what a close frame holds."""
        if client.closing:
            return
        client.closing = True
        self._metrics.inc("gateway_ws_closed_total", code=str(CODE[code]))
        client.outlet.close(CODE[code], reason[:120])

    def _measure(self) -> None:
        hub, metrics = self._hub, self._metrics
        metrics.set("gateway_ws_clients", len(hub.clients))
        metrics.inc("gateway_ws_sent_records_total", hub.sent_records - self._told[0])
        metrics.inc("gateway_ws_writes_total", hub.sent_writes - self._told[1])
        metrics.inc("gateway_ws_sent_bytes_total", hub.sent_bytes - self._told[2])
        metrics.inc("gateway_ws_skipped_total", hub.skipped - self._told[3])
        self._told = (hub.sent_records, hub.sent_writes, hub.sent_bytes, hub.skipped)
