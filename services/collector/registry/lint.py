"""What a definition must keep beyond its shape: rules as rows, every fault at once with file, line, key and the nearest right name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec

from schemas import metrics as catalogue
from services.collector.registry.mapping import Emit, FieldRule
from services.collector.registry.model import Provider
from services.collector.registry.source import Document, Fault, Place, parse_yaml, shape_faults

Compile = Callable[[Provider], Iterator[tuple[Place, str]]]
"""Gives the faults that only compiling shows; handed in, for the registry does not know the mapper."""
Found = Iterator[tuple[Place, str]]


class Rule(NamedTuple):
    """One rule: its name, what it asks, and the check."""

    name: str
    sentence: str
    check: Callable[[Provider], Found]


_NAME = re.compile(r"[a-z][a-z0-9_]*")
_HOLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def _names(provider: Provider) -> Found:
    for place, names in (((), [provider.id]), (("endpoints",), provider.endpoints), (("streams",), provider.streams)):
        for name in names:
            if not _NAME.fullmatch(name):
                yield (*place, name) if place else ("id",), f"expected lower case letters, digits and _, got {name!r}"
    for name in provider.endpoints.keys() & provider.streams.keys():
        yield ("streams", name), "an endpoint has the same name; rename one"


def _retired(provider: Provider) -> Found:
    if (provider.status == "retired") != (provider.retired is not None):
        yield ("status",), "expected `retired: {date, reason}` exactly when status is retired"
    if provider.status != "retired" and not (provider.endpoints or provider.streams):
        yield ("endpoints",), "expected at least one endpoint or stream"
    if provider.status == "key-required" and (provider.auth.kind == "none" or provider.auth.optional):
        yield ("auth",), "expected how the key is sent, since status is key-required"


def _dates(provider: Provider) -> Found:
    stated: list[tuple[Place, str]] = [(("verified",), provider.verified)]
    if provider.retired is not None:
        stated.append((("retired", "date"), provider.retired.date))
    if provider.limits != "unknown":
        stated += [(("limits", index, "verified"), limit.verified) for index, limit in enumerate(provider.limits)]
    for place, text in stated:
        try:
            date.fromisoformat(text)
        except ValueError:
            yield place, f"expected a date like 2026-11-22, got {text!r}"


def _limits(provider: Provider) -> Found:
    if provider.limits == "unknown":
        return
    if not provider.limits:
        yield ("limits",), "expected at least one bucket, or the word unknown"
    for index, limit in enumerate(provider.limits):
        if not limit.source:
            yield ("limits", index), "expected the source that says so (URL or documentation)"
        if limit.n <= 0 or limit.every < 1:
            yield ("limits", index), f"expected n above 0 and every from 1, got {limit.n} per {limit.every}"
        for name in limit.endpoints:
            if name not in provider.endpoints:
                yield (
                    ("limits", index, "endpoints"),
                    f"expected an endpoint{near(name, provider.endpoints)}, got {name!r}",
                )


OWN_MACHINE = ("http://127.0.0.1", "http://localhost")
"""Only a provider on this very machine may be asked without encryption."""


def _requests(provider: Provider) -> Found:
    for name, endpoint in provider.endpoints.items():
        here: Place = ("endpoints", name)
        if endpoint.base not in provider.bases:
            yield (*here, "base"), f"expected one of bases{near(endpoint.base, provider.bases)}, got {endpoint.base!r}"
        base = provider.bases.get(endpoint.base, "")
        secret = provider.auth.name if provider.auth.kind == "path" else None
        for hole in (*_HOLE.findall(endpoint.path), *_HOLE.findall(base)):
            if hole not in endpoint.params and hole != secret:
                yield (*here, "params"), f"the address has {{{hole}}}, and no parameter of that name"
        if endpoint.batch is not None and endpoint.batch.param not in endpoint.params:
            yield (
                (*here, "batch"),
                f"expected a parameter{near(endpoint.batch.param, endpoint.params)}, got {endpoint.batch.param!r}",
            )
        if endpoint.hook is not None and not endpoint.hook_reason:
            yield (*here, "hook"), "expected hook_reason: why the mapping language cannot say it"
        if not endpoint.emits and endpoint.book is None:
            yield here, "expected emits or book: an endpoint that answers none of our questions is left out"
        if endpoint.method == "GET" and endpoint.send is not None:
            yield (*here, "send"), "a GET has no body; write method: POST"
        if endpoint.send is not None:
            bodies = [
                endpoint.send.json is not None,
                endpoint.send.form is not None,
                endpoint.send.rpc is not None,
                endpoint.send.graphql is not None,
            ]
            if sum(bodies) != 1:
                yield (*here, "send"), "expected exactly one of json, form, rpc, graphql"
    if provider.probe is not None and provider.probe.endpoint not in provider.endpoints:
        yield ("probe", "endpoint"), f"expected an endpoint{near(provider.probe.endpoint, provider.endpoints)}"
    for name, endpoint in provider.endpoints.items():
        for address in endpoint.also:
            if not address.startswith("https://"):
                yield ("endpoints", name, "also"), f"expected a whole address with https, got {address!r}"
    for address in provider.bases.values():
        if not address.startswith(("https://", *OWN_MACHINE)):
            yield ("bases",), f"expected https, got {address!r}"


def emits_of(provider: Provider) -> Iterator[tuple[Place, Emit]]:
    """Every emit of a provider with its place."""
    for name, endpoint in provider.endpoints.items():
        for index, emit in enumerate(endpoint.emits):
            yield ("endpoints", name, "emits", index), emit
    for name, stream in provider.streams.items():
        for message, rule in stream.messages.items():
            for index, emit in enumerate(rule.emits):
                yield ("streams", name, "messages", message, "emits", index), emit


def _metrics(provider: Provider) -> Found:
    specs = catalogue.load()
    for place, emit in emits_of(provider):
        category = emit.category or provider.home
        if not emit.fields:
            yield (*place, "fields"), "expected at least one metric"
        money = False
        for metric, rule in emit.fields.items():
            spec = specs.get(metric)
            if spec is None:
                named = specs.find(metric)
                hint = (
                    f"; it is called {named.name!r}"
                    if named is not None
                    else near(metric, [s.name for s in specs.of_category(category)])
                )
                yield (*place, "fields", metric), f"no metric of the catalogue{hint}"
            elif spec.category != category:
                yield (
                    (*place, "fields", metric),
                    f"a metric of category {spec.category}, this emit is {category}; give it an emit of its own",
                )
            else:
                money = money or spec.money
                if isinstance(rule, FieldRule):
                    yield from _field((*place, "fields", metric), rule)
        if money and emit.quote is None:
            yield place, "has money and no quote: say in which asset it is counted (`quote: usd`, `quote: pair`, ...)"


def _field(place: Place, rule: FieldRule) -> Found:
    if rule.path is None and rule.fixed is None and rule.each is None:
        yield place, "expected path, each or is"
    if rule.each is None and (rule.where or rule.first is not None or rule.take is not None or rule.by is not None):
        yield place, "where, first, by and take need each"
    if rule.by is not None and rule.take not in ("max", "min"):
        yield (*place, "by"), f"expected take: max or min beside it, got {rule.take or 'no take'}"
    if rule.other is not None and rule.map is None:
        yield place, "other needs map"


def _streams(provider: Provider) -> Found:
    for name, stream in provider.streams.items():
        here: Place = ("streams", name)
        if not stream.url.startswith("wss://") and stream.token is None:
            yield (*here, "url"), f"expected wss, got {stream.url!r}"
        if not stream.messages:
            yield (*here, "messages"), "expected at least one kind of message"
        for message, rule in stream.messages.items():
            if rule.kind == "data" and not rule.emits and rule.book is None and rule.bind is None:
                yield (*here, "messages", message), "expected emits, book or bind; or kind: ignore"
            snapshot = rule.book.snapshot if rule.book is not None else None
            if snapshot is not None:
                endpoint = provider.endpoints.get(snapshot.endpoint)
                if endpoint is None or endpoint.book is None:
                    yield (
                        (*here, "messages", message, "book", "snapshot"),
                        f"expected an endpoint with book{near(snapshot.endpoint, provider.endpoints)}",
                    )


RULES: tuple[Rule, ...] = (
    Rule("names", "Ids and names are lower case words, and an endpoint and a stream never share one.", _names),
    Rule(
        "status",
        "A retired provider says when and why; a live one has something to ask; a key has a way to be sent.",
        _retired,
    ),
    Rule("dates", "Dates are ISO dates.", _dates),
    Rule("limits", "A limit cites its source and the day it was read, or the word `unknown` stands there.", _limits),
    Rule("requests", "Addresses, parameters and bodies fit together; only https.", _requests),
    Rule("metrics", "Metrics exist, belong to the emit's category, and money says its quote.", _metrics),
    Rule("streams", "Sockets are wss, and every kind of message has a meaning.", _streams),
)


def near(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` of the closest known name, or the known names when none is close."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 1, 0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f" (known: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''})" if names else ""


def lint(folder: Path, compile_all: Compile | None = None) -> list[Fault]:
    """Every fault of one provider folder: shape, rules, what compiling shows, and missing proof."""
    file = folder / "provider.yaml"
    if not file.exists():
        return [Fault(str(file), 1, "", "expected a definition, got no file")]
    document = parse_yaml(file, file.read_bytes())
    if isinstance(document, Fault):
        return [document]
    faults = shape_faults(document, Provider)
    if faults:
        return faults
    try:
        provider = msgspec.convert(document.value, Provider)
    except msgspec.ValidationError as error:
        return [Fault(str(file), 1, "", str(error))]
    return [
        *_ruled(document, provider),
        *_compiled(document, provider, compile_all),
        *_proof(document, folder, provider),
    ]


def _ruled(document: Document, provider: Provider) -> Iterator[Fault]:
    for rule in RULES:
        for place, said in rule.check(provider):
            yield document.fault(place, f"{said} [{rule.name}]")
    folder = Path(document.file).parent
    if folder.name != provider.id:
        yield document.fault(("id",), f"expected the folder's name {folder.name!r}, got {provider.id!r} [names]")


def _compiled(document: Document, provider: Provider, compile_all: Compile | None) -> Iterator[Fault]:
    if compile_all is None:
        return
    for place, said in compile_all(provider):
        yield document.fault(place, f"{said} [mapping]")


def _proof(document: Document, folder: Path, provider: Provider) -> Iterator[Fault]:
    """Every endpoint and stream that can be asked has a payload and what must come of it.

    Endpoints of one path with one mapping (all pairs, some, one) share a proof.
    """
    if provider.status == "retired":
        return
    files = [path.name for path in folder.iterdir()]
    proven = {file.split(".")[0] for file in files if ".payload." in file}
    for name, endpoint in provider.endpoints.items():
        twins = [
            other
            for other, shape in provider.endpoints.items()
            if (shape.path, shape.emits, shape.book, shape.body)
            == (endpoint.path, endpoint.emits, endpoint.book, endpoint.body)
        ]
        if not proven & {name, *twins}:
            yield document.fault(("endpoints", name), f"expected {name}.payload.json in the folder [proof]")
    for name in provider.streams:
        if name not in proven:
            yield document.fault(("streams", name), f"expected {name}.payload.json in the folder [proof]")
    for file in sorted(files):
        stem = file.split(".")[0]
        if ".payload." not in file and not file.endswith(".expected.json"):
            continue
        if stem not in provider.endpoints and stem not in provider.streams:
            known = near(stem, [*provider.endpoints, *provider.streams])
            yield document.fault((), f"{file}: no endpoint or stream {stem!r}{known} [proof]")
        elif ".payload." in file and f"{file.split('.payload.')[0]}.expected.json" not in files:
            yield document.fault((), f"{file}: expected {file.split('.payload.')[0]}.expected.json beside it [proof]")
