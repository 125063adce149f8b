"""The signals agent on a real broker: it knows what was fused before it, and tells what follows after."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from schemas import assets
from schemas.events import Fused, FusedMetric, Signal, Source
from services.aggregator.cli import FUSED, LEARNED, serve
from services.aggregator.settings import SignalsSettings
from services.common import kafka
from services.common.settings import CommonSettings
from tests.fixtures.until import PATIENCE_S, until

AS_OF = 1_700_000_000_000


def dex(chain: str, price: float, version: int) -> tuple[bytes, bytes]:
    """The fused record of an asset that the table knows on both chains."""
    contract = assets.load()["usd-coin"].contracts[chain]
    by = [Source(provider=p, value=price, age_ms=100) for p in "ab"]
    entity = f"token:{chain}:{contract}"
    record = Fused(
        entity=entity, category="dex", version=version, as_of_ms=AS_OF + 6000 * version, origin="sandbox",
        metrics={"dex_price": FusedMetric(value=price, confidence=0.9, voices=2.0, as_of_ms=AS_OF + 6000 * version, by=by),
                 "liquidity": FusedMetric(value=1e9, confidence=0.9, voices=2.0, as_of_ms=AS_OF + 6000 * version, by=by)},
    )  # fmt: skip
    return entity.encode(), msgspec.json.encode(record)


@pytest.mark.topics("fused.*", "state.*", "raw.exchange", "signals.*", "ops.providers")
async def test_a_gap_between_chains_is_told_from_what_was_known_before_and_what_came_after(
    common: CommonSettings,
) -> None:
    settings = msgspec.convert({**msgspec.to_builtins(common), "sentiment_model": ""}, SignalsSettings)
    prefix = common.topic_prefix
    assert "dex" in FUSED
    assert "dex" in LEARNED
    stop = asyncio.Event()
    async with kafka.producer(common) as producer:
        key, value = dex("ethereum", 1.00, 1)
        await producer.send_and_wait(f"{prefix}fused.dex", value, key)
        served = asyncio.create_task(serve(settings, stop), name="signals")
        try:
            async with kafka.reader(common, f"{prefix}signals.arbitrage") as reader:
                found: list[Signal] = []

                async def told() -> bool:
                    # Said again until the agent has read its past: only then does it tell.
                    assert not served.done(), served.result()
                    version = 2 + len(sent)
                    sent.append(version)
                    for chain, price in (("ethereum", 1.00), ("base", 1.03)):
                        key, value = dex(chain, price, version)
                        await producer.send_and_wait(f"{prefix}fused.dex", value, key)
                    for records in (await reader.getmany(timeout_ms=300)).values():
                        found.extend(msgspec.json.decode(record.value, type=Signal) for record in records)
                    return bool(found)

                sent: list[int] = []
                await until(told)
                assert {one.kind for one in found} == {"arbitrage_cross_chain"}
                assert found[0].inputs == ["dex:base", "dex:ethereum"]
                assert found[0].origin == "sandbox"
        finally:
            stop.set()
            assert await asyncio.wait_for(served, PATIENCE_S) == 0
