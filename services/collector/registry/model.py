"""The strict shape of `provider.yaml`; an unknown key is an error at every level. Guide: docs/providers/format.md.

Words: a *path* is a string of closed steps (`data.list[*].price`), a *template* is JSON data with `{$param: name}` objects.
"""

from __future__ import annotations

from typing import Literal

from services.collector.registry.mapping import Condition, Emit, Scalar, Shape
from services.collector.registry.streams import (
    Ack,
    Bind,
    Book,
    Channel,
    Heartbeat,
    Json,
    Message,
    Param,
    Sequence,
    Snapshot,
    Stream,
    Token,
)

__all__ = [
    "Ack", "Auth", "Batch", "Bind", "BodyKind", "Book", "Category", "Channel", "Csv", "Endpoint", "ErrorRule", "Graphql", "Heartbeat",
    "Json", "Limit", "Message", "Outcome", "Pages", "Param", "Probe", "Provider", "Retired", "Rpc", "Scalar", "Send", "Sequence",
    "Snapshot", "Stream", "SymbolStyle", "Token",
]  # fmt: skip

Outcome = Literal[
    "RATE_LIMITED", "QUOTA_EXHAUSTED", "AUTH", "FORBIDDEN_REGION", "UNSUPPORTED", "NOT_FOUND", "EMPTY", "TIMEOUT",
    "NETWORK", "UPSTREAM_5XX", "MALFORMED", "SCHEMA_DRIFT", "STALE",
]  # fmt: skip
Category = Literal[
    "market", "exchange", "derivatives", "explorer", "rpc", "onchain", "dex", "social", "news", "security", "whale",
    "technical", "nft",
]  # fmt: skip
Status = Literal["live", "key-required", "paid", "retired"]
BodyKind = Literal["json", "jsonrpc", "graphql", "rss", "csv", "text"]


class Retired(Shape, frozen=True, kw_only=True):
    """Why nobody should add this provider again."""

    date: str
    """ISO date on which it ended, or on which we learnt it."""
    reason: str
    source: str | None = None


class Auth(Shape, frozen=True, kw_only=True):
    """How a request proves who asks. The secret itself is only named, by its vault reference."""

    kind: Literal["none", "header", "query", "path", "bearer", "basic", "hmac"] = "none"
    """`basic`: HTTP Basic with the secret as the user's name and no password, or `user:password` as one secret."""
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


class Limit(Shape, frozen=True, kw_only=True):
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


class Batch(Shape, frozen=True, kw_only=True):
    """One request asks for many: the values of `param` together."""

    param: str
    max: int
    separator: str = ","
    style: Literal["join", "repeat", "json", "list"] = "join"
    """`join`: a,b  `repeat`: p=a&p=b  `json`: p=["a","b"]  `list`: a JSON list in the body template."""


class Pages(Shape, frozen=True, kw_only=True):
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


class Send(Shape, frozen=True, kw_only=True):
    """Body of a request: exactly one of these. Templates are data; see the guide."""

    json: Json = None
    form: dict[str, Scalar | Json] | None = None
    rpc: Rpc | None = None
    graphql: Graphql | None = None


class Rpc(Shape, frozen=True, kw_only=True):
    """A JSON-RPC 2.0 call; the envelope and id are ours."""

    method: str
    params: Json = []
    version: Literal["2.0", "1.0"] = "2.0"


class Graphql(Shape, frozen=True, kw_only=True):
    """A GraphQL POST."""

    query: str
    variables: Json = {}
    operation: str | None = None


class ErrorRule(Shape, frozen=True, kw_only=True):
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


class Csv(Shape, frozen=True, kw_only=True):
    """Shape of a CSV body; rows become objects by column name."""

    separator: str = ","
    columns: list[str] = []
    """Column names when the body has no header line."""
    skip: int = 0
    """Lines before the header."""


class Endpoint(Shape, frozen=True, kw_only=True):
    """One call of a provider."""

    path: str
    """With `{param}` where a parameter stands; appended to the base."""
    also: list[str] = []
    """Other whole addresses of the same call (an older version, a sister host) with the parameters that they imply; never asked."""
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


class SymbolStyle(Shape, frozen=True, kw_only=True):
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


class Probe(Shape, frozen=True, kw_only=True):
    """The cheapest request that shows life."""

    endpoint: str
    params: dict[str, Scalar] = {}


class Provider(Shape, frozen=True, kw_only=True):
    """One folder: `providers/<home>/<id>/provider.yaml`."""

    id: str
    name: str
    home: Category
    homepage: str
    docs: str
    verified: str
    """ISO date on which the facts below were last read in their source."""
    status: Status
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
