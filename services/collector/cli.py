"""`parallax providers`: list, show, lint, try, match. Data to stdout, talk to stderr; 0 done, 1 failed, 2 wrong call."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from services.collector import mutation, proof
from services.collector.decode import DecodeError, decode_message
from services.collector.map import identity
from services.collector.map.compile import compile_endpoint
from services.collector.map.mapped import Mapped
from services.collector.map.messages import compile_stream
from services.collector.match import Match, match
from services.collector.reading import Answer, Reader
from services.collector.registry import lint as linting
from services.collector.registry import load as loading
from services.collector.registry.load import Loaded, Registry
from services.collector.registry.model import Provider
from services.collector.registry.source import Fault, Place
from services.common.errors import DefinitionError

DONE, FAILED, WRONG_CALL = 0, 1, 2


class WrongCall(Exception):
    """The caller asked for something that is not there; the words say what is."""


class Verb(NamedTuple):
    """One sub-command."""

    name: str
    run: Any
    sentence: str


def main(argv: list[str]) -> int:
    """Run `parallax providers VERB ...`."""
    parser = _parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return DONE if stop.code in (0, None) else WRONG_CALL
    if getattr(args, "run", None) is None:
        parser.print_help(sys.stderr)
        return WRONG_CALL
    try:
        return int(args.run(args))
    except WrongCall as wrong:
        talk(str(wrong))
        return WRONG_CALL
    except DefinitionError as error:
        talk(str(error))
        return FAILED
    except BrokenPipeError:
        return DONE


def talk(text: str) -> None:
    """Words for the person at the terminal."""
    sys.stderr.write(text + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="parallax providers", description="The registry of provider definitions.")
    verbs = parser.add_subparsers(metavar="VERB")

    one = verbs.add_parser("list", help="every provider: status, categories, endpoints, streams")
    one.add_argument("--category", help="only those whose home is this category")
    one.add_argument("--status", help="live, key-required, paid, retired")
    one.add_argument("--json", action="store_true")
    one.set_defaults(run=run_list)

    one = verbs.add_parser("show", help="one definition: limits, endpoints, what each maps")
    one.add_argument("provider")
    one.add_argument("--json", action="store_true")
    one.set_defaults(run=run_show)

    one = verbs.add_parser("lint", help="every fault of definitions and their proofs")
    one.add_argument("provider", nargs="*", help="ids or folders; none: all")
    one.add_argument("--json", action="store_true")
    one.add_argument("--no-proof", action="store_true", help="do not map the payloads")
    one.set_defaults(run=run_lint)

    one = verbs.add_parser("try", help="map a saved response: canonical events, one JSON a line, or the error class")
    one.add_argument("provider", nargs="?")
    one.add_argument("endpoint", nargs="?")
    one.add_argument("--url", help="request URL; finds provider and endpoint")
    one.add_argument("--payload", required=True, type=Path, help="file with the body, - for standard input")
    one.add_argument("--status", type=int, default=200)
    one.add_argument("--header", action="append", default=[], metavar="'K: V'")
    one.add_argument("--received-at", type=int, metavar="MS", help="Unix milliseconds; none: now")
    one.add_argument("--param", action="append", default=[], metavar="k=v")
    one.add_argument("--request-body", type=Path, help="file with the body that was sent")
    one.add_argument("--method")
    one.set_defaults(run=run_try)

    one = verbs.add_parser("draft", help="what the payloads of a folder give now, as expectations to be checked by hand")
    one.add_argument("provider")
    one.add_argument("case", nargs="*", help="payload names before .payload.; none: those without an expectation")
    one.add_argument("--params", default="{}", help="JSON object of request parameters")
    one.add_argument("--status", type=int, default=200)
    one.add_argument("--provenance", default="documented", choices=["recorded", "documented", "inferred"])
    one.add_argument("--source", default="")
    one.add_argument("--write", action="store_true", help="write the files instead of printing them")
    one.set_defaults(run=run_draft)

    one = verbs.add_parser("mutate", help="break each mapped path, scale, unit and filter: do the proofs notice?")
    one.add_argument("provider", nargs="*")
    one.add_argument("--json", action="store_true")
    one.set_defaults(run=run_mutate)

    one = verbs.add_parser("schema", help="JSON Schema of provider.yaml, for editors")
    one.set_defaults(run=run_schema)

    one = verbs.add_parser("match", help="provider and endpoint of a request URL")
    one.add_argument("url")
    one.add_argument("--request-body", type=Path)
    one.add_argument("--method")
    one.add_argument("--all", action="store_true", help="every fit, best first")
    one.add_argument("--json", action="store_true")
    one.set_defaults(run=run_match)
    return parser


def run_list(args: argparse.Namespace) -> int:
    """Rows of all definitions."""
    registry = loading.load()
    rows = [
        summary(one)
        for one in sorted(registry.loaded.values(), key=lambda one: (one.provider.home, one.provider.id))
        if args.category in (None, one.provider.home) and args.status in (None, one.provider.status)
    ]
    if args.json:
        print(json.dumps(rows))
    else:
        _table(rows, ("id", "home", "status", "endpoints", "streams", "categories", "name"))
        talk(f"{len(rows)} providers; see: parallax providers show ID")
    return DONE


def summary(loaded: Loaded) -> dict[str, Any]:
    """One definition as a row."""
    one = loaded.provider
    categories = sorted({emit.category or one.home for _, emit in linting.emits_of(one)} | {one.home})
    return {
        "id": one.id,
        "name": one.name,
        "home": one.home,
        "categories": categories,
        "status": one.status,
        "key": one.auth.kind != "none" and not one.auth.optional,
        "endpoints": sorted(one.endpoints),
        "streams": sorted(one.streams),
        "group": one.group or one.id,
        "verified": one.verified,
        "homepage": one.homepage,
        "docs": one.docs,
        "registry": loaded.hash,
    }


def _table(rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    shown = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max([len(column), *(len(line[index]) for line in shown)]) for index, column in enumerate(columns)]
    for line in ([*columns], *shown):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return str(len(value)) if len(value) > 4 else ",".join(value) or "-"
    return str(value)


def run_show(args: argparse.Namespace) -> int:
    """One definition, readable or as JSON."""
    loaded = _find(loading.load(), args.provider)
    one = loaded.provider
    if args.json:
        print(msgspec.json.encode({**summary(loaded), "definition": one}).decode())
        return DONE
    print(f"{one.id}  {one.name}  ({one.home}, {one.status}, read {one.verified})")
    print(f"  {one.homepage}\n  {one.docs}")
    print(f"  auth: {one.auth.kind}" + (f" ({one.auth.name})" if one.auth.name else ""))
    for limit in [] if one.limits == "unknown" else one.limits:
        print(f"  limit: {limit.n:g} per {limit.every} {limit.window} by {limit.scope}  ({limit.source}, {limit.verified})")
    if one.limits == "unknown":
        print("  limit: unknown")
    for name, endpoint in one.endpoints.items():
        print(f"  {name}: {endpoint.method} {one.bases[endpoint.base]}{endpoint.path}" + ("" if endpoint.live else "  (on demand)"))
        for emit in endpoint.emits:
            print(f"    {emit.category or one.home} {emit.entity.kind}: {', '.join(emit.fields)}")
    for name, stream in one.streams.items():
        print(f"  {name}: {stream.url}  channels {', '.join(stream.channels)}")
        for message, rule in stream.messages.items():
            for emit in rule.emits:
                print(f"    {message}: {emit.category or one.home} {emit.entity.kind}: {', '.join(emit.fields)}")
            if rule.book is not None:
                print(f"    {message}: order book ({rule.book.kind})")
    return DONE


def _find(registry: Registry, name: str) -> Loaded:
    if name not in registry.loaded:
        close = difflib.get_close_matches(name, registry.loaded, 3, 0.5)
        hint = f"did you mean {', '.join(close)}?" if close else "see: parallax providers list"
        raise WrongCall(f"no provider {name!r}; {hint}")
    return registry.loaded[name]


def compile_faults(provider: Provider) -> Iterator[tuple[Place, str]]:
    """What compiling each endpoint and stream refuses."""
    tables = identity.load()
    for name in provider.endpoints:
        try:
            compile_endpoint(provider, name, tables)
        except DefinitionError as error:
            yield ("endpoints", name), str(error)
    for name in provider.streams:
        try:
            compile_stream(provider, name, tables)
        except DefinitionError as error:
            yield ("streams", name), str(error)


def run_lint(args: argparse.Namespace) -> int:
    """All faults of the folders asked for; nothing on stdout when there are none."""
    folders = _folders(args.provider)
    faults = [fault for folder in folders for fault in linting.lint(folder, compile_faults)]
    if not args.no_proof and not faults:
        faults = [fault for folder in folders for fault in proof_faults(folder)]
    if args.json:
        print(json.dumps([fault._asdict() for fault in faults]))
    else:
        for fault in faults:
            print(fault)
    talk(f"{len(folders)} definitions, {len(faults)} faults")
    return FAILED if faults else DONE


def proof_faults(folder: Path) -> Iterator[Fault]:
    """Payloads of a folder that do not give what their expectation says."""
    found = loading.read(folder / "provider.yaml", (folder / "provider.yaml").read_bytes())
    if isinstance(found, list):
        yield from found
        return
    try:
        for case in proof.cases(folder):
            for difference in proof.differences(case.expected, proof.run(found, case, identity.load())):
                yield Fault(str(case.payload), 1, case.target, f"{difference} [proof]")
    except DefinitionError as error:
        yield Fault(str(folder), 1, "", f"{error} [proof]")


def _folders(names: list[str]) -> list[Path]:
    files = loading.definition_files(loading.roots())
    if not names:
        return [file.parent for file in files]
    by_name = {file.parent.name: file.parent for file in files}
    folders = []
    for name in names:
        if (Path(name) / "provider.yaml").exists():
            folders.append(Path(name))
        elif name in by_name:
            folders.append(by_name[name])
        else:
            close = difflib.get_close_matches(name, by_name, 3, 0.5)
            raise WrongCall(f"no provider {name!r}" + (f"; did you mean {', '.join(close)}?" if close else ""))
    return folders


def run_draft(args: argparse.Namespace) -> int:
    """Expectations as the mapping gives them today; they prove nothing until someone has compared them with the documentation."""
    folder = _folders([args.provider])[0]
    provider = loading.read(folder / "provider.yaml", (folder / "provider.yaml").read_bytes())
    if isinstance(provider, list):
        raise DefinitionError(where="\n".join(map(str, provider)))
    for payload in sorted(folder.glob("*.payload.*")):
        name = payload.name.split(".payload.")[0]
        file = folder / f"{name}.expected.json"
        if name not in args.case and (args.case or file.exists()):
            continue
        known = msgspec.json.decode(file.read_bytes()) if file.exists() else {}
        said = {
            "provenance": args.provenance, "source": args.source or provider.docs, "params": json.loads(args.params), "status": args.status,
            **{key: known[key] for key in ("provenance", "source", "params", "status", "headers", "received_ms", "note") if key in known},
        }  # fmt: skip
        case = proof.Case(name, name.split(".")[0], payload, msgspec.convert(said, proof.Expected))
        text = proof.written(said, proof.run(provider, case, identity.load()))
        if args.write:
            file.write_text(text, encoding="utf-8")
            talk(f"wrote {file}; compare it with the documentation before you trust it")
        else:
            print(text, end="")
    return DONE


def run_mutate(args: argparse.Namespace) -> int:
    """Kill rate per provider; every survivor by name."""
    code = DONE
    rows = []
    for folder in _folders(args.provider):
        provider = loading.read(folder / "provider.yaml", (folder / "provider.yaml").read_bytes())
        if isinstance(provider, list):
            raise DefinitionError(where="\n".join(map(str, provider)))
        found = mutation.score(provider, list(proof.cases(folder)), identity.load())
        rows.append({"provider": found.provider, "killed": found.killed, "rate": round(found.rate, 4), "survivors": len(found.survivors)})
        for survivor in found.survivors:
            code = FAILED
            talk(f"{found.provider} {survivor.target} {survivor.place}: {survivor.what}: no proof noticed")
    if args.json:
        print(json.dumps(rows))
    else:
        _table(rows, ("provider", "killed", "survivors", "rate"))
    return code


def run_schema(args: argparse.Namespace) -> int:
    """The schema on stdout; `schemas/generated/provider.schema.json` is this."""
    print(provider_schema(), end="")
    return DONE


def provider_schema() -> str:
    """JSON Schema of provider.yaml."""
    schema = msgspec.json.schema(Provider)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "provider.yaml", **schema}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def run_match(args: argparse.Namespace) -> int:
    """The best fit of a URL (or all)."""
    found = _matches(loading.load(), args.url, args.method, args.request_body)
    if not found:
        talk(f"no endpoint has this address; see: parallax providers list\n  {args.url}")
        return FAILED
    for one in found if args.all else found[:1]:
        print(json.dumps(one._asdict()) if args.json else f"{one.provider} {one.endpoint}" + "".join(f" {k}={v}" for k, v in one.params.items()))
    return DONE


def _matches(registry: Registry, url: str, method: str | None, body: Path | None) -> list[Match]:
    return match(registry.providers.values(), url, method, body.read_bytes() if body is not None else None)


def run_try(args: argparse.Namespace) -> int:
    """Events of a saved response, one JSON a line; or the class of its error."""
    registry = loading.load()
    given = dict(_pairs(args.param, "=", "--param k=v"))
    headers = dict(_pairs(args.header, ":", "--header 'K: V'"))
    provider_id, target, params = _asked(args, registry)
    loaded = _find(registry, provider_id)
    provider = loaded.provider
    body = sys.stdin.buffer.read() if str(args.payload) == "-" else _read(args.payload)
    received_ms = args.received_at if args.received_at is not None else time.time_ns() // 1_000_000
    params |= given
    if target in provider.streams:
        return _try_stream(loaded, target, body, params, received_ms)
    if target not in provider.endpoints:
        known = ", ".join([*provider.endpoints, *provider.streams])
        raise WrongCall(f"{provider_id} has no endpoint {target!r}; it has: {known}")
    answer = Reader(provider, target, identity.load(), loaded.hash).read(
        args.status, headers, body, _with_defaults(provider, target, params), received_ms, "replay"
    )
    return _tell(answer)


def _asked(args: argparse.Namespace, registry: Registry) -> tuple[str, str, dict[str, str]]:
    if args.url is not None:
        found = _matches(registry, args.url, args.method, args.request_body)
        if args.provider is not None:
            found = [one for one in found if one.provider == args.provider and args.endpoint in (None, one.endpoint)]
        if not found:
            raise WrongCall(f"no endpoint has this address: {args.url}; see: parallax providers list")
        talk(f"{found[0].provider} {found[0].endpoint}")
        return found[0].provider, found[0].endpoint, dict(found[0].params)
    if args.provider is None or args.endpoint is None:
        raise WrongCall("expected PROVIDER ENDPOINT, or --url URL")
    return args.provider, args.endpoint, {}


def _with_defaults(provider: Provider, endpoint: str, params: dict[str, str]) -> dict[str, str]:
    """Literal parameters that a request of ours would carry, when nothing else is known of the request."""
    if params:
        return params
    fixed = provider.endpoints[endpoint].params.items()
    return {name: proof.text_of(value) for name, value in fixed if isinstance(value, (str, int, float, bool))}


def _pairs(texts: list[str], mark: str, form: str) -> Iterator[tuple[str, str]]:
    for text in texts:
        name, found, value = text.partition(mark)
        if not found:
            raise WrongCall(f"expected {form}, got {text!r}")
        yield name.strip(), value.strip()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise WrongCall(f"{file}: {error.strerror}") from None


def _tell(answer: Answer) -> int:
    if answer.mapped is not None:
        _show_mapped(answer.mapped)
    if not answer.outcome.ok:
        print(json.dumps({"outcome": answer.outcome.name, "detail": answer.outcome.detail}))
        return FAILED if answer.outcome.name in ("MALFORMED", "SCHEMA_DRIFT") else DONE
    if answer.outcome.detail:
        talk(answer.outcome.detail)
    return DONE


def _show_mapped(mapped: Mapped) -> None:
    for event in mapped.events:
        print(msgspec.json.encode(event).decode())
    for book in mapped.books:
        talk(f"order book {book.entity}: {book.kind}, {len(book.bids)} bids, {len(book.asks)} asks")
    for fault in mapped.faults:
        talk(f"fault: row {fault.row} {fault.entity or ''} {fault.field} ({fault.path}): {fault.reason} {fault.got}")
    if mapped.unknown:
        some = ", ".join(list(mapped.unknown)[:8])
        talk(f"unknown to our tables: {len(mapped.unknown)} ({some}{', ...' if len(mapped.unknown) > 8 else ''})")
    for drift in mapped.drift:
        talk(f"drift: {drift}")


def _try_stream(loaded: Loaded, target: str, body: bytes, params: dict[str, str], received_ms: int) -> int:
    """Messages of a file: a JSON list of them, or one a line."""
    stream = compile_stream(loaded.provider, target, identity.load(), loaded.hash)
    bindings: dict[str, dict[str, str]] = {}
    code = DONE
    for message in _messages(body):
        try:
            heard = stream.read(decode_message(message), received_ms, "replay", bindings, params)
        except DecodeError as error:
            print(json.dumps({"outcome": error.outcome, "detail": str(error)}))
            code = FAILED
            continue
        if heard.mapped is not None:
            _show_mapped(heard.mapped)
        else:
            talk(f"{heard.kind} {heard.message or ''} {heard.detail or ''}".rstrip())
    return code


def _messages(body: bytes) -> list[str]:
    text = body.decode("utf-8", "replace")
    try:
        whole = json.loads(text)
    except ValueError:
        return [line for line in text.splitlines() if line.strip()]
    if isinstance(whole, list) and whole and all(isinstance(one, (dict, list, str)) for one in whole):
        return [one if isinstance(one, str) else json.dumps(one) for one in whole]
    return [text]
