"""The status page in a real browser: what a visitor sees when prices move, when the socket drops, and where data come from."""

from __future__ import annotations

import pytest

from schemas.events import Alert, FusedMetric, ProviderScore, Source
from services.common.settings import CommonSettings
from tests.fixtures.browser import Tab, tab
from tests.fixtures.gateway import EPOCH, fused, now_ms, serving
from tests.fixtures.until import until

pytestmark = [pytest.mark.topics("fused.*", "candles.1m", "ops.*", "signals.*", "dlq"), pytest.mark.asyncio]

ROW = "document.querySelector('#prices tr[data-asset=\"{}\"]')?.innerText"


def price(value: float) -> FusedMetric:
    return FusedMetric(
        value=value, confidence=0.97, low=value - 10, high=value + 10, spread=0.0005, sources=1, voices=1.0, method="robust/1",
        by=[
            Source(provider="alpha", value=value, age_ms=0, weight=1.0),
            Source(provider="liar", value=2 * value, age_ms=0, why="outlier"),
        ],
    )  # fmt: skip


async def shows(page: Tab, script: str, words: str) -> None:
    await until(lambda: _shows(page, script, words), f"{script} shows {words}")


async def _shows(page: Tab, script: str, words: str) -> bool:
    return words in (await page.says(script) or "")


async def test_a_visitor_sees_prices_move_and_is_told_when_they_do_not(common: CommonSettings) -> None:
    async with tab() as page, serving(common) as gateway:
        await gateway.put_fused(
            fused(price=price(64210.5), change_24h_pct=-1.5),
            fused("asset:ethereum", at_ms=now_ms() - 400_000, price=3000.0),
        )
        alert = Alert(
            fingerprint="f", name="provider_offline", state="firing", severity="page", labels={},
            summary="alpha is silent", since_ms=now_ms(), updated_ms=now_ms(),
        )  # fmt: skip
        await gateway.put("ops.alerts", "f", alert)
        score = ProviderScore(
            provider="alpha", state="degraded", score=61.0, components={}, samples=30, updated_ms=now_ms()
        )
        await gateway.put("ops.providers", "score/alpha", score)
        await page.open(gateway.url)

        row = ROW.format("bitcoin")
        await shows(page, row, "64,210.50")
        text = await page.says(row)
        for words in ("Bitcoin", "BTC", "± 10", "0.970", "5.0 bps", "1/2", "-1.50 %", "sandbox"):
            assert words in text
        await shows(page, "document.querySelector('#origin:not([hidden])')?.innerText", "SANDBOX")
        age = "document.querySelector('tr[data-asset=ethereum] .age')"
        await shows(page, f"{age} && getComputedStyle({age}, '::after').content", "stale")
        await shows(page, "document.querySelector('#alerts').innerText", "alpha is silent")
        await shows(page, "document.querySelector('#providers').innerText", "degraded 61")

        await gateway.put_fused(fused(version=EPOCH + 2, price=price(64999.0)))
        await shows(page, row, "64,999.00")

        await page.says("document.querySelector('#prices tr[data-asset=bitcoin]').click()")
        await shows(page, "document.querySelector('#sources').innerText", "no: outlier")

        client = next(iter(gateway.process.hub.clients.values()))
        gateway.process.wheel.close(client, "slow", "test")
        await shows(
            page,
            "document.querySelector('#socket').hidden ? '' : document.querySelector('#socket').innerText",
            "Connection lost",
        )
        await until(lambda: gateway.process.hub.clients, "the page connects again")
        await gateway.put_fused(fused(version=EPOCH + 3, price=price(65000.5)))
        await shows(page, row, "65,000.50")
        await shows(page, "String(document.querySelector('#socket').hidden)", "true")

        assert page.errors == []
        assert {url.split("/")[2] for url in page.requested} == {gateway.url.split("/")[2]}
