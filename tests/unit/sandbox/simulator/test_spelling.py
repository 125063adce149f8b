"""Numbers and times are written like the example and read back as what was meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.simulator.spelling import number_like, read_time, time_like

AT = 1_795_305_600_123


@pytest.mark.parametrize(
    ("value", "example", "whole", "expected"),
    [
        (61234.5, 60000.1, False, 61234.5),
        (61234.5, 60000, False, 61234.5),
        (61234.5, 60000, True, 61234 if round(61234.5) == 61234 else 61235),
        (0.5, "0.00000000", False, "0.5000000000"),
        (61234.5, "60000.10", False, "61234.50000"),
        (12.5, "+3.25%", False, "12.50000000%"),
        (-12.5, "-3.25 %", False, "-12.50000000 %"),
        (12.5, "\u22123.25%", False, "12.50000000%"),
        (-12.5, "\u22123.25%", False, "-12.50000000%"),
        (1234.5, "$1,000.00", False, "$1234.500000"),
        (255.0, "0x10", True, "0xff"),
        (1e21, "12000000000000000000", True, "1000000000000000000000"),
        (0.00001234, "0.5", False, "0.00001234000000"),
        (5.0, True, False, None),
        (5.0, "n/a", False, None),
        (float("inf"), "1", False, None),
        (5.0, None, False, None),
    ],
)
def test_a_number_is_written_like_its_example(value: float, example: Any, whole: bool, expected: Any) -> None:
    assert number_like(value, example, whole) == expected


@given(st.floats(1e-12, 1e12), st.sampled_from(["1.5", "0.00000000", "12", "1e-8"]))
def test_text_keeps_nine_digits_and_no_exponent(value: float, example: str) -> None:
    text = number_like(value, example)
    assert "e" not in text
    assert float(text) == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize(
    ("example", "unit", "form", "zone_h", "expected"),
    [
        (1, "s", None, 0.0, 1795305600),
        (1.5, "s", None, 0.0, 1795305600.123),
        ("1", "s", None, 0.0, "1795305600"),
        ("1.25", "s", None, 0.0, "1795305600.123"),
        (1, "ms", None, 0.0, AT),
        ("1", "us", None, 0.0, "1795305600123000"),
        (1, "ns", None, 0.0, 1795305600123000000),
        ("0x1", "hex_s", None, 0.0, "0x6b023080"),
        ("0x1", "s", None, 0.0, "0x6b023080"),
        ("2024-01-01T00:00:00Z", "iso", None, 0.0, "2026-11-22T00:00:00Z"),
        ("2024-01-01T00:00:00.000Z", "iso", None, 0.0, "2026-11-22T00:00:00.123Z"),
        ("2024-01-01 00:00:00.000000", "iso", None, 0.0, "2026-11-22 00:00:00.123000"),
        ("2024-01-01T00:00:00+02:00", "iso", None, 0.0, "2026-11-22T02:00:00+02:00"),
        ("2024-01-01", "iso", None, 0.0, "2026-11-22"),
        ("2024-01-01", "date", None, 0.0, "2026-11-22"),
        ("2024-01-01 00:00", "format", "%Y-%m-%d %H:%M", 9.0, "2026-11-22 09:00"),
        ("Mon, 01 Jan 2024 00:00:00 GMT", "rfc822", None, 0.0, "Sun, 22 Nov 2026 00:00:00 GMT"),
        ("Mon, 01 Jan 2024 00:00:00 +0000", "rfc822", None, 0.0, "Sun, 22 Nov 2026 00:00:00 +0000"),
        (5, "iso", None, 0.0, None),
    ],
)
def test_a_time_is_written_like_its_example(
    example: Any, unit: str, form: str | None, zone_h: float, expected: Any
) -> None:
    assert time_like(AT, example, unit, form, zone_h) == expected


@given(st.integers(1_300_000_000, 2_500_000_000), st.sampled_from([
    (1, "s"), ("1", "s"), (1, "ms"), (1, "us"), (1, "ns"), ("2024-01-01T00:00:00Z", "iso"), ("2024-01-01 00:00:00", "iso"),
    ("2024-01-01T00:00:00-05:30", "iso"), ("Mon, 01 Jan 2024 00:00:00 GMT", "rfc822"),
]))  # fmt: skip
def test_what_is_written_is_read_back(second: int, example: tuple[Any, str]) -> None:
    text, unit = example
    assert read_time(time_like(second * 1000, text, unit), unit) == second * 1000


def test_a_moment_that_the_rule_moves_is_moved_back() -> None:
    assert time_like(60_000, 0, "s", add_s=60) == 0
    assert read_time(1_700_000_000, "s", add_s=60) == 1_700_000_060_000
