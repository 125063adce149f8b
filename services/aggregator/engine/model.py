"""What the engine holds and gives: statements as read, entities as kept, outputs as written."""

from __future__ import annotations

from enum import Enum
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from schemas.events import Value

EPOCH_SPAN = 2**40
"""`version = epoch * EPOCH_SPAN + offset`: the newest raw record folded, unique and rising per log."""

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Record(Protocol):
    """One record of the log, as every client gives it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int | float | None: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


EARLIEST_MS = 1_230_940_800_000
"""2009-01-03, the first block of bitcoin: no statement of ours is older."""

CandleKind = Literal["trade", "quote"]


class CandleRule(NamedTuple):
    """From which metrics of a category bars are made: trades, or prices where there is no trade."""

    price: str
    kind: CandleKind
    size: str | None = None


class Check(NamedTuple):
    """What a value must be: a number between low and high, or of this type."""

    name: str
    low: float
    high: float
    type: type


class Shape(NamedTuple):
    """A set of metric names that come together, compiled once."""

    names: tuple[str, ...]
    numbers: tuple[Check, ...]
    words: tuple[Check, ...]
    unknown: tuple[str, ...]
    kinds: tuple[int, ...]
    """KIND_* of those that are known."""
    money: bool
    """Whether any of them is counted in the quote asset."""
    candle: CandleRule | None
    keep_ms: int
    """Age from which on a statement of this shape is late."""

    def covers(self, other: Shape) -> bool:
        """Whether this says all that the other says."""
        return set(self.names).issuperset(other.names)


class Limits(Struct, frozen=True, kw_only=True):
    """The times and bounds of the engine, all in log time except `emit_ms`, `behind_ms` and `candle_ms`, which pace what is sent."""

    emit_ms: int = 100
    """A key that was quiet is sent at once, then at most this often."""
    behind_ms: int = 3000
    """While the log is far ahead, nobody waits for the leading edge: a key is sent this long after it changed, and open bars
    are not sent at all until it was not far ahead for this long."""
    candle_ms: int = 1000
    """An open bar is sent at most this often."""
    skew_ms: int = 10 * SECOND_MS
    """A provider's clock may run ahead of ours by this; beyond, the event time is our receive time plus this."""
    future_ms: int = 10 * MINUTE_MS
    """A receive time this far ahead of the log's own timestamp is refused: it would age everything else."""
    lateness_ms: int = 60 * SECOND_MS
    """A bar takes trades until this long after its end."""
    grace_ms: int = 2 * SECOND_MS
    """A bar is called closed this long after its end, so that what is on its way is in."""
    retain_ms: int = DAY_MS
    """A statement older than this, and than twenty times its metric's freshness, is late; a source that old is dropped."""
    expire_ms: int = 7 * DAY_MS
    """An entity of which nobody spoke for this long is forgotten."""
    epoch_ms: int = MINUTE_MS
    """Learned source parameters change only at multiples of this."""
    max_record_bytes: int = 512 * 1024
    """A raw record larger than this is refused."""
    origins: tuple[str, ...] = ("live", "replay", "sandbox")
    """Origins that are folded; a live deployment takes `live` only."""


class Statement(Struct, gc=False):
    """The fields of `schemas.events.Raw` that the fold needs; the decoder skips the rest."""

    id: str
    provider: str
    endpoint: str
    entity: str
    metrics: dict[str, Value]
    received_ms: int
    origin: str
    event_ms: int | None = None
    quote: str | None = None
    group: str | None = None
    weight: float = 1.0


ORIGINS = {"live": 0, "replay": 1, "sandbox": 2}
"""A record is as real as the least real of its sources."""


class Source:
    """Who says what kind of thing: one endpoint of a provider, one quote asset, one set of metrics. Interned per partition."""

    __slots__ = (
        "endpoint",
        "fresh_ms",
        "group",
        "known",
        "number",
        "origin",
        "provider",
        "quote",
        "rank",
        "shape",
        "texts",
        "voice",
        "weight",
    )

    def __init__(
        self,
        number: int,
        provider: str,
        endpoint: str,
        quote: str | None,
        group: str,
        weight: float,
        origin: str,
        shape: Shape,
        rank: int,
        fresh_ms: int,
    ) -> None:
        self.number = number
        self.provider = provider
        self.endpoint = endpoint
        self.quote = quote
        self.group = group
        self.weight = weight
        self.origin = origin
        self.shape = shape
        self.rank = rank
        """Rank of the quote: how little the statement has to be converted."""
        self.fresh_ms = fresh_ms
        """Age up to which nothing that it says is stale."""
        self.known = not shape.unknown
        """Whether all it says are metrics of the category: only such statements are kept."""
        self.texts = tuple(place for place, kind in enumerate(shape.kinds) if self.known and kind)
        """Places of its values that are no numbers."""
        self.voice: Voice = (provider, group, weight, shape.names, frozenset(shape.names), fresh_ms, ORIGINS[origin])


Voice = tuple[str, str, float, tuple[str, ...], frozenset[str], int, int]
"""What a claim needs of a source, in one unpacking: provider, group, weight, metrics as a row and as a set, the age up to
which none of them is stale, and how real it is."""

Slot = tuple[int, int, float | None, tuple[Value, ...]]
"""The newest statement of one source about one entity, as Python sees it: always all metrics of the source's shape, of one time.

ts_ms; tie: CRC-32 of the statement's id, decides between equal times; rate: units of the target asset per unit of the source's
quote when it was folded, None when unknown then; values, in the order of the shape's names.
"""


class Reason(Enum):
    """Why a record is set aside; the value is the header, the metric label and the key of the reference page."""

    EMPTY = "empty"  # no value or no key
    TOO_LARGE = "too_large"  # larger than the engine reads
    UNDECODABLE = "undecodable"  # not a raw event in JSON; NaN and numbers beyond a double are not JSON
    KEY = "key"  # the key is not the entity, so the record is in the wrong partition
    ORIGIN = "origin"  # not one that this deployment takes
    TIME = "time"  # the receive time is impossible: before 2009 or far ahead of the log
    METRIC = "metric"  # a metric is unknown, or belongs to another category; the others were used
    ABSURD = "absurd"  # a value has the wrong type or is outside its plausible range; the others were used
    LATE = "late"  # the event time is older than anything still kept


class Aside(NamedTuple):
    """A record that was set aside, with its original bytes: to `late` or `dlq`."""

    reason: Reason
    detail: str
    offset: int
    key: bytes | None
    value: bytes | None


Output = tuple[bytes, "bytes | None"]
"""Key and value of one record to write to the partition of the entity; no value deletes."""


class Counts(Struct):
    """What happened since the counters were last taken; the driver turns them into metrics."""

    folded: int = 0
    replayed: int = 0
    """At or below the position: seen before."""
    unchanged: int = 0
    """Older than, or the same as, what the source said already."""
    control: int = 0
    fused: int = 0
    candles: int = 0
    aside: dict[str, int] = {}
