"""All providers at once: a request to one of them and the time give its answer. Pure but for its caches and request counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sandbox.simulator import formats, traps
from sandbox.simulator.answer import LAG_MS, Mood, Note, Writer
from sandbox.simulator.examples import Example, Examples, collect, nearest, plain, replaced
from sandbox.simulator.identity import Universe, targets_of
from sandbox.simulator.market import Market
from sandbox.simulator.matching import Asked, asked
from sandbox.simulator.moods import Behaviour, Moods
from sandbox.simulator.places import parse
from sandbox.simulator.script import Script
from sandbox.simulator.truth import Truth
from services.collector.admit.dialects import DIALECTS
from services.collector.map.hooks import HOOKS
from services.collector.map.identity import load as load_identity
from services.collector.registry.load import Registry
from services.collector.registry.model import Endpoint, Param, Provider

NAMED = ("contract", "token", "address", "pool", "collection", "hash", "protocol")
"""What a parameter may stand for that is told back in the answer as it was asked."""
MINUTE_MS = 60_000
DEFAULT_LIMIT = 1000
CONTENT_TYPES = {
    "json": "application/json",
    "jsonrpc": "application/json",
    "graphql": "application/json",
    "rss": "application/rss+xml; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "text": "text/plain; charset=utf-8",
}


class Response(NamedTuple):
    """An HTTP answer; status 0 breaks the connection."""

    status: int
    headers: dict[str, str]
    body: bytes
    delay_ms: int = 0


class Simulator:
    """Every provider of a registry in one hidden market."""

    def __init__(self, registry: Registry, seed: int) -> None:
        self.registry = registry
        self.examples: Examples = collect(registry)
        self.market = Market(seed)
        self.truth = Truth(self.market, self.examples.levels)
        self.universe = Universe(load_identity())
        self.moods = Moods()
        self._writers: dict[tuple[str, str], Writer] = {}
        self._scripts: dict[tuple[str, str], Script] = {}
        self._counts: dict[str, tuple[int, int]] = {}

    def respond(self, provider_id: str, method: str, path: str, query: str, body: bytes, now_ms: int) -> Response:
        """The answer to one request; `path` is what follows the provider's name."""
        provider = self.registry.providers.get(provider_id)
        if provider is None:
            return _problem(404, f"no provider {provider_id}")
        mood = self.moods.of(provider_id)
        headers = self._quota(provider, mood, now_ms)
        if mood.dead:
            return Response(0, {}, b"", mood.delay_ms)
        if mood.storm or mood.status is not None:
            return self._refuse(provider, "RATE_LIMITED" if mood.storm else "", mood.status or 429, headers)
        token = self._token(provider, path)
        if token is not None:
            return Response(200, headers | {"content-type": "application/json"}, token)
        found = asked(provider, method, path, query, body)
        if found is None:
            return _problem(404, f"no endpoint of {provider_id} at {method} {path}?{query}")
        if (provider_id, found.endpoint) not in self.examples.endpoints:
            why = self.examples.missing.get((provider_id, found.endpoint), "unknown")
            return _problem(410, f"{provider_id} {found.endpoint} cannot be simulated: {why}")
        text, _ = self.fill(provider, found, now_ms, _call_id(body))
        text = traps.changed(text, mood)
        if mood.garbage:
            text = b"<html>" + text[: len(text) // 2]
        kind = CONTENT_TYPES[provider.endpoints[found.endpoint].body]
        return Response(200, headers | {"content-type": kind}, text, mood.delay_ms)

    def fill(self, provider: Provider, found: Asked, now_ms: int, call_id: Any = None) -> tuple[bytes, list[Note]]:
        """The body of an endpoint's answer, and what could not be written into it."""
        endpoint = provider.endpoints[found.endpoint]
        example = nearest(self.examples.endpoints[provider.id, found.endpoint], found.params)
        received_ms = example.expected.received_ms
        if endpoint.body == "rss":
            return formats.moved_feed(example.body, now_ms, received_ms), []
        data: Any = example.body
        if endpoint.body in ("json", "jsonrpc", "graphql"):
            data = replaced(plain(example.body), _words(endpoint, example, found))
        body = formats.read(endpoint, data)
        if endpoint.hook is not None:
            body.inner = HOOKS[endpoint.hook](body.inner, found.params)
            body.reshaped = endpoint.hook not in formats.UNHOOKED
        writer = self._writer(provider, found.endpoint, endpoint)
        targets = targets_of(self.universe, provider, endpoint.params, found.values)
        notes = writer.write(body, found.params, targets, self.mood(provider.id, now_ms), now_ms - received_ms)
        if endpoint.hook is not None and not body.reshaped and body.frame is not None:
            body.frame.write(formats.UNHOOKED[endpoint.hook](body.inner))
        if call_id is not None and isinstance(body.whole, dict) and "id" in body.whole:
            body.whole["id"] = call_id
        return formats.write(endpoint, body, example.body), notes

    def script(self, provider: Provider, stream: str) -> Script:
        """What one stream can say."""
        key = (provider.id, stream)
        if key not in self._scripts:
            self._scripts[key] = Script(self, provider, stream)
        return self._scripts[key]

    def mood(self, provider_id: str, now_ms: int) -> Mood:
        """How the provider tells the market now."""
        behaviour = self.moods.of(provider_id)
        knows_ms = behaviour.frozen_at_ms if behaviour.frozen_at_ms is not None else now_ms - behaviour.late_ms
        return Mood(behaviour.factor, knows_ms - LAG_MS, now_ms - LAG_MS)

    def _writer(self, provider: Provider, name: str, endpoint: Endpoint) -> Writer:
        key = (provider.id, name)
        if key not in self._writers:
            self._writers[key] = Writer(provider, endpoint.emits, self.truth, self.universe, f"endpoints.{name}")
        return self._writers[key]

    def _refuse(self, provider: Provider, outcome: str, status: int, headers: dict[str, str]) -> Response:
        own = self.examples.refusals.get((provider.id, outcome))
        if own is not None:
            return Response(own.expected.status, headers | dict(own.expected.headers), own.body)
        extra = {"retry-after": "1"} if status == 429 else {}
        return Response(
            status, headers | extra | {"content-type": "application/json"}, b'{"error":"refused by the sandbox"}'
        )

    def _quota(self, provider: Provider, mood: Behaviour, now_ms: int) -> dict[str, str]:
        """Quota headers in the provider's dialect, from the requests of this minute."""
        minute, count = self._counts.get(provider.id, (0, 0))
        count = count + 1 if minute == now_ms // MINUTE_MS else 1
        self._counts[provider.id] = (now_ms // MINUTE_MS, count)
        limits = provider.limits if isinstance(provider.limits, list) else []
        limit = next((int(row.n) for row in limits if row.window == "minute"), DEFAULT_LIMIT)
        used = round(mood.quota_used * limit) if mood.quota_used is not None else min(count, limit)
        headers: dict[str, str] = {}
        for row in DIALECTS:
            if row.name == provider.quota_headers:
                headers[row.header] = str(used if row.counts == "used" else limit - used)
                if row.limit_header:
                    headers[row.limit_header] = str(limit)
        return headers

    def _token(self, provider: Provider, path: str) -> bytes | None:
        """The answer of a call that gives a socket's address and its token."""
        for stream in provider.streams.values():
            token = stream.token
            if token is None or not path.endswith(token.path.split("?")[0]):
                continue
            answer: dict[str, Any] = {}
            _put(answer, token.url, stream.url.split("?")[0])
            for word in token.params.values():
                _put(answer, word, "sandbox")
            if token.ping_ms is not None:
                _put(answer, token.ping_ms, 18_000)
            return json.dumps(answer).encode()
        return None


def _words(endpoint: Endpoint, example: Example, found: Asked) -> Mapping[str, str]:
    """What the example calls things -> what this request calls them."""
    words: dict[str, str] = {}
    for name, param in endpoint.params.items():
        if (
            isinstance(param, Param)
            and param.stands_for in NAMED
            and name in found.values
            and name in example.expected.params
        ):
            shown = str(example.expected.params[name]).split(",")
            words.update(zip((one.lower() for one in shown), found.values[name], strict=False))
    return words


def _call_id(body: bytes) -> Any:
    try:
        call = json.loads(body or b"null")
    except ValueError:
        return None
    return call.get("id") if isinstance(call, dict) else None


def _put(answer: Any, path: str, value: Any) -> None:
    """Write a value at a path of plain steps, making what is missing."""
    steps = parse(path).steps
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        inner: Any = value if following is None else [] if isinstance(following, int) else {}
        if isinstance(answer, list):
            while len(answer) <= int(str(step)):
                answer.append(inner)
            answer = answer[int(str(step))]
        else:
            answer = answer.setdefault(step, inner)


def _problem(status: int, said: str) -> Response:
    return Response(
        status, {"content-type": "application/problem+json"}, json.dumps({"status": status, "detail": said}).encode()
    )
