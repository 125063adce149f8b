"""Everything the gateway remembers: one feed per topic, and the questions that need several of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.gateway.view import ops
from services.gateway.view.candles import Candles
from services.gateway.view.feed import Feed, Ticks
from services.gateway.view.fused import FusedKind, MetricSpec, ReplayClock
from services.gateway.view.index import Index

RING_NEWS = 2_000
"""Versions kept of an event service: far more than the resume window of 120 s sees in practice."""
EVENT_CATEGORIES = frozenset({"news", "whale"})
"""Categories whose readers want every record, not only the newest of each key."""

Apply = Callable[[str, bytes | None, int, int, int], bool]
"""(key, value, partition, offset, written_ms) -> whether it is news; BadRecord when it cannot be read."""


class View:
    """Feeds by topic name, without the deployment's prefix."""

    def __init__(self, categories: tuple[str, ...], specs: Mapping[str, MetricSpec], assets: Index) -> None:
        self.assets = assets
        self.ticks = Ticks()
        self.replay = ReplayClock()
        self.fused = {
            category: Feed(
                f"fused.{category}",
                FusedKind(category, specs, assets, self.replay),
                self.ticks,
                ring=RING_NEWS if category in EVENT_CATEGORIES else 0,
            )
            for category in categories
        }
        self.candles = Candles()
        self.definitions = Feed("ops.providers", ops.definitions(), self.ticks)
        self.scores = Feed("ops.providers", ops.scores(), self.ticks)
        self.alerts = Feed("ops.alerts", ops.alerts(), self.ticks, ring=RING_NEWS)
        self.services = Feed("ops.services", ops.services(), self.ticks)
        self.signals = {
            name: Feed(f"signals.{name}", ops.signals(), self.ticks, ring=RING_NEWS)
            for name in ("arbitrage", "anomaly")
        }
        self._rest = (self.definitions, self.scores, self.alerts, self.services, *self.signals.values())

    def reported(self, asset_id: str) -> bool:
        """Whether the market says anything of the asset."""
        return f"asset:{asset_id}" in self.fused["market"].entries

    def feeds(self) -> tuple[Feed, ...]:
        """Every feed, the fused categories first."""
        return (*self.fused.values(), *self._rest)

    def applies(self) -> dict[str, Apply]:
        """What takes the records of each topic."""
        table: dict[str, Apply] = {feed.name: feed.apply for feed in self.feeds()}
        table["ops.providers"] = self._apply_provider
        table["candles.1m"] = self.candles.apply
        return table

    def keys(self) -> int:
        """Fused records held."""
        return sum(len(feed) for feed in self.fused.values())

    def _apply_provider(self, key: str, value: bytes | None, partition: int, offset: int, written_ms: int) -> bool:
        if key.startswith(("reputation/", "held/")):
            return False  # what fusion learned, and what collectors remember for themselves
        feed = self.scores if key.startswith("score/") else self.definitions
        return feed.apply(key, value, partition, offset, written_ms)
