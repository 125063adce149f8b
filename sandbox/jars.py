"""The broker's jars by Maven coordinates: fetched once into the user's cache, verified against jars.lock every time."""

from __future__ import annotations

import fcntl
import hashlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.process import cache_folder
from services.common.errors import MachineError

COORDINATES = (
    "org.apache.kafka:kafka_2.13:4.3.0",
    # Named, because a resolver that follows the first path it finds picks an older one.
    "org.apache.kafka:kafka-clients:4.3.0",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.1",
    "org.apache.logging.log4j:log4j-core:2.25.1",
)
LOCK = Path(__file__).parent / "jars.lock"
DOWNLOADS = 6
"""Downloads at a time: enough to fill a line, few enough to be polite."""
SHOWN_EVERY = 10
ATTEMPTS = 3
TIMEOUT_S = 60

Progress = Callable[[str], None]


class Locked(NamedTuple):
    """One jar of the lock file."""

    coordinate: str
    sha256: str


def quiet(line: str) -> None:
    """Progress for callers who want none."""


def locked() -> tuple[Locked, ...]:
    """The rows of jars.lock."""
    rows = (line.split() for line in LOCK.read_text().splitlines() if line and not line.startswith("#"))
    return tuple(Locked(coordinate, sha256) for sha256, coordinate in rows)


def fetch(progress: Progress = quiet) -> list[Path]:
    """Paths of all jars, downloaded where the cache lacks them; MachineError when one cannot be had or its sum is wrong."""
    rows = locked()
    with _alone():
        missing = [row for row in rows if not _intact(row)]
        if missing:
            progress(f"fetching {len(missing)} jars of Apache Kafka (once; kept in {cache_folder()})")
            context = _context()
            with ThreadPoolExecutor(DOWNLOADS) as pool:
                for number, row in enumerate(pool.map(lambda row: _download(context, row), missing), 1):
                    if number % SHOWN_EVERY == 0 or number == len(missing):
                        progress(f"  {number}/{len(missing)} {row.coordinate}")
    return [path_of(row.coordinate) for row in rows]


def absent() -> list[str]:
    """Coordinates of the jars that are not in the cache, or not intact."""
    return [row.coordinate for row in locked() if not _intact(row)]


def path_of(coordinate: str) -> Path:
    """Where the jar of `group:artifact:version` is kept, in Maven's layout."""
    group, artifact, version = coordinate.split(":")
    return repository() / group.replace(".", "/") / artifact / version / f"{artifact}-{version}.jar"


def repository() -> Path:
    """The folder of the jars."""
    return cache_folder() / "maven"


def lock() -> str:
    """The text of jars.lock for COORDINATES, resolved anew."""
    from jgo.parse import Endpoint

    context = _context()
    parsed = Endpoint.parse("+".join(COORDINATES)).coordinates
    wanted = [context.create_dependency(replace(coordinate, scope="compile")) for coordinate in parsed]
    direct, transitive = context.resolver.resolve(wanted)
    found = [*direct, *(row for row in transitive if row.scope in ("compile", "runtime"))]
    lines = ["# Jars of the embedded broker, sha256 and coordinate. Written by: python -m sandbox.jars"]
    for coordinate in sorted({f"{a.groupId}:{a.artifactId}:{a.version}" for a in (row.artifact for row in found)}):
        group, artifact, version = coordinate.split(":")
        path = Path(context.project(group, artifact).at_version(version).artifact().resolve())
        lines.append(f"{_sum(path)}  {coordinate}")
    return "\n".join(lines) + "\n"


def _context() -> Any:
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    # Whoever sits behind a mirror says so in jgo's own settings file.
    remotes = {"central": MAVEN_CENTRAL_URL} | dict(GlobalSettings.load().repositories)
    return MavenContext(repo_cache=repository(), remote_repos=remotes, timeout=TIMEOUT_S)


def _download(context: Any, row: Locked) -> Locked:
    group, artifact, version = row.coordinate.split(":")
    fault: Exception | str = ""
    for _ in range(ATTEMPTS):
        path_of(row.coordinate).unlink(missing_ok=True)
        try:
            context.project(group, artifact).at_version(version).artifact().resolve()
        except Exception as error:
            # The resolver raises whatever its HTTP library raises; each means: not there now.
            fault = error
            continue
        if _intact(row):
            return row
        fault = f"a file with another sum than {row.sha256}"
    path_of(row.coordinate).unlink(missing_ok=True)
    raise MachineError(
        f"jar {row.coordinate}",
        expected="the file of jars.lock",
        got=str(fault),
        do="check the network and the disk, then run: parallax doctor",
    )


def _intact(row: Locked) -> bool:
    path = path_of(row.coordinate)
    return path.is_file() and _sum(path) == row.sha256


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone() -> Iterator[None]:
    repository().mkdir(parents=True, exist_ok=True)
    with (repository() / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    LOCK.write_text(lock())
    sys.stderr.write(f"{LOCK.name}: {len(locked())} jars\n")
