"""The embedded servers are real, keep their data, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis
from aiokafka import TopicPartition

from sandbox import broker, cache
from services.common import kafka as clients
from services.common import provision
from services.common.errors import MachineError
from services.common.settings import CommonSettings
from tests.fixtures.runner import gone
from tests.fixtures.until import until_sync

RUNNER = """
import sys, time
from sandbox import cache
from pathlib import Path
server = cache.Cache(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


async def test_a_broker_that_was_killed_serves_the_same_records_again(tmp_path: Path) -> None:
    with broker.embedded(tmp_path) as server:
        settings = CommonSettings(kafka=server.bootstrap)
        await provision.apply(settings)
        async with clients.producer(settings) as producer:
            await producer.send_and_wait("ops.alerts", b"before", key=b"k")
        first = server.pid
        server.kill()
        assert not server.ready()
        server.start()
        assert server.pid != first
        async with clients.reader(settings) as reader:
            reader.assign([TopicPartition("ops.alerts", 0)])
            record = await reader.getone()
        assert (record.key, record.value) == (b"k", b"before")
    assert server.exit_code() is not None


def test_valkey_counts_and_expires_like_redis(valkey: str) -> None:
    with redis.Redis.from_url(valkey) as client:
        assert client.incrby("counter", 5) == 5
        assert client.eval("return redis.call('incrby', KEYS[1], ARGV[1])", 1, "counter", 2) == 7
        assert client.pexpire("counter", 1) == 1
        assert until_sync(lambda: client.get("counter") is None) is True


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux only")
def test_a_server_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", RUNNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    child = psutil.Process(pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert until_sync(lambda: gone(child))


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "appendonlydir").write_text("in the way")
    with pytest.raises(
        MachineError, match=r"valkey: expected a running server, got exit 1; read .*valkey.log:\n(.|\n)*append"
    ):
        cache.Cache(folder).start()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with cache.embedded(tmp_path / "one") as first:
        taken = f"valkey, port {first.port}: expected a free port, got one in use; stop who listens there"
        with pytest.raises(MachineError, match=taken):
            cache.Cache(tmp_path / "two", port=first.port).start()
