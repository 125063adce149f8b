"""Templates of raw events: what stands where in all events that are the same text but for a few holes (kernels/scan.py)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from services.aggregator.compiled.memory import integers
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.scan import scan

MOST_TEMPLATES = 65_536
"""A partition has some hundreds. With more, something varies that should not: Python reads the events of those that came later."""
MOST_TEXT = 8_192
"""A template is not made of an event longer than this."""
FIRST_LINES = 256
NOBODY = -1
"""In place of a source: Python reads such events."""

Keep = Callable[[bytes], int]
"""Copies bytes to memory that stays, and gives their address."""


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys as they came, also those that came twice."""


class Templates:
    """The templates of one partition, in a table that kernels read by the desk's words."""

    def __init__(self, desk: int, keep: Keep, most: int = MOST_TEMPLATES) -> None:
        self._desk = integers(desk, at.DESK)
        self._at = desk
        self._keep = keep
        self._most = most
        self.count = 0
        self._holes = np.zeros(at.HOLES_WORDS, np.int64)
        self._words: dict[tuple[int, ...], int] = {}
        self._guesses = np.zeros((at.GUESSES + 1, 2), np.int64)
        self._desk[at.X_GUESSES] = self._guesses.ctypes.data
        self._lines = self._table(FIRST_LINES)

    def learn(
        self, value: bytes, source: int, plain: bool, names: Sequence[str], kinds: Sequence[int] | None = None
    ) -> bool:
        """Make a template of an event that `scan` did not know, so that it knows the next of its kind; whether one was made.

        The event must be one that the decoder has read, and `source` be what it came to. `names`: the metrics in the order of
        the source's places, and `kinds` what each is (KIND_*; numbers, if not told); not `plain`: Python reads all that this
        source says.
        """
        if self.count >= self._most or len(value) > MOST_TEXT:
            return False
        text = value + bytes(at.SLACK)
        memory = np.frombuffer(text, np.uint8)
        if scan(self._at, memory.ctypes.data, 0, len(value), self._holes.ctypes.data) != 0:
            return False
        holes = self._holes.tolist()
        count = holes[at.Z_COUNT]
        ends = [holes[at.HOLES + 2 * k : at.HOLES + 2 * k + 2] for k in range(count)]
        roles = roles_of(value, names, kinds) if plain else None
        if roles is None or len(roles) != count:
            source, roles = NOBODY, (at.ROLE_NONE,) * count
        starts = [0, *(end for _, end in ends)]
        stops = [*(begin for begin, _ in ends), len(value)]
        texts = [value[start:stop] for start, stop in zip(starts, stops, strict=True)]
        between = b"".join(texts)
        after = [at.HOLE_STRING if text.endswith(b'"') else at.HOLE_NUMBER for text in texts]
        inside = range(holes[at.Z_FIRST], holes[at.Z_LAST])
        after[inside.start : inside.stop] = [at.HOLE_VALUE] * len(inside)
        line = np.zeros(at.TEMPLATE, np.int64)
        line[at.H_HASH] = holes[at.Z_HASH]
        line[at.H_SOURCE] = source
        line[at.H_TEXT] = self._keep(between + bytes(at.WORD))
        line[at.H_TEXT_N] = len(between)
        line[at.H_HOLES] = count
        line[at.H_ROLES] = self._kept(roles)
        line[at.H_RUNS] = self._kept(tuple(4 * len(text) + kind for text, kind in zip(texts, after, strict=True)))
        if 2 * (self.count + 1) > len(self._lines):
            self._grow()
        self._put(line)
        self.count += 1
        return True

    def _kept(self, words: tuple[int, ...]) -> int:
        """Where these words lie in memory; many templates have the same."""
        found = self._words.get(words)
        if found is None:
            found = self._words[words] = self._keep(np.array(words, np.int64).tobytes())
        return found

    def _table(self, lines: int) -> Any:
        """An empty table, entered in the desk; guesses lead to lines of the one before."""
        self._guesses[:] = 0
        table = np.zeros((lines, at.TEMPLATE), np.int64)
        self._desk[at.X_TEMPLATES] = table.ctypes.data
        self._desk[at.X_TEMPLATES_MASK] = lines - 1
        return table

    def _grow(self) -> None:
        before = self._lines
        self._lines = self._table(2 * len(before))
        for line in before[before[:, at.H_HASH] != 0]:
            self._put(line)

    def _put(self, line: Any) -> None:
        mask = len(self._lines) - 1
        place = int(line[at.H_HASH]) & mask
        while self._lines[place, at.H_HASH] != 0:
            place = (place + 1) & mask
        self._lines[place] = line


def roles_of(value: bytes, names: Sequence[str], kinds: Sequence[int] | None = None) -> tuple[int, ...] | None:
    """What stands in each hole of the event, in the order of the text; None when Python has to read such events."""
    fields = json.loads(value.decode(errors="surrogateescape"), object_pairs_hook=_Pairs, parse_int=float)
    keys = [key for key, _ in fields]
    if len(set(keys)) < len(keys):
        return None
    roles: list[int] = []
    for key, held in fields:
        if isinstance(held, _Pairs):
            # The places of a source are its metrics in this order; one that came twice counts once, by its last value.
            if [name for name, _ in held] != list(names):
                return None
            kinds = kinds or [at.KIND_NUMBER] * len(held)
            roles.extend(at.ROLE_VALUE + kind * at.MOST_HOLES + place for place, kind in enumerate(kinds))
        elif isinstance(held, float) and key != "weight":
            roles.append(_TIMES.get(key, at.ROLE_NONE))
        elif key in _STRINGS and isinstance(held, str):
            roles.append(_STRINGS[key])
    if not {at.ROLE_ID, at.ROLE_ENTITY, at.ROLE_RECEIVED} <= set(roles):
        return None
    return tuple(roles)


_TIMES = {"received_ms": at.ROLE_RECEIVED, "event_ms": at.ROLE_EVENT}
_STRINGS = {"id": at.ROLE_ID, "entity": at.ROLE_ENTITY}
