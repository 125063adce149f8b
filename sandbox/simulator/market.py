"""The hidden market: what everything is worth at any time, from a seed. Pure: no clock, no state but caches.

A logarithm of a price is a Brownian bridge between random points one day apart, filled in by midpoint displacement, so that
the value at any time, past or future, is found without walking there.
"""

from __future__ import annotations

import hashlib
import zlib
from functools import cache, lru_cache
from math import exp
from pathlib import Path
from statistics import NormalDist
from typing import Literal

import msgspec
from msgspec import Struct

from schemas import assets as catalogue

DAY_MS = 86_400_000
LEVELS = 18
"""A day halved so often gives steps of a third of a second; between them the path is straight."""
USD = "usd"
_normal = NormalDist()
Class = Literal["coin", "stablecoin", "money"]


class Start(Struct, frozen=True, forbid_unknown_fields=True):
    """An asset at the start."""

    price: float
    supply: float
    max: float | None = None


class Noise(Struct, frozen=True, forbid_unknown_fields=True):
    """How those who tell differ."""

    lasting_bps: float
    passing_bps: float
    passing_s: float


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """market.yaml."""

    assets: dict[str, Start]
    money: dict[str, float]
    volatility: dict[Class, float]
    noise: Noise
    half_spread_bps: float


@cache
def load() -> Table:
    """market.yaml, read once."""
    return msgspec.yaml.decode((Path(__file__).parent / "market.yaml").read_bytes(), type=Table)


@lru_cache(maxsize=50_000)
def draw(*about: str | int) -> float:
    """A standard normal number that belongs to these words for ever."""
    digest = hashlib.blake2b("\x1f".join(map(str, about)).encode(), digest_size=8).digest()
    return _normal.inv_cdf((int.from_bytes(digest, "big") + 0.5) / 2**64)


def chance(words: str) -> float:
    """A number in 0..1 that belongs to these words; cheaper than `draw`, and good enough to decide who speaks."""
    return zlib.crc32(words.encode()) / 2**32


class Market:
    """Prices of all assets at all times for one seed."""

    def __init__(self, seed: int, table: Table | None = None) -> None:
        self.seed = seed
        self.table = table or load()
        self.ranks = {asset: rank for rank, asset in enumerate(self.table.assets)}
        self._starts: dict[str, tuple[Start, Class]] = {}
        self._unders: dict[str, str | None] = {}

    def usd(self, asset: str, at_ms: float) -> float:
        """Dollars for one unit of the asset."""
        if asset == USD:
            return 1.0
        under = self._under(asset)
        if under is not None:
            drift = self.table.volatility["stablecoin"] * self._path(asset, at_ms)
            return self.usd(under, at_ms) * exp(0.0003 * draw(self.seed, asset, "off") + drift)
        start, kind = self._start(asset)
        return start.price * exp(self.table.volatility[kind] * self._path(asset, at_ms))

    def price(self, asset: str, quote: str | None, at_ms: float) -> float:
        """Units of `quote` for one unit of the asset; dollars without one."""
        return self.usd(asset, at_ms) / self.usd(quote or USD, at_ms)

    def told(self, provider: str, asset: str, at_ms: float) -> float:
        """Factor by which this provider's prices of the asset are off."""
        noise = self.table.noise
        window = int(at_ms // (noise.passing_s * 1000))
        bps = noise.lasting_bps * draw(self.seed, provider, asset) + noise.passing_bps * draw(
            self.seed, provider, asset, window
        )
        return exp(bps / 10_000)

    def supply(self, asset: str) -> Start:
        """Supply of the asset (and its price at the start)."""
        return self._start(asset)[0]

    def turnover(self, asset: str) -> float:
        """24 h volume as a share of the capitalisation, 1 to 20 %."""
        return min(0.2, max(0.01, 0.05 * exp(0.6 * draw(self.seed, asset, "turnover"))))

    def extremes(self, asset: str, quote: str | None, at_ms: float, window_ms: float) -> tuple[float, float]:
        """Lowest and highest price of a window that ends at `at_ms`, by 33 looks at times that are the same for a while."""
        step_ms = window_ms / 32
        last_ms = at_ms // step_ms * step_ms
        seen = [
            self.price(asset, quote, at_ms),
            *(self.price(asset, quote, last_ms - step_ms * step) for step in range(32)),
        ]
        return min(seen), max(seen)

    def _under(self, asset: str) -> str | None:
        """What a wrapped, bridged or pegged asset follows; None for those with a market of their own."""
        if asset not in self._unders:
            self._unders[asset] = self._find_under(asset)
        return self._unders[asset]

    def _find_under(self, asset: str) -> str | None:
        if asset in self.table.assets or asset in self.table.money:
            return None
        row = catalogue.load().get(asset)
        return None if row is None else row.of or row.peg

    def _start(self, asset: str) -> tuple[Start, Class]:
        if asset not in self._starts:
            self._starts[asset] = self._find_start(asset)
        return self._starts[asset]

    def _find_start(self, asset: str) -> tuple[Start, Class]:
        if asset in self.table.money:
            return Start(self.table.money[asset], 1.0), "money"
        row = catalogue.load().get(asset)
        known = self.table.assets.get(asset)
        kind: Class = "stablecoin" if row is not None and row.kind == "stablecoin" else "coin"
        if known is not None:
            return known, kind
        if row is not None and row.kind == "fiat":
            return Start(exp(-2 + 1.5 * draw(self.seed, asset, "money")), 1.0), "money"
        return self._drawn(asset), kind

    def _drawn(self, asset: str) -> Start:
        price = exp(2.0 * draw(self.seed, asset, "price"))
        supply = 3e8 * exp(draw(self.seed, asset, "supply")) / price
        return Start(price, supply, supply * 2 if draw(self.seed, asset, "max") > 0 else None)

    def _path(self, asset: str, at_ms: float) -> float:
        """The path in units of its daily deviation."""
        day, rest_ms = divmod(at_ms, DAY_MS)
        place = rest_ms / DAY_MS * 2**LEVELS
        low, high = _segment(self.seed, asset, int(day), LEVELS, int(place))
        return low + (high - low) * float(place - int(place))


@lru_cache(maxsize=100_000)
def _segment(seed: int, asset: str, day: int, level: int, index: int) -> tuple[float, float]:
    """Both ends of the piece of a day with this index, among 2**level."""
    if level == 0:
        return draw(seed, asset, "day", day), draw(seed, asset, "day", day + 1)
    low, high = _segment(seed, asset, day, level - 1, index // 2)
    middle = (low + high) / 2 + 2.0 ** ((1 - level) / 2) / 2 * draw(seed, asset, day, level, index // 2)
    return (middle, high) if index % 2 else (low, middle)
