"""Problems as rows."""

from __future__ import annotations

import re

import msgspec
import pytest

from services.gateway.codes import CODES
from services.gateway.problems import KIND, KINDS, STATUS_CODES, Problem, help_page


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_every_kind_has_a_title_a_help_and_a_page(kind) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)
    assert 400 <= kind.status < 600
    assert kind.help.endswith(".")
    page = help_page(kind)
    assert kind.title in page
    assert kind.help in page


def test_a_bare_status_means_a_kind_of_the_same_status() -> None:
    assert {status: KIND[code].status for status, code in STATUS_CODES.items()} == {s: s for s in STATUS_CODES}


def test_extra_members_are_in_the_document() -> None:
    problem = Problem("ambiguous-symbol", "two", {"candidates": ["a", "b"]})
    assert msgspec.json.decode(problem.body("/x", "r")) == {
        "type": "/problems/ambiguous-symbol", "title": "Several assets carry this symbol", "status": 409, "detail": "two",
        "instance": "/x", "code": "ambiguous-symbol", "request_id": "r", "candidates": ["a", "b"],
    }  # fmt: skip


def test_close_codes_are_unique_and_our_own_are_in_the_private_range() -> None:
    codes = [code.code for code in CODES]
    assert len(set(codes)) == len(codes)
    assert all(code in (1000, 1011, 1012) or 4000 <= code < 5000 for code in codes)
