"""What the fuser remembers of entities in memory, lent to Python for the general way: to answer, and to learn for the first time."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from services.aggregator.compiled.memory import floats
from services.aggregator.engine import emit, quarantine
from services.aggregator.engine.memory import words_at
from services.aggregator.fusion.layout import ROW, SLOT
from services.aggregator.fusion.state import SLOTS_AT, Key
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.blocks import entry_words
from services.aggregator.kernels.teach import LEARN_SOURCES

if TYPE_CHECKING:
    from services.aggregator.engine.names import Names
    from services.aggregator.engine.rules import Rules
    from services.aggregator.engine.store import Store
    from services.aggregator.engine.view import Entity
    from services.aggregator.fusion import Fuser

Lines = dict[int, tuple[int, int]]
"""Number of a metric -> address of what is remembered, and for how many sources it has room."""


def learn(store: Store, names: Names, rules: Rules, fuser: Fuser, entity: Entity, received_ms: int) -> None:
    """Learn in Python what the kernel `teach` refused to; mostly it finds what is made here the next time."""
    if len(entity) < LEARN_SOURCES:
        return
    store.tables.collect()
    borrow(store, fuser, entity)
    key, as_of_ms = entity.name, entity.as_of_ms
    found, aside, _ = emit.claims(entity, names, rules)
    if rules.newcomers is not None:
        quarantine.settle(entity, found, aside, rules.newcomers)
    for name, observations in found.items():
        spec = rules.specs[name]
        width = spec.window_ms
        if received_ms // width != as_of_ms // width and len(observations) >= LEARN_SOURCES:
            fuser.learn(spec, key, observations, as_of_ms)
    # Kernels answer and teach from the same state, in the order of the log.
    fuser.numbers.learn()
    give_back(store, fuser, entity)
    store.refresh()


def borrow(store: Store, fuser: Fuser, entity: Entity) -> None:
    """Let the fuser know what is remembered of this entity, in place, until it is given back."""
    providers, rows = store.tables.provider_names, fuser.state.rows
    metrics = list(store.tables.number_of)
    keys = {}
    for number, (address, capacity) in _lines(entity).items():
        metric = metrics[number]
        data = floats(address, entry_words(capacity))
        provider_of = {rows[metric, provider]: provider for provider in providers if (metric, provider) in rows}
        found = data[SLOTS_AT + ROW : SLOTS_AT + capacity * SLOT : SLOT].astype(int).tolist()
        # A source that has no row, for which there were too many, has no name here: it stays as it is, and silent.
        keys[metric] = Key.over(data, capacity, [provider_of.get(row, f"\0{k}") for k, row in enumerate(found)])
    if keys:
        fuser.state.keys[entity.name] = keys


def give_back(store: Store, fuser: Fuser, entity: Entity) -> None:
    """Take from the fuser what it remembers of this entity, also what is new or was loaded, and put it where kernels find it."""
    lines = _lines(entity)
    for metric, key in fuser.state.keys.pop(entity.name, {}).items():
        number = store.tables.number_of.get(metric)
        before = lines.get(-1 if number is None else number)
        if number is None or (before is not None and before[0] == key.address):
            continue
        words = entry_words(key.capacity)
        address = store.block(words)
        ctypes.memmove(address, key.address, words * at.WORD)
        if before is not None:
            store.release(before[0], entry_words(before[1]))
        lines[number] = address, key.capacity
    if lines:
        _write(store, entity, lines)


def collect(store: Store, fuser: Fuser) -> None:
    """Tell the fuser which metrics kernels let it learn, and what of words; before it advances or is saved."""
    metrics = store.tables.number_of
    touched = words_at(store.desk[at.X_TOUCHED], max(1, len(metrics)))
    for metric, number in metrics.items():
        if touched[number]:
            touched[number] = 0
            fuser.state.touched.add(metric)
    store.tables.collect()


def _lines(entity: Entity) -> Lines:
    block = entity.e[at.E_LEARNED]
    if not block:
        return {}
    words = words_at(block, 1 + entity.e[at.E_LEARNED_ROOM] * at.LESSON).tolist()
    places = range(1, 1 + words[0] * at.LESSON, at.LESSON)
    return {words[k + at.L_METRIC]: (words[k + at.L_ENTRY], words[k + at.L_CAPACITY]) for k in places}


def _write(store: Store, entity: Entity, lines: Lines) -> None:
    e = entity.e
    if len(lines) > e[at.E_LEARNED_ROOM]:
        if e[at.E_LEARNED]:
            store.release(e[at.E_LEARNED], 1 + e[at.E_LEARNED_ROOM] * at.LESSON)
        e[at.E_LEARNED] = store.block(1 + len(lines) * at.LESSON)
        e[at.E_LEARNED_ROOM] = len(lines)
    words = words_at(e[at.E_LEARNED], 1 + len(lines) * at.LESSON)
    words[0] = len(lines)
    for k, (metric, (address, capacity)) in enumerate(lines.items()):
        place = 1 + k * at.LESSON
        words[place + at.L_METRIC], words[place + at.L_ENTRY], words[place + at.L_CAPACITY] = metric, address, capacity
