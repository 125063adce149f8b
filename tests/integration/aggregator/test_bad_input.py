"""Poison in every raw topic: a named reason and the original bytes in dlq, the process alive, everything after it folded."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest

from schemas import categories, metrics
from schemas.events import Raw
from services.common import kafka, provision
from services.common.settings import CommonSettings
from tests.fixtures.aggregators import TOPICS, committed, ends, feed, read, settled, workers
from tests.fixtures.until import until

pytestmark = [pytest.mark.timeout(120)]
ENTITY = {
    "news": "story:abc",
    "whale": "transfer:ethereum:0xabc",
    "nft": "collection:apes",
    "exchange": "pair:bitcoin/usd",
}


def sound(category: str) -> Raw:
    """A usable event of a category: the first of its metrics, with a value that it allows."""
    spec = metrics.load().of_category(category)[0]
    value = {"cat": "word", "text": "word", "set": ["word"]}.get(spec.scale) or max(
        1.0, (spec.plausible or (0.0, 1.0))[0]
    )
    if spec.unit == "bool":
        value = True
    now_ms = int(time.time() * 1000)
    return Raw(
        id=f"sound-{category}", category=category, provider="aqua", endpoint="e", entity=ENTITY.get(category, "asset:coin"),
        metrics={spec.name: value}, received_ms=now_ms, origin="sandbox", quote="usd",
    )  # fmt: skip


@pytest.mark.topics("raw.*", "fused.*", "state.*", "candles.1m", "dlq", "late")
async def test_a_poison_record_on_every_topic_is_set_aside_and_what_follows_is_fused(
    common: CommonSettings, tmp_path: Path
) -> None:
    names = list(categories.load())
    async with kafka.producer(common) as producer:
        for name in names:
            good = sound(name)
            topic, key = f"{common.topic_prefix}raw.{name}", good.entity.encode()
            await producer.send(topic, b'{"id": NaN', key, partition=0)
            await producer.send(
                topic,
                msgspec.json.encode(good).replace(b'"received_ms":', b'"received_ms":1e400,"x":'),
                key,
                partition=0,
            )
            await producer.send(topic, msgspec.json.encode(good), key, partition=0)
    async with workers(common, tmp_path, categories=",".join(names)) as (worker,):

        async def fused() -> list[str]:
            return [name for name in names if sum((await ends(common, f"fused.{name}")).values()) == 1]

        await until(lambda: all_in(fused, names), 60, "every category gave its fused record")
        assert worker.stop() == 0
    letters = await read(common, "dlq")
    found = sorted(
        (dict(one.headers)["topic"].decode().removeprefix(common.topic_prefix), dict(one.headers)["reason"].decode())
        for one in letters
    )
    assert found == sorted([(f"raw.{name}", "undecodable") for name in names] * 2)
    assert {one.value for one in letters if one.value == b'{"id": NaN'} == {b'{"id": NaN'}
    assert {dict(one.headers)["offset"] for one in letters} == {b"0", b"1"}
    assert {dict(one.headers)["service"] for one in letters} == {b"aggregator"}


async def all_in(found, names) -> bool:
    return await found() == names


@pytest.mark.topics(*[name for name in TOPICS if name != "dlq"])
async def test_while_a_dead_letter_cannot_be_written_the_commit_stands_still_and_fusing_goes_on(
    common: CommonSettings, tmp_path: Path
) -> None:
    async with kafka.producer(common) as producer:
        await producer.send(f"{common.topic_prefix}raw.market", b"poison", b"asset:coin", partition=1)
        good = sound("market")
        await producer.send(
            f"{common.topic_prefix}raw.market", msgspec.json.encode(good), good.entity.encode(), partition=1
        )
    async with workers(common, tmp_path) as (worker,):
        await until(lambda: ended(common, "fused.market"), 30, "the good record is fused")
        await until(lambda: "write to" in worker.text() and "dlq" in worker.text(), 40, "the dead letter was refused")
        assert (await committed(common, "raw.market"))[1] is None
        await provision.apply(common, ["dlq"])
        await settled(common)
        assert worker.stop() == 0
    assert [one.value for one in await read(common, "dlq")] == [b"poison"]


async def ended(common: CommonSettings, topic: str) -> bool:
    return sum((await ends(common, topic)).values()) > 0


@pytest.mark.topics(*TOPICS)
async def test_a_trade_that_comes_too_late_goes_to_late_with_its_bytes(common: CommonSettings, tmp_path: Path) -> None:
    now_ms = int(time.time() * 1000)

    def trade(number: int, event_ms: int) -> Raw:
        return Raw(
            id=f"t{number}", category="exchange", provider="aqua", endpoint="trades", entity="pair:bitcoin/usd", received_ms=now_ms,
            metrics={"trade_price": 100.0, "trade_size": 1.0}, origin="sandbox", quote="usd", event_ms=event_ms,
        )  # fmt: skip

    late = trade(2, now_ms - 600_000)
    await feed(common, [trade(1, now_ms), late])
    async with workers(common, tmp_path, categories="exchange") as (worker,):
        await settled(common, "raw.exchange")
        assert worker.stop() == 0
    (letter,) = await read(common, "late")
    assert (letter.value, dict(letter.headers)["reason"]) == (msgspec.json.encode(late), b"late")
    (fused,) = await read(common, "fused.exchange")
    assert json.loads(fused.value)["metrics"]["trade_price"]["value"] == 100.0
