"""`parallax bench aggregator`: stock Faust, the batch driver and bare loops on one broker, interleaved in one run.

Each sample is a process of its own on fresh topics; what is measured is its CPU time, all threads, from the first record
folded to the last one durable. Wall-clock rates depend on what else the machine does; CPU time much less.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

import msgspec

from schemas.events import Raw
from services.common import bench, kafka, provision
from services.common.errors import MachineError
from services.common.settings import CommonSettings

QUESTION = (
    "How many raw events does one core fold into fused records, beside stock Faust and bare loops? Expected: at least 30 times stock"
    " Faust with the same job and 0.75 of a bare aiokafka loop with the same engine; 200,000 events per core-second where keys repeat,"
    " 60,000 where none does; live at 5,000 a second at most 0.3 of a core."
)
PACKAGES = ("faust-streaming", "mode-streaming", "aiokafka", "uvloop", "msgspec", "numba", "numpy")
TOPICS = ("raw.market", "fused.market", "state.market", "candles.1m", "dlq", "late")

CASES = {
    "stock_idle": "stock Faust, an agent that does nothing",
    "stock_job": "stock Faust, an agent that folds each event and sends its fused record",
    "driver": "our driver, the whole job: fold, fuse, coalesce, bars, checkpoints, commits",
    "bare_engine": "a bare aiokafka loop with the same engine and writes",
    "bare": "bare getmany, nothing else",
}
SHARE = {"stock_idle": 0.1, "stock_job": 0.02}
"""Part of the entities that the slow ones get, each with all its events: what an event costs depends on how much is known of
its entity, not on how many entities there are."""

LOADS = {"coalescing": (2_000, 600_000), "not_coalescing": (200_000, 300_000)}
"""Load -> entities, events; events spread over the log as if 5,000 a second had come."""
RESTART_KEYS = 200_000
LIVE_PER_S = 5_000
LIVE_S = 12.0
WARM_S = 4.0
PROVIDERS = ("atlas", "beacon", "cobalt", "dorado", "ember", "falcon")
MUST = {
    "driver_per_stock": 30.0,
    "driver_per_bare": 0.75,
    "coalescing": 200_000,
    "not_coalescing": 60_000,
    "live_cores": 0.3,
    "restart_s": 3.0,
    "memory_mb": 250.0,
}


def events(count: int, entities: int, seed: int = 3) -> Iterator[tuple[bytes, bytes, int]]:
    """Key, value and time of raw events as collectors write them: mostly prices, every fourth with volume and change."""
    rnd = random.Random(seed)
    begin_ms = int(time.time() * 1000) - count * 1000 // LIVE_PER_S
    for number in range(count):
        now_ms = begin_ms + number * 1000 // LIVE_PER_S
        yield event(rnd, rnd.randrange(entities), now_ms)


def event(rnd: random.Random, entity: int, now_ms: int) -> tuple[bytes, bytes, int]:
    """One raw event."""
    price = (1 + entity % 977) * (1 + rnd.gauss(0, 0.0004))
    more: dict[str, Any] = {}
    if rnd.random() < 0.25:
        more = {"volume_24h": round(rnd.random() * 1e9, 2), "change_24h_pct": round(rnd.gauss(0, 3), 4)}
    raw = Raw(
        id=f"{rnd.getrandbits(64):016x}", category="market", provider=rnd.choice(PROVIDERS), endpoint="full" if more else "ticker",
        entity=f"asset:coin-{entity}", metrics={"price": price, **more}, received_ms=now_ms, origin="sandbox",
        event_ms=now_ms - rnd.randrange(1500), quote="usd", registry="5f2c9a1e",
    )  # fmt: skip
    return raw.entity.encode(), msgspec.json.encode(raw), now_ms


async def fill(settings: CommonSettings, rows: Sequence[tuple[bytes, bytes, int]]) -> None:
    """Write raw events, each into its key's partition."""
    lanes: list[list[tuple[bytes, bytes, int]]] = [[] for _ in range(4)]
    for row in rows:
        lanes[kafka.partition_of(row[0], 4)].append(row)
    async with kafka.producer(settings) as producer:

        async def write(number: int, lane: list[tuple[bytes, bytes, int]]) -> None:
            done = 0
            while done < len(lane):
                batch = producer.create_batch()
                while done < len(lane):
                    key, value, stamp = lane[done]
                    if batch.append(timestamp=stamp, key=key, value=value) is None:
                        break
                    done += 1
                await (await producer.send_batch(batch, settings.topic_prefix + "raw.market", partition=number))

        await asyncio.gather(*(write(number, lane) for number, lane in enumerate(lanes)))


@contextlib.asynccontextmanager
async def topics(bootstrap: str) -> Any:
    """Fresh topics under a name of their own."""
    settings = CommonSettings(kafka=bootstrap, topic_prefix=f"b{uuid.uuid4().hex[:8]}.")
    await provision.apply(settings, TOPICS)
    try:
        yield settings
    finally:
        await provision.remove(settings)


def child(settings: CommonSettings, case: str, count: int, seconds: float = 0.0) -> subprocess.Popen[str]:
    """A measured process."""
    arguments = [case, settings.kafka, settings.topic_prefix, str(count), str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-m", "services.aggregator.bench_case", *arguments], stdout=subprocess.PIPE, text=True
    )


def result(process: subprocess.Popen[str], case: str) -> dict[str, Any]:
    """What the process measured; MachineError when it failed."""
    try:
        out, _ = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.kill()
        raise MachineError(
            f"bench {case}", expected="a result within 240 s", got="none", do="look at its output above"
        ) from None
    if process.returncode != 0:
        raise MachineError(
            f"bench {case}", expected="exit code 0", got=str(process.returncode), do="look at its output above"
        )
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return found


async def sample(bootstrap: str, case: str, rows: Sequence[tuple[bytes, bytes, int]]) -> dict[str, Any]:
    """One sample of a case on a full topic."""
    nth = round(1 / SHARE.get(case, 1.0))
    part = [row for row in rows if crc32(row[0]) % nth == 0]
    async with topics(bootstrap) as settings:
        await fill(settings, part)
        process = child(settings, case, len(part))
        return await asyncio.to_thread(result, process, case)


async def live(bootstrap: str) -> dict[str, Any]:
    """One sample of the driver at LIVE_PER_S: cores used, and the delay of fused records."""
    async with topics(bootstrap) as settings:
        process = child(settings, "live", 0, LIVE_S)
        rnd = random.Random(5)
        begin_s = time.monotonic()
        sent = 0
        async with kafka.producer(settings) as producer:
            while process.poll() is None and time.monotonic() - begin_s < LIVE_S + WARM_S + 30:
                due = int((time.monotonic() - begin_s) * LIVE_PER_S)
                while sent < due:
                    key, value, stamp = event(rnd, rnd.randrange(2_000), int(time.time() * 1000))
                    await producer.send(settings.topic_prefix + "raw.market", value, key, timestamp_ms=stamp)
                    sent += 1
                await asyncio.sleep(0.002)
        return await asyncio.to_thread(result, process, "live")


async def restart(bootstrap: str) -> dict[str, Any]:
    """One sample of a restart: a process folds RESTART_KEYS entities, ends, and another one takes their state over."""
    rnd = random.Random(7)
    begin_ms = int(time.time() * 1000) - RESTART_KEYS * 1000 // LIVE_PER_S
    rows = [event(rnd, number, begin_ms + number * 1000 // LIVE_PER_S) for number in range(RESTART_KEYS)]
    async with topics(bootstrap) as settings:
        await fill(settings, rows)
        before = await asyncio.to_thread(result, child(settings, "fill", len(rows)), "fill")
        found = await asyncio.to_thread(result, child(settings, "restart", 0), "restart")
        return {"restart_s": found["wall_s"], "entities": found["entities"], "rss_mb": found["rss_mb"],
                "rss_folded_mb": before["rss_mb"]}  # fmt: skip


async def run(bootstrap: str, rounds: int, scale: float, loads: Sequence[str], cases: Sequence[str]) -> dict[str, Any]:
    """All samples, interleaved; the rates per core-second with their spread."""
    results: dict[str, Any] = {}
    for load in loads:
        if load not in LOADS:
            continue
        entities, count = LOADS[load]
        rows = list(events(int(count * scale), entities))
        samples: dict[str, list[dict[str, Any]]] = {case: [] for case in cases}
        for number in range(rounds):
            for case in cases:
                found = await sample(bootstrap, case, rows)
                samples[case].append(found)
                sys.stderr.write(
                    f"{load} {number + 1}/{rounds} {case}: {found['events'] / found['cpu_s']:,.0f} events per core-second\n"
                )
        results[load] = {case: _rates(taken) for case, taken in samples.items()}
        results[load]["record_bytes"] = sum(len(value) for _, value, _ in rows) / len(rows)
    if "live" in loads:
        lived = [await live(bootstrap) for _ in range(rounds)]
        results["live"] = {"cores": bench.spread([one["cpu_s"] / one["wall_s"] for one in lived]), "samples": lived}
    if "restart" in loads:
        taken = [await restart(bootstrap) for _ in range(rounds)]
        results["restart"] = {
            "seconds": bench.spread([one["restart_s"] for one in taken]),
            "memory_mb": bench.spread([max(one["rss_mb"], one["rss_folded_mb"]) for one in taken]),
            "samples": taken,
        }
    return results


def _rates(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"per_core_s": bench.spread([one["events"] / one["cpu_s"] for one in samples]), "samples": list(samples)}


def targets(results: dict[str, Any]) -> dict[str, Any]:
    """Each target with what was reached."""

    def rate(load: str, case: str) -> float:
        return float(results.get(load, {}).get(case, {}).get("per_core_s", {}).get("median", 0.0))

    found = {
        "driver_per_stock": rate("coalescing", "driver") / (rate("coalescing", "stock_job") or 1e9),
        "driver_per_bare": rate("coalescing", "driver") / (rate("coalescing", "bare_engine") or 1e9),
        "coalescing": rate("coalescing", "driver"),
        "not_coalescing": rate("not_coalescing", "driver"),
    }
    rows = {
        name: {"must": MUST[name], "reached": round(value, 3), "met": value >= MUST[name]}
        for name, value in found.items()
        if value
    }
    if "live" in results:
        cores = results["live"]["cores"]["median"]
        rows["live_cores"] = {
            "must": MUST["live_cores"],
            "reached": round(cores, 3),
            "met": cores <= MUST["live_cores"],
        }
    if "restart" in results:
        for name, field in (("restart_s", "seconds"), ("memory_mb", "memory_mb")):
            value = results["restart"][field]["median"]
            rows[name] = {"must": MUST[name], "reached": round(value, 3), "met": value <= MUST[name]}
    return rows


def table(results: dict[str, Any]) -> str:
    """The results for people."""
    lines = [f"{'load':<16}{'case':<14}{'events per core-second':>26}{'sent per event':>16}"]
    for load, cases in results.items():
        for case, found in cases.items():
            if isinstance(found, dict) and "per_core_s" in found:
                rate, samples = found["per_core_s"], found["samples"]
                sent = sum(one.get("fused", 0) for one in samples) / sum(one["events"] for one in samples)
                lines.append(
                    f"{load:<16}{case:<14}{rate['min']:>9,.0f}{rate['median']:>9,.0f}{rate['max']:>9,.0f}{sent:>15.2f}"
                )
    if "live" in results:
        cores = results["live"]["cores"]
        lines.append(f"live at {LIVE_PER_S}/s: {cores['median']:.2f} cores ({cores['min']:.2f} to {cores['max']:.2f})")
    for name, row in results["targets"].items():
        lines.append(f"{name}: must {row['must']}, reached {row['reached']}: {'met' if row['met'] else 'MISSED'}")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Run it, print the table, write the JSON; 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="parallax bench aggregator", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the events (default 1)")
    parser.add_argument("--loads", default="coalescing,not_coalescing,live,restart", help="comma separated")
    parser.add_argument(
        "--cases", default=",".join(CASES), help="comma separated: " + "; ".join(f"{k}: {v}" for k, v in CASES.items())
    )
    parser.add_argument("--kafka", default="", help="bootstrap server; default: an embedded broker of its own")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    arguments = parser.parse_args(argv)
    with contextlib.ExitStack() as stack:
        bootstrap = arguments.kafka
        if not bootstrap:
            from sandbox import broker

            bootstrap = stack.enter_context(broker.embedded()).bootstrap
        results = asyncio.run(
            run(bootstrap, arguments.rounds, arguments.scale, arguments.loads.split(","), arguments.cases.split(","))
        )
    results["targets"] = targets(results)
    where = bench.write("aggregator", QUESTION, PACKAGES, results)
    print(msgspec.json.encode(results).decode() if arguments.json else table(results))
    sys.stderr.write(f"written to {where}\n")
    return 0 if all(row["met"] for row in results["targets"].values()) else 1
