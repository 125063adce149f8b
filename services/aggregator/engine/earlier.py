"""State values as the releases before wrote them, in MessagePack: turned into those of today, so that one way leads into memory."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING
from zlib import crc32

from msgspec import Struct, json, msgpack

from schemas.events import Value
from services.aggregator.engine.rates import quote_in
from services.aggregator.engine.rules import TARGET
from services.aggregator.fusion.layout import GID, HEAD, PATH, PID, RING, ROW, SEEN
from services.aggregator.kernels import freeze as form
from services.aggregator.kernels.layout import KIND_NUMBER, STATEMENT

if TYPE_CHECKING:
    from services.aggregator.engine.model import Source
    from services.aggregator.engine.store import Store
    from services.aggregator.fusion.state import Key

_SlotRow = tuple[int, int, int, float | None, tuple[Value, ...]]
"""Number of the source, age, tie, rate, values."""


class _Voice(Struct, array_like=True):
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    first_ms: int
    last_ms: int


class _Bar(Struct, array_like=True):
    start_ms: int
    version: int
    trades: dict[int, _Voice]
    quotes: dict[int, _Voice]
    quote: str
    due: bool = False


class _Roll(Struct, array_like=True):
    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    sources: int
    version: int


class _Body(Struct, array_like=True):
    slots: list[_SlotRow]
    bars: list[_Bar] | None
    rolls: list[_Roll] | None
    seen: dict[int, list[int]] | None
    learned: bytes | None
    agreed: dict[str, int] | None = None


_decode = msgpack.Decoder(_Body).decode


def is_earlier(value: bytes) -> bool:
    """Whether a state value is not of today's format."""
    return len(value) > form.HEAD and value[form.HEAD] != form.FORMAT


def translate(key: bytes, value: bytes, store: Store) -> bytes:
    """The state value of today that says what an earlier one said."""
    body = _decode(memoryview(value)[form.HEAD :])
    version = int.from_bytes(value[:8], "big")
    as_of_ms = int.from_bytes(value[8 : form.HEAD], "big")
    sources = store.tables.listed
    rows = [row for row in body.slots if _is_said(sources[row[0]], row[4])]
    lessons = _lessons(key, body.learned, store)
    parts, out = 0, _statements(rows, body.agreed or {}, as_of_ms, sources)
    if body.bars:
        parts |= form.PART_BARS
        own = quote_in(key.decode())
        out += _whole(len(body.bars)) + b"".join(_bar(bar, as_of_ms, version, own, sources) for bar in body.bars)
    if body.rolls:
        parts |= form.PART_ROLLS
        for roll in body.rolls:
            out += _whole(as_of_ms - roll.start_ms)
            out += struct.pack("<5d", roll.open, roll.high, roll.low, roll.close, roll.volume)
            out += _whole(roll.trades) + _whole(roll.sources) + _whole(version - roll.version)
    if body.seen:
        parts |= form.PART_RINGS
        out += _whole(len(body.seen))
        for number, ties in body.seen.items():
            out += _whole(number) + _whole(len(ties)) + struct.pack(f"<{len(ties)}I", *ties)
    if lessons:
        parts |= form.PART_LESSONS
        out += _whole(len(lessons)) + b"".join(lessons)
    return value[: form.HEAD] + bytes((form.FORMAT, parts)) + out


def _is_said(source: Source, values: tuple[Value, ...]) -> bool:
    """Whether these can be what a source says today."""
    shape = source.shape
    types = {check.name: check.type for check in (*shape.numbers, *shape.words)}
    return source.known and [types[name] for name in shape.names] == [value.__class__ for value in values]


def _whole(value: int) -> bytes:
    left = (value << 1) ^ (value >> 63)
    out = bytearray()
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    out.append(left)
    return bytes(out)


def _statements(rows: list[_SlotRow], agreed: dict[str, int], as_of_ms: int, sources: list[Source]) -> bytes:
    out = _whole(len(rows)) + _whole(sum(STATEMENT + len(row[4]) for row in rows))
    for number, age_ms, tie, rate, values in rows:
        since_ms = agreed.get(sources[number].provider)
        kinds = sources[number].shape.kinds
        bits = form.RATE_NONE if rate is None else form.RATE_ONE if rate == 1.0 else form.RATE_OTHER
        told = (form.AGREED if since_ms else 0) | (form.WORDS if any(kinds) else 0)
        out += _whole(number) + bytes((bits | told,)) + _whole(age_ms)
        out += struct.pack("<I", tie)
        if bits == form.RATE_OTHER:
            out += struct.pack("<d", rate)
        if since_ms:
            out += _whole(as_of_ms - since_ms)
        out += _whole(len(values))
        for kind, value in zip(kinds, values, strict=True):
            if any(kinds):
                out += bytes((kind,))
            if kind == KIND_NUMBER:
                out += struct.pack("<d", value)
            else:
                text = json.encode(value)
                out += _whole(len(text)) + text + struct.pack("<I", crc32(text))
    return out


def _bar(bar: _Bar, as_of_ms: int, version: int, own: str | None, sources: list[Source]) -> bytes:
    voices = [(number, 1, voice) for number, voice in bar.trades.items()]
    voices += [(number, 0, voice) for number, voice in bar.quotes.items()]
    out = _whole(as_of_ms - bar.start_ms) + _whole(version - bar.version) + bytes((bar.due,))
    out += _whole(_quote(bar.quote, own, (sources[number] for number, _, _ in voices))) + _whole(len(voices))
    for number, traded, voice in voices:
        out += _whole(number) + bytes((traded,))
        out += struct.pack("<5d", voice.open, voice.high, voice.low, voice.close, voice.volume)
        out += _whole(voice.trades)
        out += _whole(voice.first_ms - bar.start_ms) + _whole(voice.last_ms - bar.start_ms)
    return out


def _quote(quote: str, own: str | None, sources: Iterable[Source]) -> int:
    if quote in ("", TARGET):
        return form.QUOTE_TARGET if quote else form.QUOTE_NONE
    if quote == own:
        return form.QUOTE_OWN
    found = next((source.number for source in sources if source.quote == quote), None)
    return form.QUOTE_TARGET if found is None else form.QUOTE_OF + found


def _lessons(key: bytes, learned: bytes | None, store: Store) -> list[bytes]:
    fuser, name = store.tables.fuser, key.decode()
    if learned is None or fuser is None:
        return []
    fuser.load_key(name, learned)
    found = fuser.state.keys.pop(name)
    ids = store.tables.id_of
    return [struct.pack("<I", ids(metric)) + _lesson(entry) for metric, entry in found.items() if ids(metric)]


def _lesson(entry: Key) -> bytes:
    out = _whole(entry.capacity) + _whole(HEAD) + entry.data[: HEAD + 2 * PATH].tobytes()
    for slot in entry.slots:
        out += b"".join(_whole(int(slot[column])) for column in (ROW, PID, GID)) + slot[SEEN:].tobytes()
    return out + entry.ring.tobytes()[: 4 * RING * entry.capacity]
