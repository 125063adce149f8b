"""The short way to a record (a form that sources share) gives what the general way gives."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from schemas.events import Fused
from services.aggregator.engine import Partition, render
from services.aggregator.engine.fold import fold
from services.aggregator.fusion import Fuser
from tests.unit.aggregator.engine.logs import log, raw, rules

PROVIDERS = ("aqua", "blue", "cyan", "dark", "ecru")


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    Fuser.warm(wait=True)


def told(data: bytes) -> tuple[Fused, dict[tuple[str, str], Any]]:
    """A record without its sources, and the sources by metric and name, whatever their order."""
    record = msgspec.json.decode(data, type=Fused)
    return record, {(name, one.provider): one for name, metric in record.metrics.items() for one in metric.by}


def both(partition: Partition) -> list[tuple[bytes, bytes]]:
    """Every entity's record by the short way and by the general one."""
    entities = [partition.entity(key) for key in list(partition.entities)]
    given = partition.names, partition.rules, partition.fuser
    short = [row[0] for row in render.render([e for e in entities if e is not None], *given)]
    general = [row[0] for row in render._render([e for e in entities if e is not None], *given)]
    return list(zip(short, general, strict=True))


def near(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-9, abs=1e-12)
    return bool(one == other)


def agree(short: bytes, general: bytes) -> None:
    (one, said), (other, heard) = told(short), told(general)
    assert said.keys() == heard.keys()
    for place, source in said.items():
        for field in source.__struct_fields__:
            assert near(getattr(source, field), getattr(heard[place], field)), (place, field)
    assert one.metrics.keys() == other.metrics.keys()
    for name, metric in one.metrics.items():
        for field in set(metric.__struct_fields__) - {"by", "quality"}:
            assert near(getattr(metric, field), getattr(other.metrics[name], field)), (name, field)
        assert (metric.quality is None) == (other.metrics[name].quality is None)
    for field in ("entity", "category", "version", "as_of_ms", "origin", "quote"):
        assert getattr(one, field) == getattr(other, field)
    ours = [one.quality, *(metric.quality for metric in one.metrics.values() if metric.quality)]
    theirs = [other.quality, *(other.metrics[name].quality for name, m in one.metrics.items() if m.quality)]
    for own, its in zip(ours, theirs, strict=True):
        assert own is not None
        assert all(near(getattr(own, field), getattr(its, field)) for field in own.__struct_fields__)


def statement(draw: random.Random, number: int) -> Any:
    """One of those that make trouble, now and then: zeros, outliers, lone words, old ones, quotes without a rate."""
    entity = draw.choice(("asset:coin", "asset:other", f"asset:rare{draw.randrange(20)}"))
    price = 100.0 * draw.lognormvariate(0, 3e-4)
    if draw.random() < 0.05:
        price *= draw.choice((10.0, 1.02, 0.1))
    metrics: dict[str, Any] = {"price": price}
    if draw.random() < 0.4:
        metrics["volume_24h"] = draw.choice((0.0, 0.0, 5e6 * draw.random()))
        metrics["change_24h_pct"] = draw.gauss(0, 3)
    at_ms = number * draw.choice((100, 400))
    return raw(
        entity, draw.choice(PROVIDERS), at_ms, metrics=metrics, endpoint="full" if len(metrics) > 1 else "ticker",
        quote=draw.choice(("usd", "usd", "usd", "usd", "tether")), event_ms=None, weight=draw.choice((1.0, 1.0, 0.8)),
        id=f"n{number}",
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_the_short_way_agrees_with_the_general_one(seed: int) -> None:
    draw = random.Random(seed)
    partition = Partition(rules(), 0)
    compared = 0
    for start in range(0, 1200, 100):
        fold(partition, log(*(statement(draw, start + n) for n in range(100)), start=start), start)
        partition.due.hurry()
        for short, general in both(partition):
            agree(short, general)
            compared += 1
    assert compared > 200


def test_a_form_forgets_what_it_was_filled_with() -> None:
    """The next entity of the same sources shows nothing of the one before."""
    partition = Partition(rules(), 0)
    odd = [
        raw("asset:odd", name, n, price=value)
        for n, (name, value) in enumerate(zip(PROVIDERS, (1.0, 1.0, 1.0, 1.0, 2.0), strict=True))
    ]
    even = [raw("asset:even", name, 10 + n, price=1.0) for n, name in enumerate(PROVIDERS)]
    fold(partition, log(*odd, *even), 0)
    first, second = (msgspec.json.decode(value, type=Fused) for _, value in partition.take(0, 2))
    assert [one.why is None for one in first.metrics["price"].by] == [True, True, True, True, False]
    assert [one.why for one in second.metrics["price"].by] == [None] * 5
    assert second.metrics["price"].sources == 5
