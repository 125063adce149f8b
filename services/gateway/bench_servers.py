"""Servers that `parallax bench gateway` compares: ours, plain ASGI and FastAPI, on the same uvicorn and the same records.

Run as `python -m services.gateway.bench_servers KIND PORT`; no Kafka: records are put into the view by a timer.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import uvicorn
import uvloop
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from schemas.events import Fused, FusedMetric, Quality, Source
from services.gateway.app import Process, now_ms
from services.gateway.follow import settle
from services.gateway.settings import GatewaySettings

TOPICS = 500
"""Assets in the view; every one of them changes once a second."""
PROVIDERS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot")
NO_LIMIT = 1_000_000_000


def record(number: int, version: int, at_ms: int) -> Fused:
    """A market record as the aggregator writes it: six metrics of six sources."""

    def metric(value: float) -> FusedMetric:
        return FusedMetric(
            value=value, confidence=0.97, low=value * 0.999, high=value * 1.001, spread=0.002, sources=6, voices=4.5,
            method="robust/1", as_of_ms=at_ms,
            by=[Source(provider=name, value=value * (1 + i / 1e5), age_ms=100 * i, weight=1 / 6) for i, name in enumerate(PROVIDERS)],
        )  # fmt: skip

    price = 100.0 + number + (version % 1000) / 1000
    metrics = {
        "price": metric(price),
        "market_cap": metric(price * 1e6),
        "volume_24h": metric(price * 1e4),
        "change_24h_pct": metric(1.25),
        "high_24h": metric(price * 1.1),
        "low_24h": metric(price * 0.9),
    }
    return Fused(
        entity=f"asset:asset-{number}", category="market", version=(1 << 40) + version, as_of_ms=at_ms, origin="sandbox",
        metrics=metrics, quote="usd",
        quality=Quality(completeness=1.0, consistency=0.9, timeliness=1.0, diversity=0.8, confidence=0.95),
    )  # fmt: skip


def gateway() -> tuple[Any, Process]:
    """Our gateway without its follower."""
    process = Process(GatewaySettings(rate_per_minute=NO_LIMIT, ws_connections_per_client=100_000))
    process.follower._loading = ""
    apply = process.view.applies()["fused.market"]
    for number in range(TOPICS):
        apply(
            f"asset:asset-{number}", msgspec.json.encode(record(number, 0, now_ms())), number % 4, number // 4, now_ms()
        )
    settle()
    return process.app, process


async def tick(process: Process, changed: Callable[[int], None] | None = None) -> None:
    """Every topic changes once a second, 25 of them every 50 ms."""
    apply = process.view.applies()["fused.market"]
    version = 0
    slot = TOPICS // 20
    # Encoding is the aggregator's work: only the version and the times are written anew here.
    mark_ms = 1_500_000_000_000
    templates = [msgspec.json.encode(record(number, 0, mark_ms)) for number in range(TOPICS)]
    zero = b'"version":%d' % (1 << 40)
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    while True:
        version += 1
        for start in range(0, TOPICS, slot):
            for number in range(start, start + slot):
                value = templates[number].replace(zero, b'"version":%d' % ((1 << 40) + version))
                value = value.replace(b"%d" % mark_ms, b"%d" % now_ms())
                apply(f"asset:asset-{number}", value, number % 4, version * TOPICS + number, now_ms())
                if changed is not None:
                    changed(number)
            process.wheel.changed()
            due_s += 0.05
            await asyncio.sleep(max(0.0, due_s - loop.time()))


def rendered_page(process: Process) -> bytes:
    """The bytes of the page that every server answers."""
    feed = process.view.fused["market"]
    entry = feed.entries["asset:asset-7"]
    return feed.kind.page(entry, feed.value(entry), now_ms(), sources=False).identity  # type: ignore[attr-defined, no-any-return]


def plain_asgi(process: Process) -> Any:
    """The least that an ASGI server can do: the same bytes, no ETag, no quota, no routing."""
    body = rendered_page(process)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def fastapi_bytes(process: Process) -> Any:
    """A FastAPI route that returns ready bytes."""
    app = FastAPI()
    body = rendered_page(process)

    @app.get("/api/market/{asset}")
    async def route(asset: str, request: Request) -> Response:
        return Response(body, media_type="application/json")

    return app


def fastapi_model(process: Process) -> Any:
    """A FastAPI route as tutorials write it: a dict through a response model."""

    class Answer(BaseModel):
        data: dict[str, Any]
        meta: dict[str, Any]

    app = FastAPI()
    document = msgspec.json.decode(rendered_page(process))

    @app.get("/api/market/{asset}", response_model=Answer)
    async def route(asset: str) -> Any:
        return document

    return app


def asgi_sockets(process: Process) -> Any:
    """Fan-out as frameworks offer it: one `send_text` per record and client, from the same rendered records."""
    app = FastAPI()
    clients: dict[WebSocket, list[int]] = {}
    dirty: set[int] = set()
    feed = process.view.fused["market"]

    async def flush() -> None:
        while True:
            await asyncio.sleep(1.0)
            changed, now = set(dirty), now_ms()
            dirty.clear()
            texts = {n: feed.rendered(feed.entries[f"asset:asset-{n}"], now).json.decode() for n in changed}
            for socket, wanted in list(clients.items()):
                for number in wanted:
                    if number in changed:
                        await socket.send_text(texts[number])
                        process.hub.sent_records += 1
                        process.hub.sent_writes += 1

    @app.websocket("/ws/master")
    async def serve(socket: WebSocket) -> None:
        await socket.accept()
        command = msgspec.json.decode(await socket.receive_text())
        clients[socket] = [int(key.rsplit("-", 1)[1]) for key in command["entities"]]
        try:
            while True:
                await socket.receive_text()
        except WebSocketDisconnect:
            clients.pop(socket, None)

    @app.get("/api/status")
    async def status() -> Any:
        return {"data": {"gateway": process.sockets.stats() | {"ws_clients": len(clients)}}}

    app.state.background = (flush, dirty.add)
    return app


async def main(kind: str, port: int) -> None:
    """Serve until the process is ended."""
    ours, process = gateway()
    if kind == "gateway":
        process.settings = GatewaySettings(port=port)
        config = process.server().config
        config.port = port
        asyncio.get_running_loop().set_task_factory(None)
        tasks = [asyncio.create_task(process.wheel.run()), asyncio.create_task(tick(process))]
    else:
        app = {"asgi": plain_asgi, "fastapi": fastapi_bytes, "model": fastapi_model, "sockets": asgi_sockets}[kind](
            process
        )
        config = uvicorn.Config(
            app, port=port, http="httptools", ws="websockets-sansio", lifespan="off", log_level="warning",
            access_log=False, ws_per_message_deflate=False, backlog=4096,
        )  # fmt: skip
        tasks = []
        if kind == "sockets":
            flush, changed = app.state.background
            tasks = [asyncio.create_task(flush()), asyncio.create_task(tick(process, changed))]
    await asyncio.gather(uvicorn.Server(config).serve(), *tasks)
    del ours


if __name__ == "__main__":
    os.sched_setaffinity(0, {0})
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
