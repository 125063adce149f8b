"""Factors between units are exact where the units are."""

import pytest

from services.collector.map.units import factor


@pytest.mark.parametrize(
    ("stated", "ours", "expected"),
    [
        ("ms", "hours", 1.0 / 3_600_000),
        ("s", "hours", 1.0 / 3600),
        ("min", "hours", 1.0 / 60),
        ("fraction", "percent", 100.0),
        ("bps", "percent", 0.01),
        ("fraction_per_hour", "fraction_per_8h", 8.0),
        ("sat_per_kvb", "sat_per_vb", 0.001),
        ("ghs", "hashes_per_s", 1e9),
    ],
)
def test_a_factor_carries_no_dust(stated: str, ours: str, expected: float) -> None:
    assert factor(stated, ours, "here") == expected
