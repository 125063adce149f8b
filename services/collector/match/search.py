"""Which provider and endpoint a request belongs to, and with which parameters: the addresses of all definitions, read backwards. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from services.collector.match.addresses import Address, akin, holes, is_secret, place_of, read, whole_host
from services.collector.match.sent import plain, read_back
from services.collector.registry.model import Endpoint, Param, Provider, Scalar


class Match(NamedTuple):
    """An endpoint (or stream) and the parameters that the request gave it."""

    provider: str
    endpoint: str
    params: dict[str, str]


class Near(NamedTuple):
    """An endpoint that a request is not, and why."""

    provider: str
    endpoint: str
    address: str
    why: str


class _Candidate(NamedTuple):
    """A fit, and how well it fits."""

    match: Match
    rank: tuple[int, ...]
    complete: bool
    """Every required parameter was given."""
    blind: bool
    """The endpoint is told by its body, and there was none."""


_Refused = str
"""Why an endpoint of this very address is not meant."""
_encode = msgspec.json.Encoder().encode

HARMLESS: Final = frozenset(
    "limit count size sz depth len page per_page page_size pagesize offset start outputsize countback last limit_bids limit_asks "
    "limit_trades numberofrecenttradestoretrieve order sort sortby sort_by orderby sortdirection direction localization tickers "
    "sparkline exclude_exchange_logo no_404 group groupbypricelimit aggregate with_id mintvl min_value searchwidth minutesintohistory "
    "convert quotes tsyms vs_currencies quote_currencies days precision".split()
)
"""Parameters whose value says how much is answered, or what the mapping asks for by name; any other one changes the meaning."""
HARMLESS_STARTS: Final = ("include", "exclude", "ignore")
EVERYTHING: Final = frozenset({"all", "any", "*"})
"""Literals that ask for all; who asked for one of them got rows of the same kind."""


def match(
    providers: Iterable[Provider], url: str, method: str | None = None, body: bytes | None = None, loose: bool = False
) -> list[Match]:
    """Endpoints that this request fits, best first; without a method, POST is assumed when there is a body.

    `loose` also takes hosts that differ in service words, and requests that ask by another parameter than ours.
    """
    found = [one for _, one in _tried(providers, url, method, body, loose) if isinstance(one, _Candidate)]
    if sum(one.blind for one in found) > 1:
        found = [one for one in found if not one.blind]
    if any(one.complete for one in found) or not loose:
        found = [one for one in found if one.complete]
    return [one.match for one in sorted(found, key=lambda one: one.rank, reverse=True)]


def untold(providers: Iterable[Provider], url: str, method: str | None = None) -> list[Match]:
    """Endpoints of this address whose calls only a body tells apart, for a request of which no body is known."""
    found = [one for _, one in _tried(providers, url, method, None, True) if isinstance(one, _Candidate)]
    return [one.match for one in found if one.blind and one.complete]


def near(
    providers: Iterable[Provider], url: str, method: str | None = None, body: bytes | None = None, most: int = 3
) -> list[Near]:
    """Endpoints that come closest to a request which fits none, with what keeps them apart; nearest first."""
    known = list(providers)
    close = [one for one in (_missed(found) for found in _tried(known, url, method, body, True)) if one is not None]
    if close:
        return close[:most]
    asked = read(url)
    places = {f"{host}{path}": (provider, name) for provider, name, host, path in _places(known)}
    here = {place: one for place, one in places.items() if akin(asked.host, place.partition("/")[0])}
    pool, why = (here, "another path of the same host") if here else (places, "another host")
    best = difflib.get_close_matches(asked.place, pool, 4 * most, 0.4)
    one_each = {pool[place]: place for place in reversed(best)}
    return [Near(*one, f"https://{place}", why) for one, place in reversed(one_each.items())][:most]


def match_stream(providers: Iterable[Provider], url: str) -> list[Match]:
    """Streams whose socket has this address, best first; what stands behind the address (`/ws/btcusdt@trade`) does not matter.

    Where one socket serves spot and swaps, the spot venue is named first.
    """
    asked = read(url)
    if asked.scheme not in ("ws", "wss"):
        return []
    found: list[tuple[tuple[int, ...], Match]] = []
    for provider in providers:
        for name, stream in provider.streams.items():
            for ours in (stream.url, *stream.mirrors):
                host, path = place_of(ours)
                fit = holes(f"{host}{path}", asked.place)
                if fit is None and (akin(asked.host, host) and f"{asked.path}/".startswith(f"{path}/")):
                    fit = {}
                if fit is not None:
                    whole = asked.path.casefold() == path.casefold()
                    rank = (len(path), int(asked.host == host), int(whole), int(provider.home == "exchange"))
                    found.append((rank, Match(provider.id, name, fit)))
                    break
    return [one for _, one in sorted(found, key=lambda one: one[0], reverse=True)]


def secrets_of(provider: Provider) -> frozenset[str]:
    """Names of the parameters that carry this provider's credential."""
    auth = provider.auth
    return frozenset({auth.name}) if auth.kind in ("query", "path") and auth.name else frozenset()


def _tried(
    providers: Iterable[Provider], url: str, method: str | None, body: bytes | None, loose: bool
) -> Iterator[tuple[tuple[Provider, str], _Candidate | _Refused | None]]:
    """Every endpoint whose address this is: its fit, or why it is not meant."""
    asked, sent = read(url), plain(body)
    for provider in providers:
        for name, endpoint in provider.endpoints.items():
            if method is not None and method.upper() != endpoint.method:
                continue
            if method is None and body is not None and endpoint.method != "POST":
                continue
            yield (provider, name), _fit(provider, name, endpoint, asked, sent, loose)


def _missed(found: tuple[tuple[Provider, str], _Candidate | _Refused | None]) -> Near | None:
    (provider, name), outcome = found
    endpoint = provider.endpoints[name]
    if outcome is None:
        return None
    if isinstance(outcome, _Candidate):
        why = "a body tells its calls apart: give --body" if outcome.blind else "a parameter is missing"
    else:
        why = outcome
    return Near(provider.id, name, f"{provider.bases.get(endpoint.base, '')}{endpoint.path}", why)


def _places(providers: Iterable[Provider]) -> Iterator[tuple[str, str, str, str]]:
    for provider in providers:
        for name, endpoint in provider.endpoints.items():
            for host, path, _ in _addresses(provider, endpoint):
                yield provider.id, name, host, path


def _fit(
    provider: Provider, name: str, endpoint: Endpoint, asked: Address, sent: Any, loose: bool
) -> _Candidate | _Refused | None:
    for host, path, implied in _addresses(provider, endpoint):
        in_path = holes(f"{host}{path}", asked.place)
        exact = in_path is not None
        if in_path is None and loose and akin(asked.host, host):
            in_path = holes(f"{host}{path}", f"{host}{asked.path}")
        hole = whole_host(host)
        if in_path is None or (hole is not None and in_path[hole] not in provider.chains):
            continue
        in_body = read_back(endpoint, sent)
        if in_body is None:
            return "its body is another one"
        params = {**implied, **asked.query, **in_body, **in_path}
        wrong = _contradiction(endpoint, params)
        if wrong is not None:
            return wrong
        lacking = [key for key in _required(endpoint) if key not in params]
        if lacking and not (loose and _names_its_rows(endpoint, lacking)):
            return f"it needs {', '.join(lacking)}"
        secrets = secrets_of(provider)
        shown = {key: value for key, value in params.items() if not is_secret(key, secrets) or key in endpoint.params}
        return _Candidate(
            Match(provider.id, name, shown),
            (int(exact), *_rank(endpoint, asked, params, in_path, in_body)),
            not lacking,
            endpoint.send is not None and sent is None,
        )
    return None


def _addresses(provider: Provider, endpoint: Endpoint) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Host, path and implied parameters of every address of an endpoint."""
    for base in (provider.bases.get(endpoint.base, ""), *provider.mirrors.get(endpoint.base, [])):
        yield *place_of(base, endpoint.path), {}
    for whole in endpoint.also:
        yield *place_of(whole), read(whole).query


def _required(endpoint: Endpoint) -> Iterator[str]:
    for name, param in endpoint.params.items():
        if isinstance(param, Param) and param.required and param.default is None and not param.values:
            yield name


def _is_mapped(endpoint: Endpoint, name: str) -> bool:
    """Whether the mapping reads the parameter, and so knows what its values mean."""
    said = _encode((endpoint.emits, endpoint.book, endpoint.hook)).decode()
    return f"$param.{name}" in said or endpoint.hook is not None


def _names_its_rows(endpoint: Endpoint, lacking: list[str]) -> bool:
    """Whether an answer says what it is about without the parameters: no rule reads them, nor keys spelled as they were asked for."""
    return not any(_is_mapped(endpoint, key) for key in lacking) and b"$key" not in _encode(
        [emit.entity for emit in endpoint.emits]
    )


def _contradiction(endpoint: Endpoint, params: Mapping[str, str]) -> str | None:
    """Where the request asks for something that the endpoint never asks for, and which changes what the answer means."""
    for name, param in endpoint.params.items():
        if isinstance(param, Param) or name not in params or _same(param, params[name]):
            continue
        plain_name = name.lower().removesuffix("[]")
        if plain_name in HARMLESS or plain_name.startswith(HARMLESS_STARTS):
            continue
        text = str(param)
        if "," in text or text.lower() in EVERYTHING or _is_mapped(endpoint, name):
            continue
        return f"{name} is {params[name]}, and its meaning is known for {_text(param)} only"
    return None


def _same(ours: Scalar, theirs: str) -> bool:
    if isinstance(ours, bool):
        return theirs.lower() in (("true", "1", "yes") if ours else ("false", "0", "no"))
    return str(ours).lower() == theirs.lower()


def _text(value: Scalar) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _rank(
    endpoint: Endpoint,
    asked: Address,
    params: Mapping[str, str],
    in_path: Mapping[str, str],
    in_body: Mapping[str, str],
) -> tuple[int, ...]:
    """Fixed text of the path, parameters of the body, parameters explained less those left over, literals met, polled."""
    explained = sum(name in params for name in endpoint.params)
    fixed = sum(
        not isinstance(param, Param) and name in params and _same(param, params[name])
        for name, param in endpoint.params.items()
    )
    left_over = sum(name not in endpoint.params and not is_secret(name) for name in asked.query)
    literal = len(asked.path) - sum(len(value) for value in in_path.values())
    return (literal, len(in_body), explained - left_over, fixed, int(endpoint.live), -len(endpoint.params))
