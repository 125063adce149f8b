"""`parallax replay DIR`: recordings through the same decoding, mapping and book-keeping as live data, into `raw.*`, origin `replay`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from schemas import categories
from schemas.events import Origin, Raw
from services.collector import recordings
from services.collector.decode import DecodeError, decode_message
from services.collector.map import identity
from services.collector.map.compile import stamp
from services.collector.map.identity import Identity
from services.collector.map.mapped import BookChange, Mapped
from services.collector.map.messages import Bindings, StreamMapper, compile_stream
from services.collector.match import match
from services.collector.outbox import Outbox, Record
from services.collector.reading import Reader
from services.collector.recordings import Recording, Step
from services.collector.registry import load as loading
from services.collector.registry.load import Registry
from services.collector.registry.model import Provider, Stream
from services.collector.stream.tops import Tops
from services.collector.terminal import DONE, WrongCall, guarded, known
from services.common import settings
from services.common.lifecycle import Deadline, Stop, run
from services.common.settings import CommonSettings

ORIGIN: Final[Origin] = "replay"
LONGEST_GAP_S = 5.0
"""At recorded pace: the log of a socket never pauses for so long, so a longer gap lies between two recordings and is left out."""


class Told(Struct, kw_only=True):
    """What became of one step."""

    step: Step
    events: list[Raw] = []
    mapped: Mapped | None = None
    target: str | None = None
    why: str | None = None
    """Why it gave no events; None when it gave some, or was a message that says nothing (heartbeat, acknowledgement)."""


class _Socket:
    """What one recorded connection knows."""

    def __init__(self, mapper: StreamMapper, tops: Tops) -> None:
        self.mapper = mapper
        self.tops = tops
        self.bindings: Bindings = {}


class Replayer:
    """Maps steps in their order. Holds the books of every recorded connection, as a collector would."""

    def __init__(self, registry: Registry, tables: Identity) -> None:
        self._registry = registry
        self._tables = tables
        self._readers: dict[tuple[str, str], Reader] = {}
        self._mappers: dict[tuple[str, str], StreamMapper] = {}
        self._sockets: dict[tuple[str, int], _Socket] = {}
        self._waiting: dict[str, list[tuple[list[BookChange], int]]] = {}
        """Provider -> snapshots that came before the socket's first message."""

    def tell(self, step: Step) -> Told:
        """Events of one step, or why there are none."""
        return self._message(step) if step.recording.kind == "ws" else self._answer(step)

    def _answer(self, step: Step) -> Told:
        one = step.recording
        if one.request is None or not one.request.url:
            return Told(step=step, why="the request is not recorded")
        body = None if one.request.body is None else json.dumps(one.request.body).encode()
        found = match(self._registry.providers.values(), one.request.url, one.request.method, body)
        own = [fit for fit in found if fit.provider == one.provider] or found
        if not own:
            known = one.provider in self._registry.providers
            return Told(step=step, why="no endpoint has this address" if known else "no definition of this provider")
        best = own[0]
        key = (best.provider, best.endpoint)
        if key not in self._readers:
            loaded = self._registry.loaded[best.provider]
            self._readers[key] = Reader(loaded.provider, best.endpoint, self._tables, loaded.hash)
        answer = self._readers[key].read(
            one.status or 200, one.response_headers, step.body, best.params, step.at_ms, ORIGIN
        )
        target = f"{best.provider} {best.endpoint}"
        if answer.mapped is None:
            return Told(
                step=step, target=target, why=f"{answer.outcome.name}: {answer.outcome.detail or ''}".rstrip(": ")
            )
        events = [*answer.mapped.events, *self._snapshot(best.provider, answer.mapped.books, step.at_ms)]
        return Told(
            step=step,
            target=target,
            events=events,
            mapped=answer.mapped,
            why=None if events else _silence(answer.mapped),
        )

    def _snapshot(self, provider: str, books: list[BookChange], at_ms: int) -> list[Raw]:
        """A snapshot that was fetched beside a socket starts the books of that socket; the tops that follow."""
        if not books:
            return []
        events: list[Raw] = []
        self._waiting.setdefault(provider, []).append((books, at_ms))
        for (name, _), socket in self._sockets.items():
            snapshot = socket.tops.snapshot
            if name == provider and snapshot is not None:
                events += socket.tops.apply(books, at_ms, ORIGIN)[0]
        return events

    def _message(self, step: Step) -> Told:
        one = step.recording
        loaded = self._registry.loaded.get(one.provider)
        if loaded is None:
            return Told(step=step, why="no definition of this provider")
        name = stream_of(loaded.provider, one)
        if name is None:
            return Told(step=step, why="no stream has this address")
        socket = self._socket(loaded.provider, name, loaded.hash, step)
        target = f"{one.provider} {name}"
        try:
            payload = decode_message(step.body.decode())
        except DecodeError as error:
            return Told(step=step, target=target, why=f"{error.outcome}: {error}")
        heard = socket.mapper.read(payload, step.at_ms, ORIGIN, socket.bindings)
        if heard.mapped is None:
            silent = heard.kind in ("ignore", "ack", "bound", "ping")
            return Told(step=step, target=target, why=None if silent else f"{heard.kind} message")
        tops, _ = socket.tops.apply(heard.mapped.books, step.at_ms, ORIGIN)
        events = [*heard.mapped.events, *tops]
        quiet = events or heard.mapped.books
        return Told(
            step=step, target=target, events=events, mapped=heard.mapped, why=None if quiet else _silence(heard.mapped)
        )

    def _socket(self, provider: Provider, name: str, registry: str, step: Step) -> _Socket:
        place = (provider.id, step.conn)
        if place in self._sockets and not step.opened:
            return self._sockets[place]
        key = (provider.id, name)
        if key not in self._mappers:
            self._mappers[key] = compile_stream(provider, name, self._tables, registry)
        socket = _Socket(self._mappers[key], Tops(provider.streams[name], stamp(provider, name, registry)))
        self._sockets[place] = socket
        snapshot = socket.tops.snapshot
        for books, at_ms in self._waiting.get(provider.id, []) if snapshot is not None else []:
            socket.tops.apply(books, at_ms, ORIGIN)
        return socket


def stream_of(provider: Provider, recording: Recording) -> str | None:
    """The stream whose address the recording has: the same place, else the same host, else the only one."""
    url = recording.request.url if recording.request is not None else None
    asked = urlsplit(url or "")

    def places(stream: Stream) -> list[Any]:
        return [urlsplit(address) for address in (stream.url, *stream.mirrors)]

    for same in (
        lambda place: (place.netloc, place.path.rstrip("/")) == (asked.netloc, asked.path.rstrip("/")),
        lambda place: place.netloc == asked.netloc,
    ):
        for name, stream in provider.streams.items():
            if any(same(place) for place in places(stream)):
                return name
    return next(iter(provider.streams)) if len(provider.streams) == 1 else None


def _silence(mapped: Mapped) -> str:
    if mapped.drift:
        return f"SCHEMA_DRIFT: {mapped.drift[0]}"
    if mapped.unknown:
        return f"about nothing that our tables know ({', '.join(list(mapped.unknown)[:3])})"
    if mapped.faults:
        fault = mapped.faults[0]
        return f"every row broken: {fault.field}: {fault.reason}"
    return "EMPTY"


def told(folder: Path, providers: Sequence[str], registry: Registry, tables: Identity) -> Iterator[Told]:
    """Every step of a folder mapped, oldest first; a folder that is none is told at once."""
    cases = [one for one in recordings.read(folder) if not providers or one.provider in providers]
    return map(Replayer(registry, tables).tell, recordings.steps(folder, cases, recordings.times(cases)))


class Account(Struct):
    """Sums of a replay, by case."""

    rows: dict[str, dict[str, Any]] = {}

    def add(self, one: Told) -> None:
        """Count one step."""
        case = one.step.recording.id
        row = self.rows.setdefault(
            case, {"case": case, "messages": 0, "events": 0, "faults": 0, "unknown": 0, "target": one.target, "why": {}}
        )
        row["messages"] += 1
        row["events"] += len(one.events)
        row["target"] = row["target"] or one.target
        if one.mapped is not None:
            row["faults"] += len(one.mapped.faults)
            row["unknown"] += sum(one.mapped.unknown.values())
        if one.why is not None:
            row["why"][one.why] = row["why"].get(one.why, 0) + 1

    def reasons(self) -> Counter[str]:
        """What could not be mapped, by reason without its details."""
        reasons: Counter[str] = Counter()
        for row in self.rows.values():
            for why, count in row["why"].items():
                reasons[why.split(":")[0].split(" (")[0]] += count
        return reasons


def main(argv: list[str]) -> int:
    """Run `parallax replay DIR`."""
    return guarded(lambda: _run(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="parallax replay", description="Recordings into raw topics, origin replay.")
    parser.add_argument(
        "folder", type=Path, help="with manifest.json, which names the files of answers and socket logs"
    )
    parser.add_argument(
        "--speed", default="full", help="full (as fast as Kafka takes it), recorded, or a factor like 10"
    )
    parser.add_argument("--provider", action="append", default=[], help="only these providers")
    parser.add_argument("--dry", action="store_true", help="map only; no Kafka")
    parser.add_argument("--json", action="store_true", help="the account as JSON")
    return parser


def _run(args: argparse.Namespace) -> int:
    factor = _factor(args.speed)
    recorded = {one.provider for one in recordings.read(args.folder)}
    if args.provider and recorded.isdisjoint(args.provider):
        known("recording of provider", args.provider[0], sorted(recorded))
    account, stream = Account(), told(args.folder, args.provider, loading.load(), identity.load())
    code = DONE
    if args.dry:
        for one in stream:
            account.add(one)
    else:
        code = run(lambda stop: _publish(stream, account, factor, stop))
    if code == DONE or account.rows:
        _tell(account, args.json)
    return code


def _factor(speed: str) -> float:
    """0 for full speed, 1 for recorded pace."""
    named = {"full": 0.0, "recorded": 1.0}
    try:
        factor = named[speed] if speed in named else float(speed)
    except ValueError:
        factor = -1.0
    if speed not in named and not 0 < factor < float("inf"):
        raise WrongCall(f"--speed: expected full, recorded or a number above 0, got {speed!r}")
    return factor


def _tell(account: Account, as_json: bool) -> None:
    rows = list(account.rows.values())
    if as_json:
        print(json.dumps(rows))  # noqa: T201
    else:
        for row in rows:
            why = "; ".join(f"{count} x {text}" for text, count in list(row["why"].items())[:3])
            print(f"{row['case']}\t{row['events']} events\t{row['faults']} faults\t{row['unknown']} unknown\t{why}")  # noqa: T201
    sys.stderr.write(f"{sum(row['events'] for row in rows)} events of {len(rows)} recordings\n")
    for reason, count in account.reasons().most_common():
        sys.stderr.write(f"  not mapped: {count} x {reason}\n")


async def _publish(stream: Iterable[Told], account: Account, factor: float, stop: Stop) -> int:
    """Send everything; records carry the recorded receive time, Kafka's own timestamp is today's, or the broker would drop them as old."""
    config = settings.read(CommonSettings)
    refused: list[str] = []
    box = Outbox(config, 32 * 1024 * 1024, lambda topic, record, reason: refused.append(f"{topic}: {reason}"))
    topics = [f"raw.{name}" for name in categories.load()]
    encode = msgspec.json.Encoder().encode
    await box.open(topics)
    pump = asyncio.create_task(box.pump(), name="outbox")
    try:
        before_ms: int | None = None
        for one in stream:
            account.add(one)
            if stop.is_set():
                break
            if factor and before_ms is not None:
                gap_s = (one.step.at_ms - before_ms) / 1000
                if gap_s <= LONGEST_GAP_S:
                    await asyncio.sleep(gap_s / factor)
            before_ms = one.step.at_ms
            await box.room()
            now_ms = time.time_ns() // 1_000_000
            for event in one.events:
                box.put(f"raw.{event.category}", Record(event.entity.encode(), encode(event), now_ms))
        left = await box.drain(Deadline.after_s(30))
    finally:
        pump.cancel()
        await box.close()
    for line in refused:
        sys.stderr.write(f"refused by the broker: {line}\n")
    return 1 if left or refused else 0
