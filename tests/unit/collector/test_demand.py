"""From interests to questions."""

from typing import Any

import msgspec
import pytest

from services.collector.demand import base_interests, jobs, kinds, named, spell, subscriptions
from services.collector.listing import ABSENT_MS, Listing
from services.collector.map import identity
from services.collector.plan import Job
from services.collector.registry.model import Channel, Provider

KNOWN = identity.load()
CADENCE = {"market": 60}


def provider(endpoints: dict[str, Any], **changes: Any) -> Provider:
    body = {
        "id": "acme", "name": "Acme", "home": "market", "homepage": "h", "docs": "d", "verified": "2026-11-22", "status": "live",
        "symbols": {"default": {"separator": "-"}, "low": {"separator": "", "case": "lower"}}, "ids": "coingecko",
        "chains": {"eth-mainnet": "ethereum"},
        "endpoints": {name: {"path": f"/{name}", "emits": [], **one} for name, one in endpoints.items()},
    } | changes  # fmt: skip
    return msgspec.convert(body, Provider)


def planned(endpoint: dict[str, Any], *wanted: str, listing: Listing | None = None) -> list[Job]:
    return list(jobs(provider({"one": endpoint}), set(wanted), KNOWN, CADENCE, listing or Listing(), 0))


def job(key: str, **changes: Any) -> Job:
    return Job(
        **({"key": key, "provider": "acme", "endpoint": "one", "category": "market", "period_ms": 60_000} | changes)
    )


def test_an_endpoint_without_parameters_is_one_job_at_the_cadence_of_its_category() -> None:
    assert planned({}) == [job("acme|one")]


def test_its_own_interval_and_floor_count_before_the_cadence() -> None:
    assert planned({"every_s": 5, "floor_s": 30})[0].period_ms == 30_000


def test_an_endpoint_on_demand_is_not_planned() -> None:
    assert planned({"live": False}) == []


def test_a_batch_holds_all_that_is_wanted_spelled_for_the_provider() -> None:
    endpoint = {"params": {"s": {"as": "pair"}}, "batch": {"param": "s", "max": 2}}
    wanted = ("pair:bitcoin/tether", "pair:solana/tether", "pair:ethereum/usd", "asset:bitcoin")
    assert planned(endpoint, *wanted) == [
        job("acme|one|0", batch=("BTC-USDT", "ETH-USD")),
        job("acme|one|1", batch=("SOL-USDT",)),
    ]


def test_without_batches_each_value_is_a_job_of_its_own() -> None:
    assert planned({"params": {"s": {"as": "pair", "style": "low"}}}, "pair:bitcoin/tether", "pair:solana/tether") == [
        job("acme|one|s=btcusdt", params={"s": "btcusdt"}),
        job("acme|one|s=solusdt", params={"s": "solusdt"}),
    ]


def test_values_of_the_definition_are_asked_as_they_are() -> None:
    endpoint = {"params": {"vs": {"as": "free", "values": ["usd", "eur"]}, "n": 3}}
    assert [one.params for one in planned(endpoint)] == [{"vs": "usd"}, {"vs": "eur"}]


def test_nothing_wanted_means_nothing_asked_where_a_value_is_needed() -> None:
    assert planned({"params": {"s": {"as": "pair"}}}, "asset:bitcoin") == []


def test_what_the_provider_does_not_list_is_left_out_for_a_while() -> None:
    listing = Listing()
    listing.absent("acme", "btc-usdt", 0)
    endpoint = {"params": {"s": {"as": "pair"}}, "batch": {"param": "s", "max": 9}}
    wanted = ("pair:bitcoin/tether", "pair:solana/tether")
    assert planned(endpoint, *wanted, listing=listing)[0].batch == ("SOL-USDT",)
    one = provider({"one": endpoint})
    assert next(jobs(one, wanted, KNOWN, CADENCE, listing, ABSENT_MS)).batch == ("BTC-USDT", "SOL-USDT")


def test_a_pair_in_two_parameters_is_asked_by_both_and_left_out_by_both() -> None:
    listing = Listing()
    listing.absent("acme", "btc|USD", 0)
    endpoint = {"params": {"b": {"as": "base", "case": "lower"}, "q": {"as": "quote"}}}
    wanted = ("pair:bitcoin/tether", "pair:bitcoin/usd")
    assert [one.params for one in planned(endpoint, *wanted)] == [{"b": "btc", "q": "USDT"}, {"b": "btc", "q": "USD"}]
    assert [one.params for one in planned(endpoint, *wanted, listing=listing)] == [{"b": "btc", "q": "USDT"}]


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        (
            {"style": "page", "param": "p", "max": 2, "size": 250, "size_param": "n"},
            [{"p": "1", "n": "250"}, {"p": "2", "n": "250"}],
        ),
        (
            {"style": "offset", "param": "o", "start": 0, "max": 3, "size": 100},
            [{"o": "0"}, {"o": "100"}, {"o": "200"}],
        ),
        ({"style": "cursor", "param": "c", "size": 50, "size_param": "n", "max": 9}, [{"n": "50"}]),
    ],
)
def test_each_page_is_a_job(pages: dict[str, Any], expected: list[dict[str, str]]) -> None:
    assert [one.params for one in planned({"pages": pages})] == expected


@pytest.mark.parametrize(
    ("stands_for", "entity", "expected"),
    [
        ("asset", "asset:bitcoin", ("bitcoin",)),
        ("asset", "pair:bitcoin/tether", ()),
        ("pair", "perp:bitcoin/tether", ("BTC-USDT",)),
        ("base", "asset:bitcoin", ("BTC",)),
        ("chain", "chain:ethereum", ("eth-mainnet",)),
        ("contract", "token:ethereum:0xabc", ("0xabc",)),
        ("contract", "token:solana:Abc", ()),
        ("free", "asset:bitcoin", None),
    ],
)
def test_an_entity_is_spelled_by_what_the_parameter_stands_for(stands_for: str, entity: str, expected: Any) -> None:
    one = provider({"one": {"params": {"x": {"as": stands_for}}}})
    assert spell(one, one.endpoints["one"].params, {entity}, KNOWN).get("x") == expected


def test_the_case_of_a_parameter_is_obeyed() -> None:
    one = provider({"one": {"params": {"x": {"as": "base", "case": "lower"}}}})
    assert spell(one, one.endpoints["one"].params, {"asset:bitcoin"}, KNOWN) == {"x": ("btc",)}


def test_named_parameters_are_those_that_an_entity_must_fill() -> None:
    params = provider(
        {"one": {"params": {"a": {"as": "asset"}, "b": {"as": "free"}, "c": 5, "d": {"as": "pair", "values": ["X"]},
                            "e": {"as": "chain", "required": False}}}}
    ).endpoints["one"].params  # fmt: skip
    assert (named(params), kinds(params)) == (["a"], ["asset"])


def test_subscriptions_are_cut_by_what_a_connection_holds() -> None:
    channel = msgspec.convert({"params": {"s": {"as": "pair"}, "depth": 50}, "max": 2}, Channel)
    wanted = ("pair:bitcoin/tether", "pair:ethereum/tether", "pair:solana/tether")
    assert subscriptions(provider({}), channel, wanted, KNOWN, Listing(), 0) == [
        {"s": ("BTC-USDT", "ETH-USDT"), "depth": ("50",)},
        {"s": ("SOL-USDT",), "depth": ("50",)},
    ]
    assert subscriptions(provider({}), channel, (), KNOWN, Listing(), 0) == []
    assert subscriptions(provider({}), Channel(), (), KNOWN, Listing(), 0) == [{}]


def test_the_base_set_holds_the_first_assets_their_pairs_and_all_chains() -> None:
    base = base_interests(KNOWN, 3)
    assert {entity for entity in base if entity.startswith("asset:")} == {
        "asset:bitcoin",
        "asset:ethereum",
        "asset:tether",
    }
    assert {"pair:bitcoin/tether", "perp:ethereum/usd", "chain:ethereum"} <= base
    assert "pair:tether/usd" not in base, "a stablecoin is not traded against dollars by default"
