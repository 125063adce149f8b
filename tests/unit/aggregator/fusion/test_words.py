"""Labels, sets and texts: weighed by what a source's word was worth, one voice per group, older words less."""

from __future__ import annotations

import math

import pytest

from schemas.events import Value
from services.aggregator.fusion import Answer, Fuser, Observation, Plain
from services.aggregator.fusion.words import canonical, overlap, tokens

AS_OF = 1_700_000_000_000
FLAG = Plain(name="is_honeypot", scale="cat", strategy="majority_vote", freshness_ms=1000)
CHAIN = Plain(name="chain", scale="cat", strategy="majority_vote", freshness_ms=1000)
TAGS = Plain(name="tags", scale="set", tolerance=0.0, strategy="majority_vote", freshness_ms=1000)
TITLE = Plain(name="title", scale="text", strategy="robust", freshness_ms=1000)


def said(
    *values: Value, groups: str | None = None, ages_ms: list[int] | None = None, weights: list[float] | None = None
) -> list[Observation]:
    return [
        Observation(
            f"p{i}",
            groups[i] if groups else f"p{i}",
            value,
            AS_OF - (ages_ms[i] if ages_ms else 0),
            weights[i] if weights else 1.0,
        )
        for i, value in enumerate(values)
    ]


def answer(spec: Plain, window: list[Observation], fuser: Fuser | None = None) -> Answer:
    return (fuser or Fuser()).answer(spec, "k", window, AS_OF)


def test_two_of_three_equals_the_odds_of_one_more_vote() -> None:
    found = answer(FLAG, said(True, True, False))
    assert (found.value, found.why, found.n_sources, found.n_voices) == (True, [None, None, "range"], 2, 3.0)
    assert found.confidence == pytest.approx(0.9)


def test_a_single_flag_is_as_sure_as_its_source() -> None:
    assert answer(FLAG, said(True)).confidence == pytest.approx(0.9)


def test_with_more_answers_to_choose_from_agreement_proves_more() -> None:
    assert answer(CHAIN, said("Base", "base ")).confidence > answer(FLAG, said(True, True)).confidence


def test_case_and_space_make_no_difference() -> None:
    found = answer(CHAIN, said("Ethereum", "ethereum ", "base"))
    assert (found.value, found.why) == ("Ethereum", [None, None, "range"])


def test_a_group_votes_once() -> None:
    found = answer(FLAG, said(True, True, True, False, False, groups="aaabc"))
    assert (found.value, found.n_voices) == (False, 3.0)
    assert found.why == ["range"] * 3 + [None] * 2


def test_two_groups_against_are_a_camp() -> None:
    assert answer(FLAG, said(True, True, True, False, False)).why == [None] * 3 + ["camp"] * 2


def test_an_old_word_counts_less() -> None:
    assert answer(FLAG, said(True, False, ages_ms=[0, 4000])).value is True
    assert answer(FLAG, said(True, False, ages_ms=[4000, 0])).value is False


@pytest.mark.parametrize(
    ("strategy", "value"), [("most_recent", "b"), ("source_priority", "c"), ("majority_vote", "a")]
)
def test_named_rules_choose_among_words(strategy: str, value: str) -> None:
    spec = Plain(name="label", scale="cat", strategy=strategy, freshness_ms=10**9)
    found = answer(spec, said("a", "a", "b", "c", ages_ms=[9, 9, 0, 9], weights=[0.8, 0.8, 0.5, 0.9]))
    assert (found.value, found.method) == (value, strategy)


def test_who_was_wrong_before_is_believed_less() -> None:
    fuser = Fuser()
    for t in range(60):
        fuser.learn(FLAG, f"k{t}", said(True, True, True, False), AS_OF)
        fuser.advance(AS_OF)
    window = said(True, False)
    doubtful = [window[0]._replace(provider="p3", group="p3"), window[1]._replace(provider="p1", group="p1")]
    assert answer(FLAG, doubtful, fuser).value is False
    again = Fuser.load(fuser.dump())
    assert answer(FLAG, doubtful, again) == answer(FLAG, doubtful, fuser)


def test_a_set_is_voted_on_member_by_member() -> None:
    found = answer(TAGS, said(["defi", "dex"], ["dex", "defi"], ["defi"], ["spam", "dex"]))
    assert found.value == ["defi", "dex"]
    assert found.n_sources == 4
    assert found.confidence == pytest.approx(0.7836, abs=1e-4)


def test_silence_is_weak_evidence_against_a_member() -> None:
    assert answer(TAGS, said(["a"], [])).value == ["a"]
    assert answer(TAGS, said(["a"], [], [], [], [])).value == []


def test_texts_that_say_the_same_are_one_and_the_closest_to_all_speaks() -> None:
    found = answer(
        TITLE,
        said(
            "Bitcoin tops 100k for the first time",
            "Bitcoin tops 100K for the first time!",
            "BITCOIN tops 100k for first time",
            "Cat stuck in tree",
        ),
    )
    assert found.value in ("Bitcoin tops 100k for the first time", "Bitcoin tops 100K for the first time!")
    assert found.why == [None, None, None, "range"]


def test_the_newest_text_is_told_where_the_catalogue_says_so() -> None:
    spec = Plain(name="title", scale="text", strategy="most_recent", freshness_ms=1000)
    found = answer(spec, said("old words here", "quite different text", ages_ms=[500, 0]))
    assert (found.value, found.why) == ("quite different text", ["range", None])


@pytest.mark.parametrize("spec", [FLAG, CHAIN, TAGS, TITLE], ids=lambda s: s.name)
def test_what_is_no_number_is_no_word(spec: Plain) -> None:
    found = answer(spec, said(math.nan, True))
    assert found.why[0] == "range"


@pytest.mark.parametrize(
    ("value", "form"), [(" Ethereum", "ethereum"), ("ﬁ", "fi"), (True, True), (["b", "a"], ("a", "b"))]
)
def test_canonical_forms(value: Value, form: object) -> None:
    assert canonical(value) == form


def test_overlap_is_the_jaccard_index() -> None:
    assert overlap(tokens("a b c"), tokens("B, C d!")) == 0.5
    assert overlap(frozenset(), frozenset()) == 1.0
