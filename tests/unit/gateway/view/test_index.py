"""Symbols are shared, ids are not."""

from __future__ import annotations

import pytest

from services.gateway.view.index import MAJORS, Ambiguous, Asset, Index, Unknown

MANY = [Asset(f"coin-{n}", f"C{n}", f"Coin {n}") for n in range(MAJORS)]
INDEX = Index([*MANY, Asset("batcat", "C7", "Batcat"), Asset("one", "TWIN", "One"), Asset("two", "TWIN", "Two")])


def test_a_symbol_of_one_asset_means_it_in_any_case() -> None:
    assert INDEX.resolve("c8") == "coin-8"
    assert INDEX.resolve("batcat") == "batcat"


def test_a_symbol_of_a_major_and_a_minor_means_the_major() -> None:
    assert INDEX.resolve("C7") == "coin-7"


def test_of_two_minors_the_one_that_is_reported_is_meant() -> None:
    assert INDEX.resolve("TWIN", lambda asset_id: asset_id == "two") == "two"


@pytest.mark.parametrize("seen", [True, False])
def test_a_symbol_that_several_may_mean_is_ambiguous(seen: bool) -> None:
    with pytest.raises(Ambiguous) as fault:
        INDEX.resolve("twin", lambda _: seen)
    assert fault.value.candidates == ["one", "two"]


def test_an_unknown_name_is_told_what_looks_like_it() -> None:
    with pytest.raises(Unknown) as fault:
        INDEX.resolve("batcta")
    assert fault.value.near == ["batcat"]


def test_an_unknown_asset_is_placed_after_all_known_ones() -> None:
    assert [INDEX.place(name) for name in ("coin-0", "two", "nobody")] == [0, MAJORS + 2, MAJORS + 3]
