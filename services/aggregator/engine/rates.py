"""Quote conversion: rates arrive as control records in the log itself, so a replay converts exactly as the first run did."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import Struct

from schemas.events import CONTROL_RATES, Origin, Raw
from services.aggregator.engine.model import SECOND_MS, Statement
from services.aggregator.engine.rules import OWN_QUOTE, TARGET

CONTROL_KEY = CONTROL_RATES.encode()
PROVIDER, ENDPOINT = "parallax", "rates"

TOPICS = ("market", "exchange", "derivatives", "dex", "onchain", "whale", "nft")
"""Categories in which money is converted; each partition of their raw topics gets every announced rate."""

MOVE = 1e-4
"""A rate is announced again when it moved by more than this share: one basis point, a tenth of the tolerance of a price."""
REFRESH_MS = 10 * SECOND_MS
"""A rate is announced again at this age, in log time, so that a new partition does not wait for a move."""


class Rate(NamedTuple):
    """US dollars for one unit of an asset, and as of when."""

    usd: float
    as_of_ms: int


class Announcement(Struct, frozen=True):
    """A rate to be told to every partition that converts money."""

    asset: str
    usd: float
    as_of_ms: int
    version: int
    origin: str


class Rates:
    """The rates known at one position of one partition, and those this process announced."""

    def __init__(self) -> None:
        self.known: dict[str, Rate] = {}
        self._announced: dict[str, Rate] = {}

    def take(self, statement: Statement) -> None:
        """Fold a control record: newer rates replace older ones."""
        for asset, value in statement.metrics.items():
            if isinstance(value, float) and value > 0:
                held = self.known.get(asset)
                if held is None or statement.received_ms >= held.as_of_ms:
                    self.known[asset] = Rate(value, statement.received_ms)

    def factor(self, quote: str | None, entity: str, ranks: dict[str, int]) -> float | None:
        """What money in `quote` is multiplied with for `entity`; None when no rate is known, or it would be circular."""
        kind, _, name = entity.partition(":")
        if kind in OWN_QUOTE:
            return 1.0 if quote is None or quote == quote_in(entity) else None
        if quote == TARGET:
            return 1.0
        if quote is None or circular(quote, name, kind, ranks):
            return None
        rate = self.known.get(quote)
        return rate.usd if rate else None

    def due(self, asset: str, usd: float, as_of_ms: int) -> bool:
        """Whether this price of a quote asset is to be announced now; remembers it if so."""
        held = self._announced.get(asset) or self.known.get(asset)
        if held and abs(usd / held.usd - 1.0) <= MOVE and as_of_ms - held.as_of_ms < REFRESH_MS:
            return False
        self._announced[asset] = Rate(usd, as_of_ms)
        return True


def quote_in(entity: str) -> str | None:
    """The asset in which the money of this entity stays; None where money is converted."""
    kind, _, name = entity.partition(":")
    return name.rpartition("/")[2].partition(":")[0] if kind in OWN_QUOTE else None


def circular(quote: str, name: str, kind: str, ranks: dict[str, int]) -> bool:
    """Whether valuing this asset in that quote could make rates feed on themselves."""
    if kind != "asset":
        return False
    rank = ranks.get(name)
    return rank is not None and ranks.get(quote, rank) >= rank


def control(asset: str, usd: float, as_of_ms: int, version: int, origin: Origin, category: str) -> bytes:
    """The control record that tells partitions of raw.<category> a rate; the same bytes for the same fused version."""
    return msgspec.json.encode(
        Raw(
            id=f"rates:{asset}:{version}",
            category=category,
            provider=PROVIDER,
            endpoint=ENDPOINT,
            entity=CONTROL_RATES,
            metrics={asset: usd},
            received_ms=as_of_ms,
            origin=origin,
        )
    )
