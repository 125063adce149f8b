"""Memory that was freed stays with the process: batches come and go many times a second, and fresh pages cost more than filling them.

glibc gives back what lies free at the end of its heap, and asks the system for each large block anew. Here both is kept: on
the write side that was a third of all time, and the same pages were asked for again with the next batch.
"""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Names of glibc's options."""
KEPT_BYTES = 32 * 1024 * 1024
"""So much may lie free at the end of the heap; several fetches and batches, which is what comes and goes."""
LARGE_BYTES = 8 * 1024 * 1024
"""From here on a block is asked of the system: nothing that comes and goes is as large."""


def keep_freed() -> bool:
    """Set both; whether the C library knows them."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(TRIM_THRESHOLD, KEPT_BYTES)) and bool(mallopt(MMAP_THRESHOLD, LARGE_BYTES))
