"""What can be subscribed to, as rows: service, the feed behind it, and how it is delivered."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from services.gateway.view.feed import Feed
from services.gateway.view.view import View


class Service(Struct, frozen=True):
    """One service of the protocol; `topic` is the feed that carries it."""

    name: str
    topic: str
    delivery: Literal["latest", "all"]
    sentence: str


SERVICES = (
    Service("market_data", "fused.market", "latest", "Assets: price, confidence, volume, capitalisation."),
    Service("exchange", "fused.exchange", "latest", "Pairs: best bid and ask, last trade."),
    Service("derivatives", "fused.derivatives", "latest", "Perpetuals and futures: funding, open interest, basis."),
    Service("explorers", "fused.explorer", "latest", "What block explorers say."),
    Service("rpc_nodes", "fused.rpc", "latest", "Chains: height, gas, node health."),
    Service("onchain", "fused.onchain", "latest", "Chains and protocols: activity, value locked."),
    Service("dex", "fused.dex", "latest", "Pools: price, depth."),
    Service("sentiment", "fused.social", "latest", "What the crowd feels."),
    Service("security", "fused.security", "latest", "Dangers of tokens and addresses."),
    Service("technical", "fused.technical", "latest", "Indicators."),
    Service("nft", "fused.nft", "latest", "Collections."),
    Service("news", "fused.news", "all", "Stories."),
    Service("whale_tracking", "fused.whale", "all", "Large transfers."),
    Service("arbitrage", "signals.arbitrage", "all", "Price gaps between venues."),
    Service("anomalies", "signals.anomaly", "all", "Moves and volumes out of the ordinary."),
    Service("alerts", "ops.alerts", "all", "Alerts and their changes of state."),
    Service("health_checker", "ops.providers", "latest", "Provider scores."),
    Service("system", "ops.services", "latest", "Service processes: state, restarts."),
)
SERVICE = {service.name: service for service in SERVICES}
ALL = "all"
"""Every service at once."""

PATHS = {
    "/ws": (),
    "/ws/master": (),
    "/ws/all": (ALL,),
    "/ws/live": (ALL,),
    "/ws/data": (),
    "/ws/market-data": ("market_data",),
    "/ws/news": ("news",),
    "/ws/sentiment": ("sentiment",),
    "/ws/whale-tracking": ("whale_tracking",),
    "/ws/health": ("health_checker",),
    "/ws/monitoring": ("system", "health_checker", "alerts"),
}
"""Path -> services that a connection has without asking. Each is served with `-` and with `_`."""


def services_of(path: str) -> tuple[str, ...] | None:
    """Services that come with a path; None when no WebSocket lives there."""
    return PATHS.get(path.rstrip("/").replace("_", "-"))


def feeds(view: View) -> dict[str, Feed]:
    """Feed of each service."""
    by_topic = {feed.name: feed for feed in view.feeds() if feed is not view.definitions}
    return {service.name: by_topic[service.topic] for service in SERVICES}
