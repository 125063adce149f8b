"""Rules of the timetable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.plan import (
    Compliance,
    Due,
    Interests,
    Job,
    Schedule,
    Skip,
    batches,
    compliance,
    fresh_ms,
    jitter_ms,
    period_ms,
    slowed,
    stretch,
)


def job(key: str = "acme|ticker", period_ms: int = 1_000) -> Job:
    return Job(key=key, provider="acme", endpoint="ticker", category="market", period_ms=period_ms)


def started(schedule: Schedule, now_ms: int) -> list[int]:
    return [one.due_ms for one in schedule.due(now_ms) if isinstance(one, Due)]


def one_job(period_ms: int = 1_000) -> tuple[Schedule, int]:
    schedule = Schedule()
    schedule.replace([job(period_ms=period_ms)], 0)
    first = schedule.next_ms()
    assert first is not None
    return schedule, first


def test_the_first_start_is_spread_over_the_period_by_the_key_alone() -> None:
    _, first = one_job()
    assert first == jitter_ms("acme|ticker", 1_000)
    _, slow = one_job(3_600_000)
    assert slow == jitter_ms("acme|ticker", 10_000), "an hourly job is not first asked an hour later"
    assert len({jitter_ms(f"acme|{n}", 1_000) for n in range(200)}) > 150


def test_from_the_second_start_on_a_job_keeps_its_own_phase_at_a_fixed_rate() -> None:
    schedule, first = one_job(60_000)
    second = on_phase(schedule, first)
    assert first + 30_000 <= second < first + 90_000
    assert second % 60_000 == jitter_ms("acme|ticker", 60_000)
    assert started(schedule, second + 30) == [second]
    schedule.finished("acme|ticker", second + 7_000)
    assert schedule.next_ms() == second + 60_000


def on_phase(schedule: Schedule, first: int) -> int:
    """Do the first start; when the second is due."""
    assert started(schedule, first) == [first]
    schedule.finished("acme|ticker", first)
    second = schedule.next_ms()
    assert second is not None
    return second


def test_a_job_under_way_is_not_started_twice_and_the_skip_says_so() -> None:
    schedule, first = one_job()
    second = on_phase(schedule, first)
    schedule.due(second)
    assert schedule.due(second + 1_000) == [Skip(job=job(), due_ms=second + 1_000, reason="in_flight")]


def test_missed_times_are_one_skip_and_the_latest_of_them_is_started() -> None:
    schedule, first = one_job()
    found = schedule.due(first + 3_400)
    assert found == [
        Skip(job=job(), due_ms=first, reason="overrun"),
        Due(job=job(), due_ms=first + 3_000),
    ]
    assert schedule.next_ms() == first + 4_000


def test_a_fresh_answer_moves_the_next_start_behind_its_lifetime() -> None:
    schedule, first = one_job()
    schedule.due(first)
    schedule.finished("acme|ticker", first + 100, fresh_ms=5_000)
    assert schedule.next_ms() == first + 5_100


def test_an_absurd_lifetime_does_not_silence_an_endpoint() -> None:
    schedule, first = one_job()
    schedule.due(first)
    schedule.finished("acme|ticker", first, fresh_ms=10**12)
    assert schedule.next_ms() == first + 3_600_000


def test_replacing_jobs_keeps_the_times_of_those_that_stay() -> None:
    schedule, first = one_job()
    schedule.replace([job(), job("acme|other")], 50)
    assert schedule.next_ms() == min(first, 50 + jitter_ms("acme|other", 1_000))
    schedule.replace([job()], 60)
    assert (schedule.next_ms(), len(schedule)) == (first, 1)


def test_a_job_that_went_is_not_started_any_more() -> None:
    schedule, first = one_job()
    schedule.replace([], first)
    assert schedule.due(first + 10_000) == []
    schedule.finished("acme|ticker", first)


@pytest.mark.parametrize(
    ("started_ms", "expected"),
    [
        (10_000, Compliance(delay_ms=0, on_time=True)),
        (15_000, Compliance(delay_ms=5_000, on_time=True)),
        (15_001, Compliance(delay_ms=5_001, on_time=False)),
        (4_999, Compliance(delay_ms=-5_001, on_time=False)),
    ],
)
def test_a_start_within_five_seconds_is_on_time(started_ms: int, expected: Compliance) -> None:
    assert compliance(10_000, started_ms) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 0),
        ({"cache-control": "max-age=60"}, 60_000),
        ({"cache-control": "public, max-age=60", "age": "45"}, 15_000),
        ({"cache-control": "max-age=60", "age": "61"}, 0),
        ({"cache-control": "max-age=60, s-maxage=10"}, 10_000),
        ({"cache-control": "no-store, max-age=60"}, 0),
        ({"cache-control": "no-cache"}, 0),
        ({"cache-control": "max-age=abc"}, 0),
        ({"cache-control": "Max-Age=30", "age": "-5"}, 30_000),
    ],
)
def test_the_providers_cache_lifetime_is_read_from_its_headers(headers: dict[str, str], expected: int) -> None:
    assert fresh_ms(headers) == expected


@pytest.mark.parametrize(
    ("every", "cadence", "floor", "expected"),
    [
        (None, 60, None, 60_000),
        (15, 60, None, 15_000),
        (15, 60, 30, 30_000),
        (None, 60, 10, 60_000),
        (0, 60, None, 1_000),
    ],
)
def test_the_period_is_never_below_the_floor(every: int | None, cadence: int, floor: int | None, expected: int) -> None:
    assert period_ms(every, cadence, floor) == expected


@pytest.mark.parametrize(("load", "budget", "factor"), [(10, 100, 1.0), (75, 100, 1.0), (150, 100, 2.0), (5, 0, 1.0)])
def test_periods_are_stretched_until_the_load_fits_the_budget_with_room(
    load: float, budget: float, factor: float
) -> None:
    assert stretch(load, budget) == factor


def test_a_slowed_job_is_first_asked_somewhere_in_its_longer_period() -> None:
    assert slowed(job(), 1.0) == job()
    long = slowed(job(period_ms=60_000), 30.0)
    assert (long.period_ms, long.spread_ms) == (1_800_000, 1_800_000)
    schedule = Schedule()
    schedule.replace([long], 0)
    assert schedule.next_ms() == jitter_ms("acme|ticker", 1_800_000)


@given(st.lists(st.text(min_size=1, max_size=3)), st.integers(1, 7))
def test_batches_hold_every_value_once_within_the_size(values: list[str], size: int) -> None:
    cut = batches(values, size)
    assert [value for batch in cut for value in batch] == sorted(set(values))
    assert all(len(batch) == size for batch in cut[:-1])


def test_an_interest_ends_with_its_time_and_the_base_never() -> None:
    interests = Interests({"asset:bitcoin"})
    assert interests.want("asset:solana", 100)
    assert not interests.want("asset:solana", 50)
    assert not interests.expire(99)
    assert interests.wanted() == {"asset:bitcoin", "asset:solana"}
    assert interests.expire(100)
    assert interests.wanted() == {"asset:bitcoin"}
    assert not interests.want("asset:bitcoin", 200)
    assert not interests.expire(300)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4_000)), max_size=40),
    st.integers(100, 3_000),
)
def test_a_job_never_runs_twice_at_once_and_due_times_only_grow(moves: list[tuple[int, int]], period: int) -> None:
    schedule, now_ms = one_job(period)
    running, last_due = False, -1
    for action, wait_ms in moves:
        now_ms += wait_ms
        if action == 0 and running:
            schedule.finished("acme|ticker", now_ms)
            running = False
        for found in schedule.due(now_ms):
            assert last_due < found.due_ms <= now_ms
            last_due = found.due_ms
            if isinstance(found, Due):
                assert not running
                running = True
