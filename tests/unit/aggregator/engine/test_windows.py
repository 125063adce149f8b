"""Bars: by event time, per source, fused by median, closed by the log's clock, rolled up, changed by late trades."""

from __future__ import annotations

import msgspec

from services.aggregator.engine import Partition
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
