"""What the fuser learns of entities in memory: the general way for windows that kernels refuse, and where its state lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.aggregator.engine import emit, quarantine
from services.aggregator.engine.memory import words_at
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.teach import LEARN_SOURCES

if TYPE_CHECKING:
    from services.aggregator.engine.names import Names
    from services.aggregator.engine.rules import Rules
    from services.aggregator.engine.store import Store
    from services.aggregator.engine.view import Entity
    from services.aggregator.fusion import Fuser


def learn(store: Store, names: Names, rules: Rules, fuser: Fuser, entity: Entity, received_ms: int) -> None:
    """Learn in Python what the kernel `teach` refused to; from the next window on it finds what is made here."""
    if len(entity) < LEARN_SOURCES:
        return
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
    refresh(store, fuser, entity)


def refresh(store: Store, fuser: Fuser, entity: Entity) -> None:
    """Tell kernels where the fuser's state of this entity lies; after it was made, widened or loaded."""
    store.refresh()
    words = entity.e
    numbers = store.tables.number_of
    lessons = [
        (numbers[metric], key.address, key.capacity)
        for metric, key in fuser.state.keys.get(entity.name, {}).items()
        if metric in numbers
    ]
    room = words[at.E_LEARNED_ROOM]
    if len(lessons) > room:
        if words[at.E_LEARNED]:
            store.release(words[at.E_LEARNED], 1 + room * at.LESSON)
        words[at.E_LEARNED] = store.block(1 + len(lessons) * at.LESSON)
        words[at.E_LEARNED_ROOM] = room = len(lessons)
    if room:
        block = words_at(words[at.E_LEARNED], 1 + room * at.LESSON)
        block[0] = len(lessons)
        for k, lesson in enumerate(lessons):
            for word, value in enumerate(lesson):
                block[1 + k * at.LESSON + word] = value


def collect(store: Store, fuser: Fuser) -> None:
    """Tell the fuser which metrics kernels let it learn; before it advances or is saved."""
    metrics = store.tables.number_of
    touched = words_at(store.desk[at.X_TOUCHED], max(1, len(metrics)))
    for metric, number in metrics.items():
        if touched[number]:
            touched[number] = 0
            fuser.state.touched.add(metric)
