"""Series of bars: bounded, newest version wins, order does not matter."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Candle
from services.gateway.view import candles
from services.gateway.view.candles import ROWS_MAX, Candles, Series
from services.gateway.view.feed import BadRecord
from services.gateway.view.numbers import LAST_MS


def bar(start: int, version: int, *, origin: str = "live", closed: bool = False) -> Candle:
    return Candle(
        entity="asset:a", interval="1m", start_ms=start * 60_000, open=1.0, high=2.0, low=0.5, close=float(version), quote="usd",
        version=version, origin=origin, closed=closed,  # type: ignore[arg-type]
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9))))
def test_a_series_holds_the_newest_version_of_each_bar_whatever_the_order(steps: list[tuple[int, int]]) -> None:
    series = Series("usd")
    for start, version in steps:
        series.put(bar(start, version))
    newest: dict[int, int] = {}
    for start, version in steps:
        newest[start] = max(version, newest.get(start, 0))
    rows = series.between(0, LAST_MS, ROWS_MAX)
    assert [row.ver for row in rows] == [newest[start] for start in sorted(newest)]
    assert [row.close for row in rows] == [str(newest[start]) for start in sorted(newest)]


def test_a_full_ring_drops_the_oldest_bar_and_refuses_older_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candles, "ROWS_MAX", 3)
    series = Series("usd")
    assert all(series.put(bar(start, 1)) for start in (5, 6, 7, 8))
    assert list(series.starts) == [360_000, 420_000, 480_000]
    assert not series.put(bar(4, 1))
    assert len(series.values) == 3 * 8


@pytest.mark.parametrize("origin", ["live", "replay", "sandbox"])
@pytest.mark.parametrize("closed", [True, False])
def test_origin_and_closing_survive_the_columns(origin: str, closed: bool) -> None:
    series = Series("usd")
    series.put(bar(1, 1, origin=origin, closed=closed))
    row = series.between(0, LAST_MS, 1)[0]
    assert (row.origin, row.closed) == (origin, closed)


@pytest.mark.parametrize("value", [b"", b"{}", b'{"entity":1}', b"\x00"])
def test_a_bar_that_cannot_be_read_is_refused(value: bytes) -> None:
    with pytest.raises(BadRecord):
        Candles().apply("k", value, 0, 0, 0)


def test_an_interval_that_nobody_makes_is_refused_by_name() -> None:
    odd = msgspec.structs.replace(bar(1, 1), interval="7m")
    with pytest.raises(BadRecord, match="got 7m at 60000"):
        Candles().apply("k", msgspec.json.encode(odd), 0, 0, 0)


def test_series_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candles, "SERIES_MAX", 1)
    store = Candles()
    assert store.apply("k", msgspec.json.encode(bar(1, 1)), 0, 0, 0)
    assert not store.apply("k", msgspec.json.encode(msgspec.structs.replace(bar(1, 1), entity="asset:b")), 0, 1, 0)
    assert (len(store), store.refused, store.positions) == (1, 1, {0: 2})
