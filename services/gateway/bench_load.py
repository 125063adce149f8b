"""Load for `parallax bench gateway`: WebSocket clients that only count, and an HTTP client where wrk is absent.

Run as `python -m services.gateway.bench_load ws PORT CLIENTS TOPICS_EACH TOPICS` or `... http PORT PATH SECONDS CONNECTIONS`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
import time
from typing import Any

import uvloop

MASK = b"\x00\x00\x00\x00"
"""A mask of zeros: valid, and the payload stays as it is."""


def masked_frame(payload: bytes) -> bytes:
    """A client's text frame."""
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else bytes((0x81, 0x80 | 126)) + size.to_bytes(2, "big")
    return head + MASK + payload


class Counter(asyncio.Protocol):
    """One WebSocket client: handshake, one subscribe command, then it counts bytes."""

    def __init__(self, command: bytes, total: list[int]) -> None:
        self._command = command
        self._total = total
        self._open = False

    def connection_made(self, transport: Any) -> None:
        """Ask for the upgrade."""
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self._transport = transport
        transport.write(
            b"GET /ws/master HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        """Count; the first data are the handshake's answer."""
        if not self._open:
            self._open = True
            self._transport.write(masked_frame(self._command))
        self._total[0] += len(data)


async def sockets(port: int, clients: int, each: int, topics: int) -> None:
    """Connect all clients, say so on stdout, and count until standard input closes."""
    rng = random.Random(7)
    loop = asyncio.get_running_loop()
    total = [0]
    for _ in range(clients):
        entities = [f"asset:asset-{number}" for number in sorted(rng.sample(range(topics), each))]
        command = {
            "action": "subscribe",
            "service": "market_data",
            "entities": entities,
            "rate": "1s",
            "snapshot": False,
        }
        payload = json.dumps(command).encode()
        await loop.create_connection(lambda payload=payload: Counter(payload, total), "127.0.0.1", port)  # type: ignore[misc]
    print("connected", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(total[0], flush=True)


class Asker(asyncio.Protocol):
    """One HTTP connection that asks again as soon as it was answered."""

    def __init__(self, request: bytes, done: list[int]) -> None:
        self._request = request
        self._done = done

    def connection_made(self, transport: Any) -> None:
        """First request."""
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Answers are far shorter than a read buffer: one read, one answer."""
        self._done[0] += 1
        self._transport.write(self._request)


async def requests(port: int, path: str, seconds: float, connections: int) -> None:
    """Ask for so long, and print the number of answers."""
    loop = asyncio.get_running_loop()
    done = [0]
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    for _ in range(connections):
        await loop.create_connection(lambda: Asker(request, done), "127.0.0.1", port)
    began_s = time.monotonic()
    await asyncio.sleep(seconds)
    print(json.dumps({"requests": done[0], "seconds": time.monotonic() - began_s}), flush=True)


if __name__ == "__main__":
    os.sched_setaffinity(0, {(os.cpu_count() or 1) - 1})
    if sys.argv[1] == "ws":
        uvloop.run(sockets(*map(int, sys.argv[2:6])))
    else:
        uvloop.run(requests(int(sys.argv[2]), sys.argv[3], float(sys.argv[4]), int(sys.argv[5])))
