"""Names that repeat, as small numbers: the sources of a partition, in the order of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import msgpack

from services.aggregator.engine.model import Source
from services.aggregator.engine.rules import Rules

if TYPE_CHECKING:
    from services.aggregator.engine.tables import Tables

SourceKey = tuple[str, str, str | None, str | None, float, str, tuple[str, ...]]
"""provider, endpoint, quote, group, weight, origin, metric names"""


class Names:
    """The interned sources of one partition; numbers are given in log order, so every replay gives the same."""

    def __init__(self, rules: Rules, tables: Tables | None = None) -> None:
        """`tables`: where kernels read what is interned."""
        self.rules = rules
        self.tables = tables
        self.sources: list[Source] = []
        self.by_key: dict[SourceKey, Source] = {}

    def source(self, key: SourceKey) -> Source:
        """The source of this key, new or known."""
        found = self.by_key.get(key)
        if found is None:
            provider, endpoint, quote, group, weight, origin, metrics = key
            shape = self.rules.shape(metrics)
            rank = self.rules.ranks.get(quote or "", len(self.rules.ranks)) if shape.money else 0
            number = len(self.sources)
            fresh_ms = min((self.rules.freshness_ms.get(name, 0) for name in metrics), default=0)
            found = Source(
                number,
                provider,
                endpoint,
                quote,
                group or provider,
                weight,
                origin,
                shape,
                rank,
                fresh_ms,
            )
            self.sources.append(found)
            self.by_key[key] = found
            if self.tables is not None:
                self.tables.add_source(found)
        return found

    def dump(self) -> bytes:
        """The table, to be read by `load`."""
        return msgpack.encode(list(self.by_key))

    @classmethod
    def load(cls, data: bytes, rules: Rules, tables: Tables | None = None) -> Names:
        """The table that `dump` wrote, with the rules of today's catalogue."""
        names = cls(rules, tables)
        for key in msgpack.decode(data, type=list[SourceKey]):
            names.source(key)
        return names
