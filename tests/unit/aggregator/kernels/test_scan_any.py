"""Any event, changed in any way: what the kernels take they read exactly as the decoder does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.aggregator.kernels.events import NUMBERS, RAW, World, expected, identity

whole = st.integers(-10, 10) | st.integers(0, 2 * 10**12) | st.integers(-(10**20), 10**20)
number = (
    st.sampled_from([*NUMBERS, "1e400", "-1e308", "5e-324", "2.4e-324", "1e-400", "-0E5", "-0e0", "1.0"])
    | whole.map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][-+]?[0-9]{1,3})?", fullmatch=True)
)
string = st.sampled_from(["usd", "live", "", "asset:bitcoin"]) | st.text(max_size=40)
quoted = st.builds(lambda text, ascii_only: json.dumps(text, ensure_ascii=ascii_only), string, st.booleans())
simple = st.sampled_from(['"a"', '"live"', '"usd"', '"asset:b"'])
times = st.integers(-5, 2 * 10**12).map(str) | number
literal = st.sampled_from(["true", "false", "null", "[]", "[1]", "{}", '{"a":1}', '["a"]'])
word = simple | quoted
value_of: dict[str, st.SearchStrategy[str]] = {
    **dict.fromkeys(("id", "category", "provider", "endpoint", "entity", "registry"), word),
    **dict.fromkeys(("quote", "group"), word | st.just("null")),
    **dict.fromkeys(("weight", ""), number),
    "received_ms": times,
    "event_ms": times | st.just("null"),
    "origin": st.just('"live"') | quoted,
    "later": number | literal | quoted,
}
NEEDED = ("id", "category", "provider", "endpoint", "entity", "received_ms", "origin")
MORE = ("event_ms", "quote", "group", "weight", "registry", "later", "")
NAMES = st.sampled_from(["price", "volume_24h", "id", "weight", "entity", "metrics", "}", "é"])


@st.composite
def siblings(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Two events of the same form: an event, and one in which some values are others."""
    names = draw(st.lists(NAMES, max_size=4, unique=draw(st.sampled_from([True, True, True, False]))))
    once = draw(st.sampled_from([True, True, False]))
    keys = [*NEEDED, *draw(st.lists(st.sampled_from(MORE), max_size=5, unique=once)), "metrics"]
    if draw(st.booleans()):
        keys = draw(st.permutations(keys))
    first, second = [], []
    metric = number | st.sampled_from(["1"]) if draw(st.integers(0, 5)) else number | literal | quoted
    for key in keys:
        if key == "metrics":
            pairs = [(name, draw(metric), draw(number)) for name in names]
            first.append("{" + ",".join(f'"{name}":{one}' for name, one, _ in pairs) + "}")
            second.append("{" + ",".join(f'"{name}":{other}' for name, _, other in pairs) + "}")
        else:
            first.append(draw(value_of[key]))
            vary = key in ("id", "entity", "received_ms", "event_ms") or draw(st.integers(0, 9)) == 0
            second.append(draw(value_of[key]) if vary else first[-1])
    joined = (
        "{" + ",".join(f'"{k}":{v}' for k, v in zip(keys, values, strict=True)) + "}" for values in (first, second)
    )
    one, other = (text.encode(errors="surrogatepass") for text in joined)
    return one, other


def agree(world: World, learned: bytes, value: bytes) -> bool:
    """Whether the kernels take the event; what they take must be what the decoder reads, guessed or walked over."""
    before = b"." * (len(value) % 8)
    found = world.taken(value, before)
    code = world.scanned(value, before)
    world.forget_guesses()
    assert world.scanned(value, before) == code
    world.forget_guesses()
    assert world.taken(value, before) == found
    if world.scanned(learned) > 0:  # becomes the guess again
        assert world.scanned(value, before) == code
    if found is None:
        return False
    assert found[1] == expected(value)
    assert identity(value) == identity(learned)
    return True


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(pair=siblings(), data=st.data())
def test_what_is_taken_is_what_the_decoder_reads(
    scanner: dict[str, Any], pair: tuple[bytes, bytes], data: st.DataObject
) -> None:
    world = World(scanner["scan"], scanner["read"])
    first, second = pair
    assert world.scanned(first) <= 0
    try:
        learned = world.learn(first)
    except msgspec.DecodeError:
        return
    assert learned == (world.scanned(first) > 0)
    agree(world, first, first)
    agree(world, first, second)
    for value in (first, second):
        at_byte = data.draw(st.integers(0, len(value) - 1))
        cut = data.draw(st.integers(0, 3))
        inserted = data.draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b",", b"0", b"-", b" ", b"\\", b"\xc3\xa9", b"e5", b".0"])
        )
        agree(world, first, value[:at_byte] + inserted + value[at_byte + cut :])


def every_change(value: bytes) -> Iterator[bytes]:
    """The value with each byte left out, doubled, or replaced by each of some."""
    for k in range(len(value)):
        yield value[:k] + value[k + 1 :]
        yield value[: k + 1] + value[k:]
        for byte in b'"\\,:{}[]0-.eE+ \t\x00\x80\xc3':
            yield value[:k] + bytes([byte]) + value[k + 1 :]


def test_every_change_of_one_byte_is_refused_or_read_alike(world: World) -> None:
    short = {"id": "a1", "entity": "e:b", "registry": None, "category": "c", "provider": "p", "endpoint": "f"}
    value = msgspec.json.encode(msgspec.structs.replace(RAW, **short))
    world.learn(value)
    taken = sum(agree(world, value, changed) for changed in every_change(value))
    assert 50 < taken < 600
