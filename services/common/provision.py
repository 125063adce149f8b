"""Topics on the broker as topics.yaml wants them: `parallax topics apply | list | diff`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Collection
from typing import Literal

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, TopicAlreadyExistsError, for_code

from schemas import topics
from schemas.topics import TopicRow
from services.common import kafka
from services.common.errors import MachineError
from services.common.lifecycle import Deadline
from services.common.settings import CommonSettings, read

State = Literal["same", "missing", "differs", "unknown"]
REQUEST_MS = 60_000
"""A broker that shares its machine makes a hundred partitions in some seconds, and in many when the machine is busy."""
OPEN_TRIES = 3
REPLICATION = 1
POLL_S = 0.02


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One topic as wanted against as found; `changes` says what differs, each as `key: found -> wanted`."""

    topic: str
    state: State
    partitions: int | None
    changes: list[str] = []


class TopicList(msgspec.Struct, frozen=True, kw_only=True):
    """One topic as `parallax topics list` shows it."""

    topic: str
    partitions: int
    cleanup: str
    retention_ms: int | None
    compression: str
    key: str
    value: str
    sentence: str


async def diff(settings: CommonSettings) -> list[Difference]:
    """What the broker has against the table, sorted by name; topics with our prefix that no row names are `unknown`."""
    async with _admin(settings) as admin:
        return await _compare(admin, settings.topic_prefix)


async def apply(settings: CommonSettings, only: Collection[str] | None = None) -> list[Difference]:
    """Create what is missing and mend the configuration of what differs; returns what was found before.

    `only` names the topics of the table (without prefix) to look at; all when it is None. Another partition count
    is an error, since keys would move; topics that no row names are left alone.
    """
    prefix = settings.topic_prefix
    async with _admin(settings) as admin:
        wanted = {topics.name(row.name, prefix): row for row in topics.load().rows}
        chosen = None if only is None else {topics.name(name, prefix) for name in only}
        found = [item for item in await _compare(admin, prefix) if chosen is None or item.topic in chosen]
        new = [_new_topic(item.topic, wanted[item.topic]) for item in found if item.state == "missing"]
        if new:
            _check(await admin.create_topics(new, timeout_ms=REQUEST_MS))
            await _led(admin, {topic.name for topic in new})
            await _opened(settings, [topic.name for topic in new])
        changed = [item for item in found if item.state == "differs"]
        for item in changed:
            count = wanted[item.topic].partitions
            if item.partitions != count:
                raise MachineError(
                    f"topic {item.topic}",
                    expected=f"{count} partitions",
                    got=str(item.partitions),
                    do="keys live in one partition for ever: use another PARALLAX_TOPIC_PREFIX, or remove the topic with its data",
                )
        resources = [
            ConfigResource(ConfigResourceType.TOPIC, item.topic, configs=wanted[item.topic].config())
            for item in changed
        ]
        if resources:
            await admin.alter_configs(resources)
        return found


async def remove(settings: CommonSettings) -> list[str]:
    """Delete every topic of the table under this prefix; returns the names. For tests and for clean starts."""
    if not settings.topic_prefix:
        raise MachineError("PARALLAX_TOPIC_PREFIX", expected="a prefix", got="none", do="name whose topics are to go")
    async with _admin(settings) as admin:
        names = sorted(name for name in await admin.list_topics() if name.startswith(settings.topic_prefix))
        if names:
            await admin.delete_topics(names, timeout_ms=REQUEST_MS)
        return names


class _admin:
    def __init__(self, settings: CommonSettings) -> None:
        self._settings = settings
        self._client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka, request_timeout_ms=REQUEST_MS)

    async def __aenter__(self) -> AIOKafkaAdminClient:
        try:
            await self._client.start()
        except (KafkaConnectionError, OSError) as fault:
            await self._client.close()
            raise MachineError(
                "PARALLAX_KAFKA",
                expected="a Kafka broker",
                got=f"none at {self._settings.kafka}",
                do="start it, or run: parallax up",
            ) from fault
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()


async def _compare(admin: AIOKafkaAdminClient, prefix: str) -> list[Difference]:
    wanted = {topics.name(row.name, prefix): row for row in topics.load().rows}
    present = {name for name in await admin.list_topics() if not name.startswith("__")}
    known = sorted(name for name in wanted if name in present)
    counts = {row["topic"]: len(row["partitions"]) for row in await admin.describe_topics(known)} if known else {}
    configs = await _configs(admin, known) if known else {}
    found = []
    for name in sorted(wanted):
        if name not in present:
            found.append(Difference(topic=name, state="missing", partitions=None))
            continue
        row, has = wanted[name], configs[name]
        changes = [f"{key}: {has.get(key)} -> {value}" for key, value in row.config().items() if has.get(key) != value]
        if counts[name] != row.partitions:
            changes.insert(0, f"partitions: {counts[name]} -> {row.partitions}")
        state: State = "differs" if changes else "same"
        found.append(Difference(topic=name, state=state, partitions=counts[name], changes=changes))
    strangers = sorted(name for name in present - set(wanted) if prefix and name.startswith(prefix))
    return found + [Difference(topic=name, state="unknown", partitions=None) for name in strangers]


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for resource in response.resources:
            _, _, _, name, entries = resource[:5]
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _new_topic(name: str, row: TopicRow) -> NewTopic:
    return NewTopic(name, num_partitions=row.partitions, replication_factor=REPLICATION, topic_configs=row.config())


async def _led(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """Return when every partition of these topics has a leader: the controller answers before its brokers know."""
    deadline = Deadline.after_s(REQUEST_MS / 1000)
    while True:
        present = sorted(names & set(await admin.list_topics()))
        rows = await admin.describe_topics(present) if len(present) == len(names) else []
        if rows and all(place["leader"] >= 0 for row in rows for place in row["partitions"]):
            return
        if deadline.expired:
            missing = sorted(names - set(present)) or ["a leader"]
            raise MachineError("Kafka", expected="the new topics", got=f"no {missing[0]}", do="read the broker's log")
        await asyncio.sleep(POLL_S)


async def _opened(settings: CommonSettings, names: list[str]) -> None:
    """Return when every partition tells its end: a leader that has not opened its log yet refuses records."""
    for _ in range(OPEN_TRIES):
        try:
            async with kafka.reader(settings) as reader:
                await kafka.end_offsets(reader, await kafka.partitions(reader, names))
                return
        except KafkaTimeoutError:  # the client gives up after its 40 s; the broker may only be slow
            continue
    raise MachineError("Kafka", expected="the new topics to open", got="no answer", do="read the broker's log")


def _check(response: object) -> None:
    """Raise the first error of a create response, except that the topic is there already (another start was faster)."""
    for error in getattr(response, "topic_errors", ()):
        name, code = error[0], error[1]
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise MachineError(
                f"topic {name}", expected="to be created", got=for_code(code).__name__, do="read the broker's log"
            )


def listing(prefix: str = "") -> list[TopicList]:
    """The table as rows for people and scripts."""
    return [
        TopicList(
            topic=topics.name(row.name, prefix),
            partitions=row.partitions,
            cleanup=row.cleanup,
            retention_ms=row.retention_ms,
            compression=row.compression,
            key=row.key,
            value=row.value,
            sentence=row.sentence,
        )
        for row in topics.load().rows
    ]


def main(argv: list[str]) -> int:
    """`parallax topics apply | list | diff [--json]`; diff exits 1 when something differs."""
    parser = argparse.ArgumentParser(prog="parallax topics", description="Topics from schemas/topics.yaml.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="apply | list | diff")
    for verb, sentence in (
        ("apply", "Create what is missing, mend what differs (PARALLAX_KAFKA)."),
        ("list", "The table; needs no broker."),
        ("diff", "The broker against the table; exit 1 when they differ."),
    ):
        verbs.add_parser(verb, help=sentence, description=sentence).add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    settings = read(CommonSettings)
    if arguments.verb == "list":
        _emit(
            [msgspec.structs.asdict(row) for row in listing(settings.topic_prefix)],
            arguments.json,
            "topic partitions cleanup key",
        )
        return 0
    try:
        found = asyncio.run((apply if arguments.verb == "apply" else diff)(settings))
    except KafkaError as fault:
        raise MachineError("Kafka", expected="an answer", got=repr(fault), do="read the broker's log") from fault
    rows = [msgspec.structs.asdict(item) for item in found]
    if arguments.verb == "apply":
        rows = [
            row | {"state": {"missing": "created", "differs": "changed"}.get(row["state"], row["state"])}
            for row in rows
        ]
    _emit(rows, arguments.json, "topic state partitions changes")
    other = sum(item.state in ("missing", "differs") for item in found)
    if arguments.verb == "diff":
        sys.stderr.write(
            f"{other} of {len(found)} topics differ" + ("; see: parallax topics apply\n" if other else "\n")
        )
        return 1 if other else 0
    sys.stderr.write(f"{other} topics created or changed, {len(found) - other} were as wanted\n")
    return 0


def _emit(rows: list[dict[str, object]], as_json: bool, columns: str) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode() + "\n")
        return
    names = columns.split()
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in [names, *cells]) for i in range(len(names))]
    for line in [names, *cells]:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


def _cell(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
