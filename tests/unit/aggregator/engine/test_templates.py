"""Templates: what stands in which hole, who said it, and which events stay with Python."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from services.aggregator.engine.templates import MOST_TEXT, Templates, roles_of
from services.aggregator.kernels import layout as at
from services.aggregator.kernels.scan import read, scan
from tests.unit.aggregator.kernels.events import EVENT, RAW, World, decode, expected

NAMES = ("price", "volume_24h")
NONE, ID, ENTITY, RECEIVED, TIME, VALUE = (
    at.ROLE_NONE,
    at.ROLE_ID,
    at.ROLE_ENTITY,
    at.ROLE_RECEIVED,
    at.ROLE_EVENT,
    at.ROLE_VALUE,
)


@pytest.fixture
def world() -> World:
    return World(scan, read)


def source_of(world: World, value: bytes) -> int:
    """Number of the source of the template of an event; -2 when there is none."""
    template = world.scanned(value)
    return int(world.line(template)[at.H_SOURCE]) if template > 0 else -2


def other(**change: Any) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(RAW, **change))


HEAD = b'{"id":"a","entity":"e","received_ms":1'


@pytest.mark.parametrize(
    ("value", "names", "roles"),
    [
        (EVENT, NAMES, (ID, ENTITY, VALUE, VALUE + 1, RECEIVED, TIME)),
        (HEAD + b',"metrics":{"b":1,"a":2}}', ("b", "a"), (ID, ENTITY, RECEIVED, VALUE, VALUE + 1)),
        (HEAD + b',"metrics":{"id":1,"weight":2}}', ("id", "weight"), (ID, ENTITY, RECEIVED, VALUE, VALUE + 1)),
        (HEAD + b',"weight":2,"later":3,"more":true,"metrics":{"a":1}}', ("a",), (ID, ENTITY, RECEIVED, NONE, VALUE)),
        (HEAD + b',"event_ms":null,"metrics":{"a":' + b"9" * 5000 + b"}}", ("a",), (ID, ENTITY, RECEIVED, VALUE)),
        (b'{"event_ms":5,"metrics":{"a":1},"x":"\xff","entity":"e","received_ms":1,"id":"a"}', ("a",), (TIME, VALUE, ENTITY, RECEIVED, ID)),
    ],
)  # fmt: skip
def test_holes_have_roles_by_their_keys(value: bytes, names: tuple[str, ...], roles: tuple[int, ...]) -> None:
    assert roles_of(value, names) == roles


@pytest.mark.parametrize(
    "value",
    [
        HEAD + b',"metrics":{"b":1,"a":2}}',  # another order
        HEAD + b',"metrics":{"a":1,"b":2,"c":3}}',
        HEAD + b',"metrics":{"a":1}}',
        HEAD + b',"metrics":{"a":1,"b":2,"a":3}}',
        HEAD + b',"metrics":{"a":1,"b":2},"id":"b"}',
        HEAD + b',"metrics":{"a":1,"b":2},"quote":"x","quote":"y"}',
        HEAD + b',"metrics":{"a":1},"metrics":{"a":1,"b":2}}',
        b'{"entity":"e","received_ms":1,"metrics":{"a":1,"b":2}}',
        b'{"id":"a","received_ms":1,"metrics":{"a":1,"b":2}}',
        b'{"id":"a","entity":"e","metrics":{"a":1,"b":2}}',
        b'{"id":1,"entity":"e","received_ms":1,"metrics":{"a":1,"b":2}}',
    ],
)
def test_events_whose_roles_are_not_plain_stay_with_python(value: bytes) -> None:
    assert roles_of(value, ("a", "b")) is None


def test_a_template_has_the_text_between_the_holes_and_serves_all_of_its_kind(world: World) -> None:
    assert world.templates.learn(EVENT, 41, True, NAMES)
    line = world.line(world.scanned(EVENT))
    text = b'{"id":"","category":"market","provider":"atlas","endpoint":"full","entity":"","metrics":{"price":,"volume_24h":},'
    text += b'"received_ms":,"origin":"live","event_ms":,"quote":"usd","weight":0.5,"registry":"5f2c9a1e"}'
    assert line[at.H_TEXT_N] == len(text)
    assert any(kept.tobytes() == text + bytes(8) for kept in world.kept)
    assert world.roles(world.scanned(EVENT)) == [ID, ENTITY, VALUE, VALUE + 1, RECEIVED, TIME]
    value = other(id="", entity="asset:y", received_ms=12, metrics={"price": 0.5, "volume_24h": 1e-7}, event_ms=0)
    assert world.taken(value) == (41, expected(value))


def test_what_is_known_is_not_learned_again(world: World) -> None:
    assert world.learn(EVENT)
    assert not world.learn(EVENT)
    assert not world.learn(other(id="b"))
    assert world.templates.count == 1


def test_what_needs_a_parser_is_not_learned(world: World) -> None:
    for value in (
        EVENT + b" ",
        EVENT.replace(b"atlas", b"at\\u006cas"),
        other(metrics={"side": "b\\uy"}),
        other(id="é"),
    ):
        assert not world.learn(value)
    assert world.templates.count == 0


def test_events_of_a_source_that_is_not_plain_are_known_as_such(world: World) -> None:
    assert world.templates.learn(EVENT, 3, False, NAMES)
    assert source_of(world, EVENT) == -1
    assert source_of(world, other(id="b", metrics={"price": 2.0, "volume_24h": 3.0})) == -1
    assert world.templates.learn(other(quote=None), 4, True, NAMES[:1])
    assert source_of(world, other(quote=None)) == -1
    twice = EVENT[:-1] + b',"quote":"usd"}'
    assert world.learn(twice, 5)
    assert source_of(world, twice) == -1


def test_a_table_that_grows_keeps_all(world: World) -> None:
    values = [other(provider=f"p{n}") for n in range(700)]
    for number, value in enumerate(values):
        assert source_of(world, value) == -2
        assert world.learn(value, number)
        assert source_of(world, value) == number
        # No guess leads to a table that is gone.
        table = world.desk[at.X_TEMPLATES]
        guesses = world.templates._guesses
        assert np.all((guesses == 0) | (guesses >= table) & (guesses < table + 2048 * 8 * at.TEMPLATE))
    assert [source_of(world, value) for value in values] == list(range(700))
    assert world.templates.count == 700
    # At most half full.
    assert world.desk[at.X_TEMPLATES_MASK] == 2047


def test_lines_of_one_hash_are_told_apart_by_their_text(world: World) -> None:
    values = [other(provider=f"p{n}") for n in range(3)]
    for number, value in enumerate(values):
        world.learn(value, number)
    hashes = [world.line(world.scanned(value))[at.H_HASH] for value in values]
    lines = world.templates._lines
    rows = [lines[lines[:, at.H_HASH] == one][0].copy() for one in hashes]
    # The third is looked up by the hash of the others: they stand before it, with other texts.
    lines[:] = 0
    world.forget_guesses()
    place = int(hashes[2]) & (len(lines) - 1)
    for step, row in enumerate(rows):
        row[at.H_HASH] = hashes[2]
        lines[(place + step) % len(lines)] = row
    assert source_of(world, values[2]) == 2
    assert source_of(world, values[0]) == -2


def test_no_more_than_the_bound_are_learned() -> None:
    world = World(scan, read)
    world.templates = Templates(world.desk.ctypes.data, world.keep, most=2)
    values = [other(provider=f"p{n}") for n in range(3)]
    assert [world.learn(value, number) for number, value in enumerate(values)] == [True, True, False]
    assert [source_of(world, value) for value in values] == [0, 1, -2]


def test_a_long_event_is_not_learned_but_read_where_its_template_is_short(world: World) -> None:
    long = other(reason="r" * MOST_TEXT)
    assert not world.learn(long)
    assert world.learn(EVENT)
    value = other(id="i" * MOST_TEXT)
    assert not world.templates.learn(value, 1, True, NAMES)
    assert world.taken(value) == (0, expected(value))


def test_text_that_is_no_utf_8_is_learned_where_the_decoder_passes_over_it(world: World) -> None:
    value = EVENT[:-1] + b',"later":"\xff"}'
    try:
        decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pytest.skip("this decoder looks at it")
    assert world.learn(value, 2)
    assert world.taken(value) == (2, expected(value))


def test_templates_of_one_form_share_their_roles(world: World) -> None:
    for number in range(5):
        world.learn(other(provider=f"p{number}"))
    addresses = {int(line[at.H_ROLES]) for line in world.templates._lines if line[at.H_HASH]}
    assert len(addresses) == 1
    assert (
        sum(kept.tobytes() == np.array([ID, ENTITY, VALUE, VALUE + 1, RECEIVED, TIME]).tobytes() for kept in world.kept)
        == 1
    )
