"""What is remembered of attempts and fused records, and what is forgotten."""

from __future__ import annotations

import pytest
from msgspec import structs

from schemas.events import Attempt, Fused, FusedMetric, ProviderScore, Source
from services.health.observations import Distance, Drift, Watch, others_say
from services.health.tables import load_scoring

TABLE = load_scoring()
T0 = 1_700_000_000_000


def fused(as_of_ms: int, *by: Source, low: float | None = None, high: float | None = None) -> Fused:
    metric = FusedMetric(value=100.0, confidence=0.9, low=low, high=high, spread=0.01, sources=3, by=list(by))
    return Fused(
        entity="asset:bitcoin",
        category="market",
        version=1,
        as_of_ms=as_of_ms,
        origin="live",
        metrics={"price": metric},
    )


def says(provider: str, value: float, age_ms: int = 0, weight: float = 0.25) -> Source:
    return Source(provider=provider, value=value, age_ms=age_ms, weight=weight)


def attempt(at_ms: int, outcome: str = "OK") -> Attempt:
    return Attempt(provider="p", endpoint="e", category="market", outcome=outcome, origin="sandbox", started_ms=at_ms)


def test_a_provider_is_measured_against_the_others_without_itself() -> None:
    by = [says("heavy", 200.0, weight=0.9), says("a", 100.0, weight=0.05), says("b", 110.0, weight=0.15)]
    assert others_say("heavy", by) == pytest.approx(107.5)
    assert others_say("a", by) == pytest.approx((200 * 0.9 + 110 * 0.15) / 1.05)


def test_with_fewer_than_two_others_nobody_is_measured() -> None:
    by = [says("a", 1.0), says("b", 2.0), says("excluded", 3.0, weight=0.0)]
    assert others_say("a", by) is None
    assert others_say("excluded", by) == 1.5


def test_the_distance_is_counted_in_error_bars_of_at_least_one_basis_point() -> None:
    watch = Watch(TABLE)
    watch.saw_fused(fused(T0, says("a", 101.0), says("b", 100.0), says("c", 100.0), low=99.5, high=100.5))
    assert list(watch.providers["a"].residuals) == [Distance(T0, pytest.approx(2.0), None, pytest.approx(100.0))]
    exact = Watch(TABLE)
    exact.saw_fused(fused(T0, says("a", 101.0), says("b", 100.0), says("c", 100.0)))
    assert exact.providers["a"].residuals[0].z == pytest.approx(100.0)


def test_the_same_statement_seen_again_is_not_a_new_one() -> None:
    watch = Watch(TABLE)
    rest = (says("b", 100.0), says("c", 100.0))
    watch.saw_fused(fused(T0, says("a", 100.0, age_ms=5_000), *rest))
    watch.saw_fused(fused(T0 + 10_000, says("a", 100.0, age_ms=15_000), *rest))
    assert len(watch.providers["a"].residuals) == 1


def test_a_new_statement_with_the_old_value_is_stalled_only_when_the_others_moved() -> None:
    watch = Watch(TABLE)
    watch.saw_fused(fused(T0, says("a", 100.0), says("b", 100.0), says("c", 100.0)))
    watch.saw_fused(fused(T0 + 10_000, says("a", 100.0), says("b", 100.001), says("c", 100.001)))
    watch.saw_fused(fused(T0 + 20_000, says("a", 100.0), says("b", 101.0), says("c", 101.0)))
    watch.saw_fused(fused(T0 + 30_000, says("a", 102.0), says("b", 102.0), says("c", 102.0)))
    assert [residual.stalled for residual in watch.providers["a"].residuals] == [None, None, True, False]


def test_an_entity_is_sampled_once_in_its_interval_and_only_in_the_categories_of_the_table() -> None:
    watch = Watch(TABLE)
    assert watch.wants("market", "asset:bitcoin", T0)
    watch.saw_fused(fused(T0, says("a", 1.0)))
    assert not watch.wants("market", "asset:bitcoin", T0 + 9_999)
    assert watch.wants("market", "asset:bitcoin", T0 + 10_000)
    assert not watch.wants("news", "story:1", T0)


def test_no_more_entities_are_sampled_than_the_table_allows() -> None:
    watch = Watch(structs.replace(TABLE, max_entities=1))
    watch.saw_fused(fused(T0, says("a", 1.0)))
    assert not watch.wants("market", "asset:ethereum", T0)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    watch = Watch(TABLE)
    watch.saw_attempt(attempt(T0))
    watch.saw_attempt(attempt(T0 + 1))
    watch.saw_fused(fused(T0, says("a", 1.0), says("b", 1.0), says("c", 1.0)))
    watch.forget(T0 + 3_600_001)
    assert [fetch.at_ms for fetch in watch.providers["p"].fetches] == [T0 + 1]
    assert not watch.providers["a"].residuals
    assert not watch.agreements
    assert watch.wants("market", "asset:bitcoin", T0)


def test_the_last_good_answer_survives_a_restart_in_either_order() -> None:
    score = ProviderScore(
        provider="p", state="offline", score=1.0, components={}, samples=1, updated_ms=T0, last_ok_ms=T0 - 9
    )
    before, after = Watch(TABLE), Watch(TABLE)
    before.saw_score(score)
    assert "p" not in before.providers
    before.saw_attempt(attempt(T0, "TIMEOUT"))
    after.saw_attempt(attempt(T0, "TIMEOUT"))
    after.saw_score(score)
    assert before.providers["p"].last_ok_ms == after.providers["p"].last_ok_ms == T0 - 9


def test_a_good_answer_ends_a_row_of_failures() -> None:
    watch = Watch(TABLE)
    rows = []
    for outcome in ("TIMEOUT", "NETWORK", "QUOTA_EXHAUSTED", "AUTH", "EMPTY", "TIMEOUT"):
        watch.saw_attempt(attempt(T0, outcome))
        rows.append(watch.providers["p"].failures_in_row)
    assert rows == [1, 2, 2, 3, 0, 1]


def drifted(at_ms: int, endpoint: str, **more: object) -> Attempt:
    words = "last: `last` is missing in all 5 rows"
    told = {"outcome": "SCHEMA_DRIFT", "detail": words, "endpoint": endpoint} | more
    return structs.replace(attempt(at_ms), **told)


def test_a_drift_lasts_until_its_own_endpoint_answers_as_proven() -> None:
    watch = Watch(TABLE)
    watch.saw_attempt(drifted(T0, "tickers"))
    watch.saw_attempt(structs.replace(attempt(T0 + 1), endpoint="trades"))
    watch.saw_attempt(structs.replace(attempt(T0 + 2), endpoint="tickers", cached=True))
    watch.saw_attempt(structs.replace(attempt(T0 + 3, "TIMEOUT"), endpoint="tickers"))
    provider = watch.providers["p"]
    assert provider.drifts == {"tickers": Drift(T0, "last: `last` is missing in all 5 rows")}
    watch.saw_attempt(structs.replace(attempt(T0 + 4), endpoint="tickers"))
    assert provider.drifts == {}


def test_a_drift_of_which_nobody_speaks_any_more_is_forgotten_with_the_window() -> None:
    watch = Watch(TABLE)
    watch.saw_attempt(drifted(T0, "tickers"))
    watch.forget(T0 + int(TABLE.window_s * 1000) + 1)
    assert watch.providers["p"].drifts == {}


@pytest.mark.parametrize(("events", "held", "share"), [(0, None, 0.0), (30, 10, 0.75), (30, None, 0.0)])
def test_an_answer_that_drifted_is_as_valid_as_the_part_of_it_that_went_on(
    events: int, held: int | None, share: float
) -> None:
    watch = Watch(TABLE)
    watch.saw_attempt(drifted(T0, "tickers", events=events, held=held))
    assert watch.providers["p"].fetches[0].valid_share == share
