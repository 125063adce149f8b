"""Numbers as text: the bytes of msgspec, the doubles of Python, compiled and not."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.aggregator.fusion import rows
from services.aggregator.kernels import digits, powers

NAMES = (
    "write_text", "write_int", "write_float", "write_digits", "write_share", "rounded_share", "read_float", "read_int",
)  # fmt: skip
SECRET = 0xA5


class Form:
    """The functions of one form, from and to str; each write is checked to stay where it may."""

    def __init__(self, functions: dict[str, Any]) -> None:
        self.functions = functions

    def write(self, name: str, *values: Any) -> str:
        out = np.full(digits.WIDEST + 8, SECRET, np.uint8)
        end = self.functions[name](out, 5, *values)
        assert 5 < end <= 5 + digits.WIDEST
        assert set(out[:5]) | set(out[5 + digits.WIDEST :]) == {SECRET}
        return bytes(out[5:end]).decode()

    def read(self, name: str, text: str) -> Any:
        within = np.array(list(f'{{"7":{text},"8":9}}'.encode()), np.uint8)
        return self.functions[name](within, 5, 5 + len(text))


@pytest.fixture(params=["plain", "compiled"], scope="module")
def form(request: pytest.FixtureRequest) -> Form:
    if request.param == "plain":
        return Form({name: getattr(digits, name) for name in NAMES})
    return Form(request.getfixturevalue("compiled"))


def same(found: float, expected: float) -> bool:
    """To the bit, so that -0.0 is not 0.0."""
    return struct.pack("<d", found) == struct.pack("<d", expected)


def encoded(value: float) -> str:
    return msgspec.json.encode(value).decode()


def of_bits(word: int) -> float:
    found: float = struct.unpack("<d", struct.pack("<Q", word))[0]
    return found


finite = st.floats(allow_nan=False, allow_infinity=False)
patterns = st.integers(0, 2**64 - 1).map(of_bits).filter(math.isfinite)
whole = st.integers(-(2**54), 2**54).map(float)
decimals = st.builds(lambda m, e: float(f"{m}e{e}"), st.integers(-(10**17), 10**17), st.integers(-30, 20))
doubles = st.one_of(finite, patterns, whole, decimals)


def boundaries() -> Iterator[float]:
    """Powers of two and of ten and what stands beside them; the ends; where whole numbers end."""
    for value in [2.0**e for e in range(-1074, 1024)] + [float(f"1e{e}") for e in range(-323, 309)]:
        yield from (math.nextafter(value, 0.0), value, math.nextafter(value, math.inf))
    yield from (0.0, 2.2250738585072014e-308, 2.225073858507201e-308, 1.7976931348623157e308)
    yield from (float(2**53 + n) for n in range(-9, 10))
    yield from (9.5e-7, 9.9999999999999995e-7, 0.1 + 0.2, 86243.12, 0.99999999999999989, 9.9999999999999995e15)
    # Where the double below is half as far, and where Grisu's first forms failed.
    yield from (9.5367431640625e-07, 1.448997445238699, 5e-324, 1.0e23, 9007199254740993.0, 2.98023223876953125e-8)


# --- writing ------------------------------------------------------------------------------------------------------------------
@given(value=doubles)
def test_a_double_is_written_as_the_shortest_text_that_reads_back(form: Form, value: float) -> None:
    text = form.write("write_float", value)
    assert text == encoded(value)
    assert same(float(text), value)


def test_doubles_at_boundaries_are_written_and_read(form: Form) -> None:
    for size in boundaries():
        for value in (size, -size):
            text = form.write("write_float", value)
            assert text == encoded(value)
            assert same(form.read("read_float", text), value)


def test_many_doubles_are_written_and_read(compiled: dict[str, Any]) -> None:
    form, pick = Form(compiled), random.Random(7)
    for _ in range(30_000):
        value = of_bits(pick.getrandbits(64))
        if math.isfinite(value):
            text = form.write("write_float", value)
            assert text == encoded(value)
            assert same(form.read("read_float", text), value)


@given(value=doubles)
@example(value=99999999999.7)
@example(value=999999999999.5)
@example(value=0.99999999999951)
@example(value=1e-10)
@example(value=math.nextafter(1e-10, 1.0))
@example(value=1e30)
@example(value=math.nextafter(1e30, 0.0))
@example(value=-1234.56789012345)
@example(value=-0.0)
def test_digits_read_back_to_what_fusion_rounds_to(form: Form, value: float) -> None:
    assert form.write("write_digits", value) == encoded(rows.rounded(value))


def test_digits_at_boundaries(form: Form) -> None:
    for size in boundaries():
        assert form.write("write_digits", -size) == encoded(rows.rounded(-size))


def test_twelve_digits_are_those_of_fusion() -> None:
    assert (digits.ROUNDED_ABOVE, digits.ROUNDED_BELOW, rows.DIGITS) == (rows.ROUNDED_ABOVE, rows.ROUNDED_BELOW, 12)


@given(
    value=st.one_of(
        st.floats(0.0, 1.0), st.floats(-5.0, 5000.0), st.integers(-(10**7), 10**10).map(lambda n: n / 2e6), doubles
    )
)
@example(value=0.0)
@example(value=-0.0)
@example(value=0.0000005)
@example(value=0.0000094999)
@example(value=0.0000095)
@example(value=0.9999995)
@example(value=999999999.9999999)
@example(value=1e9)
def test_a_share_has_six_places(form: Form, value: float) -> None:
    if abs(value) < 1e300:
        expected = math.floor(value * 1e6 + 0.5) / 1e6
        assert form.functions["rounded_share"](value) == expected
        assert form.write("write_share", value) == encoded(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1.0"), (0.0, "0.0"), (0.95, "0.95"), (1 / 3, "0.333333"), (2.5e-6, "3e-6"), (12.0, "12.0")],
)
def test_shares_as_they_are_read(form: Form, value: float, text: str) -> None:
    assert form.write("write_share", value) == text


@given(
    value=st.one_of(
        st.integers(-(2**63), 2**63 - 1), st.integers(-1000, 1000), st.integers(0, 63).map(lambda n: 2**n - 1)
    )
)
@example(value=-(2**63))
@example(value=2**63 - 1)
@example(value=0)
def test_whole_numbers(form: Form, value: int) -> None:
    text = form.write("write_int", value)
    assert text == str(value)
    if abs(value) < 10**18:
        assert form.read("read_int", text) == value


@pytest.mark.parametrize("value", [n for e in range(19) for n in (10**e - 1, 10**e, 10**e + 1)])
def test_whole_numbers_of_every_width(form: Form, value: int) -> None:
    assert form.write("write_int", value) == str(value)
    assert form.write("write_int", -value) == str(-value)


def test_text_is_copied(form: Form) -> None:
    source = np.array(list(b'"provider"'), np.uint8)
    assert form.write("write_text", source.ctypes.data, 10) == '"provider"'
    assert form.write("write_text", source.ctypes.data + 1, 3) == "pro"


# --- reading ------------------------------------------------------------------------------------------------------------------
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@given(text=numbers)
def test_a_number_of_json_is_read_as_python_reads_it(form: Form, text: str) -> None:
    assert same(form.read("read_float", text), float(text))


@given(value=doubles, places=st.integers(0, 25))
def test_texts_that_are_not_the_shortest(form: Form, value: float, places: int) -> None:
    text = f"{value:.{places}e}"
    assert same(form.read("read_float", text), float(text))


@given(
    word=st.integers(0, 0x7FEFFFFFFFFFFFFE),
    digit=st.sampled_from(["", "0" * 30, "1", "0" * 40 + "1"]),
    down=st.booleans(),
)
@example(word=0, digit="", down=False)
@example(word=0x7FEFFFFFFFFFFFFE, digit="", down=False)
@example(word=0x000FFFFFFFFFFFFF, digit="", down=True)
def test_middles_between_doubles(form: Form, word: int, digit: str, down: bool) -> None:
    """Exactly in the middle the even one is read, and the nearer one as little beside it as can be written."""
    middle = (Fraction(of_bits(word)) + Fraction(of_bits(word + 1))) / 2
    with localcontext() as context:
        context.prec = 1100
        exact = Decimal(middle.numerator) / Decimal(middle.denominator)
        if down:
            exact -= Decimal((0, (1,), exact.as_tuple().exponent - 3))  # type: ignore[operator]
        mantissa, _, exponent = f"{exact:e}".partition("e")
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    for text in (f"{mantissa}{digit}e{exponent}", f"-{mantissa}{digit}E{exponent}"):
        assert same(form.read("read_float", text), float(text))


@given(word=st.integers(0x4300000000000000, 0x43DFFFFFFFFFFFFF))
def test_middles_that_are_short(form: Form, word: int) -> None:
    """From 2 ** 49 to 2 ** 63 no more than 19 digits say them: nothing is cut off, and the tie must be seen."""
    middle = (Fraction(of_bits(word)) + Fraction(of_bits(word + 1))) / 2
    text = str(Decimal(middle.numerator) / Decimal(middle.denominator))
    assert Fraction(text) == middle
    assert same(form.read("read_float", text), of_bits(word + word % 2))


@pytest.mark.parametrize(
    "text",
    [
        "0", "-0", "-0.0", "0e999", "0.0e-999", "1e400", "-1e400", "1e-400", "-1e-400", "1e309", "1.7976931348623157e308",
        "1.7976931348623158e308", "1.7976931348623159e308", "2.4703282292062327e-324", "2.4703282292062328e-324", "5e-324",
        "2.2250738585072011e-308", "2.2250738585072012e-308", "9007199254740993", "9007199254740992.5", "9007199254740993e22",
        "9007199254740993e-22", "1" + "0" * 400, "1" + "0" * 300 + "e-300", "0." + "0" * 400 + "1e400", "1e+5", "1E05", "12345678",
        "123456789012345678", "1234567890123456789", "12345678901234567890", "123456789012345678901", "99999999999999999999",
        "999999999999.12345678", "99999999999.123456789", "9999999999912345678",
        "0.12345678", "1.12345678", "12345678.12345678", "12345678.1", "1.000000000000000000000000", "9999999999999999999e-19",
        "1e99999999999999999999", "1e-99999999999999999999", "0." + "3" * 900, "8" * 900 + "e-900", "10000000000000000000.00000001",
    ],
)  # fmt: skip
def test_numbers_at_the_edges(form: Form, text: str) -> None:
    assert same(form.read("read_float", text), float(text))


def test_what_128_bits_do_not_tell_is_given_to_the_exact_way(form: Form) -> None:
    """19 digits cut off between two doubles: only what follows decides."""
    assert form.read("read_float", "9007199254740993." + "0" * 30) == 9007199254740992.0
    assert form.read("read_float", "9007199254740993." + "0" * 29 + "1") == 9007199254740994.0
    assert form.read("read_float", "-9007199254740993000" + "0" * 29 + "1e-33") == -9007199254740994.0


# --- tables -------------------------------------------------------------------------------------------------------------------
def test_powers_of_five_are_cut_or_rounded_at_128_bits() -> None:
    for exponent in range(powers.LOWEST, powers.HIGHEST + 1):
        found = int(powers.UPPER[exponent - powers.LOWEST]) << 64 | int(powers.LOWER[exponent - powers.LOWEST])
        exact = Fraction(5) ** exponent
        while exact < 1 << 127:
            exact *= 2
        while exact >= 1 << 128:
            exact /= 2
        if 0 <= exponent <= powers.EXACT_TO:
            assert found == exact
        elif powers.ROUNDED_FROM <= exponent < 0:
            assert found - 1 < exact < found
        else:
            assert found < exact < found + 1
            assert found & (1 << 64) - 1 < (1 << 64) - 1  # so that adding one carries nothing
    assert [int(one) for one in powers.WHOLE] == [10**n for n in range(20)]
    assert [Fraction(one) for one in powers.EXACT] == [10**n for n in range(23)]
