"""Kernels and Python do the same to every record, in whatever batches it comes, and after a restart as without one."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.unit.aggregator.engine.stories import (
    CATEGORIES,
    by_hand,
    by_kernels,
    by_version,
    cut,
    held,
    read,
    recovered,
    story,
)

SEEDS = st.lists(st.integers(0, 1 << 40), min_size=1, max_size=160)
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
BATCHES = st.lists(st.integers(1, 30), min_size=1, max_size=4)


@pytest.mark.parametrize("category", CATEGORIES)
@settings(max_examples=12, deadline=None, phases=QUICK)
@given(seeds=SEEDS, batches=BATCHES, cuts=st.frozensets(st.integers(1, 30), max_size=3))
def test_kernels_do_to_every_record_what_python_does(
    category: str, seeds: list[int], batches: list[int], cuts: frozenset[int]
) -> None:
    records = story(seeds, category)
    one, two = (read(records, category, way, batches, cuts) for way in (by_kernels, by_hand))
    assert one.asides == two.asides
    assert one.counts == two.counts
    # In a sweep, entities come in the order of their memory, which is none.
    assert sorted(one.sent, key=str) == sorted(two.sent, key=str)
    assert one.saved == two.saved
    assert one.announced == two.announced
    assert held(one.partition) == held(two.partition)
    assert cut(one.partition, 10**12) == cut(two.partition, 10**12)


@pytest.mark.parametrize("category", CATEGORIES)
@settings(max_examples=8, deadline=None, phases=QUICK)
@given(seeds=SEEDS, batches=BATCHES, others=BATCHES)
def test_batches_change_nothing(category: str, seeds: list[int], batches: list[int], others: list[int]) -> None:
    records = story(seeds, category)
    one, two = (read(records, category, by_kernels, lengths) for lengths in (batches, others))
    assert one.asides == two.asides
    both = by_version(one.sent), by_version(two.sent)
    shared = both[0].keys() & both[1].keys()
    assert {key: both[0][key] for key in shared} == {key: both[1][key] for key in shared}
    assert held(one.partition) == held(two.partition)
    kept = {name: one.counts[name] for name in ("folded", "unchanged", "control", "aside")}
    assert kept == {name: two.counts[name] for name in kept}


@pytest.mark.parametrize("category", CATEGORIES)
@settings(max_examples=8, deadline=None, phases=QUICK)
@given(seeds=SEEDS, at=st.integers(1, 150), again=st.integers(0, 5))
def test_a_restart_changes_nothing(category: str, seeds: list[int], at: int, again: int) -> None:
    records = story(seeds, category)
    whole = read(records, category, by_kernels, [1])
    first = read(records[:at], category, by_kernels, [7])
    _, topic = cut(first.partition, 10**12)
    second = recovered(topic, category)
    assert held(second) == held(first.partition)
    rest = read(records[max(0, at - again) :], category, by_kernels, [1], partition=second)
    both = by_version(whole.sent), by_version(rest.sent)
    shared = both[0].keys() & both[1].keys()
    assert {key: both[1][key] for key in shared} == {key: both[0][key] for key in shared}
    late = {key for key in both[0] if key[1] >= records[min(at, len(records)) - 1].offset + 1 and b"|" not in key[0]}
    assert late <= both[1].keys()
    assert held(rest.partition) == held(whole.partition)
    assert [one for one in whole.asides if one.offset > records[min(at, len(records)) - 1].offset] == rest.asides
