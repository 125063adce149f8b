"""A change of unit is seen at many entities at once; what markets do is not taken for one, whatever they do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Raw
from services.collector.drift.jumps import ENTITIES, Jumps, spread

LEVELS = {"bitcoin": 65_000.0, "ethereum": 3_100.0, "solana": 140.0, "dogecoin": 0.11}
NOTHING: frozenset[str] = frozenset()


def said(levels: dict[str, float], factor: float = 1.0, **more: float) -> list[Raw]:
    return [
        Raw(
            id="", category="market", provider="acme", endpoint="e", entity=f"asset:{name}",
            metrics={"price": level * factor, **more}, received_ms=0, origin="live", quote="usd",
        )
        for name, level in levels.items()
    ]  # fmt: skip


@pytest.mark.parametrize("power", [-18, -8, -3, -2, -1, 1, 2, 3, 6, 18])
def test_a_power_of_ten_at_all_entities_is_held_until_it_settles_back(power: int) -> None:
    jumps = Jumps()
    assert jumps.look(said(LEVELS)) == NOTHING
    factor = 10.0**power
    assert jumps.look(said(LEVELS, factor, volume_24h=5.0)) == {"price"}
    assert jumps.look(said(LEVELS, factor * 1.05)) == {"price"}, "while it lasts"
    assert jumps.held["price"].power == power
    assert jumps.look(said(LEVELS, 1.02)) == NOTHING
    assert jumps.look(said(LEVELS, 1.03)) == NOTHING
    assert jumps.held == {}


def test_the_words_name_the_factor_an_entity_and_both_values() -> None:
    jumps = Jumps()
    jumps.look(said(LEVELS))
    jumps.look(said(LEVELS, 100.0))
    assert str(jumps.held["price"].difference) == (
        "price: 10^2 times the last accepted value at 4 of 4 entities (asset:bitcoin: 65000, now 6.5e+06): a change of unit?"
    )


def test_a_pair_that_is_told_the_other_way_round_is_held() -> None:
    jumps = Jumps()
    jumps.look(said(LEVELS))
    assert jumps.look(said({name: 1 / level for name, level in LEVELS.items()})) == {"price"}
    assert "1 divided by the last accepted value" in str(jumps.held["price"].difference)
    assert jumps.look(said(LEVELS)) == NOTHING


def test_a_percentage_that_becomes_a_fraction_is_held_although_it_moves_meanwhile() -> None:
    jumps = Jumps()
    jumps.look([*said({"a": 1, "b": 1, "c": 1, "d": 1})])
    changes = {"a": 2.5, "b": -1.3, "c": 0.8, "d": 12.0}
    jumps.look([event for name, value in changes.items() for event in said({name: 1.0}, change_24h_pct=value)])
    moved = {"a": 0.0256, "b": -0.0128, "c": 0.0079, "d": 0.1190}
    found = [event for name, value in moved.items() for event in said({name: 1.0}, change_24h_pct=value)]
    assert jumps.look(found) == {"change_24h_pct"}


def test_one_entity_among_calm_ones_has_a_new_denomination_and_no_other_unit() -> None:
    jumps = Jumps()
    jumps.look(said(LEVELS))
    assert jumps.look(said(LEVELS | {"dogecoin": 110.0})) == NOTHING
    assert jumps.look(said(LEVELS | {"dogecoin": 112.0})) == NOTHING


def test_a_constant_that_all_rows_share_may_be_changed() -> None:
    jumps = Jumps()
    jumps.look(said(LEVELS, maker_fee_pct=0.1))
    assert jumps.look(said(LEVELS, maker_fee_pct=0.01)) == NOTHING


@given(
    st.floats(0.34, 2.9),
    st.lists(st.floats(0.7, 1.4), min_size=4, max_size=4),
    st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=4),
)
def test_no_move_of_a_market_is_taken_for_a_unit(whole: float, own: list[float], sizes: list[float]) -> None:
    """Prices crash or triple together, each a little differently."""
    jumps = Jumps()
    jumps.look(said(LEVELS))
    moved = {name: level * whole * move for (name, level), move in zip(LEVELS.items(), own, strict=True)}
    assert "price" not in jumps.held
    jumps.look(said(moved))
    assert jumps.held == {}


def alone(jumps: Jumps, name: str, *values: float) -> list[frozenset[str]]:
    return [jumps.look(said({name: value})) for value in values]


def test_messages_about_one_entity_each_add_up() -> None:
    jumps = Jumps()
    for step in range(7):
        for name, level in LEVELS.items():
            alone(jumps, name, level * (1 + step * 1e-4))
    assert alone(jumps, "bitcoin", 6_500_000.0) == [{"price"}], "the first one waits"
    assert jumps.held == {}
    alone(jumps, "ethereum", 310_000.0)
    alone(jumps, "solana", 14_000.0)
    assert jumps.held["price"].power == 2
    assert alone(jumps, "dogecoin", 11.0, 0.11) == [{"price"}, NOTHING]


def test_a_jump_that_the_others_do_not_follow_is_the_entitys_own() -> None:
    jumps = Jumps()
    for step in range(7):
        for name, level in LEVELS.items():
            alone(jumps, name, level * (1 + step * 1e-4))
    assert alone(jumps, "dogecoin", 110.0) == [{"price"}]
    alone(jumps, "bitcoin", 65_010.0)
    alone(jumps, "ethereum", 3_101.0)
    assert alone(jumps, "solana", 141.0) == [NOTHING]
    assert alone(jumps, "dogecoin", 110.0, 111.0) == [NOTHING, NOTHING]


def test_an_answer_about_one_thing_must_be_steady_exact_and_say_it_twice() -> None:
    jumps = Jumps()
    alone(jumps, "bitcoin", *range(65_000, 65_007))
    assert alone(jumps, "bitcoin", 6_500_100.0) == [{"price"}]
    assert jumps.held == {}
    assert alone(jumps, "bitcoin", 6_500_200.0) == [{"price"}]
    assert jumps.held["price"].power == 2
    still = Jumps()
    alone(still, "bitcoin", *[5.0] * 7)
    assert alone(still, "bitcoin", 500.0, 500.0) == [NOTHING] * 2, "the size of a best quote stands still and leaps"
    wild = Jumps()
    alone(wild, "bitcoin", 1.0, 90.0, 2.0, 400.0)
    assert alone(wild, "bitcoin", 4.0, 400.0, 400.0) == [NOTHING] * 3, "a size of a trade is never steady"
    tenfold = Jumps()
    alone(tenfold, "bitcoin", *[5.0 + step / 100 for step in range(7)])
    assert alone(tenfold, "bitcoin", 50.0, 50.0, 50.0) == [{"price"}, NOTHING, NOTHING], "volumes do that"


def test_zero_and_signs_say_nothing_of_units() -> None:
    jumps = Jumps()
    for factor in (1.0, 0.0, -1.0, 1.0):
        assert jumps.look(said(LEVELS, factor)) == NOTHING


def test_memory_is_bounded_and_long_lists_are_looked_at_in_part() -> None:
    jumps = Jumps()
    for start in range(0, 4 * ENTITIES, 16):
        jumps.look(said({f"coin{start + index}": 1.0 for index in range(16)}))
    assert len(jumps._levels) == ENTITIES
    events = said({f"coin{index}": 1.0 for index in range(1000)})
    looked_at = [event.entity for event in spread(events)]
    assert (len(looked_at), looked_at[:2], looked_at[-1]) == (32, ["asset:coin0", "asset:coin1"], "asset:coin938")


def test_the_same_entity_asked_for_another_interval_is_another_series() -> None:
    jumps = Jumps()
    for _ in range(3):
        assert jumps.look(said(LEVELS), "window 1h") == NOTHING
        assert jumps.look(said(LEVELS, 100.0), "window 1d") == NOTHING
