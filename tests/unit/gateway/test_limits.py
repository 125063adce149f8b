"""The token bucket of requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import limits
from services.gateway.limits import LIMITS, Quota


def test_a_minutes_requests_may_come_at_once_and_then_one_by_one() -> None:
    quota = Quota(60)
    assert [quota.take("a", 0) for _ in range(60)] == [float(left) for left in range(59, -1, -1)]
    assert quota.take("a", 0) == -1000.0
    assert quota.take("a", 400) == pytest.approx(-600.0)
    assert quota.take("a", 1000) == pytest.approx(0.0)


def test_clients_do_not_share() -> None:
    quota = Quota(1)
    assert quota.take("a", 0) == 0
    assert quota.take("b", 0) == 0
    assert quota.take("a", 0) < 0


def test_what_was_given_back_can_be_taken_again_and_never_more_than_all() -> None:
    quota = Quota(2)
    quota.take("a", 0)
    quota.give_back("a")
    quota.give_back("a")
    assert [quota.take("a", 0), quota.take("a", 0)] == [1.0, 0.0]
    assert quota.take("a", 0) < 0


@given(st.lists(st.tuples(st.integers(0, 5_000), st.booleans()), max_size=200), st.integers(1, 100))
def test_no_window_gives_more_than_the_quota_allows(steps: list[tuple[int, bool]], per_minute: int) -> None:
    quota = Quota(per_minute)
    now_ms, granted = 0, 0
    for wait_ms, back in steps:
        now_ms += wait_ms
        if quota.take("a", now_ms) >= 0:
            granted += 1
            if back:
                quota.give_back("a")
                granted -= 1
    assert granted <= per_minute + now_ms * per_minute / 60_000 + 1e-6


def test_a_clock_that_steps_back_gives_nothing() -> None:
    quota = Quota(1)
    quota.take("a", 10_000)
    assert quota.take("a", 0) < 0


def test_clients_that_are_forgotten_are_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "IDLE_CLIENTS_MAX", 2)
    quota = Quota(1)
    for client in ("a", "b", "c"):
        quota.take(client, 0)
    assert quota.take("b", 0) < 0
    assert quota.take("a", 0) == 0


def test_every_limit_has_a_unit_and_a_reason() -> None:
    assert all(limit.unit and limit.why.endswith(".") and limit.value > 0 for limit in LIMITS)
    assert len({limit.name for limit in LIMITS}) == len(LIMITS)
