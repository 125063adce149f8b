"""Numbers and instants as the API prints them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.view.numbers import LAST_MS, age, decimal, http_date, instant


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (64210.5, "64210.5"),
        (64210.0, "64210"),
        (1e-8, "0.00000001"),
        (1.25e-7, "0.000000125"),
        (1e22, "10000000000000000000000"),
        (1.5e300, "15" + "0" * 299),
        (-0.0, "0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-3.5e-9, "-0.0000000035"),
    ],
)
def test_an_amount_is_printed_with_all_digits_and_no_exponent(value: float, text: str) -> None:
    assert decimal(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_no_amount(value: float) -> None:
    assert decimal(value) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_reading_the_digits_back_gives_the_same_number(value: float) -> None:
    text = decimal(value)
    assert text is not None
    assert "e" not in text.lower()
    assert float(Decimal(text)) == value


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_790_000_000_007, "2026-09-21T14:13:20.007Z"),
        (1_790_000_000_999, "2026-09-21T14:13:20.999Z"),
        (LAST_MS, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_an_instant_is_utc_with_milliseconds(ms: int, text: str) -> None:
    assert instant(ms) == text


@given(st.integers(min_value=0, max_value=LAST_MS))
def test_an_instant_reads_back(ms: int) -> None:
    then = datetime.fromisoformat(instant(ms))
    assert round(then.timestamp() * 1000) == ms


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0.0 s"),
        (1_549, "1.5 s"),
        (119_949, "119.9 s"),
        (120_000, "2 minutes"),
        (7_199_999, "119 minutes"),
        (7_200_000, "2 hours"),
        (172_799_999, "47 hours"),
        (172_800_000, "2 days"),
        (168_402_484_070, "1,949 days"),
    ],
)
def test_an_age_is_told_in_a_unit_that_people_count_in(ms: int, words: str) -> None:
    assert age(ms) == words


def test_an_http_date_is_english_whatever_the_locale() -> None:
    assert http_date(1_790_000_000_999) == "Mon, 21 Sep 2026 14:13:20 GMT"
