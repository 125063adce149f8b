"""The table of prices in a real browser: the best ranks are the rows, and a common window shows every column."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import assets
from schemas.events import FusedMetric, Source
from services.common.settings import CommonSettings
from tests.fixtures.browser import Tab, tab
from tests.fixtures.gateway import EPOCH, fused, serving
from tests.fixtures.until import until

pytestmark = [pytest.mark.topics("fused.*", "candles.1m", "ops.*", "signals.*", "dlq"), pytest.mark.asyncio]

ROWS = "[...document.querySelectorAll('#prices tbody tr')].map((row) => row.dataset.asset)"
HIDDEN = "(({scrollWidth, clientWidth}) => scrollWidth - clientWidth)(document.querySelector('#prices').parentElement)"


async def shows(page: Tab, script: str, expected: Any) -> None:
    async def is_shown() -> bool:
        return bool(await page.says(script) == expected)

    await until(is_shown, f"{script} is {expected}")


def price(value: float, half_width: float) -> FusedMetric:
    return FusedMetric(
        value=value, confidence=0.97, low=value - half_width, high=value + half_width, spread=0.0005, sources=43, voices=43.0,
        method="robust/1", by=[Source(provider=f"p{number}", value=value, age_ms=0, weight=1 / 43) for number in range(43)],
    )  # fmt: skip


async def test_the_rows_are_the_best_fifty_ranks_however_late_they_are_known(common: CommonSettings) -> None:
    names = [name for name in assets.load() if name != "bitcoin"][:52]
    async with tab() as page, serving(common) as gateway:
        await gateway.put_fused(
            *[fused(f"asset:{name}", price=1.5, market_rank=10 + at) for at, name in enumerate(names)]
        )
        await page.open(gateway.url)
        await shows(page, ROWS, names[:50])

        await gateway.put_fused(fused("asset:bitcoin", price=64210.5, market_rank=1))
        await shows(page, ROWS, ["bitcoin", *names[:49]])

        await gateway.put_fused(fused(f"asset:{names[30]}", EPOCH + 2, price=1.5, market_rank=2))
        await shows(page, ROWS, ["bitcoin", names[30], *names[:30], *names[31:49]])
        assert page.errors == []


async def test_a_window_of_1280_pixels_shows_every_column_also_of_tiny_prices_and_long_names(
    common: CommonSettings,
) -> None:
    async with tab() as page, serving(common) as gateway:
        await gateway.put_fused(
            fused("asset:shiba-inu", price=price(0.0000171234, 3.71e-9), change_24h_pct=-12.34),
            fused(
                "asset:wrapped-bitcoin",
                price=price(64210.5, 1234.5),
                asset_name="Wrapped Beacon Ether of a Bridge",
                change_24h_pct=1.5,
            ),
        )
        await page.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
        await page.open(gateway.url)
        await shows(page, "document.querySelectorAll('#prices tbody tr').length", 2)
        await shows(page, "document.querySelector('tr[data-asset=\"shiba-inu\"]').cells[2].innerText", "± 3.71e-9")
        assert await page.says(HIDDEN) == 0
        await page.call("Emulation.setDeviceMetricsOverride", width=390, height=900, deviceScaleFactor=1, mobile=False)
        assert await page.says(HIDDEN) == 0


async def test_the_reference_shows_names_in_backticks_as_code(common: CommonSettings) -> None:
    async with tab() as page, serving(common) as gateway:
        await page.open(f"{gateway.url}/docs")
        await shows(page, "document.querySelectorAll('.route').length > 10", True)
        assert await page.says("document.querySelector('#routes').innerText.includes('`')") is False
        assert await page.says("document.querySelector('#routes p code').innerText") == "origin"
        assert page.errors == []
