"""What is freed stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from services.aggregator.driver.heap import keep_freed
if sys.argv[1] == "kept":
    assert keep_freed()
def turn():
    one = bytes(2_000_000)
    return len(one + b"x")
for _ in range(3):
    turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    turn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_pages_are_asked_for_once() -> None:
    asked = {
        how: int(
            subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, timeout=60).stdout
        )
        for how in ("kept", "given back")
    }
    assert asked["kept"] < 100
    assert asked["given back"] > 10 * asked["kept"]
