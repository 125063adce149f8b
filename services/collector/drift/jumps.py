"""Jumps of unit: a metric whose values change by one power of ten at many entities at once, which no market does. Pure.

The last accepted value of some entities is kept in bounded memory. What jumps is held back until it settles back. A process
that starts anew is told what its predecessor held back by the same definition, and takes everything else as it comes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from schemas.events import Raw
from services.collector.drift.compare import Difference

EVENTS: Final = 32
"""Events of one answer that are looked at, the first ones and some of the rest: a jump of unit shows in all."""
ENTITIES: Final = 256
"""Entities whose last values are kept, per endpoint; the longest unseen goes first."""
RECALLED: Final = 12
"""Values of a metric that are told to a successor."""
CALM: Final = math.sqrt(10.0)
"""A value within this factor of the last one moved as markets do."""
EXACT: Final = 0.05
"""How far from a power of ten a jump may be, in decades: 12 %, for the market moves meanwhile."""
MANY: Final = 3
"""Entities that must jump together."""
SHARE: Final = 0.6
"""Of the entities that can be compared, this share must."""
EXACT_ALONE: Final = 0.02
DECADES_ALONE: Final = 2
STEADY: Final = 5
TWICE: Final = 2
"""An answer about one or two entities says it by itself when it was calm so often, jumps so far and so exactly, and says it twice."""
OTHERS: Final = 3
"""So many calm values of others show that a jump was one entity's own (a new denomination, a dead market)."""
LARGEST: Final = 24
"""Decades beyond which nothing is a change of unit."""
PATIENCE: Final = 10
"""A jump that an entity repeats so often while none of the others speaks is taken for its own."""
RECIPROCAL: Final = 0
"""In the place of a power of ten: one by the value, a pair that is told the other way round."""

Key = tuple[str, str, str | None]
"""Parameters of the request, entity, quote."""
Row = tuple[str, str, str | None, float]
"""A key and its value."""


class Level(Struct):
    """What was last accepted of one entity's metric, and how often in a row it had moved a little: what stands still and leaps, as
    sizes do, was never calm."""

    value: float
    calm: int = 0


class Leap(NamedTuple):
    """A value that is not calm: by how many decades it moved."""

    key: Key
    decades: float
    old: float
    new: float

    def off(self, power: int) -> float:
        """How far it is from this jump, in decades."""
        if power == RECIPROCAL:
            return abs(self.decades + 2.0 * math.log10(abs(self.old)))
        return abs(self.decades - power)


class Suspicion(Struct):
    """Entities that jumped alike, too few yet to tell; their values wait."""

    power: int
    seen: dict[Key, int]
    calm: int = 0


class Jump(NamedTuple):
    """A metric that is held back: by which power of ten it jumped."""

    power: int
    difference: Difference


class Jumps:
    """The memory of one endpoint or message."""

    def __init__(self) -> None:
        self._levels: dict[Key, dict[str, Level]] = {}
        self._suspected: dict[str, Suspicion] = {}
        self.held: dict[str, Jump] = {}

    @property
    def alert(self) -> bool:
        """Whether every answer must be looked at: something is held or suspected."""
        return bool(self.held or self._suspected)

    def recall(self, powers: Mapping[str, int], levels: Mapping[str, Sequence[Row]]) -> None:
        """Go on holding back what another process held back."""
        for metric, power in powers.items():
            for params, entity, quote, value in levels.get(metric, ()):
                self._levels.setdefault((params, entity, quote), {})[metric] = Level(value)
            words = f"{_times(power)} the last accepted value, since before this collector started: a change of unit?"
            self.held[metric] = Jump(power, Difference("unit", metric, "", words))

    def levels(self, metric: str) -> list[Row]:
        """Some last accepted values of a metric, to be recalled."""
        rows = [(*key, levels[metric].value) for key, levels in self._levels.items() if metric in levels]
        return rows[:RECALLED]

    def look(self, events: Sequence[Raw], params: str = "") -> frozenset[str]:
        """Compare some events with the last values; the metrics that must not go out, held or suspected."""
        leaps: dict[str, list[Leap]] = {}
        calm: dict[str, int] = {}
        done: set[Key] = set()
        for event in spread(events):
            key = (params, event.entity, event.quote)
            if key in done:
                continue
            done.add(key)
            self._compare(key, event.metrics, leaps, calm)
        while len(self._levels) > ENTITIES:
            del self._levels[next(iter(self._levels))]
        if leaps or self._suspected or self.held:
            for metric in {*leaps, *self._suspected, *self.held}:
                self._judge(metric, leaps.get(metric, []), calm.get(metric, 0))
        return frozenset((*self.held, *self._suspected))

    def _compare(
        self, key: Key, metrics: Mapping[str, object], leaps: dict[str, list[Leap]], calm: dict[str, int]
    ) -> None:
        levels = self._levels.pop(key, None)
        if levels is None:
            levels = {}
        self._levels[key] = levels
        held = self.held
        for metric, value in metrics.items():
            if value.__class__ is not float or not value:
                continue
            level = levels.get(metric)
            if level is None:
                if metric not in held:
                    levels[metric] = Level(value)
                continue
            ratio = value / level.value
            if 1.0 / CALM < ratio < CALM:
                calm[metric] = calm.get(metric, 0) + 1
                if metric not in held and ratio != 1.0:
                    level.value, level.calm = value, level.calm + 1
            elif 0.0 < ratio < math.inf:
                leap = Leap(key, math.log10(ratio), level.value, value)
                leaps.setdefault(metric, []).append(leap)
            elif metric not in held:
                level.value, level.calm = value, 0

    def _judge(self, metric: str, leaps: list[Leap], calm: int) -> None:
        held = self.held.get(metric)
        if held is not None:
            self._settle(metric, held, leaps, calm)
            return
        power = _common(leaps)
        alike = [leap for leap in leaps if power is not None and leap.off(power) <= EXACT]
        if power is not None and _together(alike, len(leaps) + calm):
            self._hold(metric, power, alike, len(leaps) + calm)
            return
        self._suspect(metric, power, alike, calm)
        waiting = self._suspected[metric].seen if metric in self._suspected else {}
        for leap in leaps:
            if metric not in self.held and leap.key not in waiting:
                self._levels[leap.key][metric] = Level(leap.new)

    def _suspect(self, metric: str, power: int | None, alike: list[Leap], calm: int) -> None:
        """Answers about few entities: wait until enough of them jump alike, or others show that they do not."""
        suspicion = self._suspected.get(metric)
        if suspicion is None or (alike and suspicion.power != power):
            self._suspected.pop(metric, None)
            if power is None or calm or not any(self._levels[leap.key][metric].calm >= STEADY for leap in alike):
                return
            suspicion = self._suspected[metric] = Suspicion(power, {})
        for leap in alike:
            suspicion.seen[leap.key] = suspicion.seen.get(leap.key, 0) + 1
        suspicion.calm += calm
        known = sum(metric in levels for levels in self._levels.values())
        patience, others = (PATIENCE, OTHERS) if known >= MANY else (TWICE, 1)
        if alike and self._proven(suspicion, alike, known):
            self._hold(metric, suspicion.power, alike, len(suspicion.seen))
        elif suspicion.calm >= others or max(suspicion.seen.values()) >= patience:
            del self._suspected[metric]
            for key in suspicion.seen:
                self._levels.get(key, {}).pop(metric, None)

    @staticmethod
    def _proven(suspicion: Suspicion, alike: list[Leap], known: int) -> bool:
        if len(suspicion.seen) >= MANY:
            return True
        exact = all(leap.off(suspicion.power) <= EXACT_ALONE for leap in alike)
        twice = all(count >= TWICE for count in suspicion.seen.values())
        return known < MANY and twice and exact and abs(suspicion.power) >= DECADES_ALONE

    def _hold(self, metric: str, power: int, alike: Sequence[Leap], compared: int) -> None:
        self._suspected.pop(metric, None)
        first = alike[0]
        words = (
            f"{_times(power)} the last accepted value at {max(len(alike), min(MANY, compared))} of {compared} entities "
            f"({first.key[1]}: {first.old:.6g}, now {first.new:.6g}): a change of unit?"
        )
        self.held[metric] = Jump(power, Difference("unit", metric, "", words))

    def _settle(self, metric: str, held: Jump, leaps: list[Leap], calm: int) -> None:
        """Let go when most values are nearer to what they were than to where they jumped."""
        near = calm + sum(abs(leap.decades) < leap.off(held.power) for leap in leaps)
        if near and near >= SHARE * (len(leaps) + calm):
            del self.held[metric]
            for leap in leaps:
                self._levels[leap.key][metric] = Level(leap.new)


def _times(power: int) -> str:
    if power == RECIPROCAL:
        return "1 divided by"
    return f"10^{power} times" if power > 0 else f"1/10^{-power} of"


def _together(alike: Sequence[Leap], compared: int) -> bool:
    """Whether enough entities jumped alike, and not all from one value, which would be a constant that was changed."""
    values = {round(math.log10(abs(leap.old)), 2) for leap in alike}
    return len(alike) >= MANY and len(alike) >= SHARE * compared and len(values) > 1


def _common(leaps: Iterable[Leap]) -> int | None:
    """The power of ten by which most values jumped (or RECIPROCAL); None when none did."""
    counts: dict[int, int] = {}
    for leap in leaps:
        power = round(leap.decades)
        if power and abs(power) <= LARGEST and leap.off(power) <= EXACT:
            counts[power] = counts.get(power, 0) + 1
        if leap.off(RECIPROCAL) <= EXACT:
            counts[RECIPROCAL] = counts.get(RECIPROCAL, 0) + 1
    return max(counts, key=lambda one: (counts[one], abs(one)), default=None)


def spread(events: Sequence[Raw]) -> Sequence[Raw]:
    """At most EVENTS of them: the first half from the head, the rest evenly spread over what follows."""
    if len(events) <= EVENTS:
        return events
    half = EVENTS // 2
    rest = len(events) - half
    return [*events[:half], *(events[half + index * rest // half] for index in range(half))]
