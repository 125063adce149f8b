"""The simulator as a process on loopback: real HTTP and sockets, moods on request, the truth beside it."""

from __future__ import annotations

import json
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.collector.map.identity import load as load_identity
from services.collector.reading import Answer, Reader
from services.collector.registry.load import load
from tests.fixtures.simulators import simulator_of

PROVIDERS = Path(__file__).parents[2] / "fixtures" / "providers"
ACME = "acme_exchange"


class Running(NamedTuple):
    """The simulator's address and process."""

    url: str
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60)

    def truth(self, entity: str, metric: str, quote: str, at_ms: int) -> float:
        query = f"/_truth?entity={entity}&metric={metric}&quote={quote}&at_ms={at_ms}"
        value: float = self.get(query).json()["value"]
        return value

    def behave(self, **mood: Any) -> None:
        assert httpx.post(f"{self.url}/_control/{ACME}", json=mood, timeout=60).status_code == 200

    def read(self, endpoint: str, path: str, **params: str) -> Answer:
        """The answer through the provider's own mapping."""
        reply = self.get(f"/{ACME}/v1{path}")
        provider = load([PROVIDERS / ACME]).providers[ACME]
        reader = Reader(provider, endpoint, load_identity())
        return reader.read(reply.status_code, reply.headers, reply.content, params, 1_900_000_000_000, "sandbox")


@pytest.fixture(scope="module")
def simulator() -> Iterator[Running]:
    with simulator_of(PROVIDERS, "0.05") as (url, process):
        yield Running(url, process)


@pytest.fixture(autouse=True)
def healthy(simulator: Running) -> Iterator[None]:
    yield
    assert httpx.delete(f"{simulator.url}/_control/", timeout=60).json() == {}


def prices(answer: Answer) -> dict[str, tuple[float, int]]:
    assert answer.mapped is not None, answer.outcome
    found = [(event.entity, event.metrics.get("last"), event.event_ms) for event in answer.mapped.events]
    return {entity: (last, at_ms) for entity, last, at_ms in found if isinstance(last, float) and at_ms is not None}


def test_a_list_shows_the_market_within_the_noise_of_those_who_tell(simulator: Running) -> None:
    told = prices(simulator.read("tickers", "/tickers"))
    assert len(told) >= 20
    for entity, (last, at_ms) in told.items():
        assert last == pytest.approx(simulator.truth(entity, "last", "tether", at_ms), rel=8e-4), entity


def test_one_pair_is_the_one_that_was_asked_for(simulator: Running) -> None:
    [(entity, (last, at_ms))] = prices(simulator.read("ticker", "/ticker/ETH-USDT", symbol="ETH-USDT")).items()
    assert entity == "pair:ethereum/tether"
    assert last == pytest.approx(simulator.truth(entity, "last", "tether", at_ms), rel=8e-4)


def test_a_liar_is_off_by_its_factor(simulator: Running) -> None:
    simulator.behave(factor=1.05)
    last, at_ms = prices(simulator.read("tickers", "/tickers"))["pair:bitcoin/tether"]
    truth = simulator.truth("pair:bitcoin/tether", "last", "tether", at_ms)
    assert last / truth == pytest.approx(1.05, rel=8e-4)


def test_a_frozen_provider_tells_old_values_as_new(simulator: Running) -> None:
    then = 1_795_000_000_000
    simulator.behave(frozen_at_ms=then)
    last, at_ms = prices(simulator.read("tickers", "/tickers"))["pair:bitcoin/tether"]
    assert at_ms > then
    assert last == pytest.approx(simulator.truth("pair:bitcoin/tether", "last", "tether", then - 40), rel=8e-4)
    assert last != pytest.approx(simulator.truth("pair:bitcoin/tether", "last", "tether", at_ms), rel=1e-9)


def test_a_storm_refuses_in_the_provider_s_own_words(simulator: Running) -> None:
    simulator.behave(storm=True)
    reply = simulator.get(f"/{ACME}/v1/tickers")
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "7")
    assert reply.json() == {"code": 50011, "msg": "too many requests"}
    assert simulator.read("tickers", "/tickers").outcome.name == "RATE_LIMITED"


def test_a_dead_provider_breaks_the_connection(simulator: Running) -> None:
    simulator.behave(dead=True)
    with pytest.raises(httpx.RemoteProtocolError):
        simulator.get(f"/{ACME}/v1/tickers")
    assert simulator.get("/readyz").status_code == 200


def test_garbage_is_malformed_and_any_status_can_be_had(simulator: Running) -> None:
    simulator.behave(garbage=True)
    assert simulator.read("tickers", "/tickers").outcome.name == "MALFORMED"
    simulator.behave(status=503)
    assert simulator.get(f"/{ACME}/v1/tickers").status_code == 503


def test_quota_headers_speak_the_provider_s_dialect(simulator: Running) -> None:
    simulator.behave(quota_used=0.9)
    headers = simulator.get(f"/{ACME}/v1/tickers").headers
    assert (headers["x-ratelimit-remaining"], headers["x-ratelimit-limit"]) == ("60", "600")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nobody/v1/x", 404, "no provider nobody"),
        (f"/{ACME}/v1/nothing", 404, f"no endpoint of {ACME} at GET /v1/nothing?"),
        (f"/{ACME}/v1/status", 410, f"{ACME} status cannot be simulated: no example with events"),
    ],
)
def test_what_is_not_there_is_told(simulator: Running, path: str, status: int, said: str) -> None:
    reply = simulator.get(path)
    assert (reply.status_code, reply.json()["detail"]) == (status, said)


def test_a_mood_that_does_not_exist_is_refused(simulator: Running) -> None:
    assert httpx.post(f"{simulator.url}/_control/{ACME}", json={"angry": True}, timeout=60).status_code == 422
    assert httpx.post(f"{simulator.url}/_control/nobody", json={}, timeout=60).status_code == 404


def question(channel: str, *symbols: str) -> str:
    return json.dumps({"op": "subscribe", "args": [{"channel": channel, "id": symbol} for symbol in symbols]})


async def test_a_socket_acknowledges_tells_trades_and_answers_pings(simulator: Running) -> None:
    async with connect(f"{simulator.url.replace('http', 'ws')}/{ACME}/v1") as socket:
        await socket.send(question("trades", "BTC-USDT", "ETH-USDT"))
        assert json.loads(await socket.recv()) == {"event": "subscribed", "channel": "trades"}
        await socket.send("ping")
        seen: dict[str, float] = {}
        ponged = False
        while set(seen) != {"BTC-USDT", "ETH-USDT"} or not ponged:
            text = await socket.recv()
            if text == "pong":
                ponged = True
                continue
            message = json.loads(text)
            [trade] = message["data"]
            entity = {"BTC-USDT": "pair:bitcoin/tether", "ETH-USDT": "pair:ethereum/tether"}[message["id"]]
            seen[message["id"]] = float(trade["px"])
            truth = simulator.truth(entity, "trade_price", "tether", trade["ts"])
            assert float(trade["px"]) == pytest.approx(truth, rel=8e-4)


async def test_a_book_starts_whole_and_its_changes_follow_each_other(simulator: Running) -> None:
    async with connect(f"{simulator.url.replace('http', 'ws')}/{ACME}/v1") as socket:
        await socket.send(question("book", "BTC-USDT"))
        await socket.recv()
        messages = [json.loads(await socket.recv()) for _ in range(3)]
    assert [message["type"] for message in messages] == ["snapshot", "update", "update"]
    first, second, third = (message["data"][0] for message in messages)
    assert (second["prev"], third["prev"]) == (first["seq"], second["seq"])
    standing = dict(first["b"])
    for change in (second, third):
        standing.update(dict(change["b"]))
    best = max(float(price) for price, size in standing.items() if float(size))
    assert best == max(float(price) for price, size in third["b"] if float(size))


async def test_a_killed_provider_closes_its_sockets(simulator: Running) -> None:
    async with connect(f"{simulator.url.replace('http', 'ws')}/{ACME}/v1") as socket:
        await socket.send(question("trades", "BTC-USDT"))
        await socket.recv()
        simulator.behave(dead=True)
        with pytest.raises(ConnectionClosed):
            await _listen(socket)


async def _listen(socket: ClientConnection) -> None:
    while True:
        await socket.recv()


def test_frames_can_be_packed() -> None:
    """Packing is the inverse of what the collector unpacks; both standards of zlib."""
    from services.collector.decode import decode_message

    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b'{"a":1}') + packer.flush()
    assert decode_message(packed, "gzip") == {"a": 1}
