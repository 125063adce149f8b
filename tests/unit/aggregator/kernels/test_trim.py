"""What need not be kept of an entity, against the same said in Python; compiled and not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator.engine.names import Names
from services.aggregator.engine.store import Store
from services.aggregator.engine.view import Entity
from services.aggregator.kernels import trim as kernel
from tests.unit.aggregator.engine.logs import T0, rules

Kernels = dict[str, Callable[..., Any]]
KEEP = 6_000_000
"""Twenty times the freshness of a price."""
SHAPES = (("price",), ("price", "volume_24h"), ("volume_24h", "price"), ("volume_24h",), ("price", "market_cap"))


@pytest.fixture(scope="module", params=["compiled", "uncompiled"])
def kernels(request: pytest.FixtureRequest, compiled: Kernels) -> Kernels:
    return compiled if request.param == "compiled" else vars(kernel)


def stage() -> tuple[Store, Names, Entity]:
    store = Store(rules(retain_ms=1000))
    entity = store.view(store.entity(b"asset:coin"))
    entity.as_of_ms = T0
    return store, Names(store.rules, store.tables), entity


def expected(entity: Entity, names: Names) -> list[int]:
    """The sources that stay, in their order."""
    gone: set[int] = set()
    newest: dict[Any, int] = {}
    for number, slot in sorted(entity.slots.items(), key=lambda row: (row[1][0], row[0]), reverse=True):
        source = names.sources[number]
        first = newest.setdefault((source.provider, source.endpoint, source.quote, source.origin), number)
        again = first != number and set(names.sources[first].shape.names) >= set(source.shape.names)
        if again or entity.as_of_ms - slot[0] > source.shape.keep_ms:
            gone.add(number)
    return [number for number in entity.slots if number not in gone]


SAID = st.tuples(
    st.sampled_from(("aqua", "brick")), st.sampled_from(("tick", "tick", "full")), st.sampled_from(("usd", "usd", "euro")),
    st.sampled_from(("live", "live", "replay")), st.sampled_from(SHAPES), st.sampled_from((0, 0, 1, 5, KEEP, KEEP + 1)),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(SAID, max_size=9))
def test_the_old_and_the_said_again_go_and_the_rest_stays_as_it_was(kernels: Kernels, said: list[Any]) -> None:
    store, names, entity = stage()
    for k, (provider, endpoint, quote, origin, shape, age) in enumerate(said):
        number = names.source((provider, endpoint, quote, None, 1.0, origin, shape)).number
        entity.put(number, T0 - age, k, 1.0, tuple(100.0 * k + place for place in range(len(shape))))
    before = entity.slots
    stay = expected(entity, names)
    assert kernels["trim"](store.desk_at, entity.address) == len(before) - len(stay)
    assert list(entity.slots.items()) == [(number, before[number]) for number in stay]
    assert kernels["trim"](store.desk_at, entity.address) == 0


@pytest.mark.parametrize(("age", "stays"), [(KEEP, True), (KEEP + 1, False)])
def test_a_statement_is_kept_for_twenty_times_its_freshness(kernels: Kernels, age: int, stays: bool) -> None:
    store, names, entity = stage()
    number = names.source(("aqua", "tick", "usd", None, 1.0, "live", ("price",))).number
    assert names.sources[number].shape.keep_ms == KEEP
    entity.put(number, T0 - age, 1, 1.0, (5.0,))
    assert (kernels["trim"](store.desk_at, entity.address), bool(entity.slots)) == (0 if stays else 1, stays)


@pytest.mark.parametrize(
    ("gone", "left", "since"),
    [(T0 - 9, 0, T0 - 9), (T0 - 9, T0 - 5, T0 - 9), (T0 - 5, T0 - 9, T0 - 9), (0, T0 - 9, T0 - 9)],
)
def test_since_when_a_provider_agrees_stays_with_what_is_left_of_it(
    kernels: Kernels, gone: int, left: int, since: int
) -> None:
    store, names, entity = stage()
    for provider, shape, age in (
        ("brick", ("price",), 0),
        ("aqua", ("price",), 9),
        ("aqua", ("price", "volume_24h"), 0),
    ):
        number = names.source((provider, "tick", "usd", None, 1.0, "live", shape)).number
        entity.put(number, T0 - age, 1, 1.0, tuple(map(float, range(len(shape)))))
    lines = [line for _, line in entity._lines()]
    lines[1][2], lines[2][2] = gone, left
    assert kernels["trim"](store.desk_at, entity.address) == 1
    assert [(number, line[2]) for number, line in entity._lines()] == [(0, 0), (2, since)]
