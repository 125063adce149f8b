"""`parallax providers try`: a saved answer or socket log mapped, with nothing sent; the request says who meant what by it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from schemas.events import Raw
from services.collector import proof
from services.collector.decode import DecodeError, decode_message, unpacked
from services.collector.map import identity
from services.collector.map.compile import stamp
from services.collector.map.mapped import BookChange, Mapped
from services.collector.map.messages import compile_stream
from services.collector.match import Match, match, match_stream, near, secrets_of, untold
from services.collector.match.addresses import redacted
from services.collector.match.envelopes import Exchange, opened
from services.collector.match.sent import calls_apart
from services.collector.reading import Reader
from services.collector.registry import load as loading
from services.collector.registry.load import Loaded, Registry
from services.collector.registry.model import Provider, Stream
from services.collector.showing import show_event
from services.collector.stream.tops import Tops
from services.collector.terminal import DONE, FAILED, WrongCall, known, talk, tell


class Meant(NamedTuple):
    """Whose answer it is."""

    provider: str
    target: str
    params: dict[str, str]


def run(args: argparse.Namespace) -> int:
    """Events of a saved answer, one JSON a line; or the class of its error. A recorder's file may hold several answers."""
    registry = loading.load()
    given = dict(pairs(args.param, "=", "--param k=v"))
    headers = dict(pairs(args.header, ":", "--header 'K: V'"))
    if args.provider is not None:
        find(registry, args.provider)
    body = sys.stdin.buffer.read() if str(args.payload) == "-" else read_file(args.payload)
    sent = sent_body(args)
    if args.url is None and args.provider is not None and args.endpoint is None:
        raise WrongCall("expected PROVIDER ENDPOINT, or --url URL")
    code = DONE
    recorded = [one._replace(sent=sent or one.sent) for one in _exchanges(args, registry, body)]
    for one in [call for whole in recorded for call in _calls(args, registry, whole)]:
        method = args.method or one.method
        meant = _meant(args, registry, one._replace(url=args.url or one.url, method=method))
        status = args.status if args.status is not None else one.status or 200
        said = {**one.headers, **headers}
        code = max(code, _try(args, registry, meant, one.body, {**meant.params, **given}, status, said))
    return code


def sent_body(args: argparse.Namespace) -> bytes | None:
    """The request's body, from the command line or a file."""
    if args.body is not None and args.request_body is not None:
        raise WrongCall("expected --body or --request-body, got both")
    if args.body is not None:
        return str(args.body).encode()
    return read_file(args.request_body) if args.request_body is not None else None


def _exchanges(args: argparse.Namespace, registry: Registry, body: bytes) -> list[Exchange]:
    """What the file holds: the answers of a recorder's file, those of the URL first asked for, or the bare body."""
    found = opened(_values(body))
    if not found or (args.url is None and args.provider is not None and len(found) > 1):
        return found or [Exchange(None, None, None, None, {}, body)]
    if args.url is not None and len(found) > 1:
        asked = [one[:2] for one in fits(registry, args.url, args.method, None)]
        same = [
            one for one in found if one.url and [fit[:2] for fit in fits(registry, one.url, None, one.sent)] == asked
        ]
        return same or found[:1]
    return found


def _calls(args: argparse.Namespace, registry: Registry, whole: Exchange) -> list[Exchange]:
    """The calls of an RPC batch that we map, one by one; an answer to one call stays whole."""
    url, method = args.url or whole.url, args.method or whole.method
    if url is None or args.endpoint is not None:
        return [whole]
    known = [part for part in calls_apart(whole.sent, whole.body) if fits(registry, url, method, part[0])]
    return [whole._replace(sent=call, body=answer) for call, answer in known] or [whole]


def _values(body: bytes) -> Any:
    """The file as values, when it is JSON or a cassette in YAML; None for anything else."""
    try:
        body = unpacked(body)
    except DecodeError:
        return None
    head = body[:4096].lstrip()
    try:
        if head.startswith((b"interactions:", b"http_interactions:", b"- request:", b"request:", b"---")):
            return yaml.safe_load(body)
        return json.loads(body) if head[:1] in (b"{", b"[") else None
    except (ValueError, yaml.YAMLError, RecursionError):
        return None


def fits(registry: Registry, url: str, method: str | None, sent: bytes | None) -> list[Match]:
    """Endpoints, else streams, that have this address, best first."""
    providers = registry.providers.values()
    found = match(providers, url, method, sent, loose=True)
    if not found and method is None and sent is not None:
        found = match(providers, url, "GET", None, loose=True)
    return found or match_stream(providers, url)


def _meant(args: argparse.Namespace, registry: Registry, asked: Exchange) -> Meant:
    """Provider and endpoint: as named, else by the address, else by the answer where only a body would tell."""
    url, method, sent = asked.url, asked.method, asked.sent
    if args.provider is not None and args.endpoint is not None:
        params: dict[str, str] = {}
        if url is not None:
            own = [one for one in fits(registry, url, method, sent) if one[:2] == (args.provider, args.endpoint)]
            if not own and args.url is not None:
                raise WrongCall(f"{args.provider} {args.endpoint} has not {_shown(registry, url)}")
            params = dict(own[0].params) if own else {}
        return Meant(args.provider, args.endpoint, params)
    if url is None:
        raise WrongCall("expected PROVIDER ENDPOINT, or --url URL")
    found = fits(registry, url, method, sent)
    if not found and sent is None:
        found = _told_by_answer(registry, untold(registry.providers.values(), url, method), asked.body)
    found = [one for one in found if args.provider in (None, one.provider)]
    if not found:
        raise WrongCall(no_address(registry, url, method, sent))
    talk(f"{found[0].provider} {found[0].endpoint}")
    return Meant(found[0].provider, found[0].endpoint, dict(found[0].params))


def _told_by_answer(registry: Registry, calls: Sequence[Match], body: bytes) -> list[Match]:
    """The one call whose mapping reads this answer whole. A lone number says nothing about what was asked."""
    read = []
    for one in calls:
        loaded = registry.loaded[one.provider]
        reader = Reader(loaded.provider, one.endpoint, identity.load(), loaded.hash)
        outcome, mapped = reader.read(200, {}, body, one.params, _received_ms({}), "replay")
        if not outcome.ok or mapped is None or mapped.faults or mapped.drift:
            continue
        if sum(len(event.metrics) for event in mapped.events) > 1 or mapped.books:
            read.append(one)
    return read if len(read) == 1 else []


def no_address(registry: Registry, url: str, method: str | None, sent: bytes | None) -> str:
    """Words for an address that nobody has, with those that come closest; without the secrets in it."""
    lines = [f"no endpoint has this address: {_shown(registry, url)}"]
    for one in near(registry.providers.values(), url, method, sent):
        lines.append(f"  near: {one.provider} {one.endpoint}  {one.address}  ({one.why})")
    return "\n".join([*lines, "see: parallax providers list"])


def _shown(registry: Registry, url: str) -> str:
    return redacted(url, frozenset[str]().union(*(secrets_of(one) for one in registry.providers.values())))


def _try(
    args: argparse.Namespace,
    registry: Registry,
    meant: Meant,
    body: bytes,
    params: dict[str, str],
    status: int,
    headers: Mapping[str, str],
) -> int:
    loaded = find(registry, meant.provider)
    provider, target = loaded.provider, meant.target
    received_ms = args.received_at if args.received_at is not None else _received_ms(headers)
    paint = args.show or (sys.stdout.isatty() and not args.json)
    if target in provider.streams:
        return _try_stream(loaded, target, body, params, received_ms, paint)
    if target not in provider.endpoints:
        known = ", ".join([*provider.endpoints, *provider.streams])
        raise WrongCall(f"{provider.id} has no endpoint {target!r}; it has: {known}")
    reader = Reader(provider, target, identity.load(), loaded.hash)
    values = _with_defaults(provider, target, params)
    outcome, mapped = reader.read(status, headers, body, values, received_ms, "replay")
    if mapped is not None:
        tops = Tops(Stream(url="", channels={}, messages={}), stamp(provider, target, loaded.hash))
        _show(provider, target, mapped, _tops(tops, mapped, received_ms), paint)
    if not outcome.ok:
        tell(json.dumps({"outcome": outcome.name, "detail": outcome.detail}))
        return FAILED if outcome.name in ("MALFORMED", "SCHEMA_DRIFT") else DONE
    if outcome.detail:
        talk(outcome.detail)
    return DONE


def _received_ms(headers: Mapping[str, str]) -> int:
    """When the answer says that it was sent, else now."""
    written = next((value for name, value in headers.items() if name.lower() == "date"), None)
    try:
        return round(parsedate_to_datetime(written or "").timestamp() * 1000)
    except (ValueError, TypeError):
        return time.time_ns() // 1_000_000


def _with_defaults(provider: Provider, endpoint: str, params: dict[str, str]) -> dict[str, str]:
    """Literal parameters that a request of ours would carry, when nothing else is known of the request."""
    if params:
        return params
    fixed = provider.endpoints[endpoint].params.items()
    return {name: proof.text_of(value) for name, value in fixed if isinstance(value, (str, int, float, bool))}


def _tops(tops: Tops, mapped: Mapped, received_ms: int) -> list[Raw]:
    """Best bids and asks of the books, where no field of the answer says them already."""
    said = {event.entity for event in mapped.events if {"bid", "contract_bid"} & event.metrics.keys()}
    books: list[BookChange] = [book for book in mapped.books if book.entity not in said]
    return tops.apply(books, received_ms, "replay")[0]


def _try_stream(loaded: Loaded, target: str, body: bytes, params: dict[str, str], received_ms: int, paint: bool) -> int:
    """Messages of a file in their order: a JSON list of them, or one a line, bare or in a recorder's envelope."""
    provider = loaded.provider
    stream = compile_stream(provider, target, identity.load(), loaded.hash)
    tops = Tops(provider.streams[target], stamp(provider, target, loaded.hash))
    bindings: dict[str, dict[str, str]] = {}
    code = DONE
    for message in _messages(body):
        try:
            heard = stream.read(decode_message(message), received_ms, "replay", bindings, params)
        except DecodeError as error:
            tell(json.dumps({"outcome": error.outcome, "detail": str(error)}))
            code = FAILED
            continue
        if heard.mapped is not None:
            _show(provider, target, heard.mapped, _tops(tops, heard.mapped, received_ms), paint)
        else:
            talk(f"{heard.kind} {heard.message or ''} {heard.detail or ''}".rstrip())
    return code


def _messages(body: bytes) -> list[str]:
    text = unpacked(body).decode("utf-8", "replace")
    try:
        whole = json.loads(text)
    except ValueError:
        return [one for line in text.splitlines() if line.strip() and (one := _unwrapped(line)) is not None]
    if isinstance(whole, list) and whole and all(isinstance(one, (dict, list, str)) for one in whole):
        return [one for part in whole if (one := _unwrapped(part)) is not None]
    return [text]


def _unwrapped(message: Any) -> str | None:
    """The text of one message; of a recorder's line `{"dir": "received", "data": "..."}` its data, None when we sent it."""
    try:
        value = json.loads(message) if isinstance(message, str) and message[:1] == "{" else message
    except ValueError:
        return str(message)
    if isinstance(value, dict) and isinstance(value.get("dir"), str):
        return value.get("data") if value["dir"] == "received" else None
    return message if isinstance(message, str) else json.dumps(message)


def _show(provider: Provider, target: str, mapped: Mapped, tops: Sequence[Raw], paint: bool) -> None:
    for event in (*mapped.events, *tops):
        show_event(provider, target, event, paint)
    show_rest(mapped)


def show_mapped(mapped: Mapped) -> None:
    """Events as they go on the wire, one a line, and what could not be read."""
    for event in mapped.events:
        tell(msgspec.json.encode(event).decode())
    show_rest(mapped)


def show_rest(mapped: Mapped) -> None:
    """What is no event: books, faults, what no table knows, drift."""
    for book in mapped.books:
        talk(f"order book {book.entity}: {book.kind}, {len(book.bids)} bids, {len(book.asks)} asks")
    for fault in mapped.faults:
        talk(f"fault: row {fault.row} {fault.entity or ''} {fault.field} ({fault.path}): {fault.reason} {fault.got}")
    if mapped.unknown:
        some = ", ".join(list(mapped.unknown)[:8])
        talk(f"unknown to our tables: {len(mapped.unknown)} ({some}{', ...' if len(mapped.unknown) > 8 else ''})")
    for drift in mapped.drift:
        talk(f"drift: {drift}")


def find(registry: Registry, name: str) -> Loaded:
    """A definition by its id; WrongCall names the nearest ones."""
    return registry.loaded[known("provider", name, registry.loaded)]


def pairs(texts: Iterable[str], mark: str, form: str) -> Iterator[tuple[str, str]]:
    """Names and values of `k=v` texts."""
    for text in texts:
        name, found, value = text.partition(mark)
        if not found:
            raise WrongCall(f"expected {form}, got {text!r}")
        yield name.strip(), value.strip()


def read_file(file: Path) -> bytes:
    """Bytes of a file; WrongCall when it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise WrongCall(f"{file}: {error.strerror}") from None
