"""`parallax remap`: archived bodies through today's mapping, beside what was published of them or another version of the definition.

Reads only, unless `--publish` is given: then the events that are new or other are sent to `raw.*`, stamped as they were when the
body was received. An aggregator that already holds a newer statement keeps it, and puts what is too old into `late`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer
from msgspec import Struct

from schemas import categories, topics
from schemas.events import Archived, Raw
from services.collector.map import identity
from services.collector.outbox import Outbox, Record
from services.collector.reading import Reader
from services.collector.registry import load as loading
from services.collector.registry.load import Registry
from services.collector.remapped import Account
from services.collector.terminal import DONE, FAILED, WrongCall, guarded, table, talk, tell
from services.common import kafka, settings
from services.common.lifecycle import Deadline, Stop, run
from services.common.settings import CommonSettings

ARCHIVE: Final = "archive"
POLL_MS: Final = 500
SEND_S: Final = 60.0
OUTBOX_BYTES: Final = 32 * 1024 * 1024
UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Asked(Struct, frozen=True, kw_only=True):
    """Which bodies, and what to do with them."""

    provider: str | None
    endpoint: str | None
    since_ms: int
    until_ms: int
    publish: bool
    examples: int


class Body(NamedTuple):
    """One archived answer."""

    meta: Archived
    value: bytes


class Versions(NamedTuple):
    """Today's definitions, and the other ones (None: what was published stands in their place)."""

    today: Registry
    other: Registry | None


def main(argv: list[str]) -> int:
    """Run `parallax remap`: 0 done, whatever the difference; 1 failed; 2 wrong call."""
    return guarded(lambda: _run(_parser().parse_args(argv), time.time_ns() // 1_000_000))


def _run(args: argparse.Namespace, now_ms: int) -> int:
    for folder in args.other or ():
        if not folder.is_dir():
            raise WrongCall(f"--with: expected a folder with a definition, got {folder}")
    versions = Versions(loading.load(), loading.load(args.other) if args.other else None)
    asked = _asked(args, versions, now_ms)
    account = Account(asked.examples, rows={})
    code = run(lambda stop: remap(settings.read(CommonSettings), asked, versions, account, stop))
    if code == DONE or account.bodies:
        _show(account, args.json)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="parallax remap", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--provider", help="only this provider")
    parser.add_argument("--endpoint", help="only this endpoint of it")
    parser.add_argument("--since", default="24h", help="received from then on: 90m, 24h, 3d ago, or 2026-11-22T10:00")
    parser.add_argument("--until", default="0s", help="received before then, written alike")
    parser.add_argument(
        "--with", dest="other", action="append", type=Path, metavar="FOLDER",
        help="a folder with the definition changed: today's mapping beside it; without: what was published beside today's",
    )  # fmt: skip
    parser.add_argument("--examples", type=int, default=3, help="examples shown of each difference")
    parser.add_argument(
        "--publish", action="store_true", help="send the events that differ to raw.*, origin as recorded"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    return parser


def _asked(args: argparse.Namespace, versions: Versions, now_ms: int) -> Asked:
    provider = args.provider
    if versions.other is not None and provider is None and len(versions.other.providers) == 1:
        provider = next(iter(versions.other.providers))
    if provider is None:
        raise WrongCall("--provider: expected the id of a provider; see: parallax providers list")
    for known in versions:
        if known is not None and provider not in known.providers:
            raise WrongCall(f"--provider: {provider!r} is none of {', '.join(sorted(known.providers)[:5])}, ...")
    endpoints = versions.today.providers[provider].endpoints
    if args.endpoint is not None and args.endpoint not in endpoints:
        raise WrongCall(f"--endpoint: expected one of {', '.join(endpoints)}, got {args.endpoint!r}")
    return Asked(
        provider=provider,
        endpoint=args.endpoint,
        since_ms=moment_ms("--since", args.since, now_ms),
        until_ms=moment_ms("--until", args.until, now_ms),
        publish=args.publish,
        examples=args.examples,
    )


def moment_ms(option: str, written: str, now_ms: int) -> int:
    """A time in the past: so long ago, or an ISO time (UTC when it names no zone)."""
    number, unit = written[:-1], written[-1:]
    if unit in UNITS_S and number.isdecimal():
        return now_ms - int(number) * UNITS_S[unit] * 1000
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise WrongCall(f"{option}: expected 90m, 24h, 3d or 2026-11-22T10:00, got {written!r}") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


async def remap(own: CommonSettings, asked: Asked, versions: Versions, account: Account, stop: Stop) -> int:
    """Count every body of the archive that was asked for; publish what differs when that was asked too."""
    mapping = Mapping(versions)
    async with kafka.reader(own) as reader:
        published = {} if versions.other is not None else await _published(own, reader, asked)
        corrected: list[Raw] = []
        async for body in bodies(own, reader, asked):
            if stop.is_set():
                return FAILED
            meta = body.meta
            today = mapping.read(versions.today, body)
            before: tuple[str | None, list[Raw]]
            if versions.other is None:
                before, after = (None, published.get(meta.received_ms, {}).get(meta.endpoint, [])), today
            else:
                before, after = today, mapping.read(versions.other, body)
                account.outcome(meta.provider, meta.endpoint, before[0] or "", after[0] or "")
            differing = account.add(meta.provider, meta.endpoint, before[1], after[1])
            corrected += differing if asked.publish else []
    return await _publish(own, corrected) if asked.publish else DONE


class Mapping:
    """Readers of every version, made when first needed."""

    def __init__(self, versions: Versions) -> None:
        self._tables = identity.load()
        self._readers: dict[tuple[str, str, str], Reader] = {}
        self._versions = versions

    def read(self, registry: Registry, body: Body) -> tuple[str | None, list[Raw]]:
        """Outcome and events of a body by one version; a version without this endpoint says nothing."""
        meta = body.meta
        loaded = registry.loaded[meta.provider]
        if meta.endpoint not in loaded.provider.endpoints:
            return "no such endpoint", []
        key = (registry.hash, meta.provider, meta.endpoint)
        if key not in self._readers:
            self._readers[key] = Reader(loaded.provider, meta.endpoint, self._tables, loaded.hash)
        headers = {**meta.headers, **({"content-type": meta.content_type} if meta.content_type else {})}
        answer = self._readers[key].read(
            meta.status or 200, headers, body.value, meta.params, meta.received_ms, meta.origin
        )
        return answer.outcome.name, answer.mapped.events if answer.mapped is not None else []


async def bodies(own: CommonSettings, reader: AIOKafkaConsumer, asked: Asked) -> AsyncIterator[Body]:
    """Archived answers in the order of their partitions."""
    async for record in _records(reader, [topics.name(ARCHIVE, own.topic_prefix)], asked.since_ms):
        meta = next((value for name, value in record.headers if name == "meta"), None)
        if meta is None or record.value is None:
            continue
        told = msgspec.json.decode(meta, type=Archived)
        if _is_asked(asked, told.provider, told.endpoint, told.received_ms):
            yield Body(told, record.value)


async def _published(own: CommonSettings, reader: AIOKafkaConsumer, asked: Asked) -> dict[int, dict[str, list[Raw]]]:
    """Events that are still on the raw topics: receive time -> endpoint -> events."""
    found: dict[int, dict[str, list[Raw]]] = {}
    names = [topics.name(f"raw.{name}", own.topic_prefix) for name in categories.load()]
    decode = msgspec.json.Decoder(Raw).decode
    async for record in _records(reader, names, asked.since_ms):
        try:
            event = decode(record.value or b"")
        except msgspec.DecodeError:
            continue  # the aggregator sets it aside; it is none of ours
        if _is_asked(asked, event.provider, event.endpoint, event.received_ms):
            found.setdefault(event.received_ms, {}).setdefault(event.endpoint, []).append(event)
    return found


def _is_asked(asked: Asked, provider: str, endpoint: str, received_ms: int) -> bool:
    mine = provider == asked.provider and asked.endpoint in (None, endpoint)
    return mine and asked.since_ms <= received_ms < asked.until_ms


async def _records(reader: AIOKafkaConsumer, names: Sequence[str], since_ms: int) -> AsyncIterator[Any]:
    """Records from a time on, up to the ends that stand now."""
    places = await kafka.partitions(reader, names)
    ends = await kafka.end_offsets(reader, places)
    reader.assign(places)
    since = await reader.offsets_for_times(dict.fromkeys(places, since_ms))
    left = set()
    for place in places:
        start = since[place].offset if since[place] is not None else ends[place]
        reader.seek(place, start)
        if start < ends[place]:
            left.add(place)
    while left:
        for place, records in (await reader.getmany(timeout_ms=POLL_MS)).items():
            for record in records:
                if record.offset < ends[place]:
                    yield record
        left = {place for place in left if await reader.position(place) < ends[place]}


async def _publish(own: CommonSettings, events: Sequence[Raw]) -> int:
    """Send the events; their own times are as recorded, Kafka's timestamp is today's, or the broker would drop them as old."""
    refused: list[str] = []
    box = Outbox(own, OUTBOX_BYTES, lambda topic, record, reason: refused.append(f"{topic}: {reason}"))
    encode = msgspec.json.Encoder().encode
    await box.open([f"raw.{name}" for name in categories.load()])
    pump = asyncio.create_task(box.pump(), name="outbox")
    try:
        for event in events:
            await box.room()
            box.put(f"raw.{event.category}", Record(event.entity.encode(), encode(event), time.time_ns() // 1_000_000))
        left = await box.drain(Deadline.after_s(SEND_S))
    finally:
        pump.cancel()
        await box.close()
    for line in refused:
        talk(f"refused by the broker: {line}")
    talk(f"{len(events) - left - len(refused)} events published")
    return FAILED if left or refused else DONE


def _show(account: Account, as_json: bool) -> None:
    rows = [msgspec.to_builtins(row) for row in account.sorted()]
    sums = {"bodies": account.bodies, "before": account.before, "after": account.after, "same": account.same}
    if as_json:
        tell(json.dumps({**sums, "differences": rows}, ensure_ascii=False))
    elif rows:
        shown = [{**row, "examples": "; ".join(row["examples"])} for row in rows]
        table(shown, ("endpoint", "category", "metric", "what", "count", "examples"))
    sys.stdout.flush()
    talk(
        f"{account.bodies} bodies: {account.before} events before, {account.after} after, {account.same} the same"
        + ("" if rows else "; no difference")
    )
