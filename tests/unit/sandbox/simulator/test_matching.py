"""Requests as the collector sends them to the simulator are taken apart into what was asked."""

from __future__ import annotations

import pytest

from sandbox.simulator.matching import asked
from services.collector import demand, request
from services.collector.map import identity
from services.collector.origin import Upstream
from services.collector.registry.load import load
from services.collector.registry.model import Provider

REGISTRY = load()
SANDBOX = Upstream("sandbox", "http://127.0.0.1:9")
IN_HOST = [
    provider
    for provider in REGISTRY.providers.values()
    if any("{" in base.split("/")[2] for base in provider.bases.values())
]
WANTED = ("chain:polygon", "chain:gnosis", "chain:ethereum", "chain:base", "asset:bitcoin", "asset:polkadot")


def values_of(provider: Provider, name: str) -> dict[str, str]:
    """The last value of each parameter that a collector would choose for these entities."""
    spelled = demand.spell(provider, provider.endpoints[name].params, WANTED, identity.load())
    return {key: values[-1] for key, values in spelled.items() if values}


@pytest.mark.parametrize("provider", IN_HOST, ids=lambda provider: provider.id)
def test_what_a_host_asks_for_is_heard(provider: Provider) -> None:
    tried = 0
    for name, endpoint in provider.endpoints.items():
        values = values_of(provider, name)
        if not endpoint.live or "{" not in provider.bases[endpoint.base].split("/")[2] or not values:
            continue
        call = request.compose(provider, name, values, 0, SANDBOX.http(provider.id, provider.bases[endpoint.base]))
        path, _, query = call.url.removeprefix(f"http://127.0.0.1:9/{provider.id}").partition("?")
        found = asked(provider, call.method, path, query, call.body or b"")
        assert found is not None, call.url
        assert found.endpoint == name
        assert {key: found.params.get(key) for key in values} == values
        tried += 1
    assert tried > 0


def test_a_host_that_says_nothing_is_not_in_the_path() -> None:
    provider = REGISTRY.providers["binance"]
    found = asked(provider, "GET", "/api/v3/ticker/bookTicker", "symbol=LTCUSDT", b"")
    assert found is not None
    assert (found.endpoint, found.params) == ("book_ticker", {"symbol": "LTCUSDT"})
