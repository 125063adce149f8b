"""The topics as data: rows of topics.yaml, one per topic after the categories are filled in."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

HERE = Path(__file__).parent
CATEGORY = "{category}"
UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
CO_PARTITIONED = ("raw", "fused", "state")
"""A key of one category meets itself in these topics, so their partition counts must agree."""

Cleanup = Literal["delete", "compact", "compact,delete"]


class TopicRow(msgspec.Struct, frozen=True, kw_only=True):
    """One topic."""

    name: str
    partitions: int
    cleanup: Cleanup
    retention_ms: int | None
    """How long records are kept; None for topics that are only compacted."""
    compression: Literal["lz4", "snappy", "zstd"]
    key: str
    value: str
    sentence: str
    max_message_bytes: int
    category: str | None = None
    """The category whose topic this is; None for topics of all."""

    def config(self) -> dict[str, str]:
        """The broker's configuration of this topic."""
        config = {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "CreateTime",
        }
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        if "compact" in self.cleanup:
            # Readers load these topics whole at start: dead versions go after minutes, not after a week of appends.
            config |= {"min.cleanable.dirty.ratio": "0.2", "segment.ms": "600000", "delete.retention.ms": "3600000"}
            # A checkpoint needs the records before it until it is closed, and a worker that was thrown out may write an old
            # version after a new one: both are over in seconds, and compaction must not be faster.
            config["min.compaction.lag.ms"] = "600000"
        return config


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    partitions: int
    cleanup: Cleanup
    compression: Literal["lz4", "snappy", "zstd"]
    key: str
    value: str
    sentence: str
    kept: str | None = None
    max_message_mb: int = 1


class Topics:
    """All topics, in the order of the table."""

    def __init__(self, rows: tuple[TopicRow, ...]) -> None:
        self.rows = rows
        self.names = tuple(row.name for row in rows)
        self._by_name = {row.name: row for row in rows}

    def row(self, name: str) -> TopicRow:
        """The topic of that name (without prefix); KeyError when there is none."""
        return self._by_name[name]


@cache
def load() -> Topics:
    """The topics of topics.yaml."""
    categories = tuple(yaml.safe_load((HERE / "categories.yaml").read_text()))
    return parse(yaml.safe_load((HERE / "topics.yaml").read_text()), categories)


def parse(document: dict[str, Any], categories: tuple[str, ...]) -> Topics:
    """Topics of a parsed table; ValueError names the row and what is wrong with it."""
    rows: list[TopicRow] = []
    for pattern, content in document.items():
        try:
            entry = msgspec.convert(content, _Entry)
            retention_ms = _kept_ms(entry)
        except (msgspec.ValidationError, ValueError) as fault:
            raise ValueError(f"topics.yaml: {pattern}: {fault}") from fault
        for category in categories if CATEGORY in pattern else (None,):
            rows.append(
                TopicRow(
                    name=pattern.replace(CATEGORY, category or ""),
                    partitions=entry.partitions,
                    cleanup=entry.cleanup,
                    retention_ms=retention_ms,
                    compression=entry.compression,
                    key=entry.key,
                    value=entry.value,
                    sentence=entry.sentence,
                    max_message_bytes=entry.max_message_mb * 1024 * 1024,
                    category=category,
                )
            )
    counts = {row.partitions for row in rows if row.name.split(".")[0] in CO_PARTITIONED}
    if len(counts) > 1:
        raise ValueError(
            f"topics.yaml: expected one partition count for {', '.join(CO_PARTITIONED)}, got {sorted(counts)}"
        )
    return Topics(tuple(rows))


def name(topic: str, prefix: str = "") -> str:
    """The topic's name on the broker."""
    return prefix + topic


def _kept_ms(entry: _Entry) -> int | None:
    if "delete" not in entry.cleanup:
        if entry.kept is not None:
            raise ValueError(f"kept: expected nothing for cleanup {entry.cleanup}, got {entry.kept}")
        return None
    kept = entry.kept or ""
    if not kept[:-1].isdigit() or kept[-1:] not in UNITS_MS:
        raise ValueError(f"kept: expected a duration such as 10m, 24h or 7d, got {entry.kept!r}")
    return int(kept[:-1]) * UNITS_MS[kept[-1]]
