"""What the transport asks of who owns the partitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from faust.types import TP

FULL_RECORDS = 500
"""A fetch that brought this many says that the log may be ahead: the next follows at once."""


class Owner(Protocol):
    """Knows which partitions are ours, how far each is, and how far it may be committed."""

    def live(self) -> set[TP]:
        """Partitions whose state is in, so that they may be fetched."""

    def positions(self) -> Mapping[TP, int]:
        """The next offset of each live partition."""

    def committable(self, tp: TP) -> int | None:
        """Offset behind the last checkpoint; None when there is none."""

    def healed(self, tp: TP, expected: int, first: int) -> None:
        """A fetch began after the next offset and was sought back."""
