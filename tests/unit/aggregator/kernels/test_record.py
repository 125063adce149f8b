"""Records written by kernels are, byte for byte, those of the general way."""

from __future__ import annotations

from array import array
from ctypes import addressof, c_uint8
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events import Fused
from services.aggregator.engine import render
from services.aggregator.engine.view import Entity
from services.aggregator.kernels.record import S_BEGIN, S_END, S_KEY_BEGIN, S_KEY_END, S_REFUSED, SPAN
from tests.unit.aggregator.engine.logs import T0
from tests.unit.aggregator.kernels.scenes import KEYS, plain, play, scenes
from tests.unit.aggregator.kernels.stage import Kernels, Stage

MINUTE_MS = 60_000
slow = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def same(stage: Stage, entity: Entity) -> bool:
    """Whether kernels wrote it at all; if so, it is the general record."""
    (told,), (general,) = stage.told(entity), stage.general(entity)
    assert told is None or told == general
    return told is not None


@slow
@given(scene=scenes(), key=st.sampled_from(KEYS))
def test_records_are_those_of_the_general_way(stage_kernels: Kernels, scene: list[Any], key: str) -> None:
    stage = Stage(stage_kernels)
    entity = play(stage, scene, key)
    same(stage, entity)


@slow
@given(lessons=st.lists(scenes(), min_size=1, max_size=3), scene=scenes(), advance=st.booleans())
def test_so_they_are_when_something_is_remembered(
    stage_kernels: Kernels, lessons: list[Any], scene: list[Any], advance: bool
) -> None:
    stage = Stage(stage_kernels)
    for turn, lesson in enumerate(lessons):
        entity = play(stage, lesson, as_of_ms=T0 + turn * MINUTE_MS)
        stage.learn(entity, T0 + (turn + 1) * MINUTE_MS)
    if advance:
        stage.fuser.advance(T0)
    same(stage, play(stage, scene, as_of_ms=T0 + len(lessons) * MINUTE_MS))
    # What another entity's sources are known for counts here too.
    same(stage, play(stage, scene, "asset:other", T0 + len(lessons) * MINUTE_MS))


@pytest.mark.parametrize("seed", range(3))
def test_what_agrees_is_never_refused(stage_kernels: Kernels, seed: int) -> None:
    stage = Stage(stage_kernels)
    entity = play(stage, plain(40 * seed + 1), f"asset:n{seed}")
    assert same(stage, entity)
    stage.learn(entity, T0 + MINUTE_MS)
    assert same(stage, play(stage, plain(40 * seed + 3, age_ms=1000), f"asset:n{seed}", T0 + MINUTE_MS))
    assert same(stage, play(stage, plain(3, age_ms=300_001), "asset:old"))
    assert same(stage, play(stage, plain(3, rate=None, quote="tether"), "asset:odd"))


def test_a_record_to_the_letter(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    entity = stage.entity('asset:"x"')
    stage.say(entity, "aqua", {"price": 2.5}, T0 - 1500)
    stage.say(entity, "blue", {"volume_24h": 4.0}, rate=None, quote="tether", origin="replay")
    (told,) = stage.told(entity)
    assert told is not None
    key, data, price, origin = told
    assert (key, price, origin) == (b'asset:"x"', None, "replay")
    record = msgspec.json.decode(data)
    confidence = record["metrics"]["price"]["confidence"]
    low, high = (record["metrics"]["price"][name] for name in ("low", "high"))
    assert 2.49 < low < 2.5 < high < 2.51
    assert data.decode() == (
        '{"entity":"asset:\\"x\\"","category":"market","version":7,"as_of_ms":1760000040000,"origin":"replay","metrics":{'
        f'"price":{{"value":2.5,"confidence":{confidence},"low":{low},"high":{high},"spread":0.0,"sources":1,"voices":1.0,'
        '"method":"robust","as_of_ms":1760000038500,"by":[{"provider":"aqua","value":2.5,"age_ms":1500,"weight":1.0}],'
        f'"quality":{{"completeness":1.0,"consistency":1.0,"timeliness":0.995,"diversity":0.0,"confidence":{confidence}}}}},'
        '"volume_24h":{"value":null,"confidence":0.0,"method":"robust","by":['
        '{"provider":"blue","value":4.0,"age_ms":0,"why":"no_rate"}],'
        '"quality":{"completeness":0.0,"consistency":0.0,"timeliness":0.0,"diversity":0.0,"confidence":0.0}}},'
        f'"quote":"usd","quality":{{"completeness":0.5,"consistency":1.0,"timeliness":0.995,"diversity":0.0,'
        f'"confidence":{confidence}}}}}'
    )
    assert round(confidence, 6) == confidence
    msgspec.json.decode(data, type=Fused, strict=True)


def test_shares_have_six_places_and_values_twelve_digits_both_ways(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    entity = play(stage, [*plain(4, age_ms=5000), *plain(7)[4:]])
    assert same(stage, entity)
    record = msgspec.json.decode(stage.general(entity)[0][1], type=Fused)
    metric, whole = record.metrics["price"], record.quality
    assert whole is not None
    shares = [metric.confidence, metric.voices, *(one.weight for one in metric.by)]
    shares += [getattr(whole, name) for name in whole.__struct_fields__]
    assert shares == [round(share, 6) for share in shares]
    assert len({one.weight for one in metric.by}) > 1
    for value in (metric.low, metric.high, metric.spread):
        assert value == float(f"{value:.12g}")


@pytest.mark.parametrize(
    ("key", "price"), [("asset:coin", None), ("asset:tether", 5.0), ("asset:usd", None), ("pair:tether/usd", None)]
)
def test_the_price_is_told_beside_where_money_is_valued_by_it(
    stage_kernels: Kernels, key: str, price: float | None
) -> None:
    stage = Stage(stage_kernels)
    entity = stage.entity(key)
    stage.say(entity, "aqua", {"price": 5.0, "circulating_supply": 7.0})
    (told,) = stage.told(entity)
    assert told is not None
    assert told[2] == price
    assert told == stage.general(entity)[0]
    stage.say(entity, "aqua", {"price": 5.0, "circulating_supply": 7.0}, rate=None)
    (told,) = stage.told(entity)
    assert told is not None
    assert told[2] is None
    assert told == stage.general(entity)[0]


def test_money_of_a_pair_stays_in_its_quote(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels, "exchange")
    pair = stage.entity("pair:coin/euro")
    stage.say(pair, "aqua", {"last": 5.0}, quote="euro")
    (told,) = stage.told(pair)
    assert told is not None
    assert told == stage.general(pair)[0]
    assert msgspec.json.decode(told[1], type=Fused).quote == "euro"


def test_python_must_where_no_value_is_usable_or_its_digits_are_not_exact(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    for key, price, told in (
        ("asset:a", 0.0, True),
        ("asset:b", 2e-10, True),
        ("asset:c", 5e-11, False),
        ("asset:d", 1e13, False),
    ):
        entity = stage.entity(key)
        stage.say(entity, "aqua", {"price": price})
        assert same(stage, entity) is told, key


def rows(stage: Stage, entities: list[Entity], out_bytes: int) -> tuple[int, list[list[int]], bytes]:
    """How many were done, their spans, and the output."""
    addresses = array("q", [entity.address for entity in entities])
    spans, out = array("q", [-1] * SPAN * len(entities)), bytearray(out_bytes + 64)
    done = stage.kernels["render_rows"](
        stage.store.desk_at, len(entities), addresses.buffer_info()[0], addressof(c_uint8.from_buffer(out)), out_bytes,
        spans.buffer_info()[0],
    )  # fmt: skip
    return done, [list(spans[k : k + SPAN]) for k in range(0, len(spans), SPAN)], bytes(out)


def test_many_are_written_one_after_another_with_their_keys(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    entities = [play(stage, plain(n), f"asset:n{n}") for n in (1, 3, 2)]
    entities.insert(1, stage.entity("asset:nobody"))
    done, spans, out = rows(stage, entities, 1 << 16)
    assert done == 4
    assert [span[S_REFUSED] for span in spans] == [0, 1, 0, 0]
    for entity, span in zip(entities, spans, strict=True):
        if not span[S_REFUSED]:
            assert out[span[S_BEGIN] : span[S_END]] == stage.general(entity)[0][1]
            assert out[span[S_KEY_BEGIN] : span[S_KEY_END]] == entity.key


def test_they_end_before_the_output_does(stage_kernels: Kernels) -> None:
    stage = Stage(stage_kernels)
    entities = [play(stage, plain(6), f"asset:n{n}") for n in range(6)]
    whole, _, _ = rows(stage, entities, 1 << 16)
    assert whole == 6
    seen = set()
    for out_bytes in range(0, 12_000, 500):
        done, spans, out = rows(stage, entities, out_bytes)
        seen.add(done)
        assert not any(out[out_bytes:])
        # What alone is too large for the whole output is refused, so that the next call does not begin with it again.
        assert all(span[S_REFUSED] == (span[S_BEGIN] == -1) for span in spans[:done])
        assert all(span[S_KEY_END] <= out_bytes for span in spans[:done])
    assert {1, 3, 6} <= seen
    paper = render.Paper(stage.store, stage.kernels["render_rows"], 4000)
    assert paper.write([entity.address for entity in entities], stage.fuser) == stage.general(*entities)


def test_no_record_is_longer_than_the_room_that_is_asked_for(stage_kernels: Kernels) -> None:
    """Long names, long numbers, many words: the output has just as many bytes as the kernel asks for."""
    stage = Stage(stage_kernels)
    entity = stage.entity("asset:" + "\x01" * 50)
    for n in range(20):
        stage.say(
            entity,
            f'{n}"\\' * 20,
            {"price": 1.2345678901234567e-7 * (1 + n * 1e-9), "change_24h_pct": -1.2345678901234567e-5},
        )
    room = stage.kernels["room_for"]
    assert stage.kernels["gather"](stage.store.desk_at, entity.address, 3.0) == 0
    need = room(stage.store.desk_at, entity.address)
    done, (span,), out = rows(stage, [entity], need)
    assert (done, span[S_REFUSED]) == (1, 0)
    assert out[: span[S_END]] == stage.general(entity)[0][1]
    assert rows(stage, [entity], need - 1)[1][0][S_REFUSED] == 1
