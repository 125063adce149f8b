"""One upstream attempt over HTTP: phase timeouts, a size cap after decompression, own redirect rule. Faults are values."""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import httpx
from msgspec import Struct, field

USER_AGENT: Final = "parallax/0.1 (+https://parallax.invalid/bot)"
ACCEPT_ENCODING: Final = "gzip, deflate"
"""Only what `_Inflate` can unpack under a cap; brotli and zstd decoders give no bound on their output."""
REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
REDIRECTS_MAX: Final = 3
CONNECTIONS_MAX: Final = 64
CONNECTIONS_IDLE_MAX: Final = 32
IDLE_S: Final = 30.0


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds of one attempt. Phases in seconds, sizes in bytes."""

    connect_s: float = 5.0
    write_s: float = 5.0
    read_s: float = 10.0
    """Longest silence between two pieces of the answer."""
    total_s: float = 30.0
    """The whole attempt, redirects included: a body that drips a byte a second never trips `read_s`."""
    body_bytes: int = 16 * 1024 * 1024
    """Cap on the body after decompression."""


class Request(Struct, frozen=True, kw_only=True):
    """What to ask. `headers` and `url` may hold secrets: they are never logged, `shown` is."""

    url: str
    shown: str
    """The URL without secrets."""
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    etag: str | None = None
    last_modified: str | None = None


class Reply(Struct, frozen=True, kw_only=True):
    """What came back, whole and decompressed. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    started_ms: int
    received_ms: int
    latency_ms: float
    http_version: str = ""
    wire_bytes: int = 0

    @property
    def content_type(self) -> str | None:
        """Content-Type as sent."""
        return self.headers.get("content-type")


class Failure(Struct, frozen=True, kw_only=True):
    """No usable answer: class of the taxonomy (TIMEOUT, NETWORK, MALFORMED), a sentence, and what was read so far."""

    outcome: str
    detail: str
    started_ms: int
    received_ms: int
    latency_ms: float
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    """First bytes of a body that was refused, for the dead letter."""


FAULTS: Final[tuple[tuple[type[BaseException], str, str], ...]] = (
    (httpx.ConnectTimeout, "TIMEOUT", "no connection in time"),
    (httpx.ReadTimeout, "TIMEOUT", "the answer stalled"),
    (httpx.WriteTimeout, "TIMEOUT", "the request could not be written in time"),
    (httpx.PoolTimeout, "TIMEOUT", "no free connection in time"),
    (httpx.TimeoutException, "TIMEOUT", "timed out"),
    (TimeoutError, "TIMEOUT", "the whole attempt took too long"),
    (httpx.DecodingError, "MALFORMED", "the body could not be decompressed"),
    (httpx.RemoteProtocolError, "NETWORK", "the server broke the protocol"),
    (httpx.LocalProtocolError, "NETWORK", "the request was not valid HTTP"),
    (httpx.UnsupportedProtocol, "NETWORK", "the URL has no http or https scheme"),
    (httpx.ProxyError, "NETWORK", "the proxy refused"),
    (httpx.TooManyRedirects, "NETWORK", "too many redirects"),
    (httpx.NetworkError, "NETWORK", "the connection failed"),
    (httpx.TransportError, "NETWORK", "the connection failed"),
    (httpx.RequestError, "NETWORK", "the request failed"),
    (httpx.InvalidURL, "NETWORK", "the URL is not valid"),
    (httpx.StreamError, "NETWORK", "the answer could not be read"),
    (httpx.CookieConflict, "NETWORK", "two cookies have one name"),
    (httpx.HTTPStatusError, "NETWORK", "the status is an error"),
    (httpx.HTTPError, "NETWORK", "HTTP failed"),
    (ssl.SSLError, "NETWORK", "TLS failed"),
    (OSError, "NETWORK", "the socket failed"),
)
"""Foreign exception -> class of our taxonomy, most special first. A test walks httpx for classes that no row covers."""


class _Refused(Exception):
    """The answer breaks one of our bounds."""

    def __init__(self, outcome: str, detail: str, body: bytes = b"") -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.body = body


class Sender:
    """Sends requests over one pool of connections."""

    def __init__(self, client: httpx.AsyncClient, limits: Limits) -> None:
        self._client = client
        self._limits = limits

    async def send(self, request: Request) -> Reply | Failure:
        """One attempt; raises nothing but cancellation and bugs."""
        started_ms, clock = time.time_ns() // 1_000_000, time.perf_counter()
        seen: dict[str, int | Mapping[str, str]] = {}

        def failure(outcome: str, detail: str, body: bytes = b"") -> Failure:
            status, headers = seen.get("status"), seen.get("headers")
            return Failure(
                outcome=outcome,
                detail=detail,
                started_ms=started_ms,
                received_ms=time.time_ns() // 1_000_000,
                latency_ms=(time.perf_counter() - clock) * 1000,
                status=status if isinstance(status, int) else None,
                headers=dict(headers) if isinstance(headers, Mapping) else {},
                body=body,
            )

        try:
            async with asyncio.timeout(self._limits.total_s):
                response, body = await self._follow(request, seen)
        except _Refused as refused:
            return failure(refused.outcome, refused.detail, refused.body)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict, OSError) as error:
            outcome, sentence = fault_of(error)
            return failure(outcome, f"{sentence} ({type(error).__name__})")
        return Reply(
            status=response.status_code,
            headers=_lower(response.headers),
            body=body,
            started_ms=started_ms,
            received_ms=time.time_ns() // 1_000_000,
            latency_ms=(time.perf_counter() - clock) * 1000,
            http_version=response.http_version,
            wire_bytes=response.num_bytes_downloaded,
        )

    async def _follow(self, request: Request, seen: dict[str, int | Mapping[str, str]]) -> tuple[httpx.Response, bytes]:
        url, method, content = request.url, request.method, request.body
        headers = {"user-agent": USER_AGENT, "accept-encoding": ACCEPT_ENCODING} | request.headers
        if request.etag:
            headers["if-none-match"] = request.etag
        if request.last_modified:
            headers["if-modified-since"] = request.last_modified
        for _ in range(REDIRECTS_MAX + 1):
            async with self._client.stream(method, url, headers=headers, content=content) as response:
                seen["status"], seen["headers"] = response.status_code, _lower(response.headers)
                if response.status_code not in REDIRECT_STATUSES or "location" not in response.headers:
                    return response, await self._read(response)
                target = str(response.url.join(response.headers["location"]))
            if not _same_house(url, target):
                raise _Refused("NETWORK", f"redirected to another host ({urlsplit(target).hostname})")
            if response.status_code == 303 or (response.status_code in (301, 302) and method == "POST"):
                method, content = "GET", None
            url = target
        raise _Refused("NETWORK", f"more than {REDIRECTS_MAX} redirects")

    async def _read(self, response: httpx.Response) -> bytes:
        inflate = _Inflate(response.headers.get("content-encoding", ""), self._limits.body_bytes)
        async for chunk in response.aiter_raw():
            inflate.feed(chunk)
        return inflate.finish()


class _Inflate:
    """Unpacks a body as it arrives and stops at the cap: a bomb costs `cap` bytes, never what it would expand to."""

    def __init__(self, encoding: str, cap_bytes: int) -> None:
        self._cap = cap_bytes
        self._out = bytearray()
        self._fed = False
        match encoding.strip().lower():
            case "" | "identity":
                self._unpack = None
            case "gzip" | "x-gzip":
                self._unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
            case "deflate":
                self._unpack = zlib.decompressobj()
            case other:
                raise _Refused("MALFORMED", f"content-encoding {other!r} was not asked for")
        self._raw_deflate = encoding.strip().lower() == "deflate"

    def feed(self, chunk: bytes) -> None:
        self._fed = True
        if self._unpack is None:
            self._out += chunk
        else:
            self._out += self._inflate(chunk)
        if len(self._out) > self._cap:
            raise _Refused("MALFORMED", f"body of more than {self._cap} bytes", bytes(self._out[: 64 * 1024]))

    def _inflate(self, chunk: bytes) -> bytes:
        assert self._unpack is not None
        room = self._cap + 1 - len(self._out)
        try:
            return self._unpack.decompress(chunk, room)
        except zlib.error:
            if self._raw_deflate and not self._out:  # some servers mean raw deflate (RFC 9110 8.4.1.2 note)
                self._raw_deflate, self._unpack = False, zlib.decompressobj(-zlib.MAX_WBITS)
                return self._inflate(chunk)
            raise _Refused("MALFORMED", "the body could not be decompressed", bytes(self._out[: 64 * 1024])) from None

    def finish(self) -> bytes:
        if self._unpack is not None and self._fed:
            self._out += self._inflate(b"")
            if not self._unpack.eof:
                raise _Refused("MALFORMED", "the compressed body ends too early", bytes(self._out[: 64 * 1024]))
        return bytes(self._out)


@asynccontextmanager
async def sender(limits: Limits, ca_file: str | None = None) -> AsyncIterator[Sender]:
    """A sender whose pool lives as long as the block. `ca_file` adds a private authority to the usual ones."""
    context = httpx.create_ssl_context()
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    async with httpx.AsyncClient(
        http2=True,
        verify=context,
        follow_redirects=False,
        timeout=httpx.Timeout(
            connect=limits.connect_s, read=limits.read_s, write=limits.write_s, pool=limits.connect_s
        ),
        limits=httpx.Limits(
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_IDLE_MAX,
            keepalive_expiry=IDLE_S,
        ),
    ) as client:
        yield Sender(client, limits)


def fault_of(error: BaseException) -> tuple[str, str]:
    """Class and sentence of a foreign exception; KeyError names one that no row covers."""
    for kind, outcome, sentence in FAULTS:
        if isinstance(error, kind):
            return outcome, sentence
    raise KeyError(f"send.FAULTS has no row for {type(error).__module__}.{type(error).__qualname__}")


def _lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _same_house(url: str, target: str) -> bool:
    """Redirects stay on the host and port that the definition names, or upgrade that host to https: secrets travel along."""
    here, there = urlsplit(url), urlsplit(target)
    if (here.scheme, here.netloc) == (there.scheme, there.netloc):
        return True
    return here.hostname == there.hostname and (here.scheme, there.scheme) == ("http", "https")
