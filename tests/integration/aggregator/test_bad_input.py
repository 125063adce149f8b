"""Poison in every raw topic: a named reason and the original bytes in dlq, the process alive, everything after it folded."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path

import msgspec
import pytest

from schemas import categories, metrics
from schemas.events import Raw
from services.common import kafka, provision
from services.common.settings import CommonSettings
from tests.fixtures.aggregators import TOPICS, committed, ends, feed, read, settled, workers
from tests.fixtures.until import until

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
        for name in names:
            await until(partial(ended, common, f"fused.{name}"), f"{name} gave its fused record")
        assert worker.stop() == 0
    letters = await read(common, "dlq")
    # A set: what is not in a checkpoint yet is set aside again after a rebalance, with the same headers.
    found = {
        (headers["topic"].decode().removeprefix(common.topic_prefix), headers["offset"], headers["reason"])
        for headers in (dict(one.headers) for one in letters)
    }
    assert found == {(f"raw.{name}", offset, b"undecodable") for name in names for offset in (b"0", b"1")}
    assert {one.value for one in letters if dict(one.headers)["offset"] == b"0"} == {b'{"id": NaN'}
    assert {dict(one.headers)["service"] for one in letters} == {b"aggregator"}


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
        await until(lambda: ended(common, "fused.market"), "the good record is fused")
        await until(lambda: "write to" in worker.text() and "dlq" in worker.text(), "the dead letter was refused")
        assert (await committed(common, "raw.market"))[1] is None
        await provision.apply(common, ["dlq"])
        await settled(common)
        assert worker.stop() == 0
    assert {one.value for one in await read(common, "dlq")} == {b"poison"}


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
    letters = {(one.value, dict(one.headers)["reason"]) for one in await read(common, "late")}
    assert letters == {(msgspec.json.encode(late), b"late")}
    fused = {one.value for one in await read(common, "fused.exchange")}
    assert [json.loads(value)["metrics"]["trade_price"]["value"] for value in fused] == [100.0]
