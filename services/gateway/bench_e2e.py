"""`parallax bench e2e`: from a tick on an exchange's WebSocket, through collector, Kafka, aggregator and gateway, to a client's frame.

The load is told in raw events, as Kafka counts them: a trade is one event of its pair and, where its quote is a dollar's stand-in,
one of its asset. Every tick counts: one that is overtaken (a busy pair is sent at most every 100 ms) with the time until the frame
that holds a newer one of its pair; those that a client saw themselves are told beside. All processes, the exchange and the client
share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from sandbox import broker, process
from schemas import topics
from services.common import bench, kafka, provision
from services.common.errors import MachineError
from services.common.settings import CommonSettings, variable
from services.gateway.bench_venue import VENUE, Venue, venue

QUESTION = (
    "How long after an exchange sent a tick does a client hold it, and where does the time go? Expected at 5,000 events a second"
    " on two cores with every service on them: p99 at most 150 ms, most of it the 100 ms to which a busy key is held."
)
PACKAGES = ("aiokafka", "faust-streaming", "uvicorn", "uvloop", "websockets", "msgspec")
RATES = (1_000, 5_000)
TARGET_P99_MS = 150.0
WARM_S = 15.0
"""The broker compiles itself while it is young, on the cores that the measurement needs."""
READY_S = 90.0
SERVICES = ("gateway", "aggregator", "collector", "health")


class Metric(msgspec.Struct):
    """A metric as far as the bench looks at it."""

    value: Any = None


class Record(msgspec.Struct):
    """A record of a client's frame as far as the bench looks at it."""

    entity: str
    as_of: str
    fused_at: str
    metrics: dict[str, Metric]


class Frame(msgspec.Struct):
    """A data frame of the client."""

    data: list[Record]


class Heard(msgspec.Struct, gc=False):
    """A record that the client got: the number of its newest tick, and the times on its way."""

    entity: str
    number: int
    received_ms: float
    fused_ms: float
    client_ns: int


def main(argv: list[str]) -> int:
    """Run it, print the table, write the JSON; 1 when the target is missed."""
    parser = argparse.ArgumentParser(prog="parallax bench e2e", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="seconds of measured load per rate (default 15)")
    parser.add_argument(
        "--rates", type=int, nargs="+", default=list(RATES), help="raw events per second (default 1000 5000)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds over all rates (default 3)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    arguments = parser.parse_args(argv)
    results = uvloop.run(measure(arguments.rates, arguments.rounds, arguments.seconds))
    where = bench.write("e2e", QUESTION, PACKAGES, results)
    print(msgspec.json.encode(results).decode() if arguments.json else table(results))
    sys.stderr.write(f"written to {where}\n")
    return 0 if all(row["met"] for row in results["targets"]) else 1


async def measure(rates: list[int], rounds: int, seconds: float) -> dict[str, Any]:
    """Every rate, `rounds` times, on one set of services."""
    samples: dict[int, list[dict[str, Any]]] = {rate: [] for rate in rates}
    async with AsyncExitStack() as stack:
        source, url = await stack.enter_async_context(venue())
        server = stack.enter_context(broker.embedded())
        common = CommonSettings(kafka=server.bootstrap)
        await provision.apply(common)
        pids, port = await stack.enter_async_context(services(server.bootstrap, url))
        pids["kafka"] = server_pid(server)
        client = await stack.enter_async_context(
            connect(f"ws://127.0.0.1:{port}/ws/master", compression=None, max_size=None)
        )
        heard: list[Heard] = []
        listening = asyncio.create_task(listen(client, heard), name="client")
        await until(source.settled, "the collector subscribes")
        log = await stack.enter_async_context(log_of(common))
        before, ticks = await log(), len(source.said_ns)
        await source.say(max(rates), WARM_S)
        each = (await log() - before) / (len(source.said_ns) - ticks)
        for _ in range(rounds):
            for rate in rates:
                samples[rate].append(await sample(source, heard, pids, log, rate / each, seconds))
        pairs = len(source.symbols)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    found = {str(rate): summary(rows) for rate, rows in samples.items()}
    top = found[str(max(rates))]["latency_ms"]["p99"]["median"]
    lost = sum(row["ticks_lost"] for row in found.values())
    targets = [
        {
            "name": f"p99 at {max(rates)} events/s, ms",
            "must": f"<= {TARGET_P99_MS}",
            "is": top,
            "met": top <= TARGET_P99_MS,
        },
        {"name": "ticks that no frame followed", "must": "0", "is": lost, "met": lost == 0},
    ]
    return {"pairs": pairs, "events_per_tick": round(each, 3), "rates": found, "targets": targets}


@asynccontextmanager
async def log_of(common: CommonSettings) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """A function that tells how many records the raw topics have taken."""
    names = [topics.name(row.name, common.topic_prefix) for row in topics.load().rows if row.name.startswith("raw.")]
    async with kafka.reader(common) as reader:
        places = await kafka.partitions(reader, names)

        async def count() -> int:
            return sum((await kafka.end_offsets(reader, places)).values())

        yield count


async def sample(
    source: Venue,
    heard: list[Heard],
    pids: dict[str, int],
    log: Callable[[], Awaitable[int]],
    ticks_per_s: float,
    seconds: float,
) -> dict[str, Any]:
    """One rate once: latencies of all its ticks, their parts, and the cores that each process used."""
    first_tick, first_heard, events = len(source.said_ns), len(heard), await log()
    before = {name: bench.cpu_s(pid) for name, pid in pids.items()}
    mine, began_s = time.process_time(), time.monotonic()
    await source.say(ticks_per_s, seconds)
    took_s = time.monotonic() - began_s
    cores = {name: round((bench.cpu_s(pid) - before[name]) / took_s, 3) for name, pid in pids.items()}
    cores["exchange and client"] = round((time.process_time() - mine) / took_s, 3)
    await asyncio.sleep(1.0)
    pairs = list(source.symbols)
    latencies, seen, exchange, fusing, serving = [], [], [], [], []
    newest: dict[str, int] = {}
    for record in heard[first_heard:]:
        number = record.number - source.base
        if number < first_tick:
            continue
        sent_ns = source.said_ns[number]
        seen.append((record.client_ns - sent_ns) / 1e6)
        exchange.append(record.received_ms - sent_ns / 1e6)
        fusing.append(record.fused_ms - record.received_ms)
        serving.append(record.client_ns / 1e6 - record.fused_ms)
        # Ticks of a pair are len(pairs) apart: this frame is the first to hold all of them since its last one.
        known = newest.get(record.entity)
        start = known + len(pairs) if known is not None else first_tick + (number - first_tick) % len(pairs)
        for tick in range(start, number + 1, len(pairs)):
            latencies.append((record.client_ns - source.said_ns[tick]) / 1e6)
        newest[record.entity] = number if known is None else max(number, known)
    ticks = len(source.said_ns) - first_tick
    return {
        "ticks": ticks,
        "events_per_s": (await log() - events) / took_s,
        "ticks_per_s": ticks / took_s,
        "ticks_heard": len(latencies),
        "frames_per_s": (len(heard) - first_heard) / took_s,
        "latency_ms": quantiles(latencies),
        "seen_ms": quantiles(seen),
        "parts_ms": {
            "exchange to collector": quantiles(exchange),
            "collector to fused record": quantiles(fusing),
            "fused record to client": quantiles(serving),
        },
        "cores": cores,
    }


async def listen(client: ClientConnection, heard: list[Heard]) -> None:
    """Subscribe to all pairs as they come, and note every record that names a tick."""
    await client.send(
        msgspec.json.encode({"action": "subscribe", "service": "exchange", "rate": "live", "snapshot": False}).decode()
    )
    read = msgspec.json.Decoder(Frame).decode
    while True:
        text = await client.recv(decode=False)
        now_ns = time.time_ns()
        if b'"type":"update"' not in text[:80]:
            continue
        for record in read(text).data:
            number = record.metrics.get("trade_id")
            if number is None or number.value is None:
                continue
            heard.append(
                Heard(
                    record.entity, int(number.value), milliseconds(record.as_of), milliseconds(record.fused_at), now_ns
                )
            )


@asynccontextmanager
async def services(kafka: str, url: str) -> AsyncIterator[tuple[dict[str, int], int]]:
    """The services as processes, ready; their process ids and the gateway's port."""
    port = process.free_port()
    shared = dict(os.environ) | {
        variable("kafka"): kafka,
        variable("sandbox_url"): url,
        variable("providers"): VENUE,
        variable("port"): str(port),
        variable("log_level"): "WARNING",
        variable("origins"): "sandbox",
        "OMP_NUM_THREADS": "1",
    }
    shared.pop(variable("redis"), None)
    with tempfile.TemporaryDirectory(prefix="parallax-bench-") as folder:
        running = {}
        try:
            ready = {}
            for name in SERVICES:
                ops_port = process.free_port()
                words = [name, "--category", "exchange"] if name == "collector" else [name]
                command = [sys.executable, "-m", "services.cli", *words]
                environ = shared | {variable("ops_port"): str(ops_port), variable("instance"): name}
                running[name] = process.spawn(command, Path(folder) / f"{name}.log", environ)
                ready[name] = f"http://127.0.0.1:{ops_port}/readyz"
            async with httpx.AsyncClient(timeout=2.0) as http:
                for name, address in ready.items():
                    await until(lambda address=address: answers(http, address), f"{name} is ready")
            try:
                yield {name: child.pid for name, child in running.items()}, port
            except Exception:
                for name in SERVICES:
                    sys.stderr.write(f"--- end of {name}.log\n{process.tail(Path(folder) / f'{name}.log')}\n")
                raise
        finally:
            for child in reversed(running.values()):
                process.stop(child, 15.0)


async def answers(http: httpx.AsyncClient, address: str) -> bool:
    """Whether a probe says yes."""
    with contextlib.suppress(httpx.HTTPError):
        return (await http.get(address)).status_code == 200
    return False


async def until(condition: Any, what: str) -> None:
    """Wait for a condition; MachineError when it does not come."""
    end_s = time.monotonic() + READY_S
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        if time.monotonic() > end_s:
            raise MachineError(
                "parallax bench e2e", expected=what, got=f"nothing in {READY_S:.0f} s", do="run: parallax up"
            )
        await asyncio.sleep(0.05)


def server_pid(server: broker.Broker) -> int:
    """Process id of the broker."""
    assert server.pid is not None
    return server.pid


def milliseconds(instant: str) -> float:
    """Unix milliseconds of one of the API's instants."""
    return datetime.fromisoformat(instant).timestamp() * 1000


def quantiles(values: list[float]) -> dict[str, float]:
    """p50, p90, p99 and the greatest."""
    if not values:
        return {"p50": 0.0, "p90": 0.0, "p99": 0.0, "max": 0.0}
    values = sorted(values)
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    return {name: round(values[min(len(values) - 1, int(share * len(values)))], 2) for name, share in at.items()} | {
        "max": round(values[-1], 2)
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rounds of one rate side by side."""
    return {
        "latency_ms": {
            name: bench.spread([row["latency_ms"][name] for row in rows]) for name in ("p50", "p90", "p99", "max")
        },
        "seen_ms": {name: bench.spread([row["seen_ms"][name] for row in rows]) for name in ("p50", "p99")},
        "events_per_s": bench.spread([row["events_per_s"] for row in rows]),
        "ticks_per_s": bench.spread([row["ticks_per_s"] for row in rows]),
        "frames_per_s": bench.spread([row["frames_per_s"] for row in rows]),
        "ticks_lost": sum(row["ticks"] - row["ticks_heard"] for row in rows),
        "rounds": rows,
    }


def table(results: dict[str, Any]) -> str:
    """Latencies, then their parts and the cores of the last round."""
    lines = [
        f"{results['pairs']} pairs, {results['events_per_tick']} events a tick",
        "events/s  p50 ms (min-max)      p99 ms (min-max)      ticks/s  frames/s  of ticks seen themselves: p50  p99",
    ]
    for row in results["rates"].values():
        p50, p99 = row["latency_ms"]["p50"], row["latency_ms"]["p99"]
        lines.append(
            f"{row['events_per_s']['median']:8.0f} {p50['median']:8.1f} ({p50['min']:.1f}-{p50['max']:.1f})"
            f" {p99['median']:12.1f} ({p99['min']:.1f}-{p99['max']:.1f}) {row['ticks_per_s']['median']:10.0f}"
            f" {row['frames_per_s']['median']:9.0f} {row['seen_ms']['p50']['median']:34.1f} {row['seen_ms']['p99']['median']:4.0f}"
        )
    for rate, row in results["rates"].items():
        last = row["rounds"][-1]
        parts = "; ".join(f"{name} {part['p50']:.0f} / {part['p99']:.0f}" for name, part in last["parts_ms"].items())
        cores = ", ".join(f"{name} {used:.2f}" for name, used in last["cores"].items())
        lines += [f"{rate}/s, p50 / p99 ms: {parts}", f"{rate}/s, cores: {cores}"]
    return "\n".join(lines)
