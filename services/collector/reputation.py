"""What others learned about a provider, fusion and health, read from `ops.providers`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec

from schemas import topics
from schemas.events import Held, ProviderScore, Reputation
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


async def held(settings: CommonSettings) -> list[Held]:
    """What collectors hold back since a change of unit. MachineError without a broker."""
    told: dict[str, Held] = {}
    async for key, value in _records(settings):
        if key.startswith("held/"):
            told[key] = msgspec.json.decode(value, type=Held)
    return [one for one in told.values() if one.powers]


async def _read(settings: CommonSettings, key: str, shape: type[Told]) -> Told | None:
    found: Told | None = None
    async for name, value in _records(settings):
        if name == key:
            found = msgspec.json.decode(value, type=shape)
    return found


async def _records(settings: CommonSettings) -> AsyncIterator[tuple[str, bytes]]:
    """Keys and values of the topic, the newest of a key last."""
    async with kafka.reader(settings) as reader:
        places = await kafka.partitions(reader, [topics.name(TOPIC, settings.topic_prefix)])
        ends = await kafka.end_offsets(reader, places)
        reader.assign(places)
        await reader.seek_to_beginning(*places)
        while any([await reader.position(place) < ends[place] for place in places]):
            for records in (await reader.getmany(timeout_ms=500)).values():
                for record in records:
                    if record.key is not None and record.value is not None:
                        yield record.key.decode(), record.value
