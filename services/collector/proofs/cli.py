"""Commands that judge definitions: lint, draft, mutate, schema. Called by `parallax providers`."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from services.collector import mutation, proof
from services.collector.map import identity
from services.collector.map.compile import compile_endpoint
from services.collector.map.messages import compile_stream
from services.collector.proofs import report
from services.collector.registry import lint as linting
from services.collector.registry import load as loading
from services.collector.registry.model import Provider
from services.collector.registry.source import Fault, Place
from services.collector.terminal import DONE, FAILED, WrongCall, counted, known, table, talk
from services.common.errors import DefinitionError


def compile_faults(provider: Provider) -> Iterator[tuple[Place, str]]:
    """What compiling each endpoint and stream refuses."""
    tables = identity.load()
    for name in provider.endpoints:
        try:
            compile_endpoint(provider, name, tables)
        except DefinitionError as error:
            yield _place(error.where, ("endpoints", name)), str(error).removeprefix(f"{error.where}: ")
    for name in provider.streams:
        try:
            compile_stream(provider, name, tables)
        except DefinitionError as error:
            yield _place(error.where, ("streams", name)), str(error).removeprefix(f"{error.where}: ")


_STEP = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")


def _place(where: str, around: Place) -> Place:
    """`endpoints.t.emits[0].where` as a place of the document; what stands around it when the error names none."""
    if not where.startswith(f"{around[0]}.{around[1]}"):
        return around
    return tuple(int(found[1]) if found[1] else found[2] for found in _STEP.finditer(where))


def run_lint(args: argparse.Namespace) -> int:
    """All faults of the folders asked for; nothing on stdout when there are none."""
    asked = folders(args.provider)
    faults = [fault for folder in asked for fault in linting.lint(folder, compile_faults)]
    if not args.no_proof and not faults:
        faults = [fault for folder in asked for fault in proof_faults(folder)]
    if args.json:
        print(json.dumps([fault._asdict() for fault in faults]))
    else:
        for fault in faults:
            print(fault)
    independent = 0 if args.no_proof or faults else sum(map(independent_proofs, asked))
    talk(
        f"{counted(len(asked), 'definition')}, {counted(len(faults), 'fault')}"
        + (f", {counted(independent, 'proof')} derived independently" * (independent > 0))
    )
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


def independent_proofs(folder: Path) -> int:
    """How many expectations of a folder were derived by someone who had not seen its mapping."""
    return sum(case.expected.derived == "independent" for case in proof.cases(folder))


def folders(names: list[str]) -> list[Path]:
    files = loading.definition_files(loading.roots())
    if not names:
        return [file.parent for file in files]
    by_name = {file.parent.name: file.parent for file in files}
    found = []
    for name in names:
        if (Path(name) / "provider.yaml").exists():
            found.append(Path(name))
        else:
            found.append(by_name[known("provider", name, by_name)])
    return found


def run_draft(args: argparse.Namespace) -> int:
    """Expectations as the mapping gives them today; they prove nothing until someone has compared them with the documentation."""
    folder = folders([args.provider])[0]
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
    if args.write and args.provider:
        raise WrongCall("--write is of all providers; name none")
    code = DONE
    rows = []
    scores: list[tuple[str, mutation.Score]] = []
    for folder in folders(args.provider):
        provider = loading.read(folder / "provider.yaml", (folder / "provider.yaml").read_bytes())
        if isinstance(provider, list) and args.write:
            raise DefinitionError(where="\n".join(map(str, provider)), do="correct it, then write the report")
        if isinstance(provider, list):
            code = FAILED
            talk("\n".join(map(str, provider)))
            continue
        found = mutation.score(provider, list(proof.cases(folder)), identity.load())
        scores.append((provider.home, found))
        rows.append(
            {
                "provider": found.provider,
                "killed": found.killed,
                "rate": round(found.rate, 4),
                "survivors": len(found.survivors),
            }
        )
        for survivor in found.survivors:
            code = FAILED
            talk(f"{found.provider} {survivor.target} {survivor.place}: {survivor.what}: no proof noticed")
    if args.write:
        _write_report(scores)
    elif args.json:
        print(json.dumps(rows))
    else:
        table(rows, ("provider", "killed", "survivors", "rate"))
    return code


def _write_report(scores: list[tuple[str, mutation.Score]]) -> None:
    git = shutil.which("git")
    asked = [git, "-C", str(report.ROOT), "rev-parse", "--short", "HEAD"] if git is not None else None
    found = subprocess.run(asked, capture_output=True, text=True, check=False) if asked is not None else None
    said = report.data(report.rows_of(scores), found.stdout.strip() if found is not None else "")
    report.DATA.write_text(said, encoding="utf-8")
    report.PAGE.write_text(report.page(json.loads(said)), encoding="utf-8")
    talk(f"wrote {report.DATA} and {report.PAGE}")


def run_schema(args: argparse.Namespace) -> int:
    """The schema on stdout; `schemas/generated/provider.schema.json` is this."""
    print(provider_schema(), end="")
    return DONE


def provider_schema() -> str:
    """JSON Schema of provider.yaml."""
    schema = msgspec.json.schema(Provider)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "provider.yaml", **schema}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
