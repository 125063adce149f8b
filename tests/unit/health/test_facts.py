"""The facts that rules speak of, from observations."""

from __future__ import annotations

from schemas.events import Attempt, Definition, ServiceState
from services.health import scoring
from services.health.facts import FACTS, subjects
from services.health.observations import Watch
from services.health.tables import load_scoring

T0 = 1_700_000_000_000
TABLE = load_scoring()


def attempt(provider: str, at_ms: int, outcome: str = "OK", **more: object) -> Attempt:
    fields = {"endpoint": "e", "category": "market", "origin": "live", "started_ms": at_ms}
    return Attempt(provider=provider, outcome=outcome, **fields | more)  # type: ignore[arg-type]


def definition(provider: str, status: str = "live", home: str = "market") -> Definition:
    return Definition(
        provider=provider, name=provider, categories=[home], home=home, status=status, endpoints=["e"], streams=[], group=provider,
        registry="r", updated_ms=T0,
    )  # fmt: skip


def facts(
    watch: Watch, as_of_ms: int, scope: str, growth: dict[str, float] | None = None
) -> list[tuple[dict[str, str], dict[str, object]]]:
    scores = {name: scoring.score(p, None, scoring.START, TABLE, as_of_ms)[0] for name, p in watch.providers.items()}
    found = subjects(watch, scores, {"market": 60.0, "news": 600.0}, growth or {}, as_of_ms)
    return [(subject.labels, subject.facts) for subject in found if subject.scope == scope]


def test_every_subject_has_exactly_the_facts_of_its_scope() -> None:
    watch = Watch(TABLE)
    watch.saw_attempt(attempt("a", T0))
    watch.saw_service("g-1", ServiceState(service="gateway", instance="g-1", state="ready", restarts=0, since_ms=T0))
    for scope in ("provider", "category", "service", "topic", "system"):
        for _, known in facts(watch, T0, scope, {"dlq": 1.0}):
            assert set(known) == {fact.name for fact in FACTS if fact.scope == scope}


def test_a_provider_without_attempts_is_unknown_not_bad() -> None:
    watch = Watch(TABLE)
    watch.saw_definition("quiet", definition("quiet"))
    [(labels, known)] = facts(watch, T0, "provider")
    assert labels == {"provider": "quiet", "category": "market"}
    assert {name: value for name, value in known.items() if value is not None} == {"state": "unrated", "samples": 0.0}


def test_a_breaker_is_closed_while_no_attempt_says_otherwise() -> None:
    watch = Watch(TABLE)
    watch.saw_attempt(attempt("a", T0))
    assert facts(watch, T0, "provider")[0][1]["breaker"] == "closed"
    watch.saw_attempt(attempt("a", T0, "TIMEOUT", breaker="open"))
    assert facts(watch, T0, "provider")[0][1]["breaker"] == "open"


def test_what_did_not_fit_into_the_budget_is_a_share_of_what_was_due() -> None:
    watch = Watch(TABLE)
    watch.saw_attempt(attempt("a", T0))
    for reason in ("budget", "told_to_wait", "breaker_open"):
        watch.saw_attempt(attempt("a", T0, "SKIPPED", skip_reason=reason))
    assert facts(watch, T0, "provider")[0][1]["budget_skips"] == 0.5


def test_time_since_the_last_good_answer_counts_from_the_first_attempt_without_one() -> None:
    watch = Watch(TABLE)
    watch.saw_attempt(attempt("a", T0, "TIMEOUT"))
    watch.saw_attempt(attempt("a", T0 + 30_000, "TIMEOUT"))
    assert facts(watch, T0 + 60_000, "provider")[0][1]["since_ok"] == 60.0
    watch.saw_attempt(attempt("a", T0 + 60_000))
    assert facts(watch, T0 + 61_000, "provider")[0][1]["since_ok"] == 1.0


def test_a_collector_that_never_spoke_is_silent_since_its_providers_were_defined() -> None:
    watch = Watch(TABLE)
    watch.saw_definition("a", definition("a", home="news"))
    watch.saw_definition("old", definition("old", status="retired", home="market"))
    assert [(labels, known["silence"]) for labels, known in facts(watch, T0 + 1_200_000, "category")] == [
        ({"category": "news"}, 2.0)
    ]


def test_a_collector_speaks_even_when_its_providers_fail_or_are_skipped() -> None:
    watch = Watch(TABLE)
    watch.saw_attempt(attempt("a", T0, "TIMEOUT"))
    watch.saw_attempt(attempt("a", T0 + 60_000, "SKIPPED", skip_reason="quota"))
    assert facts(watch, T0 + 180_000, "category")[0][1]["silence"] == 2.0


def test_a_collector_that_is_asked_rarely_is_not_silent() -> None:
    watch = Watch(TABLE)
    for at_s in (0, 10, 310, 320):
        watch.saw_attempt(attempt("a", T0 + at_s * 1000))
    assert facts(watch, T0 + 920_000, "category")[0][1]["silence"] == 2.0


def test_punctuality_is_the_share_of_timed_attempts() -> None:
    watch = Watch(TABLE)
    for on_time in (True, True, False, None):
        watch.saw_attempt(attempt("a", T0, on_time=on_time))
    known = facts(watch, T0, "category")[0][1]
    assert (known["on_time"], known["scheduled"]) == (2 / 3, 3.0)


def test_only_providers_tried_lately_tell_whether_the_network_is_there() -> None:
    watch = Watch(TABLE)
    for name, at_ms, outcome in (
        ("a", T0, "NETWORK"),
        ("b", T0, "TIMEOUT"),
        ("c", T0, "OK"),
        ("d", T0 - 200_000, "OK"),
    ):
        watch.saw_attempt(attempt(name, at_ms, outcome))
    assert facts(watch, T0, "system") == [({}, {"unreachable": 2 / 3, "tried": 3.0})]


def test_services_and_topics_are_subjects() -> None:
    watch = Watch(TABLE)
    watch.saw_service("g-1", ServiceState(service="gateway", instance="g-1", state="crashed", restarts=2, since_ms=T0))
    assert facts(watch, T0, "service") == [
        ({"service": "gateway", "instance": "g-1"}, {"state": "crashed", "restarts": 2.0})
    ]
    assert facts(watch, T0, "topic", {"dlq": 4.0}) == [({"topic": "dlq"}, {"growth": 4.0})]
    watch.saw_service("g-1", None)
    assert facts(watch, T0, "service") == []
