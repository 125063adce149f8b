"""What is true of an entity in the hidden market: a metric's value in its catalogue unit. Pure.

Rows say how metrics that hang together (prices, capitalisation, supply, changes) come from the market. Every other number
has a level of its own, which is what the definitions' own examples show, moved a little by the seed and by time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp
from typing import NamedTuple

from sandbox.simulator.market import DAY_MS, Market, draw
from schemas import assets as catalogue
from schemas.events import Value
from schemas.metrics import Spec

HOUR_MS = 3_600_000
ALL_ASSETS_CAP = 2.3e12
FUNDING_8H = 0.0001
GENERIC_DAILY = 0.01
"""Deviation in a day of numbers that have no row."""


class Question(NamedTuple):
    """Whose price (base), in what (quote), when, and by whom it is told (None: the truth itself)."""

    base: str
    quote: str | None
    at_ms: float
    provider: str | None


Say = Callable[[Market, Question], "float | None"]


def _told(market: Market, q: Question) -> float:
    return 1.0 if q.provider is None else market.told(q.provider, q.base, q.at_ms)


def _price(market: Market, q: Question) -> float:
    return market.price(q.base, q.quote, q.at_ms) * _told(market, q)


def _ago(span_ms: float) -> Say:
    return lambda market, q: market.price(q.base, q.quote, q.at_ms - span_ms) * _told(market, q)


def _change(span_ms: float) -> Say:
    def change(market: Market, q: Question) -> float:
        before = market.price(q.base, q.quote, q.at_ms - span_ms)
        return (market.price(q.base, q.quote, q.at_ms) / before - 1) * 100

    return change


def _spread(sign: int) -> Say:
    return lambda market, q: _price(market, q) * (1 + sign * market.table.half_spread_bps / 10_000)


def _low(market: Market, q: Question) -> float:
    return market.extremes(q.base, q.quote, q.at_ms, DAY_MS)[0]


def _high(market: Market, q: Question) -> float:
    return market.extremes(q.base, q.quote, q.at_ms, DAY_MS)[1]


def _in_quote(usd: Callable[[Market, Question], float]) -> Say:
    return lambda market, q: usd(market, q) / market.usd(q.quote or "usd", q.at_ms)


def _cap(market: Market, q: Question) -> float:
    return market.usd(q.base, q.at_ms) * market.supply(q.base).supply


def _volume(market: Market, q: Question) -> float:
    return _cap(market, q) * market.turnover(q.base)


def _share_of_cap(asset: str) -> Say:
    return lambda market, q: 100 * market.usd(asset, q.at_ms) * market.supply(asset).supply / ALL_ASSETS_CAP


def _rank(market: Market, q: Question) -> float:
    caps = {asset: start.price * start.supply for asset, start in market.table.assets.items()}
    mine = caps.get(q.base)
    return (
        float(len(caps) + 1 + abs(int(1e3 * draw(market.seed, q.base, "rank"))))
        if mine is None
        else 1.0 + sum(c > mine for c in caps.values())
    )


def _size(word: str) -> Say:
    """Quantities of an order book or trade: some thousand dollars' worth."""

    def size(market: Market, q: Question) -> float:
        worth = 8_000 * exp(0.7 * draw(market.seed, q.provider or "", q.base, word, int(q.at_ms // 1000)))
        return worth / market.usd(q.base, q.at_ms)

    return size


PRICES = (
    "price", "last", "mid", "mark_price", "index_price", "contract_last", "twap_price", "vwap_24h", "trade_price", "settle_price",
    "contract_trade_price", "oracle_answer", "dex_price", "swap_price", "candle_close_1m", "vwap", "pivot", "transfer_price",
)  # fmt: skip
SPANS = {
    "15m": HOUR_MS / 4, "30m": HOUR_MS / 2, "1h": HOUR_MS, "6h": 6 * HOUR_MS, "12h": 12 * HOUR_MS, "24h": DAY_MS, "7d": 7 * DAY_MS,
    "14d": 14 * DAY_MS, "30d": 30 * DAY_MS, "60d": 60 * DAY_MS, "90d": 90 * DAY_MS, "200d": 200 * DAY_MS, "1y": 365 * DAY_MS,
}  # fmt: skip

ROWS: Mapping[str, Say] = {
    **dict.fromkeys(PRICES, _price),
    **dict.fromkeys(("bid", "contract_bid"), _spread(-1)),
    **dict.fromkeys(("ask", "contract_ask"), _spread(+1)),
    **dict.fromkeys(("open_24h", "pair_open_24h", "contract_open_24h", "pair_prev_close"), _ago(DAY_MS)),
    **dict.fromkeys(("high_24h", "pair_high_24h", "contract_high_24h"), _high),
    **dict.fromkeys(("low_24h", "pair_low_24h", "contract_low_24h"), _low),
    **{f"change_{span}_pct": _change(ms) for span, ms in SPANS.items()},
    **{f"{kind}_change_{span}_pct": _change(ms) for span, ms in SPANS.items() for kind in ("pair", "contract")},
    "market_cap_change_24h_pct": _change(DAY_MS),
    "candle_open_1m": _ago(60_000),
    "candle_high_1m": lambda m, q: max(_price(m, q), _ago(60_000)(m, q) or 0),
    "candle_low_1m": lambda m, q: min(_price(m, q), _ago(60_000)(m, q) or 0),
    "candle_volume_1m": lambda m, q: _volume(m, q) / m.usd(q.base, q.at_ms) / 1440 / 50,
    **dict.fromkeys(
        ("change_24h", "pair_change_24h"),
        lambda m, q: m.price(q.base, q.quote, q.at_ms) - m.price(q.base, q.quote, q.at_ms - DAY_MS),
    ),
    "market_cap": _in_quote(_cap),
    "fdv": _in_quote(lambda m, q: m.usd(q.base, q.at_ms) * (m.supply(q.base).max or m.supply(q.base).supply)),
    "volume_24h": _in_quote(_volume),
    "volume_1h": _in_quote(lambda m, q: _volume(m, q) / 24),
    "volume_7d": _in_quote(lambda m, q: _volume(m, q) * 7),
    "volume_30d": _in_quote(lambda m, q: _volume(m, q) * 30),
    **dict.fromkeys(("volume_quote_24h", "contract_volume_24h"), _in_quote(lambda m, q: _volume(m, q) / 50)),
    **dict.fromkeys(
        ("volume_base_24h", "contract_volume_base_24h"), lambda m, q: _volume(m, q) / 50 / m.usd(q.base, q.at_ms)
    ),
    "turnover_ratio": lambda m, q: m.turnover(q.base),
    "circulating_supply": lambda m, q: m.supply(q.base).supply,
    "total_supply": lambda m, q: m.supply(q.base).supply,
    "max_supply": lambda m, q: m.supply(q.base).max,
    "market_rank": _rank,
    "dominance_pct": lambda m, q: 100 * _cap(m, q) / ALL_ASSETS_CAP,
    "btc_dominance_pct": _share_of_cap("bitcoin"),
    "eth_dominance_pct": _share_of_cap("ethereum"),
    "price_btc": lambda m, q: m.price(q.base, "bitcoin", q.at_ms) * _told(m, q),
    "ath": lambda m, q: m.supply(q.base).price * 1.6 / m.usd(q.quote or "usd", 0),
    "atl": lambda m, q: m.supply(q.base).price * 0.01 / m.usd(q.quote or "usd", 0),
    "ath_change_pct": lambda m, q: (m.usd(q.base, q.at_ms) / m.supply(q.base).price / 1.6 - 1) * 100,
    "atl_change_pct": lambda m, q: (m.usd(q.base, q.at_ms) / m.supply(q.base).price / 0.01 - 1) * 100,
    **{
        word: _size(word)
        for word in (
            "bid_size",
            "ask_size",
            "trade_size",
            "last_size",
            "contract_trade_size",
            "contract_bid_size",
            "contract_ask_size",
        )
    },
    **dict.fromkeys(
        ("funding_rate", "funding_rate_8h"),
        lambda m, q: FUNDING_8H * (1 + draw(m.seed, q.base, "funding", int(q.at_ms // (8 * HOUR_MS)))),
    ),
}


class Truth:
    """Values of every metric. `levels`: metric -> what its examples show (generic metrics)."""

    def __init__(self, market: Market, levels: Mapping[str, float]) -> None:
        self.market = market
        self._levels = levels

    def value(
        self, spec: Spec, entity: str, quote: str | None, at_ms: float, provider: str | None = None
    ) -> Value | None:
        """The metric's value as `provider` tells it; None when the market says nothing of it (words, flags, moments)."""
        sides = sides_of(entity, quote)
        if spec.name in ROWS and sides is not None:
            said = ROWS[spec.name](self.market, Question(*sides, at_ms, provider))
            return None if said is None else _within(said, spec)
        if spec.name in ROWS and spec.unit == "quote_per_base":
            return None  # the price of a thing that we cannot name
        if spec.name in ("asset_name", "asset_symbol") and entity.startswith("asset:"):
            row = catalogue.load().get(entity[6:])
            return None if row is None else row.name if spec.name == "asset_name" else row.symbol
        level = self._levels.get(spec.name)
        if level is None or not spec.number or spec.unit in ("unix_ms", "rank") or spec.name in KEPT:
            return None
        return _within(self._generic(spec, entity, quote, level, at_ms), spec)

    def _generic(self, spec: Spec, entity: str, quote: str | None, level: float, at_ms: float) -> float:
        seed = self.market.seed
        drift = GENERIC_DAILY * draw(seed, entity, spec.name, int(at_ms // DAY_MS)) * ((at_ms % DAY_MS) / DAY_MS)
        factor = exp(0.3 * draw(seed, entity, spec.name) + (drift if spec.kind != "height" else abs(drift)))
        money = self.market.usd(quote or "usd", at_ms) if spec.money else 1.0
        value = level * factor / money
        return float(round(value)) if spec.unit == "count" else value


KEPT = frozenset(
    {
        "chain_id",
        "token_decimals",
        "strike",
        "expiry_time",
        "max_leverage",
        "funding_interval_h",
        "contract_size",
        "price_tick",
        "size_step",
    }
)
"""Numbers that say what a thing is rather than how it stands; examples keep theirs."""


def sides_of(entity: str, quote: str | None) -> tuple[str, str | None] | None:
    """Base asset and quote of what has a price; None for what has none."""
    kind, _, name = entity.partition(":")
    if kind == "asset":
        return name, quote
    if kind in ("pair", "perp", "future") and "/" in name:
        base, rest = name.split("/", 1)
        return base, quote or rest.split(":")[0]
    if kind == "global":
        return "bitcoin", quote
    if kind == "token":
        chain, _, contract = name.partition(":")
        asset = catalogue.load().by_contract(chain, contract)
        return None if asset is None else (asset, quote)
    return None


def _within(value: float, spec: Spec) -> float:
    if spec.plausible is None:
        return value
    low, high = spec.plausible
    return min(max(value, low), high)
