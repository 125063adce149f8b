"""`parallax up`: broker, cache, topics, simulator and services on this machine, watched, and stopped together."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sandbox import process
from sandbox.announcer import Announcer
from sandbox.broker import Broker
from sandbox.cache import Cache
from sandbox.folder import data_folder
from sandbox.server import Server
from sandbox.supervisor import Child, Supervisor, answers_200
from schemas import topics
from services.common import kafka, provision
from services.common.arguments import port_number
from services.common.lifecycle import EXIT_DONE, Deadline, Stop, run, stop_or
from services.common.settings import CommonSettings, read, variable

PORT = 7860
LOOPBACK = "127.0.0.1"
STOP_S = 28.0
"""Budget of the whole stop; whoever stops us usually kills after 30 s."""
STOP_MARGIN_S = 3.0
"""A service is told to be done this long before it would be killed."""
FIRST_RECORD_S = 120.0
FIRST_RECORD_POLL_S = 0.25
FIRST_RECORD_LATE_POLL_S = 2.0


class Service(NamedTuple):
    """One process of ours: its command; `port` says which option carries the port of its own /readyz, if it has one."""

    name: str
    arguments: tuple[str, ...]
    port: str | None = None
    stop_s: float = 10.0


# In start order; the stop goes backwards. One process polls all 13 categories: on one machine that spares a gigabyte.
GATEWAY = Service("gateway", ("gateway",), port=variable("port"))
AGGREGATOR = Service("aggregator", ("aggregator",))
SIGNALS = Service("signals", ("signals",))
SIMULATOR = Service("simulator", ("simulator",), port="--port", stop_s=3.0)
COLLECTOR = Service("collector", ("collector", "--category", "all"), stop_s=15.0)
HEALTH = Service("health", ("health",))

SMALL_MACHINE = {
    # Thread pools of numeric libraries would cost memory in every process, and there is nothing for them to do.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONUNBUFFERED": "1",
}


class Options(NamedTuple):
    """What the command line asked for."""

    live: bool
    idle: bool
    port: int

    def services(self) -> tuple[Service, ...]:
        """The services of this run, in start order."""
        if self.idle:
            return GATEWAY, AGGREGATOR, SIGNALS, HEALTH
        if self.live:
            return GATEWAY, AGGREGATOR, SIGNALS, COLLECTOR, HEALTH
        return GATEWAY, AGGREGATOR, SIGNALS, SIMULATOR, COLLECTOR, HEALTH


def main(argv: list[str]) -> int:
    """`parallax up [--live | --idle] [--port 7860] [--data DIR]`."""
    parser = argparse.ArgumentParser(
        prog="parallax up",
        description="Start everything on this machine: Kafka, Valkey, topics, the provider simulator, collectors (all 13 "
        "categories in one process), aggregator, signals, gateway, health. PARALLAX_KAFKA and PARALLAX_REDIS name servers of yours.",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--live", action="store_true", help="poll the real providers instead of the simulator")
    source.add_argument("--idle", action="store_true", help="poll nothing; feed it with: parallax replay DIR")
    parser.add_argument("--port", type=port_number(), default=PORT, help=f"port of the gateway (default {PORT})")
    parser.add_argument("--data", type=Path, help="keep topics and logs in this folder; default: a temporary one")
    arguments = parser.parse_args(argv)
    read(CommonSettings)
    process.require_free(arguments.port, "gateway")
    with data_folder(arguments.data) as folder:
        options = Options(arguments.live, arguments.idle, arguments.port)
        return run(lambda stop: _up(options, folder, stop))


async def _up(options: Options, folder: Path, stop: Stop) -> int:
    announcer = Announcer(time.monotonic())
    await stop_or(stop, _everything(options, folder, announcer), "everything")
    announcer.say("stopped")
    return EXIT_DONE


async def _everything(options: Options, folder: Path, announcer: Announcer) -> None:
    """Start all and stay until cancelled; then stop all, services before the servers that they need."""
    servers, services = Supervisor(announcer.report), Supervisor(announcer.report)
    deadline: Deadline | None = None
    try:
        environ = await _servers(servers, folder, announcer)
        common = read(CommonSettings, environ)
        found = await provision.apply(common)
        announcer.say(f"{len(found)} topics")
        async with announcer.publishing(common):
            try:
                await services.start(_children(options, folder, environ))
                await _say_where(options, folder, common, announcer)
                await asyncio.Event().wait()
            finally:
                deadline = Deadline.after_s(STOP_S)
                announcer.say("stopping")
                await services.stop(deadline)
    finally:
        await servers.stop(deadline or Deadline.after_s(STOP_S))


async def _servers(supervisor: Supervisor, folder: Path, announcer: Announcer) -> dict[str, str]:
    """Start broker and cache, unless the environment names yours; returns the services' environment."""
    environ = SMALL_MACHINE | dict(os.environ)
    environ.setdefault(variable("log_format"), "text")
    servers: list[Server] = []
    if not environ.get(variable("redis")):
        cache = Cache(folder / "valkey")
        environ[variable("redis")] = cache.url
        servers.append(cache)
    if not environ.get(variable("kafka")):
        broker = Broker(folder / "kafka", progress=announcer.say)
        environ[variable("kafka")] = broker.bootstrap
        servers.append(broker)
    for server in servers:
        await asyncio.to_thread(server.prepare)
    children = [Child(row.name, row.spawn, row.ready, row.log_path, row.stop_s, row.ready_s) for row in servers]
    await supervisor.start(children)
    return environ


def _children(options: Options, folder: Path, environ: dict[str, str]) -> list[Child]:
    simulator_port = process.free_port()
    ports = {GATEWAY.name: options.port, SIMULATOR.name: simulator_port}
    shared = environ | mode(options, simulator_port)
    return [_child(row, ports.get(row.name), folder, shared) for row in options.services()]


def mode(options: Options, simulator_port: int) -> dict[str, str]:
    """What tells services where data comes from, and which origins they take: a live run takes live records only."""
    if options.live:
        return {variable("origins"): "live"}
    if options.idle:
        return {variable("origins"): "replay"}
    simulator = f"http://{LOOPBACK}:{simulator_port}"
    return {variable("origins"): "sandbox,replay", variable("sandbox_url"): simulator}


def invocation(
    row: Service, port: int | None, ops_port: int, environ: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment of a service, its own port by option or by variable."""
    mine = dict(environ) | {variable("instance"): row.name, variable("ops_port"): str(ops_port)}
    mine.setdefault(variable("stop_s"), str(row.stop_s - STOP_MARGIN_S))
    arguments = list(row.arguments)
    if row.port is not None and row.port.startswith("--"):
        arguments += [row.port, str(port)]
    elif row.port is not None:
        mine[row.port] = str(port)
    return arguments, mine


def _child(row: Service, port: int | None, folder: Path, environ: dict[str, str]) -> Child:
    """The child of a service: ready by its own port where it has one, else by its operations port."""
    ops_port = process.free_port()
    arguments, mine = invocation(row, port, ops_port, environ)
    command = [sys.executable, "-m", "services.cli", *arguments]
    log_path = folder / "logs" / f"{row.name}.log"

    def spawn() -> subprocess.Popen[bytes]:
        if port is not None:
            # Else whoever took the port meanwhile would answer for our service.
            process.require_free(port, row.name)
        return process.spawn(command, log_path, mine)

    return Child(
        row.name,
        spawn,
        lambda: answers_200(LOOPBACK, port or ops_port, "/readyz"),
        log_path,
        row.stop_s,
    )


async def _say_where(options: Options, folder: Path, common: CommonSettings, announcer: Announcer) -> None:
    """The address on stdout as soon as all are ready, then the time of the first fused record."""
    address = f"http://{LOOPBACK}:{options.port}"
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()
    for line in (
        f"ready: {address} (status page), {address}/docs, {address}/api/market, {address}/api/status",
        f"logs: {folder / 'logs'}",
        f"feed recordings: {variable('kafka')}={common.kafka} {_parallax()} replay DIR",
        "Ctrl-C stops everything",
    ):
        announcer.say(line)
    async with kafka.reader(common) as reader:
        names = [
            topics.name(row.name, common.topic_prefix) for row in topics.load().rows if row.name.startswith("fused.")
        ]
        places = await kafka.partitions(reader, names)
        deadline, pause_s = Deadline.after_s(FIRST_RECORD_S), FIRST_RECORD_POLL_S
        while not any((await kafka.end_offsets(reader, places)).values()):
            if deadline.expired and pause_s == FIRST_RECORD_POLL_S:
                if options.idle:
                    return
                announcer.say(f"no fused record after {FIRST_RECORD_S:.0f} s; see the logs, or: parallax doctor")
                pause_s = FIRST_RECORD_LATE_POLL_S
            await asyncio.sleep(pause_s)
    announcer.say("first fused record")


def _parallax() -> str:
    """How the person at the keyboard calls this program."""
    if shutil.which("parallax"):
        return "parallax"
    beside = Path(sys.executable).parent / "parallax"
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)
