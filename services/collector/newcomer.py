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
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import yaml

from services.collector.decode import DecodeError, decode, open_answer
from services.collector.map import identity
from services.collector.map.identity import Identity
from services.collector.match.addresses import is_secret
from services.collector.naming import named
from services.collector.proofs.cli import run_draft
from services.collector.proposal import Proposal, propose
from services.collector.registry import load as loading
from services.collector.registry.model import BodyKind
from services.collector.send import Limits, Reply, Request, sender
from services.collector.settings import CollectorSettings
from services.collector.terminal import DONE, FAILED, WrongCall, talk, tell
from services.collector.vocabulary import learn
from services.common.errors import DefinitionError
from services.common.settings import read

OWN_FOLDER: Final = "providers"
"""Where definitions go when PARALLAX_PROVIDERS_PATH names no folder."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def run(args: argparse.Namespace) -> int:
    """Propose, write, draft, and say what comes next. WrongCall when asked for something that cannot be."""
    folder = _folder(args)
    body, when = _body(args)
    tables = identity.load()
    address = _Address(args.provider, args.url, args.home, tables)
    sent = _Sent(args.body)
    try:
        kind, payload = _decoded(body, sent)
    except DecodeError as error:
        talk(f"neither JSON, a feed nor CSV: {error}; write it by hand, see docs/providers/format.md")
        return FAILED
    known = learn(loading.load([loading.BUILT_IN]).providers.values())
    proposal = propose(payload, args.home, tables, address.literal, args.entity, args.quote, known, kind, sent.method)
    _write(folder, args, address, sent, kind, proposal, body)
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
        f"--payload {folder / address.endpoint}.payload.{SUFFIXES[kind]}"
    )
    tell(str(folder))
    return DONE


SUFFIXES: Final = {"json": "json", "jsonrpc": "json", "rss": "xml", "csv": "csv"}


def _decoded(body: bytes, sent: _Sent) -> tuple[BodyKind, Any]:
    """What kind of body it is, and what a mapping of it sees."""
    if body.lstrip()[:1] == b"<":
        return "rss", decode(body, "rss")
    try:
        kind: BodyKind = "jsonrpc" if sent.method is not None else "json"
        return kind, open_answer(decode(body, kind), kind)
    except DecodeError:
        first = body.splitlines()[:2]
        if len(first) < 2 or first[0].count(b",") < 1 or first[0].count(b",") != first[1].count(b","):
            raise
        return "csv", decode(body, "csv")


class _Sent:
    """The body that was sent, if any."""

    def __init__(self, text: str | None) -> None:
        try:
            self.value: Any = json.loads(text) if text is not None else None
        except ValueError:
            raise WrongCall(f"--body: expected JSON, got {text!r}") from None
        method = self.value.get("method") if isinstance(self.value, dict) else None
        self.method: str | None = method if isinstance(method, str) else None

    def said(self) -> dict[str, Any]:
        """As a definition says it."""
        if self.value is None:
            return {}
        if self.method is None:
            return {"method": "POST", "send": {"json": self.value}}
        return {"method": "POST", "send": {"rpc": {"method": self.method, "params": self.value.get("params", [])}}}


class _Address:
    """A request URL taken apart: base, path, parameters, and the names of those that are secret.

    A part of the path that names a pair, an asset or an address becomes a parameter.
    """

    def __init__(self, provider: str, url: str | None, home: str, tables: Identity) -> None:
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
        self.named: list[str] = []
        steps = self.path.split("/")
        for index, step in enumerate(steps):
            name = named(unquote(step), home, tables)
            if name is not None and name not in self.literal:
                self.literal[name] = unquote(step)
                self.named.append(name)
                steps[index] = f"{{{name}}}"
                if self.endpoint == words[index]:
                    self.endpoint = next((word for word in reversed(words[:index]) if _NAME.fullmatch(word)), "answer")
        self.in_path = "/".join(steps)


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
    address = _Address(args.provider, args.url, args.home, identity.load())
    reply = asyncio.run(_ask(args.url, address.shown, args.body))
    if reply.status != 200:
        raise DefinitionError(
            where=address.shown,
            expected="status 200",
            got=str(reply.status),
            do="save a good answer and give it as --payload",
        )
    return reply.body, today


async def _ask(url: str, shown: str, sent: str | None) -> Reply:
    own = read(CollectorSettings)
    request = Request(url=url, shown=shown)
    if sent is not None:
        headers = {"content-type": "application/json"}
        request = Request(url=url, shown=shown, method="POST", body=sent.encode(), headers=headers)
    async with sender(Limits(body_bytes=own.body_mb * 1024 * 1024), own.ca_file) as ask:
        reply = await ask.send(request)
    if not isinstance(reply, Reply):
        raise DefinitionError(
            where=shown,
            expected="an answer",
            got=f"{reply.outcome}: {reply.detail}",
            do="save an answer and give it as --payload",
        )
    return reply


def _write(
    folder: Path,
    args: argparse.Namespace,
    address: _Address,
    sent: _Sent,
    kind: BodyKind,
    proposal: Proposal,
    body: bytes,
) -> None:
    folder.mkdir(parents=True)
    said = definition(args.provider, args.home, address, sent, kind, proposal)
    text = yaml.dump(said, Dumper=_Plain, sort_keys=False, width=120)
    doubts = "".join(f"# Left out: {reason.what}: {reason.because}\n" for reason in proposal.left_out)
    unsure = "" if address.known else "# The address is not known: write bases and path.\n"
    (folder / "provider.yaml").write_text(
        f"# A proposal from one answer: compare each line with the documentation, then write docs and limits.\n{unsure}{doubts}{text}",
        encoding="utf-8",
    )
    (folder / f"{address.endpoint}.payload.{SUFFIXES[kind]}").write_bytes(body)


class _Plain(yaml.SafeDumper):
    """Without anchors: what is written twice stands there twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


NAMED: Final = {"pair": "symbol", "id": "id", "address": "address"}
"""Parameter made of a part of the path -> the way in which it names."""
STANDS_FOR: Final = {"pair": "pair", "perp": "pair", "asset": "asset", "chain": "chain"}


def definition(
    provider: str, home: str, address: _Address, sent: _Sent, kind: BodyKind, proposal: Proposal
) -> dict[str, Any]:
    """The document of `provider.yaml`; what only the documentation can say is `unknown` or the site itself."""
    endpoint: dict[str, Any] = {"path": address.in_path, **sent.said()}
    params: dict[str, Any] = dict(address.literal)
    asked = {name: NAMED[name] for name in address.named}
    asked |= {
        value.removeprefix("$param."): way for way, value in proposal.entity.items() if value.startswith("$param.")
    }
    for name, way in asked.items():
        meant = way if way in ("contract", "chain", "address") else STANDS_FOR.get(proposal.entity["kind"], "free")
        params[name] = {"as": meant, "values": [address.literal[name]]}
    if params:
        endpoint["params"] = params
    if kind != "json":
        endpoint["body"] = kind
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
    if "id" in address.named and "table" in proposal.entity:
        said["ids"] = proposal.entity["table"]
    if proposal.style is not None:
        said["symbols"] = {"default": proposal.style}
    said["probe"] = {"endpoint": address.endpoint}
    if asked:
        said["probe"]["params"] = {name: address.literal[name] for name in asked}
    book = {"book": proposal.book} if proposal.book is not None else {}
    said["endpoints"] = {address.endpoint: {**endpoint, "emits": proposal.emits(), **book}}
    return said
