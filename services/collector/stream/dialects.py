"""What a socket of a definition says: its address, subscriptions and heartbeats, as texts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from services.collector.map.paths import At, getter, parse
from services.collector.registry.model import Channel, Stream
from services.collector.template import Values, fill, render

MESSAGE_VALUES_MAX: Final = 200
"""Values in one subscribe message; venues refuse very long ones."""


class Socket(Struct, frozen=True, kw_only=True):
    """One connection to open: which channels it carries, each with its parameter values."""

    provider: str
    stream: str
    number: int
    channels: dict[str, dict[str, tuple[str, ...]]]

    @property
    def key(self) -> str:
        """Name of the connection, the same over replans."""
        return f"{self.provider}|{self.stream}|{self.number}"


def sockets(provider: str, name: str, plans: Mapping[str, list[dict[str, tuple[str, ...]]]]) -> list[Socket]:
    """Connections of a stream: the n-th carries the n-th part of every channel."""
    count = max((len(parts) for parts in plans.values()), default=0)
    found = []
    for number in range(count):
        channels = {channel: parts[number] for channel, parts in plans.items() if number < len(parts)}
        found.append(Socket(provider=provider, stream=name, number=number, channels=channels))
    return found


def address(stream: Stream, socket: Socket, base: str | None = None) -> str:
    """The address with the parameters that stand in it; `base` replaces the definition's (token, simulator)."""
    values: dict[str, str | tuple[str, ...]] = {}
    for params in socket.channels.values():
        values |= params
    return fill(base or stream.url, values, strict=False)


def subscribe(stream: Stream, socket: Socket, now_ms: int, singly: bool = False) -> list[str]:
    """Texts to send after connecting, in order; `singly`: one for each value, so that a refusal costs only one."""
    return [
        text
        for number, (channel, values) in enumerate(_each(stream, socket, singly), start=1)
        for text in _say(channel.subscribe, values, now_ms, number)
    ]


def resubscribe(stream: Stream, channel: str, values: Values, now_ms: int) -> list[str]:
    """Texts that make the server start one value of a channel anew; [] when the venue has no unsubscribe."""
    definition = stream.channels[channel]
    if not definition.unsubscribe:
        return []
    return _say(definition.unsubscribe, values, now_ms, 1) + _say(definition.subscribe, values, now_ms, 2)


def heartbeat(stream: Stream, now_ms: int, number: int) -> str | None:
    """Text to send every `heartbeat.every_s`; None when the protocol's own pings do."""
    beat = stream.heartbeat
    return _text(render(beat.send, {}, now_ms, number)) if beat.kind == "message" else None


def pong(stream: Stream, ping: Any, now_ms: int) -> str:
    """Answer to a server's ping; `{$path: p}` takes a value from the ping."""
    return _text(render(_from(stream.heartbeat.send, ping), {}, now_ms))


def token_address(stream: Stream, answer: Any) -> str | None:
    """Socket address that a token call gave; None when the answer holds none."""
    token = stream.token
    assert token is not None
    top = At(answer, {})
    url = getter(parse(token.url))(answer, top)
    if not isinstance(url, str):
        return None
    query = [f"{name}={getter(parse(path))(answer, top)}" for name, path in token.params.items()]
    return url + ("&" if "?" in url else "?") + "&".join(query) if query else url


def _each(stream: Stream, socket: Socket, singly: bool) -> Iterator[tuple[Channel, Values]]:
    for name, params in socket.channels.items():
        channel = stream.channels[name]
        for values in _parts(params, 1 if singly or channel.per == "each" else MESSAGE_VALUES_MAX):
            yield channel, values


def _parts(params: Mapping[str, tuple[str, ...]], size: int) -> Iterator[Values]:
    """The parameters cut so that the longest list holds at most `size`; others are repeated."""
    if not params:
        yield {}
        return
    longest = max(params, key=lambda name: len(params[name]))
    rest = {name: values[0] for name, values in params.items() if name != longest and values}
    many = params[longest]
    for at in range(0, len(many), size):
        part = many[at : at + size]
        yield {**rest, longest: part[0] if size == 1 else part}


def _say(templates: list[Any], values: Values, now_ms: int, number: int) -> list[str]:
    return [_text(render(template, values, now_ms, number)) for template in templates]


def _text(message: Any) -> str:
    return message if isinstance(message, str) else msgspec.json.encode(message).decode()


def _from(template: Any, message: Any) -> Any:
    if isinstance(template, dict):
        if "$path" in template:
            return getter(parse(template["$path"]))(message, At(message, {}))
        return {key: _from(value, message) for key, value in template.items()}
    return [_from(part, message) for part in template] if isinstance(template, list) else template
