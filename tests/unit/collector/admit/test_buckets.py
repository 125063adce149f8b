"""Laws of the token buckets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.admit import buckets
from services.collector.admit.buckets import Grant, bucket, full, take


def test_a_fresh_bucket_gives_its_burst_and_then_says_how_long_to_wait() -> None:
    row = bucket("k", 60, "minute")
    state = full(row, 0)
    assert row.burst == 6
    assert [take([row], [state], 1, 0).granted for _ in range(7)] == [True] * 6 + [False]
    grant = take([row], [state], 1, 0)
    assert grant == Grant(granted=False, wait_ms=1091, used=0.1, tightest="k")
    assert take([row], [state], 1, 1_091).granted


@given(
    st.integers(1, 200),
    st.sampled_from(["second", "minute"]),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 5)), max_size=300),
)
def test_no_window_ever_sees_more_than_the_limit(limit: int, window: str, asks: list[tuple[int, int]]) -> None:
    row = bucket("k", limit, window, dearest=min(5, limit))
    state = full(row, 0)
    now_ms, taken = 0, []
    for wait_ms, cost in asks:
        now_ms += wait_ms
        if cost <= row.burst and take([row], [state], cost, now_ms).granted:
            taken.append((now_ms, cost))
    for start, _ in taken:
        assert sum(cost for at, cost in taken if start <= at < start + row.window_ms) <= limit


def test_all_buckets_give_or_none_does() -> None:
    wide, narrow = bucket("wide", 100, "minute"), bucket("narrow", 1, "minute")
    states = [full(wide, 0), full(narrow, 0)]
    assert take([wide, narrow], states, 1, 0).granted
    before = states[0].tokens
    assert not take([wide, narrow], states, 1, 0).granted
    assert states[0].tokens == before


def test_use_is_the_share_of_the_tightest_budget() -> None:
    wide, narrow = bucket("wide", 100, "hour"), bucket("narrow", 10, "hour")
    states = [full(wide, 0), full(narrow, 0)]
    grant = take([wide, narrow], states, 1, 0)
    assert (grant.used, grant.tightest) == (0.1, "narrow")


def test_warns_from_80_percent_and_diverts_long_budgets_before_100() -> None:
    row = bucket("day", 100, "day")
    state = full(row, 0)
    seen = []
    now_ms = 0
    while now_ms < row.window_ms and len(seen) < 97:
        grant = take([row], [state], 1, now_ms)
        if grant.granted:
            seen.append((round(grant.used, 4), grant.warn, grant.divert))
        else:
            now_ms += grant.wait_ms
    assert seen[78] == (0.79, False, False)
    assert seen[79] == (0.80, True, False)
    assert seen[94] == (0.95, True, False)
    assert seen[95][1:] == (True, True), "95 were used before this one"


def test_a_short_budget_paces_and_never_diverts() -> None:
    row = bucket("second", 10, "second")
    state = full(row, 0)
    grants = [take([row], [state], 1, 100 * n) for n in range(10)]
    assert not any(grant.divert for grant in grants)


def test_a_refusal_halves_the_pace_and_success_restores_it_step_by_step() -> None:
    row = bucket("k", 60, "minute")
    state = full(row, 0)
    buckets.slow(row, state, 0)
    assert (state.factor, state.tokens) == (0.5, 0.0)
    assert take([row], [state], 1, 0).wait_ms == 2_182
    for _ in range(20):
        buckets.slow(row, state, 0)
    assert state.factor == buckets.FACTOR_FLOOR
    for _ in range(100):
        buckets.quicken(row, state, 0)
    assert state.factor == 1.0


def test_a_header_lowers_a_budget_and_never_raises_it() -> None:
    row = bucket("k", 60, "minute")
    state = full(row, 0)
    buckets.lower(row, state, 2, 0)
    assert (state.tokens, state.spent) == (2, 58)
    buckets.lower(row, state, 50, 0)
    assert (state.tokens, state.spent) == (2, 58)
    buckets.lower(row, state, -5, 0)
    assert state.tokens == 0


def test_a_block_holds_until_its_end_and_a_shorter_one_does_not_shorten_it() -> None:
    row = bucket("k", 60, "minute")
    state = full(row, 0)
    buckets.block(row, state, 5_000, 0)
    buckets.block(row, state, 1_000, 0)
    grant = take([row], [state], 1, 1_000)
    assert (grant.granted, grant.wait_ms, grant.blocked) == (False, 4_000, True)
    assert take([row], [state], 1, 5_000).granted


def test_a_clock_that_goes_back_changes_nothing() -> None:
    row = bucket("k", 60, "minute")
    state = full(row, 10_000)
    take([row], [state], 6, 10_000)
    assert not take([row], [state], 1, 0).granted
    assert state.at_ms == 10_000


def test_the_window_before_counts_by_what_of_it_is_still_inside() -> None:
    row = bucket("k", 100, "minute")
    state = full(row, 0)
    take([row], [state], 10, 0)
    buckets.advance(row, state, 90_000)
    assert buckets.used_share(row, state) == pytest.approx(0.05)
    buckets.advance(row, state, 200_000)
    assert buckets.used_share(row, state) == 0.0


def test_a_limit_below_one_runs_at_its_own_pace() -> None:
    row = bucket("k", 0.2, "second")
    state = full(row, 0)
    assert take([row], [state], 1, 0).granted
    assert take([row], [state], 1, 0).wait_ms == 5_000


def test_the_burst_covers_the_dearest_call() -> None:
    assert bucket("k", 100, "minute", dearest=80).burst == 80
