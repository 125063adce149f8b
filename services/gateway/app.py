"""One gateway process: the view, its follower, REST, WebSocket and the status page on one port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI

from schemas import assets, categories, metrics
from services.common import logging as logs
from services.common.arguments import parser
from services.common.errors import MachineError
from services.common.lifecycle import EXIT_DONE, EXIT_FAILED, Deadline, Stop, run
from services.common.metrics import Metrics
from services.common.metrics import serve as serve_operations
from services.common.settings import read
from services.gateway import metrics as rows
from services.gateway.api.context import Gateway
from services.gateway.api.site import build
from services.gateway.follow import Follower, follow
from services.gateway.hot import Hot, Pages
from services.gateway.limits import LIMIT, Quota
from services.gateway.settings import GatewaySettings
from services.gateway.view.fused import MetricSpec
from services.gateway.view.index import Asset, Index
from services.gateway.view.status import status
from services.gateway.view.view import View
from services.gateway.ws.connection import Sockets
from services.gateway.ws.flush import Wheel
from services.gateway.ws.frames import ExplainingHttp, FramesProtocol
from services.gateway.ws.hub import Hub
from services.gateway.ws.services import feeds

AMOUNT_UNITS = frozenset({"quote", "quote_per_base", "base", "native", "native_per_year"})
"""Units of money and quantities: decimal strings on the API."""
BACKLOG = 4_096
KEEP_ALIVE_S = 75
"""Longer than the idle time of common proxies, so that they close first."""
PING_S = 20.0
KEYS_EVERY_S = 5.0

log = logging.getLogger(__name__)


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def empty_view() -> View:
    """A view of this release's categories, metrics and assets, with nothing in it."""
    specs = {
        spec.name: MetricSpec(
            unit=spec.unit,
            shown_as="amount" if spec.unit in AMOUNT_UNITS else "instant" if spec.unit == "unix_ms" else "number",
            freshness_ms=spec.freshness_ms,
        )
        for spec in metrics.load().values()
    }
    index = Index(Asset(asset.id, asset.symbol, asset.name, asset.kind) for asset in assets.load().values())
    return View(tuple(categories.load()), specs, index)


class Server(uvicorn.Server):
    """uvicorn's server; signals belong to the process, which tells the clients before the server closes."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


class Process:
    """The parts of one gateway, put together."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.metrics = Metrics.build(rows.ROWS)
        self.view = empty_view()
        self.hub = Hub(feeds(self.view))
        self.wheel = Wheel(self.hub, self.metrics, now_ms, settings.ws_fastest_ms)
        self.follower = Follower(settings, self.view.applies(), self.metrics, self.wheel.changed, now_ms)
        self.sockets = Sockets(
            self.view,
            self.hub,
            self.wheel,
            now_ms,
            self.follower.loading,
            lambda: status(self.view, now_ms()),
            per_client=settings.ws_connections_per_client,
            origins=settings.web_origins,
        )
        self.gateway = Gateway(
            view=self.view,
            pages=Pages(),
            quota=Quota(settings.rate_per_minute),
            sockets=self.sockets,
            now_ms=now_ms,
            loading=self.follower.loading,
            behind=self.follower.behind,
            started_ms=now_ms(),
            metrics_text=self.metrics.render,
        )
        self.site: FastAPI = build(self.gateway)
        self._counts: dict[tuple[int, bool], Any] = {}
        self.app = Hot(
            self.site,
            self.sockets,
            self.gateway.pages,
            self.gateway.quota,
            now_ms,
            self.follower.loading,
            self._answered,
        )

    def server(self) -> Server:
        """uvicorn as this gateway needs it: its own protocols, no access log, no compression of sockets."""
        config = uvicorn.Config(
            self.app,
            http=ExplainingHttp,
            ws=FramesProtocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            ws_max_size=LIMIT["ws_message_bytes"],
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            ws_per_message_deflate=False,
            proxy_headers=bool(self.settings.trusted_proxies),
            forwarded_allow_ips=self.settings.trusted_proxies or None,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        return Server(config)

    async def run(self, stop: Stop, listener: socket.socket) -> int:
        """Serve until `stop` is set or a part fails."""
        server = self.server()
        async with (
            serve_operations(
                self.metrics,
                self.settings.ops_port,
                lambda: self.follower.loading() or self.follower.behind() or True,
                host=self.settings.ops_host,
            ),
            follow(self.follower) as following,
        ):
            wheel = asyncio.create_task(self.wheel.run(), name="wheel")
            serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
            counting = asyncio.create_task(self._count_keys(), name="count keys")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            parts: set[asyncio.Task[Any]] = {following, wheel, serving, stopping, counting}
            host, port = listener.getsockname()[:2]
            log.info("gateway on http://%s:%d", host, port)
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            failed = [task for task in done if task is not stopping]
            await self._stop(server, serving)
            for task in (wheel, counting, stopping):
                task.cancel()
            await asyncio.gather(wheel, counting, stopping, return_exceptions=True)
            for task in failed:
                log.error("%s ended: stopping", task.get_name(), exc_info=task.exception())
            return EXIT_FAILED if failed else EXIT_DONE

    async def _stop(self, server: Server, serving: asyncio.Task[None]) -> None:
        deadline = Deadline.after_s(self.settings.stop_s)
        self.sockets.shut_down()
        server.should_exit = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline.left_s()):
                await asyncio.shield(serving)
        if not serving.done():
            server.force_exit = True
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _count_keys(self) -> None:
        while True:
            for category, feed in self.view.fused.items():
                self.metrics.set("gateway_keys", len(feed), category=category)
            await asyncio.sleep(KEYS_EVERY_S)

    def _answered(self, status_code: int, hot: bool) -> None:
        child: Any = self._counts.get((status_code, hot))
        if child is None:
            path = "hot" if hot else "routed"
            child = self._counts[status_code, hot] = self.metrics.child(
                "gateway_requests_total", status=str(status_code), path=path
            )
        child.inc()


def listen(settings: GatewaySettings) -> socket.socket:
    """The bound socket of the public port; MachineError when it is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((settings.host, settings.port))
        listener.set_inheritable(True)
    except OSError as fault:
        listener.close()
        raise MachineError(
            f"PARALLAX_HOST:PARALLAX_PORT {settings.host}:{settings.port}",
            expected="a free port",
            got=fault.strerror or str(fault),
            do="stop what listens there, or set PARALLAX_PORT",
        ) from fault
    return listener


def main(argv: list[str]) -> int:
    """Run one gateway until SIGTERM."""
    parser("gateway", "Fused records to REST, WebSocket, SSE and web.", GatewaySettings).parse_args(argv)
    settings = read(GatewaySettings)
    logs.configure(settings, "gateway")

    async def serve(stop: Stop) -> int:
        return await Process(settings).run(stop, listen(settings))

    return run(serve)
