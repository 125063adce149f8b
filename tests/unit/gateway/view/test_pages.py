"""Lists, record pages and bars, as functions of the view and the time."""

from __future__ import annotations

import gzip

import msgspec
import pytest

from schemas.events import Candle
from services.gateway.problems import Problem
from services.gateway.view.pages import (
    CandlesPage,
    ListPage,
    ListQuery,
    RecordPage,
    plain,
    read_cursor,
    resolve,
    zipped,
)
from services.gateway.view.view import View
from tests.fixtures.market import EPOCH, T0, put, record, view

ASSET = "asset:bitcoin"


def three() -> View:
    v = view()
    put(v, record("asset:ethereum", 1, price=2.0), 1)
    put(v, record("asset:bitcoin", 2, price=1.0), 2)
    put(v, record("asset:tether", 3, price=3.0), 3)
    put(v, record("global:market", 4, market_cap=9.0), 4)
    return v


def listed(of: View, now_ms: int = T0, **query: object) -> dict:
    return msgspec.json.decode(ListPage(of.fused["market"], ListQuery(prefix="asset:", **query))(now_ms).identity)


def test_a_list_is_the_records_side_by_side_in_order() -> None:
    answer = listed(three())
    assert [row["asset_id"] for row in answer["data"]] == ["bitcoin", "ethereum", "tether"]
    assert answer["meta"] == {
        "as_of": "2026-09-21T14:13:20.000Z", "stale": False, "origins": ["live"], "count": 3, "total": 4,
    }  # fmt: skip


def test_pages_of_a_list_join_without_gap_or_double() -> None:
    v = three()
    seen, after = [], None
    while True:
        answer = listed(v, limit=2, after=after, url="/api/market?limit=2")
        seen += [row["asset_id"] for row in answer["data"]]
        cursor = answer["meta"].get("next_cursor")
        if cursor is None:
            break
        assert answer["meta"]["next_url"] == f"/api/market?limit=2&cursor={cursor}"
        after = read_cursor(cursor)
    assert seen == ["bitcoin", "ethereum", "tether"]


def test_named_assets_come_in_the_order_named_and_missing_ones_are_named() -> None:
    answer = listed(three(), keys=("asset:tether", "asset:solana", "asset:bitcoin"))
    assert [row["asset_id"] for row in answer["data"]] == ["tether", "bitcoin"]
    assert answer["meta"]["missing"] == ["solana"]


def test_a_list_is_made_anew_when_a_record_or_a_label_changes_and_not_before() -> None:
    v = three()
    page = ListPage(v.fused["market"], ListQuery(prefix="asset:"))
    first = page(T0)
    assert page(T0 + 1) is first
    stale = page(T0 + 60_000)
    assert stale is not first
    assert stale.etag == first.etag[:-1] + b'-s3"'
    assert msgspec.json.decode(stale.identity)["meta"]["stale"] is True
    put(v, record("asset:bitcoin", 5, price=1.5), 5)
    assert page(T0).etag not in (first.etag, stale.etag)


def test_an_empty_category_is_a_problem_that_says_so() -> None:
    with pytest.raises(Problem) as refused:
        ListPage(view().fused["market"], ListQuery())(T0)
    assert refused.value.kind.code == "no-data"
    assert refused.value.detail.startswith("no provider of category market has reported anything yet")


def test_a_stale_record_is_refused_with_what_was_last_known() -> None:
    v = three()
    page = RecordPage(v.fused["market"], ASSET, "record", allow_stale=False)
    assert msgspec.json.decode(page(T0).identity)["data"]["price"] == "1"
    with pytest.raises(Problem) as refused:
        page(T0 + 60_000)
    problem = msgspec.json.decode(refused.value.body("/api/market/bitcoin", "r1"))
    assert (problem["status"], problem["code"], problem["age_ms"]) == (503, "no-fresh-data", 59_995)
    assert problem["last_known"]["price"] == "1"
    assert problem["last_known"]["stale"] is True


def test_a_stale_record_is_given_to_who_allows_it() -> None:
    page = RecordPage(three().fused["market"], ASSET, "record", allow_stale=True)
    assert msgspec.json.decode(page(T0 + 60_000).identity)["data"]["stale"] is True


def test_a_record_page_is_made_once_per_version_and_part() -> None:
    v = three()
    page = RecordPage(v.fused["market"], ASSET, "record", allow_stale=False)
    sources = RecordPage(v.fused["market"], ASSET, "sources", allow_stale=True)
    assert page(T0) is page(T0 + 5)
    assert sources(T0).identity != page(T0).identity
    put(v, record(ASSET, 9, price=1.25), 9)
    assert msgspec.json.decode(page(T0).identity)["data"]["price"] == "1.25"
    assert page(T0).etag == b'"1-9"'


def test_a_name_is_an_id_or_the_symbol_of_one_asset() -> None:
    v = three()
    put(v, record("asset:unlisted", 5, price=1.0), 5)
    assert [resolve(v, name) for name in ("bitcoin", "eth", "unlisted")] == ["bitcoin", "ethereum", "unlisted"]
    with pytest.raises(Problem) as refused:
        resolve(v, "bitconi")
    assert (refused.value.kind.status, refused.value.extra) == (404, {"near": ["bitcoin"]})


@pytest.mark.parametrize("cursor", ["", "x", "WzFd", "é", "W1si"])
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(Problem) as refused:
        read_cursor(cursor)
    assert refused.value.kind.code == "invalid-parameter"


def candle(start_ms: int, version: int = 1, *, close: float = 2.0, closed: bool = True, interval: str = "1m") -> bytes:
    bar = Candle(
        entity=ASSET, interval=interval, start_ms=start_ms, open=1.0, high=3.0, low=0.5, close=close, quote="usd",
        version=EPOCH + version, origin="live", volume=1.5, trades=7, sources=2, closed=closed,
    )  # fmt: skip
    return msgspec.json.encode(bar)


def bars(of: View, *, now_ms: int = T0, shape: str = "rows", **times: int) -> dict:
    page = CandlesPage(of, ASSET, "1m", times.get("from_ms"), times.get("to_ms"), times.get("limit", 200), shape)
    return msgspec.json.decode(page(now_ms).identity)


def test_bars_come_oldest_first_newest_version_wins_and_the_range_is_half_open() -> None:
    v = view()
    for at, value in enumerate(
        (
            candle(T0 + 60_000, 5, close=9.0, closed=False),
            candle(T0, 1),
            candle(T0 + 120_000, 3),
            candle(T0 + 60_000, 4, close=8.0),
        )
    ):
        v.candles.apply("k", value, 0, at, T0)
    rows = bars(v)["data"]["candles"]
    assert [row["start"][14:19] for row in rows] == ["13:20", "14:20", "15:20"]
    assert rows[1] == {
        "start": "2026-09-21T14:14:20.000Z", "open": "1", "high": "3", "low": "0.5", "close": "9", "volume": "1.5",
        "trades": 7, "sources": 2, "closed": False, "origin": "live", "ver": EPOCH + 5,
    }  # fmt: skip
    assert bars(v, from_ms=T0 + 60_000, to_ms=T0 + 120_000)["meta"]["count"] == 1
    assert [row["start"][14:19] for row in bars(v, limit=2)["data"]["candles"]] == ["14:20", "15:20"]
    assert bars(v, shape="columns")["data"]["candles"]["close"] == ["2", "9", "2"]


def test_bars_that_are_not_there_are_a_problem_that_says_which_are() -> None:
    v = view()
    v.candles.apply("k", candle(T0, interval="5m"), 0, 0, T0)
    with pytest.raises(Problem) as refused:
        bars(v)
    assert refused.value.detail == "no 1m bars of asset:bitcoin; it has 5m"


def test_the_gzip_form_is_made_once_and_reads_back() -> None:
    body = plain({"a": "b" * 1000})
    packed = zipped(body)
    assert gzip.decompress(packed) == body.identity
    assert zipped(body) is packed
