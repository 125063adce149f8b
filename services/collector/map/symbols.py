"""Pairs as a venue spells them: its curated table of codes (schemas/venues.yaml) in a style that a definition names."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.venues import Coin, Pair, Venue, reading
from services.collector.map.paths import NOW
from services.collector.registry.model import SymbolStyle

MAX_SYMBOL = 60
LARGEST_CACHE = 50_000
"""Symbols remembered: more than any venue lists, so only an endless stream of nonsense empties it."""


def _pair(text: str) -> Pair:
    base, _, quote = text.partition("/")
    return Pair(base, quote)


class Symbols:
    """Reads and writes the symbols of one venue; without a style, in the formats that venues.yaml gives it."""

    def __init__(self, style: SymbolStyle | None, venue: Venue) -> None:
        self._style = style
        self._venue = venue
        shape = style or SymbolStyle()
        self._alias = {symbol.upper(): Coin(asset) for symbol, asset in shape.alias.items()}
        self._pairs = {symbol.upper(): _pair(pair) for symbol, pair in shape.pairs.items()}
        self._refuse = {symbol.upper() for symbol in shape.refuse}
        quotes = {quote.upper() for quote in shape.quotes} if shape.quotes else set(venue.quotes)
        self._quotes = sorted(quotes, key=lambda quote: (-len(quote), quote))
        self._guesses = venue.guesses and not shape.quotes
        self._known: dict[str, Pair | None] = {}
        self.settled_ms = venue.settled_ms

    def coin(self, code: str, at_ms: int = NOW) -> Coin | None:
        """What one code stands for; None when the tables do not say. A style's prefix and suffix do not belong to the code."""
        style = self._style
        if style is not None and (style.prefix or style.suffix):
            code = code.removeprefix(style.prefix).removesuffix(style.suffix)
        upper = code.strip().upper()
        if not upper or upper in self._refuse:
            return None
        return self._alias.get(upper) or self._venue.coin(upper, at_ms if at_ms < self.settled_ms else None)

    def pair(self, symbol: str, at_ms: int = NOW) -> Pair | None:
        """Both sides of a market's symbol; None when it is of another style or one side is unknown."""
        if at_ms < self.settled_ms:
            return self._read(symbol, at_ms)
        if symbol in self._known:
            return self._known[symbol]
        if len(self._known) >= LARGEST_CACHE:
            self._known.clear()
        sides = self._known[symbol] = self._read(symbol, NOW)
        return sides

    def base(self, symbol: str, at_ms: int = NOW) -> Coin | None:
        """Base side of a market's symbol, or what a bare code stands for."""
        sides = self.pair(symbol, at_ms)
        if sides is not None:
            return Coin(sides.base, sides.units)
        style = self._style
        if style is not None and (style.prefix or style.suffix or (style.separator and style.separator in symbol)):
            return None
        return self.coin(symbol, at_ms)

    def spell(self, base: str, quote: str) -> str | None:
        """How this venue writes base/quote; None when it has no code for a side."""
        style = self._style
        if style is None:
            return self._venue.spell(base, quote)
        for symbol, sides in style.pairs.items():
            if sides == f"{base}/{quote}":
                return symbol
        first, second = self.spell_asset(base), self.spell_asset(quote)
        if first is None or second is None:
            return None
        if style.order == "quote_base":
            first, second = second, first
        text = f"{first}{style.separator}{second}"
        return f"{style.prefix}{text.lower() if style.case == 'lower' else text.upper()}{style.suffix}"

    def spell_asset(self, asset: str) -> str | None:
        """This venue's code of an asset, in the style's case."""
        style = self._style or SymbolStyle()
        code = next((code for code, known in style.alias.items() if known == asset), None) or self._venue.code(asset)
        if code is None:
            return None
        return code.lower() if style.case == "lower" else code.upper()

    def _read(self, symbol: str, at_ms: int) -> Pair | None:
        style = self._style
        if len(symbol) > MAX_SYMBOL:
            return None
        upper = symbol.strip().upper()
        if upper in self._pairs:
            return self._pairs[upper]
        if upper in self._refuse:
            return None
        if style is None:
            return self._venue.resolve(symbol, at_ms if at_ms < self.settled_ms else None)
        if not symbol.startswith(style.prefix) or not symbol.endswith(style.suffix):
            return None
        core = upper[len(style.prefix) : len(upper) - len(style.suffix)]
        return reading(self._splits(core, style), lambda code: self.coin(code, at_ms), self._guesses)[0]

    def _splits(self, core: str, style: SymbolStyle) -> Iterator[tuple[str, str]]:
        turned = style.order == "quote_base"
        if style.separator:
            parts = core.split(style.separator.upper())
            if len(parts) == 2:
                yield (parts[1], parts[0]) if turned else (parts[0], parts[1])
            return
        for quote in self._quotes:
            if len(core) <= len(quote):
                continue
            if turned and core.startswith(quote):
                yield core[len(quote) :], quote
            elif not turned and core.endswith(quote):
                yield core[: -len(quote)], quote
