"""Words by kernels: the same records, the same lessons and the same statements as the general way gives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events import Fused
from services.aggregator.engine.view import Entity
from tests.unit.aggregator.engine.logs import T0
from tests.unit.aggregator.kernels.stage import Kernels, Stage

slow = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WINDOW_MS = 3_600_000
PROVIDERS = ("aqua", "blue", "cyan", "dark", "ecru")
LABELS = ("buy", "Buy ", " sell", "sell", "BUY", "", " ", "it's", 'odd "one"', "é", "E", "a_b", "a-b", "a\x7fb")
TEXTS = (
    "Coin", "coin", "the coin of all", "The Coin, of all!", "coin of all", "another", "", "...", "10000001", "10000002",
    "one two three four five", "one two three four", "two three four five six", "é", "é two", "three four five six seven",
)  # fmt: skip
SETS: tuple[list[str], ...] = (
    [],
    ["a"],
    ["a", "b"],
    ["b", "a"],
    ["a", "a"],
    [" a"],
    ["a", "b", "c d"],
    ["é"],
    ['"'],
    ["B", "a"],
)
CATEGORIES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "exchange": {
        "trade_side": st.sampled_from(LABELS),
        "trade_id": st.sampled_from(TEXTS),
        "trade_price": st.sampled_from((5.0, 5.001)),
    },
    "news": {
        "title": st.sampled_from(TEXTS),
        "summary": st.sampled_from(TEXTS),
        "coins": st.sampled_from(SETS),
        "language": st.sampled_from(LABELS),
    },
    "security": {
        "is_honeypot": st.booleans(),
        "is_mixer": st.booleans(),
        "risk_level": st.sampled_from(LABELS),
        "risk_flags": st.sampled_from(SETS),
    },
}
KEYS = {"exchange": "pair:coin/usd", "news": "story:0", "security": "token:ethereum:0xab"}


@st.composite
def statements(draw: st.DrawFn, category: str) -> list[dict[str, Any]]:
    """What some providers say."""
    metrics = CATEGORIES[category]
    found = []
    for _ in range(draw(st.integers(1, 7))):
        names = draw(st.lists(st.sampled_from(sorted(metrics)), min_size=1, max_size=3, unique=True))
        found.append(
            {
                "provider": draw(st.sampled_from(PROVIDERS)),
                "metrics": {name: draw(metrics[name]) for name in names},
                "ts_ms": T0 - draw(st.sampled_from((0, 0, 1, 5_000, 700_000, 10**10))),
                "group": draw(st.sampled_from((None, None, None, "house"))),
                "weight": draw(st.sampled_from((1.0, 1.0, 0.5))),
                "quote": "usd" if category == "exchange" else None,
                "rate": 1.0 if category == "exchange" else None,
            }
        )
    return found


def play(stage: Stage, said: list[dict[str, Any]], key: str, as_of_ms: int = T0) -> Entity:
    entity = stage.entity(key, as_of_ms)
    for one in said:
        stage.say(entity, **{**one, "ts_ms": one["ts_ms"] - T0 + as_of_ms})
    return entity


def same(stage: Stage, entity: Entity) -> bool:
    """Whether kernels wrote it at all; if so, it is the general record."""
    (told,), (general,) = stage.told(entity), stage.general(entity)
    assert told is None or told == general
    return told is not None


@slow
@given(data=st.data(), category=st.sampled_from(sorted(CATEGORIES)))
def test_records_of_words_are_those_of_the_general_way(
    stage_kernels: Kernels, data: st.DataObject, category: str
) -> None:
    stage = Stage(stage_kernels, category)
    same(stage, play(stage, data.draw(statements(category)), KEYS[category]))


@slow
@given(data=st.data(), category=st.sampled_from(sorted(CATEGORIES)))
def test_so_they_are_after_lessons_and_the_lessons_are_the_same(
    stage_kernels: Kernels, data: st.DataObject, category: str
) -> None:
    one, two = Stage(stage_kernels, category), Stage(stage_kernels, category)
    as_of_ms = T0
    for _ in range(data.draw(st.integers(1, 3))):
        scene = data.draw(statements(category))
        first, second = (play(stage, scene, KEYS[category], as_of_ms) for stage in (one, two))
        as_of_ms += WINDOW_MS
        if one.teach(first, as_of_ms):
            one.learn(first, as_of_ms)
        two.learn(second, as_of_ms)
        states = one.state(first), two.state(second)
        assert msgspec.msgpack.decode(states[0][0])[1] == msgspec.msgpack.decode(states[1][0])[1]
        if data.draw(st.booleans()):
            one.fuser.advance(T0)
            two.fuser.advance(T0)
    scene = data.draw(statements(category))
    first, second = (play(stage, scene, "other:" + KEYS[category], as_of_ms) for stage in (one, two))
    same(one, first)
    assert one.general(first) == two.general(second)


def metric(stage: Stage, entity: Entity, name: str) -> Any:
    (told,) = stage.told(entity)
    assert told is not None, "kernels refuse it"
    assert told == stage.general(entity)[0]
    return msgspec.json.decode(told[1], type=Fused).metrics[name]


def test_what_trades_say_needs_no_python(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels, "exchange")
    entity = stage.entity("pair:coin/usd")
    for k, provider in enumerate(PROVIDERS):
        trade = {"trade_price": 5.0, "trade_side": ("buy", "sell")[k % 2], "trade_id": str(10**9 + k)}
        stage.say(entity, provider, trade, T0 - k)
    assert metric(stage, entity, "trade_side").value == "buy"
    assert metric(stage, entity, "trade_id").value == "1000000000"
    assert [one.value for one in metric(stage, entity, "trade_id").by] == [str(10**9 + k) for k in range(5)]
    worded = stage.entity("pair:words/usd")
    for k, provider in enumerate(PROVIDERS):
        stage.say(worded, provider, {"trade_side": ("buy", "sell")[k % 2], "trade_id": str(10**9 + k)}, T0 - k)
    assert stage.teach(worded, T0 + WINDOW_MS) == 0
    stage.store.tables.collect()
    assert {name for _, name in stage.fuser.words.records} == set(PROVIDERS)


def test_labels_have_no_case_and_the_first_name_gives_the_spelling(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels, "security")
    entity = stage.entity("token:ethereum:0xab")
    for provider, level in (("cyan", " HIGH"), ("blue", "High"), ("aqua", "low")):
        stage.say(entity, provider, {"risk_level": level}, quote=None, rate=None)
    found = metric(stage, entity, "risk_level")
    assert (found.value, found.sources, found.voices) == ("High", 2, 3.0)
    assert {one.provider: (one.value, one.why) for one in found.by} == {
        "cyan": (" HIGH", None), "blue": ("High", None), "aqua": ("low", "range"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (("Sun rises over the sea", "Sun rises over sea", "Something else"), True),
        (("one two three four five", "one two three four", "two three four five six"), False),
        (("Wörter", "Wörter", "Wörter"), True),
        (("Wörter", "wörter", "Wörter"), False),
        (('a "b"', 'a "b"', 'a "b"'), True),
    ],
)
def test_texts_need_python_where_likeness_depends_on_where_it_is_seen_from(
    stage_kernels: Kernels, texts: tuple[str, ...], told: bool
) -> None:
    stage = Stage(stage_kernels, "news")
    entity = stage.entity("story:0")
    for provider, text in zip(PROVIDERS, texts, strict=False):
        stage.say(entity, provider, {"title": text}, quote=None, rate=None)
    assert same(stage, entity) == told


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        ((["a", "b", "c d"],) * 3, True),
        (([],) * 2, True),
        ((["a"],), True),
        ((["a"], ["a", "b"]), False),
        ((["b", "a"],), False),
        ((["a", "a"],), False),
        ((["a", "a b"],), True),
        (([" a"],), False),
        ((["é"],), False),
        ((["a,b", "c]"],), True),
        ((["", "a"],), True),
    ],
)
def test_sets_need_python_unless_all_say_the_same_in_order(
    stage_kernels: Kernels, sets: tuple[list[str], ...], told: bool
) -> None:
    stage = Stage(stage_kernels, "news")
    entity = stage.entity("story:0")
    for k, (provider, coins) in enumerate(zip(PROVIDERS, sets, strict=False)):
        stage.say(entity, provider, {"coins": coins}, T0 - 50_000 * k, quote=None, rate=None, weight=1.0 - 0.3 * k)
    assert same(stage, entity) == told


def test_an_aside_of_words_is_shown(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels, "security")
    entity = stage.entity("token:ethereum:0xab")
    stage.say(entity, "aqua", {"risk_level": "low", "is_mixer": True}, T0 - 10**10, quote=None, rate=None)
    found = metric(stage, entity, "risk_level")
    assert (found.value, found.by[0].value, found.by[0].why) == (None, "low", "stale")
    assert metric(stage, entity, "is_mixer").by[0].value is True
