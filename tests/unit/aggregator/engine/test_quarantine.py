"""A newcomer whose price is many times its peers' is of another thing: it is shown with the reason, and does not vote until it agrees."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Raw
from services.aggregator.engine import Partition
from services.aggregator.engine.checkpoint import freeze_all, thaw_all
from services.aggregator.engine.fold import fold
from services.aggregator.engine.quarantine import BOUNDS, agreed_price
from tests.unit.aggregator.engine.logs import folded, log, raw, rules, sent

BOUND = BOUNDS["market"]
SECOND, MINUTE = 1000, 60_000
COIN = "asset:coin"
LATER = itertools.count(10**9, 10**6)
"""A wall clock that has run on each time it is looked at, so that whatever waits is sent."""


def said(partition: Partition, entity: str = COIN, metric: str = "price") -> dict[str, tuple[float, str | None]]:
    """Provider -> weight and reason, in the record that is sent now."""
    record = sent(partition, next(LATER))[entity]["metrics"][metric]
    return {one["provider"]: (one.get("weight", 0.0), one.get("why")) for one in record["by"]}


def value(partition: Partition, entity: str = COIN, metric: str = "price") -> Any:
    return sent(partition, next(LATER))[entity]["metrics"][metric]["value"]


def test_a_fake_token_of_the_same_symbol_is_shown_with_the_reason_and_has_no_vote() -> None:
    partition = folded(
        log(
            raw(provider="aqua", price=100.0),
            raw(provider="blue", price=100.4),
            raw(provider="fake", metrics={"price": 0.002, "volume_24h": 5.0}, at_ms=10),
        )
    )
    record = sent(partition)[COIN]["metrics"]
    assert record["price"]["value"] == pytest.approx(100.2, rel=3e-3)
    [out] = [one for one in record["price"]["by"] if one["provider"] == "fake"]
    assert out["why"] == "quarantined: price is 1/5e+04 of what 2 others say, on first sight"
    assert out["value"] == 0.002
    assert out.get("weight", 0.0) == 0.0
    assert record["volume_24h"]["value"] is None, "nothing that it says of the entity counts"
    assert record["volume_24h"]["by"][0]["why"].startswith("quarantined")


def pool_price(provider: str, price: float, at_ms: int = 0) -> Raw:
    """What a provider says of the same contract on one chain, in category dex."""
    return raw("token:base:0xabc", provider, at_ms, category="dex", metrics={"dex_price": price})


def test_one_contract_on_several_chains_with_made_up_liquidity_does_not_move_the_price() -> None:
    """The address 0xabc exists on many chains; on this one somebody made a pool in which it costs a fortune."""
    fair = [pool_price(name, price) for name, price in (("aqua", 1.001), ("blue", 0.999), ("cyan", 1.0))]
    partition = folded(log(*fair, pool_price("fake", 941.0, 5)), "dex")
    assert value(partition, "token:base:0xabc", "dex_price") == pytest.approx(1.0, rel=2e-3)
    partition = folded(log(*fair, pool_price("fake", 941.0, 5)), "dex")
    assert said(partition, "token:base:0xabc", "dex_price")["fake"] == (
        0.0, "quarantined: dex_price is 941 times what 3 others say, on first sight",
    )  # fmt: skip


@pytest.mark.parametrize(("price", "out"), [(299.0, False), (301.0, True), (33.4, False), (33.2, True)])
def test_the_factor_is_that_of_the_table(price: float, out: bool) -> None:
    peers = [raw(provider=name, price=100.0) for name in ("aqua", "blue", "cyan")]
    why = said(folded(log(*peers, raw(provider="new", price=price, at_ms=1))))["new"][1]
    assert (why or "").startswith("quarantined") is out


@pytest.mark.parametrize("peers", [[], [100.0], [100.0, 5000.0]], ids=["none", "one", "two that disagree"])
def test_without_two_that_agree_nobody_is_accused(peers: list[float]) -> None:
    events = [raw(provider=f"peer{number}", price=price) for number, price in enumerate(peers)]
    partition = folded(log(*events, raw(provider="new", price=2.0, at_ms=1)))
    assert not (said(partition)["new"][1] or "").startswith("quarantined")


def ticks(prices: dict[str, float], start_ms: int, end_ms: int, step_ms: int = 10 * SECOND) -> list[Raw]:
    return [
        raw(provider=name, price=price * (1 + at_ms * 1e-12), at_ms=at_ms)
        for at_ms in range(start_ms, end_ms, step_ms)
        for name, price in prices.items()
    ]


FAIR = {"aqua": 100.0, "blue": 100.2, "cyan": 99.9}


def test_it_votes_when_it_has_agreed_and_who_has_agreed_for_long_is_never_doubted_again() -> None:
    partition = folded(log(*ticks(FAIR | {"new": 0.5}, 0, MINUTE)))
    assert said(partition)["new"][1] is not None
    events = ticks(FAIR | {"new": 100.1}, MINUTE, 9 * MINUTE)
    fold(partition, log(*events, start=1000), 0)
    assert said(partition)["new"][1] is None
    fold(partition, log(raw(provider="new", price=20.0, at_ms=9 * MINUTE), start=9000), 0)
    why = said(partition)["new"][1]
    assert why is not None
    assert not why.startswith("quarantined"), "a crash at one venue is news, and fusion's to weigh"


def test_it_is_free_when_its_peers_move_to_it() -> None:
    partition = folded(log(*ticks(FAIR | {"new": 500.0}, 0, MINUTE)))
    assert (said(partition)["new"][1] or "").startswith("quarantined")
    moved = dict.fromkeys(FAIR, 500.0)
    fold(partition, log(*ticks(moved | {"new": 500.0}, MINUTE, 2 * MINUTE), start=1000), 0)
    assert said(partition)["new"][1] is None


def test_two_newcomers_that_agree_cannot_throw_out_those_who_belong_to_the_asset() -> None:
    partition = folded(log(*ticks({"aqua": 100.0, "blue": 100.1, "cyan": 100.2}, 0, 7 * MINUTE)))
    crowd = {"fake1": 3.0, "fake2": 3.0, "fake3": 3.0, "fake4": 3.0}
    fold(partition, log(*ticks(FAIR | crowd, 7 * MINUTE, 8 * MINUTE), start=5000), 0)
    shown = said(partition)
    assert {name for name, (_, why) in shown.items() if (why or "").startswith("quarantined")} == set(crowd)
    fold(partition, log(*ticks(FAIR, 8 * MINUTE, 8 * MINUTE + 1), start=9000), 0)
    assert value(partition) == pytest.approx(100.1, rel=3e-3)


def test_the_memory_is_in_the_checkpoint() -> None:
    partition = folded(log(*ticks(FAIR, 0, MINUTE)))
    store, key = partition.store, COIN.encode()
    address = store.find(key)
    agreed = store.view(address).agreed
    assert set(agreed or {}) == set(FAIR)
    (state,) = freeze_all(store, [address])
    store.drop(address)
    assert thaw_all(store, {key: state}) == []
    assert store.view(store.find(key)).agreed == agreed


@given(st.lists(st.floats(1.0, 1000.0), min_size=4, max_size=24), st.integers(0, 20))
def test_a_replay_from_any_place_gives_the_same_record(prices: list[float], cut: int) -> None:
    """Batches of any size, and the same log again."""
    names = ("aqua", "blue", "cyan", "dark")
    events = [raw(provider=names[n % 4], price=price, at_ms=n * 4 * SECOND) for n, price in enumerate(prices)]
    records = log(*events)
    whole = Partition(rules(), 0)
    fold(whole, records, 0)
    parts = Partition(rules(), 0)
    fold(parts, records[:cut], 0)
    fold(parts, records, 0)
    assert sent(parts) == sent(whole)


def test_a_category_without_prices_quarantines_nobody() -> None:
    assert rules("security").newcomers is None
    assert {name: rules(name).newcomers for name in BOUNDS} == BOUNDS


AGREED = [
    ([1.0], None),
    ([1.0, 1.2], 1.0),
    ([1.0, 5.0], None),
    ([1.0, 1.1, 5.0], 1.1),
    ([1.0, 1.1, 5.0, 6.0], None),
    ([], None),
]


@pytest.mark.parametrize(("prices", "level"), AGREED)
def test_the_agreed_price_is_the_middle_of_most(prices: list[float], level: float | None) -> None:
    assert agreed_price(prices, BOUND) == level
