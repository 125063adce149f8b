"""Addresses of requests compared: spelling, ports and hosts that differ in service words only; and what of them is secret. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

SECRET_WORDS: Final = re.compile(
    r"(api_?-?key|access_?-?key|token$|auth|secret|signature|passphrase|app_?id|^key$|^x_cg_)", re.I
)
"""Query parameters whose values never reach a file or a screen."""
REDACTED: Final = "***"
SERVICE_WORDS: Final = frozenset(
    "api www pro public pub rest data aws openapi open cloud gateway gw app web http https mainnet prod production live free cdn "
    "v1 v2 v3 v4 us eu global".split()
)
"""Parts of a host name that say how an answer is served, not what it is about."""
_HOLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_\[\]]*)\}")


class Address(NamedTuple):
    """A URL taken apart; `query` joins what stands several times with commas."""

    scheme: str
    host: str
    path: str
    query: dict[str, str]

    @property
    def place(self) -> str:
        """Host and path."""
        return f"{self.host}{self.path}"


def read(url: str) -> Address:
    """Address of a URL in any usual spelling: without scheme, with a login, a port, doubled or closing slashes, encoded letters."""
    parts = urlsplit(url if "//" in url.split("?")[0] else f"https://{url}")
    query: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value
    host = (parts.hostname or "").rstrip(".")
    return Address(parts.scheme.lower(), host, decoded(parts.path), query)


def decoded(path: str) -> str:
    """A path with one slash where there were many, none at the end, and its letters plain; an encoded slash stays encoded."""
    steps = [unquote(step).replace("/", "%2F") for step in path.split("/")]
    return "".join(f"/{step}" for step in steps if step)


def akin(host: str, ours: str) -> bool:
    """Whether two hosts differ in service words and numbers only: `api1.acme.com`, `pro-api.acme.com`; never a sandbox or a chain."""
    if host == ours:
        return True
    if "{" in ours or host.count(".") == 0:
        return False
    return _kernel(host) == _kernel(ours)


@lru_cache(maxsize=8192)
def _kernel(host: str) -> tuple[str, ...]:
    *front, name, top = host.split(".")
    words = [re.sub(r"\d+$", "", word) for part in front for word in part.split("-")]
    return (*sorted({word for word in words if word and word not in SERVICE_WORDS}), name, top)


def holes(template: str, place: str) -> dict[str, str] | None:
    """Values of the `{holes}` of an address of ours in a place; None when it is another place. Letters may be large or small."""
    fit = _pattern(template).fullmatch(place)
    return None if fit is None else {key: unquote(value) for key, value in fit.groupdict().items()}


def whole_host(template: str) -> str | None:
    """Name of the hole that stands for a whole host, dots and all (`{chain}/rpc`); None when the host has letters of its own."""
    fit = _HOLE.fullmatch(template.partition("/")[0])
    return None if fit is None else fit[1]


@lru_cache(maxsize=8192)
def _pattern(template: str) -> re.Pattern[str]:
    host, slash, path = template.partition("/")
    parts = []
    for text, inner in ((host, "[^/]+" if whole_host(template) else "[^/.]+"), (slash + path, "[^/]+")):
        last = 0
        for hole in _HOLE.finditer(text):
            parts += [re.escape(text[last : hole.start()]), f"(?P<{hole[1]}>{inner})"]
            last = hole.end()
        parts.append(re.escape(text[last:]))
    return re.compile("".join(parts), re.IGNORECASE)


@lru_cache(maxsize=8192)
def place_of(base: str, path: str = "") -> tuple[str, str]:
    """Host and path of an address of ours, which may have holes and a port."""
    whole = f"{base}{path}".partition("://")[2]
    host, _, rest = whole.partition("/")
    return host.partition(":")[0].lower(), decoded(rest.partition("?")[0])


def redacted(url: str, secrets: frozenset[str] = frozenset()) -> str:
    """The URL with the values of its secret parameters, and a login before the host, replaced."""
    front, mark, query = url.partition("?")
    scheme, slashes, rest = front.rpartition("//")
    login, at, host = rest.partition("@")
    shown = f"{scheme}{slashes}{host if at and '/' not in login else rest}"
    pairs = [
        f"{name}={REDACTED}" if is_secret(name, secrets) else f"{name}={quote(value, safe='[]{}:,/@$*')}"
        for name, value in parse_qsl(query, keep_blank_values=True)
    ]
    return f"{shown}{mark}{'&'.join(pairs)}"


def is_secret(name: str, secrets: frozenset[str] = frozenset()) -> bool:
    """Whether a parameter of this name carries a credential."""
    return name in secrets or SECRET_WORDS.search(name) is not None
