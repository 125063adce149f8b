"""The strict shape of `provider.yaml`; an unknown key is an error at every level. Guide: docs/providers/format.md.

Words: a *path* is a string of closed steps (`data.list[*].price`), a *template* is JSON data with `{$param: name}` objects.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import field

from services.collector.registry.mapping import Condition, Emit, EntityRule, Shape, TimeRule

Json = Any
Scalar = str | int | float | bool
Outcome = Literal[
    "RATE_LIMITED", "QUOTA_EXHAUSTED", "AUTH", "FORBIDDEN_REGION", "UNSUPPORTED", "NOT_FOUND", "EMPTY", "TIMEOUT",
    "NETWORK", "UPSTREAM_5XX", "MALFORMED", "SCHEMA_DRIFT", "STALE",
]  # fmt: skip
Category = Literal[
    "market", "exchange", "derivatives", "explorer", "rpc", "onchain", "dex", "social", "news", "security", "whale",
    "technical", "nft",
]  # fmt: skip
BodyKind = Literal["json", "jsonrpc", "graphql", "rss", "csv", "text"]


class Retired(Shape, kw_only=True):
    """Why nobody should add this provider again."""

    date: str
    """ISO date on which it ended, or on which we learnt it."""
    reason: str
    source: str | None = None


class Auth(Shape, kw_only=True):
    """How a request proves who asks. The secret itself is only named, by its vault reference."""

    kind: Literal["none", "header", "query", "path", "bearer", "hmac"] = "none"
    name: str | None = None
    """Header, query parameter or path parameter that carries the secret."""
    secret: str | None = None
    """Vault reference: `<provider>/api_key`."""
    prefix: str = ""
    """Text before the secret in a header (`Apikey `)."""
    optional: bool = False
    """Works without the secret, with lower limits."""
    dialect: str | None = None
    """For hmac: a row of the signing dialects."""


class Limit(Shape, kw_only=True):
    """At most `n` (cost units) in `every` windows."""

    n: float
    window: Literal["second", "minute", "hour", "day", "month"]
    every: int = 1
    """10 requests per 6 seconds: n 10, window second, every 6."""
    scope: Literal["ip", "key", "endpoint"] = "ip"
    endpoints: list[str] = []
    """Only these endpoints draw on it; empty: all."""
    source: str = ""
    """URL (or fact sheet) that says so."""
    verified: str = ""
    """ISO date on which the source was read."""


class Param(Shape, kw_only=True):
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


class Batch(Shape, kw_only=True):
    """One request asks for many: the values of `param` together."""

    param: str
    max: int
    separator: str = ","
    style: Literal["join", "repeat", "json", "list"] = "join"
    """`join`: a,b  `repeat`: p=a&p=b  `json`: p=["a","b"]  `list`: a JSON list in the body template."""


class Pages(Shape, kw_only=True):
    """How to ask for more than one page."""

    style: Literal["page", "offset", "cursor"]
    param: str
    start: int = 1
    size: int | None = None
    size_param: str | None = None
    max: int = 1
    """Pages asked at most."""
    cursor: str | None = None
    """Path of the next cursor in the body."""


class Send(Shape, kw_only=True):
    """Body of a request: exactly one of these. Templates are data; see the guide."""

    json: Json = None
    form: dict[str, Scalar | Json] | None = None
    rpc: Rpc | None = None
    graphql: Graphql | None = None


class Rpc(Shape, kw_only=True):
    """A JSON-RPC 2.0 call; the envelope and id are ours."""

    method: str
    params: Json = []
    version: Literal["2.0", "1.0"] = "2.0"


class Graphql(Shape, kw_only=True):
    """A GraphQL POST."""

    query: str
    variables: Json = {}
    operation: str | None = None


class ErrorRule(Shape, kw_only=True):
    """First rule that fits decides the outcome; the provider's rules go before the general ones."""

    outcome: Outcome
    status: int | list[int] | None = None
    header: dict[str, str] = {}
    """Header name -> text it contains (case ignored)."""
    when: list[Condition] = []
    """All hold on the decoded body."""
    has: str | None = None
    """Text in the raw body (case ignored)."""
    source: str | None = None
    detail: str | None = None
    """Path of the provider's own words."""


class Csv(Shape, kw_only=True):
    """Shape of a CSV body; rows become objects by column name."""

    separator: str = ","
    columns: list[str] = []
    """Column names when the body has no header line."""
    skip: int = 0
    """Lines before the header."""


class Endpoint(Shape, kw_only=True):
    """One call of a provider."""

    path: str
    """With `{param}` where a parameter stands; appended to the base."""
    method: Literal["GET", "POST"] = "GET"
    base: str = "main"
    about: str = ""
    """One sentence: what it answers."""
    docs: str | None = None
    params: dict[str, Param | Scalar] = {}
    headers: dict[str, str] = {}
    send: Send | None = None
    batch: Batch | None = None
    pages: Pages | None = None
    every_s: int | None = None
    """Poll interval; None: the cadence of the home category."""
    floor_s: int | None = None
    """The provider renews the answer no faster than this."""
    cost: float = 1.0
    """Units drawn from the limits by one request."""
    ok: tuple[int, ...] = (200,)
    """Statuses whose body is an answer."""
    body: BodyKind = "json"
    csv: Csv | None = None
    errors: list[ErrorRule] = []
    hook: str | None = None
    """Named function of `map/hooks.py` that reshapes the payload first; needs `hook_reason`."""
    hook_reason: str | None = None
    live: bool = True
    """False: only asked for on demand (needs a parameter that nothing gives by default)."""
    auth: bool = True
    """False: sent without the credential."""
    max_bytes: int | None = None
    emits: list[Emit] = []
    book: Book | None = None
    """The answer is a snapshot of order books; streams that send only differences start from it."""


class Heartbeat(Shape, kw_only=True):
    """How a socket is kept alive."""

    kind: Literal["none", "ws_ping", "message", "reply"] = "ws_ping"
    """`ws_ping`: protocol pings. `message`: we send `send` every `every_s`. `reply`: the server's ping is answered."""
    every_s: float = 20.0
    send: Json = None
    """Template; a plain string is sent as text."""
    when: list[Condition] = []
    """For `reply`: what a server ping looks like; the answer is `send` (`{$path: ping}` takes a value from it)."""


class Ack(Shape, kw_only=True):
    """How the server confirms or refuses a subscription."""

    when: list[Condition] = []
    refused: list[Condition] = []
    detail: str | None = None
    timeout_s: float = 10.0


class Bind(Shape, kw_only=True):
    """A message that gives a channel number its meaning (Bitfinex): later messages carry only the number."""

    key: str
    params: dict[str, str]
    """Parameter name -> path in this message."""


class Sequence(Shape, kw_only=True):
    """How updates of a book follow each other."""

    rule: Literal["none", "rising", "contiguous", "range", "previous"]
    """`rising`: last only grows. `contiguous`: last = before + 1. `range`: first <= before + 1 <= last (Binance spot, KuCoin).
    `previous`: this message's `previous` = the last one's `last` (OKX, Binance futures)."""
    first: str | None = None
    last: str | None = None
    previous: str | None = None


class Snapshot(Shape, kw_only=True):
    """Where the start of a book comes from when the socket sends only differences."""

    endpoint: str
    param: str = "symbol"
    """Parameter of that endpoint that takes the symbol."""


class Book(Shape, kw_only=True):
    """A message (or response) that carries levels of an order book. Size 0 deletes a level."""

    kind: Literal["snapshot", "delta", "top"]
    """`snapshot` replaces the book, `delta` changes it, `top` is a whole short book each time."""
    entity: EntityRule
    rows: str | None = None
    """Path of several books in one message; None: the message is one."""
    bids: str | None = None
    asks: str | None = None
    changes: str | None = None
    """List of levels of both sides, when they are not apart; needs `side`."""
    price: str = "[0]"
    size: str = "[1]"
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


class Message(Shape, kw_only=True):
    """One kind of message on a stream; the first whose conditions hold takes it."""

    when: list[Condition] = []
    about: str = ""
    kind: Literal["data", "ignore", "error"] = "data"
    params: dict[str, str] = {}
    """Parameter name -> path in the message, available to the mapping as `$param.name`."""
    bind: Bind | None = None
    emits: list[Emit] = []
    book: Book | None = None


class Channel(Shape, kw_only=True):
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


class Token(Shape, kw_only=True):
    """A call that gives the socket's address (KuCoin bullet): values taken from its answer into the URL."""

    base: str = "main"
    path: str
    method: Literal["GET", "POST"] = "POST"
    url: str
    """Path of the socket address in the answer."""
    params: dict[str, str] = {}
    """Query parameter of the address -> path in the answer."""
    ping_ms: str | None = None


class Stream(Shape, kw_only=True):
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


class SymbolStyle(Shape, kw_only=True):
    """How a venue spells a pair, and which curated table reads its symbols."""

    separator: str = ""
    order: Literal["base_quote", "quote_base"] = "base_quote"
    case: Literal["upper", "lower"] = "upper"
    prefix: str = ""
    """Stands before every pair (`t`); a symbol without it is not one of these."""
    suffix: str = ""
    """Stands after every pair (`-SWAP`); a symbol without it is not one of these."""
    alias: dict[str, str] = {}
    """Venue's symbol -> asset id, where it differs from the curated table (`XBT: bitcoin`)."""
    pairs: dict[str, str] = {}
    """Whole symbols -> `base/quote` in asset ids (`XXBTZUSD: bitcoin/usd`)."""
    quotes: list[str] = []
    """Symbols that stand on the quote side, where pairs are written without separator; empty: the usual ones."""
    refuse: list[str] = []
    """Symbols that mean something else here; rows with them are left out."""


class Probe(Shape, kw_only=True):
    """The cheapest request that shows life."""

    endpoint: str
    params: dict[str, Scalar] = {}


class Provider(Shape, kw_only=True):
    """One folder: `providers/<home>/<id>/provider.yaml`."""

    id: str
    name: str
    home: Category
    homepage: str
    docs: str
    verified: str
    """ISO date on which the facts below were last read in their source."""
    status: Literal["live", "key-required", "paid", "retired"]
    retired: Retired | None = None
    about: str = ""
    group: str | None = None
    """Independence group; None: the provider itself."""
    weight: float = 1.0
    auth: Auth = Auth()
    limits: Literal["unknown"] | list[Limit] = "unknown"
    quota_headers: str | None = None
    """Row of the quota header dialects."""
    headers: dict[str, str] = {}
    """Sent with every request."""
    bases: dict[str, str] = {}
    """Name -> base URL, `main` is the default; `{param}` allowed."""
    mirrors: dict[str, list[str]] = {}
    """Name -> other addresses of the same API; never polled by default, known to `match`."""
    symbols: dict[str, SymbolStyle] = {}
    """Style name -> spelling; `default` is used where none is named."""
    symbols_of: str | None = None
    """Venue of `schemas/venues.yaml` whose symbols these are; None: the provider's own id."""
    ids: str | None = None
    """Table of `schemas/assets.yaml` that holds this provider's asset ids; None: the provider's own id."""
    chains: dict[str, str] = {}
    """Provider's chain name -> chain id of `schemas/chains.yaml`."""
    errors: list[ErrorRule] = []
    nulls: list[Scalar] = []
    """Spellings of 'no value' in all fields, beside null and the empty text."""
    probe: Probe | None = None
    endpoints: dict[str, Endpoint] = {}
    streams: dict[str, Stream] = {}
