"""The metric catalogue: one meaning per name, every fault told, the page current."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from schemas import categories, metrics, metrics_page, tables

CATALOGUE = metrics.load()

SMALL = """
units: {quote_per_base: "A price.", bool: "Yes or no.", text: "Words."}
kinds:
  price: {scale: rel, tolerance: 0.001, plausible: [0, 10], strategy: robust, sentence: "Cost."}
  flag: {scale: cat, tolerance: 0, strategy: majority_vote, sentence: "Yes or no."}
categories:
%s
metrics:
%s
"""
PACES = "\n".join(f"  {name}: {{window_ms: 1000, freshness_ms: 60000}}" for name in categories.load())


def small(rows: str, paces: str = PACES) -> metrics.Catalogue:
    return metrics.parse(SMALL % (paces, rows))


def test_a_row_inherits_from_its_kind_and_category() -> None:
    spec = small('  market:\n    price: {unit: quote_per_base, kind: price, sentence: "P."}')["price"]
    assert spec == metrics.Spec(
        name="price", category="market", unit="quote_per_base", kind="price", scale="rel", tolerance=0.001, window_ms=1000,
        plausible=(0.0, 10.0), freshness_ms=60000, strategy="robust", min_sources=1, sentence="P.",
    )  # fmt: skip
    assert (spec.money, spec.number) == (True, True)


def test_what_a_row_states_itself_wins() -> None:
    row = 'unit: quote_per_base, kind: price, sentence: "P.", scale: abs, tolerance: 2, plausible: [-1, 1], strategy: median'
    spec = small(f"  market:\n    p: {{{row}, min_sources: 3, window_ms: 5, freshness_ms: 7, aliases: [q]}}").find("q")
    assert spec == metrics.Spec(
        name="p", category="market", unit="quote_per_base", kind="price", scale="abs", tolerance=2.0, window_ms=5,
        plausible=(-1.0, 1.0), freshness_ms=7, strategy="median", min_sources=3, sentence="P.", aliases=("q",),
    )  # fmt: skip


def test_all_faults_of_the_catalogue_are_told_at_once() -> None:
    rows = """
  market:
    a: {unit: euro, kind: price, sentence: "A."}
    b: {unit: quote_per_base, kind: price, sentence: B, tolerance: 0, plausible: [5, 5]}
    c: {unit: bool, kind: price, sentence: "C.", plausible: [-1, 1], min_sources: 0}
    d: {unit: quote_per_base, kind: cost, sentence: "D."}
    e: {unit: quote_per_base, kind: price, sentence: "E.", tol: 1}
    f: {unit: quote_per_base, kind: flag, sentence: "F.", strategy: median, plausible: [0, 1]}
  exchange:
    a: {unit: quote_per_base, kind: price, sentence: "A.", aliases: [b, z]}
    g: {unit: bool, kind: flag, sentence: "G.", window_ms: 70000, aliases: [z]}
  weather:
    h: {unit: bool, kind: flag, sentence: "H."}
"""
    with pytest.raises(tables.TableError) as caught:
        small(rows, PACES.replace("  nft:", "  art:"))
    assert caught.value.faults == (
        "categories.art: expected the categories of categories.yaml, each once",
        "categories.nft: expected the categories of categories.yaml, each once",
        "metrics.market.e: Object contains unknown field `tol`",
        "metrics.market.a: unit: expected one of quote_per_base, bool, text, got 'euro'",
        "metrics.market.b: tolerance: expected above 0, got 0.0",
        "metrics.market.b: plausible: expected [low, high] with low < high, got (5.0, 5.0)",
        "metrics.market.b: sentence: expected a sentence, it has no full stop",
        "metrics.market.c: unit: expected a number's unit for scale rel, got 'bool'",
        "metrics.market.c: plausible: expected 0 or above for scale rel, whose error is a logarithm; write scale abs",
        "metrics.market.c: min_sources: expected 1 or more, got 0",
        "metrics.market.d: kind: expected one of price, flag, got 'cost'",
        "metrics.market.f: unit: expected one of ['bool', 'text'] for scale cat, got 'quote_per_base'",
        "metrics.market.f: plausible: expected none, words have no range",
        "metrics.market.f: strategy: expected one for words, got 'median'",
        "metrics.exchange.a: the name is taken by market; a metric belongs to one category",
        "metrics.exchange.g: expected 0 < window_ms <= freshness_ms, got 70000 and 60000",
        "metrics.weather: expected a category, one of "
        "market, exchange, derivatives, explorer, rpc, onchain, dex, social, news, security, whale, technical, art",
        "metrics.exchange.a: alias 'b' is the name of a metric",
        "metrics.exchange.g: alias 'z' is taken by a",
    )


def test_every_category_has_metrics_and_there_are_more_than_five_hundred() -> None:
    counts = {name: len(CATALOGUE.of_category(name)) for name in categories.load()}
    assert min(counts.values()) >= 15, counts
    assert sum(counts.values()) == len(CATALOGUE) >= 500


@pytest.mark.parametrize(
    ("name", "unit", "category"),
    [
        ("price", "quote_per_base", "market"),
        ("change_24h_pct", "percent", "market"),
        ("circulating_supply", "base", "market"),
        ("volume_base_24h", "base", "exchange"),
        ("volume_quote_24h", "quote", "exchange"),
        ("trade_side", "text", "exchange"),
        ("funding_rate", "fraction", "derivatives"),
        ("funding_rate_8h", "fraction_per_8h", "derivatives"),
        ("open_interest", "quote", "derivatives"),
        ("open_interest_base", "base", "derivatives"),
        ("iv_pct", "percent", "derivatives"),
        ("gas_fast_gwei", "gwei", "rpc"),
        ("block_time", "unix_ms", "rpc"),
        ("block_time_s", "seconds", "rpc"),
        ("hashrate_hs", "hashes_per_s", "onchain"),
        ("fee_fast_sat_vb", "sat_per_vb", "onchain"),
        ("burn_rate_year", "native_per_year", "onchain"),
        ("staking_ratio", "fraction", "onchain"),
        ("pool_apy_pct", "percent_per_year", "dex"),
        ("buy_tax_pct", "percent", "security"),
        ("is_honeypot", "bool", "security"),
        ("risk_score_0_100", "points", "security"),
        ("coins", "texts", "news"),
        ("transfer_value", "quote", "whale"),
        ("floor_price_native", "native", "nft"),
        ("rsi_14", "points", "technical"),
        ("fear_greed_index", "points", "social"),
        ("holder_count", "count", "explorer"),
    ],
)
def test_units_say_percent_or_fraction_base_or_quote_and_per_what(name: str, unit: str, category: str) -> None:
    assert (CATALOGUE[name].unit, CATALOGUE[name].category) == (unit, category)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("price_usd", "price"),
        ("market_cap_usd", "market_cap"),
        ("volume_24h_base", "volume_base_24h"),
        ("open_interest_usd", "open_interest"),
        ("tvl_usd", "tvl"),
        ("tx_volume_usd_24h", "tx_volume_24h"),
        ("dex_price_usd", "dex_price"),
        ("liquidity_usd", "liquidity"),
        ("floor_price_usd", "floor_price"),
        ("eth_supply", "supply_current"),
    ],
)
def test_names_with_a_currency_find_the_name_without(written: str, name: str) -> None:
    spec = CATALOGUE.find(written)
    assert spec is not None
    assert spec.name == name


def test_a_name_that_nobody_has_finds_nothing() -> None:
    assert CATALOGUE.find("price_eur") is None


def test_no_name_carries_a_currency() -> None:
    assert [name for name in CATALOGUE if name.endswith(("_usd", "_eur")) or "_usd_" in name] == []


def test_a_year_3000_expiry_is_outside_of_the_plausible_range() -> None:
    assert CATALOGUE["expiry_time"].plausible == (1230940800000.0, 4102444800000.0)


def test_every_strategy_of_the_catalogue_is_one_that_is_offered() -> None:
    assert {spec.strategy for spec in CATALOGUE.values()} <= set(get_args(metrics.Strategy))


def test_every_unit_and_kind_is_used() -> None:
    assert set(CATALOGUE.units) - {spec.unit for spec in CATALOGUE.values()} == set()
    assert set(CATALOGUE.kinds) - {spec.kind for spec in CATALOGUE.values()} == set()


def test_the_page_is_what_would_be_written_now() -> None:
    assert metrics_page.PAGE.read_text(encoding="utf-8") == metrics_page.page(CATALOGUE)


def test_the_page_says_each_metric_in_its_own_words() -> None:
    lines = metrics_page.page(CATALOGUE).splitlines()
    assert (
        "| `funding_rate_8h` | `fraction_per_8h` | rate | ±0.0001 | -0.1 .. 0.1 | 10 s | 5 min | robust "
        "| Funding brought to eight hours: rate times 8 divided by the interval in hours. |"
    ) in lines
    assert (
        "| `price`<br>also `price_usd` | `quote_per_base` | price | ±0.1 % | 1e-18 .. 1e+12 | 10 s | 5 min | robust "
        "| What one unit of the asset is worth. |"
    ) in lines


def test_help_does_not_read_the_tables() -> None:
    code = "import sys, services.cli; print([m for m in sys.modules if m == 'yaml' or m.startswith('schemas')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert result.stdout == "[]\n"
