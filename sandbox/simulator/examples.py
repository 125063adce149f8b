"""The examples that come with the definitions: per endpoint the body to fill, per provider its refusals, per metric its level."""

from __future__ import annotations

import json
from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

from services.collector import proof
from services.collector.proof import Case, Expected
from services.collector.registry.load import Registry
from services.collector.registry.model import Endpoint
from services.common.errors import DefinitionError


class Example(NamedTuple):
    """A body in the provider's shape and what it was the answer to."""

    body: bytes
    expected: Expected


class Examples(NamedTuple):
    """All of them. `missing`: endpoint or stream that cannot be simulated -> why."""

    endpoints: Mapping[tuple[str, str], tuple[Example, ...]]
    streams: Mapping[tuple[str, str], tuple[Example, ...]]
    refusals: Mapping[tuple[str, str], Example]
    """(provider, outcome) -> how the provider says so."""
    levels: Mapping[str, float]
    """Metric -> middle of what the examples show."""
    missing: Mapping[tuple[str, str], str]


def collect(registry: Registry) -> Examples:
    """Read every example of the registry's folders."""
    endpoints: dict[tuple[str, str], tuple[Example, ...]] = {}
    streams: dict[tuple[str, str], tuple[Example, ...]] = {}
    refusals: dict[tuple[str, str], Example] = {}
    shown: dict[str, list[float]] = {}
    missing: dict[tuple[str, str], str] = {}
    for name, loaded in sorted(registry.loaded.items()):
        try:
            cases = list(proof.cases(loaded.folder))
        except DefinitionError as fault:
            missing[name, "*"] = str(fault)
            continue
        for case in cases:
            example = Example(case.payload.read_bytes(), case.expected)
            _levels(case, shown)
            if case.expected.outcome != "OK":
                refusals.setdefault((name, case.expected.outcome), example)
            elif case.target in loaded.provider.streams:
                streams[name, case.target] = (*streams.get((name, case.target), ()), example)
            elif case.target not in loaded.provider.endpoints:
                missing[name, case.target] = "an example of nothing that the definition has"
            elif case.expected.events or case.expected.books:
                endpoints[name, case.target] = (*endpoints.get((name, case.target), ()), example)
        _lend(loaded.provider.endpoints, name, endpoints, missing)
        for stream in loaded.provider.streams:
            if (name, stream) not in streams:
                missing[name, stream] = "no example messages"
    levels = {metric: median(values) for metric, values in shown.items()}
    return Examples(endpoints, streams, refusals, levels, missing)


def _levels(case: Case, shown: dict[str, list[float]]) -> None:
    for event in case.expected.events:
        for metric, value in event.get("metrics", {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                shown.setdefault(metric, []).append(float(value))


def _lend(
    definitions: Mapping[str, Endpoint],
    provider: str,
    endpoints: dict[tuple[str, str], tuple[Example, ...]],
    missing: dict[tuple[str, str], str],
) -> None:
    """An endpoint without an example borrows that of one with the same mapping: same shape, asked in another way."""
    own = {name for name in definitions if (provider, name) in endpoints}
    for name, endpoint in definitions.items():
        if name in own:
            continue
        lender = next((one for one in sorted(own) if definitions[one].emits == endpoint.emits), None)
        if lender is None:
            missing[provider, name] = "no example with events"
        else:
            endpoints[provider, name] = endpoints[provider, lender]


def nearest(examples: tuple[Example, ...], params: Mapping[str, str]) -> Example:
    """The example whose parameters are most like those asked."""

    def likeness(example: Example) -> int:
        return sum(params.get(name) == proof.text_of(value) for name, value in example.expected.params.items())

    return max(examples, key=likeness)


def replaced(value: Any, words: Mapping[str, str]) -> Any:
    """A copy of plain data in which texts and keys that equal a word (case ignored) are replaced."""
    if isinstance(value, str):
        return words.get(value.lower(), value)
    if isinstance(value, list):
        return [replaced(one, words) for one in value]
    if isinstance(value, dict):
        return {words.get(key.lower(), key): replaced(one, words) for key, one in value.items()}
    return value


def plain(body: bytes) -> Any:
    """The JSON text of an example as data of our own."""
    return json.loads(body.decode("utf-8-sig"), strict=False)
