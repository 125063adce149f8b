"""Rules: the closed form, what is refused with which words, and what the shipped rules say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import DefinitionError
from services.health.facts import FACTS, Subject
from services.health.rules import Comparison, duration_s, evaluate, holds, parse
from services.health.tables import HERE

SHIPPED = (HERE / "rules.yaml").read_bytes()


def written(when: str, about: str = "provider", hold: str = "30s", summary: str = "x") -> bytes:
    return (
        f'rules: [{{name: r, about: {about}, when: "{when}", for: "{hold}", severity: info, summary: "{summary}", remedy: y}}]'
    ).encode()


def test_an_expression_is_any_of_alls_and_durations_are_scaled() -> None:
    rule = parse(
        written("since_ok > 2m and state != online or score <= 50 or quota_used >= 80%", hold="1h"), 0.5
    ).rules[0]
    assert rule.when == (
        (Comparison("since_ok", ">", 60.0), Comparison("state", "!=", "online")),
        (Comparison("score", "<=", 50.0),),
        (Comparison("quota_used", ">=", 0.8),),
    )
    assert rule.for_ms == 1_800_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (written("__import__('os')"), "expected `fact operator literal`, got \"__import__('os')\""),
        (written("price > 1"), "expected one of accuracy, availability, breaker"),
        (written("state > online"), "state is a word: expected == or != and a word"),
        (written("state == 5"), "state is a word: expected == or != and a word"),
        (written("since_ok > 5"), "since_ok is a duration: expected 30s, 5m or 1h, got '5'"),
        (written("score > 5m"), "score is a number: expected a number or %, got '5m'"),
        (written("score > high"), "score is a number: expected a number or %, got 'high'"),
        (written("score > 5", hold="soon"), "for: expected a duration such as 30s or 5m, got 'soon'"),
        (written("score > 5", summary="{nothing}"), "summary: expected a fact or label of provider, got {nothing}"),
        (written("growth > 5"), "got growth"),
        (b"rules: [{name: r}]", "missing required field"),
        (b"rules: []\nrule: 1", "unknown field `rule`"),
        (b"rules: []\ninhibitions: [{source: nobody, scope: provider}]", "expected a rule's name, got 'nobody'"),
        (
            SHIPPED.replace(b"name: provider_slow", b"name: provider_stale"),
            "provider_stale: expected one rule of this name, got 2",
        ),
    ],
)
def test_a_wrong_rule_is_refused_with_its_reason(text: bytes, words: str) -> None:
    with pytest.raises(DefinitionError) as fault:
        parse(text)
    assert words in str(fault.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(DefinitionError) as fault:
        parse(written("score > 5m and state == 5", hold="soon"))
    places = [text.split(" expected")[0] for text in str(fault.value).split("got ", 1)[1].split("; ")]
    assert places[:3] == ["r: when: score is a number:", "r: when: state is a word:", "r: for:"]


@pytest.mark.parametrize(
    ("score", "state", "expected"),
    [
        (1.0, "online", True),
        (9.0, "offline", True),
        (9.0, "online", False),
        (None, "online", None),
        (None, "offline", True),
    ],
)
def test_what_is_not_known_decides_nothing_unless_the_rest_decides(
    score: float | None, state: str, expected: bool | None
) -> None:
    rule = parse(written("score < 5 or state == offline")).rules[0]
    assert holds(rule.when, {"score": score, "state": state}) is expected


def test_a_false_part_makes_an_all_false_even_beside_the_unknown() -> None:
    rule = parse(written("score < 5 and state == offline")).rules[0]
    assert holds(rule.when, {"score": None, "state": "online"}) is False
    assert holds(rule.when, {"score": None, "state": "offline"}) is None


def test_a_finding_carries_labels_value_and_the_filled_summary() -> None:
    rule = parse(written("score < 50", summary="{provider} of {category}: {score}, {breaker}")).rules[0]
    subject = Subject("provider", {"provider": "acme", "category": "market"}, {"score": 12.34567, "breaker": None})
    found = evaluate([rule], [subject, Subject("system", {}, {"score": 1.0})])
    assert [(f.labels, f.holds, f.value, f.summary) for f in found] == [
        ({"provider": "acme", "category": "market"}, True, 12.34567, "acme of market: 12.35, unknown")
    ]


@pytest.mark.parametrize(
    ("share", "words"), [(0.0, "0 %"), (0.00505, "0.505 %"), (0.8684, "86.8 %"), (1.0, "100 %"), (None, "unknown")]
)
def test_a_share_is_told_in_percent(share: float | None, words: str) -> None:
    rule = parse(written("quota_used >= 80%", summary="{quota_used} used, score {score}")).rules[0]
    found = evaluate([rule], [Subject("provider", {}, {"quota_used": share, "score": 0.5})])
    assert [(f.value, f.summary) for f in found] == [(share, f"{words} used, score 0.5")]


def test_the_shipped_rules_are_these() -> None:
    rules = parse(SHIPPED)
    assert [(r.name, r.scope, r.for_ms // 1000, r.severity) for r in rules.rules] == [
        ("no_egress", "system", 30, "page"),
        ("provider_offline", "provider", 30, "ticket"),
        ("provider_degraded", "provider", 300, "info"),
        ("provider_slow", "provider", 300, "info"),
        ("provider_stale", "provider", 300, "ticket"),
        ("provider_disagrees", "provider", 300, "ticket"),
        ("key_rejected", "provider", 0, "ticket"),
        ("answer_changed", "provider", 120, "ticket"),
        ("schema_drift", "provider", 0, "ticket"),
        ("quota_warning", "provider", 60, "info"),
        ("quota_blocked", "provider", 60, "ticket"),
        ("category_out", "category", 60, "page"),
        ("collector_silent", "category", 30, "page"),
        ("polls_late", "category", 300, "ticket"),
        ("service_crashed", "service", 0, "page"),
        ("records_set_aside", "topic", 0, "ticket"),
        ("sources_disagree", "asset", 120, "info"),
    ]


CASES = [
    ("provider_offline", {"failures_in_row": 3.0, "breaker": None}, True),
    ("provider_offline", {"failures_in_row": 2.0, "breaker": "closed"}, False),
    ("provider_offline", {"failures_in_row": 0.0, "breaker": "open"}, True),
    ("quota_warning", {"quota_used": 0.8, "budget_skips": 0.01}, True),
    ("quota_warning", {"quota_used": 0.79, "budget_skips": 0.01}, False),
    ("quota_warning", {"quota_used": 1.0, "budget_skips": 0.0}, False),
    ("quota_blocked", {"quota_used": 1.0, "budget_skips": 0.1}, True),
    ("quota_blocked", {"quota_used": 0.99, "budget_skips": 0.5}, False),
    ("quota_blocked", {"quota_used": 1.0, "budget_skips": 0.09}, False),
    ("polls_late", {"on_time": 0.79, "scheduled": 20.0}, True),
    ("polls_late", {"on_time": 0.8, "scheduled": 20.0}, False),
    ("polls_late", {"on_time": 0.1, "scheduled": 19.0}, False),
    ("collector_silent", {"silence": 4.0}, True),
    ("collector_silent", {"silence": 3.9}, False),
    ("no_egress", {"unreachable": 0.9, "tried": 5.0}, True),
    ("no_egress", {"unreachable": 0.9, "tried": 4.0}, False),
    ("records_set_aside", {"growth": 1.0}, True),
    ("records_set_aside", {"growth": 0.0}, False),
    ("service_crashed", {"state": "crashed"}, True),
    ("service_crashed", {"state": "ready"}, False),
    ("provider_stale", {"freshness": 0.4, "availability": 1.0}, True),
    ("provider_stale", {"freshness": 0.4, "availability": 0.4}, False),
    ("provider_slow", {"latency_ratio": 3.0, "samples": 20.0}, True),
    ("key_rejected", {"outcome": "AUTH"}, True),
    ("answer_changed", {"outcome": "MALFORMED"}, True),
    ("schema_drift", {"drifted": 1.0}, True),
    ("schema_drift", {"drifted": 0.0}, False),
    ("answer_changed", {"outcome": "OK"}, False),
    ("category_out", {"online": 0.0, "rated": 2.0}, True),
    ("category_out", {"online": 0.0, "rated": 0.0}, False),
    ("sources_disagree", {"spread": 0.02, "sources": 3.0}, True),
    ("provider_disagrees", {"accuracy": 0.29, "samples": 20.0}, True),
    ("provider_degraded", {"state": "degraded"}, True),
]


@pytest.mark.parametrize(("name", "known", "expected"), CASES, ids=[f"{name}-{known}" for name, known, _ in CASES])
def test_a_shipped_rule_holds_at_its_threshold_and_not_beside_it(
    name: str, known: dict[str, float | str], expected: bool
) -> None:
    rule = next(rule for rule in parse(SHIPPED).rules if rule.name == name)
    assert holds(rule.when, known) is expected


def test_every_shipped_rule_has_a_case() -> None:
    assert {name for name, _, expected in CASES if expected} == {rule.name for rule in parse(SHIPPED).rules}


def test_fact_names_are_unique_within_their_scope_and_say_what_they_are() -> None:
    keys = [(fact.scope, fact.name) for fact in FACTS]
    assert len(keys) == len(set(keys))
    assert all(fact.sentence.endswith(".") for fact in FACTS)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30.0), ("1.5m", 90.0), ("2h", 7200.0), ("3", None), ("3d", None), ("", None)]
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == seconds


@given(st.text())
def test_no_text_gets_past_the_closed_form_as_anything_but_comparisons(text: str) -> None:
    import msgspec

    row = {
        "name": "r",
        "about": "provider",
        "when": text,
        "for": "1s",
        "severity": "info",
        "summary": "s",
        "remedy": "m",
    }
    try:
        rules = parse(msgspec.yaml.encode({"rules": [row]}))
    except DefinitionError:
        return
    names = {fact.name for fact in FACTS if fact.scope == "provider"}
    assert all(part.fact in names for parts in rules.rules[0].when for part in parts)
