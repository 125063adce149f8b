"""Joined symbols: where a style or venue lists its quotes, the longest that fits decides; where they are guessed, two readings are none."""

from __future__ import annotations

import json

import pytest

from schemas import tables, venues
from schemas.venues import Pair, Venue
from services.collector.map.symbols import Symbols
from services.collector.registry.model import SymbolStyle


def venue(quotes: list[str]) -> Venue:
    """A venue that joins its codes, with the codes of all venues."""
    general = tables.read(venues.FILE).split("\nvenues:\n")[0]
    return venues.parse(f"{general}\nvenues:\n  one: {{formats: [{{}}], quotes: {json.dumps(quotes)}}}\n")["one"]


@pytest.mark.parametrize(
    ("quotes", "symbol", "base", "quote"),
    [
        ([], "AVAXUSDT", "avalanche-2", "tether"),
        ([], "DENTUSD", "dent", "usd"),
        (["USD", "CHF"], "USDTUSD", "tether", "usd"),
        (["USD", "CHF"], "AVAXCHF", "avalanche-2", "swiss-franc"),
        (["BUSD", "USD"], "ARBUSD", "arweave", "binance-usd"),
    ],
)
def test_a_joined_symbol_is_split_at_a_quote(quotes: list[str], symbol: str, base: str, quote: str) -> None:
    one = venue(quotes)
    assert one.resolve(symbol) == Pair(base, quote)
    assert Symbols(SymbolStyle(separator=""), one).pair(symbol) == Pair(base, quote)


@pytest.mark.parametrize("symbol", ["USDTUSD", "AVAXCHF", "ARBUSD"])
def test_two_readings_are_none_where_the_quotes_are_guessed(symbol: str) -> None:
    one = venue([])
    assert one.resolve(symbol) is None
    assert Symbols(SymbolStyle(separator=""), one).pair(symbol) is None


def test_quotes_of_the_style_are_no_guess() -> None:
    read = Symbols(SymbolStyle(separator="", quotes=["CHF", "USD"]), venue([]))
    assert read.pair("AVAXCHF") == Pair("avalanche-2", "swiss-franc")
    assert read.pair("USDTUSD") == Pair("tether", "usd")
