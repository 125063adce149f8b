"""`parallax bench gateway`: a hot GET and the WebSocket fan-out against plain ASGI and FastAPI, interleaved in one run.

CPU time of the server process is the measure: it stays sound when the machine is busy, wall-clock rates do not.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from services.common import bench
from services.common.errors import MachineError
from services.gateway.bench_servers import TOPICS

QUESTION = (
    "How much CPU does one hot GET cost, and one record delivered to one WebSocket client, beside plain ASGI and FastAPI?"
    " Expected: the hot GET within 2x of plain ASGI in spite of ETag, quota and gzip choice, far below FastAPI;"
    " fan-out at least 5x cheaper than one send per record."
)
PACKAGES = ("uvicorn", "httptools", "uvloop", "fastapi", "starlette", "websockets", "msgspec")
GET_KINDS = ("gateway", "asgi", "fastapi", "model")
SOCKET_KINDS = ("gateway", "sockets")
PATH = "/api/market/asset-7"
CONNECTIONS = 64
EACH = 20
"""Topics that each WebSocket client wants, of TOPICS."""
START_S = 20.0
TARGET_REQUESTS = 10_000
"""Must: requests per core-second of the hot GET."""
TARGET_US = 3.0
"""Must: CPU microseconds of the server per record and client, taking in and rendering the records included."""


def main(argv: list[str]) -> int:
    """Run it, print the table, write the JSON; 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="parallax bench gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds of load per GET sample (default 2)")
    parser.add_argument("--clients", type=int, default=5000, help="WebSocket clients (default 5000)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    arguments = parser.parse_args(argv)
    gets = hot_get(arguments.rounds, arguments.seconds)
    fans = fan_out(arguments.rounds, arguments.clients)
    results: dict[str, Any] = {"hot_get": gets, "fan_out": fans, "targets": targets(gets, fans)}
    where = bench.write("gateway", QUESTION, PACKAGES, results)
    if arguments.json:
        print(msgspec.json.encode(results).decode())
    else:
        print(table(gets, fans))
    sys.stderr.write(f"written to {where}\n")
    return 0 if all(row["met"] for row in results["targets"]) else 1


def hot_get(rounds: int, seconds: float) -> dict[str, Any]:
    """CPU per request of each server, interleaved."""
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in GET_KINDS}
    for number in range(rounds + 1):
        for kind in GET_KINDS:
            with server(kind) as (pid, port):
                ask(port, 0.5)
                before = bench.cpu_s(pid)
                requests, took_s, p99_ms = ask(port, seconds)
                used_s = bench.cpu_s(pid) - before
            if number:  # the first round warms caches and is thrown away
                found[kind].append({"us": used_s / requests * 1e6, "per_s": requests / took_s, "p99_ms": p99_ms})
    return {
        kind: {
            "cpu_us_per_request": bench.spread([sample["us"] for sample in samples]),
            "requests_per_core_second": bench.spread([1e6 / sample["us"] for sample in samples]),
            "requests_per_wall_second": bench.spread([sample["per_s"] for sample in samples]),
            "p99_ms": bench.spread([sample["p99_ms"] for sample in samples]),
        }
        for kind, samples in found.items()
    }


def fan_out(rounds: int, clients: int) -> dict[str, Any]:
    """CPU per record and client of each server, with `clients` clients of EACH random topics at 1 Hz."""
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in SOCKET_KINDS}
    for _ in range(rounds):
        for kind in SOCKET_KINDS:
            with server(kind) as (pid, port), listeners(port, clients):
                sent_before, writes_before = delivered(port)
                before, began_s = bench.cpu_s(pid), time.monotonic()
                time.sleep(5.0)
                used_s, took_s = bench.cpu_s(pid) - before, time.monotonic() - began_s
                sent, writes = delivered(port)
                memory_mb = bench.rss_mb(pid)
            records = sent - sent_before
            found[kind].append(
                {
                    "us": used_s / records * 1e6,
                    "per_s": records / took_s,
                    "per_write": records / max(1, writes - writes_before),
                    "rss_mb": memory_mb,
                }
            )
    return {
        kind: {
            "clients": clients,
            "cpu_us_per_record_and_client": bench.spread([sample["us"] for sample in samples]),
            "records_per_second": bench.spread([sample["per_s"] for sample in samples]),
            "records_per_write": bench.spread([sample["per_write"] for sample in samples]),
            "rss_mb": bench.spread([sample["rss_mb"] for sample in samples]),
        }
        for kind, samples in found.items()
    }


def targets(gets: dict[str, Any], fans: dict[str, Any]) -> list[dict[str, Any]]:
    """What must hold, and whether it does."""
    rate = gets["gateway"]["requests_per_core_second"]["median"]
    cost = fans["gateway"]["cpu_us_per_record_and_client"]["median"]
    return [
        {
            "name": "hot GET, requests per core-second",
            "must": f">= {TARGET_REQUESTS}",
            "is": rate,
            "met": rate >= TARGET_REQUESTS,
        },
        {"name": "fan-out, us per record and client", "must": f"<= {TARGET_US}", "is": cost, "met": cost <= TARGET_US},
    ]


def table(gets: dict[str, Any], fans: dict[str, Any]) -> str:
    """The medians with their ranges."""
    lines = ["hot GET            us/request (min-max)      requests/core-s    p99 ms"]
    for kind, row in gets.items():
        us, rate, p99 = row["cpu_us_per_request"], row["requests_per_core_second"], row["p99_ms"]
        lines.append(
            f"{kind:<17} {us['median']:8.1f} ({us['min']:.1f}-{us['max']:.1f}) {rate['median']:15.0f} {p99['median']:12.2f}"
        )
    lines.append("fan-out            us/record/client (min-max)   records/s   records/write   RSS MB")
    for kind, row in fans.items():
        us = row["cpu_us_per_record_and_client"]
        lines.append(
            f"{kind:<17} {us['median']:8.2f} ({us['min']:.2f}-{us['max']:.2f}) {row['records_per_second']['median']:18.0f}"
            f" {row['records_per_write']['median']:12.1f} {row['rss_mb']['median']:11.0f}"
        )
    return "\n".join(lines)


@contextmanager
def server(kind: str) -> Iterator[tuple[int, int]]:
    """A server process, pinned to the first core, that answers."""
    port = free_port()
    child = subprocess.Popen([sys.executable, "-m", "services.gateway.bench_servers", kind, str(port)])
    path = "/api/status" if kind == "sockets" else PATH
    try:
        end_s = time.monotonic() + START_S
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}{path}", timeout=1.0).status_code == 200:
                    break
            except httpx.HTTPError:
                if child.poll() is not None or time.monotonic() > end_s:
                    raise MachineError(
                        f"bench server {kind}", expected="an answer", got="none", do="see its output"
                    ) from None
                time.sleep(0.05)
        yield child.pid, port
    finally:
        child.kill()
        child.wait()


@contextmanager
def listeners(port: int, clients: int) -> Iterator[None]:
    """Connected WebSocket clients in a process of their own."""
    words = ["ws", str(port), str(clients), str(EACH), str(TOPICS)]
    load = subprocess.Popen(
        [sys.executable, "-m", "services.gateway.bench_load", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert load.stdout is not None
        load.stdout.readline()
        time.sleep(1.5)
        yield
    finally:
        load.kill()
        load.communicate()


def ask(port: int, seconds: float) -> tuple[int, float, float]:
    """Requests answered, seconds, p99 in ms (0 where unknown), by wrk on the last core or our own client."""
    url = f"http://127.0.0.1:{port}{PATH}"
    wrk = shutil.which("wrk")
    if wrk is None:
        words = ["http", str(port), PATH, str(seconds), str(CONNECTIONS)]
        out = subprocess.run(
            [sys.executable, "-m", "services.gateway.bench_load", *words], capture_output=True, text=True, check=True
        )
        done = msgspec.json.decode(out.stdout)
        return done["requests"], done["seconds"], 0.0
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--latency", url]
    if (taskset := shutil.which("taskset")) is not None:
        command = [taskset, "-c", str(last_core()), *command]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    requests, took = re.search(r"(\d+) requests in ([\d.]+)s", text), re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    if requests is None or took is None or "Non-2xx" in text:
        raise MachineError("wrk", expected="answers with 200", got=text)
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}[took[2]]
    return int(requests[1]), float(requests[2]), float(took[1]) * scale


def delivered(port: int) -> tuple[int, int]:
    """Records and writes that the server has sent to WebSocket clients."""
    stats = httpx.get(f"http://127.0.0.1:{port}/api/status", timeout=60.0).json()["data"]["gateway"]
    return stats["ws_sent_records"], stats["ws_writes"]


def last_core() -> int:
    """Number of the last core that this process may use."""
    return max(int(part) for part in re.findall(r"\d+", Path("/sys/devices/system/cpu/online").read_text()))


def free_port() -> int:
    """A port that nobody listens on now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
