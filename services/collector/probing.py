"""`parallax providers probe`: one real request of a definition, by the collector's own way of sending, judging and mapping."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable

from services.collector import demand, request
from services.collector.line import Line, Lines
from services.collector.map import identity
from services.collector.map.mapped import Mapped
from services.collector.origin import upstream
from services.collector.registry.load import Registry
from services.collector.registry.model import Provider
from services.collector.send import Failure, Limits, Reply, Request, sender
from services.collector.settings import CollectorSettings
from services.collector.template import Values
from services.collector.terminal import DONE, FAILED, WrongCall, talk, tell
from services.collector.vault.redaction import Redactor
from services.collector.vault.sources import Secrets, Sources
from services.common import logging as logs
from services.common.settings import read

WANTED = 20
"""Assets from which parameters are chosen, as a collector with this many would."""


def run(args: argparse.Namespace, registry: Registry, provider: Provider, show: Callable[[Mapped], None]) -> int:
    """Ask once; events and the outcome to standard output. 0 when the answer was good or empty."""
    name = _endpoint(provider, args.endpoint)
    own = read(CollectorSettings)
    where = upstream(own)
    secrets: Secrets = Sources(Redactor(), own.secrets_dir, hide=logs.register_secret)
    lines = Lines(registry, identity.load(), secrets, "ip", where.simulated)
    line = lines.line(provider.id, name)
    assert line is not None, name
    refused = lines.refusal(line, _now_ms())
    if refused is not None:
        talk(
            f"{provider.id} {name}: not asked: {refused}"
            + (f" ({provider.auth.secret})" if provider.auth.secret else "")
        )
        return FAILED
    call = request.compose(
        provider,
        name,
        _values(line, args.param),
        _now_ms(),
        where.http(provider.id, provider.bases[line.endpoint.base]),
    )
    talk(f"{call.method} {call.url}")
    asked = request.authorize(call, provider, lines.secret(provider))
    reply = asyncio.run(_send(asked, own))
    mapped: Mapped | None = None
    if isinstance(reply, Failure):
        outcome, detail = reply.outcome, reply.detail or None
    else:
        judged, mapped = line.reader.read(
            reply.status, reply.headers, reply.body, call.values, reply.received_ms, where.origin
        )
        outcome, detail = judged.name, judged.detail
    if mapped is not None:
        show(mapped)
    said = {
        "outcome": outcome,
        "status": reply.status,
        "latency_ms": round(reply.latency_ms, 1),
        "bytes": len(reply.body),
        "events": len(mapped.events) if mapped is not None else 0,
    }
    tell(json.dumps(said | ({"detail": detail} if detail else {})))
    return DONE if outcome in ("OK", "EMPTY") else FAILED


async def _send(asked: Request, own: CollectorSettings) -> Reply | Failure:
    async with sender(Limits(body_bytes=own.body_mb * 1024 * 1024), own.ca_file) as ask:
        return await ask.send(asked)


def _endpoint(provider: Provider, asked: str | None) -> str:
    if asked is not None:
        if asked not in provider.endpoints:
            raise WrongCall(
                f"{provider.id} has no endpoint {asked!r}; it has: {', '.join(provider.endpoints) or 'none'}"
            )
        return asked
    if provider.probe is not None:
        return provider.probe.endpoint
    name = next((name for name, endpoint in provider.endpoints.items() if endpoint.live), None)
    if name is None:
        raise WrongCall(f"{provider.id} has no probe and no endpoint that is polled; say --endpoint")
    return name


def _values(line: Line, given: dict[str, str]) -> Values:
    """What the caller says, then the definition's probe, then the first value that a collector would ask for."""
    provider, endpoint = line.provider, line.endpoint
    known = identity.load()
    spelled = demand.spell(provider, endpoint.params, demand.base_interests(known, WANTED), known)
    values: dict[str, str] = {name: found[0] for name, found in spelled.items() if found}
    if provider.probe is not None and provider.probe.endpoint == line.name:
        values |= {name: str(value) for name, value in provider.probe.params.items()}
    return _batched(line, values | given)


def _batched(line: Line, values: dict[str, str]) -> Values:
    batch = line.endpoint.batch
    if batch is None or batch.param not in values:
        return values
    return {**values, batch.param: (values[batch.param],)}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
