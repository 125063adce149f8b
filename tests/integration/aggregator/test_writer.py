"""What the aggregator's writer does when its producer and the broker disagree."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from services.aggregator.driver.writer import OPTIONS, Writer
from services.aggregator.metrics import ROWS
from services.common import kafka
from services.common.metrics import Metrics
from services.common.settings import CommonSettings
from tests.fixtures.aggregators import read

LOST = 5


@pytest.mark.timeout(60)
@pytest.mark.topics("fused.market")
async def test_a_producer_whose_numbers_the_broker_refuses_is_replaced_and_nothing_is_lost(
    common: CommonSettings,
) -> None:
    topic = common.topic_prefix + "fused.market"
    async with AsyncExitStack() as stack:

        async def renew() -> AIOKafkaProducer:
            return await stack.enter_async_context(kafka.producer(common, **OPTIONS))

        async def allowed() -> None:
            return None

        first = await renew()
        writer = Writer(first, renew, allowed, Metrics.build(ROWS))
        await writer.send(topic, 0, [(b"a", b"1")])
        # As if so many records had been numbered and had never come: from here on the broker refuses all of this producer.
        first._txn_manager.increment_sequence_number(TopicPartition(topic, 0), LOST)
        await writer.send(topic, 0, [(b"b", b"2"), (b"c", None)])
        assert writer.producer is not first
    assert [(record.key, record.value) for record in await read(common, "fused.market")] == [
        (b"a", b"1"),
        (b"b", b"2"),
        (b"c", None),
    ]
