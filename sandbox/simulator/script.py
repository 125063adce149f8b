"""What one stream can say, from its own example messages, and which of them answer which subscription. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.simulator.answer import Writer
from sandbox.simulator.books import BookWriter
from sandbox.simulator.places import getter, parse
from services.collector.map.messages import Bindings, StreamMapper, compile_stream
from services.collector.map.paths import top
from services.collector.registry.mapping import Condition
from services.collector.registry.model import Channel, Message, Provider, Stream

if TYPE_CHECKING:
    from sandbox.simulator.simulator import Simulator

TICK_MS = 1000


class Topic(NamedTuple):
    """A kind of message: words in a channel's name or subscription that ask for it, in the order of asking."""

    name: str
    words: tuple[str, ...]


TOPICS = (
    Topic("quote", ("bookticker", "bbo", "quote", "best", "top")),
    Topic("candle", ("kline", "candle", "ohlc", "bar")),
    Topic("trade", ("trade", "match", "deal", "transaction", "fill")),
    Topic("book", ("book", "depth", "level2", "l2", "diff")),
    Topic("ticker", ("ticker", "stat", "24h", "summary", "detail", "instrument", "market")),
)


class Shown(NamedTuple):
    """An example message: its name in the definition, its data, and what it is about."""

    name: str
    data: Any
    topic: str
    whole_book: bool
    bound: dict[str, str]
    """What the message's channel number stands for, where the venue numbers its channels."""


class Script:
    """What one stream can say, from its examples; made once for each stream."""

    def __init__(self, simulator: Simulator, provider: Provider, name: str) -> None:
        self.provider = provider
        self.name = name
        self.stream: Stream = provider.streams[name]
        self.mapper: StreamMapper = compile_stream(provider, name, simulator.universe.identity)
        self.shown: list[Shown] = []
        self.acks: list[Any] = []
        self.binds: list[tuple[str, Any]] = []
        self.pongs: list[Any] = []
        self._of_channel: dict[str, list[Shown]] = {}
        self.writers: dict[str, Writer] = {}
        self.books: dict[str, BookWriter] = {}
        for message, definition in self.stream.messages.items():
            where = f"streams.{name}.messages.{message}"
            self.writers[message] = Writer(provider, definition.emits, simulator.truth, simulator.universe, where)
            if definition.book is not None:
                self.books[message] = BookWriter(
                    provider, definition.book, simulator.truth, simulator.universe, TICK_MS
                )
        for example in simulator.examples.streams.get((provider.id, name), ()):
            self._read(json.loads(example.body), example.expected.received_ms)

    def _read(self, messages: list[Any], received_ms: int) -> None:
        bindings: Bindings = {}
        for message in messages:
            data, known = plain(message), len(bindings)
            heard = self.mapper.read(data, received_ms, "sandbox", bindings)
            if heard.mapped is not None and heard.message is not None and (heard.mapped.events or heard.mapped.books):
                whole = any(book.kind == "snapshot" for book in heard.mapped.books)
                topic = _topic_of(self.stream.messages[heard.message])
                self.shown.append(Shown(heard.message, data, topic, whole, self._bound(data, bindings)))
            elif len(bindings) > known:
                self.binds.append(
                    (next(name for name, one in self.stream.messages.items() if one.bind is not None), data)
                )
            elif heard.kind == "ack":
                self.acks.append(data)
            elif heard.kind == "ignore" and "pong" in (heard.message or ""):
                self.pongs.append(data)

    def _bound(self, data: Any, bindings: Bindings) -> dict[str, str]:
        if self.stream.bound_by is None:
            return {}
        number = getter(self.stream.bound_by)(data, top(data))
        return bindings.get(str(number), {})

    def bind_like(self, asked: Any) -> tuple[str, Any] | None:
        """The example that gives a channel number to a subscription most like this one; None where channels have none."""

        def likeness(bind: tuple[str, Any]) -> int:
            return sum(bind[1].get(key) == value for key, value in asked.items()) if isinstance(asked, dict) else 0

        return max(self.binds, key=likeness, default=None)

    def of_channel(self, name: str, channel: Channel) -> list[Shown]:
        """Examples that answer a subscription to this channel: one of each message, whole books apart."""
        if name not in self._of_channel:
            self._of_channel[name] = self._find(name, channel)
        return self._of_channel[name]

    def _find(self, name: str, channel: Channel) -> list[Shown]:
        topics = _topics_in(name) or _topics_in(json.dumps(channel.subscribe))
        chosen = [one for one in self.shown if one.topic in topics] or self.shown
        kept: dict[tuple[str, bool], Shown] = {}
        for one in chosen:
            kept.setdefault((one.name, one.whole_book), one)
        return list(kept.values())


def _topics_in(text: str) -> set[str]:
    """Kinds of message that a text asks for; a word that was understood is not read again (bookTicker is no book)."""
    left, found = text.lower(), set()
    for topic in TOPICS:
        for word in topic.words:
            if word in left:
                found.add(topic.name)
                left = left.replace(word, " ")
    return found


def _topic_of(message: Message) -> str:
    """What a message is about, by what its mapping gives."""
    if message.book is not None:
        return "book"
    metrics = {metric for emit in message.emits for metric in emit.fields}
    if metrics & {"trade_price", "contract_trade_price"}:
        return "trade"
    if any(metric.startswith("candle_") for metric in metrics):
        return "candle"
    return "ticker" if metrics & {"last", "price", "mark_price", "contract_last", "volume_base_24h"} else "quote"


def plain(message: Any) -> Any:
    """A message as data; a text that is no JSON as it is."""
    if not isinstance(message, str):
        return message
    try:
        return json.loads(message)
    except ValueError:
        return message


def satisfying(conditions: list[Condition]) -> dict[str, Any]:
    """An object for which simple conditions hold."""
    made: dict[str, Any] = {}
    for condition in conditions:
        steps = [str(step) for step in parse(condition.path).steps]
        inner = made
        for step in steps[:-1]:
            inner = inner.setdefault(step, {})
        if steps:
            inner[steps[-1]] = _value_for(condition)
    return made


def _value_for(condition: Condition) -> Any:
    if condition.type == "null":
        return None
    return condition.eq if condition.eq is not None else (condition.among or [1])[0]


def wants_id(conditions: list[Condition]) -> bool:
    """Whether a number of the question must stand in the answer."""
    return any(condition.path == "id" for condition in conditions)
