"""A healthy simulator changes no answer: what it tells minute after minute raises no drift at any endpoint, and one that changes does."""

from __future__ import annotations

import pytest

from sandbox.simulator.matching import Asked
from sandbox.simulator.moods import Behaviour
from sandbox.simulator.simulator import Simulator
from sandbox.simulator.traps import changed
from services.collector import proof
from services.collector.guards import Guards
from services.collector.reading import Reader
from services.collector.registry.load import load

NOW_MS = 1_795_400_000_000
MINUTES = 5


def told(simulator: Simulator, guards: Guards, provider: str, endpoint: str, minute: int, mood: Behaviour) -> str:
    """What the guard of an endpoint says of the simulator's answer in this minute."""
    definition = simulator.registry.providers[provider]
    example = simulator.examples.endpoints[provider, endpoint][0]
    params = {name: proof.text_of(value) for name, value in example.expected.params.items()}
    now_ms = NOW_MS + minute * 60_000
    body, _ = simulator.fill(definition, Asked(endpoint, params, {k: (v,) for k, v in params.items()}), now_ms)
    reader = Reader(definition, endpoint, simulator.universe.identity)
    answer = reader.read(200, {}, changed(body, mood), params, now_ms, "sandbox")
    return guards.endpoint(provider, endpoint).judge(answer.mapped).words if answer.mapped is not None else ""


def test_no_endpoint_drifts_while_the_simulator_is_healthy() -> None:
    simulator = Simulator(load(), 7)
    guards = Guards(simulator.registry, simulator.universe.identity)
    alarms = {
        (provider, endpoint): words
        for provider, endpoint in sorted(simulator.examples.endpoints)
        for minute in range(MINUTES)
        if (words := told(simulator, guards, provider, endpoint, minute, Behaviour()))
    }
    assert alarms == {}
    assert len(simulator.examples.endpoints) > 500


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        (Behaviour(scale={"current_price": 100.0}), "price: 10^2 times"),
        (Behaviour(rename={"current_price": "currentPrice"}), "`currentPrice` is new and like it: renamed?"),
        (Behaviour(retype={"total_volume": "object"}), "volume_24h: `total_volume` is an object"),
    ],
    ids=["unit", "name", "type"],
)
def test_what_the_simulator_changes_is_told(mood: Behaviour, words: str) -> None:
    simulator = Simulator(load(), 7)
    guards = Guards(simulator.registry, simulator.universe.identity)
    provider, endpoint = "coingecko", "coins_markets"
    assert [told(simulator, guards, provider, endpoint, minute, Behaviour()) for minute in range(2)] == ["", ""]
    assert words in told(simulator, guards, provider, endpoint, 2, mood)
    assert told(simulator, guards, provider, endpoint, 3, Behaviour()) == ""
