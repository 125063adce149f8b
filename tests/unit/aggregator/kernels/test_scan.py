"""Events without a parser: the kernels find the holes, know the template, and refuse everything that needs a parser."""

from __future__ import annotations

import ctypes
import mmap
import zlib
from importlib import import_module
from typing import Any

import msgspec
import numpy as np
import pytest

from services.aggregator.compiled.memory import octets
from services.aggregator.kernels import layout as at
from tests.unit.aggregator.kernels.events import EVENT, NUMBERS, RAW, Said, World, decode, expected


def test_holes_are_numbers_but_the_weight_and_the_strings_of_id_and_entity(world: World) -> None:
    value = (
        b'{"id":"ab","category":"id","weight":2.5,"entity":"e:1","metrics":{"price":-1.5e3,"weight":7},"received_ms":9}'
    )
    before = b'{"id":"before"}'
    assert world.scanned(value, before) == 0
    count = world.holes[at.Z_COUNT]
    spans = world.holes[at.HOLES : at.HOLES + 2 * count].reshape(count, 2).tolist()
    assert [world.text[begin:end].tobytes() for begin, end in spans] == [b"ab", b"e:1", b"-1.5e3", b"7", b"9"]
    assert spans[0] == [len(before) + 7, len(before) + 9]
    assert world.holes[at.Z_HASH] != 0


def test_an_event_is_read_by_the_template_of_another(world: World) -> None:
    other = (
        b'{"id":"9","category":"market","provider":"atlas","endpoint":"full","entity":"asset:x","metrics":{"price":2,'
    )
    other += b'"volume_24h":0.125},"received_ms":5,"origin":"live","event_ms":-4,"quote":"usd","weight":0.5,"registry":"5f2c9a1e"}'
    assert world.scanned(EVENT) == 0
    assert world.learn(EVENT, 7)
    said = Said(5, -4, zlib.crc32(b"9"), b"asset:x", ["2.0", "0.125"])
    assert world.taken(other, b"some text before") == (7, said)
    assert world.taken(EVENT) == (7, expected(EVENT))


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"provider": "atlaz"},
            {"endpoint": "ful"},
            {"quote": None},
            {"quote": "eur"},
            {"group": "g"},
            {"weight": 0.25},
        ),
        *({"weight": 1.0}, {"origin": "replay"}, {"event_ms": None}, {"registry": "5f2c9a1f"}, {"reason": "why"}),
        *(
            {"metrics": dict.fromkeys(names.split(), 1.0)}
            for names in ("price", "volume_24h price", "price volume_24h ath")
        ),
    ],
)
def test_an_event_that_differs_between_the_holes_has_another_template(world: World, change: dict[str, Any]) -> None:
    world.learn(EVENT)
    other = msgspec.json.encode(msgspec.structs.replace(RAW, **change))
    assert world.scanned(other) == 0
    world.learn(other, 1)
    assert world.taken(other) == (1, expected(other))
    assert world.taken(EVENT) == (0, expected(EVENT))


def test_a_hash_alone_is_not_trusted(world: World) -> None:
    world.learn(EVENT)
    template = world.scanned(EVENT)
    line = world.line(template)
    text = octets(line[at.H_TEXT], line[at.H_TEXT_N])
    for k in range(len(text)):
        text[k] ^= 1
        assert world.scanned(EVENT) == 0
        text[k] ^= 1
    for word, step in ((at.H_TEXT_N, 1), (at.H_TEXT_N, -1), (at.H_HOLES, 1), (at.H_HOLES, -1)):
        line[word] += step
        world.forget_guesses()
        assert world.scanned(EVENT) == 0
        line[word] -= step
    assert world.scanned(EVENT) == template


def test_events_of_one_provider_and_endpoint_share_two_guesses(world: World) -> None:
    values = [msgspec.json.encode(msgspec.structs.replace(RAW, quote=quote)) for quote in ("usd", "eur", "tether")]
    templates = []
    for number, value in enumerate(values):
        world.learn(value, number)
        templates.append(world.scanned(value))
    guesses = world.templates._guesses
    (line,) = np.flatnonzero(guesses.any(axis=1)).tolist()
    assert guesses[line].tolist() == [templates[2], templates[1]]
    for order, expected_line in (((2,), (2, 1)), ((1,), (1, 2)), ((1, 2), (2, 1)), ((0,), (0, 2)), ((0, 1), (1, 0))):
        for number in order:
            assert world.scanned(values[number]) == templates[number]
            assert world.holes[at.Z_COUNT] == 6
        assert guesses[line].tolist() == [templates[number] for number in expected_line]
    # What cannot be guessed by provider and endpoint has a line of its own.
    short = b'{"id":"a","entity":"b"}'
    assert world.scanned(short) == 0
    assert guesses[at.GUESSES].tolist() == [0, 0]
    odd = msgspec.json.encode({"later": 1, **msgspec.to_builtins(RAW)})
    world.learn(odd, 3)
    assert [world.taken(odd), world.taken(odd)] == [(3, expected(odd))] * 2
    assert guesses[at.GUESSES].tolist() == [world.scanned(odd), 0]


def test_a_guess_is_not_trusted(world: World) -> None:
    other = msgspec.json.encode(msgspec.structs.replace(RAW, quote="eur"))
    world.learn(EVENT)
    world.learn(other, 1)
    template = world.scanned(EVENT)
    world.templates._guesses[:] = template
    assert world.taken(other) == (1, expected(other))
    for value in (
        EVENT[:-1],
        EVENT + b"}",
        EVENT.replace(b"24.0", b"024."),
        EVENT.replace(b"asset", b"\xc3\xa9t"),
        EVENT[1:],
    ):
        world.templates._guesses[:] = template
        assert world.scanned(value) == -1


def wrapped(body: bytes) -> bytes:
    return b'{"a":1,' + body + b',"z":2}'


WHOLE = rb"""
{ {} [] 1 {"a"} {"a":} {"a":1 {"a":1,} {"a":1}} {"a":1}{"a":1} {"a":1,"b":2 {a:1} {'a':1} {"a":1,,"b":2} {,"a":1} {"a":1;"b":2}
""".split()
WITH_SPACE = (
    b"",
    b'{"a":1} ',
    b' {"a":1}',
    b'{"a" :1}',
    b'{"a": 1}',
    b'{"a":1 }',
    b'{"a":1,\n"b":1}',
    b'{"metrics":{"b":1} }',
)
BODIES = rb"""
"b":"x\ny" "b\u0061":1 "b":"x "b":x "b":tru "b":nul "b":falsy "b":True "b":truee "b":nullx "b":"x"y
"b":NaN "b":Infinity "b":-Infinity "b":[] "b":[1] "b":{} "b":{"c":1} "metric":{"c":1} "metricsx":{"c":1}
"b":01 "b":-01 "b":00 "b":+1 "b":.5 "b":1. "b":1.e5 "b":1e "b":1e+ "b":1e- "b":1e1.5 "b":- "b":--1 "b":1- "b":0x1 "b":1_0
"b":1.5.5 "b":-.5 "b":1a "metrics":{"b":tru} "metrics":{"b":falsy} "metrics":{"b":null} "metrics":{"b":[1]} "metrics":{"b":{}}
"metrics":{"b":["x",]} "metrics":{"b":["x"} "metrics":{"b":[,"x"]} "metrics":{"b":["x""y"]} "metrics":{"b":"x} "metrics":{"b":["x\\n"]}
"metrics":{"b":[["x"]]} "metrics":{"b":"x\\ny"}
"metrics":{"metrics":{"b":1}} "metrics":{"b":1,} "metrics":{,"b":1} "metrics":{"b":1 "metrics":{"b":1}} "metrics":{{
"metrics":{"b":01} "metrics":[]
""".split()
CODES = (
    b'"b":"x\ny"',
    b'"b":"x\x1fy"',
    b'"b\x00":1',
    b'"id":"caf\xc3\xa9"',
    b'"entity":"12345678\x80"',
    b'"entity":"\xff2345678"',
)


@pytest.mark.parametrize("value", [*WHOLE, *WITH_SPACE, *map(wrapped, BODIES), *map(wrapped, CODES)])
def test_what_needs_a_parser_is_strange(world: World, value: bytes) -> None:
    assert world.scanned(value) == -1


UNKNOWN = rb"""
"b":true "b":false "b":null "metrics":{} "b":"" "":0 "b":"{}:,[]" "id":"" "id":"~" "b":-0.5E-07 "metrics":{"b":1,"b":-0}
"metrics":{"b":"x"} "metrics":{"b":true,"c":false} "metrics":{"b":[]} "metrics":{"b":["x","","y"],"c":1}
""".split()


@pytest.mark.parametrize("body", [*UNKNOWN, b'"b":"caf\xc3\xa9"', b'"id":"\x7f"'])
def test_what_needs_none_is_unknown(world: World, body: bytes) -> None:
    assert world.scanned(wrapped(body)) == 0


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_read_as_the_decoder_reads_them(world: World, number: str) -> None:
    world.learn(EVENT)
    value = EVENT.replace(b"24.012366573630292", number.encode())
    assert world.taken(value) == (0, expected(value))


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e99999999999999999999", "9" * 400, "1.7976931348623159e308"])
def test_a_number_beyond_a_double_is_left_to_the_decoder_which_refuses_it(world: World, number: str) -> None:
    world.learn(EVENT)
    value = EVENT.replace(b"24.012366573630292", number.encode())
    assert world.scanned(value) > 0
    assert world.taken(value) is None
    with pytest.raises(msgspec.DecodeError):
        decode(value)


@pytest.mark.parametrize("field", [b"1700000000000", b"1699999999080"])
@pytest.mark.parametrize("time", [b"0", b"-0", b"-12", b"9" * 15, b"-" + b"9" * 15])
def test_times_are_integers(world: World, field: bytes, time: bytes) -> None:
    world.learn(EVENT)
    value = EVENT.replace(field, time)
    assert world.taken(value) == (0, expected(value))


@pytest.mark.parametrize("field", [b"1700000000000", b"1699999999080"])
@pytest.mark.parametrize("time", [b"9" * 16, b"1.0", b"1e3", b"-" + b"1" * 16, b"1" * 40, b"-1.5"])
def test_times_of_another_form_are_left_to_the_decoder(world: World, field: bytes, time: bytes) -> None:
    world.learn(EVENT)
    assert world.taken(EVENT.replace(field, time)) is None


@pytest.mark.parametrize("size", [*range(20), *range(28, 36), *range(60, 70), 200])
def test_strings_of_all_lengths_are_found_whole(world: World, size: int) -> None:
    text = "".join(chr(97 + k % 26) for k in range(size))
    world.learn(EVENT)
    for field in ("id", "entity"):
        value = msgspec.json.encode(msgspec.structs.replace(RAW, **{field: text}))
        assert world.taken(value, b"x" * (size % 8)) == (0, expected(value))
        for place in {0, size // 2, size - 1} & set(range(size)):
            strange = value.replace(text.encode(), (text[:place] + "\\" + text[place + 1 :]).encode())
            assert world.scanned(strange) == -1
    for field in ("registry", "reason", "provider"):
        value = msgspec.json.encode(msgspec.structs.replace(RAW, **{field: text}))
        world.learn(value, 1)
        assert world.taken(value, b"x" * (size % 8)) == (1, expected(value))


def test_more_holes_than_are_kept_are_strange(world: World) -> None:
    def value(holes: int) -> bytes:
        return b"{" + b",".join(b'"k%d":%d' % (k, k) for k in range(holes)) + b"}"

    assert world.scanned(value(at.MOST_HOLES)) == 0
    assert world.holes[at.Z_COUNT] == at.MOST_HOLES
    assert world.scanned(value(at.MOST_HOLES + 1)) == -1
    assert world.scanned(value(at.MOST_HOLES)[:-1] + b',"id":"x"}') == -1


def test_an_event_that_is_cut_off_is_strange_whatever_follows_it(world: World) -> None:
    world.learn(EVENT)
    for end in range(len(EVENT)):
        assert world.scanned(EVENT[:end], behind=EVENT[end:] + EVENT) == -1
        assert world.scanned(EVENT[:end], behind=b"7" * 90) == -1


def test_nothing_is_looked_at_beyond_the_slack(scanner: dict[str, Any]) -> None:
    world = World(scanner["scan"], scanner["read"])
    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    assert protect(begin + mmap.PAGESIZE, mmap.PAGESIZE, 0) == 0
    long = EVENT.replace(b"24.012366573630292", b"3" * 90).replace(b"5f2c9a1e", b"f" * 90)
    for value in (EVENT, long):
        world.learn(value)
        template = world.scanned(value)
        for end in range(1, len(value) + 1):
            # What follows is digits, a string, or as if the event went on, which a guess compares.
            for behind in (b"1" * at.SLACK, b"a" * at.SLACK, b'"' * at.SLACK, (value[end:] + value)[: at.SLACK]):
                for guessed in (template, 0):
                    world.templates._guesses[:] = guessed
                    text = value[:end] + behind
                    place = mmap.PAGESIZE - len(text)
                    pages[place : mmap.PAGESIZE] = text
                    found = world.scan(world.desk.ctypes.data, begin, place, place + end, world.holes.ctypes.data)
                    assert found == (template if end == len(value) else -1)


def test_the_tie_is_the_crc_of_the_id(scanner: dict[str, Any]) -> None:
    data = bytes(range(256)) * 2
    memory = np.frombuffer(data + bytes(8), np.uint8)
    for size in (*range(40), 255, 300):
        begin = memory.ctypes.data + size % 11
        assert scanner["crc_of"](begin, begin + size) == zlib.crc32(data[size % 11 : size % 11 + size])


def test_both_forms_give_the_same_hash(compiled: dict[str, Any]) -> None:
    plain = import_module("services.aggregator.kernels.scan")
    hashes = set()
    for size in range(60):
        value = EVENT.replace(b"5f2c9a1e", b"f" * size)
        found = []
        for scan in (plain.scan, compiled["scan"]):
            world = World(scan, plain.read)
            assert world.scanned(value, b"x" * (size % 8)) == 0
            found.append(world.holes.tolist())
        assert found[0] == found[1]
        hashes.add(found[0][at.Z_HASH])
    assert len(hashes) == 60
