"""Frames as an ASGI extension: a record is framed once per version, and one transport write sends all that are due to a client.

ASGI's `send` costs 14 us per message in uvicorn; joined frames cost about 1 us per record. The extension is published
in the scope under EXTENSION by a subclass of uvicorn's sans-IO WebSocket protocol; where it is absent (another server),
the connection sends the same texts through ASGI.
"""

from __future__ import annotations

import logging
import socket
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.http11 import Request, Response

from services.gateway.codes import CODE
from services.gateway.problems import Problem

EXTENSION = "parallax.frames"
NOTSENT_LOWAT_BYTES = 16 * 1024
"""Unsent bytes that the kernel takes: with its default of megabytes, a slow client would read data minutes old."""
WRITE_BUFFER_BYTES = 64 * 1024
"""Unsent bytes in the process from which a client counts as not reading."""
TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)

log = logging.getLogger(__name__)


class Wire:
    """What the application may do to a socket without awaiting it."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: FramesProtocol) -> None:
        self._protocol = protocol

    def ok(self) -> bool:
        """Whether the client reads: open, and the transport's buffer is not full."""
        return self._protocol.open() and self._protocol.writable.is_set()

    def write(self, frames: bytes) -> None:
        """Send frames that `protocol.text_frame` made; nothing happens on a closed socket."""
        if self._protocol.open():
            self._protocol.transport.write(frames)

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake."""
        self._protocol.close_now(code, reason)

    def buffered_bytes(self) -> int:
        """Bytes that the process still holds for this client."""
        return self._protocol.transport.get_write_buffer_size()


class FramesProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, plus the extension, plus problem+json on handshakes that cannot be accepted."""

    def connection_made(self, transport: Any) -> None:
        """Bound what the kernel and the transport take, so that a slow client is seen at once."""
        super().connection_made(transport)
        accept = self.conn.accept
        self.conn.accept = lambda request: explained(accept(request), request)  # type: ignore[method-assign]
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)

    def handle_connect(self, event: Request) -> None:
        """Publish the extension in the scope of the application's task, which starts after this returns."""
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = cast(dict[str, Any], self.scope["extensions"])
            extensions[EXTENSION] = Wire(self)

    def open(self) -> bool:
        """Whether data frames may still be sent."""
        return (
            self.handshake_complete
            and not self.close_sent
            and not self.disconnected
            and not self.transport.is_closing()
        )

    def close_now(self, code: int, reason: str) -> None:
        """As uvicorn's own `websocket.close`, without awaiting the client."""
        if not self.open():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        try:
            self.conn.send_close(code, reason)
        except InvalidState:
            self.transport.close()
            return
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """As uvicorn's, with a code of ours that tells clients to come back."""
        self.pong_timer = None
        self.pending_ping_payload = None
        if self.open():
            self.conn.fail(CODE["no_pong"], "no pong")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.transport.close()


class ExplainingHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol, whose own refusal of unreadable requests is problem+json as well."""

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        body = Problem("bad-request", msg).body("", "")
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.transport.close()


def explained(response: Response, request: Request) -> Response:
    """The handshake's answer, with a problem document in place of words when it is a refusal."""
    if response.status_code == 101:
        return response
    words = response.body.decode(errors="replace").strip() if response.body else response.reason_phrase
    code = "upgrade-required" if response.status_code == 426 else "bad-request"
    response.body = Problem(code, words).body(request.path.partition("?")[0], "")
    for name, value in (("Content-Type", "application/problem+json"), ("Content-Length", str(len(response.body)))):
        if name in response.headers:
            del response.headers[name]
        response.headers[name] = value
    return response
