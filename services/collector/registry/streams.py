"""The stream part of `provider.yaml`: sockets, their messages and order books."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import field

from services.collector.registry.mapping import Condition, Emit, EntityRule, FieldRule, Scalar, Shape, TimeRule

Json = Any


class Param(Shape, frozen=True, kw_only=True):
    """What a request parameter stands for; a literal is written as a plain value instead."""

    stands_for: Literal[
        "asset", "pair", "base", "quote", "contract", "token", "chain", "address", "pool", "collection", "protocol",
        "hash", "time", "secret", "free",
    ] = field(name="as", default="free")  # fmt: skip
    """`asset`: the provider's id of an asset; `pair`: a pair in the venue's spelling; `chain`: the provider's chain name;
    `time`: a time relative to now; `free`: nothing of ours, take `values` or `default`."""
    style: str = "default"
    """Row of `symbols` that spells the pair."""
    values: list[Scalar] = []
    """Values asked by default, one request each (or one batch), in the provider's spelling."""
    default: Scalar | None = None
    required: bool = True
    case: Literal["keep", "lower", "upper"] = "keep"
    shift_s: int = 0
    """For `time`: seconds added to now."""
    unit: Literal["s", "ms", "us", "ns", "iso", "date"] = "s"
    """For `time`: how it is written."""


class Heartbeat(Shape, frozen=True, kw_only=True):
    """How a socket is kept alive."""

    kind: Literal["none", "ws_ping", "message", "reply"] = "ws_ping"
    """`ws_ping`: protocol pings. `message`: we send `send` every `every_s`. `reply`: the server's ping is answered."""
    every_s: float = 20.0
    send: Json = None
    """Template; a plain string is sent as text."""
    when: list[Condition] = []
    """For `reply`: what a server ping looks like; the answer is `send` (`{$path: ping}` takes a value from it)."""


class Ack(Shape, frozen=True, kw_only=True):
    """How the server confirms or refuses a subscription."""

    when: list[Condition] = []
    refused: list[Condition] = []
    detail: str | None = None
    timeout_s: float = 10.0


class Bind(Shape, frozen=True, kw_only=True):
    """A message that gives a channel number its meaning (Bitfinex): later messages carry only the number."""

    key: str
    params: dict[str, str]
    """Parameter name -> path in this message."""


class Sequence(Shape, frozen=True, kw_only=True):
    """How updates of a book follow each other."""

    rule: Literal["none", "rising", "contiguous", "range", "previous"]
    """`rising`: last only grows. `contiguous`: last = before + 1. `range`: first <= before + 1 <= last (Binance spot, KuCoin).
    `previous`: this message's `previous` = the last one's `last` (OKX, Binance futures)."""
    first: str | None = None
    last: str | None = None
    previous: str | None = None


class Snapshot(Shape, frozen=True, kw_only=True):
    """Where the start of a book comes from when the socket sends only differences."""

    endpoint: str
    param: str = "symbol"
    """Parameter of that endpoint that takes the symbol."""


class Book(Shape, frozen=True, kw_only=True):
    """A message (or response) that carries levels of an order book. Size 0 deletes a level."""

    kind: Literal["snapshot", "delta", "top"]
    """`snapshot` replaces the book, `delta` changes it, `top` is a whole short book each time."""
    entity: EntityRule
    rows: str | None = None
    """Path of several books in one message; None: the message is one."""
    bids: str | None = None
    asks: str | None = None
    """Lists of levels; both may be the same list, when each element holds a level of both sides."""
    changes: str | None = None
    """List of levels of both sides, when they are not apart; needs `side`."""
    price: str | FieldRule = "[0]"
    size: str | FieldRule = "[1]"
    """Path in a level, or how the number is read (`{path: "[0]", decimals: 8}`, `{path: "[1]", times: ^.multiplier}`)."""
    ask_price: str | FieldRule | None = None
    ask_size: str | FieldRule | None = None
    """Of the asks, when a level names its sides apart (`bid_price`, `ask_price`); None: the same as for bids."""
    side: str | None = None
    sides: dict[str, Literal["bid", "ask"]] = {}
    sequence: Sequence | None = None
    snapshot: Snapshot | None = None
    event: TimeRule | None = None
    depth: int | None = None
    """Levels a side that the venue maintains; more are dropped."""
    kind_when: list[Condition] = []
    """When these hold the message is a snapshot, whatever `kind` says (`action: snapshot`)."""
    count: str | None = None
    """Path of an order count in a level; 0 deletes the level (Bitfinex)."""
    signed: bool = False
    """Sizes below 0 are asks (Bitfinex)."""


class Message(Shape, frozen=True, kw_only=True):
    """One kind of message on a stream; the first whose conditions hold takes it."""

    when: list[Condition] = []
    about: str = ""
    kind: Literal["data", "ignore", "error"] = "data"
    params: dict[str, str] = {}
    """Parameter name -> path in the message, available to the mapping as `$param.name`."""
    bind: Bind | None = None
    emits: list[Emit] = []
    book: Book | None = None


class Channel(Shape, frozen=True, kw_only=True):
    """One subscription of a stream."""

    subscribe: list[Json] = []
    """Templates; `{$list: symbol, say: "{symbol}@trade"}` gives the list of all symbols of the batch."""
    unsubscribe: list[Json] = []
    params: dict[str, Param | Scalar] = {}
    per: Literal["batch", "each"] = "batch"
    """One message for all values, or one for each."""
    max: int = 50
    """Values on one connection."""
    on: bool = True
    """Subscribed by default."""


class Token(Shape, frozen=True, kw_only=True):
    """A call that gives the socket's address (KuCoin bullet): values taken from its answer into the URL."""

    base: str = "main"
    path: str
    method: Literal["GET", "POST"] = "POST"
    url: str
    """Path of the socket address in the answer."""
    params: dict[str, str] = {}
    """Query parameter of the address -> path in the answer."""
    ping_ms: str | None = None


class Stream(Shape, frozen=True, kw_only=True):
    """One kind of socket of a provider."""

    url: str
    """`{param}` where the subscription is part of the address."""
    mirrors: list[str] = []
    """Other addresses of the same stream, known to `match`."""
    about: str = ""
    docs: str | None = None
    frames: Literal["text", "gzip", "deflate"] = "text"
    """How binary frames are packed; a binary frame of plain UTF-8 is `text`."""
    channels: dict[str, Channel]
    ack: Ack | None = None
    heartbeat: Heartbeat = Heartbeat()
    token: Token | None = None
    unwrap: str | None = None
    """Path of the inner message, when every message is wrapped; a message without it is taken as it is."""
    bound_by: str | None = None
    """Path of the channel number that `bind` gave a meaning."""
    silence_s: float = 60.0
    """No message for this long: reconnect."""
    max_age_s: float | None = None
    """The server closes after this; reconnect before."""
    auth: bool = False
    messages: dict[str, Message]
