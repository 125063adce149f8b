"""One measured process of `parallax bench aggregator`: CASE BOOTSTRAP PREFIX COUNT SECONDS; prints its result as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from services.aggregator import app as aggregator
from services.aggregator.fusion import Fuser
from services.aggregator.settings import AggregatorSettings
from services.common import bench, kafka

GROUP = "bench"
LOOK_S = 0.005


class Clock:
    """CPU and wall time since the first record."""

    def __init__(self) -> None:
        self.cpu_s = self.wall_s = 0.0
        self.running = False

    def start(self) -> None:
        """Begin, once."""
        if not self.running:
            self.running = True
            self.cpu_s, self.wall_s = time.process_time(), time.monotonic()

    def report(self, events: int, **more: Any) -> None:
        """Print the result and end the process at once: how long it takes to stop is not the question."""
        found = {
            "events": events,
            "cpu_s": time.process_time() - self.cpu_s,
            "wall_s": time.monotonic() - self.wall_s,
            "rss_mb": round(bench.rss_mb(os.getpid()), 1),
            **more,
        }
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
        os._exit(0)


def driver(settings: AggregatorSettings, count: int, seconds: float, clock: Clock) -> None:
    """The whole aggregator, as deployed."""
    app = aggregator.build(settings, ("market",))
    host = app.owner
    metrics = host.metrics

    def totals() -> dict[str, float]:
        names = {"fused": "fused_sent_total", "candles": "candles_sent_total", "folded": "raw_folded_total"}
        return {short: metrics.child(name, category="market")._value.get() for short, name in names.items()}

    @app.task  # type: ignore[untyped-decorator]
    async def watch() -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            parts = [held.partition for held in host.held.values() if held.partition is not None]
            done = sum(part.position + 1 for part in parts)
            # A live load is measured once what had gathered before the start is worked off.
            if done and not (seconds and any(part.behind for part in parts)):
                clock.start()
            if count and done >= count and all(_quiet(held) for held in host.held.values()):
                clock.report(done, **totals())
            if seconds and clock.running and time.monotonic() - clock.wall_s > seconds:
                clock.report(done, **totals())

    aggregator.work(app)


def fill(settings: AggregatorSettings, count: int, clock: Clock) -> None:
    """The whole aggregator until everything it was told is in a checkpoint."""
    app = aggregator.build(settings, ("market",))
    host = app.owner

    @app.task  # type: ignore[untyped-decorator]
    async def watch() -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            parts = [held.partition for held in host.held.values() if held.partition is not None]
            if sum(part.position + 1 for part in parts) >= count and all(map(_kept, host.held.values())):
                clock.start()
                clock.report(count, entities=sum(len(part.entities) for part in parts))

    aggregator.work(app)


def restart(settings: AggregatorSettings, clock: Clock) -> None:
    """The whole aggregator, from the start of its process until it has all its state and would read on."""
    app = aggregator.build(settings, ("market",))
    host = app.owner

    @app.task  # type: ignore[untyped-decorator]
    async def watch() -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if host.held and all(held.live for held in host.held.values()):
                clock.start()
                clock.wall_s -= _age_s()
                clock.cpu_s = 0.0
                clock.report(0, entities=sum(len(held.partition.entities) for held in host.held.values()))

    aggregator.work(app)


def _age_s() -> float:
    """Seconds since this process was started, its imports included."""
    started = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - started


def _kept(held: Any) -> bool:
    partition = held.partition
    return (
        _quiet(held) and partition.cut is None and not partition.changed and held.committable == partition.position + 1
    )


def _quiet(held: Any) -> bool:
    due = held.partition.due
    return held.idle.is_set() and not due.ready and due.next_ms is None


def stock_idle(settings: AggregatorSettings, count: int, clock: Clock) -> None:
    """Stock Faust with an agent that does nothing."""
    app = aggregator.faust_app(settings, "kafka")
    seen = 0

    @app.agent(aggregator.bytes_topic(app, settings.topic_prefix + "raw.market"))  # type: ignore[untyped-decorator]
    async def idle(stream: Any) -> None:
        nonlocal seen
        async for _ in stream:
            seen += 1
            if seen == 1:
                clock.start()
            if seen >= count:
                clock.report(seen)

    aggregator.work(app)


def stock_job(settings: AggregatorSettings, count: int, clock: Clock) -> None:
    """Stock Faust as its documentation teaches it: fold each event, send the fused record of its entity."""
    from services.aggregator.engine import Partition
    from services.aggregator.engine.fold import fold
    from services.aggregator.engine.records import OneRecord

    app = aggregator.faust_app(settings, "kafka")
    rules = aggregator.rules_of(("market",), settings)["market"]
    partitions: dict[int, Partition] = {}
    fused = aggregator.bytes_topic(app, settings.topic_prefix + "fused.market")
    seen = sent = 0

    @app.agent(aggregator.bytes_topic(app, settings.topic_prefix + "raw.market"))  # type: ignore[untyped-decorator]
    async def job(stream: Any) -> None:
        nonlocal seen, sent
        async for event in stream.events():
            message = event.message
            seen += 1
            if seen == 1:
                clock.start()
            partition = partitions.get(message.partition)
            if partition is None:
                partition = partitions[message.partition] = Partition(rules, message.partition)
            fold(
                partition,
                (OneRecord(message.offset, int(message.timestamp * 1000), message.key, message.value),),
                seen * 1000,
            )
            for key, value in partition.take(seen * 1000, 10):
                await fused.send(key=key, value=value)
                sent += 1
            if seen >= count:
                clock.report(seen, fused=sent)

    aggregator.work(app)


async def bare(settings: AggregatorSettings, count: int, clock: Clock) -> None:
    """Bare getmany, nothing else."""
    seen = 0
    async with kafka.reader(settings, settings.topic_prefix + "raw.market", max_poll_records=2000) as reader:
        while seen < count:
            for records in (await reader.getmany(timeout_ms=500)).values():
                clock.start()
                seen += len(records)
        clock.report(seen)


async def bare_engine(settings: AggregatorSettings, count: int, clock: Clock) -> None:
    """A bare loop with the same engine and the same writes of fused records, bars and checkpoints; no group, no commits."""
    from services.aggregator.driver.host import CANDLES_TAKE, CUT_TAKE, SWEEP_TAKE, TAKE, is_behind
    from services.aggregator.driver.writer import OPTIONS, Writer
    from services.aggregator.engine import Partition
    from services.aggregator.engine.fold import fold
    from services.aggregator.metrics import ROWS
    from services.common.metrics import Metrics

    async def allowed() -> None:
        return None

    rules = aggregator.rules_of(("market",), settings)["market"]
    partitions: dict[int, Partition] = {}
    cut_at: dict[int, float] = {}
    prefix = settings.topic_prefix
    seen = fused = candles = 0
    async with (
        kafka.reader(settings, prefix + "raw.market", max_poll_records=2000) as reader,
        kafka.producer(settings, **OPTIONS) as producer,
    ):
        writer = Writer(producer, lambda: asyncio.sleep(0, producer), allowed, Metrics.build(ROWS))
        while True:
            for tp, records in (await reader.getmany(timeout_ms=50)).items():
                clock.start()
                if tp.partition not in partitions:
                    partitions[tp.partition] = Partition(rules, tp.partition)
                    cut_at[tp.partition] = time.monotonic()
                fold(
                    partitions[tp.partition],
                    records,
                    int(time.monotonic() * 1000),
                    is_behind(records, time.time() * 1000),
                )
                seen += len(records)
            writes = []
            for number, part in partitions.items():
                now_s = time.monotonic()
                if part.cut is None and (
                    len(part.changed) >= settings.checkpoint_keys or now_s - cut_at[number] >= settings.checkpoint_s
                ):
                    part.begin_cut()
                part.candles.sweep(SWEEP_TAKE)
                records_out = part.take(int(now_s * 1000), TAKE)
                bars = part.candles.take(CANDLES_TAKE)
                fused += len(records_out)
                candles += len(bars)
                state = part.take_cut(CUT_TAKE) if part.cut is not None else []
                for topic, rows in (("fused.market", records_out), ("candles.1m", bars), ("state.market", state)):
                    if rows:
                        writes.append(writer.send(prefix + topic, number, rows))
            await asyncio.gather(*writes)
            for number, part in partitions.items():
                cut = part.cut
                if cut is not None and part.cut_is_out():
                    await writer.send(prefix + "state.market", number, part.close_cut())
                    part.end_cut()
                    cut_at[number] = time.monotonic()
            if seen >= count and all(not part.due.ready and part.due.next_ms is None for part in partitions.values()):
                clock.report(seen, fused=fused, candles=candles)


def main(argv: list[str]) -> int:
    """Run one case."""
    case, bootstrap, prefix, count, seconds = argv[0], argv[1], argv[2], int(argv[3]), float(argv[4])
    group = f"{GROUP}-{case}-{prefix}"
    settings = AggregatorSettings(
        kafka=bootstrap, topic_prefix=prefix, group=group, log_level="WARNING", log_format="text"
    )
    aggregator.prepare(settings)
    Fuser.warm(wait=True)
    clock = Clock()
    if case in ("driver", "live"):
        driver(settings, count, seconds, clock)
    elif case == "fill":
        fill(settings, count, clock)
    elif case == "restart":
        restart(settings, clock)
    elif case == "stock_idle":
        stock_idle(settings, count, clock)
    elif case == "stock_job":
        stock_job(settings, count, clock)
    elif case == "bare_engine":
        asyncio.run(bare_engine(settings, count, clock))
    else:
        asyncio.run(bare(settings, count, clock))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
