"""Quote conversion: by the rate known at that place of the log, never in a circle."""

from __future__ import annotations

import msgspec

from services.aggregator.engine import rates
from services.aggregator.engine.fold import fold
from tests.unit.aggregator.engine.logs import T0, folded, log, raw, rules, sent


def rate(asset: str, usd: float, at_ms: int):
    return msgspec.json.decode(rates.control(asset, usd, T0 + at_ms, 7, "live", "market"), type=type(raw()))


def by(partition, entity="asset:coin"):
    return [
        (one["provider"], one["value"], one.get("why")) for one in sent(partition)[entity]["metrics"]["price"]["by"]
    ]


def test_money_is_converted_with_the_rate_known_when_it_was_folded() -> None:
    partition = folded(log(rate("tether", 0.5, 0), raw(quote="tether", price=100.0, at_ms=1), rate("tether", 0.9, 2)))
    assert by(partition) == [("aqua", 50.0, None)]
    assert partition.counts.control == 2


def test_without_a_rate_a_statement_is_shown_and_not_used() -> None:
    partition = folded(log(raw(quote="tether", price=100.0)))
    price = sent(partition)["asset:coin"]["metrics"]["price"]
    assert (price["value"], price["confidence"]) == (None, 0.0)
    assert [(one["value"], one["why"]) for one in price["by"]] == [(100.0, "no_rate")]


def test_an_older_rate_does_not_replace_a_newer_one() -> None:
    partition = folded(
        log(rate("tether", 0.9, 100), rate("tether", 0.1, 50), raw(quote="tether", price=10.0, at_ms=101))
    )
    assert by(partition) == [("aqua", 9.0, None)]


def test_a_quote_asset_is_not_valued_in_one_that_may_be_valued_in_it() -> None:
    partition = folded(log(rate("usd-coin", 1.0, 0), raw("asset:tether", quote="usd-coin", price=1.01, at_ms=1)))
    assert by(partition, "asset:tether") == [("aqua", 1.01, "circular")]


def test_a_provider_that_speaks_in_two_quotes_is_heard_in_the_one_that_needs_less_conversion() -> None:
    partition = folded(log(
        rate("tether", 1.0, 0), raw(quote="usd", price=100.0, at_ms=1), raw(quote="tether", price=101.0, at_ms=2, id="x"),
    ))  # fmt: skip
    assert by(partition) == [("aqua", 100.0, None)]


def test_a_pair_stays_in_its_own_quote() -> None:
    partition = folded(
        log(raw("pair:bitcoin/tether", category="exchange", metrics={"bid": 9.0}, quote="tether")), "exchange"
    )
    record = sent(partition)["pair:bitcoin/tether"]
    assert (record["quote"], record["metrics"]["bid"]["value"]) == ("tether", 9.0)


def test_a_rate_is_announced_when_it_is_new_moved_or_old() -> None:
    partition = folded(log(raw("asset:tether", price=1.0)), emit_ms=0)
    moves = []
    for number, (price, at_ms) in enumerate(((1.0, 1000), (1.00005, 2000), (1.0002, 3000), (1.0002, 13_001)), 1):
        partition.take(number * 1000, 100)
        moves.append([(round(a.usd, 4), a.as_of_ms - T0) for a in partition.announcements])
        partition.announcements.clear()
        fold(partition, log(raw("asset:tether", price=price, at_ms=at_ms), start=number), 0)
    partition.take(10**6, 100)
    moves.append([(round(a.usd, 4), a.as_of_ms - T0) for a in partition.announcements])
    assert moves == [[(1.0, 0)], [], [], [(1.0002, 3000)], [(1.0002, 13_001)]]


def test_the_announcement_of_a_version_is_always_the_same_record() -> None:
    assert rates.control("tether", 1.0, T0, 7, "live", "dex") == rates.control("tether", 1.0, T0, 7, "live", "dex")
    assert rules().ranks["usd"] == 0
