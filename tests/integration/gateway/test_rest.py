"""REST over a real broker, a real server and a real client."""

from __future__ import annotations

import httpx
import pytest

from services.common.settings import CommonSettings
from tests.fixtures.gateway import EPOCH, fused, serving

pytestmark = [pytest.mark.topics("fused.*", "candles.1m", "ops.*", "signals.*", "dlq"), pytest.mark.asyncio]


async def test_a_fused_record_is_served_with_its_provenance(common: CommonSettings) -> None:
    async with serving(common) as gateway, httpx.AsyncClient(base_url=gateway.url) as client:
        await gateway.put_fused(fused(price=64210.5, market_rank=1.0))
        answer = await client.get("/api/market/bitcoin")
        print(answer.status_code, answer.headers, answer.text)
        answer = await client.get("/api/market")
        print(answer.status_code, answer.headers, answer.text)
        assert answer.status_code == 200
        for p in ("/api/status","/api/providers","/livez","/readyz","/openapi.json","/nope","/api/market/nocoin", "/api/market/ohlc?symbol=BTC"):
            a = await client.get(p); print(p, a.status_code, a.text[:300])
        a = await client.post("/api/market"); print(a.status_code, a.headers, a.text)
