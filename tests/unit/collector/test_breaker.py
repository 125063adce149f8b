"""Rules of the circuit breaker."""

from services.collector.breaker import Breaker, Policy

POLICY = Policy(window=10, min_sample=4, error_share=0.5, open_ms=1_000, open_cap_ms=3_000, probe_timeout_ms=500)


def failing(times: int, at_ms: int = 0) -> Breaker:
    breaker = Breaker(POLICY)
    for _ in range(times):
        breaker.record(True, at_ms)
    return breaker


def test_stays_closed_below_the_minimum_sample() -> None:
    breaker = failing(3)
    assert breaker.state(0) == "closed"
    assert breaker.allow(0)


def test_opens_when_half_of_a_full_sample_failed() -> None:
    breaker = Breaker(POLICY)
    for failed in (False, True, False, True):
        breaker.record(failed, 0)
    assert breaker.state(0) == "open"
    assert not breaker.allow(999)


def test_stays_closed_when_fewer_than_half_failed() -> None:
    breaker = Breaker(POLICY)
    for failed in (False, True, False, False, True):
        breaker.record(failed, 0)
    assert breaker.state(0) == "closed"


def test_a_final_failure_opens_at_once() -> None:
    breaker = Breaker(POLICY)
    breaker.record(True, 0, final=True)
    assert breaker.state(0) == "open"


def test_half_open_lets_one_probe_through() -> None:
    breaker = failing(4)
    assert breaker.state(1_000) == "half_open"
    assert [breaker.allow(1_000), breaker.allow(1_001), breaker.allow(1_499)] == [True, False, False]


def test_a_lost_probe_is_replaced_after_its_timeout() -> None:
    breaker = failing(4)
    assert breaker.allow(1_000)
    assert breaker.allow(1_500)


def test_a_probe_that_was_never_sent_is_given_back() -> None:
    breaker = failing(4)
    assert breaker.allow(1_000)
    breaker.release()
    assert breaker.allow(1_001)


def test_a_good_probe_closes_and_forgets() -> None:
    breaker = failing(4)
    breaker.allow(1_000)
    breaker.record(False, 1_010)
    assert breaker.state(1_010) == "closed"
    for _ in range(3):
        breaker.record(True, 1_020)
    assert breaker.state(1_020) == "closed", "the old failures must not count again"


def test_each_failed_probe_doubles_the_wait_up_to_the_cap() -> None:
    breaker = failing(4)
    ends = []
    for _ in range(3):
        at_ms = breaker.retry_at_ms() or 0
        assert breaker.allow(at_ms)
        breaker.record(True, at_ms)
        ends.append((breaker.retry_at_ms() or 0) - at_ms)
    assert ends == [2_000, 3_000, 3_000]


def test_the_wait_is_short_again_after_a_recovery() -> None:
    breaker = failing(4)
    breaker.allow(1_000)
    breaker.record(True, 1_000)
    breaker.allow(3_000)
    breaker.record(False, 3_000)
    for _ in range(4):
        breaker.record(True, 4_000)
    assert breaker.retry_at_ms() == 5_000


def test_a_straggler_from_before_the_opening_changes_nothing() -> None:
    breaker = failing(4)
    breaker.record(False, 500)
    assert breaker.state(500) == "open"
