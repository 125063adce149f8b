"""`parallax providers`: the table of its verbs, and those that list, show and match.

Data to stdout, talk to stderr; 0 done, 1 failed, 2 wrong call.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import get_args

import msgspec

from schemas import categories, metrics, unread
from services.collector import trial
from services.collector.coverage import coverage
from services.collector.map import identity
from services.collector.proofs.cli import run_draft, run_lint, run_mutate, run_schema
from services.collector.registry import load as loading
from services.collector.registry.model import Status
from services.collector.registry.overview import summary
from services.collector.terminal import DONE, FAILED, WRONG_CALL, counted, guarded, known, table, talk


def main(argv: list[str]) -> int:
    """Run `parallax providers VERB ...`."""
    return guarded(lambda: _run(_parser(), argv))


def _run(parser: argparse.ArgumentParser, argv: list[str]) -> int:
    args = parser.parse_args(argv)
    if getattr(args, "run", None) is None:
        parser.print_help(sys.stderr)
        return WRONG_CALL
    return int(args.run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="parallax providers", description="The registry of provider definitions.")
    verbs = parser.add_subparsers(metavar="VERB")

    one = verbs.add_parser("list", help="every provider: status, categories, endpoints, streams")
    one.add_argument("--category", help="only those whose home is this category")
    one.add_argument(
        "--status", help="live, key-required, paid, retired; or unread: known, and why it has no definition"
    )
    one.add_argument("--json", action="store_true", help="as JSON")
    one.set_defaults(run=run_list)

    one = verbs.add_parser("show", help="one definition: limits, endpoints, what each maps")
    one.add_argument("provider", help="its id, as binance")
    one.add_argument("--json", action="store_true", help="as JSON")
    one.add_argument("--reputation", action="store_true", help="what fusion learned about it; needs the broker")
    one.add_argument(
        "--drift", action="store_true", help="how its answers differ from what was proven; needs the broker"
    )
    one.set_defaults(run=run_show)

    one = verbs.add_parser("lint", help="every fault of definitions and their proofs")
    one.add_argument("provider", nargs="*", help="ids or folders; none: all")
    one.add_argument("--json", action="store_true", help="as JSON")
    one.add_argument("--no-proof", action="store_true", help="do not map the payloads")
    one.set_defaults(run=run_lint)

    one = verbs.add_parser("try", help="map a saved response: canonical events, one JSON a line, or the error class")
    one.add_argument("provider", nargs="?", help="its id, as binance; none: the URL tells")
    one.add_argument("endpoint", nargs="?", help="endpoint or stream")
    one.add_argument("--url", help="request URL; finds provider and endpoint")
    one.add_argument(
        "--payload", required=True, type=Path, help="file with the body, or a recorder's file; - for standard input"
    )
    one.add_argument("--status", type=int, help="none: what the recorder kept, else 200")
    one.add_argument("--header", action="append", default=[], metavar="'K: V'", help="of the answer")
    one.add_argument(
        "--received-at", type=int, metavar="MS", help="Unix milliseconds; none: the answer's Date header, else now"
    )
    one.add_argument("--param", action="append", default=[], metavar="k=v", help="of the request, as symbol=BTCUSDT")
    one.add_argument("--body", help="the body that was sent, as text")
    one.add_argument("--request-body", type=Path, help="file with the body that was sent")
    one.add_argument("--method", help="of the request; none: GET, or POST with a body")
    one.add_argument("--show", action="store_true", help="payload path -> metric -> value, as on a terminal")
    one.add_argument("--json", action="store_true", help="one JSON a line, as to a file")
    one.set_defaults(run=run_try)

    one = verbs.add_parser(
        "draft", help="what the payloads of a folder give now, as expectations to be checked by hand"
    )
    one.add_argument("provider", help="its id, as binance")
    one.add_argument("case", nargs="*", help="payload names before .payload.; none: those without an expectation")
    one.add_argument("--params", default="{}", help="JSON object of request parameters")
    one.add_argument("--status", type=int, default=200, help="of the answers (default 200)")
    one.add_argument(
        "--provenance", default="documented", choices=["recorded", "documented", "inferred"], help="where from"
    )
    one.add_argument("--source", default="", help="which page or recording, with its date")
    one.add_argument("--write", action="store_true", help="write the files instead of printing them")
    one.set_defaults(run=run_draft)

    one = verbs.add_parser("mutate", help="break each mapped path, scale, unit and filter: do the proofs notice?")
    one.add_argument("provider", nargs="*", help="ids or folders; none: all")
    one.add_argument("--json", action="store_true", help="as JSON")
    one.add_argument("--write", action="store_true", help="bench/results/mutation.json and docs/providers/proofs.md")
    one.set_defaults(run=run_mutate)

    one = verbs.add_parser("schema", help="JSON Schema of provider.yaml, for editors")
    one.set_defaults(run=run_schema)

    one = verbs.add_parser("coverage", help="metrics, and who can state them of an asset")
    one.add_argument("--asset", help="asset id, as bitcoin; none: of anything")
    one.add_argument("--metric", help="only this metric, with the names of its providers")
    one.add_argument("--json", action="store_true", help="as JSON")
    one.set_defaults(run=run_coverage)

    one = verbs.add_parser("match", help="provider and endpoint of a request URL")
    one.add_argument("url", help="as it is sent, with its query")
    one.add_argument("--body", help="the body that was sent, as text")
    one.add_argument("--request-body", type=Path, help="file with the body that was sent")
    one.add_argument("--method", help="of the request; none: GET, or POST with a body")
    one.add_argument("--all", action="store_true", help="every fit, best first")
    one.add_argument("--json", action="store_true", help="as JSON")
    one.set_defaults(run=run_match)

    one = verbs.add_parser("new", help="propose a definition from one answer, with reasons, and write its folder")
    one.add_argument("provider", help="id of the new provider")
    one.add_argument("--home", required=True, choices=sorted(categories.load()), help="category it belongs to")
    one.add_argument("--url", help="request URL; sent once, unless there is a payload")
    one.add_argument("--payload", type=Path, help="file with a saved answer")
    one.add_argument("--body", help="JSON that is sent (then the request is a POST), as a JSON-RPC call")
    one.add_argument("--into", type=Path, help="folder of definitions; none: PARALLAX_PROVIDERS_PATH, or ./providers")
    one.add_argument("--entity", metavar="KIND:NAME", help="what a single answer is about, as asset:bitcoin")
    one.add_argument("--quote", help="asset in which money is counted, as usd")
    one.set_defaults(run=run_new)

    one = verbs.add_parser("probe", help="ask the provider once, for real: outcome, latency, events")
    one.add_argument("provider", help="its id, as binance")
    one.add_argument("--endpoint", help="none: the definition's probe")
    one.add_argument("--param", action="append", default=[], metavar="k=v", help="of the request, as symbol=BTCUSDT")
    one.set_defaults(run=run_probe)
    return parser


def run_new(args: argparse.Namespace) -> int:
    """A folder from one answer."""
    from services.collector import newcomer  # brings the HTTP client, which no other verb but `probe` needs

    return newcomer.run(args)


def run_probe(args: argparse.Namespace) -> int:
    """One request, answered and mapped."""
    from services.collector import probing  # brings the HTTP client

    registry = loading.load()
    args.param = dict(trial.pairs(args.param, "=", "--param k=v"))
    return probing.run(args, registry, trial.find(registry, args.provider).provider, trial.show_mapped)


def run_list(args: argparse.Namespace) -> int:
    """Rows of all definitions; of `--status unread` those of the systems that have none."""
    if args.category is not None:
        known("category", args.category, categories.load())
    if args.status is not None:
        known("status", args.status, (*get_args(Status), "unread"))
    if args.status == "unread":
        return _list_unread(args)
    registry = loading.load()
    rows = [
        summary(one)
        for one in sorted(registry.loaded.values(), key=lambda one: (one.provider.home, one.provider.id))
        if args.category in (None, one.provider.home) and args.status in (None, one.provider.status)
    ]
    if args.json:
        print(json.dumps(rows))
    else:
        table(rows, ("id", "home", "status", "endpoints", "streams", "categories", "name"))
        talk(f"{counted(len(rows), 'provider')}; see: parallax providers show ID")
    return DONE


def _list_unread(args: argparse.Namespace) -> int:
    rows = [
        {"id": key, "home": one.home, "found": one.date, "reason": one.reason}
        for key, one in unread.load().items()
        if args.category in (None, one.home)
    ]
    if args.json:
        print(json.dumps(rows))
    else:
        table(rows, ("id", "home", "found", "reason"))
    return DONE


def run_show(args: argparse.Namespace) -> int:
    """One definition, readable or as JSON."""
    if args.reputation:
        return _show_reputation(args.provider, args.json)
    if args.drift:
        return _show_drift(args.provider, args.json)
    loaded = trial.find(loading.load(), args.provider)
    one = loaded.provider
    if args.json:
        print(msgspec.json.encode({**summary(loaded), "definition": one}).decode())
        return DONE
    print(f"{one.id}  {one.name}  ({one.home}, {one.status}, read {one.verified})")
    print(f"  {one.homepage}\n  {one.docs}")
    print(f"  auth: {one.auth.kind}" + (f" ({one.auth.name})" if one.auth.name else ""))
    for limit in [] if one.limits == "unknown" else one.limits:
        print(
            f"  limit: {limit.n:g} per {limit.every} {limit.window} by {limit.scope}  ({limit.source}, {limit.verified})"
        )
    if one.limits == "unknown":
        print("  limit: unknown")
    for name, endpoint in one.endpoints.items():
        print(
            f"  {name}: {endpoint.method} {one.bases[endpoint.base]}{endpoint.path}"
            + ("" if endpoint.live else "  (on demand)")
        )
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


def run_coverage(args: argparse.Namespace) -> int:
    """How many sources each metric has."""
    registry, tables = loading.load(), identity.load()
    if args.asset is not None:
        known("asset", args.asset, tables.assets, "schemas/assets.yaml")
    if args.metric is not None:
        known("metric", args.metric, metrics.load(), "docs/metrics.md")
    found = coverage(registry.providers.values(), tables, args.asset)
    rows = [
        {"metric": metric, "sources": len(providers), "providers": providers}
        for metric, providers in found.items()
        if args.metric in (None, metric)
    ]
    if args.json:
        print(json.dumps(rows))
    else:
        table(rows, ("metric", "sources") if args.metric is None else ("metric", "sources", "providers"))
    talk(counted(len(rows), "metric"))
    return DONE


def run_match(args: argparse.Namespace) -> int:
    """The best fit of a URL (or all); or what comes closest, and why it is not meant."""
    registry = loading.load()
    body = trial.sent_body(args)
    found = trial.fits(registry, args.url, args.method, body)
    if not found:
        talk(trial.no_address(registry, args.url, args.method, body))
        return FAILED
    for one in found if args.all else found[:1]:
        print(
            json.dumps(one._asdict())
            if args.json
            else f"{one.provider} {one.endpoint}" + "".join(f" {k}={v}" for k, v in one.params.items())
        )
    return DONE


def run_try(args: argparse.Namespace) -> int:
    """Events of a saved response, one JSON a line; or the class of its error."""
    return trial.run(args)


def _show_drift(provider: str, as_json: bool) -> int:
    """What health heard of the provider's endpoints; 0 also when nothing drifted."""
    from services.collector import reputation

    score = reputation.judged(provider)
    if score is None:
        talk(f"{provider!r} was not judged yet; see: parallax health")
        return FAILED
    drift = score.drift or {}
    if as_json:
        print(json.dumps(drift))
    else:
        for name, words in drift.items():
            print(f"{name}: {words}")
    talk(f"{len(drift)} endpoints of {provider} drifted" + ("; see docs/drift.md" if drift else ""))
    return DONE


def _show_reputation(provider: str, as_json: bool) -> int:
    from services.collector import reputation

    known = reputation.known(provider)
    if known is None:
        talk(f"nothing is known of {provider!r} yet; see: parallax signals")
        return FAILED
    if as_json:
        print(msgspec.json.encode(known).decode())
    else:
        for name, value in known.reputation.items():
            print(f"{name:<10} {value:g}")
        if known.one_voice_with:
            print(f"{'one voice':<10} {', '.join(known.one_voice_with)}")
    return DONE
