# ruff: noqa: E501 - a case is a line
"""Single values: what is a number, a flag, a text, a time; what is none; what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.map import values
from services.collector.map.values import Bad


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (1, 1.0), (-2.5, -2.5), ("1.50", 1.5), (" 7 ", 7.0), ("5.9943E-4", 5.9943e-4), ("1e16", 1e16), ("", None), ("  ", None),
        (None, None), ("105273842288.229620442228701667000000000000000000000000000000", 105273842288.22962), (10**30, 1e30),
        ("\u22123.78", -3.78),
    ],
)  # fmt: skip
def test_numbers(written: Any, number: float | None) -> None:
    assert values.number(written) == number


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("abc", "not a number"), (True, "not a number"), ([1], "not a number"), ({}, "not a number"), ("1_000", "not a number"),
        ("nan", "not finite"), ("Infinity", "not finite"), ("1e400", "not finite"), (math.nan, "not finite"), (math.inf, "not finite"),
        (-math.inf, "not finite"), (10**400, "not finite"), ("0x10", "not a number"),
    ],
)  # fmt: skip
def test_no_numbers(written: Any, reason: str) -> None:
    found = values.number(written)
    assert isinstance(found, Bad)
    assert found.reason == reason


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_being_written_as_text(number: float) -> None:
    assert values.number(repr(number)) == number


@given(st.integers(min_value=0, max_value=2**256 - 1))
def test_hex_quantities_are_exact(quantity: int) -> None:
    assert values.hexadecimal(hex(quantity)) == quantity


@pytest.mark.parametrize("written", ["0xzz", "12", 12, "0x" + "f" * 500, "0x1_0"])
def test_no_hex_quantities(written: Any) -> None:
    assert isinstance(values.hexadecimal(written), Bad)


def test_empty_hex_is_no_value() -> None:
    assert (values.hexadecimal("0x"), values.hexadecimal(None), values.hexadecimal("")) == (None, None, None)


@pytest.mark.parametrize(
    ("written", "flag"),
    [
        ("1", True),
        ("0", False),
        (1, True),
        (0, False),
        (True, True),
        (False, False),
        ("true", True),
        ("", None),
        (None, None),
    ],
)
def test_flags(written: Any, flag: bool | None) -> None:
    assert values.flag(written) is flag


@pytest.mark.parametrize("written", ["2", 2, "yes", [], 1.0, "-1"])
def test_no_flags(written: Any) -> None:
    assert isinstance(values.flag(written), Bad)


@pytest.mark.parametrize(
    ("unit", "written", "moment"),
    [
        ("s", 1_795_305_600, 1_795_305_600_000), ("s", "1795305600", 1_795_305_600_000), ("s", 1385579841.7774, 1_385_579_841_777),
        ("s", "0x6b02 ".strip(), 27_394_000), ("ms", 1_795_305_600_123, 1_795_305_600_123), ("ms", "1795305600123", 1_795_305_600_123),
        ("us", "1641343695169335", 1_641_343_695_169), ("ns", "1619378327739050725", 1_619_378_327_739),
        ("iso", "2026-11-22T00:00:00Z", 1_795_305_600_000), ("iso", "2026-11-22T00:00:00.123456789Z", 1_795_305_600_123),
        ("iso", "2026-11-22 00:00:00", 1_795_305_600_000), ("iso", "2026-11-22T01:00:00.5+01:00", 1_795_305_600_500),
        ("iso", "2026-11-22", 1_795_305_600_000), ("iso", "2026-11-22 00:00:00 UTC", 1_795_305_600_000),
        ("epoch", 1_795_305_600, 1_795_305_600_000), ("epoch", "1795305600.5", 1_795_305_600_500), ("epoch", 1_795_305_600_123, 1_795_305_600_123),
        ("epoch", "1795305600123456", 1_795_305_600_123), ("epoch", 1_795_305_600_123_456_789, 1_795_305_600_123), ("epoch", "", None), ("epoch", 0, None),
        ("rfc822", "Sun, 22 Nov 2026 00:00:00 GMT", 1_795_305_600_000), ("rfc822", "Sat, 21 Nov 2026 19:00:00 -0500", 1_795_305_600_000),
        ("date", "2026-11-22", 1_795_305_600_000), ("date", "2026-11-22T11:00:00", 1_795_305_600_000),
        ("s", None, None), ("ms", "", None), ("ms", 0, None), ("s", "0", None), ("iso", "", None), ("ns", None, None),
    ],
)  # fmt: skip
def test_times(unit: str, written: Any, moment: int | None) -> None:
    assert values.time_reader(unit)(written) == moment


@pytest.mark.parametrize(
    ("unit", "written"),
    [
        ("iso", "yesterday"),
        ("iso", 5),
        ("s", "soon"),
        ("rfc822", "x"),
        ("ms", []),
        ("date", "2026-13-01"),
        ("epoch", "soon"),
        ("epoch", 1e21),
    ],
)
def test_no_times(unit: str, written: Any) -> None:
    assert isinstance(values.time_reader(unit)(written), Bad)


def test_a_zone_is_taken_when_the_time_names_none() -> None:
    tokyo = values.time_reader("format", "%Y/%m/%d %H:%M", zone_h=9.0)
    assert tokyo("2026/11/22 09:00") == 1_795_305_600_000


@pytest.mark.parametrize(
    ("moment", "plausible"),
    [(1_795_305_600_000, True), (1_795_305_600_000 + 86_400_000, True), (1_795_305_600_000 + 86_400_001, False), (0, False),
     (1_230_940_799_999, False), (32_503_680_000_000, False)],
)  # fmt: skip
def test_a_statement_is_neither_older_than_bitcoin_nor_of_the_day_after_tomorrow(moment: int, plausible: bool) -> None:
    assert values.plausible_time(moment, 1_795_305_600_000) is plausible


def test_lists_keep_their_order_and_say_each_word_once() -> None:
    assert values.texts(["b", "a", "b", None, {"no": 1}, 3], None) == ["b", "a", "3"]
    assert values.texts("a|b||a", "|") == ["a", "b"]
    assert values.texts([], None) is None


def test_markup_goes_and_its_characters_stay() -> None:
    assert values.without_markup("<p>A &amp; B<br/>\n <b>C</b></p>") == "A & B C"
    assert values.without_markup('A <a href="x">link</a>, <em>so</em>.<p>Next</p>') == "A link, so. Next"
