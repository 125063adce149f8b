"""Pairs as a venue spells them, read and written by its curated table of symbols."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from services.collector.registry.model import SymbolStyle

USUAL_QUOTES = (
    "USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDE", "USD1", "DAI", "USD", "EUR", "EURC", "EURI", "GBP", "JPY", "KRW", "TRY", "BRL", "AUD",
    "CAD", "CHF", "MXN", "ZAR", "INR", "IDR", "THB", "VND", "PLN", "UAH", "RUB", "ARS", "COP", "NGN", "SGD", "HKD", "CZK", "AED",
    "BTC", "XBT", "ETH", "BNB", "SOL", "XRP", "TRX", "DOGE", "KCS", "OKB", "HT", "BGB", "CRO", "UST", "USDD", "PAX", "USDP", "USDS",
)  # fmt: skip
MAX_SYMBOL = 60

AssetOf = Callable[[str], "str | None"]
SymbolOf = Callable[[str], "str | None"]


class Sides(NamedTuple):
    """Base and quote as asset ids."""

    base: str
    quote: str


class Symbols:
    """Reads and writes the symbols of one venue in one style. `asset_of` is the curated table: symbol -> asset id."""

    def __init__(self, style: SymbolStyle, asset_of: AssetOf, symbol_of: SymbolOf) -> None:
        self._style = style
        self._asset_of = asset_of
        self._symbol_of = symbol_of
        self._alias = {symbol.upper(): asset for symbol, asset in style.alias.items()}
        self._pairs = {symbol.upper(): Sides(*pair.split("/", 1)) for symbol, pair in style.pairs.items()}
        self._refuse = {symbol.upper() for symbol in style.refuse}
        self._quotes = sorted({quote.upper() for quote in style.quotes or USUAL_QUOTES}, key=lambda q: (-len(q), q))
        self._known: dict[str, Sides | None] = {}

    def asset(self, symbol: str) -> str | None:
        """Asset id of one coin's symbol; None when this venue's table does not know it."""
        upper = symbol.strip().upper()
        if not upper or upper in self._refuse:
            return None
        return self._alias.get(upper) or self._asset_of(upper)

    def pair(self, symbol: str) -> Sides | None:
        """Both sides of a market's symbol; None when it is of another style or one side is unknown."""
        if symbol in self._known:
            return self._known[symbol]
        sides = self._read(symbol) if len(symbol) <= MAX_SYMBOL else None
        if len(self._known) < 100_000:
            self._known[symbol] = sides
        return sides

    def base(self, symbol: str) -> str | None:
        """Base side of a market's symbol, or the asset when the symbol is a coin's."""
        sides = self.pair(symbol)
        return sides.base if sides is not None else self._coin(symbol)

    def spell(self, base: str, quote: str) -> str | None:
        """How this venue writes base/quote; None when it has no symbol for a side."""
        for symbol, sides in self._style.pairs.items():
            if sides == f"{base}/{quote}":
                return symbol
        first, second = self.spell_asset(base), self.spell_asset(quote)
        if first is None or second is None:
            return None
        if self._style.order == "quote_base":
            first, second = second, first
        text = f"{first}{self._style.separator}{second}"
        text = text.lower() if self._style.case == "lower" else text.upper()
        return f"{self._style.prefix}{text}{self._style.suffix}"

    def spell_asset(self, asset: str) -> str | None:
        """This venue's symbol of an asset, in the style's case."""
        symbol = next((symbol for symbol, known in self._style.alias.items() if known == asset), None)
        symbol = symbol or self._symbol_of(asset)
        if symbol is None:
            return None
        return symbol.lower() if self._style.case == "lower" else symbol.upper()

    def _coin(self, symbol: str) -> str | None:
        separator = self._style.separator
        if (separator and separator in symbol) or self._style.prefix or self._style.suffix:
            return None
        return self.asset(symbol)

    def _read(self, symbol: str) -> Sides | None:
        upper = symbol.strip().upper()
        if upper in self._pairs:
            return self._pairs[upper]
        if upper in self._refuse:
            return None
        prefix, suffix = self._style.prefix, self._style.suffix
        if not symbol.startswith(prefix) or not upper.endswith(suffix.upper()):
            return None
        core = upper[len(prefix) : len(upper) - len(suffix)]
        parts = self._parts(core)
        if parts is None:
            return None
        base, quote = parts if self._style.order == "base_quote" else (parts[1], parts[0])
        known_base, known_quote = self.asset(base), self.asset(quote)
        if known_base is None or known_quote is None or known_base == known_quote:
            return None
        return Sides(known_base, known_quote)

    def _parts(self, core: str) -> tuple[str, str] | None:
        separator = self._style.separator.upper()
        if separator:
            parts = core.split(separator)
            return (parts[0], parts[1]) if len(parts) == 2 else None
        if self._style.order == "quote_base":
            return next(
                (
                    (quote, core[len(quote) :])
                    for quote in self._quotes
                    if core.startswith(quote) and self.asset(core[len(quote) :]) is not None
                ),
                None,
            )
        return next(
            (
                (core[: -len(quote)], quote)
                for quote in self._quotes
                if core.endswith(quote) and self.asset(core[: -len(quote)]) is not None
            ),
            None,
        )
