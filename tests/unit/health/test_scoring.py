"""The score: each component by hand-worked numbers, the gates, the shrinkage and the hysteresis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from schemas.events import Attempt, ProviderScore, Reputation
from services.collector.classify import ACTIONS
from services.health import scoring
from services.health.observations import Distance, Provider, Watch
from services.health.tables import Scoring, load_scoring

TABLE = load_scoring()
NO_FADE = structs.replace(TABLE, half_life_s=1e12)
T0 = 1_700_000_000_000


def attempt(at_s: float, outcome: str = "OK", **more: object) -> Attempt:
    """An attempt of provider p in category market that ended at T0 + at_s."""
    at_ms = T0 + int(at_s * 1000)
    fields = {
        "provider": "p",
        "endpoint": "e",
        "category": "market",
        "origin": "live",
        "started_ms": at_ms,
        "finished_ms": at_ms,
    }
    return Attempt(outcome=outcome, **fields | more)  # type: ignore[arg-type]


def seen(*attempts: Attempt, table: Scoring = NO_FADE) -> Provider:
    """The provider after these attempts."""
    watch = Watch(table)
    for one in attempts:
        watch.saw_attempt(one)
    return watch.providers["p"]


def judged(
    provider: Provider, as_of_s: float, table: Scoring = NO_FADE, prior: ProviderScore | None = None
) -> ProviderScore:
    """The score at T0 + as_of_s."""
    return scoring.score(provider, prior, scoring.START, table, T0 + int(as_of_s * 1000))[0]


def test_newer_attempts_count_more_by_the_half_life() -> None:
    table = structs.replace(TABLE, half_life_s=100)
    provider = seen(attempt(0, "TIMEOUT"), attempt(100), table=table)
    # weights 1/4 and 1/2 at 200 s: (1/2) / (3/4)
    assert scoring.availability(provider.fetches, table, T0 + 200_000) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("outcome", "available", "valid"),
    [
        ("OK", 1.0, 1.0), ("EMPTY", 1.0, None), ("STALE", 1.0, 1.0), ("NOT_FOUND", 1.0, None), ("TIMEOUT", 0.0, None),
        ("NETWORK", 0.0, None), ("UPSTREAM_5XX", 0.0, None), ("RATE_LIMITED", 0.0, None), ("QUOTA_EXHAUSTED", None, None),
        ("AUTH", 0.0, None), ("FORBIDDEN_REGION", 0.0, None), ("MALFORMED", 1.0, 0.0), ("SCHEMA_DRIFT", 1.0, 0.0),
    ],
)  # fmt: skip
def test_each_outcome_says_what_the_table_says(outcome: str, available: float | None, valid: float | None) -> None:
    provider = seen(attempt(0, outcome))
    assert scoring.availability(provider.fetches, NO_FADE, T0 + 1) == available
    assert scoring.validity(provider, NO_FADE, T0 + 1) == valid


@pytest.mark.parametrize(("reason", "counts"), [("breaker_open", 0.0), ("quota", None), ("not_due", None)])
def test_a_skipped_run_counts_only_when_the_provider_is_the_cause(reason: str, counts: float | None) -> None:
    provider = seen(attempt(0, "SKIPPED", skip_reason=reason))
    assert scoring.availability(provider.fetches, NO_FADE, T0 + 1) == counts
    assert provider.last_outcome is None
    assert provider.failures_in_row == 0


def test_data_is_fresh_from_its_own_time_for_the_lifetime_of_its_category() -> None:
    provider = seen(attempt(0, data_age_ms=60_000), attempt(240, data_age_ms=0))
    # 180 s of life, 60 used up on arrival: fresh 120 of 240 s; then fresh for the 60 s to the end: 180 of 300.
    # The interval of 240 s would allow 480 s: so the endpoint's own interval decides, and all but nothing is fresh.
    assert scoring.lifetime_ms(list(provider.fetches), "market", NO_FADE) == 480_000
    assert scoring.freshness(provider, NO_FADE, T0 + 300_000) == 1.0
    once = seen(attempt(0, data_age_ms=60_000))
    assert scoring.freshness(once, NO_FADE, T0 + 240_000) == pytest.approx(0.5)


def test_failed_attempts_bring_no_fresh_data() -> None:
    provider = seen(attempt(0), attempt(60, "TIMEOUT"), attempt(120, "TIMEOUT"), attempt(360, "TIMEOUT"))
    assert scoring.freshness(provider, NO_FADE, T0 + 360_000) == pytest.approx(0.5)


def test_freshness_is_the_mean_over_the_endpoints() -> None:
    provider = seen(attempt(0), attempt(0, "TIMEOUT", endpoint="dead"))
    assert scoring.freshness(provider, NO_FADE, T0 + 100_000) == pytest.approx(0.5)


def test_accuracy_of_three_error_bars_is_one_half() -> None:
    provider = Provider("p")
    provider.residuals.extend([Distance(T0, 3.0, None), Distance(T0, 0.0, None)])
    assert scoring.accuracy(provider, NO_FADE, T0) == pytest.approx(0.75)


def test_standing_still_while_the_others_move_takes_validity_tenfold() -> None:
    provider = seen(attempt(0))
    provider.residuals.extend(Distance(T0, 0.0, stalled) for stalled in (True, *[False] * 19))
    assert scoring.validity(provider, NO_FADE, T0) == pytest.approx(0.5)


@pytest.mark.parametrize(("p95", "part"), [(100.0, 1.0), (250.0, 0.5), (400.0, 0.0), (900.0, 0.0)])
def test_latency_falls_from_the_target_to_four_times_it(p95: float, part: float) -> None:
    assert scoring.latency(seen(attempt(0, latency_ms=p95)).fetches, 100.0) == part


def test_answers_from_the_cache_say_nothing_of_latency() -> None:
    assert scoring.latency(seen(attempt(0, latency_ms=1.0, cached=True)).fetches, 100.0) is None


@pytest.mark.parametrize(("used", "part"), [(0.5, 1.0), (0.8, 1.0), (0.9, 0.5), (1.0, 0.0), (1.3, 0.0)])
def test_headroom_falls_from_four_fifths_of_the_quota_to_none(used: float, part: float) -> None:
    provider = seen(attempt(0, quota_used=used))
    assert scoring.components_of(provider, None, NO_FADE, T0 + 1)["headroom"] == pytest.approx(part)


def test_the_score_weighs_what_has_evidence_and_is_pulled_to_seventy() -> None:
    attempts = [attempt(60 * i, latency_ms=200.0, quota_used=0.5) for i in range(20)]
    perfect = judged(seen(*attempts), 1200)
    assert perfect.components == {
        "availability": 1.0,
        "freshness": 1.0,
        "latency": 1.0,
        "validity": 1.0,
        "headroom": 1.0,
    }
    assert (perfect.score, perfect.samples, perfect.state) == (85.0, 20, "online")
    # (20 x 100 + 20 x 70) / 40 = 85; the target is its own median.
    assert (perfect.latency_p50_ms, perfect.latency_p95_ms, perfect.latency_target_ms) == (200.0, 200.0, 200.0)


def test_below_half_availability_accuracy_and_validity_count_nothing() -> None:
    attempts = [attempt(60 * i, "OK" if i % 3 == 0 else "TIMEOUT") for i in range(30)]
    provider = seen(*attempts)
    provider.residuals.append(Distance(T0, 0.0, None))
    parts = judged(provider, 1800).components
    assert parts["availability"] == pytest.approx(1 / 3, abs=1e-4)
    assert (parts["accuracy"], parts["validity"]) == (0.0, 0.0)


def test_an_open_breaker_caps_at_thirty_and_a_rejected_key_at_ten() -> None:
    good = [attempt(60 * i) for i in range(30)]
    broken = judged(seen(*good, attempt(1800, breaker="open")), 1801)
    assert (broken.score, broken.reason, broken.state) == (30.0, "breaker open", "offline")
    rejected = judged(seen(*good, attempt(1800, "AUTH")), 1801)
    assert (rejected.score, rejected.reason) == (10.0, "auth")


def test_one_open_breaker_of_two_endpoints_does_not_break_the_provider() -> None:
    provider = seen(attempt(0, endpoint="a", breaker="closed"), attempt(1, endpoint="b", breaker="open"))
    assert provider.breaker == "closed"


def test_under_twenty_samples_a_provider_is_unrated() -> None:
    assert judged(seen(*[attempt(60 * i) for i in range(19)]), 1200).state == "unrated"
    assert judged(seen(*[attempt(60 * i) for i in range(20)]), 1200).state == "online"


def test_without_attempts_there_is_no_score() -> None:
    nothing = judged(Provider("p"), 0)
    assert (nothing.score, nothing.state, nothing.samples, nothing.reason) == (None, "unrated", 0, "no attempts yet")


def test_down_takes_three_evaluations_and_up_takes_two() -> None:
    states, state, streak = [], "online", scoring.START
    for wanted in ("offline", "offline", "online", "offline", "offline", "offline", "online", "online"):
        state, streak = scoring.settle(state, wanted, streak, TABLE)  # type: ignore[arg-type]
        states.append(state)
    assert states == ["online", "online", "online", "online", "online", "offline", "offline", "online"]


def test_the_first_rating_is_published_at_once() -> None:
    assert scoring.settle("unrated", "offline", scoring.START, TABLE)[0] == "offline"


def test_the_latency_target_moves_half_way_in_its_half_life_and_is_kept_without_answers() -> None:
    prior = structs.replace(judged(seen(attempt(0, latency_ms=200.0)), 1), updated_ms=T0)
    week_ms = int(TABLE.latency_half_life_s * 1000)
    assert scoring.latency_target(prior, 400.0, TABLE, T0 + week_ms) == pytest.approx(300.0)
    assert scoring.latency_target(prior, None, TABLE, T0 + week_ms) == 200.0
    assert scoring.latency_target(None, 3.0, TABLE, T0) == TABLE.latency_floor_ms


def test_what_fusion_learned_is_told_with_the_score_and_outlives_a_restart() -> None:
    watch = Watch(NO_FADE)
    watch.saw_attempt(attempt(0))
    watch.saw_reputation(Reputation(provider="p", reputation={"accuracy": 0.9}, updated_ms=T0, one_voice_with=["q"]))
    told = judged(watch.providers["p"], 1)
    assert (told.reputation, told.reputation_ms, told.one_voice_with) == ({"accuracy": 0.9}, T0, ["q"])
    later = judged(seen(attempt(0)), 2, prior=told)
    assert (later.reputation, later.reputation_ms, later.one_voice_with) == ({"accuracy": 0.9}, T0, ["q"])
    watch.saw_reputation(
        Reputation(provider="p", reputation={"accuracy": 0.9}, updated_ms=T0 + 60_000, one_voice_with=["q"])
    )
    assert scoring.same_verdict(told, judged(watch.providers["p"], 1, prior=told))


def test_bias_and_noise_of_a_provider_are_told_with_its_score() -> None:
    provider = seen(attempt(0))
    assert judged(provider, 1).residuals is None
    provider.residuals.extend(Distance(T0, 1.0, None, off_bps) for off_bps in (4.0, 6.0, 5.0, 5.5, 900.0))
    assert judged(provider, 1).residuals == {"count": 5.0, "bias_bps": 5.5, "noise_bps": 0.74}


outcomes = st.sampled_from([*TABLE.outcomes, "SKIPPED"])


@given(st.lists(st.tuples(st.integers(0, 3600), outcomes, st.floats(0, 1e5), st.floats(0, 2)), max_size=40))
def test_a_score_and_its_parts_never_leave_their_range(rows: list[tuple[int, str, float, float]]) -> None:
    provider = seen(
        attempt(0), *(attempt(s, o, latency_ms=ms, quota_used=q) for s, o, ms, q in sorted(rows)), table=TABLE
    )
    result = judged(provider, 3700, TABLE)
    assert result.score is not None
    assert 0 <= result.score <= 100
    assert all(0 <= part <= 1 for part in result.components.values())


def test_every_outcome_of_the_collector_has_a_verdict() -> None:
    assert set(ACTIONS) | {"OK"} == set(TABLE.outcomes)
