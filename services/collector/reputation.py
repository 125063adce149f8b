"""What others learned about a provider, fusion and health, read from `ops.providers`."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec

from schemas import topics
from schemas.events import ProviderScore, Reputation
from services.common import kafka
from services.common.settings import CommonSettings, read

TOPIC = "ops.providers"


Told = TypeVar("Told", Reputation, ProviderScore)


def known(provider: str) -> Reputation | None:
    """The newest reputation of a provider on the broker of the settings; None while nothing was learned. MachineError without a broker."""
    return asyncio.run(_read(read(CommonSettings), f"reputation/{provider}", Reputation))


def judged(provider: str) -> ProviderScore | None:
    """The newest score that health gave a provider, with what drifted; None while it was not judged. MachineError without a broker."""
    return asyncio.run(_read(read(CommonSettings), f"score/{provider}", ProviderScore))


async def _read(settings: CommonSettings, key: str, shape: type[Told]) -> Told | None:
    found: Told | None = None
    async with kafka.reader(settings) as reader:
        places = await kafka.partitions(reader, [topics.name(TOPIC, settings.topic_prefix)])
        ends = await kafka.end_offsets(reader, places)
        reader.assign(places)
        await reader.seek_to_beginning(*places)
        while any([await reader.position(place) < ends[place] for place in places]):
            for records in (await reader.getmany(timeout_ms=500)).values():
                for record in records:
                    if record.key == key.encode() and record.value is not None:
                        found = msgspec.json.decode(record.value, type=shape)
    return found
