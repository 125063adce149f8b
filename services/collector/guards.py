"""Guards of endpoints and streams, made from the definitions' own proofs when the first answer comes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from schemas import metrics
from schemas.events import Held, Raw
from services.collector import proof
from services.collector.drift.compare import Difference
from services.collector.drift.guard import ALL, MESSAGES_EVERY, Guard, Verdict, Watched
from services.collector.drift.jumps import Row
from services.collector.drift.places import Probe, book_probe, probe
from services.collector.drift.shape import Fingerprint, fingerprint
from services.collector.map import paths
from services.collector.map.identity import Identity
from services.collector.map.mapped import BOOK, Mapped
from services.collector.registry.load import Registry
from services.collector.registry.mapping import Emit
from services.collector.registry.model import Book
from services.common.errors import DefinitionError

log = logging.getLogger(__name__)


class Lesson(NamedTuple):
    """One proven payload: of which message (of an endpoint: none), and what the mapping made of it."""

    message: str
    mapped: Mapped


class Guards:
    """One guard for each endpoint and each kind of message; sockets of one stream share theirs."""

    def __init__(
        self,
        registry: Registry,
        identity: Identity,
        accepted: Sequence[str] = (),
        held: Iterable[Held] = (),
        tell: Callable[[Held], None] | None = None,
    ) -> None:
        """`accepted`: `provider/endpoint` or `provider/endpoint/metric` of what is taken as it comes. `held`: what was held back
        when the last process ended; `tell` takes what is held back from now on.
        """
        self._held = {(one.provider, one.endpoint, one.message): one for one in held}
        self._tell = tell
        self._accepted = [tuple(one.split("/")) for one in accepted]
        self._registry = registry
        self._identity = identity
        self._guards: dict[tuple[str, str], Guard] = {}
        self._streams: dict[tuple[str, str], StreamGuard] = {}

    def endpoint(self, provider: str, endpoint: str) -> Guard:
        """The guard of an endpoint's answers."""
        key = (provider, endpoint)
        if key not in self._guards:
            definition = self._registry.providers[provider].endpoints[endpoint]
            self._guards[key] = self._guard(provider, endpoint, "", definition.emits, definition.book, 1)
        return self._guards[key]

    def stream(self, provider: str, stream: str) -> StreamGuard:
        """The guard of a stream's messages."""
        key = (provider, stream)
        if key not in self._streams:
            messages = self._registry.providers[provider].streams[stream].messages
            self._streams[key] = StreamGuard(
                {
                    name: self._guard(provider, stream, name, message.emits, message.book, MESSAGES_EVERY)
                    for name, message in messages.items()
                }
            )
        return self._streams[key]

    def _guard(
        self, provider: str, target: str, message: str, emits: Sequence[Emit], book: Book | None, every: int
    ) -> Guard:
        """A guard that goes on where the last process ended, if the definition is the same."""
        registry = self._registry.loaded[provider].hash
        held = self._held.get((provider, target, message))

        def tell(powers: dict[str, int], levels: dict[str, list[Row]]) -> None:
            if self._tell is not None:
                now_ms = time.time_ns() // 1_000_000
                said = Held(
                    provider=provider, endpoint=target, message=message, registry=registry, powers=powers, levels=levels, updated_ms=now_ms
                )  # fmt: skip
                self._tell(said)

        return Guard(
            partial(self._watched, provider, target, message, emits, book),
            every,
            self._taken(provider, target),
            held if held is not None and held.registry == registry else None,
            tell,
        )

    def _taken(self, provider: str, target: str) -> frozenset[str]:
        """Metrics of an endpoint or stream that an operator takes as they come."""
        return frozenset((*one, ALL)[2] for one in self._accepted if one[:2] == (provider, target))

    def _watched(self, provider: str, target: str, message: str, emits: Sequence[Emit], book: Book | None) -> Watched:
        lessons = [one for one in self._lessons(provider, target) if one.message == message]
        return watched(emits, f"{provider}.{target}", lessons, book)

    def _lessons(self, provider: str, target: str) -> list[Lesson]:
        """What the proofs of an endpoint or stream teach; a folder that cannot be read teaches nothing, and says so in the log."""
        loaded = self._registry.loaded[provider]
        try:
            return lessons(
                [
                    proof.mapped(loaded.provider, case, self._identity)
                    for case in proof.cases(loaded.folder)
                    if case.target == target
                ]
            )
        except (DefinitionError, OSError) as error:
            log.warning(
                "no proofs to compare with", extra={"provider": provider, "endpoint": target, "why": str(error)}
            )
            return []


class StreamGuard:
    """The guards of a stream's messages, by name, as one."""

    def __init__(self, guards: dict[str, Guard]) -> None:
        self._guards = guards
        self._wrong: dict[str, tuple[Difference, ...]] = {}

    @property
    def differences(self) -> tuple[Difference, ...]:
        """What is wrong with any kind of message."""
        return tuple(one for found in self._wrong.values() for one in found)

    def judge(self, message: str, mapped: Mapped, events: list[Raw]) -> Verdict | None:
        """As Guard.judge, for one message of this kind; None when it is not looked at, and all may go."""
        guard = self._guards[message]
        if guard.passes(mapped):
            return None
        verdict = guard.judge(mapped, events)
        if verdict.differences:
            self._wrong[message] = verdict.differences
        elif verdict.changed:
            self._wrong.pop(message, None)
        return verdict


def lessons(proofs: Sequence[tuple[str, str, list[tuple[str, Mapped]]]]) -> list[Lesson]:
    """What proofs teach: those that are answers, not errors."""
    return [Lesson(*one) for outcome, _, heard in proofs if outcome == "OK" for one in heard]


def watched(emits: Sequence[Emit], where: str, taught: Sequence[Lesson], book: Book | None = None) -> Watched:
    """What a guard compares with."""
    specs = metrics.load()
    probes = {number: probe(emit, specs, f"{where}.emits[{number}]") for number, emit in enumerate(emits)}
    if book is not None:
        probes[BOOK] = book_probe(book, f"{where}.book")
    expected: dict[int, Fingerprint] = {}
    drifts: set[str] = set()
    for lesson in taught:
        drifts |= {words.partition(": ")[0] for words in lesson.mapped.drift}
        for number, one in probes.items():
            if lesson.mapped.top is None:
                continue
            shown = fingerprint(one, lesson.mapped.top, names=True)
            if not shown.rows and not shown.unfiltered:
                continue
            shown.rows = shown.unfiltered = ()
            if number in expected:
                expected[number].add(shown)
            else:
                expected[number] = shown
    getters = {number: _getters(one) for number, one in probes.items()}
    return Watched(probes, getters, expected, frozenset(drifts))


def _getters(one: Probe) -> tuple[paths.Getter, ...]:
    return tuple(paths.getter(path) for place in one.places if place.elements is None for path in place.paths)
