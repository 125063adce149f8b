"""All detectors behind two calls: a fused record or a trade goes in, the signals that follow from it come out."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TypeVar

from schemas.events import Fused, FusedMetric, Raw, Signal, Source
from services.aggregator.signals import arbitrage, manipulation, pump, rugpull, wash, whales
from services.aggregator.signals.model import Quote, Trade

MOST_ENTITIES = 20_000
"""Entities of each kind that are remembered; the longest unseen is forgotten."""
REPEAT_MS = 5_000
"""A finding is told again after this long, or when its confidence moved by a tenth."""
JUDGE_MS = 5_000
"""Interval at which a pair's voices are compared."""
WASH_TRADES, WASH_MS = 2_000, 600_000
"""Trade sizes that are kept per venue and pair, and how often they are judged."""
BROKEN = frozenset({"unit", "frozen", "stale", "no_rate", "circular", "superseded", "other_quote"})
"""Statements that fusion set aside for these reasons are no quotes at all."""
EXCHANGE_IN, EXCHANGE_OUT = "exchange_in", "exchange_out"

T = TypeVar("T")


class Recent(OrderedDict[str, T]):
    """A table that forgets what was not used for longest."""

    def __init__(self, make: Callable[[str], T], most: int = MOST_ENTITIES) -> None:
        super().__init__()
        self.make = make
        self.most = most

    def of(self, key: str) -> T:
        """The entry, made when it is new."""
        if key in self:
            self.move_to_end(key)
        else:
            self[key] = self.make(key)
            if len(self) > self.most:
                self.popitem(last=False)
        return self[key]


class Pair:
    """What is remembered of one pair on centralised exchanges."""

    def __init__(self, entity: str) -> None:
        self.usual = arbitrage.Usual()
        self.manipulation = manipulation.Manipulation(entity)
        self.pump = pump.Pump(entity)
        self.sizes: dict[str, deque[float]] = {}
        self.traded: dict[str, float] = {}
        """Value per venue since the last judgement."""
        self.judged_ms = 0
        self.washed_ms = 0
        self.quotes: list[Quote] = []
        self.middle: tuple[int, float] | None = None
        self.variance = 4.0
        """Of the price, in bps squared per second."""
        self.perpetual: tuple[float, int] | None = None


class Board:
    """The detectors of one process. Time comes with the records; nothing here reads a clock."""

    def __init__(self, asset_of: Callable[[str, str], str | None], lags_ms: dict[str, float] | None = None) -> None:
        self.asset_of = asset_of
        """(chain, contract) -> asset id."""
        self.lags_ms = lags_ms if lags_ms is not None else {}
        """Learned delay per provider (`ops.providers`, reputation)."""
        self.pairs: Recent[Pair] = Recent(Pair)
        self.tokens: Recent[rugpull.Token] = Recent(rugpull.Token)
        self.facts: Recent[dict[str, tuple[int, rugpull.Fact]]] = Recent(lambda _: {})
        self.pools: Recent[dict[str, Quote]] = Recent(lambda _: {})
        """Asset -> chain -> what a decentralised exchange offers there, in USD."""
        self.usd: dict[str, float] = {}
        """USD per unit of the assets in which pairs are quoted."""
        self.dex_usual = arbitrage.Usual()
        self.whales = whales.Whales()
        self._told: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def fused(self, record: Fused) -> list[Signal]:
        """Signals that follow from a fused record of any category."""
        kind = record.entity.partition(":")[0]
        found: list[Signal] = []
        if record.category == "exchange" and kind == "pair":
            found = self._pair(record)
        elif record.category == "derivatives" and kind == "perp":
            mark = record.metrics.get("mark_price")
            if mark is not None and isinstance(mark.value, float):
                self.pairs.of("pair:" + record.entity.partition(":")[2]).perpetual = (mark.value, mark.sources)
        elif record.category == "market" and kind == "asset":
            price = record.metrics.get("price")
            if price is not None and isinstance(price.value, float):
                self.usd[record.entity.partition(":")[2]] = price.value
        elif record.category in ("dex", "security") and kind == "token":
            found = self._token(record)
        elif record.category == "whale" and kind == "transfer":
            found = self._transfer(record)
        return [one for one in found if self._news(one)]

    def trade(self, raw: Raw) -> list[Signal]:
        """Signals that follow from one trade of an exchange."""
        price, size = raw.metrics.get("trade_price"), raw.metrics.get("trade_size")
        if not isinstance(price, (int, float)) or not isinstance(size, (int, float)) or price <= 0 or size <= 0:
            return []
        side = raw.metrics.get("trade_side")
        trade = Trade(
            raw.provider,
            raw.event_ms if raw.event_ms is not None else raw.received_ms,
            float(price),
            float(size),
            side == "buy" if side in ("buy", "sell") else None,
        )
        pair = self.pairs.of(raw.entity)
        pair.traded[raw.provider] = pair.traded.get(raw.provider, 0.0) + trade.price * trade.size
        pair.sizes.setdefault(raw.provider, deque(maxlen=WASH_TRADES)).append(trade.size)
        found = [one for one in (pair.pump.see(trade, raw.origin),) if one is not None]
        if raw.received_ms - pair.washed_ms >= WASH_MS:
            pair.washed_ms = raw.received_ms
            found += wash.find(
                raw.entity, {v: list(s) for v, s in pair.sizes.items()}, raw.received_ms, origin=raw.origin
            )
        return [one for one in found if self._news(one)]

    def _pair(self, record: Fused) -> list[Signal]:
        pair = self.pairs.of(record.entity)
        quotes = self._quotes(record)
        pair.quotes = quotes
        self._volatility(pair, record)
        sigma = math.sqrt(pair.variance)
        found = arbitrage.find(
            record.entity, quotes, record.as_of_ms, origin=record.origin, usual=pair.usual, volatility_bps=sigma
        )
        base, _, quote = record.entity.partition(":")[2].rpartition("/")
        rate = self.usd.get(quote, 1.0 if quote == "usd" else 0.0)
        pools = self.pools.get(base)
        if pools and rate > 0.0 and quotes:
            ours = [q._replace(bid=q.bid * rate, ask=q.ask * rate) for q in quotes]
            found += [
                one
                for one in arbitrage.find(
                    f"asset:{base}",
                    [*ours, *pools.values()],
                    record.as_of_ms,
                    origin=record.origin,
                    usual=self.dex_usual,
                    volatility_bps=sigma,
                )
                if one.kind != "arbitrage_cex_cex"
            ]
        if record.as_of_ms - pair.judged_ms >= JUDGE_MS:
            pair.judged_ms = record.as_of_ms
            voices = [
                manipulation.Voice(q.venue, math.sqrt(q.bid * q.ask), pair.traded.get(q.venue, 0.0), _depth(q))
                for q in quotes
            ]
            pair.traded.clear()
            perpetual, futures = pair.perpetual or (None, 0)
            found += pair.manipulation.see(
                voices, record.as_of_ms, origin=record.origin, perpetual=perpetual, futures=futures
            )
        return found

    def _quotes(self, record: Fused) -> list[Quote]:
        sides: dict[str, dict[str, Source]] = {}
        for name in ("bid", "ask", "bid_size", "ask_size"):
            metric = record.metrics.get(name)
            for source in metric.by if metric is not None else ():
                if source.why not in BROKEN and isinstance(source.value, (int, float)):
                    sides.setdefault(source.provider, {})[name] = source
        quotes = []
        for venue, side in sorted(sides.items()):
            if "bid" in side and "ask" in side:
                numbers = {name: float(source.value) for name, source in side.items()}  # type: ignore[arg-type]
                oldest = max(side["bid"].age_ms, side["ask"].age_ms)
                quotes.append(
                    Quote(
                        venue,
                        numbers["bid"],
                        numbers["ask"],
                        record.as_of_ms - oldest,
                        numbers.get("bid_size"),
                        numbers.get("ask_size"),
                        lag_ms=self.lags_ms.get(venue, 0.0),
                    )
                )
        return quotes

    def _volatility(self, pair: Pair, record: Fused) -> None:
        bid, ask = record.metrics.get("bid"), record.metrics.get("ask")
        if bid is None or ask is None or not isinstance(bid.value, float) or not isinstance(ask.value, float):
            return
        if bid.value <= 0.0 or ask.value <= 0.0:
            return
        middle = 0.5 * math.log(bid.value * ask.value)
        if pair.middle is not None and record.as_of_ms > pair.middle[0]:
            seconds = (record.as_of_ms - pair.middle[0]) / 1000.0
            moved = (middle - pair.middle[1]) * 1e4
            pair.variance += min(0.05, 0.05 * seconds) * (
                min(moved * moved / seconds, 100.0 * pair.variance) - pair.variance
            )
        pair.middle = (record.as_of_ms, middle)

    def _token(self, record: Fused) -> list[Signal]:
        facts = self.facts.of(record.entity)
        for name, metric in record.metrics.items():
            if metric.value is not None:
                facts[name] = (metric.as_of_ms, rugpull.Fact(metric.value, metric.confidence, metric.voices, 0.0))
        aged = {name: fact._replace(age_ms=float(max(record.as_of_ms - at, 0))) for name, (at, fact) in facts.items()}
        found = [
            one
            for one in (self.tokens.of(record.entity).see(aged, record.as_of_ms, origin=record.origin),)
            if one is not None
        ]
        if record.category == "dex":
            found += self._pool(record)
        return found

    def _pool(self, record: Fused) -> list[Signal]:
        """What a decentralised exchange offers, when two voices agree on it, against the same asset on other chains."""
        _, chain, contract = record.entity.split(":", 2)
        price, liquidity = record.metrics.get("dex_price"), record.metrics.get("liquidity")
        asset = self.asset_of(chain, contract)
        if (
            asset is None
            or price is None
            or not isinstance(price.value, float)
            or price.voices < 2.0
            or price.value <= 0.0
        ):
            return []
        worth = liquidity.value if liquidity is not None and isinstance(liquidity.value, float) else None
        pools = self.pools.of(asset)
        pools[chain] = Quote(
            f"dex:{chain}", price.value, price.value, price.as_of_ms, kind="dex", chain=chain, liquidity=worth
        )
        return arbitrage.find(
            f"asset:{asset}",
            list(pools.values()),
            record.as_of_ms,
            origin=record.origin,
            usual=self.dex_usual,
            limits=arbitrage.Limits(fresh_ms=60_000.0),
        )

    def _transfer(self, record: Fused) -> list[Signal]:
        _, chain, name = record.entity.split(":", 2)

        def word(metric: str) -> str | None:
            found = record.metrics.get(metric)
            return found.value if found is not None and isinstance(found.value, str) else None

        worth: FusedMetric | None = record.metrics.get("transfer_value")
        kind = word("transfer_type")
        if worth is None or not isinstance(worth.value, float):
            return []
        move = whales.Move(
            chain,
            name,
            worth.value,
            worth.confidence,
            worth.voices,
            word("transfer_asset") or "unknown asset",
            word("transfer_from_owner") or word("transfer_from"),
            word("transfer_to_owner") or word("transfer_to"),
            kind == EXCHANGE_OUT,
            kind == EXCHANGE_IN,
            tuple(source.provider for source in worth.by if source.why not in BROKEN),
        )
        one = self.whales.see(move, record.as_of_ms, origin=record.origin)
        return [one] if one is not None else []

    def _news(self, one: Signal) -> bool:
        """Whether a finding is new enough to be told again."""
        told = self._told.get(one.id)
        if told is not None and one.as_of_ms - told[0] < REPEAT_MS and abs(one.confidence - told[1]) < 0.1:
            return False
        self._told[one.id] = (one.as_of_ms, one.confidence)
        self._told.move_to_end(one.id)
        if len(self._told) > MOST_ENTITIES:
            self._told.popitem(last=False)
        return True


def _depth(quote: Quote) -> float | None:
    if quote.bid_size is None or quote.ask_size is None:
        return None
    return quote.bid_size * quote.bid + quote.ask_size * quote.ask


def topic_of(one: Signal) -> str:
    """The topic a signal belongs to."""
    return "signals.arbitrage" if one.kind.startswith("arbitrage") else "signals.anomaly"
