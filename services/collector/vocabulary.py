"""How providers name what they state: words of the paths of all definitions, and the metrics that they stand for. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec
from msgspec import structs

from services.collector.leaves import tokens_of
from services.collector.registry.mapping import Emit, EntityRule, FieldRule
from services.collector.registry.model import Provider

Words = tuple[str, ...]
ENOUGH: Final = 3
"""So many providers must use a name for one metric before it is believed."""
SHARE: Final = 0.9
"""And of all who use the name, this share."""
_PART = re.compile(r'\["([^"]*)"\]|([^.\[\]"^$*\s]+)')


class Said(NamedTuple):
    """What a name stands for in other definitions."""

    metric: str
    by: int
    """Providers that mean this metric."""
    other: tuple[str, ...]
    """What some mean instead."""

    @property
    def certain(self) -> bool:
        """Enough providers agree."""
        return self.by >= ENOUGH and not self.other


class Vocabulary:
    """Names by category; each provider counts once for a name and a meaning, however many endpoints it has."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, Words], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.naming: dict[Words, set[str]] = defaultdict(set)
        """Names of fields (and parameters) that say whom a row is about -> providers."""
        self._calls: dict[tuple[str, str], dict[bytes, set[str]]] = defaultdict(lambda: defaultdict(set))

    def add(self, category: str, path: str, meaning: str, provider: str) -> None:
        """A provider reads `meaning` (a metric, or `metric*factor` when it has to work on it) at this path."""
        for key in keys_of(path):
            self._uses[category, key][meaning].add(provider)

    def call(self, category: str, method: str) -> tuple[Emit, int] | None:
        """How most definitions read the answer of a JSON-RPC method, and how many; its entity means nothing here."""
        uses = self._calls.get((category, method), {})
        best = max(uses.items(), key=lambda use: (len(use[1]), use[0]), default=None)
        if best is None or len(best[1]) < ENOUGH:
            return None
        return msgspec.json.decode(best[0], type=Emit), len(best[1])

    def add_call(self, category: str, method: str, emit: Emit, provider: str) -> None:
        """A provider reads the answer of `method` so."""
        alike = structs.replace(emit, entity=EntityRule(kind="chain"), category=category)
        self._calls[category, method][msgspec.json.encode(alike)].add(provider)

    def says(self, category: str, path: str, family: str | None = None) -> Said | None:
        """What the longest known name at the end of the path stands for; of one family of metrics, when the rows are known to be of it."""
        keys = keys_of(path)
        for key in keys:
            uses = {
                metric: by
                for metric, by in self._uses.get((category, key), {}).items()
                if family is None or family_of(metric) == family
            }
            if not uses or (key != keys[-1] and max(map(len, uses.values())) < ENOUGH):
                continue
            ranked = sorted(uses.items(), key=lambda use: (-len(use[1]), use[0]))
            metric, by = ranked[0][0], len(ranked[0][1])
            whole = sum(map(len, uses.values()))
            other = tuple(f"{name} ({len(providers)})" for name, providers in ranked[1:])
            return Said(metric, by, () if by >= SHARE * whole else other)
        return None

    def family(self, category: str, paths: Iterable[str]) -> str:
        """What rows with these names are: events of one kind (`trade`, `candle`) or `state`.

        Events only when two of their metrics are named, they outweigh the others, and no name is certain to be of the newest state.
        """
        votes: dict[str, float] = defaultdict(float)
        named: dict[str, set[str]] = defaultdict(set)
        for path in paths:
            keys = keys_of(path)
            uses = self._uses.get((category, keys[-1]), {}) if keys else {}
            whole = sum(len(by) for by in uses.values())
            for metric, by in uses.items():
                votes[family_of(metric)] += len(by) / whole
                if 2 * len(by) >= whole:
                    named[family_of(metric)].add(metric)
            standing = sum(
                len(by) for metric, by in uses.items() if family_of(metric) == STATE and metric not in EITHER
            )
            if standing >= max(ENOUGH, MOSTLY * whole):
                votes[STATE] += VETO
        best = max(sorted(votes), key=lambda family: (votes[family], family == STATE), default=STATE)
        return best if len(named[best]) > 1 else STATE


STATE: Final = "state"
MOSTLY: Final = 0.8
VETO: Final = 100.0
EITHER: Final = frozenset({"pair_status", "asset_symbol", "asset_name"})
"""Metrics that stand beside events as well."""
FAMILIES: Final = ("candle", "trade", "liquidation", "transfer")
"""Words in names of metrics that are of one event each, not of the newest state."""


def family_of(metric: str) -> str:
    """The family of a metric, by its name; counts and changes of trades are state."""
    words = metric.split(",")[0].split("_")
    named = next((family for family in FAMILIES if family in words[:2]), STATE)
    return STATE if "count" in words else named


def learn(providers: Iterable[Provider]) -> Vocabulary:
    """The names of these definitions."""
    known = Vocabulary()
    for provider in providers:
        for emit in _emits(provider):
            for path, meaning in _uses(emit):
                known.add(emit.category or provider.home, path, meaning, provider.group or provider.id)
            for named in (emit.entity.symbol, emit.entity.id, emit.entity.contract, emit.entity.address):
                if named is not None and keys_of(named):
                    known.naming[keys_of(named)[-1]].add(provider.id)
        for endpoint in provider.endpoints.values():
            if endpoint.send is not None and endpoint.send.rpc is not None:
                for emit in endpoint.emits:
                    known.add_call(emit.category or provider.home, endpoint.send.rpc.method, emit, provider.id)
    return known


def _emits(provider: Provider) -> Iterator[Emit]:
    for endpoint in provider.endpoints.values():
        yield from endpoint.emits
    for stream in provider.streams.values():
        for message in stream.messages.values():
            yield from message.emits


def _uses(emit: Emit) -> Iterator[tuple[str, str]]:
    for metric, rule in emit.fields.items():
        shape = rule if isinstance(rule, FieldRule) else FieldRule(path=rule)
        if shape.each is not None or shape.fixed is not None:
            continue
        work = [shape.plus, shape.minus, shape.times, shape.over]
        worked = any(part not in ([], None) for part in work) or shape.invert or shape.decimals is not None
        scaled = (
            worked or shape.complement is not None or (shape.unit or "") in ("thousand", "million", "billion", "cents")
        )
        for path in [shape.path] if isinstance(shape.path, str) else shape.path or []:
            yield path, f"{metric}, worked out" if scaled else metric


def keys_of(path: str) -> list[Words]:
    """Words of the last two parts of a path, and of the last; what the quote is called does not matter."""
    name = path.removeprefix("$param.")
    parts = [quoted or plain for quoted, plain in _PART.findall(name)]
    words = [
        tuple(word for word in tokens_of(part) if word not in ("usd", "usdt")) for part in parts if not part.isdigit()
    ]
    words = [one for one in words if one]
    if not words:
        return []
    return [(*words[-2], "/", *words[-1]), words[-1]] if len(words) > 1 else [words[-1]]
