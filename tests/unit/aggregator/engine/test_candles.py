"""Bars: by event time, per source, fused by median, closed by the log's clock, rolled up, changed by late trades."""

from __future__ import annotations

import msgspec

from services.aggregator.engine import Partition
from services.aggregator.engine.candles import BUSY, Candles
from services.aggregator.engine.fold import fold
from services.aggregator.engine.model import Reason
from tests.unit.aggregator.engine.logs import T0, log, raw, rules

PAIR = "pair:coin/usd"
MINUTE = 60_000


def trade(at_ms: int, price: float, size: float = 1.0, provider: str = "aqua", event_ms: int | None = None):
    event = at_ms if event_ms is None else event_ms
    return raw(
        PAIR, provider, at_ms, category="exchange", metrics={"trade_price": price, "trade_size": size}, endpoint="trades",
        event_ms=T0 + event, id=f"{provider}{event}{price}",
    )  # fmt: skip


def bars(partition: Partition, records, start: int = 0):
    fold(partition, log(*records, start=start), start * 10_000)
    partition.candles.finish()
    partition.due.hurry()
    partition.take(10**9, 1 << 30)
    found = {}
    for key, value in partition.candles.take(1 << 30):
        bar = msgspec.json.decode(value)
        found[key.decode().split("|", 1)[1].replace(str(T0), "T0")] = bar
    return found


def shape(bar):
    return (
        bar["open"],
        bar["high"],
        bar["low"],
        bar["close"],
        bar.get("volume", 0.0),
        bar.get("trades", 0),
        bar.get("sources", 0),
        bar.get("closed", False),
    )


def test_a_minute_of_trades_is_their_first_highest_lowest_last_and_volume() -> None:
    found = bars(
        Partition(rules("exchange"), 0),
        [trade(1000, 10.0), trade(2000, 12.0, 2.0), trade(3000, 9.0, 0.5), trade(4000, 11.0)],
    )
    assert {name: shape(bar) for name, bar in found.items()} == {"1m|T0": (10.0, 12.0, 9.0, 11.0, 4.5, 4, 1, False)}


def test_open_and_close_go_by_event_time_not_by_arrival() -> None:
    found = bars(
        Partition(rules("exchange"), 0),
        [trade(3000, 11.0), trade(3500, 10.0, event_ms=500), trade(3600, 12.0, event_ms=2000)],
    )
    assert shape(found["1m|T0"]) == (10.0, 12.0, 10.0, 11.0, 3.0, 3, 1, False)


def test_sources_are_fused_by_median_and_their_volumes_summed() -> None:
    found = bars(
        Partition(rules("exchange"), 0),
        [trade(10, 10.0, 1.0, "aqua"), trade(20, 11.0, 2.0, "brick"), trade(30, 99.0, 3.0, "cedar")],
    )
    assert shape(found["1m|T0"]) == (11.0, 11.0, 11.0, 11.0, 6.0, 3, 3, False)


def test_a_trade_told_twice_counts_once() -> None:
    one = trade(10, 10.0)
    found = bars(Partition(rules("exchange"), 0), [one, trade(20, 11.0), one])
    assert shape(found["1m|T0"]) == (10.0, 11.0, 10.0, 11.0, 2.0, 2, 1, False)


def test_a_minute_is_closed_when_the_log_has_passed_its_end_and_the_grace() -> None:
    partition = Partition(rules("exchange"), 0)
    assert not bars(partition, [trade(1000, 10.0)])["1m|T0"].get("closed", False)
    assert "1m|T0" not in bars(partition, [trade(MINUTE + 1999, 11.0)], 1)
    closed = bars(partition, [trade(MINUTE + 2000, 12.0)], 2)["1m|T0"]
    assert (shape(closed), closed["version"]) == ((10.0, 10.0, 10.0, 10.0, 1.0, 1, 1, True), 2)


def test_a_late_trade_changes_a_closed_minute_and_a_too_late_one_goes_to_late() -> None:
    partition = Partition(rules("exchange"), 0)
    bars(partition, [trade(1000, 10.0), trade(MINUTE + 2000, 11.0)])
    late = bars(partition, [trade(MINUTE + 3000, 8.0, 2.0, event_ms=5000)], 2)["1m|T0"]
    assert (shape(late), late["version"]) == ((10.0, 10.0, 8.0, 8.0, 3.0, 2, 1, True), 2)
    bars(
        partition,
        [trade(2 * MINUTE + 1000, 11.0), trade(3 * MINUTE + 1000, 11.0), trade(3 * MINUTE + 1500, 7.0, event_ms=6000)],
        3,
    )
    assert [(aside.reason, aside.offset) for aside in partition.asides] == [(Reason.LATE, 5)]


def test_minutes_roll_up_into_longer_bars_that_close_at_their_own_end() -> None:
    partition = Partition(rules("exchange"), 0)
    start = (T0 + 5 * MINUTE) // (5 * MINUTE) * 5 * MINUTE - T0
    prices = [10.0, 14.0, 8.0, 12.0, 11.0, 13.0]
    found = bars(
        partition,
        [trade(start + minute * MINUTE + 100, price) for minute, price in enumerate(prices)]
        + [trade(start + 5 * MINUTE + 2000, 13.0)],
    )
    name = f"5m|{T0 + start}"
    assert shape(found[name]) == (10.0, 14.0, 8.0, 11.0, 5.0, 5, 1, True)


def test_prices_make_bars_where_there_is_no_trade_and_trades_replace_them() -> None:
    quote = raw(PAIR, "brick", 5, category="exchange", metrics={"last": 50.0})
    assert shape(bars(Partition(rules("exchange"), 0), [quote])["1m|T0"]) == (50.0, 50.0, 50.0, 50.0, 0.0, 0, 1, False)
    assert shape(bars(Partition(rules("exchange"), 0), [quote, trade(10, 10.0)])["1m|T0"]) == (
        10.0,
        10.0,
        10.0,
        10.0,
        1.0,
        1,
        1,
        False,
    )


LONGER = {"5m", "15m", "1h", "4h", "1d"}
START = T0 + MINUTE
"""Where a bar of five minutes begins, so that none ends with the next minute."""


def minute_of(trades: int) -> list:
    """So many trades in one minute, and one that closes it."""
    return [*(trade(MINUTE + k, 10.0) for k in range(trades)), trade(2 * MINUTE + 2000, 11.0)]


def intervals(found) -> set[str]:
    return {name.split("|")[0] for name in found}


def test_who_trades_much_has_its_longer_bars_shown_at_every_minute() -> None:
    found = bars(Partition(rules("exchange"), 0), minute_of(BUSY))
    assert intervals(found) == {"1m"} | LONGER
    assert all(bar.get("closed", False) == (name == f"1m|{START}") for name, bar in found.items())
    assert intervals(bars(Partition(rules("exchange"), 0), minute_of(BUSY - 1))) == {"1m"}


def test_while_the_log_is_far_ahead_only_what_is_closed_is_sent() -> None:
    partition = Partition(rules("exchange", behind_ms=3000), 0)
    fold(partition, log(*minute_of(BUSY)), 0, behind=True)
    assert [key for key, _ in partition.take(2999, 100)] == []
    first = [key.decode().split("|", 1)[1] for key, _ in partition.candles.take(100)]
    assert first == [f"1m|{START}"]
    partition.take(3000, 100)
    later = [key.decode().split("|", 1)[1] for key, _ in partition.candles.take(100)]
    assert later[0] == f"1m|{START + MINUTE}"
    assert {name.split("|")[0] for name in later[1:]} == LONGER


def put(partition: Partition, key: bytes, start: int, price: float = 10.0) -> int:
    """Tell a price of an entity without a log."""
    address = partition.at(key)
    partition.candles.add(address, 0, start, price, None, "usd", 1)
    return address


def keys(partition: Partition) -> list[bytes]:
    return [key for key, _ in partition.candles.take(1 << 30)]


def test_nothing_is_sent_of_a_forgotten_entity_nor_twice_of_who_has_its_place() -> None:
    partition = Partition(rules("exchange"), 0)
    partition.log_ms = START
    gone = put(partition, b"pair:old/usd", START)
    partition.candles.advance(START + MINUTE + 2000)
    open_too = put(partition, b"pair:odd/usd", START + MINUTE)
    partition.forget(gone)
    partition.forget(open_too)
    new = [put(partition, key, START) for key in (b"pair:nay/usd", b"pair:new/usd")]
    assert set(new) == {gone, open_too}
    assert keys(partition) == [b"pair:nay/usd|1m|%d" % START, b"pair:new/usd|1m|%d" % START]
    partition.candles.advance(START + 2 * MINUTE + 2000)
    assert keys(partition) == []


def test_many_bars_and_long_keys_are_all_sent() -> None:
    partition = Partition(rules("exchange"), 0)
    partition.log_ms = START
    names = [b"pair:%s/usd" % (b"%d" % n * 100) for n in range(600)]
    names.insert(7, b"pair:" + b"x" * 30_000 + b"/usd")
    for n, name in enumerate(names):
        put(partition, name, START, float(n + 1))
    partition.candles.advance(START + MINUTE + 2000)
    sent = partition.candles.take(1 << 30)
    assert [key for key, _ in sent] == [b"%s|1m|%d" % (name, START) for name in names]
    decoded = [msgspec.json.decode(value or b"") for _, value in sent]
    assert [(bar["entity"].encode(), bar["open"]) for bar in decoded] == list(
        zip(names, map(float, range(1, 602)), strict=True)
    )
    assert partition.candles.taken == partition.candles.queued == 601


def test_a_sweep_in_parts_finds_what_a_whole_one_does() -> None:
    found = []
    for limit in (1, 2, 1 << 30):
        partition = Partition(rules("exchange"), 0)
        partition.log_ms = T0
        for n in range(5):
            address = put(partition, b"pair:%d/usd" % n, T0)
            partition.store.view(address).as_of_ms = T0 if n != 3 else 0
        partition.candles.advance(T0 + 5 * MINUTE)
        keys(partition)
        while partition.candles.sweeping:
            partition.candles.sweep(limit)
        found.append(keys(partition))
        assert partition.gone == [b"pair:3/usd"]
    end = T0 + 5 * MINUTE - (T0 + 5 * MINUTE) % (5 * MINUTE)
    assert found == [[b"pair:%d/usd|5m|%d" % (n, end - 5 * MINUTE) for n in (0, 1, 2, 4)]] * 3


def test_after_a_restart_open_minutes_are_closed_and_late_trades_are_shown() -> None:
    partition = Partition(rules("exchange"), 0)
    partition.log_ms = START
    put(partition, b"pair:a/usd", START)
    partition.candles.advance(START + MINUTE + 2000)
    put(partition, b"pair:a/usd", START + MINUTE)
    put(partition, b"pair:b/usd", START + MINUTE)
    partition.position = 5
    mark = partition.begin_cut().mark
    again = partition.candles = Candles(partition)
    again.restore(mark)
    assert keys(partition) == []
    put(partition, b"pair:a/usd", START)
    assert keys(partition) == [b"pair:a/usd|1m|%d" % START]
    again.advance(START + 2 * MINUTE + 2000)
    assert sorted(keys(partition)) == [b"pair:a/usd|1m|%d" % (START + MINUTE), b"pair:b/usd|1m|%d" % (START + MINUTE)]
