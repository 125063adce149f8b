"""Who an answer is about: the assets and pairs asked for, and an entity rule backwards. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sandbox.simulator.market import load
from sandbox.simulator.places import Body, getter, locate
from schemas.venues import Coin
from services.collector.map.identity import Identity
from services.collector.map.paths import At
from services.collector.map.symbols import Symbols
from services.collector.registry.mapping import Emit, EntityRule
from services.collector.registry.model import Param, Provider

LISTED = 30
"""Assets of a list that nobody narrowed down."""
LISTED_IN_OTHERS = 5
"""Of them, those that are also traded in the less usual quotes."""


class Target(NamedTuple):
    """Something to be told of; `quote` is None for an asset by itself."""

    base: str
    quote: str | None


class Universe:
    """The names of the world."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self._symbols: dict[tuple[str, str], Symbols] = {}

    def symbols(self, provider: Provider, style: str) -> Symbols:
        """Reader and writer of a provider's symbols, made once for each style."""
        key = (provider.id, style)
        if key not in self._symbols:
            self._symbols[key] = self.identity.symbols_of(provider, style)
        return self._symbols[key]

    def targets(self, kind: str, quotes: list[str]) -> list[Target]:
        """What a list shows when nobody asks for anything: the first assets, in the quotes of its example."""
        assets = [asset for asset in load().assets if asset not in ("gold-ounce", "silver-ounce")][:LISTED]
        if kind == "asset":
            return [Target(asset, None) for asset in assets]
        pairs = [Target(asset, quotes[0]) for asset in assets if asset != quotes[0]] if quotes else []
        return pairs + [
            Target(asset, quote) for quote in quotes[1:4] for asset in assets[:LISTED_IN_OTHERS] if asset != quote
        ]

    def can_name(self, provider: Provider, rule: EntityRule, target: Target) -> bool:
        """Whether the provider has a name for the target in the way of this rule."""
        if rule.quote_is is not None and target.quote not in (None, rule.quote_is):
            return False
        if rule.base is not None:
            return all(
                self._symbol(provider, rule.style, one) is not None
                for one in target
                if one is not None and one != rule.quote_is
            )
        return self.spell(provider, rule, target) is not None

    def spell(self, provider: Provider, rule: EntityRule, target: Target) -> str | None:
        """The text that this rule reads as the target; None when the provider has none."""
        identity = self.identity
        if rule.id is not None:
            return identity.id_of(rule.table or provider.ids or provider.id, target.base)
        if rule.contract is not None:
            row = identity.assets.get(target.base)
            return None if row is None or rule.chain_is is None else row.contracts.get(rule.chain_is)
        symbols = self.symbols(provider, rule.style)
        if target.quote is None:
            code = symbols.spell_asset(target.base)
            coin = symbols.base(code) if code is not None else None
            return code if _is(coin, target.base) else None
        spelled = symbols.spell(target.base, target.quote)
        if spelled is None:
            return None
        read = symbols.pair(spelled)
        return spelled if read is not None and read == (*target, 1.0) else None

    def _symbol(self, provider: Provider, style: str, asset: str) -> str | None:
        symbols = self.symbols(provider, style)
        spelled = symbols.spell_asset(asset)
        return spelled if spelled is not None and _is(symbols.coin(spelled), asset) else None


def targets_of(
    universe: Universe, provider: Provider, params: Mapping[str, Any], values: Mapping[str, tuple[str, ...]]
) -> list[Target]:
    """What a request asks for, by the parameters that stand for assets and pairs."""
    identity = universe.identity
    found: list[Target] = []
    bases: list[str] = []
    quotes: list[str] = []
    for name, param in params.items():
        if not isinstance(param, Param) or name not in values:
            continue
        symbols = universe.symbols(provider, param.style)
        for value in values[name]:
            match param.stands_for:
                case "asset":
                    asset = identity.asset_by_id(provider.ids or provider.id, value)
                    found += [Target(asset, None)] if asset else []
                case "pair":
                    sides = symbols.pair(value)
                    found += [Target(sides.base, sides.quote)] if sides else []
                case "base" | "quote":
                    coin = symbols.coin(value)
                    side = coin.asset if coin is not None else None
                    (bases if param.stands_for == "base" else quotes).extend([side] if side else [])
                case _:
                    continue
    sides_asked: list[str | None] = [*quotes] if quotes else [None]
    found += [Target(base, quote) for base in bases for quote in sides_asked]
    return list(dict.fromkeys(found))


def beside(universe: Universe, provider: Provider, rule: EntityRule, target: Target, example: Any) -> Target:
    """An asset that is named by a market's symbol stands in the quote of the example's symbol."""
    if rule.kind != "asset" or rule.symbol is None or target.quote is not None or not isinstance(example, str):
        return target
    sides = universe.symbols(provider, rule.style).pair(example)
    return target if sides is None else Target(target.base, sides.quote)


def set_identity(
    universe: Universe, provider: Provider, emit: Emit, target: Target, row: Any, at: At, body: Body
) -> None:
    """Write into a row what makes the rule read the target; what the rule does not read from the row is left."""
    rule = emit.entity
    if rule.base is not None:
        _put(rule.base, universe._symbol(provider, rule.style, target.base), row, at, emit, body)
        if rule.quote is not None and target.quote is not None:
            _put(rule.quote, universe._symbol(provider, rule.style, target.quote), row, at, emit, body)
        return
    path = rule.id or rule.contract or rule.symbol
    if path is None:
        return
    example = getter(path)(row, at)
    whole = beside(universe, provider, rule, target, example)
    _put(path, universe.spell(provider, rule, whole), row, at, emit, body)


def _put(path: str, text: str | None, row: Any, at: At, emit: Emit, body: Body) -> None:
    place = locate(path, row, at, emit, body)
    if place is None or text is None:
        return
    example = place.read()
    place.write(int(text) if isinstance(example, int) and text.isdecimal() else text)


def _is(coin: Coin | None, asset: str) -> bool:
    return coin is not None and coin.asset == asset and coin.units == 1.0
