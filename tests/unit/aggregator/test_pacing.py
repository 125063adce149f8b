"""When an aggregator waits for more: before it sends, only behind a log that is truly ahead; before it fetches, by load."""

from __future__ import annotations

from services.aggregator.driver.batch import held
from services.aggregator.driver.host import BEHIND_MS, is_behind
from services.aggregator.driver.ports import FULL_RECORDS
from services.aggregator.engine.records import OneRecord

NOW_MS = 1_795_305_600_000.0


def batch(count: int, age_ms: int) -> list[OneRecord]:
    return [OneRecord(number, int(NOW_MS) - age_ms, b"k", b"v") for number in range(count)]


def test_a_large_batch_of_old_records_is_behind() -> None:
    assert is_behind(batch(FULL_RECORDS, BEHIND_MS), NOW_MS) is True


def test_a_burst_of_fresh_records_is_not() -> None:
    assert is_behind(batch(FULL_RECORDS * 4, BEHIND_MS - 1), NOW_MS) is False


def test_a_few_old_records_are_not() -> None:
    assert is_behind(batch(FULL_RECORDS - 1, BEHIND_MS * 9), NOW_MS) is False


def test_while_records_come_the_broker_gathers_them() -> None:
    assert held(True, 10) == (131_072, 10)


def test_the_first_record_of_a_quiet_log_ends_the_wait() -> None:
    assert held(False, 10) == (1, 100)
