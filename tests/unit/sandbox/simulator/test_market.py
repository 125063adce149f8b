"""The hidden market is a function of seed and time that moves like a market."""

from __future__ import annotations

from math import log, sqrt
from statistics import pstdev

import pytest

from sandbox.simulator.market import DAY_MS, Market

T0 = 1_795_305_600_000


def test_the_same_seed_and_time_give_the_same_price_and_another_seed_another() -> None:
    assert Market(1).usd("bitcoin", T0) == Market(1).usd("bitcoin", T0)
    assert Market(1).usd("bitcoin", T0) != Market(2).usd("bitcoin", T0)


def test_prices_are_where_the_table_starts_them_within_a_few_daily_deviations() -> None:
    market = Market(7)
    for asset, start in market.table.assets.items():
        days = [abs(log(market.usd(asset, T0 + day * DAY_MS) / start.price)) for day in range(20)]
        assert max(days) < 4.5 * market.table.volatility["coin"], asset


@pytest.mark.parametrize("step_ms", [1_000, 60_000, 3_600_000])
def test_returns_grow_with_the_square_root_of_time(step_ms: int) -> None:
    market = Market(3)
    returns = [
        log(market.usd(f"asset-{k}", T0 + 40_000_000 + step_ms) / market.usd(f"asset-{k}", T0 + 40_000_000))
        for k in range(400)
    ]
    expected = market.table.volatility["coin"] * sqrt(step_ms / DAY_MS)
    assert 0.8 < pstdev(returns) / expected < 1.2


def test_the_path_has_no_jump_between_days() -> None:
    market = Market(5)
    assert market.usd("ethereum", T0 - 1) == pytest.approx(market.usd("ethereum", T0), rel=1e-5)


def test_stablecoins_hold_their_peg_and_wrapped_assets_follow() -> None:
    market = Market(7)
    for hours in range(48):
        at_ms = T0 + hours * 3_600_000
        assert market.usd("tether", at_ms) == pytest.approx(0.9998, abs=0.0012)
        assert market.usd("wrapped-bitcoin", at_ms) / market.usd("bitcoin", at_ms) == pytest.approx(1, abs=0.0025)


def test_a_price_in_another_quote_is_the_quotient_of_both() -> None:
    market = Market(7)
    assert market.price("ethereum", "bitcoin", T0) == market.usd("ethereum", T0) / market.usd("bitcoin", T0)
    assert market.price("bitcoin", "usd", T0) == market.usd("bitcoin", T0)


def test_those_who_tell_differ_by_a_few_basis_points() -> None:
    market = Market(7)
    factors = [market.told(f"p{k}", "bitcoin", T0) for k in range(300)]
    assert all(abs(factor - 1) < 8e-4 for factor in factors)
    assert len(set(factors)) == 300
    assert market.told("p1", "bitcoin", T0) == market.told("p1", "bitcoin", T0 + 4_000)


def test_extremes_hold_the_price() -> None:
    low, high = Market(7).extremes("bitcoin", "usd", T0, DAY_MS)
    assert low <= Market(7).usd("bitcoin", T0) <= high
    assert low < high
