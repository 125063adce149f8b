"""One simulated socket: it understands the provider's own subscriptions and tells what was subscribed to in its own messages."""

from __future__ import annotations

import copy
import json
import re
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from sandbox.simulator import traps
from sandbox.simulator.answer import LAG_MS, Mood, Note
from sandbox.simulator.books import Turn
from sandbox.simulator.identity import Target, targets_of
from sandbox.simulator.market import chance
from sandbox.simulator.matching import message_values
from sandbox.simulator.places import Body, Place, parse
from sandbox.simulator.script import TICK_MS, Script, Shown, plain, satisfying, wants_id
from services.collector.registry.model import Message, Param, Stream

if TYPE_CHECKING:
    from sandbox.simulator.simulator import Simulator

ACTIVITY = ((3, 0.6), (10, 0.25), (1_000_000, 0.06))
"""Assets up to this rank speak in this share of the ticks; a whole sandbox then says some hundred things in a second."""
_HOLE = re.compile(r"\{([A-Za-z0-9_]+)\}")


class Subscription(Struct):
    """What a client asked for on one channel."""

    channel: str
    targets: list[Target]
    values: tuple[str, ...]
    told: dict[Target, int]
    """Tick of the last book of each market."""
    numbers: dict[Target, int]
    """Channel number of each market, where the venue gives them."""


class Socket:
    """One connection."""

    def __init__(self, simulator: Simulator, scripts: list[Script]) -> None:
        self._simulator = simulator
        self._scripts = scripts
        self._open: dict[tuple[int, str], list[Subscription]] = {}
        self._next_number = 1
        self.notes: deque[Note] = deque(maxlen=1000)
        """What could not be written lately."""

    @classmethod
    def open(cls, simulator: Simulator, provider_id: str, path: str) -> Socket | None:
        """The socket at a path of a provider; None when it has none there."""
        provider = simulator.registry.providers.get(provider_id)
        if provider is None:
            return None
        found = [
            (name, values)
            for name, stream in provider.streams.items()
            if (values := _values_in(stream, path)) is not None
        ]
        if not found:
            return None
        socket = cls(simulator, [simulator.script(provider, name) for name, _ in found])
        for index, (script, (_, values)) in enumerate(zip(socket._scripts, found, strict=True)):
            for channel, definition in script.stream.channels.items():
                if not definition.subscribe and definition.on:
                    socket._subscribe(index, channel, {name: (value,) for name, value in values.items()})
        return socket

    def hear(self, text: str, now_ms: int) -> list[str | bytes]:
        """Answers to one message of the client."""
        data = plain(text)
        said: list[Any] = []
        for index, script in enumerate(self._scripts):
            for name, channel in script.stream.channels.items():
                for template in channel.subscribe:
                    values = message_values(template, data)
                    if values is not None:
                        subscription = self._subscribe(index, name, values)
                        said += self._acknowledge(script, data)
                        said += self._bind(script, subscription, data)
                for template in channel.unsubscribe:
                    values = message_values(template, data)
                    if values is not None:
                        gone = {value for parts in values.values() for value in parts}
                        kept = self._open.get((index, name), [])
                        self._open[index, name] = [one for one in kept if not set(one.values) & gone]
            if "ping" in text[:60].lower():
                said += script.pongs[:1]
        return [self._packed(self._scripts[0], one) for one in said]

    def tick(self, now_ms: int) -> Iterator[str | bytes]:
        """What the venue says now, to everything that is subscribed."""
        for (index, channel), subscriptions in self._open.items():
            script = self._scripts[index]
            for subscription in subscriptions:
                for shown in script.of_channel(channel, script.stream.channels[channel]):
                    for message in self._messages(script, subscription, shown, now_ms):
                        yield self._packed(script, message)

    def _subscribe(self, index: int, channel: str, values: Mapping[str, tuple[str, ...]]) -> Subscription:
        script = self._scripts[index]
        definition = script.stream.channels[channel]
        targets = targets_of(self._simulator.universe, script.provider, definition.params, values)
        texts = tuple(value for parts in values.values() for value in parts)
        one = Subscription(channel, targets, texts, {}, {})
        self._open.setdefault((index, channel), []).append(one)
        return one

    def _messages(self, script: Script, subscription: Subscription, shown: Shown, now_ms: int) -> Iterator[Any]:
        definition = script.stream.messages[shown.name]
        named = any(isinstance(param, Param) for param in script.stream.channels[subscription.channel].params.values())
        if definition.book is not None:
            for target in subscription.targets:
                if subscription.told.get(target) is not None and not self._speaks(script, shown, target, now_ms):
                    continue
                message = self._book(script, subscription, shown, definition, target, now_ms)
                if message is not None:
                    yield message
            return
        about: list[Target | None] = [*subscription.targets] if named else [None]
        for one in about:
            if one is None or self._speaks(script, shown, one, now_ms):
                yield self._told(script, subscription, shown, definition, one, now_ms)

    def _speaks(self, script: Script, shown: Shown, target: Target, now_ms: int) -> bool:
        """Whether a market says something in this tick."""
        rank = self._simulator.market.ranks.get(target.base, ACTIVITY[-1][0])
        share = next(share for up_to, share in ACTIVITY if rank <= up_to)
        return chance(f"{script.provider.id} {shown.name} {target.base}/{target.quote} {now_ms // TICK_MS}") < share

    def _told(
        self,
        script: Script,
        subscription: Subscription,
        shown: Shown,
        definition: Message,
        target: Target | None,
        now_ms: int,
    ) -> Any:
        data = copy.deepcopy(shown.data)
        body = Body.wrapped(data, script.stream.unwrap)
        params = self._address(script, subscription, shown, body, data, target)
        mood = self._simulator.mood(script.provider.id, now_ms)
        self.notes += script.writers[shown.name].write(body, params, [target] if target is not None else [], mood, 0)
        return body.document()

    def _book(
        self, script: Script, subscription: Subscription, shown: Shown, definition: Message, target: Target, now_ms: int
    ) -> Any:
        tick = now_ms // TICK_MS
        before = subscription.told.get(target)
        starts = any(one.whole_book for one in script.shown if one.topic == "book")
        if (
            (shown.whole_book and before is not None)
            or (not shown.whole_book and before is None and starts)
            or before == tick
        ):
            return None
        subscription.told[target] = tick
        if not shown.whole_book and before is None:
            before = tick - 1
        data = copy.deepcopy(shown.data)
        body = Body.wrapped(data, script.stream.unwrap)
        params = self._address(script, subscription, shown, body, data, target)
        turn = Turn(
            None if shown.whole_book or (definition.book and definition.book.kind == "top") else before, tick, now_ms
        )
        factor = self._simulator.moods.of(script.provider.id).factor
        mood = Mood(factor, tick * TICK_MS - LAG_MS, now_ms - LAG_MS)
        self.notes += script.writers[shown.name].write(body, params, [target], mood, 0)
        script.books[shown.name].write(body, target, turn, params, factor)
        return body.document()

    def _address(
        self,
        script: Script,
        subscription: Subscription,
        shown: Shown,
        body: Body,
        data: Any,
        target: Target | None,
    ) -> dict[str, str]:
        """Write into a message which market its parameters (or its channel number) mean; the parameters, as the mapping gets them."""
        definition = script.stream.messages[shown.name]
        params = dict(shown.bound)
        if target is None:
            return params
        for name, path in definition.params.items():
            spelled = self._spelled(script, definition, name, target)
            place = _place(body.inner, path)
            if place is not None and spelled is not None:
                place.write(spelled)
            params[name] = spelled or ""
        if script.stream.bound_by is not None and target in subscription.numbers:
            _write(data, script.stream.bound_by, subscription.numbers[target])
            params |= {
                name: self._spelled(script, definition, name, target) or value for name, value in shown.bound.items()
            }
        return params

    def _spelled(self, script: Script, definition: Message, name: str, target: Target) -> str | None:
        """The market in the style of the rule that reads this parameter."""
        rules = [emit.entity for emit in definition.emits] + (
            [definition.book.entity] if definition.book is not None else []
        )
        rule = next((one for one in rules if f"$param.{name}" in (one.symbol, one.id, one.base)), None)
        if rule is None:
            return None
        return self._simulator.universe.spell(script.provider, rule, target)

    def _bind(self, script: Script, subscription: Subscription, asked: Any) -> list[Any]:
        """One message for each market that gives it a channel number."""
        found = script.bind_like(asked)
        readers = script.of_channel(subscription.channel, script.stream.channels[subscription.channel])
        rule = script.stream.messages[found[0]].bind if found is not None else None
        if found is None or rule is None or not readers:
            return []
        said = []
        for target in subscription.targets:
            if target in subscription.numbers:
                continue
            number = subscription.numbers[target] = self._next_number
            self._next_number += 1
            data = copy.deepcopy(found[1])
            _write(data, rule.key, number)
            for param, path in rule.params.items():
                _write(data, path, self._spelled(script, script.stream.messages[readers[0].name], param, target))
            said.append(data)
        return said

    def _acknowledge(self, script: Script, asked: Any) -> list[Any]:
        ack = script.stream.ack
        if ack is None or (not script.acks and (script.binds or not ack.when)):
            return []
        data = copy.deepcopy(script.acks[0]) if script.acks else satisfying(ack.when)
        if (
            isinstance(data, dict)
            and isinstance(asked, dict)
            and "id" in asked
            and ("id" in data or wants_id(ack.when))
        ):
            data["id"] = asked["id"]
        return [data]

    def _packed(self, script: Script, message: Any) -> str | bytes:
        if not isinstance(message, str):
            message = traps.reshaped(message, self._simulator.moods.of(script.provider.id))
        text = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"), ensure_ascii=False)
        if script.stream.frames == "gzip":
            packer = zlib.compressobj(wbits=31)
            return packer.compress(text.encode()) + packer.flush()
        if script.stream.frames == "deflate":
            packer = zlib.compressobj(wbits=-15)
            return packer.compress(text.encode()) + packer.flush()
        return text


def _values_in(stream: Stream, path: str) -> dict[str, str] | None:
    """Parameters in the path of a socket's address; None when the address is another."""
    for url in (stream.url, *stream.mirrors):
        names = _HOLE.findall(urlsplit(url).path)
        pattern = "".join(
            "([^/]+)" if i % 2 else re.escape(piece)
            for i, piece in enumerate(_HOLE.split(urlsplit(url).path.rstrip("/")))
        )
        found = re.fullmatch(pattern + "/?", path)
        if found is not None:
            return dict(zip(names, map(unquote, found.groups()), strict=True))
    return None


def _place(value: Any, path: str) -> Place | None:
    steps = parse(path).steps
    for step in steps[:-1]:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    there = bool(steps) and (
        (isinstance(value, dict) and steps[-1] in value) or (isinstance(value, list) and isinstance(steps[-1], int))
    )
    return Place(value, steps[-1]) if there else None  # type: ignore[arg-type]


def _write(value: Any, path: str, new: Any) -> None:
    place = _place(value, path)
    if place is not None and new is not None:
        place.write(new)
