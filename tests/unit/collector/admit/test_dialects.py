"""Quota headers as providers write them."""

import pytest

from services.collector.admit.dialects import BY_NAME, DIALECTS, KEPT_HEADERS, Reading, read, retry_after_ms

NOW_MS = 1_795_305_600_000  # 22 Nov 2026 00:00 UTC


@pytest.mark.parametrize(
    ("name", "headers", "expected"),
    [
        ("ratelimit", {"ratelimit-remaining": "7", "ratelimit-limit": "100", "ratelimit-reset": "12"},
         Reading(window=None, remaining=7, limit=100, reset_ms=12_000)),
        ("ratelimit", {"ratelimit-remaining": "7", "ratelimit-limit": "100, 100;w=60"},
         Reading(window=None, remaining=7, limit=100)),
        ("x-ratelimit", {"x-ratelimit-remaining": "3", "x-ratelimit-reset": "1795305630"},
         Reading(window=None, remaining=3, reset_ms=30_000)),
        ("x-ratelimit", {"x-ratelimit-remaining": "3", "x-ratelimit-reset": "1795305630000"},
         Reading(window=None, remaining=3, reset_ms=30_000)),
        ("x-mbx-used-weight", {"x-mbx-used-weight-1m": "5400"}, Reading(window="minute", used=5400)),
        ("gw-ratelimit", {"gw-ratelimit-remaining": "10", "gw-ratelimit-reset": "1500"},
         Reading(window=None, remaining=10, reset_ms=1_500)),
        ("x-ratelimit-month", {"x-ratelimit-remaining-month": "12.5"}, Reading(window="month", remaining=12.5)),
    ],
)  # fmt: skip
def test_each_dialect_is_read(name: str, headers: dict[str, str], expected: Reading) -> None:
    assert read(name, headers, NOW_MS) == [expected]


@pytest.mark.parametrize("text", ["", "many", "-1", "nan", "inf", "1e999"])
def test_a_strange_number_is_no_reading(text: str) -> None:
    assert read("x-ratelimit", {"x-ratelimit-remaining": text}, NOW_MS) == []


def test_without_a_named_dialect_all_are_tried() -> None:
    headers = {"x-ratelimit-remaining": "3", "ratelimit-remaining": "4"}
    assert [reading.remaining for reading in read(None, headers, NOW_MS)] == [4, 3]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", 2_000),
        ("0.5", 500),
        ("Sun, 22 Nov 2026 00:00:10 GMT", 10_000),
        ("Sat, 21 Nov 2026 23:59:10 GMT", None),
        ("0", None),
        ("-3", None),
        ("900", 900_000),
        ("901", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_obeyed_when_sane(text: str, expected: int | None) -> None:
    assert retry_after_ms({"retry-after": text}, NOW_MS) == expected


def test_every_row_is_found_by_name_and_its_headers_are_kept() -> None:
    assert len(BY_NAME) == len(DIALECTS)
    assert {row.header for row in DIALECTS} <= KEPT_HEADERS
    assert all(row.header == row.header.lower() and row.source for row in DIALECTS)
