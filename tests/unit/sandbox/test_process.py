"""A port that is called free stays free until its server takes it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sandbox import process
from sandbox.process import free_port
from services.common.errors import MachineError

GIVEN = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""The ports that Linux gives to outgoing connections: first and last."""


@pytest.mark.skipif(not GIVEN.exists(), reason="only Linux tells its range there")
def test_a_free_port_is_none_that_the_system_gives_to_connections() -> None:
    first, last = (int(word) for word in GIVEN.read_text().split())
    if first < process.PORTS[-1]:
        pytest.skip(f"this machine gives connections ports from {first} on")
    assert [port for port in (free_port() for _ in range(100)) if first <= port <= last] == []


def test_a_taken_port_is_passed_over_and_the_last_one_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        free = next(one for one in process.PORTS if not process.port_taken(one))
        monkeypatch.setattr(process, "PORTS", (port, free))
        assert {free_port() for _ in range(20)} == {free}
        monkeypatch.setattr(process, "PORTS", (port,))
        with pytest.raises(MachineError, match=f"expected a free one from {port} to {port}, got none"):
            free_port()
