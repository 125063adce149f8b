"""REST over a real broker, a real server and a real client."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import httpx
import pytest

from schemas.events import Alert, Candle, Definition, FusedMetric, ProviderScore, ServiceState, Signal, Source
from services.common import kafka
from services.common.settings import CommonSettings
from tests.fixtures.gateway import EPOCH, Served, fused, now_ms, serving
from tests.fixtures.until import PATIENCE_S, until

pytestmark = [pytest.mark.topics("fused.*", "candles.1m", "ops.*", "signals.*", "dlq"), pytest.mark.asyncio]

PRICE = FusedMetric(
    value=64210.5,
    confidence=0.97,
    low=64200.0,
    high=64221.0,
    spread=0.0003,
    sources=2,
    voices=1.75,
    method="robust/1",
    by=[
        Source(provider="alpha", value=64209.0, age_ms=1200, weight=0.5),
        Source(provider="bravo", value=64212.0, age_ms=0, weight=0.5),
        Source(provider="liar", value=70000.0, age_ms=50, why="outlier"),
    ],
)


def client(gateway: Served) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=gateway.url, timeout=60)


async def test_a_fused_record_is_served_on_every_route_that_tells_of_it(common: CommonSettings) -> None:
    async with serving(common) as gateway, client(gateway) as http:
        await gateway.put_fused(fused(price=PRICE, market_rank=1.0))
        for base in ("/api", "/api/v1"):
            row = (await http.get(f"{base}/market")).json()["data"][0]
            assert (row["asset_id"], row["price"], row["conf"], row["origin"]) == (
                "bitcoin",
                "64210.5",
                "10.5",
                "sandbox",
            )
            page = (await http.get(f"{base}/market/BTC")).json()
            assert {name: page["data"][name] for name in row} == row
            assert page["data"]["metrics"]["price"]["sources_total"] == 3
            sources = (await http.get(f"{base}/market/bitcoin/sources")).json()["data"]["metrics"]["price"]["sources"]
            assert [(s["provider"], s["value"], s["used"], s["why_excluded"]) for s in sources] == [
                ("alpha", "64209", True, None),
                ("bravo", "64212", True, None),
                ("liar", "70000", False, "outlier"),
            ]
            same = (await http.get(f"{base}/records/market/asset:bitcoin?include=sources")).json()
            assert same["data"]["metrics"]["price"]["sources"] == sources


async def test_an_answer_is_the_same_bytes_cold_and_hot_and_304_when_unchanged(common: CommonSettings) -> None:
    async with serving(common) as gateway, client(gateway) as http:
        await gateway.put_fused(fused(price=PRICE))
        cold = await http.get("/api/v1/market/bitcoin")
        hot = await http.get("/api/v1/market/bitcoin")
        assert cold.content == hot.content
        assert cold.headers["etag"] == hot.headers["etag"] == '"1-0-gz"'
        plain = await http.get("/api/v1/market/bitcoin", headers={"Accept-Encoding": "identity"})
        assert (plain.content, plain.headers["etag"]) == (hot.content, '"1-0"')
        unchanged = await http.get("/api/v1/market/bitcoin", headers={"If-None-Match": hot.headers["etag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        await gateway.put_fused(fused(version=EPOCH + 2, price=1.0))
        changed = await http.get("/api/v1/market/bitcoin", headers={"If-None-Match": hot.headers["etag"]})
        assert (changed.status_code, changed.json()["data"]["price"]) == (200, "1")


async def test_every_category_is_reachable_with_entities_as_they_are_named(common: CommonSettings) -> None:
    async with serving(common) as gateway, client(gateway) as http:
        pair = fused("pair:bitcoin/tether", price=PRICE)
        pair.metrics["bid"] = pair.metrics.pop("price")
        records = [
            pair.__class__(**{**{f: getattr(pair, f) for f in pair.__struct_fields__}, "category": category})
            for category in gateway.process.view.fused
            if category != "market"
        ]
        await gateway.put_fused(*records)
        for record in records:
            listed = (await http.get(f"/api/records/{record.category}?prefix=pair:bitcoin/")).json()
            assert [row["entity"] for row in listed["data"]] == ["pair:bitcoin/tether"], record.category
            page = await http.get(f"/api/records/{record.category}/pair:bitcoin/tether")
            assert page.json()["data"]["metrics"]["bid"]["value"] == "64210.5"
            quoted = await http.get(f"/api/records/{record.category}/pair:bitcoin%2Ftether/sources")
            assert len(quoted.json()["data"]["metrics"]["bid"]["sources"]) == 3


async def test_bars_news_alerts_providers_services_and_signals_are_served(common: CommonSettings) -> None:
    async with serving(common) as gateway, client(gateway) as http:
        at_ms = now_ms()
        start_ms = at_ms // 60_000 * 60_000
        bar = Candle(
            entity="asset:bitcoin", interval="1m", start_ms=start_ms, open=1.0, high=3.0, low=0.5, close=2.0, quote="usd",
            version=EPOCH, origin="sandbox", volume=1e-9, trades=3, sources=2,
        )  # fmt: skip
        await gateway.put("candles.1m", f"asset:bitcoin|1m|{start_ms}", bar)
        story = fused("story:1", title="Halving done", coins=["bitcoin"], published_at=float(at_ms))
        await gateway.put(
            "fused.news",
            "story:1",
            story.__class__(**{**{f: getattr(story, f) for f in story.__struct_fields__}, "category": "news"}),
        )
        alert = Alert(
            fingerprint="f1", name="ProviderOffline", state="firing", severity="page", labels={"provider": "acme"},
            summary="acme is silent", since_ms=at_ms, updated_ms=at_ms, remedy="wait",
        )  # fmt: skip
        await gateway.put("ops.alerts", "f1", alert)
        definition = Definition(
            provider="acme", name="Acme", categories=["market"], home="market", status="live", endpoints=["e"], streams=[],
            group="acme", registry="r", updated_ms=at_ms,
        )  # fmt: skip
        await gateway.put("ops.providers", "definition/acme", definition)
        score = ProviderScore(
            provider="acme", state="offline", score=3.0, components={}, samples=30, updated_ms=at_ms, reason="timeouts"
        )
        await gateway.put("ops.providers", "score/acme", score)
        service = ServiceState(
            service="collector", instance="c1", state="crashed", restarts=2, since_ms=at_ms, last_exit="signal 9"
        )
        await gateway.put("ops.services", "c1", service)
        signal = Signal(
            id="s1", kind="cex_cex", entity="asset:bitcoin", as_of_ms=at_ms, confidence=0.7, summary="gap",
            evidence={"legs": [{"venue": "x", "price": 1.0}]}, inputs=["a"], thresholds={"min_bps": 10.0}, origin="sandbox",
        )  # fmt: skip
        await gateway.put("signals.arbitrage", "asset:bitcoin", signal)
        await until(lambda: knows_all(http), "each of these records, from its own topic, in the view")

        bars = (await http.get("/api/market/ohlc?symbol=BTC&interval=1m")).json()["data"]["candles"]
        assert [(b["open"], b["volume"], b["closed"]) for b in bars] == [("1", "0.000000001", False)]
        assert [s["title"] for s in (await http.get("/api/news?q=halving&asset=bitcoin")).json()["data"]] == [
            "Halving done"
        ]
        assert (await http.get("/api/news?q=nothing")).json()["data"] == []
        assert [a["name"] for a in (await http.get("/api/alerts?state=firing")).json()["data"]] == ["ProviderOffline"]
        assert (await http.get("/api/alerts?state=resolved")).json()["data"] == []
        provider = (await http.get("/api/providers/acme")).json()["data"]
        assert (provider["name"], provider["health"]["state"], provider["health"]["reason"]) == (
            "Acme",
            "offline",
            "timeouts",
        )
        assert len((await http.get("/api/providers?category=market&state=offline")).json()["data"]) == 1
        assert (await http.get("/api/providers?category=dex")).json()["data"] == []
        found = (await http.get("/api/signals/arbitrage")).json()["data"][0]
        assert found["evidence"] == {"legs": [{"venue": "x", "price": 1.0}]}
        status = (await http.get("/api/status")).json()["data"]
        assert status["providers"] == {"total": 1, "online": 0, "degraded": 0, "offline": 1, "unrated": 0}
        assert [(s["service"], s["restarts"], s["last_exit"]) for s in status["services"]] == [
            ("collector", 2, "signal 9")
        ]
        assert status["alerts"] == {"firing": 1, "names": ["ProviderOffline"]}
        assert status["origins"] == ["sandbox"]
        assert status["gateway"]["ready"] is True


async def knows_all(http: httpx.AsyncClient) -> bool:
    """Whether there is anything on each route: every topic is read by itself."""
    for path in ("/market/ohlc?symbol=BTC&interval=1m", "/news", "/alerts", "/providers", "/signals/arbitrage"):
        answer = await http.get(f"/api{path}")
        data = answer.json()["data"] if answer.status_code == 200 else None
        if not (data["candles"] if isinstance(data, dict) else data):
            return False
    status = (await http.get("/api/status")).json()["data"]
    return bool(status["services"]) and status["providers"]["offline"] == 1


async def test_poison_goes_to_the_dead_letters_and_what_follows_is_served(common: CommonSettings) -> None:
    poison = {
        "fused.market": b"\xff\x00 not json",
        "fused.dex": b"[]",
        "candles.1m": b'{"entity":7}',
        "ops.alerts": b"{}",
        "ops.providers": b"null",
        "ops.services": b"1",
        "signals.anomaly": b'{"id":"x"}',
    }
    async with serving(common) as gateway, client(gateway) as http:
        for topic, value in poison.items():
            await gateway.put(topic, "poison", value)
        await gateway.put_fused(fused(price=2.0))
        assert (await http.get("/api/market/bitcoin")).json()["data"]["price"] == "2"
        letters = {}
        async with kafka.reader(common, f"{common.topic_prefix}dlq") as reader:
            async with asyncio.timeout(PATIENCE_S):
                while len(letters) < len(poison):
                    record = await reader.getone()
                    headers = dict(record.headers)
                    assert (record.key, headers["service"]) == (b"poison", b"gateway")
                    assert headers["reason"].startswith(b"BadRecord: ")
                    assert (headers["partition"].isdigit(), headers["offset"]) == (True, b"0")
                    letters[headers["topic"].decode()] = record.value
        assert letters == poison


REFUSALS = (
    ("GET", "/nothing", 404, "not-found"),
    ("GET", "/api/market/nosuchcoin", 404, "unknown-asset"),
    ("GET", "/api/market/ethereum", 503, "no-data"),
    ("GET", "/api/market/bitcoin?allow_stale=perhaps", 422, "invalid-parameter"),
    ("GET", "/api/market/old", 503, "no-fresh-data"),
    ("GET", "/api/market?limit=0", 422, "invalid-parameter"),
    ("GET", "/api/market?cursor=zzz", 422, "invalid-parameter"),
    ("GET", "/api/market/ohlc", 422, "invalid-parameter"),
    ("GET", "/api/market/ohlc?symbol=BTC&interval=1m", 503, "no-data"),
    ("GET", "/api/market/ohlc?symbol=BTC&from=yesterday", 422, "invalid-parameter"),
    ("GET", "/api/records/weather", 404, "unknown-category"),
    ("GET", "/api/records/market/asset:nobody", 404, "unknown-entity"),
    ("GET", "/api/providers/nobody", 404, "unknown-provider"),
    ("GET", "/api/signals/omens", 422, "invalid-parameter"),
    ("POST", "/api/market", 405, "method-not-allowed"),
    ("DELETE", "/", 405, "method-not-allowed"),
    ("GET", "/ws/master", 426, "upgrade-required"),
    ("GET", "/problems/nothing", 404, "not-found"),
)


async def test_refusals_labels_probes_and_pages(common: CommonSettings) -> None:
    """One gateway for all checks that only read: each gateway costs a set of topics."""
    async with serving(common) as gateway, client(gateway) as http:
        await gateway.put_fused(fused(price=1.0), fused("asset:old", at_ms=now_ms() - 10**7, price=1.0))
        await every_refusal_is_problem_json(http)
        await stale_is_given_to_who_allows_it_and_listed_with_its_label(http)
        await what_is_not_http_is_refused_as_a_problem(gateway)
        await probes_metrics_documents_and_pages_answer(http)


async def every_refusal_is_problem_json(http: httpx.AsyncClient) -> None:
    found = []
    for method, path, status, _ in REFUSALS:
        answer = await http.request(method, path)
        problem = answer.json()
        found.append((method, path, answer.status_code, problem["code"]))
        assert problem["status"] == status, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["request_id"] == answer.headers["x-request-id"]
        assert problem["instance"] == path.partition("?")[0]
        if status == 405:
            assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert tuple(found) == REFUSALS


async def stale_is_given_to_who_allows_it_and_listed_with_its_label(http: httpx.AsyncClient) -> None:
    refused = (await http.get("/api/market/old")).json()
    allowed = (await http.get("/api/market/old?allow_stale=1")).json()
    listed = {row["asset_id"]: row["stale"] for row in (await http.get("/api/market")).json()["data"]}
    assert refused["last_known"]["price"] == allowed["data"]["price"] == "1"
    assert allowed["data"]["stale"] is allowed["meta"]["stale"] is True
    assert listed == {"bitcoin": False, "old": True}


async def what_is_not_http_is_refused_as_a_problem(gateway: Served) -> None:
    where = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(b"\x16\x03\x01 not http\r\n\r\n")
    head, _, body = (await asyncio.wait_for(reader.read(), PATIENCE_S)).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head
    assert b'"code":"bad-request"' in body


async def probes_metrics_documents_and_pages_answer(http: httpx.AsyncClient) -> None:
    for path, kind in {
        "/livez": "text/plain",
        "/readyz": "text/plain",
        "/metrics": "text/plain",
        "/openapi.json": "application/json",
        "/asyncapi.json": "application/json",
        "/api/limits": "application/json",
        "/api/categories": "application/json",
        "/": "text/html",
        "/docs": "text/html",
        "/problems/no-data": "text/html",
    }.items():
        answer = await http.get(path)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind), path
    assert 'parallax_gateway_records_total{topic="fused.market"} 2.0' in (await http.get("/metrics")).text
    assert "default-src 'self'" in (await http.get("/")).headers["content-security-policy"]
