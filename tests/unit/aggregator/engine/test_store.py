"""The memory of a partition: entities by key, views of them, and the tables that kernels read."""

from __future__ import annotations

import math
from typing import Any

import pytest

from services.aggregator.engine.memory import bytes_at, doubles_at, words_at
from services.aggregator.engine.model import EARLIEST_MS
from services.aggregator.engine.names import Names
from services.aggregator.engine.store import Store
from services.aggregator.engine.tables import UNKNOWN_GROUP
from services.aggregator.fusion import Fuser, Observation
from services.aggregator.kernels import layout as at
from tests.unit.aggregator.engine.logs import T0, rules


def stage(category: str = "market", **limits: Any) -> tuple[Store, Names]:
    """An empty store, and the names it hears of."""
    store = Store(rules(category, **limits))
    return store, Names(store.rules, store.tables)


def line(store: Store, table: str, number: int) -> dict[str, Any]:
    """A line of a table, by the names of its words; doubles where the word is one."""
    prefix, floats = {
        "sources": ("N_", {"N_WEIGHT"}),
        "places": ("P_", {"P_LOW", "P_HIGH"}),
        "metrics": ("M_", set()),
        "providers": ("A_", set()),
        "groups": ("G_", set()),
        "quotes": ("Q_", {"Q_RATE"}),
    }[table]
    held = getattr(store.tables, table)
    begin = held.line(number)
    found = {}
    for name, word in vars(at).items():
        if name.startswith(prefix):
            found[name] = (held.floats if name in floats else held.words)[begin + word]
    return found


def text(address: int, n: int) -> str:
    return bytes_at(address, n).decode()


# --- entities ---------------------------------------------------------------------------------------------------------


def test_a_new_entity_is_one_of_which_nobody_spoke() -> None:
    store, _ = stage()
    address = store.entity(b"asset:coin")
    entity = store.view(address)
    assert (entity.key, entity.name, store.key(address)) == (b"asset:coin", "asset:coin", b"asset:coin")
    assert (entity.version, entity.as_of_ms, entity.learn_at_ms) == (-1, 0, 0)
    assert (entity.sent_at_ms, entity.candle_at_ms) == (-(10**9), -(10**9))
    assert entity.e[at.E_FLAGS] == 0
    assert (entity.slots, entity.agreed, entity.bars, entity.rolls, entity.seen, entity.lessons) == (
        {},
        None,
        None,
        None,
        None,
        {},
    )
    assert (entity.rank, entity.own_quote) == (-1, -1)


@pytest.mark.parametrize(
    ("key", "rank", "quote"),
    [
        ("asset:usd", 0, None), ("asset:tether", 2, None), ("asset:", -1, None), ("token:tether", -1, None),
        ("pair:coin/tether", -1, "tether"), ("perp:coin/usd-coin", -1, "usd-coin"), ("pair:a/b/gold", -1, "gold"),
        ("future:coin/usd:2026-12", -1, "usd"), ("option:coin/euro:1:call", -1, "euro"), ("pair:gold", -1, "gold"),
        ("pair:a/", -1, ""), ('pair:a/"odd\\', -1, '"odd\\'), ("pair:a/ünï", -1, "ünï"), ("p" * 5000, -1, None),
    ],
)  # fmt: skip
def test_rank_and_own_quote_follow_from_the_key(key: str, rank: int, quote: str | None) -> None:
    store, _ = stage("exchange")
    entity = store.view(store.entity(key.encode()))
    assert store.find(key.encode()) == entity.address
    own = store.tables.quote_names[entity.own_quote] if entity.own_quote >= 0 else None
    assert (entity.rank, own) == (rank, quote)


def test_entities_are_found_while_others_come_and_go() -> None:
    store, _ = stage()
    addresses = {b"asset:%d" % k: store.entity(b"asset:%d" % k) for k in range(600)}
    for k in range(0, 600, 3):
        store.drop(addresses.pop(b"asset:%d" % k))
    addresses |= {b"asset:%d" % k: store.entity(b"asset:%d" % k) for k in range(600, 900)}
    assert {key: store.find(key) for key in addresses} == addresses
    assert store.find(b"asset:3") == 0
    assert store.addresses() == sorted(addresses.values())
    assert len(store) == len(addresses) == 700
    assert store.desk[at.X_INDEX_MASK] >= 2 * 700


def test_what_was_dropped_or_begins_anew_leaves_nothing() -> None:
    store, names = stage()
    number = names.source(("aqua", "tick", "usd", None, 1.0, "live", ("price",))).number
    words = names.source(("aqua", "word", None, None, 1.0, "live", ("asset_name",))).number
    entity = store.view(store.entity(b"asset:coin"))
    for _ in range(2):
        entity.put(number, T0, 1, 1.0, (5.0,))
        entity.put(words, T0, 1, None, ("Coin",))
        entity.version, entity.dirty = 7, True
        assert len(entity) == 2
        free = store.desk[at.X_NEXT]
        store.reset(entity.address)
        assert (entity.key, entity.version, entity.slots, entity.dirty, len(entity)) == (
            b"asset:coin",
            -1,
            {},
            True,
            0,
        ), "it waits to be sent, and must not be queued twice"
    assert store.desk[at.X_NEXT] == free, "what was released is used again"
    address = entity.address
    store.drop(address)
    assert (store.find(b"asset:coin"), len(store)) == (0, 0)
    assert store.entity(b"asset:abcd") == address


def test_statements_are_seen_as_a_mapping_in_the_order_in_which_they_came() -> None:
    store, names = stage()
    one, two, three = (
        names.source((provider, "tick", quote, None, 1.0, "live", metrics)).number
        for provider, quote, metrics in (
            ("aqua", None, ("asset_name", "price", "is_active")),
            ("brick", "tether", ("price", "volume_24h")),
            ("cedar", "usd", ("price",)),
        )
    )
    entity = store.view(store.entity(b"asset:coin"))
    entity.put(one, T0, "id", None, ("C", 4.0, True))
    entity.put(one, T0, "id", None, ('Co"in\né', 5.0, False))
    entity.put(two, T0 + 1, 2**32 - 1, 0.5, (6.0, 7.0))
    entity.put(three, T0 + 2, "id", None, (8.0,))
    entity.put(two, T0 + 3, 0, None, (9.0, -0.0))
    crc = 3_208_210_256
    assert entity.slots == {
        two: (T0 + 3, 0, None, (9.0, -0.0)),
        three: (T0 + 2, crc, None, (8.0,)),
        one: (T0, crc, None, ('Co"in\né', 5.0, False)),
    }
    assert list(entity.slots) == [one, two, three]
    assert (entity.slot(one), entity.slot(three), entity.slot(99)) == (entity.slots[one], entity.slots[three], None)
    assert len(entity) == 3
    entity.remove(one)
    entity.remove(two)
    entity.remove(one)
    assert list(entity.slots) == [three]


def test_who_agrees_is_kept_on_every_line_of_a_provider() -> None:
    store, names = stage()
    for provider, endpoint in (("aqua", "a"), ("aqua", "b"), ("brick", "a")):
        source = names.source((provider, endpoint, "usd", None, 1.0, "live", ("price",)))
        entity = store.view(store.find(b"asset:coin") or store.entity(b"asset:coin"))
        entity.put(source.number, T0, 1, 1.0, (1.0,))
    entity.agreed = {"aqua": 5, "cedar": 6}
    assert entity.agreed == {"aqua": 5}
    entity.remove(0)
    assert entity.agreed == {"aqua": 5}
    entity.agreed = None
    assert entity.agreed is None


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_source_is_told_as_kernels_read_it() -> None:
    store, names = stage("exchange")
    names.source(("aqua", "tick", "tether", "house", 0.5, "replay", ("last", "volume_base_24h")))
    names.source(("aqua", "trades", "tether", None, 1.0, "live", ("trade_size", "trade_price")))
    names.source(("aqua", "trades", "tether", None, 1.0, "live", ("trade_side", "trade_price")))
    names.source(("aqua", "tick", "tether", None, 1.0, "replay", ("bid", "nonsense")))
    names.source(("brick", "tick", None, None, 1.0, "live", ("trade_price",)))
    tables = store.tables
    number_of = tables.number_of
    first, second, third, fourth, fifth = (line(store, "sources", number) for number in range(5))
    assert first == {
        "N_PLAIN": 1, "N_COUNT": 2, "N_VALUES": 0, "N_RANK": 2, "N_QUOTE": tables.quote_of["tether"], "N_MONEY": 1,
        "N_KEEP": names.sources[0].shape.keep_ms, "N_FRESH": names.sources[0].fresh_ms, "N_BAR": 1, "N_PRICE": 0, "N_SIZE": -1,
        "N_PROVIDER": 0, "N_GROUP": 0, "N_WEIGHT": 0.5, "N_ORIGIN": 1, "N_STEM": 0, "N_WORDS": 0,
    }  # fmt: skip
    assert {name: second[name] for name in ("N_BAR", "N_PRICE", "N_SIZE", "N_VALUES", "N_STEM", "N_GROUP")} == {
        "N_BAR": 2, "N_PRICE": 1, "N_SIZE": 0, "N_VALUES": 2, "N_STEM": 1, "N_GROUP": 1,
    }  # fmt: skip
    assert (third["N_PLAIN"], third["N_COUNT"], third["N_BAR"], third["N_STEM"], third["N_WORDS"]) == (1, 2, 2, 1, 1)
    assert (fourth["N_PLAIN"], fourth["N_COUNT"], fourth["N_STEM"], fourth["N_PROVIDER"]) == (0, 0, 0, 0)
    assert (fifth["N_QUOTE"], fifth["N_SIZE"], fifth["N_PROVIDER"], fifth["N_GROUP"]) == (at.NO_QUOTE, -1, 1, 2)
    low, high = store.rules.specs["trade_size"].plausible or (0.0, 0.0)
    assert line(store, "places", 2) == {
        "P_METRIC": number_of["trade_size"], "P_LOW": low, "P_HIGH": high, "P_KIND": at.KIND_NUMBER,
    }  # fmt: skip
    assert line(store, "places", 3)["P_METRIC"] == number_of["trade_price"]
    side = line(store, "places", 4)
    assert (side["P_METRIC"], side["P_KIND"]) == (number_of["trade_side"], at.KIND_LABEL)
    assert store.desk[at.X_SOURCES_N] == 5


def test_origins_that_are_not_taken_are_left_to_python() -> None:
    store, names = stage(origins=("live",))
    for origin in ("live", "sandbox"):
        names.source(("aqua", "tick", "usd", None, 1.0, origin, ("price",)))
    assert [line(store, "sources", number)["N_PLAIN"] for number in (0, 1)] == [1, 0]


def test_metrics_have_numbers_in_the_order_of_the_catalogue_and_texts() -> None:
    store, _ = stage()
    assert list(store.tables.number_of.items()) == [(name, k) for k, name in enumerate(store.rules.specs)]
    price = line(store, "metrics", store.tables.number_of["price"])
    spec = store.rules.specs["price"]
    assert (price["M_MONEY"], price["M_FRESH"], price["M_WINDOW"], price["M_RULE"]) == (
        1, spec.freshness_ms, spec.window_ms, spec.strategy == "robust",
    )  # fmt: skip
    assert text(price["M_NAME"], price["M_NAME_N"]) == '"price":{"value":'
    assert text(price["M_METHOD"], price["M_METHOD_N"]) == f'"method":"{spec.strategy}"'
    kinds = {
        name: line(store, "metrics", store.tables.number_of[name]) for name in ("price", "asset_name", "is_active")
    }
    assert {name: (one["M_KIND"], one["M_RULE"]) for name, one in kinds.items()} == {
        "price": (at.KIND_NUMBER, at.RULE_MODEL),
        "asset_name": (at.KIND_TEXT, at.RULE_NEWEST),
        "is_active": (at.KIND_FLAG, at.RULE_MODEL),
    }


def test_what_stands_for_a_metric_in_states_is_its_own() -> None:
    for category in ("market", "exchange", "derivatives", "dex", "onchain", "news", "security"):
        store, _ = stage(category)
        ids = [store.tables.id_of(name) for name in store.rules.specs]
        assert len(set(ids)) == len(ids)
        assert all(ids)
    assert store.tables.id_of("nonsense") == 0


def test_quotes_have_names_ranks_and_rates() -> None:
    store, _ = stage()
    assert store.tables.quote_names == ["", "usd", "euro", "tether", "usd-coin", "bitcoin"]
    assert store.tables.quote("usd") == at.TARGET_QUOTE
    usd = line(store, "quotes", at.TARGET_QUOTE)
    assert (text(usd["Q_NAME"], usd["Q_NAME_N"]), usd["Q_RANK"], usd["Q_RATE"]) == ('"usd"', 0, 1.0)
    number = store.tables.quote('a"b')
    store.set_rate('a"b', 2.5)
    store.set_rate("usd", 2.5)
    new = line(store, "quotes", number)
    assert (text(new["Q_NAME"], new["Q_NAME_N"]), text(new["Q_KEY"], new["Q_KEY_N"])) == ('"a\\"b"', 'a"b')
    assert (new["Q_RANK"], new["Q_RATE"], line(store, "quotes", 1)["Q_RATE"]) == (-1, 2.5, 1.0)
    assert math.isnan(line(store, "quotes", store.tables.quote("tether"))["Q_RATE"])


def test_limits_stand_on_the_desk() -> None:
    store, _ = stage(skew_ms=1, future_ms=2, expire_ms=3, lateness_ms=4, emit_ms=5, behind_ms=6, max_record_bytes=7)
    desk = store.desk
    words = (at.X_SKEW, at.X_FUTURE, at.X_EXPIRE, at.X_LATENESS, at.X_EMIT, at.X_BEHIND, at.X_MAX_BYTES, at.X_EARLIEST)
    assert [desk[word] for word in words] == [1, 2, 3, 4, 5, 6, 7, EARLIEST_MS]
    assert text(desk[at.X_CATEGORY], desk[at.X_CATEGORY_N]) == '"market"'
    assert tuple(words_at(desk[at.X_WINDOWS], desk[at.X_WINDOWS_N])) == store.rules.windows
    origins = words_at(desk[at.X_ORIGINS], 6).tolist()
    assert [text(origins[2 * k], origins[2 * k + 1]) for k in range(3)] == ['"live"', '"replay"', '"sandbox"']
    price = store.tables.number_of["price"]
    assert (desk[at.X_NEWCOMER], desk[at.X_PRICE], desk[at.X_PEERS]) == (price, price, 2)
    assert tuple(store.desk_floats[word] for word in (at.X_FACTOR, at.X_NEAR)) == (3.0, 1.5)
    other, _ = stage("news")
    assert (other.desk[at.X_NEWCOMER], other.desk[at.X_PRICE]) == (-1, -1)


def test_tables_grow_with_all_that_is_in_them() -> None:
    store, names = stage()
    for number in range(100):
        names.source((f"p{number}", "tick", f"q{number}", f"g{number % 50}", number / 4, "live", ("price", "fdv")))
    for number in range(100):
        found = line(store, "sources", number)
        assert (found["N_PROVIDER"], found["N_GROUP"], found["N_WEIGHT"]) == (number, number % 50, number / 4)
        assert (found["N_VALUES"], found["N_QUOTE"]) == (2 * number, store.tables.quote_of[f"q{number}"])
        provider = line(store, "providers", number)
        assert text(provider["A_NAME"], provider["A_NAME_N"]) == f'"p{number}"'
    assert store.desk[at.X_SOURCES] == store.tables.sources.address
    assert [line(store, "groups", number)["G_GID"] for number in (0, 49)] == [UNKNOWN_GROUP, UNKNOWN_GROUP - 49]


# --- fusion -----------------------------------------------------------------------------------------------------------


def rows(store: Store, metric: str) -> list[int]:
    """Rows of all providers in a metric."""
    desk, tables = store.desk, store.tables
    begin = tables.number_of[metric] * desk[at.X_PROVIDERS_N]
    found = words_at(desk[at.X_ROWS], begin + desk[at.X_PROVIDERS_N]).tolist()
    return found[begin : begin + tables.providers.count]


def test_whom_the_fuser_meets_is_known_after_a_refresh() -> None:
    store, names = stage()
    fuser = Fuser()
    for number in range(3):
        names.source((f"p{number}", "tick", "usd", None, 1.0, "live", ("price",)))
    store.link(fuser)
    assert rows(store, "price") == [0, 0, 0]
    spec = store.rules.specs["price"]
    fuser.learn(spec, "asset:coin", [Observation(f"p{k}", f"p{k}", 5.0 + k / 1e4, T0, 1.0) for k in (2, 0, 9)], T0)
    fuser.numbers.learn()
    store.refresh()
    assert rows(store, "price") == [fuser.state.rows["price", "p0"], 0, fuser.state.rows["price", "p2"]]
    assert rows(store, "fdv") == [0, 0, 0]
    assert [line(store, "providers", k)["A_PID"] for k in range(3)] == [1, -1, 0]
    assert [line(store, "groups", k)["G_GID"] for k in range(3)] == [1, UNKNOWN_GROUP - 1, 0]
    assert store.desk[at.X_FUSION] == fuser.numbers.context()
    for number in range(3, 20):
        names.source((f"p{number}", "tick", "usd", None, 1.0, "live", ("price",)))
    assert rows(store, "price")[:3] == [fuser.state.rows["price", "p0"], 0, fuser.state.rows["price", "p2"]]
    assert rows(store, "price")[9] == fuser.state.rows["price", "p9"]


def test_specifications_are_found_in_the_table_of_fusion() -> None:
    store, _ = stage()
    fuser = Fuser()
    store.link(fuser)
    for name, spec in store.rules.specs.items():
        if spec.number:
            row = line(store, "metrics", store.tables.number_of[name])["M_SPEC"]
            held = doubles_at(words_at(store.desk[at.X_FUSION], 8)[5] + 8 * 7 * row, 7)
            assert (held[0], held[5]) == (spec.tolerance, spec.freshness_ms)


def test_memory_is_ready_when_it_is_asked_for() -> None:
    store, _ = stage()
    begin = store.desk[at.X_NEXT]
    store.ready()
    assert store.desk[at.X_NEXT] == begin
    large = 100 << 20
    store.ready(large)
    assert store.desk[at.X_END] - store.desk[at.X_NEXT] >= large
    held = store.desk[at.X_NEXT]
    store.ready(large)
    assert store.desk[at.X_NEXT] == held
