"""`parallax simulator [--port N] [--seed N] [--tick S] [--list]`: serve, or say what can and cannot be simulated."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys

import uvicorn

from sandbox.process import free_port
from sandbox.simulator.server import Server
from sandbox.simulator.simulator import Simulator
from services.collector.registry.load import load
from services.common import lifecycle
from services.common import logging as logs
from services.common.arguments import port_number
from services.common.lifecycle import Stop
from services.common.settings import CommonSettings, read

SEED = 20_261_122
log = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="parallax simulator", description=__doc__)
    parser.add_argument("--port", type=port_number(0), default=0, help="0 picks a free one and logs it")
    parser.add_argument("--seed", type=int, default=SEED, help="of the hidden market")
    parser.add_argument("--tick", type=float, default=1.0, help="seconds between two messages of a market on a socket")
    parser.add_argument(
        "--list", action="store_true", help="print every endpoint and stream and whether it is simulated"
    )
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    arguments = parser.parse_args(argv)
    if arguments.list:
        return _list(Simulator(load(), arguments.seed), arguments.json)
    logs.configure(read(CommonSettings), "simulator")
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # a killed provider is meant, not an error of the server
    return lifecycle.run(lambda stop: _serve(arguments.port, arguments.seed, arguments.tick, stop))


async def _serve(port: int, seed: int, tick_s: float, stop: Stop) -> int:
    simulator = Simulator(load(), seed)
    port = port or free_port()
    counts = len(simulator.examples.endpoints), len(simulator.examples.streams)
    log.info("on http://127.0.0.1:%d: %d endpoints and %d streams can be asked", port, *counts)
    config = uvicorn.Config(
        Server(simulator, tick_s), host="127.0.0.1", port=port, log_config=None, access_log=False, ws="websockets-sansio",
        http="httptools", lifespan="on", timeout_graceful_shutdown=1, ws_ping_interval=None,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server._serve(), name="serve")

    async def until_stopped() -> None:
        await stop.wait()
        server.should_exit = True

    waiting = asyncio.create_task(until_stopped(), name="stop")
    try:
        await serving
    finally:
        waiting.cancel()
    return lifecycle.EXIT_DONE


def _list(simulator: Simulator, as_json: bool) -> int:
    examples = simulator.examples
    rows = [
        {"provider": p, "name": n, "simulated": True, "why": ""} for p, n in (*examples.endpoints, *examples.streams)
    ]
    rows += [{"provider": p, "name": n, "simulated": False, "why": why} for (p, n), why in examples.missing.items()]
    rows.sort(key=lambda row: (str(row["provider"]), str(row["name"])))
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
    else:
        words = [(row["provider"], row["name"], "yes" if row["simulated"] else row["why"]) for row in rows]
        for provider, name, simulated in (("provider", "endpoint or stream", "simulated"), *words):
            sys.stdout.write(f"{provider:<24} {name:<28} {simulated}\n")
    return lifecycle.EXIT_DONE
