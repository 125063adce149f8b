"""What the driver keeps of one assigned partition beside its engine."""

from __future__ import annotations

import asyncio

from faust.types import TP

from services.aggregator.engine import Partition


class Held:
    """One assigned partition."""

    def __init__(self, tp: TP, category: str, since_s: float) -> None:
        self.tp = tp
        self.category = category
        self.partition: Partition | None = None
        self.live = False
        self.kick = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self.tasks: list[asyncio.Task[None]] = []
        self.since_s = since_s
        """When the partition stopped folding, to measure the pause."""
        self.cut_at_s = since_s
        self.committable: int | None = None
        self.bars = True
        """Whether the next write takes the bars along."""
        self.asides_sent = 0
        self.asides_kick = asyncio.Event()
