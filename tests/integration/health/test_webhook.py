"""Alerts reach a real HTTP receiver: signed, tried again, once per state, also across a restart."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import signal
from collections.abc import AsyncIterator

import pytest

from tests.fixtures.until import until
from tests.integration.health.conftest import NEEDED, Process, Topics

pytestmark = pytest.mark.topics(*NEEDED)

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Receiver:
    """Keeps every request; answers with the given statuses first, then with 200."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((headers, body))
        status = self.statuses.pop(0) if self.statuses else 200
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    def kinds(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.requests]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    server = await asyncio.start_server(one.handle, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    yield one
    server.close()
    await server.wait_closed()


async def test_each_state_is_told_once_signed_and_tried_again(
    process: Process, topics: Topics, receiver: Receiver
) -> None:
    variables = {"PARALLAX_WEBHOOK_URL": receiver.url, "PARALLAX_WEBHOOK_SECRET": SECRET}
    receiver.statuses = [503]
    await process.start(**variables)
    await topics.attempt("acme", "AUTH")
    await until(lambda: len(receiver.requests) == 2, "the message is tried again")
    (first, body), (second, again) = receiver.requests
    assert (first["webhook-id"], body) == (second["webhook-id"], again)
    for headers, text in receiver.requests:
        signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), text))
        expected = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == expected
    assert json.loads(body)["data"]["summary"] == "acme rejects our key"

    async def told() -> bool:
        return (await topics.alerts("key_rejected"))[-1].told == "firing"

    await until(told, "the alert says that it was told")
    process.end(signal.SIGKILL)
    await process.start(**variables)
    await topics.attempt("acme")
    await until(lambda: len(receiver.requests) == 3, "the end is told")
    assert receiver.kinds() == ["alert.firing", "alert.firing", "alert.resolved"]


async def test_a_receiver_that_refuses_is_not_asked_again(process: Process, topics: Topics, receiver: Receiver) -> None:
    receiver.statuses = [401]
    await process.start(PARALLAX_WEBHOOK_URL=receiver.url, PARALLAX_WEBHOOK_SECRET=SECRET)
    await topics.attempt("first", "AUTH")
    await until(lambda: len(receiver.requests) == 1, "the message is tried")
    await topics.attempt("second", "AUTH")
    await until(lambda: len(receiver.requests) == 2, "the next alert is told")
    assert [json.loads(body)["data"]["labels"]["provider"] for _, body in receiver.requests] == ["first", "second"]
