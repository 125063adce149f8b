"""For every endpoint and stream of the registry: what the simulator says, the provider's own mapping reads as the truth.

This is the proof that the inverse of a mapping works; what cannot be simulated is listed with its reason, never skipped in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from urllib.parse import urlsplit

import pytest

from sandbox.simulator.answer import Note
from sandbox.simulator.matching import Asked
from sandbox.simulator.simulator import LAG_MS, Simulator
from sandbox.simulator.sockets import Socket
from schemas import metrics
from schemas.events import Raw
from services.collector import demand, proof
from services.collector.decode import decode_message
from services.collector.map.mapped import BookChange
from services.collector.map.messages import Bindings, compile_stream
from services.collector.reading import Reader
from services.collector.registry.load import load
from services.collector.registry.mapping import Emit
from services.collector.registry.model import Channel, Provider
from services.collector.template import render

SEED = 7
NOW = 1_795_400_000_000
EXACT = 1e-6
"""What is left of a number after it was written with ten digits and read again."""
WANTED = ("pair:bitcoin/tether", "pair:ethereum/tether", "pair:bitcoin/usd", "perp:bitcoin/tether", "asset:bitcoin")
TICKS = 4


@cache
def simulator() -> Simulator:
    return Simulator(load(), SEED)


def endpoints() -> list[tuple[str, str]]:
    return sorted(simulator().examples.endpoints)


def channels() -> list[tuple[str, str, str]]:
    providers = simulator().registry.providers
    return [(p, s, c) for p, s in sorted(simulator().examples.streams) for c in providers[p].streams[s].channels]


def untrue(event: Raw, provider: str, now_ms: int, grains: Mapping[str, float]) -> list[str]:
    """Numbers of an event that are not what this provider tells of the market."""
    found = []
    specs = metrics.load()
    at_ms = min(now_ms - LAG_MS, event.event_ms or now_ms)
    for name, value in event.metrics.items():
        truth = simulator().truth.value(specs[name], event.entity, event.quote, at_ms, provider)
        if isinstance(value, float) and isinstance(truth, float):
            grain = 0.5 if specs[name].unit in ("count", "rank") else grains.get(name, 0.0)
            if abs(value - truth) > EXACT * abs(truth) + grain + 1e-12:
                found.append(f"{event.entity} {name}: read {value}, true {truth}")
    return found


def _grains(emits: list[Emit]) -> dict[str, float]:
    """Metrics that are written as whole numbers of a small part: the half of that part is lost."""
    grains: dict[str, float] = {}
    for metric, rule in ((metric, rule) for emit in emits for metric, rule in emit.fields.items()):
        if isinstance(getattr(rule, "decimals", None), int):
            grains[metric] = max(grains.get(metric, 0.0), 0.5 * 10.0**-rule.decimals)
    return grains


@pytest.mark.parametrize(("provider_id", "name"), endpoints())
def test_an_answer_is_read_as_the_truth(provider_id: str, name: str) -> None:
    sim = simulator()
    provider = sim.registry.providers[provider_id]
    example = sim.examples.endpoints[provider_id, name][0]
    params = {key: proof.text_of(value) for key, value in example.expected.params.items()}
    body, notes = sim.fill(provider, Asked(name, params, {key: (value,) for key, value in params.items()}), NOW)
    answer = Reader(provider, name, sim.universe.identity).read(200, {}, body, params, NOW, "sandbox")
    assert answer.outcome.name == "OK", answer.outcome
    assert answer.mapped is not None
    assert answer.mapped.events or answer.mapped.books
    grain = _grains(provider.endpoints[name].emits)
    told = _but_for_notes(
        [text for event in answer.mapped.events for text in untrue(event, provider_id, NOW, grain)], notes
    )
    assert _but_for_shared_places(told, provider.endpoints[name].emits, answer.mapped.events) == []


def _but_for_notes(wrong: list[str], notes: Iterable[Note]) -> list[str]:
    """Without what the simulator itself says that it could not write."""
    known = {(note.entity, note.metric) for note in notes}
    return [text for text in wrong if _about(text) not in known]


def _about(text: str) -> tuple[str, str]:
    entity, metric = text.split(": read ")[0].rsplit(" ", 1)
    return entity, metric


def _but_for_shared_places(wrong: list[str], emits: list[Emit], events: list[Raw]) -> list[str]:
    """Without metrics whose place is told already: by another metric that is right throughout, or of another entity, for
    which this very number is right.
    """
    paths: dict[str, set[str]] = {}
    for emit in emits:
        for metric, rule in emit.fields.items():
            paths.setdefault(repr(getattr(rule, "path", rule)), set()).add(metric)
    bad = {_about(text) for text in wrong}
    bad_metrics = {metric for _, metric in bad}
    forgiven = {metric for metrics in paths.values() for metric in metrics if metrics - bad_metrics}
    right = {
        value
        for event in events
        for metric, value in event.metrics.items()
        if isinstance(value, float) and (event.entity, metric) not in bad
    }
    return [text for text in wrong if _about(text)[1] not in forgiven and _read(text) not in right]


def _read(text: str) -> float:
    return float(text.split(": read ")[1].split(", ")[0])


@pytest.mark.parametrize(
    ("provider_id", "name", "params", "entity", "metric"),
    [
        (
            "chainlink",
            "latest_round",
            {"feed": "0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419"},
            "asset:ethereum",
            "price",
        ),
        ("dydx", "markets", {}, "perp:dogecoin/usd", "contract_open_24h"),
    ],
)
def test_what_no_other_number_says_is_told_too(
    provider_id: str, name: str, params: dict[str, str], entity: str, metric: str
) -> None:
    """A contract's words are joined again, and a difference is told by its subtrahend, for others than the example's own too."""
    sim = simulator()
    provider = sim.registry.providers[provider_id]
    body, _ = sim.fill(provider, Asked(name, params, {key: (value,) for key, value in params.items()}), NOW)
    answer = Reader(provider, name, sim.universe.identity).read(200, {}, body, params, NOW, "sandbox")
    assert answer.mapped is not None
    assert [fault for fault in answer.mapped.faults if fault.field == metric] == []
    (event,) = [event for event in answer.mapped.events if event.entity == entity]
    assert metric in event.metrics
    assert [text for text in untrue(event, provider_id, NOW, {}) if _about(text)[1] == metric] == []
    assert NOW - (event.event_ms or NOW) < 60_000


@pytest.mark.parametrize(("provider_id", "stream", "channel"), channels())
def test_a_stream_is_read_as_the_truth(provider_id: str, stream: str, channel: str) -> None:
    sim = simulator()
    provider = sim.registry.providers[provider_id]
    definition = provider.streams[stream].channels[channel]
    socket = Socket.open(sim, provider_id, urlsplit(provider.streams[stream].url).path or "/")
    assert socket is not None
    mapper = compile_stream(provider, stream, sim.universe.identity)
    packing = provider.streams[stream].frames
    bindings: Bindings = {}
    for question in _questions(provider, definition):
        for said in socket.hear(question, NOW):
            heard = mapper.read(decode_message(said, packing), NOW, "sandbox", bindings)
            assert heard.kind in ("ack", "bound", "ignore", "data"), (said, heard)
    kinds, wrong, books = [], [], []
    events: list[Raw] = []
    emits = [emit for message in provider.streams[stream].messages.values() for emit in message.emits]
    for tick in range(TICKS):
        now_ms = NOW + tick * 1000
        for said in socket.tick(now_ms):
            heard = mapper.read(decode_message(said, packing), now_ms, "sandbox", bindings)
            kinds.append(heard.kind)
            if heard.mapped is not None:
                assert not heard.mapped.faults
                events += heard.mapped.events
                wrong += [
                    text for event in heard.mapped.events for text in untrue(event, provider_id, now_ms, _grains(emits))
                ]
                books += [(now_ms, book) for book in heard.mapped.books]
    assert _but_for_shared_places(_but_for_notes(wrong, socket.notes), emits, events) == []
    assert set(kinds) <= {"data"}
    for now_ms, book in books:
        assert _near_the_market(provider_id, book, now_ms), book


def _questions(provider: Provider, channel: Channel) -> Iterator[str]:
    spelled = demand.spell(provider, channel.params, WANTED, simulator().universe.identity)
    each = channel.per == "each" and len(spelled) == 1
    name = next(iter(spelled), "")
    for values in [{name: (value,)} for value in spelled[name]] if each else [spelled]:
        for template in channel.subscribe if all(values.values()) else []:
            message = render(template, values, NOW)
            yield message if isinstance(message, str) else json.dumps(message)


def _near_the_market(provider: str, book: BookChange, now_ms: int) -> bool:
    """Levels that stand are within a few basis points of the price of their second, bids below, asks above."""
    base, quote = book.entity.partition(":")[2].split("/")
    price = simulator().market.price(base, quote, now_ms)
    bids = [level for level, size in book.bids if size]
    asks = [level for level, size in book.asks if size]
    return all(abs(level / price - 1) < 0.003 for level in (*bids, *asks)) and (
        not bids or not asks or max(bids) < min(asks)
    )


def test_what_cannot_be_simulated_has_a_reason() -> None:
    assert all(reason for reason in simulator().examples.missing.values())
    known = {*simulator().examples.endpoints, *simulator().examples.streams, *simulator().examples.missing}
    for provider in simulator().registry.providers.values():
        if (provider.id, "*") not in known:
            assert {(provider.id, name) for name in (*provider.endpoints, *provider.streams)} <= known
