"""Writing: the records of one batch are put together at once by a kernel and compressed, instead of appended one by one."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from struct import Struct
from typing import Any, NamedTuple, cast

import cramjam
import numpy as np
from aiokafka.codec import gzip_encode, snappy_encode, zstd_encode
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c

from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.compiled.memory import integers, octets
from services.aggregator.engine.model import Output
from services.aggregator.kernels.batch import HEADER, SPAN, TOLD_BYTES, TOLD_ROWS

HEAD = Struct(">qiibIhiqqqhii")
LENGTH_ENDS, CRC_AT, CRC_FROM = 12, 17, 21
"""Where the length of a batch begins to count, where its checksum stands, and from where on it is taken."""
MAGIC = 2


LZ4_FRAME = bytes.fromhex("04224d18606051")
"""Head of a frame of LZ4 without checksums, whose blocks are at most LZ4_BLOCK; the last byte is the checksum of the head."""
LZ4_BLOCK = 1024 * 1024


def lz4_fast(data: Any) -> bytes:
    """A frame of one block at LZ4's fastest, of at most LZ4_BLOCK. aiokafka's own runs at level 9, for ten times as long."""
    block = cramjam.lz4.compress_block(data, store_size=False)
    return b"".join((LZ4_FRAME, len(block).to_bytes(4, "little"), block, bytes(4)))


CODECS: dict[str | None, tuple[int, Callable[[Any], bytes] | None]] = {
    None: (0, None),
    "gzip": (1, gzip_encode),
    "snappy": (2, snappy_encode),
    "lz4": (3, lz4_fast),
    "zstd": (4, zstd_encode),
}
"""Compression type -> its bits among the attributes of a batch, and what compresses."""


class Rows:
    """Keys and values in one buffer. `spans`: four words for each row, where its key and its value begin and end; a value that
    begins at -1 is null. Who gives addresses keeps what lies there as it is until `Writer.send` has returned its awaitable."""

    def __init__(self, text: int, spans: int, count: int, keep: object = None) -> None:
        self.text, self.spans, self.count = text, spans, count
        self._keep = keep

    @classmethod
    def of(cls, records: Sequence[Output]) -> Rows:
        """Rows of pairs of key and value."""
        texts = list(chain.from_iterable(records))
        nulls = [number for number, text in enumerate(texts) if text is None] if None in texts else []
        whole = [text or b"" for text in texts] if nulls else cast(list[bytes], texts)
        spans = array("q", bytes(16 * len(whole)))
        spans[1::2] = array("q", accumulate(map(len, whole)))
        spans[2::2] = spans[1:-1:2]
        for number in nulls:
            spans[2 * number] = spans[2 * number + 1] = -1
        text = np.frombuffer(b"".join(whole) or b"\0", np.uint8)
        return cls(text.ctypes.data, spans.buffer_info()[0], len(records), (text, spans))

    def record(self, number: int) -> Output:
        """One of them as bytes."""
        key, key_end, value, value_end = integers(self.spans + 8 * SPAN * number, SPAN)
        found = octets(self.text + key, key_end - key).tobytes()
        return found, octets(self.text + value, value_end - value).tobytes() if value >= 0 else None


class Packed(NamedTuple):
    """The records of one batch as they go into the log."""

    attributes: int
    rows: int
    body: bytes


class Packer:
    """Makes batches of at most so many bytes, uncompressed."""

    def __init__(self, room: int, compression: str | None) -> None:
        if room > LZ4_BLOCK:
            raise ValueError(f"expected batches of at most {LZ4_BLOCK} bytes, got {room}")
        self._codec, self._compress = CODECS[compression]
        self._out = np.empty(room, np.uint8)
        self._out_at: int = self._out.ctypes.data
        self._told = self._out[:16].view(np.int64)

    def pack(self, rows: Rows, first: int, headers: bytes) -> Packed:
        """As many rows from `first` on as fit; none when not even one does. `headers` are those of tombstones."""
        given = np.frombuffer(headers or b"\0", np.uint8)
        KERNELS.batch_rows(
            rows.text, rows.spans, first, rows.count, self._out_at, len(self._out), given.ctypes.data, len(headers)
        )
        count, end = int(self._told[TOLD_ROWS]), int(self._told[TOLD_BYTES])
        plain = self._out[HEADER:end].data
        if self._compress is not None and count:
            body = self._compress(plain)
            if len(body) < len(plain):
                return Packed(self._codec, count, body)
        return Packed(0, count, bytes(plain))


class Ready(BatchBuilder):  # type: ignore[misc]
    """A batch that is whole but for its head: aiokafka numbers it when it sends it."""

    def __init__(self, packed: Packed, stamp_ms: int) -> None:
        super().__init__(0, 0)
        self._packed, self._stamp_ms = packed, stamp_ms
        self._relative_offset = packed.rows
        self._number = (-1, -1, 0)
        self._whole: bytearray | None = None
        self.close()

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._number = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytearray:
        if self._whole is None:
            attributes, count, body = self._packed
            stamp_ms = self._stamp_ms
            length = HEADER - LENGTH_ENDS + len(body)
            buffer = bytearray(
                HEAD.pack(0, length, -1, MAGIC, 0, attributes, count - 1, stamp_ms, stamp_ms, *self._number, count)
            )
            buffer += body
            buffer[CRC_AT:CRC_FROM] = calc_crc32c(memoryview(buffer)[CRC_FROM:]).to_bytes(4, "big")
            self._whole = buffer
        return self._whole

    def size(self) -> int:
        """Bytes of the whole batch."""
        return HEADER + len(self._packed.body)


def tombstone_headers(headers: Sequence[tuple[str, bytes]]) -> bytes:
    """Headers as they stand at the end of a record, their number first; keys, values and their number are short."""
    parts = array("B", [2 * len(headers)])
    for name, value in headers:
        for text in (name.encode(), value):
            if len(text) > 63:
                raise ValueError(f"expected a header of at most 63 bytes, got {len(text)}: {text[:20]!r}")
            parts.append(2 * len(text))
            parts.frombytes(text)
    return parts.tobytes()
