"""Errors say where, what was expected, what came, and what to do."""

from __future__ import annotations

import pytest

from services.common.errors import sentence


@pytest.mark.parametrize(
    "parts, expected",
    [
        (
            ("limits[0]", "second or day", '"hourly"', "write day"),
            'limits[0]: expected second or day, got "hourly"; write day',
        ),
        (("disk", "", "full", ""), "disk: got full"),
        (("disk", "space", "", "make room"), "disk: expected space; make room"),
        (("disk", "", "", ""), "disk"),
    ],
    ids=["all", "only-got", "no-got", "only-where"],
)
def test_empty_parts_are_left_out(parts: tuple[str, str, str, str], expected: str) -> None:
    assert sentence(*parts) == expected
