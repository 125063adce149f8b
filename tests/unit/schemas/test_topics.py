"""The topic table is filled in with the categories and refuses what would hurt later."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import topics

ENTRY = {
    "partitions": 4,
    "cleanup": "delete",
    "kept": "24h",
    "compression": "lz4",
    "key": "entity",
    "value": "Raw",
    "sentence": "S.",
}
CATEGORIES = "market exchange derivatives explorer rpc onchain dex social news security whale technical nft".split()


def parsed(**rows: dict[str, Any]) -> topics.Topics:
    return topics.parse({name.replace("__", "."): row for name, row in rows.items()}, ("market", "news"))


def test_a_pattern_gives_one_topic_per_category() -> None:
    found = topics.parse({"raw.{category}": ENTRY, "dlq": ENTRY}, ("market", "news"))
    assert [(row.name, row.category) for row in found.rows] == [
        ("raw.market", "market"),
        ("raw.news", "news"),
        ("dlq", None),
    ]
    assert found.row("raw.news").retention_ms == 86_400_000


def test_the_table_has_every_topic_of_every_category() -> None:
    names = set(topics.load().names)
    assert {f"{kind}.{category}" for kind in ("raw", "fused", "state", "commands") for category in CATEGORIES} <= names
    assert names - {
        f"{kind}.{category}" for kind in ("raw", "fused", "state", "commands") for category in CATEGORIES
    } == {
        *("archive", "candles.1m", "signals.arbitrage", "signals.anomaly", "reference.assets", "late", "dlq"),
        *("ops.fetches", "ops.providers", "ops.alerts", "ops.services", "ops.audit"),
    }


@pytest.mark.parametrize("kept, expected", [("10m", 600_000), ("24h", 86_400_000), ("7d", 604_800_000)])
def test_durations_are_read(kept: str, expected: int) -> None:
    assert parsed(dlq=ENTRY | {"kept": kept}).row("dlq").retention_ms == expected


@pytest.mark.parametrize(
    "change, message",
    [
        ({"kept": "a day"}, r"topics.yaml: dlq: kept: expected a duration such as 10m, 24h or 7d, got 'a day'"),
        ({"kept": None}, r"topics.yaml: dlq: kept: expected a duration such as 10m, 24h or 7d, got None"),
        ({"cleanup": "compact"}, r"topics.yaml: dlq: kept: expected nothing for cleanup compact, got 24h"),
        ({"partitons": 3}, r"topics.yaml: dlq: Object contains unknown field `partitons`"),
        ({"partitions": "4"}, r"topics.yaml: dlq: Expected `int`, got `str`"),
        ({"cleanup": "shred"}, r"topics.yaml: dlq: Invalid enum value 'shred'"),
    ],
    ids="words nothing compact-kept unknown type enum".split(),
)
def test_a_wrong_row_is_named_with_what_is_wrong(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parsed(dlq=ENTRY | change)


def test_raw_fused_and_state_of_a_category_cannot_have_different_partition_counts() -> None:
    with pytest.raises(ValueError, match=r"expected one partition count for raw, fused, state, got \[3, 4\]"):
        parsed(raw__market=ENTRY, fused__market=ENTRY | {"partitions": 3})
    assert parsed(raw__market=ENTRY, ops__alerts=ENTRY | {"partitions": 1}).names == ("raw.market", "ops.alerts")


@pytest.mark.parametrize(
    "change, expected",
    [
        ({}, {"cleanup.policy": "delete", "retention.ms": "86400000", "max.message.bytes": "1048576"}),
        (
            {"max_message_mb": 16},
            {"cleanup.policy": "delete", "retention.ms": "86400000", "max.message.bytes": "16777216"},
        ),
    ],
)
def test_a_topic_that_deletes_is_configured_so(change: dict[str, Any], expected: dict[str, str]) -> None:
    assert parsed(dlq=ENTRY | change).row("dlq").config() == expected | {"message.timestamp.type": "CreateTime"}


def test_a_compacted_topic_is_cleaned_in_minutes_and_keeps_no_time() -> None:
    row = parsed(state=ENTRY | {"cleanup": "compact", "kept": None}).row("state")
    config = row.config()
    assert row.retention_ms is None
    assert "retention.ms" not in config
    assert config["segment.ms"] == "600000"


def test_a_prefix_stands_before_the_name() -> None:
    assert (topics.name("raw.market", "blue."), topics.name("raw.market")) == ("blue.raw.market", "raw.market")
