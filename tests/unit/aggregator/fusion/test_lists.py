"""Which addresses tell one story: a function of the set of tellings, whatever their order, and never of words alone."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.fusion.lists import SAME_STORY_MS, Stories, Telling, figures, stems

HOUR = 3_600_000


def telling(
    name: str, title: str, hour: float = 0, site: str | None = None, named: frozenset[str] = frozenset()
) -> Telling:
    return Telling(f"story:{name}", site or f"{name}.example", title, int(hour * HOUR), named)


def merged(*tellings: Telling) -> dict[str, list[str]]:
    """Leader -> members, by the last part of their names."""
    stories = Stories()
    for one in tellings:
        stories.put(one)
    leaders = {stories.leader(one.entity) for one in tellings}
    return {
        leader.removeprefix("story:"): [e.removeprefix("story:") for e in stories.members(leader)] for leader in leaders
    }


def test_slightly_different_titles_of_three_sites_are_one_story_led_by_the_first_published() -> None:
    found = merged(
        telling("a", "Regulator approves the first spot fund for ether", 2),
        telling("b", "Regulator approves first spot fund for Ether - The Daily Coin", 1),
        telling("c", "First spot fund for ether approved by regulator", 2.5),
        telling("d", "Bridge loses forty million in an attack on its validators", 1.5),
    )
    assert found == {"b": ["b", "a", "c"], "d": ["d"]}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Market update", "Market update"),
        ("Bitcoin price predictions for 11/20 and the week", "Bitcoin price predictions for 11/22 and the week"),
        ("Miners sell as bitcoin rises below resistance", "Miners sell as bitcoin falls below resistance"),
        ("Exchange lists new token of the gaming network", "Bank warns of new fraud with tokens of a network"),
    ],
    ids=["short", "figures", "direction", "words"],
)
def test_like_words_are_not_always_one_story(one: str, two: str) -> None:
    assert merged(telling("a", one), telling("b", two)) == {"a": ["a"], "b": ["b"]}


def test_another_coin_makes_another_story() -> None:
    one, two = ("Spot funds for bitcoin see a fifth day of inflows", "Spot funds for solana see a fifth day of inflows")
    coins = frozenset({"bitcoin"}), frozenset({"solana"})
    assert merged(telling("a", one, named=coins[0]), telling("b", two, named=coins[1])) == {"a": ["a"], "b": ["b"]}
    assert len(merged(telling("a", one, named=coins[0]), telling("b", two))) == 1


def test_the_same_headline_days_apart_is_another_story() -> None:
    title = "Bitcoin falls below its average of two hundred days"
    late = SAME_STORY_MS / HOUR + 1
    assert merged(telling("a", title), telling("b", title, late)) == {"a": ["a"], "b": ["b"]}


def test_a_story_that_is_told_every_day_does_not_go_on_for_ever() -> None:
    title = "What happened in crypto today and why it matters"
    found = merged(*(telling(f"d{k}", title, 24 * k) for k in range(6)))
    assert found == {"d0": ["d0", "d1", "d2"], "d3": ["d3", "d4", "d5"]}


def test_one_site_tells_two_stories_unless_the_words_are_nearly_the_same() -> None:
    one = "Exchange halts withdrawals of three tokens after an exploit of its hot wallet"
    two = "Exchange resumes withdrawals of three tokens after an exploit of its hot wallet"
    assert len(merged(telling("a", one, site="x"), telling("b", two, site="x"))) == 2
    assert len(merged(telling("a", one, site="x"), telling("b", one.upper(), site="x"))) == 1


def test_a_corrected_title_leaves_the_story_and_an_earlier_telling_takes_it_over() -> None:
    stories = Stories()
    title = "Regulator approves the first spot fund for ether"
    assert stories.put(telling("b", title, 2)) == {"story:b"}
    assert stories.put(telling("a", title, 1)) == {"story:a", "story:b"}
    assert (stories.leader("story:b"), stories.members("story:a")) == ("story:a", ["story:a", "story:b"])
    assert stories.put(telling("a", title, 1)) == set()
    assert stories.put(telling("a", "Something else that happened in the world", 1)) == {"story:a", "story:b"}
    assert stories.leader("story:b") == "story:b"
    assert stories.drop("story:b") == set()
    assert (stories.leader("story:b"), stories.members("story:b"), len(stories)) == ("story:b", [], 1)


TITLES = ["alpha beta gamma delta", "alpha beta gamma delta epsilon", "beta gamma delta epsilon", "zeta eta theta iota"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(TITLES), st.integers(0, 90), st.sampled_from("xyz")), min_size=2, max_size=5),
    st.randoms(),
)
def test_the_order_of_arrival_changes_nothing(rows: list[tuple[str, int, str]], draw: object) -> None:
    tellings = [telling(f"t{k}", title, hour, site) for k, (title, hour, site) in enumerate(rows)]
    found = merged(*tellings)
    for order in itertools.islice(itertools.permutations(tellings), 24):
        assert merged(*order) == found
    assert sorted(name for names in found.values() for name in names) == sorted(f"t{k}" for k in range(len(rows)))


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("SEC approved spot Ether ETFs' launch", {"sec", "approv", "spot", "ether", "etf", "launch"}),
        ("Bitcoin tops $100,000 for the first time | The Daily Coin", {"bitcoin", "top", "first", "time"}),
        ("Ether - what now", {"ether", "what", "now"}),
    ],
)
def test_the_words_that_are_compared(title: str, found: set[str]) -> None:
    assert stems(title) == found


@pytest.mark.parametrize(
    ("title", "found"),
    [
        ("60k, 60,000 and 60 thousand", {"60000"}),
        ("$1.2bn or 5.5% of 3m", {"1200000000", "5.5", "3000000"}),
        ("Layer2 of web3", {"2", "3"}),
    ],
)
def test_numbers_have_one_spelling(title: str, found: set[str]) -> None:
    assert figures(title) == found
