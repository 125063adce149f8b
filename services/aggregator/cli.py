"""`parallax signals`: the second agent of the aggregator. Reads what was fused, and trades; writes signals and moods, and
states again under one name what several feeds tell under different addresses.

It keeps no group and no checkpoint: at its start it reads the fused topics, which are compacted, from their beginning, and
tells only what follows from records after those. One process per deployment; a second one says the same under the same ids.
"""

from __future__ import annotations

import logging
import re
from typing import Any

import msgspec
from aiokafka import TopicPartition

from schemas import assets, topics
from schemas.events import Definition, Fused, Raw, Reputation, Signal
from services.aggregator.engine.checkpoint import FUSER, HEAD_BYTES
from services.aggregator.fusion import Fuser
from services.aggregator.fusion.voices import shared
from services.aggregator.metrics import ROWS
from services.aggregator.settings import SignalsSettings
from services.aggregator.signals.board import Board, topic_of
from services.aggregator.signals.desk import Desk
from services.aggregator.signals.newsroom import PROVIDER, Feed, Newsroom
from services.common import kafka, lifecycle, sentiment
from services.common import logging as logs
from services.common import metrics as measures
from services.common import settings as settings_of
from services.common.arguments import parser

FUSED = ("market", "exchange", "derivatives", "dex", "security", "whale", "news")
"""Categories whose fused records are read."""
LEARNED = ("market", "exchange", "derivatives", "dex")
"""Categories whose fusers tell the reputation of providers."""
TRADES = "raw.exchange"
DEFINITIONS = "ops.providers"
DEFINITION = b"definition/"
TRADE = b'"trade_price"'
BATCH = 2000
REPUTATION_MS = 60_000
"""The reputation of a provider is told at most this often, by the times of the checkpoints."""

log = logging.getLogger(__name__)


class Agent:
    """Records in, records out: (topic, key, value); knows no broker."""

    def __init__(self, scorer: sentiment.Scorer, measured: Any) -> None:
        known = assets.load()
        self.lags_ms: dict[str, float] = {}
        self.board = Board(known.by_contract, self.lags_ms)
        named = names_in(known)
        self.desk = Desk(scorer.score, named)
        self.feeds: dict[str, Feed] = {}
        self.newsroom = Newsroom(named, self.feeds)
        self.measured = measured
        self.fusers: dict[tuple[str, int], dict[str, dict[str, float]]] = {}
        self.voices: dict[tuple[str, int], dict[str, list[str]]] = {}
        """Provider -> those that share its errors, as each fuser learned."""
        self.read_ms: dict[tuple[str, int], int] = {}
        self.told_ms = 0
        self._fused = msgspec.json.Decoder(Fused).decode
        self._raw = msgspec.json.Decoder(Raw).decode
        self._definition = msgspec.json.Decoder(Definition).decode
        self._encode = msgspec.json.Encoder().encode

    def take(
        self, topic: str, partition: int, key: bytes, value: bytes | None, live: bool
    ) -> list[tuple[str, bytes, bytes]]:
        """What follows from one record; with `live` unset it is only remembered."""
        if value is None:
            if topic == "fused.news":
                self.newsroom.forget(key.decode(errors="replace"))
            return []
        self.measured.inc("signals_records_total", topic=topic)
        try:
            found = self._follow(topic, partition, key, value)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as fault:
            self.measured.inc("signals_bad_total", topic=topic)
            log.warning("record of %s set aside: %s", topic, fault)
            return []
        return found if live else []

    def _follow(self, topic: str, partition: int, key: bytes, value: bytes) -> list[tuple[str, bytes, bytes]]:
        if topic.startswith("state."):
            return self._reputations(topic, partition, value) if key == FUSER else []
        if topic == TRADES:
            return [self._signal(one) for one in self.board.trade(self._raw(value))] if TRADE in value else []
        if topic == DEFINITIONS:
            if key.startswith(DEFINITION):
                known = self._definition(value)
                self.feeds[known.provider] = Feed(known.group, known.weight)
            return []
        record = self._fused(value)
        self.newsroom.read(record)
        found = [self._signal(one) for one in self.board.fused(record)]
        for statement in self.desk.read(record):
            self.measured.inc("moods_sent_total", category=statement.category)
            found.append((f"raw.{statement.category}", statement.entity.encode(), self._encode(statement)))
        return found

    def stories(self) -> list[tuple[str, bytes, bytes]]:
        """What is to be stated so that each story is one; to be asked once the past is known."""
        found = []
        for statement in self.newsroom.owed():
            self.measured.inc("stories_sent_total", what="mark" if statement.provider == PROVIDER else "telling")
            found.append((f"raw.{statement.category}", statement.entity.encode(), self._encode(statement)))
        return found

    def _signal(self, one: Signal) -> tuple[str, bytes, bytes]:
        self.measured.inc("signals_sent_total", kind=one.kind)
        return topic_of(one), one.entity.encode(), self._encode(one)

    def _reputations(self, topic: str, partition: int, value: bytes) -> list[tuple[str, bytes, bytes]]:
        """Reputation of all providers, the mean of what the partitions learned, by windows."""
        as_of_ms = int.from_bytes(value[8:HEAD_BYTES], "big")
        if as_of_ms - self.read_ms.get((topic, partition), -REPUTATION_MS) < REPUTATION_MS // 2:
            return []
        self.read_ms[topic, partition] = as_of_ms
        fuser = Fuser.load(value[HEAD_BYTES:])
        self.fusers[topic, partition] = fuser.reputation()
        self.voices[topic, partition] = shared(fuser.state.pairs, list(fuser.state.providers))
        merged = merge(list(self.fusers.values()))
        self.lags_ms.clear()
        self.lags_ms.update({provider: known["lag_ms"] for provider, known in merged.items()})
        if as_of_ms - self.told_ms < REPUTATION_MS:
            return []
        self.told_ms = as_of_ms
        told = []
        for provider, known in sorted(merged.items()):
            others = {other for voices in self.voices.values() for other in voices.get(provider, ())}
            record = Reputation(provider=provider, reputation=known, updated_ms=as_of_ms, one_voice_with=sorted(others))
            told.append(("ops.providers", f"reputation/{provider}".encode(), self._encode(record)))
        return told


def merge(parts: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """One reputation per provider from several fusers' words; each counts by its windows."""
    sums: dict[str, dict[str, float]] = {}
    for part in parts:
        for provider, known in part.items():
            total = sums.setdefault(provider, dict.fromkeys(known, 0.0))
            for name, value in known.items():
                total[name] += value if name == "windows" else value * known["windows"]
    return {
        provider: {name: value if name == "windows" else value / total["windows"] for name, value in total.items()}
        for provider, total in sums.items()
    }


def names_in(known: assets.Assets) -> Any:
    """A function that finds assets in a text: by full name, by a symbol in capitals that only one has, or as `asset:<id>`."""
    names: dict[str, str] = {}
    for asset in known.values():
        if asset.kind in ("coin", "token", "stablecoin"):
            if len(asset.name) >= 5 and asset.name[0].isupper():
                names[asset.name] = asset.id
            if len(asset.symbol) >= 3 and known.by_symbol[asset.symbol] == (asset.id,):
                names[asset.symbol] = asset.id
        names[f"asset:{asset.id}"] = asset.id
    pattern = re.compile(r"(?<!\w)(?:asset:[\w.-]+|\w+(?: \w+)?)(?!\w)")

    def find(text: str) -> frozenset[str]:
        found = set()
        for match in pattern.finditer(text):
            for word in (match.group(), *match.group().split(" ")):
                if word in names:
                    found.add(names[word])
        return frozenset(found)

    return find


def signals(argv: list[str]) -> int:
    """`parallax signals`"""
    parser("signals", "Fused records and trades to signals, moods and reputations.", SignalsSettings).parse_args(argv)
    settings = settings_of.read(SignalsSettings)
    logs.configure(settings, "signals")
    return lifecycle.run(lambda stop: serve(settings, stop))


async def serve(settings: SignalsSettings, stop: lifecycle.Stop) -> int:
    """Read until told to stop; ready when what was fused before the start is known."""
    measured = measures.Metrics.build(ROWS)
    agent = Agent(sentiment.load(settings.sentiment_model or None), measured)
    caught_up = False

    def name(topic: str) -> str:
        return topics.name(topic, settings.topic_prefix)

    wanted = {name(topic): topic for topic in (*(f"fused.{c}" for c in FUSED), *(f"state.{c}" for c in LEARNED))}
    wanted |= {name(topic): topic for topic in (TRADES, DEFINITIONS)}
    async with (
        kafka.producer(settings) as producer,
        kafka.reader(settings) as reader,
        measures.serve(measured, settings.ops_port, lambda: caught_up or "reading what was fused", lambda: True),
    ):
        places = await kafka.partitions(reader, wanted)
        ends = dict(await kafka.end_offsets(reader, places))
        reader.assign(places)
        for place in places:
            if wanted[place.topic] == TRADES:
                reader.seek(place, ends[place])
            else:
                await reader.seek_to_beginning(place)
        behind: set[TopicPartition] = {p for p in places if wanted[p.topic] != TRADES and ends[p] > 0}
        while not stop.is_set():
            batches = await reader.getmany(timeout_ms=200, max_records=BATCH)
            for place, records in batches.items():
                topic = wanted[place.topic]
                for record in records:
                    live = record.offset >= ends[place]
                    for target, key, value in agent.take(topic, place.partition, record.key or b"", record.value, live):
                        await producer.send(name(target), value=value, key=key)
            if behind:
                positions = {place: await reader.position(place) for place in behind}
                behind = {place for place, position in positions.items() if position < ends[place]}
            caught_up = not behind
            if caught_up:
                for target, key, value in agent.stories():
                    await producer.send(name(target), value=value, key=key)
    return lifecycle.EXIT_DONE
