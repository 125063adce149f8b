"""`parallax providers new`: from one answer to a folder that loads: definition, payload and a drafted expectation."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import os
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import yaml

from services.collector.decode import DecodeError, decode
from services.collector.map import identity
from services.collector.match.addresses import is_secret
from services.collector.proofs.cli import run_draft
from services.collector.proposal import Proposal, propose
from services.collector.registry import load as loading
from services.collector.send import Limits, Reply, Request, sender
from services.collector.settings import CollectorSettings
from services.collector.terminal import DONE, FAILED, WrongCall, talk, tell
from services.common.errors import DefinitionError
from services.common.settings import read

OWN_FOLDER: Final = "providers"
"""Where definitions go when PARALLAX_PROVIDERS_PATH names no folder."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def run(args: argparse.Namespace) -> int:
    """Propose, write, draft, and say what comes next. WrongCall when asked for something that cannot be."""
    folder = _folder(args)
    body, when = _body(args)
    address = _Address(args.provider, args.url)
    try:
        payload = decode(body, "json", None)
    except DecodeError as error:
        talk(f"not JSON: {error}; feeds, CSV and others are written by hand, see docs/providers/format.md")
        return FAILED
    proposal = propose(payload, args.home, identity.load(), address.params, args.entity, args.quote)
    _write(folder, args, address, proposal, body)
    for reason in proposal.reasons:
        talk(f"  {reason.what}: {reason.because}")
    for reason in proposal.left_out:
        talk(f"  left out: {reason.what}: {reason.because}")
    run_draft(
        argparse.Namespace(
            provider=str(folder), case=[], params=json.dumps(address.literal), status=200, provenance="recorded",
            source=f"{address.shown or args.payload.name} ({when})", write=True,
        )
    )  # fmt: skip
    talk(f"wrote {folder}; next:")
    talk(f"  parallax providers lint {folder}")
    talk(
        f"  {loading.ENVIRONMENT}={folder.parent} parallax providers try {args.provider} {address.endpoint} "
        f"--payload {folder / address.endpoint}.payload.json"
    )
    tell(str(folder))
    return DONE


class _Address:
    """A request URL taken apart: base, path, parameters, and the names of those that are secret."""

    def __init__(self, provider: str, url: str | None) -> None:
        parts = urlsplit(url or f"https://{provider.replace('_', '-')}.invalid/")
        if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
            raise WrongCall(f"--url: expected https://host/path without a login, got {url!r}")
        self.known = url is not None
        self.base = f"{parts.scheme}://{parts.netloc}"
        self.path = parts.path or "/"
        self.params = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.secrets = [name for name in self.params if is_secret(name)]
        self.literal = {name: value for name, value in self.params.items() if name not in self.secrets}
        query = f"?{urlencode(self.literal)}" if self.literal else ""
        self.shown = f"{self.base}{self.path}{query}" if url else ""
        words = [re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_") for part in self.path.split("/")]
        self.endpoint = next((word for word in reversed(words) if _NAME.fullmatch(word)), "answer")


def _folder(args: argparse.Namespace) -> Path:
    if not _NAME.fullmatch(args.provider):
        raise WrongCall(f"expected an id of lower case letters, digits and _, got {args.provider!r}")
    if args.url is None and args.payload is None:
        raise WrongCall("expected --url URL, or --payload FILE, or both (then nothing is sent)")
    own = [Path(part) for part in os.environ.get(loading.ENVIRONMENT, "").split(os.pathsep) if part]
    into = args.into or (own[0] if own else Path(OWN_FOLDER))
    folder: Path = into / args.provider
    taken = [file.parent for file in loading.definition_files([loading.BUILT_IN]) if file.parent.name == args.provider]
    if folder.exists() or taken:
        raise WrongCall(f"{args.provider} is there already: {taken[0] if taken else folder}")
    return folder


def _body(args: argparse.Namespace) -> tuple[bytes, str]:
    """The answer, saved or asked for now, and its date."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    if args.payload is not None:
        try:
            return args.payload.read_bytes(), today
        except OSError as error:
            raise WrongCall(f"{args.payload}: {error.strerror}") from None
    address = _Address(args.provider, args.url)
    reply = asyncio.run(_ask(args.url, address.shown))
    if reply.status != 200:
        raise DefinitionError(
            where=address.shown,
            expected="status 200",
            got=str(reply.status),
            do="save a good answer and give it as --payload",
        )
    return reply.body, today


async def _ask(url: str, shown: str) -> Reply:
    own = read(CollectorSettings)
    async with sender(Limits(body_bytes=own.body_mb * 1024 * 1024), own.ca_file) as ask:
        reply = await ask.send(Request(url=url, shown=shown))
    if not isinstance(reply, Reply):
        raise DefinitionError(
            where=shown,
            expected="an answer",
            got=f"{reply.outcome}: {reply.detail}",
            do="save an answer and give it as --payload",
        )
    return reply


def _write(folder: Path, args: argparse.Namespace, address: _Address, proposal: Proposal, body: bytes) -> None:
    folder.mkdir(parents=True)
    text = yaml.safe_dump(definition(args.provider, args.home, address, proposal), sort_keys=False, width=120)
    doubts = "".join(f"# Left out: {reason.what}: {reason.because}\n" for reason in proposal.left_out)
    unsure = "" if address.known else "# The address is not known: write bases and path.\n"
    (folder / "provider.yaml").write_text(
        f"# A proposal from one answer: compare each line with the documentation, then write docs and limits.\n{unsure}{doubts}{text}",
        encoding="utf-8",
    )
    (folder / f"{address.endpoint}.payload.json").write_bytes(body)


def definition(provider: str, home: str, address: _Address, proposal: Proposal) -> dict[str, Any]:
    """The document of `provider.yaml`; what only the documentation can say is `unknown` or the site itself."""
    endpoint: dict[str, Any] = {"path": address.path}
    if address.literal:
        endpoint["params"] = address.literal
    said: dict[str, Any] = {
        "id": provider,
        "name": provider.replace("_", " ").title(),
        "home": home,
        "homepage": address.base,
        "docs": address.base,
        "verified": dt.datetime.now(dt.UTC).date().isoformat(),
        "status": "key-required" if address.secrets else "live",
        "limits": "unknown",
        "bases": {"main": address.base},
    }
    if address.secrets:
        said["auth"] = {"kind": "query", "name": address.secrets[0], "secret": f"{provider}/api_key"}
    if proposal.style is not None:
        said["symbols"] = {"default": proposal.style}
    said["probe"] = {"endpoint": address.endpoint}
    said["endpoints"] = {address.endpoint: {**endpoint, "emits": [proposal.emit()]}}
    return said
