"""The mapping part of `provider.yaml`: rows, conditions, entities, times, quotes and fields."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

Scalar = str | int | float | bool


class Shape(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every part: frozen, keywords only, strict."""


class Condition(Shape, frozen=True, kw_only=True):
    """A test of one value; every key that is written must hold. With `any`, one of the conditions must hold."""

    path: str = "."
    eq: Scalar | None = None
    ne: Scalar | None = None
    among: list[Scalar] | None = field(name="in", default=None)
    not_in: list[Scalar] | None = None
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    present: bool | None = None
    """True: there and not null; false: missing or null."""
    len: int | None = None
    """Length of a list, an object or a text."""
    min_len: int | None = None
    starts: str | None = None
    ends: str | None = None
    has: str | None = None
    """Text or list that contains it."""
    matches: str | None = None
    """Regular expression that the whole text fits."""
    type: Literal["object", "list", "text", "number", "bool", "null"] | None = None
    any: list[Condition] | None = None


class Order(Shape, frozen=True, kw_only=True):
    """Sort of the rows by a number (or text); rows without it go last."""

    by: str
    desc: bool = True


class Zip(Shape, frozen=True, kw_only=True):
    """Index-aligned lists made into rows: row = {name: element}."""

    zip: dict[str, str]


class TimeRule(Shape, frozen=True, kw_only=True):
    """Where a time stands and how it is written."""

    path: str | list[str]
    """The first that has a value."""
    unit: Literal["s", "ms", "us", "ns", "epoch", "iso", "rfc822", "date", "format"] = "ms"
    """`date`: YYYY-MM-DD, midnight UTC. `iso`: ISO 8601, UTC when it names no zone. `epoch`: seconds to nanoseconds, told by its size."""
    then: str | None = None
    """Path of the time of day, when date and time are two texts; they are read as one, with a space between."""
    format: str | None = None
    """strptime form for unit `format`."""
    zone_h: float = 0.0
    """Hours east of UTC of a time that names no zone."""
    add_s: float = 0.0
    """Added: a candle that is stamped with its start is known at its end."""


class EntityRule(Shape, frozen=True, kw_only=True):
    """What a row is about. `kind` plus one way to say which one; every other value is a path."""

    kind: Literal[
        "asset", "pair", "perp", "future", "option", "chain", "token", "pool", "collection", "story", "transfer",
        "transaction", "global", "protocol", "address",
    ]  # fmt: skip
    fixed: str | None = field(name="is", default=None)
    """The entity's name itself: `bitcoin`, `ethereum`, `market`, `bitcoin/tether`."""
    id: str | None = None
    """Path of the provider's id: asset by the provider's id table; protocol, collection, pool as it is, in lower case."""
    table: str | None = None
    """Id table of another provider (`coingecko`), for `id`."""
    symbol: str | None = None
    """Path of a symbol: for asset a coin's, for pair, perp, future a market's; read by the curated tables of the venue."""
    base: str | None = None
    quote: str | None = None
    """Paths of the two sides, when they are apart (`kind: pair`, `perp`)."""
    quote_is: str | None = None
    """Asset id of the quote side, when it is always the same."""
    style: str = "default"
    """Row of the provider's `symbols`."""
    chain: str | None = None
    """Path of the chain in the provider's spelling (table `chains`), or an EVM chain id."""
    chain_is: str | None = None
    """Chain id of schemas/chains.yaml, when it is always the same."""
    contract: str | None = None
    """Path of a contract address: asset or token on `chain`."""
    hash: str | None = None
    address: str | None = None
    url: str | None = None
    """Path of a story's address; the entity is the hash of its canonical form."""
    expiry: TimeRule | None = None
    strike: str | None = None
    right: str | None = None
    """Option: path of `C`/`P`, `call`/`put`."""


class QuoteRule(Shape, frozen=True, kw_only=True):
    """In which asset the money of a row is counted; as a plain text: an asset id, or `pair` for the quote side of the entity."""

    symbol: str | None = None
    """Path of a currency symbol (`USD`, `usdt`), read by the curated table."""
    id: str | None = None
    """Path of the provider's id of the quote asset."""
    style: str = "default"


class FieldRule(Shape, frozen=True, kw_only=True):
    """How one metric is read. As a plain text, or a list of them: just the path. The order of work is the order of the keys here."""

    path: str | list[str] | None = None
    """The first path that has a value counts."""
    fixed: Scalar | None = field(name="is", default=None)
    """The value itself, when the row alone says it (a list of sanctioned addresses)."""
    each: str | None = None
    """Path of a list inside the row; `path` then is relative to its elements; needs `take`."""
    where: list[Condition] = []
    """Elements of `each` that count."""
    first: int | None = None
    """At most this many of them."""
    by: str | None = None
    """With `take: max` or `min`: the element whose number at this path is the largest or smallest gives the value."""
    take: Literal["sum", "max", "min", "mean", "count", "any", "all", "first", "last", "list", "spread"] | None = None
    nulls: list[Scalar] = []
    """Spellings of 'no value' of this field."""
    strip: str = ""
    """Characters removed from both ends and from between digits (`%`, `,`, `$`)."""
    type: (
        Literal["number", "short", "integer", "hex", "bool", "text", "list", "time", "count", "present", "missing"]
        | None
    ) = None
    """None: what the catalogue's kind says. `short`: 1.2B, 350K. `count`: length; `present`, `missing`: whether there is a value."""
    time: Literal["s", "ms", "us", "ns", "epoch", "iso", "rfc822", "date"] = "ms"
    """For `type: time`: how it is written; the value is in ms."""
    html: bool = False
    """Text with markup, which is removed."""
    split: str | None = None
    """For `list`: the text is cut here."""
    map: dict[str, Scalar] | None = None
    """Spelling -> value; a spelling that is not here is a fault, unless `other` is written."""
    other: Scalar | None = None
    abs: bool = False
    plus: str | float | list[str | float] = []
    minus: str | float | list[str | float] = []
    times: str | float | list[str | float] = []
    over: str | float | list[str | float] = []
    """Paths or numbers. Without a value in one of them there is no value."""
    decimals: int | str | None = None
    """Scaled integer: divided by 10 to the power of this number, or of the value at this path."""
    invert: bool = False
    """1 / value."""
    complement: float | None = None
    """This number minus the value (safety score -> risk score: 100)."""
    unit: str | None = None
    """Unit as the provider writes it (docs/providers/format.md has the table); converted to the catalogue's. None: the same."""
    required: bool = False
    """A row without it is a fault; when most rows lack it, the shape has drifted."""


class Emit(Shape, frozen=True, kw_only=True):
    """One kind of event from a response or message: which rows, about what, and which metrics."""

    category: str | None = None
    """None: the provider's home category."""
    rows: str | Zip | None = None
    """Path with `[*]` (list), `[*?]` (list, or one object) or `.*` (object entries); None: the payload is the one row."""
    when: list[Condition] = []
    """All hold on the whole payload, else this emit is silent."""
    where: list[Condition] = []
    """Rows that count."""
    order: Order | None = None
    limit: int | None = None
    """At most this many rows, after order."""
    unique: str | None = None
    """Path: only the first row of each value, after order."""
    optional: bool = False
    """The rows path may be missing; else that is drift."""
    entity: EntityRule
    quote: str | QuoteRule | None = None
    event: TimeRule | None = None
    fields: dict[str, str | list[str] | FieldRule]
    """Catalogue metric -> how it is read."""
