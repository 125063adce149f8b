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
    INFLATION_PRIOR,
    LAST_MS,
    LAST_VALUE,
    METRIC,
    MOST_SOURCES,
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
    STRANGER,
    VOL,
)
from services.aggregator.fusion.model import Spec

Floats = NDArray[np.float64]

MOST_ROWS = 65_536
"""(source, metric) pairs with a record of their own; later ones stay strangers."""
START_MOVE = 0.25
"""Variance that an unknown quantity gains in one window of its metric, in tolerances squared."""
START_RIGHT = 0.9
_KEPT = (SEEN, LAST_VALUE, FIRST_MS, LAST_MS, OFF)
"""Columns of a slot that are state; the others are found again by name."""


class Key:
    """What is remembered about one (key, metric): one stretch of memory, laid out as layout.ENTRY says."""

    __slots__ = ("address", "capacity", "data", "groups", "slot_of")

    def __init__(self, metric_row: int, start_vol: float, capacity: int = 0) -> None:
        self.slot_of: dict[str, int] = {}
        self.groups: list[str] = []
        """By slot."""
        self._hold(np.zeros(_width(capacity)), capacity)
        data = self.data
        data[VOL] = start_vol
        data[INFL_A] = data[INFL_B] = INFLATION_PRIOR
        data[METRIC] = metric_row
        if capacity:
            self.ring[:] = -1

    @classmethod
    def over(cls, data: Floats, capacity: int, providers: Sequence[str]) -> Key:
        """The state that lies in memory of somebody else, in place: layout.ENTRY doubles; `providers` by slot."""
        key = cls.__new__(cls)
        key.slot_of = {provider: slot for slot, provider in enumerate(providers)}
        key.groups = [""] * len(providers)
        key._hold(data, capacity)
        return key

    def _hold(self, data: Floats, capacity: int) -> None:
        self.data = data
        self.capacity = capacity
        self.address: int = data.__array_interface__["data"][0]

    def widen(self, capacity: int) -> None:
        """Make room for so many sources."""
        before, had, ring = self.data, self.capacity, self.ring
        self._hold(np.zeros(_width(capacity)), capacity)
        known = SLOTS_AT + had * SLOT
        self.data[:known] = before[:known]
        self.ring[:] = -1
        self.ring[:had] = ring

    @property
    def head(self) -> Floats:
        """HEAD numbers of the key."""
        return self.data[:HEAD]

    @property
    def path(self) -> Floats:
        """PATH samples of our own answer."""
        return self.data[HEAD:SLOTS_AT].reshape(PATH, 2)

    @property
    def slots(self) -> Floats:
        """SLOT numbers of each source."""
        return self.data[SLOTS_AT : SLOTS_AT + self.capacity * SLOT].reshape(self.capacity, SLOT)

    @property
    def ring(self) -> NDArray[np.int16]:
        """RING samples of each source."""
        flat = self.data[SLOTS_AT + self.capacity * SLOT :].view(np.int16)
        return flat[: self.capacity * RING * 2].reshape(self.capacity, RING, 2)


SLOTS_AT = HEAD + 2 * PATH


def _width(capacity: int) -> int:
    """Doubles that a key with room for so many sources takes; four int16 fit into one."""
    return SLOTS_AT + capacity * SLOT + (capacity * RING * 2 + 3) // 4


def start_vol(window_ms: int) -> float:
    """Volatility of a quantity of which nothing is known."""
    return START_MOVE / max(window_ms, 1)


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
        self.strangers: Floats = np.zeros((64, STRANGER))
        self._strangers = 0
        self._codes: dict[str, dict[tuple[str, str], int]] = {}
        self._unknown: dict[str, int] = {}
        self.met = 0
        """How often a row, provider or group was named."""
        self._looked = 0
        """As of when strangers were last looked at."""
        self.row("", "stranger")

    def find(self, spec: Spec, key: str) -> Key | None:
        """The state of (key, metric), if there is any."""
        metrics = self.keys.get(key)
        return metrics.get(spec.name) if metrics is not None else None

    def key(self, spec: Spec, key: str, capacity: int = 0) -> Key:
        """The state of (key, metric), made with room for so many sources when it is new."""
        metrics = self.keys.get(key)
        if metrics is None:
            metrics = self.keys[key] = {}
        entry = metrics.get(spec.name)
        if entry is None:
            entry = metrics[spec.name] = Key(self.row(spec.name, ""), start_vol(spec.window_ms), capacity)
        return entry

    def strangers_of(self, metric: str) -> dict[tuple[str, str], int]:
        """(provider, group) -> code of a source that a key does not know, as far as this was asked; see `stranger`."""
        found = self._codes.get(metric)
        if found is None:
            found = self._codes[metric] = {}
        return found

    def stranger(self, metric: str, provider: str, group: str) -> int:
        """The code of a source that a key does not know: what the metric knows of it stands in `strangers[-1 - code]`."""
        codes = self.strangers_of(metric)
        code = codes.get((provider, group))
        if code is None:
            place = self._strangers
            if place == len(self.strangers):
                self.strangers = np.concatenate([self.strangers, np.zeros_like(self.strangers)])
            gid = self.groups.get(group)
            if gid is None:
                gid = self._unknown.setdefault(group, -1 - 3 * MOST_ROWS - len(self._unknown))
            self.strangers[place] = self.rows.get((metric, provider), 0), self.providers.get(provider, -1), gid
            self._strangers = place + 1
            code = codes[provider, group] = -1 - place
        return code

    def meet(self) -> None:
        """Look at strangers anew; between two batches, when somebody became known or they are too many."""
        if self.met != self._looked or self._strangers > MOST_ROWS:
            self._looked = self.met
            self._codes.clear()
            self._unknown.clear()
            self._strangers = 0

    def meet_all(self, metric: str, entry: Key, pairs: Sequence[tuple[str, str]]) -> None:
        """Give a slot to each of these (provider, group) that has none."""
        new = [pair for pair in pairs if pair[0] not in entry.slot_of]
        room = min(len(entry.slot_of) + len(new), 2 * MOST_SOURCES)
        if room > entry.capacity:
            entry.widen(room)
        for provider, group in new:
            self._slot(metric, entry, provider, group)

    def _slot(self, metric: str, entry: Key, provider: str, group: str) -> None:
        """Give a slot to a provider; the longest silent one makes room in a full key."""
        slot = len(entry.slot_of)
        if slot >= 2 * MOST_SOURCES:
            slot = int(np.argmin(entry.slots[:slot, LAST_MS]))
            silent = next(name for name, at in entry.slot_of.items() if at == slot)
            del entry.slot_of[silent]
            entry.slots[slot] = 0.0
            entry.ring[slot] = -1
        self._name(metric, entry, slot, provider, group)
        # As new as the newest, so that it does not make room for the next of the same window.
        entry.data[SLOTS_AT + slot * SLOT + LAST_MS] = entry.data[AT] + 1.0

    def _name(self, metric: str, entry: Key, slot: int, provider: str, group: str) -> None:
        entry.slot_of[provider] = slot
        if slot == len(entry.groups):
            entry.groups.append(group)
        entry.groups[slot] = group
        if provider not in self.providers and len(self.providers) < PAIRS:
            self.providers[provider] = len(self.providers)
            self.met += 1
        if group not in self.groups and len(self.groups) < MOST_ROWS:
            self.groups[group] = len(self.groups)
            self.met += 1
        at = SLOTS_AT + slot * SLOT
        data = entry.data
        data[at + ROW] = self.row(metric, provider)
        data[at + PID] = self.providers.get(provider, -1)
        data[at + GID] = self.groups.get(group, -1 - slot)

    def row(self, metric: str, provider: str) -> int:
        """The row of a source in a metric, made when it is new."""
        row = self.rows.get((metric, provider))
        if row is None:
            if len(self.rows) >= MOST_ROWS and provider:
                return 0
            row = self.rows[metric, provider] = len(self.rows)
            self.met += 1
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
        state.met += 1
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
            n = len(one.providers)
            entry = metrics[one.metric] = Key(metric_row, 0.0, n)
            head = np.frombuffer(one.head)[:HEAD]
            # What an older release did not know stays as it is at the start; columns are only ever added at the end.
            entry.head[: len(head)] = head
            entry.head[METRIC] = metric_row
            entry.path[:] = np.frombuffer(one.path).reshape(PATH, 2)
            entry.slots[:, _KEPT] = np.frombuffer(one.slots).reshape(n, len(_KEPT))
            entry.ring[:] = np.frombuffer(one.ring, np.int16).reshape(n, RING, 2)
            for slot, (provider, group) in enumerate(zip(one.providers, one.groups, strict=True)):
                self._name(one.metric, entry, slot, provider, group or provider)
