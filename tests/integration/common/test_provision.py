"""Topics on a real broker become what the table says, and nothing is taken away on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas import topics
from services.common import provision
from services.common.errors import MachineError
from services.common.settings import CommonSettings
from tests.fixtures.until import until


def parallax(common: CommonSettings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"PARALLAX_KAFKA": common.kafka, "PARALLAX_TOPIC_PREFIX": common.topic_prefix}
    command = [sys.executable, "-m", "services.cli", "topics", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)


async def others(common: CommonSettings) -> list[provision.Difference]:
    return [item for item in await provision.diff(common) if item.state != "same"]


async def settled(common: CommonSettings) -> bool:
    return not await others(common)


async def has_topic(admin: AIOKafkaAdminClient, name: str) -> bool:
    return name in await admin.list_topics()


async def test_what_was_applied_differs_from_the_table_in_nothing(common: CommonSettings) -> None:
    found = await provision.diff(common)
    wanted = [(common.topic_prefix + row.name, "same", row.partitions, []) for row in topics.load().rows]
    assert [(item.topic, item.state, item.partitions, item.changes) for item in found] == sorted(wanted)


async def test_a_changed_configuration_is_seen_and_mended(common: CommonSettings) -> None:
    name = common.topic_prefix + "raw.market"
    admin = AIOKafkaAdminClient(bootstrap_servers=common.kafka)
    await admin.start()
    config = topics.load().row("raw.market").config() | {"retention.ms": "1000"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=config)])
    await admin.close()
    expected = provision.Difference(
        topic=name, state="differs", partitions=4, changes=["retention.ms: 1000 -> 86400000"]
    )
    assert await until(lambda: others(common)) == [expected]
    assert [item for item in await provision.apply(common) if item.state != "same"] == [expected]
    assert await until(lambda: settled(common))


async def test_a_stranger_under_our_prefix_is_shown_and_left_alone(common: CommonSettings) -> None:
    name = common.topic_prefix + "stranger"
    admin = AIOKafkaAdminClient(bootstrap_servers=common.kafka)
    await admin.start()
    await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    await admin.close()
    stranger = [provision.Difference(topic=name, state="unknown", partitions=None)]
    assert await until(lambda: others(common)) == stranger
    await provision.apply(common)
    assert await others(common) == stranger


async def test_another_partition_count_is_refused_because_keys_would_move(kafka: str) -> None:
    prefix = f"t-count-{uuid.uuid4().hex[:8]}."
    settings = CommonSettings(kafka=kafka, topic_prefix=prefix)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(f"{prefix}raw.market", num_partitions=3, replication_factor=1)])
    await until(lambda: has_topic(admin, f"{prefix}raw.market"))
    await admin.close()
    try:
        with pytest.raises(
            MachineError, match=rf"topic {prefix}raw.market: expected 4 partitions, got 3; keys live in one"
        ):
            await provision.apply(settings)
    finally:
        removed = await provision.remove(settings)
    assert f"{prefix}raw.market" in removed


async def test_the_command_gives_the_same_rows_as_table_and_as_json(common: CommonSettings) -> None:
    as_json = parallax(common, "diff", "--json")
    as_table = parallax(common, "diff")
    assert (as_json.returncode, as_table.returncode) == (0, 0)
    rows = json.loads(as_json.stdout)
    lines = as_table.stdout.splitlines()
    assert [row["topic"] for row in rows] == [line.split()[0] for line in lines[1:]]
    assert as_table.stderr == f"0 of {len(rows)} topics differ\n"


def test_the_command_creates_what_is_missing_and_says_so(kafka: str) -> None:
    settings = CommonSettings(kafka=kafka, topic_prefix=f"t-new-{uuid.uuid4().hex[:8]}.")
    count = len(topics.load().rows)
    before = parallax(settings, "diff", "--json")
    first = parallax(settings, "apply", "--json")
    second = parallax(settings, "apply", "--json")
    assert before.returncode == 1
    assert {row["state"] for row in json.loads(before.stdout)} == {"missing"}
    assert [row["state"] for row in json.loads(first.stdout)] == ["created"] * count
    assert [row["state"] for row in json.loads(second.stdout)] == ["same"] * count
    assert second.stderr == f"0 topics created or changed, {count} were as wanted\n"
    import asyncio

    assert len(asyncio.run(provision.remove(settings))) == count


def test_without_a_broker_the_list_works_and_the_rest_names_the_setting() -> None:
    nobody = CommonSettings(kafka="127.0.0.1:9", topic_prefix="")
    listed = parallax(nobody, "list", "--json")
    assert [row["topic"] for row in json.loads(listed.stdout)] == list(topics.load().names)
    refused = parallax(nobody, "diff")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.splitlines()[-1] == (
        "PARALLAX_KAFKA: expected a Kafka broker, got none at 127.0.0.1:9; start it, or run: parallax up"
    )
