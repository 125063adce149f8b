"""Prometheus metrics as rows, and the small HTTP server for /metrics, /livez and /readyz."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

Kind = Literal["counter", "gauge", "histogram"]
COUNTER: Kind = "counter"
GAUGE: Kind = "gauge"
HISTOGRAM: Kind = "histogram"

NAMESPACE = "parallax"
READ_S = 5.0
"""A probe that does not send its request line in this time is dropped."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

log = logging.getLogger(__name__)


class Metric(msgspec.Struct, frozen=True):
    """One metric: name without the `parallax_` prefix, kind, labels, its sentence, and buckets of a histogram."""

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    help: str = ""
    buckets: tuple[float, ...] = ()


class Metrics:
    """The metrics of one process, in a registry of its own; an unknown name or label is a KeyError or ValueError."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._made: dict[str, Counter | Gauge | Histogram] = {}

    @classmethod
    def build(cls, rows: tuple[Metric, ...]) -> Metrics:
        """Metrics of these rows, plus memory, CPU and open files of the process."""
        built = cls(CollectorRegistry())
        ProcessCollector(registry=built.registry)
        for row in rows:
            built._made[row.name] = _make(row, built.registry)
        return built

    def child(self, name: str, **labels: str) -> Counter | Gauge | Histogram:
        """The metric with its labels bound, for hot paths: bind once, then call inc, set or observe."""
        return self._made[name].labels(**labels) if labels else self._made[name]

    def inc(self, name: str, n: float = 1, **labels: str) -> None:
        """Count `n` more."""
        self.child(name, **labels).inc(n)  # type: ignore[union-attr]

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self.child(name, **labels).set(value)  # type: ignore[union-attr]

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
        self.child(name, **labels).observe(value)  # type: ignore[union-attr]

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)


class OpsServer:
    """Where the operations server listens."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """http://host:port"""
        return f"http://{self.host}:{self.port}"


def always() -> bool:
    """A live probe for processes that are alive as long as they answer."""
    return True


@asynccontextmanager
async def serve(
    metrics: Metrics,
    port: int,
    ready: Callable[[], bool | str],
    live: Callable[[], bool | str] = always,
    host: str = "127.0.0.1",
) -> AsyncIterator[OpsServer]:
    """Serve /metrics, /livez and /readyz while open; a probe answers True, or False or the reason as text (503)."""

    def answer(path: str) -> tuple[int, str, bytes]:
        if path == "/metrics":
            return 200, CONTENT_TYPE, metrics.render()
        if path in ("/livez", "/readyz"):
            state = live() if path == "/livez" else ready()
            if state is True:
                return 200, "text/plain", b"ok\n"
            return 503, "text/plain", f"{state or 'not yet'}\n".encode()
        return 404, "text/plain", b"try /metrics, /livez or /readyz\n"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_S):
                head = await reader.readuntil(b"\r\n\r\n")
                words = head.split(b"\r\n", 1)[0].split(b" ")
                path = words[1].decode("latin-1").split("?")[0] if len(words) > 1 else ""
                status, kind, body = answer(path)
                phrase = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}[status]
                lines = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                writer.write(lines.encode() + body)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, host, port)
    where = OpsServer(host, server.sockets[0].getsockname()[1])
    log.info("operations on %s", where.url)
    try:
        yield where
    finally:
        server.close()
        await server.wait_closed()


def _make(row: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    if row.kind == "counter":
        return Counter(row.name, row.help, row.labels, namespace=NAMESPACE, registry=registry)
    if row.kind == "gauge":
        return Gauge(row.name, row.help, row.labels, namespace=NAMESPACE, registry=registry)
    buckets = row.buckets or Histogram.DEFAULT_BUCKETS
    return Histogram(row.name, row.help, row.labels, namespace=NAMESPACE, registry=registry, buckets=buckets)
