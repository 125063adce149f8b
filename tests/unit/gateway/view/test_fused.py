"""Fused records as clients see them, to the byte."""

from __future__ import annotations

import msgspec

from schemas.events import Source, Value
from services.gateway.view.fused import FusedKind
from services.gateway.view.view import View
from tests.fixtures.market import EPOCH, T0, metric, put, record, view

PRICE = metric(
    64210.0,
    low=64200.0,
    high=64220.5,
    spread=0.0003,
    sources=2,
    voices=1.75,
    by=[
        Source(provider="alpha", value=64209.0, age_ms=1200, weight=0.5),
        Source(provider="bravo", value=64211.0, age_ms=0, weight=0.5),
        Source(provider="liar", value=70000.0, age_ms=50, weight=0.0, why="outlier"),
    ],
)


def rendered(of: View, entity: str, now_ms: int, category: str = "market") -> bytes:
    feed = of.fused[category]
    return feed.rendered(feed.entries[entity], now_ms).json


def page(of: View, entity: str, now_ms: int, *, sources: bool, category: str = "market") -> dict:
    feed = of.fused[category]
    entry = feed.entries[entity]
    assert isinstance(feed.kind, FusedKind)
    return msgspec.json.decode(feed.kind.page(entry, feed.value(entry), now_ms, sources=sources).identity)


def test_an_asset_is_one_flat_object_with_amounts_as_strings() -> None:
    v = view()
    put(v, record(price=PRICE, market_cap=1.25e12, change_24h_pct=-2.5, market_rank=1.0), 17)
    assert rendered(v, "asset:bitcoin", T0) == (
        b'{"asset_id":"bitcoin","symbol":"BTC","name":"Bitcoin","rank":1,"price":"64210","conf":"10.25",'
        b'"conf_lo":"64200","conf_hi":"64220.5","confidence":0.9,"spread":0.0003,"high_24h":null,"low_24h":null,'
        b'"volume_24h":null,"market_cap":"1250000000000","change_1h_pct":null,"change_24h_pct":-2.5,"change_7d_pct":null,'
        b'"circulating_supply":null,"quote":"usd","source":"fused","method":"robust/1","sources_used":2,"sources_total":3,'
        b'"origin":"live","as_of":"2026-09-21T14:13:20.000Z","fused_at":"2026-09-21T14:13:20.005Z","latency_ms":5,'
        b'"fresh_until":"2026-09-21T14:14:20.000Z","stale":false,"stale_reason":null,"ver":1099511627777,"seq":17}'
    )


def test_a_price_past_its_freshness_is_labelled_and_says_since_when() -> None:
    v = view()
    put(v, record(price=1.0, market_cap=2.0))
    fresh = msgspec.json.decode(rendered(v, "asset:bitcoin", T0 + 59_999))
    stale = msgspec.json.decode(rendered(v, "asset:bitcoin", T0 + 60_000))
    assert (fresh["stale"], fresh["stale_reason"]) == (False, None)
    assert (stale["stale"], stale["stale_reason"]) == (True, "no source has renewed it since 2026-09-21T14:14:20.000Z")


def test_the_label_holds_until_the_next_metric_goes_stale() -> None:
    v = view()
    put(v, record(price=1.0, market_cap=2.0))
    feed = v.fused["market"]
    entry = feed.entries["asset:bitcoin"]
    assert feed.rendered(entry, T0).valid_until_ms == T0 + 60_000
    assert feed.rendered(entry, T0 + 60_000).valid_until_ms == T0 + 300_000


def test_each_metric_of_a_page_carries_its_own_label() -> None:
    v = view()
    put(v, record(price=1.0, market_cap=2.0))
    metrics = page(v, "asset:bitcoin", T0 + 60_000, sources=False)["data"]["metrics"]
    assert {name: m["stale"] for name, m in metrics.items()} == {"price": True, "market_cap": False}


def test_the_tag_is_epoch_and_offset_and_changes_with_the_labels() -> None:
    v = view()
    put(v, record(price=1.0, market_cap=2.0), 17)
    feed = v.fused["market"]
    entry = feed.entries["asset:bitcoin"]
    assert isinstance(feed.kind, FusedKind)
    value = feed.value(entry)
    assert feed.kind.page(entry, value, T0, sources=False).etag == b'"1-17"'
    assert feed.kind.page(entry, value, T0 + 60_000, sources=False).etag == b'"1-17-s1"'
    assert feed.kind.page(entry, value, T0 + 300_000, sources=False).etag == b'"1-17-s2"'


def test_a_replay_is_fresh_by_its_own_clock() -> None:
    v = view()
    long_after = T0 + 10**9
    put(v, record("asset:bitcoin", 1, origin="replay", price=1.0), 0)
    assert msgspec.json.decode(rendered(v, "asset:bitcoin", long_after))["stale"] is False
    put(v, record("asset:ethereum", 2, origin="replay", at_ms=T0 + 60_000, price=1.0), 1)
    later = msgspec.json.decode(rendered(v, "asset:bitcoin", long_after + 1_000))
    assert (later["stale"], later["origin"]) == (True, "replay")


def test_sources_say_who_said_what_how_old_and_why_not() -> None:
    v = view()
    put(v, record(price=PRICE))
    feed = v.fused["market"]
    entry = feed.entries["asset:bitcoin"]
    assert isinstance(feed.kind, FusedKind)
    body = msgspec.json.decode(feed.kind.sources(entry, feed.value(entry), T0).identity)
    assert body["data"]["asset_id"] == "bitcoin"
    assert body["data"]["metrics"]["price"]["sources"] == [
        {"provider": "alpha", "value": "64209", "age_ms": 1200, "as_of": "2026-09-21T14:13:18.800Z", "weight": 0.5,
         "used": True, "why_excluded": None, "deviation_bps": -0.156},
        {"provider": "bravo", "value": "64211", "age_ms": 0, "as_of": "2026-09-21T14:13:20.000Z", "weight": 0.5,
         "used": True, "why_excluded": None, "deviation_bps": 0.156},
        {"provider": "liar", "value": "70000", "age_ms": 50, "as_of": "2026-09-21T14:13:19.950Z", "weight": 0.0,
         "used": False, "why_excluded": "outlier", "deviation_bps": 901.729},
    ]  # fmt: skip


def test_a_page_has_the_sources_only_when_asked() -> None:
    v = view()
    put(v, record(price=PRICE, quality=True))
    without = page(v, "asset:bitcoin", T0, sources=False)
    assert "sources" not in without["data"]["metrics"]["price"]
    assert len(page(v, "asset:bitcoin", T0, sources=True)["data"]["metrics"]["price"]["sources"]) == 3
    assert without["data"]["quality"] == {
        "completeness": 0.5, "consistency": 0.75, "timeliness": 1.0, "diversity": 0.25, "confidence": 0.875,
    }  # fmt: skip
    assert without["meta"] == {
        "as_of": "2026-09-21T14:13:20.000Z", "stale": False, "origins": ["live"], "seq": 0, "ver": EPOCH + 1,
        "method": "robust/1", "latency_ms": 5,
    }  # fmt: skip


def test_any_category_is_shown_with_units_and_values_by_kind() -> None:
    v = view()
    put(v, record("pair:bitcoin/tether", category="exchange", bid=1e-9, change_24h_pct=3.0, unheard_of=2.5), 3)
    shown = msgspec.json.decode(rendered(v, "pair:bitcoin/tether", T0, "exchange"))
    assert {name: (m["value"], m["unit"]) for name, m in shown["metrics"].items()} == {
        "bid": ("0.000000001", "quote_per_base"),
        "change_24h_pct": (3, "percent"),
        "unheard_of": ("2.5", None),
    }
    assert (shown["entity"], shown["category"], shown["seq"]) == ("pair:bitcoin/tether", "exchange", 3)


def test_a_record_without_a_number_shows_null_and_not_a_guess() -> None:
    v = view()
    put(v, record(price=metric(None, confidence=0.0, sources=0, by=[])))  # type: ignore[arg-type]
    shown = msgspec.json.decode(rendered(v, "asset:bitcoin", T0))
    assert (shown["price"], shown["confidence"], shown["sources_used"]) == (None, 0.0, 0)


def test_a_story_is_told_once_with_everybody_who_carried_it() -> None:
    v = view()
    carried = [Source(provider="wire", value="Halving", age_ms=0), Source(provider="feed", value="Halving", age_ms=9)]
    put(v, record("story:abc", category="news", title=metric("Halving", by=carried), published_at=float(T0 - 1000)))
    shown = msgspec.json.decode(rendered(v, "story:abc", T0, "news"))
    assert shown["story_id"] == "abc"
    assert shown["title"] == "Halving"
    assert shown["published_at"] == "2026-09-21T14:13:19.000Z"
    assert shown["carried_by"] == ["acme", "feed", "wire"]
    assert shown["first_published_at"] == shown["published_at"]


def test_each_telling_of_a_story_is_shown_with_its_time_and_link() -> None:
    v = view()
    said: dict[str, dict[str, Value]] = {
        "title": {"late": "Halving is done", "first": "Halving done", "undated": "Halving"},
        "url": {
            "late": "https://b.example/1?utm_source=x",
            "first": "https://a.example/1",
            "undated": "https://c.example",
        },
        "published_at": {"late": float(T0 - 1000), "first": float(T0 - 61_000)},
        "source": {"first": "The Daily"},
        "sentiment": {"parallax": 0.5},
    }
    by = {name: [Source(provider=p, value=w, age_ms=0) for p, w in words.items()] for name, words in said.items()}
    put(
        v,
        record("story:abc", category="news", **{name: metric(b[0].value, by=b) for name, b in by.items()}),  # type: ignore[arg-type]
    )
    shown = msgspec.json.decode(rendered(v, "story:abc", T0, "news"))
    assert shown["carried_by"] == ["first", "late", "undated"]
    assert shown["first_published_at"] == "2026-09-21T14:12:19.000Z"
    assert shown["tellings"] == [
        {"provider": "first", "publisher": "The Daily", "title": "Halving done", "url": "https://a.example/1",
         "published_at": "2026-09-21T14:12:19.000Z"},
        {"provider": "late", "publisher": None, "title": "Halving is done", "url": "https://b.example/1?utm_source=x",
         "published_at": "2026-09-21T14:13:19.000Z"},
        {"provider": "undated", "publisher": None, "title": "Halving", "url": "https://c.example", "published_at": None},
    ]  # fmt: skip


def test_a_story_that_another_stands_for_is_shown_there_only() -> None:
    v = view()
    feed = v.fused["news"]
    put(v, record("story:a", 1, category="news", title=metric("Halving done")))
    put(v, record("story:b", 1, category="news", title=metric("Halving is done")))
    assert set(feed.entries) == {"story:a", "story:b"}
    put(v, record("story:b", 2, category="news", title=metric("Halving is done"), same_as=metric("story:a")))
    assert (set(feed.entries), feed.elsewhere) == ({"story:a"}, {"story:b": "story:a"})
    put(v, record("story:b", 3, category="news", title=metric("Halving is done"), same_as=metric("story:b")))
    assert (set(feed.entries), feed.elsewhere) == ({"story:a", "story:b"}, {})
