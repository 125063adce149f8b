"""Learned state of numeric metrics: one array for sources, one for pairs, a few small ones per key; bounded, dumped exactly."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.aggregator.fusion.layout import (
    AT,
    FIRST_MS,
    GID,
    HEAD,
    INFL_A,
    INFL_B,
    LAST_MS,
    LAST_VALUE,
    METRIC,
    OFF,
    PAIRS,
    PATH,
    PID,
    RIGHT,
    RING,
    ROW,
    S2,
    S2_START,
    SEEN,
    SLOT,
    SOURCE,
    VOL,
)
from services.aggregator.fusion.model import Observation, Spec

Floats = NDArray[np.float64]

MOST_SOURCES = 128
"""Sources of one window that are looked at, and sources that a key remembers."""
MOST_ROWS = 65_536
"""(source, metric) pairs with a record of their own; later ones stay strangers."""
START_MOVE = 0.25
"""Variance that an unknown quantity gains in one window of its metric, in tolerances squared."""
INFLATION_PRIOR = 20.0
START_RIGHT = 0.9
_KEPT = (SEEN, LAST_VALUE, FIRST_MS, LAST_MS, OFF)
"""Columns of a slot that are state; the others are found again by name."""


class Key:
    """What is remembered about one (key, metric)."""

    __slots__ = ("groups", "head", "path", "ring", "slot_of", "slots")

    def __init__(self, metric_row: int, window_ms: int) -> None:
        self.head: Floats = np.zeros(HEAD)
        self.head[VOL] = START_MOVE / max(window_ms, 1)
        self.head[INFL_A] = self.head[INFL_B] = INFLATION_PRIOR
        self.head[METRIC] = metric_row
        self.path: Floats = np.zeros((PATH, 2))
        self.slots: Floats = np.zeros((0, SLOT))
        self.ring: NDArray[np.int16] = np.zeros((0, RING, 2), np.int16)
        self.slot_of: dict[str, int] = {}
        self.groups: list[str] = []
        """By slot."""


class SavedKey(msgspec.Struct, array_like=True):
    """One (key, metric) as bytes of its arrays."""

    metric: str
    head: bytes
    path: bytes
    providers: list[str]
    groups: list[str]
    slots: bytes
    ring: bytes


class Saved(msgspec.Struct, array_like=True):
    """Everything that is not per key."""

    rows: list[tuple[str, str]]
    providers: list[str]
    groups: list[str]
    sources: bytes
    pairs: bytes
    touched: list[str]


class State:
    """Sources, pairs and keys of one fuser."""

    def __init__(self) -> None:
        self.sources: Floats = np.zeros((16, SOURCE))
        self.pairs = np.zeros((PAIRS, PAIRS), np.float32)
        self.rows: dict[tuple[str, str], int] = {}
        """(metric, provider) -> row of sources; provider "" is the metric itself. Row 0 belongs to all strangers."""
        self.rows_of: dict[str, list[int]] = {}
        self.providers: dict[str, int] = {}
        self.groups: dict[str, int] = {}
        self.keys: dict[str, dict[str, Key]] = {}
        """key -> metric -> state."""
        self.touched: set[str] = set()
        """Metrics that learned since the last epoch."""
        self.row("", "stranger")

    def find(self, spec: Spec, key: str) -> Key | None:
        """The state of (key, metric), if there is any."""
        metrics = self.keys.get(key)
        return metrics.get(spec.name) if metrics is not None else None

    def key(self, spec: Spec, key: str) -> Key:
        """The state of (key, metric), made when it is new."""
        entry = self.find(spec, key)
        if entry is None:
            entry = Key(self.row(spec.name, ""), spec.window_ms)
            self.keys.setdefault(key, {})[spec.name] = entry
        return entry

    def guest(self, spec: Spec, entry: Key | None, observations: Sequence[Observation]) -> tuple[Key, list[int]]:
        """A key with room for sources it has not learned of yet, for one answer, and the slots; nothing is remembered."""
        guest = Key(0, spec.window_ms)
        known = 0
        if entry is not None:
            guest.head, known = entry.head, len(entry.slots)
            guest.slot_of = entry.slot_of
        guest.slots = np.zeros((known + len(observations), SLOT))
        if entry is not None:
            guest.slots[:known] = entry.slots
        slots = []
        strangers: dict[str, int] = {}
        for i, observation in enumerate(observations):
            slot = guest.slot_of.get(observation.provider)
            if slot is None:
                slot = known + i
                guest.slots[slot, ROW] = self.rows.get((spec.name, observation.provider), 0)
                guest.slots[slot, PID] = self.providers.get(observation.provider, -1)
                gid = self.groups.get(observation.group)
                guest.slots[slot, GID] = (
                    strangers.setdefault(observation.group, -1 - i - MOST_ROWS) if gid is None else gid
                )
            slots.append(slot)
        return guest, slots

    def slot(self, spec: Spec, entry: Key, observation: Observation) -> int:
        """The slot of a provider in a key; the longest silent provider makes room in a full one."""
        found = entry.slot_of.get(observation.provider)
        if found is not None:
            return found
        slot = len(entry.slot_of)
        if slot >= 2 * MOST_SOURCES:
            slot = int(np.argmin(entry.slots[:slot, LAST_MS]))
            silent = next(name for name, at in entry.slot_of.items() if at == slot)
            del entry.slot_of[silent]
            entry.slots[slot] = 0.0
            entry.ring[slot] = -1
        elif slot == len(entry.slots):
            more = max(4, slot // 2)
            entry.slots = np.concatenate([entry.slots, np.zeros((more, SLOT))])
            entry.ring = np.concatenate([entry.ring, np.full((more, RING, 2), -1, np.int16)])
        self._name(spec.name, entry, slot, observation.provider, observation.group)
        # As new as the newest, so that it does not make room for the next of the same window.
        entry.slots[slot, LAST_MS] = entry.head[AT] + 1.0
        return slot

    def _name(self, metric: str, entry: Key, slot: int, provider: str, group: str) -> None:
        entry.slot_of[provider] = slot
        if slot == len(entry.groups):
            entry.groups.append(group)
        entry.groups[slot] = group
        entry.slots[slot, ROW] = self.row(metric, provider)
        if len(self.providers) < PAIRS:
            self.providers.setdefault(provider, len(self.providers))
        entry.slots[slot, PID] = self.providers.get(provider, -1)
        if len(self.groups) < MOST_ROWS:
            self.groups.setdefault(group, len(self.groups))
        entry.slots[slot, GID] = self.groups.get(group, -1 - slot)

    def row(self, metric: str, provider: str) -> int:
        """The row of a source in a metric, made when it is new."""
        row = self.rows.get((metric, provider))
        if row is None:
            if len(self.rows) >= MOST_ROWS and provider:
                return 0
            row = self.rows[metric, provider] = len(self.rows)
            if row == len(self.sources):
                self.sources = np.concatenate([self.sources, np.zeros_like(self.sources)])
            if provider:
                self.sources[row, S2] = S2_START
                self.sources[row, RIGHT] = START_RIGHT
                self.rows_of.setdefault(metric, []).append(row)
        return row

    def dump(self) -> bytes:
        """All but the keys, exactly."""
        return msgspec.msgpack.encode(
            Saved(
                list(self.rows),
                list(self.providers),
                list(self.groups),
                self.sources[: len(self.rows)].tobytes(),
                self.pairs.tobytes(),
                sorted(self.touched),
            )
        )

    @classmethod
    def load(cls, data: bytes) -> State:
        """What `dump` gave."""
        saved = msgspec.msgpack.decode(data, type=Saved)
        state = cls()
        for metric, provider in saved.rows:
            state.row(metric, provider)
        state.providers = {name: i for i, name in enumerate(saved.providers)}
        state.groups = {name: i for i, name in enumerate(saved.groups)}
        sources = np.frombuffer(saved.sources).reshape(-1, SOURCE)
        state.sources[: len(sources)] = sources
        state.pairs = np.frombuffer(saved.pairs, np.float32).reshape(PAIRS, PAIRS).copy()
        state.touched = set(saved.touched)
        return state

    def dump_key(self, key: str) -> list[SavedKey]:
        """The state of a key in all its metrics, exactly."""
        saved = []
        for metric, entry in sorted(self.keys.get(key, {}).items()):
            n = len(entry.slot_of)
            names = sorted(entry.slot_of, key=entry.slot_of.__getitem__)
            saved.append(
                SavedKey(
                    metric,
                    entry.head.tobytes(),
                    entry.path.tobytes(),
                    names,
                    # Most providers are their own group, which is not written.
                    ["" if group == name else group for name, group in zip(names, entry.groups, strict=True)],
                    entry.slots[:n, _KEPT].tobytes(),
                    entry.ring[:n].tobytes(),
                )
            )
        return saved

    def load_key(self, key: str, saved: list[SavedKey]) -> None:
        """Restore what `dump_key` gave."""
        metrics = self.keys[key] = {}
        for one in saved:
            metric_row = self.row(one.metric, "")
            entry = metrics[one.metric] = Key(metric_row, 1)
            entry.head = np.frombuffer(one.head).copy()
            entry.head[METRIC] = metric_row
            entry.path = np.frombuffer(one.path).reshape(PATH, 2).copy()
            n = len(one.providers)
            entry.slots = np.zeros((n, SLOT))
            entry.slots[:, _KEPT] = np.frombuffer(one.slots).reshape(n, len(_KEPT))
            entry.ring = np.frombuffer(one.ring, np.int16).reshape(n, RING, 2).copy()
            for slot, (provider, group) in enumerate(zip(one.providers, one.groups, strict=True)):
                self._name(one.metric, entry, slot, provider, group or provider)
