"""What is rare in a log and must be the same whether kernels fold it or Python: small cases of what once differed."""

from __future__ import annotations

from zlib import crc32

import msgspec
import pytest

from schemas.events import Raw
from services.aggregator.engine import Partition, careful
from services.aggregator.engine.fold import fold
from services.aggregator.engine.model import Reason
from tests.unit.aggregator.engine.logs import T0, Record, log, raw, rules, sent
from tests.unit.aggregator.engine.stories import Way, by_hand, by_kernels, read

WAYS = pytest.mark.parametrize("way", [by_kernels, by_hand])


def folded(way: Way, *raws: Raw, category: str = "market") -> Partition:
    partition = Partition(rules(category), 0)
    way(partition, log(*raws), 0)
    return partition


@WAYS
def test_what_is_set_aside_before_it_is_looked_at_gives_nobody_a_number(way: Way) -> None:
    partition = Partition(rules(), 0)
    wrong = log(raw(provider="wrong"))[0]._replace(key=b"asset:another")
    way(
        partition,
        [wrong, *log(raw("control:rates", "parallax", metrics={"tether": 1.0}), raw(provider="aqua"), start=1)],
        0,
    )
    assert [source.provider for source in partition.names.sources] == ["aqua"]


@WAYS
def test_rates_are_no_entity_whoever_tells_them_and_however_often(way: Way) -> None:
    partition = folded(way, raw(), *[raw("control:rates", price=n, at_ms=n) for n in range(1, 5)])
    assert list(partition.entities) == [b"asset:coin"]
    assert (partition.counts.control, partition.counts.folded, partition.rates.known["price"].usd) == (4, 1, 4.0)


def trade(number: int, at_ms: int, provider: str = "aqua") -> Raw:
    return raw(
        "pair:coin/usd", provider, at_ms, category="exchange", metrics={"trade_price": 100.0}, id=f"{provider}{number}",
        event_ms=T0 + number,
    )  # fmt: skip


@WAYS
def test_a_trade_that_is_told_again_closes_no_learning_window(way: Way) -> None:
    says = [trade(1, n, provider) for n, provider in enumerate(("aqua", "brick", "cedar"))]
    partition = folded(way, *says, trade(1, 30_000), category="exchange")
    entity = partition.entity(b"pair:coin/usd")
    assert entity is not None
    assert (entity.lessons, entity.learn_at_ms, entity.version) == ({}, T0 + 5000, 2)
    assert (partition.counts.unchanged, partition.position, partition.log_ms) == (1, 3, T0 + 30_000)
    way(partition, log(trade(2, 31_000), start=4), 0)
    assert list(entity.lessons) == ["trade_price"]
    assert entity.learn_at_ms - T0 == 35_000


@WAYS
def test_an_empty_quote_is_none(way: Way) -> None:
    partition = folded(way, *[raw("pair:coin/usd", quote="", at_ms=n) for n in range(3)])
    entity = partition.entity(b"pair:coin/usd")
    assert entity is not None
    assert entity.slots == {0: (T0 + 2, crc32(b"aqua-pair:coin/usd-2"), 1.0, (100.0,))}
    assert entity.bars is not None
    assert [bar.quote for bar in entity.bars] == [""]
    assert partition.names.sources[0].quote is None


@WAYS
@pytest.mark.parametrize("stamp", [None, -1])
def test_a_log_without_times_of_its_own_refuses_nothing_as_too_new(way: Way, stamp: int | None) -> None:
    partition = Partition(rules(), 0)
    records = [record._replace(timestamp=stamp) for record in log(raw(), raw(at_ms=10**9))]  # type: ignore[arg-type]
    way(partition, records, 0)
    assert (list(partition.asides), partition.counts.folded) == ([], 2)


@WAYS
@pytest.mark.parametrize(("ahead", "asides"), [(600_000, 0), (600_001, 1)])
def test_a_receive_time_may_be_ten_minutes_ahead_of_the_log(way: Way, ahead: int, asides: int) -> None:
    partition = Partition(rules(), 0)
    way(partition, [record._replace(timestamp=T0 - ahead + record.offset) for record in log(raw(), raw(at_ms=1))], 0)
    assert [one.reason for one in partition.asides] == [Reason.TIME] * 2 * asides


def test_the_last_record_of_the_log_is_known_again() -> None:
    partition = Partition(rules(), 0)
    records = log(raw(price=1.0), raw(price=2.0, at_ms=1))
    fold(partition, records, 0)
    assert partition.log_crc == crc32(records[1].value or b"")
    fold(partition, records[:1], 0)
    assert partition.log_crc == crc32(records[1].value or b""), "what was read again is not the last"
    fold(partition, [Record(2, T0, b"asset:coin", None)], 0)
    assert partition.log_crc == crc32(b""), "as recovery compares a record without a value"


@WAYS
def test_a_statement_with_words_that_says_all_replaces_one_of_numbers(way: Way) -> None:
    minute = 60_000
    partition = folded(
        way, raw(provider="brick"), raw(), raw(metrics={"asset_name": "Coin", "price": 5.0}, at_ms=10), raw(at_ms=20, quote="tether"),
        raw(provider="brick", at_ms=minute + 30), raw(provider="brick", at_ms=2 * minute + 30),
    )  # fmt: skip
    entity = partition.entity(b"asset:coin")
    assert entity is not None
    held = {number: partition.names.sources[number] for number in entity.slots}
    assert [(source.provider, source.quote, source.shape.names) for source in held.values()] == [
        ("brick", "usd", ("price",)),
        ("aqua", "usd", ("asset_name", "price")),
        ("aqua", "tether", ("price",)),
    ]


def test_most_records_are_folded_by_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests that compare both ways would compare Python with itself."""
    seen: list[int] = []
    fold_one = careful.fold_one

    def counted(partition: Partition, record: Record, now_ms: int, behind: bool) -> None:
        seen.append(record.offset)
        fold_one(partition, record, now_ms, behind)

    monkeypatch.setattr(careful, "fold_one", counted)
    records = [Record(n, T0 + n, b"asset:coin", msgspec.json.encode(raw(at_ms=n, price=1.0 + n))) for n in range(300)]
    assert read(records, "market", by_kernels, [7]).counts["folded"] == 300
    assert seen == [0]


@WAYS
def test_what_was_received_earlier_does_not_make_an_entity_older(way: Way) -> None:
    partition = folded(way, *[raw(at_ms=received, event_ms=T0 + n) for n, received in enumerate((0, 2000, 1500))])
    entity = partition.entity(b"asset:coin")
    assert entity is not None
    assert (entity.version, entity.as_of_ms) == (2, T0 + 2000)


@WAYS
def test_an_asset_is_not_valued_in_itself(way: Way) -> None:
    rates = raw("control:rates", "parallax", metrics={"tether": 2.0})
    partition = folded(way, rates, *[raw("asset:tether", quote="tether", at_ms=n) for n in range(3)])
    entity = partition.entity(b"asset:tether")
    assert entity is not None
    assert [rate for _, _, rate, _ in entity.slots.values()] == [None]


@WAYS
def test_a_record_made_early_is_made_again_when_more_was_heard(way: Way) -> None:
    partition = folded(way, raw("asset:early"), raw("asset:early", at_ms=1), raw("asset:late", at_ms=120_000))
    assert len(partition.payloads) == 1
    way(partition, log(raw("asset:early", at_ms=120_001, price=7.0), start=3), 0)
    sent = {key: msgspec.json.decode(value or b"")["version"] for key, value in partition.take(1000, 9)}
    assert sent == {b"asset:early": 3, b"asset:late": 2}
    assert partition.payloads == {}


@WAYS
def test_an_event_may_be_ten_seconds_ahead_of_its_receipt_and_no_more(way: Way) -> None:
    partition = folded(way, *[raw(at_ms=n, event_ms=T0 + n + 50_000) for n in range(3)])
    entity = partition.entity(b"asset:coin")
    assert entity is not None
    assert [ts_ms - T0 for ts_ms, _, _, _ in entity.slots.values()] == [10_002]


@pytest.mark.parametrize(
    "category, entity, metrics",
    [
        ("market", "asset:coin", {"price": 100.0, "asset_symbol": "COIN"}),
        ("rpc", "chain:ethereum", {"block_height": 100.0, "block_hash": "0xab"}),
        ("technical", "asset:coin", {"rsi_14": 50.0, "recommendation": "buy"}),
    ],
)
def test_more_providers_than_there_was_room_for_are_heard_with_their_words(
    category: str, entity: str, metrics: dict[str, object]
) -> None:
    raws = [raw(entity, f"p{n}", 1000 * n, category=category, metrics=metrics) for n in range(100)]
    record = sent(folded(by_kernels, *raws, category=category))[entity]
    for name, value in metrics.items():
        assert record["metrics"][name]["value"] == value
        assert sorted(one["provider"] for one in record["metrics"][name]["by"]) == sorted(f"p{n}" for n in range(100))
