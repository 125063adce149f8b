"""WebSocket close codes, as rows: what each means and whether a client should come back."""

from __future__ import annotations

from msgspec import Struct


class CloseCode(Struct, frozen=True):
    """One way a connection ends."""

    code: int
    name: str
    reconnect: bool
    """True: with backoff. False: the client must change something first."""
    sentence: str


CODES = (
    CloseCode(1000, "normal", False, "The client closed the connection."),
    CloseCode(1011, "fault", True, "The server could not write to this connection."),
    CloseCode(1012, "restart", True, "The server is restarting; a server_shutdown message said when to come back."),
    CloseCode(4008, "slow", True, "The client did not read for too long, or fell behind what is kept for it."),
    CloseCode(4012, "no_pong", True, "The client did not answer a ping."),
    CloseCode(4029, "too_many_messages", True, "The client sent more commands than its limit."),
    CloseCode(4040, "lifetime", True, "The connection reached its greatest age."),
    CloseCode(4403, "forbidden", False, "This origin may not connect."),
    CloseCode(4404, "unknown_path", False, "No WebSocket service lives at this path."),
    CloseCode(4500, "bad_frame", False, "A message was not a JSON object in UTF-8 text."),
    CloseCode(4504, "connection_limit", False, "The client holds as many connections as it may."),
    CloseCode(4505, "topic_limit", False, "The connection asked for more topics than it may."),
)

CODE = {code.name: code.code for code in CODES}
