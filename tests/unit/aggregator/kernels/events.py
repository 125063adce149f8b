"""Raw events for the kernels that read them: a desk with templates, and what the decoder reads."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np

from schemas.events import Raw
from services.aggregator.compiled.memory import integers
from services.aggregator.engine.model import Statement
from services.aggregator.engine.templates import Templates
from services.aggregator.kernels import layout as at

decode = msgspec.json.Decoder(Statement).decode
RAW = Raw(
    id="1e2feb89414c343c", category="market", provider="atlas", endpoint="full", entity="asset:bitcoin",
    metrics={"price": 24.012366573630292, "volume_24h": 7.5e9}, received_ms=1_700_000_000_000, origin="live",
    event_ms=1_699_999_999_080, quote="usd", weight=0.5, registry="5f2c9a1e",
)  # fmt: skip
EVENT = msgspec.json.encode(RAW)

Kernel = Callable[..., int]


class Said(NamedTuple):
    """What `read` gave, with doubles as their shortest text, so that 0.0 and -0.0 differ."""

    received_ms: int
    event_ms: int | None
    tie: int
    entity: bytes
    values: list[str]


class World:
    """A desk with templates, and one form of the kernels."""

    def __init__(self, scan: Kernel, read: Kernel) -> None:
        self.scan, self.read = scan, read
        self.desk = np.zeros(at.DESK, np.int64)
        self.kept: list[Any] = []
        self.templates = Templates(self.desk.ctypes.data, self.keep)
        self.holes = np.zeros(at.HOLES_WORDS, np.int64)
        self.said = np.zeros(at.SAID_WORDS, np.int64)

    def keep(self, data: bytes) -> int:
        self.kept.append(np.frombuffer(data, np.uint8).copy())
        return int(self.kept[-1].ctypes.data)

    def scanned(self, value: bytes, before: bytes = b"", behind: bytes = b"") -> int:
        """What `scan` says of a value that stands between others."""
        self.text = np.frombuffer(before + value + behind + bytes(at.SLACK), np.uint8)
        begin = len(before)
        return self.scan(
            self.desk.ctypes.data, self.text.ctypes.data, begin, begin + len(value), self.holes.ctypes.data
        )

    def forget_guesses(self) -> None:
        """So that `scan` walks over the text of the next event."""
        self.templates._guesses[:] = 0

    def line(self, template: int) -> Any:
        return integers(template, at.TEMPLATE)

    def taken(self, value: bytes, before: bytes = b"") -> tuple[int, Said] | None:
        """Source and statement of an event that needs no parser; None for others."""
        template = self.scanned(value, before)
        if template <= 0 or self.line(template)[at.H_SOURCE] < 0:
            return None
        self.said[:] = -77
        desk, text, holes, said = (part.ctypes.data for part in (self.desk, self.text, self.holes, self.said))
        if self.read(desk, template, text, holes, said) != 0:
            return None
        words = self.said.tolist()
        count = sum(1 for role in self.roles(template) if role >= at.ROLE_VALUE)
        values = self.said.view(np.float64)[at.SAID : at.SAID + count].tolist()
        entity = self.text[words[at.Y_ENTITY] : words[at.Y_ENTITY_END]].tobytes()
        event_ms = words[at.Y_EVENT] if words[at.Y_TIMED] else None
        found = Said(words[at.Y_RECEIVED], event_ms, words[at.Y_TIE], entity, [repr(value) for value in values])
        return int(self.line(template)[at.H_SOURCE]), found

    def roles(self, template: int) -> list[int]:
        line = self.line(template)
        found: list[int] = integers(line[at.H_ROLES], line[at.H_HOLES]).tolist()
        return found

    def learn(self, value: bytes, source: int = 0) -> bool:
        return self.templates.learn(value, source, True, tuple(decode(value).metrics))


def expected(value: bytes) -> Said:
    """What the decoder reads."""
    said = decode(value)
    values = [repr(one) for one in said.metrics.values()]
    return Said(said.received_ms, said.event_ms, zlib.crc32(said.id.encode()), said.entity.encode(), values)


def identity(value: bytes) -> tuple[Any, ...]:
    said = decode(value)
    return said.provider, said.endpoint, said.quote, said.group, said.weight, said.origin, tuple(said.metrics)


NUMBERS = """
0 -0 1 10 -1.0 0.1e-7 1E+2 1e5 0e0 -0.0 -0e1 123456789012345678901234567890 9007199254740993 5e-324 2.4703282292062328e-324 1e-400
""".split()
NUMBERS += ["9" * 40 + ".5", "0." + "0" * 70 + "1"]
