"""Messages of `hub.v1`: what clients may say, what the server says, and how both look on the wire. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from msgspec import Struct

from services.gateway.view.numbers import instant
from services.gateway.ws.services import ALL, SERVICE, SERVICES

PROTOCOL = "hub.v1"
OPCODE_TEXT = 0x81
"""A final text frame (RFC 6455 section 5.2)."""

Rate = Literal["live", "250ms", "1s", "5s", "30s"]
Action = Literal["subscribe", "unsubscribe", "get_status", "ping", "list"]
RATES_MS = {"live": 0, "250ms": 250, "1s": 1_000, "5s": 5_000, "30s": 30_000}
"""How often a client gets what changed; `live`: as it comes, the writes bounded by the server's load."""
ACTIONS: tuple[Action, ...] = ("subscribe", "unsubscribe", "get_status", "ping", "list")

encode = msgspec.json.Encoder().encode


class Command(Struct, kw_only=True):
    """What a client says; unknown fields are ignored."""

    action: Action
    id: int | str | None = None
    """Echoed in the answer."""
    service: str | None = None
    services: list[str] = []
    symbols: list[str] = []
    """Assets by symbol or id; none means every key of the service."""
    entities: list[str] = []
    """Entities by key, such as `pair:bitcoin/tether`."""
    rate: Rate = "1s"
    snapshot: bool = True
    batch: bool = False
    """Several records in one message instead of one message each."""
    cursor: str | None = None
    """Of an event service: replay what came after it."""
    data: Any = None
    """Of a ping: echoed."""

    def wanted(self) -> tuple[str, ...]:
        """Services named, `all` spelled out."""
        named = [*([self.service] if self.service else []), *self.services]
        if ALL in named:
            return tuple(service.name for service in SERVICES)
        return tuple(dict.fromkeys(named))


class BadCommand(ValueError):
    """A message that is not a command; `frame` is True when it is not even a JSON object."""

    def __init__(self, message: str, *, frame: bool) -> None:
        super().__init__(message)
        self.frame = frame


_read = msgspec.json.Decoder(Command).decode


def read(text: str) -> Command:
    """The command in a message; BadCommand says what is wrong with it."""
    try:
        return _read(text)
    except msgspec.ValidationError as fault:
        words = str(fault)
        raise BadCommand(words, frame=words.startswith("Expected `object`") and "$." not in words) from fault
    except (msgspec.DecodeError, UnicodeError) as fault:
        raise BadCommand(f"not JSON: {fault}", frame=True) from fault


def text_frame(payload: bytes) -> bytes:
    """An unmasked final text frame, as a server sends it."""
    size = len(payload)
    if size < 126:
        return bytes((OPCODE_TEXT, size)) + payload
    if size < 65_536:
        return bytes((OPCODE_TEXT, 126)) + size.to_bytes(2, "big") + payload
    return bytes((OPCODE_TEXT, 127)) + size.to_bytes(8, "big") + payload


def texts(frames: bytes) -> Iterable[str]:
    """The payloads of frames that `text_frame` made and somebody joined."""
    at = 0
    while at < len(frames):
        size, start = frames[at + 1], at + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(frames[start : start + width], "big"), start + width
        yield frames[start : start + size].decode()
        at = start + size


def update(service: str, seq: int, at_ms: int, records: bytes, *, cursor: str | None = None) -> bytes:
    """A data message about ready records (JSON, comma between them)."""
    tail = b',"cursor":"%b"}' % cursor.encode() if cursor else b"}"
    return b'{"service":"%b","type":"update","seq":%d,"timestamp":"%b","data":[%b]%b' % (
        service.encode(), seq, instant(at_ms).encode(), records, tail,
    )  # fmt: skip


def snapshot(service: str, seq: int, at_ms: int, records: bytes, part: int, parts: int) -> bytes:
    """Current records after a subscription, in `parts` messages counted from 1."""
    return b'{"service":"%b","type":"snapshot","seq":%d,"timestamp":"%b","part":%d,"parts":%d,"data":[%b]}' % (
        service.encode(), seq, instant(at_ms).encode(), part, parts, records,
    )  # fmt: skip


def system(type_: str, data: Any, now_ms: int, **extra: Any) -> bytes:
    """An answer or notice of the server."""
    return encode({"service": "system", "type": type_, "data": data, "timestamp": instant(now_ms), **extra})


def flat(type_: str, now_ms: int, **fields: Any) -> bytes:
    """A notice without `data`, as older clients know it."""
    return encode({"type": type_, **fields, "timestamp": instant(now_ms)})


def error(message: str, now_ms: int, command_id: int | str | None = None, **extra: Any) -> bytes:
    """Why a message was refused."""
    data = {
        "message": message,
        "available_services": [*SERVICE, ALL],
        "supported_actions": ACTIONS,
        **extra,
    }
    return system("error", data, now_ms, **({"id": command_id} if command_id is not None else {}))


def cursor_of(service: str, positions: dict[int, int]) -> str:
    """Where a reader of an event service stands: good on every replica."""
    return base64.urlsafe_b64encode(encode([service, positions])).decode().rstrip("=")


def read_cursor(text: str, service: str) -> dict[int, int] | None:
    """Positions of a cursor of this service; None when it is not one."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        name, positions = msgspec.json.decode(raw, type=tuple[str, dict[int, int]])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None
    return positions if name == service else None
