"""Bytes -> plain values: JSON, JSON-RPC, GraphQL, feeds, CSV, text and socket frames, with caps on size and depth. Pure."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import zlib
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from services.collector.feeds import FeedError, read_feed
from services.collector.registry.model import BodyKind, Csv


class Caps(NamedTuple):
    """What a body may cost us."""

    max_bytes: int = 64 * 1024 * 1024
    """After unpacking. The largest known answer (all yield pools) is 15 MB."""
    max_depth: int = 200
    """Nesting of JSON; no provider goes beyond 20."""
    max_ratio: int = 200
    """Unpacked size against packed size; JSON packs 5 to 30 times, a bomb 1000 times."""
    free_bytes: int = 1024 * 1024
    """Below this the ratio does not matter: a short message of one letter packs well."""


class DecodeError(ValueError):
    """The body cannot be read: outcome MALFORMED; `reason` is short and fit for a label, `detail` says where."""

    outcome = "MALFORMED"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


CAPS = Caps()
_CHARSET = re.compile(r"charset=[\"']?([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_fast = msgspec.json.Decoder()


def decode(
    body: bytes, kind: BodyKind = "json", content_type: str | None = None, caps: Caps = CAPS, shape: Csv | None = None
) -> Any:
    """Plain values of a response body; DecodeError when it cannot be read or is too large or too deep."""
    body = unpacked(body, caps)
    if len(body) > caps.max_bytes:
        raise DecodeError("too large", f"{len(body)} bytes, allowed {caps.max_bytes}")
    if kind == "rss":
        try:
            return read_feed(body)
        except FeedError as error:
            raise DecodeError("not a feed", str(error)) from None
    if kind == "csv":
        return _csv(_text(body, content_type), shape or Csv())
    if kind == "text":
        return _bare(_text(body, content_type))
    return _json(body, content_type, caps)


def unpacked(body: bytes, caps: Caps = CAPS) -> bytes:
    """A body without its gzip packing, which some servers and recorders leave on; no text starts so."""
    return _inflate(body, "gzip", caps) if body[:3] == b"\x1f\x8b\x08" else body


def open_answer(payload: Any, kind: BodyKind) -> Any:
    """The part of a payload that a mapping sees: JSON-RPC `result` (of a batch: results by rising id), GraphQL `data`."""
    if kind == "jsonrpc":
        if type(payload) is list:
            answers = [one for one in payload if type(one) is dict]
            return [one.get("result") for one in sorted(answers, key=_rpc_id)]
        return payload.get("result") if type(payload) is dict else None
    if kind == "graphql":
        return payload.get("data") if type(payload) is dict else None
    return payload


def _rpc_id(answer: dict[str, Any]) -> tuple[int, str]:
    number = answer.get("id")
    return (number, "") if type(number) is int else (0, str(number))


def _json(body: bytes, content_type: str | None, caps: Caps) -> Any:
    if not body.strip():
        raise DecodeError("empty body")
    payload: Any
    try:
        payload = _fast.decode(body)
    except RecursionError:
        raise DecodeError("too deep", f"nested deeper than {caps.max_depth}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        payload = _lenient(_text(body, content_type), caps)
    if _may_be_deep(body, caps.max_depth) and depth(payload) > caps.max_depth:
        raise DecodeError("too deep", f"nested deeper than {caps.max_depth}")
    return payload


def _lenient(text: str, caps: Caps) -> Any:
    """What the strict reader refuses and providers still send: NaN, 1e400, long integers, raw control characters, a BOM."""
    try:
        return json.loads(text.removeprefix("\ufeff"), strict=False, parse_int=_whole)
    except RecursionError:
        raise DecodeError("too deep", f"nested deeper than {caps.max_depth}") from None
    except ValueError as error:
        raise DecodeError("not JSON", f"{error}; starts with {text[:60]!r}") from None


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= 400 else float(digits)


_STEPS = tuple(1 if byte in b"[{" else -1 if byte in b"]}" else 0 for byte in range(256))
_NOT_BRACKETS = bytes(byte for byte in range(256) if not _STEPS[byte])


def _may_be_deep(body: bytes, limit: int) -> bool:
    """Whether the brackets alone go deeper than the limit; those inside of texts are counted too."""
    brackets = body.translate(None, _NOT_BRACKETS)
    return len(brackets) > limit and max(accumulate(map(_STEPS.__getitem__, brackets))) > limit


def depth(value: Any) -> int:
    """Nesting of lists and objects, walked without recursion."""
    deepest, level = 0, [value]
    while level:
        level = [inner for outer in level for inner in _inside(outer)]
        deepest += bool(level)
    return deepest + 1 if isinstance(value, (list, dict)) else 0


def _inside(value: Any) -> Iterator[Any]:
    """Containers directly inside a container."""
    inner = value.values() if type(value) is dict else value if type(value) is list else ()
    return (one for one in inner if type(one) is dict or type(one) is list)


def _text(body: bytes, content_type: str | None) -> str:
    """Text in the charset that the answer names, else UTF-8; wrong bytes are an error, not guessed at."""
    match = _CHARSET.search(content_type or "")
    charset = match[1].lower() if match else "utf-8-sig"
    try:
        return body.decode("utf-8-sig" if charset in ("utf-8", "utf8") else charset)
    except LookupError:
        raise DecodeError("unknown charset", charset) from None
    except UnicodeDecodeError as error:
        raise DecodeError("wrong charset", f"not {charset} at byte {error.start}") from None


def _csv(text: str, shape: Csv) -> list[dict[str, str]]:
    lines = io.StringIO("\n".join(text.splitlines()[shape.skip :]))
    reader = csv.DictReader(lines, fieldnames=shape.columns or None, delimiter=shape.separator, restkey="", restval="")
    try:
        return [{(key or "").strip(): value for key, value in row.items() if isinstance(value, str)} for row in reader]
    except csv.Error as error:
        raise DecodeError("not CSV", f"line {reader.line_num}: {error}") from None


def _bare(text: str) -> Any:
    """The one value of a text body: a number when it is one, else the text."""
    stripped = html.unescape(text.strip())
    if not stripped:
        raise DecodeError("empty body")
    try:
        return float(stripped) if not stripped.lstrip("+-").isdecimal() else int(stripped)
    except ValueError:
        return stripped


def unpack(frame: bytes | str, packing: str = "text", caps: Caps = CAPS) -> str:
    """Text of a socket frame; `gzip` and `deflate` (zlib or raw) stop at the caps, so a bomb costs no more than they allow."""
    if isinstance(frame, str):
        if len(frame) > caps.max_bytes:
            raise DecodeError("too large", f"{len(frame)} characters, allowed {caps.max_bytes}")
        return frame
    data = frame if packing == "text" else _inflate(frame, packing, caps)
    if len(data) > caps.max_bytes:
        raise DecodeError("too large", f"{len(data)} bytes, allowed {caps.max_bytes}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError("wrong charset", f"not utf-8 at byte {error.start}") from None


def _inflate(frame: bytes, packing: str, caps: Caps) -> bytes:
    allowed = min(caps.max_bytes, max(caps.free_bytes, len(frame) * caps.max_ratio))
    windows = (31,) if packing == "gzip" else (15, -15)
    for bits in windows:
        opener = zlib.decompressobj(bits)
        try:
            data = opener.decompress(frame, allowed + 1)
        except zlib.error:
            continue
        if len(data) > allowed:
            raise DecodeError("too large", f"unpacks to more than {allowed} bytes from {len(frame)}")
        return data
    raise DecodeError("not " + packing, f"{len(frame)} bytes, starting with {frame[:8].hex()}")


def decode_message(frame: bytes | str, packing: str = "text", caps: Caps = CAPS) -> Any:
    """A socket message: JSON, or the bare text when it is none (`pong`)."""
    short = caps.max_depth * 2
    text = frame if type(frame) is str and len(frame) < short else unpack(frame, packing, caps)
    if len(text) < short and text[:1] in ("{", "["):  # too short to be too deep
        try:
            return _fast.decode(text)
        except (msgspec.DecodeError, RecursionError):
            pass  # the long way says what is wrong with it
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        return _json(stripped.encode(), None, caps)
    if not stripped:
        raise DecodeError("empty message")
    try:
        return json.loads(stripped)
    except ValueError:
        if len(stripped) > MAX_WORD:
            raise DecodeError("not JSON", f"starts with {stripped[:60]!r}") from None
        return stripped


MAX_WORD = 64
"""A bare word on a socket (`ping`, `pong`, `connected`) is short; longer text that is not JSON is garbage."""
