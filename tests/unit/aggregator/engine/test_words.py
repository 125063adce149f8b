"""In the stream, words are weighed as what they are: flags and labels by odds, sets by member, texts by likeness; no votes on strings."""

from __future__ import annotations

import math
from typing import Any

import pytest

from schemas import metrics
from schemas.events import Raw, Value
from services.aggregator.engine import Partition
from tests.unit.aggregator.engine.logs import folded, log, raw, sent

TOKEN = "token:ethereum:0xab"


def said(category: str, entity: str, name: str, *rows: tuple[str, str | None, Value]) -> dict[str, Any]:
    """The fused metric after (provider, group, value) were folded, one after another."""
    raws: list[Raw] = [
        raw(entity, provider, k, category=category, group=group, quote=None, metrics={name: value})
        for k, (provider, group, value) in enumerate(rows)
    ]
    partition: Partition = folded(log(*raws), category)
    return sent(partition)[entity]["metrics"][name]  # type: ignore[no-any-return]


def test_one_group_of_three_does_not_outvote_two_that_know_for_themselves() -> None:
    found = said(
        "security", TOKEN, "is_honeypot",
        ("a", "g", False), ("b", "g", False), ("c", "g", False), ("d", None, True), ("e", None, True),
    )  # fmt: skip
    # Odds of 9 for each voice: 81 against 9.
    assert (found["value"], found["voices"], found["sources"]) == (True, 3.0, 2)
    assert found["confidence"] == pytest.approx(0.9, abs=1e-6)
    assert {s["provider"]: s.get("why") for s in found["by"]} == {
        "a": "range", "b": "range", "c": "range", "d": None, "e": None,
    }  # fmt: skip


def test_a_label_has_no_case_and_agreement_among_many_possible_words_proves_more() -> None:
    found = said(
        "whale", "transfer:ethereum:0xab", "transfer_type",
        ("a", None, "Exchange_In"), ("b", None, " exchange_in"), ("c", None, "transfer"),
    )  # fmt: skip
    # Odds of 9 x 5 alternatives for each voice; four words were said by nobody.
    assert found["confidence"] == pytest.approx(45**2 / (45**2 + 45 + 4), abs=1e-6)
    assert found["value"] in ("Exchange_In", " exchange_in")
    assert sorted(s["provider"] for s in found["by"] if s.get("why") is None) == ["a", "b"]


def test_a_set_is_decided_member_by_member() -> None:
    found = said(
        "news", "story:0", "coins",
        ("a", None, ["bitcoin", "ethereum"]), ("b", None, ["bitcoin"]), ("c", None, ["bitcoin"]), ("d", None, ["bitcoin", "doge"]),
    )  # fmt: skip
    named, silent = math.log(0.75 / 0.05), math.log(0.25 / 0.95)
    sure = [
        1 / (1 + math.exp(-4 * named)),
        1 / (1 + math.exp(named + 3 * silent)),
        1 / (1 + math.exp(named + 3 * silent)),
    ]
    assert found["value"] == ["bitcoin"]
    assert found["confidence"] == pytest.approx(math.prod(sure), abs=1e-6)


def test_the_headline_is_the_one_that_is_closest_to_all_tellings() -> None:
    found = said(
        "news", "story:0", "title",
        ("a", None, "Regulator approves first spot fund for ether"),
        ("b", None, "Regulator approves the first spot fund for ether"),
        ("c", None, "Regulator approves the first spot fund for ether today"),
        ("d", None, "Something else"),
    )  # fmt: skip
    assert found["value"] == "Regulator approves the first spot fund for ether"
    # Three tellings agree, each against five alternatives; one says another thing, and four things are not said.
    assert found["confidence"] == pytest.approx(45**3 / (45**3 + 45 + 4), abs=1e-6)
    assert sorted(s["provider"] for s in found["by"] if s.get("why") is None) == ["a", "b", "c"]


def test_the_newest_text_speaks_where_the_catalogue_says_so() -> None:
    found = said("news", "story:0", "summary", ("a", None, "Old words."), ("b", None, "New words of today."))
    assert (found["value"], found["method"]) == ("New words of today.", "most_recent")


def test_the_catalogue_gives_every_word_a_fusion_for_words() -> None:
    scales = {"bool": {"cat"}, "text": {"cat", "text"}, "texts": {"set"}}
    for name, spec in metrics.load().items():
        if spec.unit in scales:
            assert spec.scale in scales[spec.unit], name
        else:
            assert spec.number, name
