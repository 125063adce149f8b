"""The fold: what changes an entity, what changes nothing, what is set aside."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.engine.fold import fold
from services.aggregator.engine.model import EPOCH_SPAN, Reason
from tests.unit.aggregator.engine.logs import T0, Record, folded, log, raw, sent


def said(partition, entity="asset:coin", metric="price"):
    return {
        one["provider"]: (one["value"], one["age_ms"], one.get("why"))
        for one in sent(partition)[entity]["metrics"][metric]["by"]
    }


def test_each_provider_is_held_with_its_newest_statement_by_event_time() -> None:
    partition = folded(log(
        raw(provider="aqua", price=100.0, at_ms=1000, event_ms=T0 + 900), raw(provider="brick", price=101.0, at_ms=1100),
        raw(provider="aqua", price=99.0, at_ms=1200, event_ms=T0 + 800),
    ))  # fmt: skip
    record = sent(partition)["asset:coin"]
    assert {one["provider"]: (one["value"], one["age_ms"]) for one in record["metrics"]["price"]["by"]} == {
        "aqua": (100.0, 200),
        "brick": (101.0, 0),
    }
    assert (record["version"], record["as_of_ms"], record["origin"], record["quote"]) == (1, T0 + 1100, "live", "usd")


def test_of_two_statements_of_one_time_the_same_wins_in_either_order() -> None:
    one, two = raw(price=1.0, event_ms=T0, id="one"), raw(price=2.0, event_ms=T0, id="two")
    assert said(folded(log(one, two))) == said(folded(log(two, one)))


def test_the_same_statement_twice_changes_nothing() -> None:
    partition = folded(log(raw(event_ms=T0), raw(event_ms=T0, at_ms=500, id=raw().id)))
    assert sent(partition)["asset:coin"]["version"] == 0
    assert partition.counts.unchanged == 1


def test_a_record_at_or_below_the_position_is_skipped() -> None:
    records = log(raw(price=1.0), raw(price=2.0, at_ms=10))
    partition = folded(records)
    fold(partition, records, 0)
    assert (partition.counts.folded, partition.counts.replayed, partition.position) == (2, 2, 1)


def test_an_event_time_from_the_future_is_clamped_to_the_receive_time_plus_skew() -> None:
    partition = folded(
        log(raw(provider="aqua", price=1.0, event_ms=T0 + 3_600_000), raw(provider="aqua", price=2.0, at_ms=10_001))
    )
    assert said(partition) == {"aqua": (2.0, 0, None)}


def test_a_statement_older_than_its_metric_is_fresh_is_shown_as_stale() -> None:
    partition = folded(log(raw(provider="aqua", price=1.0), raw(provider="brick", price=2.0, at_ms=300_001)))
    assert said(partition) == {"brick": (2.0, 0, None), "aqua": (1.0, 300_001, "stale")}


def test_metrics_of_one_endpoint_keep_each_its_own_time() -> None:
    partition = folded(log(
        raw(metrics={"price": 1.0, "volume_24h": 5.0}), raw(metrics={"price": 2.0}, at_ms=1000),
    ))  # fmt: skip
    metrics = sent(partition)["asset:coin"]["metrics"]
    shown = {name: [(one["value"], one["age_ms"]) for one in metric["by"]] for name, metric in metrics.items()}
    assert shown == {"price": [(2.0, 0)], "volume_24h": [(5.0, 1000)]}


def test_the_version_is_the_epoch_and_the_offset_of_the_newest_record_folded() -> None:
    partition = folded(log(raw()))
    partition.renew_log()
    fold(partition, log(raw(price=3.0, at_ms=5)), 0)
    assert sent(partition)["asset:coin"]["version"] == EPOCH_SPAN


def test_the_origin_is_that_of_the_least_real_source() -> None:
    partition = folded(
        log(raw(provider="aqua"), raw(provider="brick", origin="replay"), raw("asset:other", origin="sandbox"))
    )
    assert {entity: record["origin"] for entity, record in sent(partition).items()} == {
        "asset:coin": "replay",
        "asset:other": "sandbox",
    }


ASIDE = {
    "no value": (Record(0, T0, b"asset:coin", None), Reason.EMPTY),
    "no key": (Record(0, T0, None, b"{}"), Reason.EMPTY),
    "not JSON": (log(b"{nonsense")[0], Reason.UNDECODABLE),
    "NaN": (log(msgspec.json.encode(raw()).replace(b"100.0", b"NaN"))[0], Reason.UNDECODABLE),
    "1e400": (log(msgspec.json.encode(raw()).replace(b"100.0", b"1e400"))[0], Reason.UNDECODABLE),
    "not UTF-8": (log(msgspec.json.encode(raw()).replace(b"aqua", b"\xff\xfe"))[0], Reason.UNDECODABLE),
    "deeply nested": (log(b'{"id":' + b"[" * 100_000)[0], Reason.UNDECODABLE),
    "a field missing": (log(msgspec.json.encode(raw()).replace(b'"provider"', b'"nobody"'))[0], Reason.UNDECODABLE),
    "too large": (log(b" " * 600_000)[0], Reason.TOO_LARGE),
    "another key": (log(raw("asset:other"))[0]._replace(key=b"asset:coin"), Reason.KEY),
    "received in the far future": (log(raw(at_ms=10**9))[0]._replace(timestamp=T0), Reason.TIME),
    "received before there was anything": (log(msgspec.structs.replace(raw(), received_ms=5))[0], Reason.TIME),
    "a price below zero": (log(raw(price=-1.0))[0], Reason.ABSURD),
    "a price in words": (log(raw(metrics={"price": "much"}))[0], Reason.ABSURD),
    "a metric nobody knows": (log(raw(metrics={"vibes": 1.0}))[0], Reason.METRIC),
    "a metric of another category": (log(raw(metrics={"bid": 1.0}))[0], Reason.METRIC),
    "an origin that is refused": (log(raw(origin="sandbox"))[0], Reason.ORIGIN),
    "an event of last week": (log(raw(event_ms=T0 - 7 * 86_400_000))[0], Reason.LATE),
}


@pytest.mark.parametrize(("record", "reason"), ASIDE.values(), ids=ASIDE)
def test_what_cannot_be_used_is_set_aside_with_its_bytes_and_the_next_is_folded(record: Record, reason: Reason) -> None:
    partition = folded([record, *log(raw("asset:next"), start=1)], origins=("live", "replay"))
    (aside,) = partition.asides
    assert (aside.reason, aside.offset, aside.key, aside.value) == (reason, 0, record.key, record.value)
    assert partition.counts.aside == {reason.value: 1}
    assert list(sent(partition)) == ["asset:next"]


def test_of_a_record_with_one_absurd_value_the_others_are_used() -> None:
    partition = folded(log(raw(metrics={"price": 5.0, "market_cap": -1.0, "vibes": 2.0})))
    assert set(sent(partition)["asset:coin"]["metrics"]) == {"price"}
    assert [(aside.reason, aside.detail) for aside in partition.asides] == [(Reason.ABSURD, "market_cap=-1.0, vibes")]


@given(st.permutations(range(6)))
def test_the_order_in_which_providers_speak_does_not_matter(order: list[int]) -> None:
    raws = [raw(provider=f"p{n}", price=100.0 + n / 1000, event_ms=T0 - n) for n in range(6)]
    partition = folded(log(*[raws[n] for n in order]))
    assert said(partition) == {f"p{n}": (100.0 + n / 1000, n, None) for n in range(6)}


@given(st.binary(max_size=200))
def test_no_bytes_can_stop_the_fold(value: bytes) -> None:
    partition = folded(log(value, raw(), start=0))
    assert partition.position == 1
    assert "asset:coin" in sent(partition)
