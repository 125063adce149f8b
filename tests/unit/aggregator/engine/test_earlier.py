"""States of earlier releases come back as they were.

`earlier.bin` is what a release that kept states in MessagePack wrote (commit a1b06d4): logs of three categories were folded by it,
a whole checkpoint was taken, and its own `thaw` said what was in it. zlib over MessagePack: category -> records of the state topic,
and per entity what was read.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import msgpack

from services.aggregator.engine import checkpoint, earlier
from services.aggregator.engine.checkpoint import FUSER, NAMES, Recovery
from services.aggregator.engine.names import Names
from services.aggregator.engine.store import Store
from services.aggregator.engine.view import Entity
from services.aggregator.fusion import Fuser
from services.aggregator.fusion.layout import HEAD, METRIC, PATH, RING, ROW, SEEN, SLOT
from tests.unit.aggregator.engine.logs import rules

FOUND: dict[str, Any] = msgpack.decode(zlib.decompress((Path(__file__).parent / "earlier.bin").read_bytes()))


def read(category: str) -> tuple[Store, Fuser, Recovery]:
    """The entities of a category in memory, and the records they came from."""
    recovery = Recovery()
    for key, value in FOUND[category]["records"]:
        recovery.feed(key, value)
    store = Store(rules(category))
    Names.load(recovery.special[NAMES], store.rules, store.tables)
    fuser = Fuser.load(recovery.special[FUSER])
    store.link(fuser)
    assert checkpoint.thaw_all(store, recovery.entities) == []
    return store, fuser, recovery


def bars_of(entity: Entity) -> list[Any] | None:
    """Bars as earlier releases wrote them."""
    if entity.bars is None:
        return None
    return [
        [bar.start_ms, bar.version, *({n: list(said[1:]) for n, said in bar.voices if said.traded == traded} for traded in (True, False)),
         bar.quote, bar.due]
        for bar in entity.bars
    ]  # fmt: skip


@pytest.mark.parametrize("category", sorted(FOUND))
def test_what_was_said_is_there_again(category: str) -> None:
    store, _, recovery = read(category)
    assert {store.key(address).decode() for address in store.addresses()} == set(FOUND[category]["entities"])
    for name, expected in FOUND[category]["entities"].items():
        entity = store.view(store.find(name.encode()))
        assert (entity.version, entity.as_of_ms) == (expected["version"], expected["as_of_ms"])
        slots = {n: (slot[0], slot[1], slot[2], tuple(slot[3])) for n, slot in expected["slots"]}
        assert entity.slots == slots
        assert bars_of(entity) == expected["bars"]
        assert entity.rolls == (None if expected["rolls"] is None else [tuple(roll) for roll in expected["rolls"]])
        assert entity.seen == (None if expected["seen"] is None else dict(expected["seen"]))
        assert entity.agreed == expected["agreed"]
    kept = dict(zip(map(store.key, store.addresses()), checkpoint.freeze_all(store, store.addresses()), strict=True))
    assert {key: value[: checkpoint.HEAD_BYTES] for key, value in kept.items()} == {
        key: value[: checkpoint.HEAD_BYTES] for key, value in recovery.entities.items()
    }
    assert not any(map(earlier.is_earlier, kept.values()))


@pytest.mark.parametrize("category", ["exchange", "market"])
def test_what_was_learned_is_there_again(category: str) -> None:
    store, fuser, _ = read(category)
    assert not fuser.state.keys
    provider_of = {row: key for key, row in fuser.state.rows.items()}
    told = 0
    for name, expected in FOUND[category]["entities"].items():
        lessons = store.view(store.find(name.encode())).lessons
        assert set(lessons) == set(expected["learned"])
        for metric, (head, path, providers, slots, ring) in expected["learned"].items():
            capacity, data = lessons[metric]
            entry = np.frombuffer(data)
            begin = HEAD + 2 * PATH
            mine = entry[begin : begin + capacity * SLOT].reshape(capacity, SLOT)
            was = np.frombuffer(head).copy()
            was[METRIC] = fuser.state.rows[metric, ""]
            assert entry[:HEAD].tobytes() == was.tobytes()
            assert entry[HEAD:begin].tobytes() == path
            assert [provider_of[int(row)] for row in mine[:, ROW]] == [(metric, provider) for provider in providers]
            assert mine[:, SEEN:].tobytes() == slots
            assert entry[begin + capacity * SLOT :].tobytes()[: len(ring)] == ring
            assert len(ring) == 4 * RING * capacity
            told += 1
    assert told == {"exchange": 4, "market": 2}[category]


def test_bytes_that_were_never_written_are_told_apart_and_left_out() -> None:
    store, _, recovery = read("market")
    value = recovery.entities[b"asset:coin"]
    again = Store(store.rules)
    Names.load(recovery.special[NAMES], again.rules, again.tables)
    again.link(Fuser.load(recovery.special[FUSER]))
    assert checkpoint.thaw_all(again, {b"asset:coin": value[:-1], b"asset:lone": recovery.entities[b"asset:lone"]}) == [
        b"asset:coin"
    ]
    assert [again.key(address) for address in again.addresses()] == [b"asset:lone"]
