from __future__ import annotations
import json
import pytest
import websockets
from services.common.settings import CommonSettings
from tests.fixtures.gateway import EPOCH, fused, serving

pytestmark = [pytest.mark.topics("fused.*", "candles.1m", "ops.*", "signals.*", "dlq"), pytest.mark.asyncio]

async def test_ws(common: CommonSettings) -> None:
    async with serving(common) as gateway:
        await gateway.put_fused(fused(price=64210.5, market_rank=1.0))
        async with websockets.connect(gateway.ws + "/ws/master") as ws:
            for i in range(3): print(await ws.recv())
            await ws.send(json.dumps({"action":"subscribe","service":"market_data","symbols":["BTC"],"rate":"live","id":7}))
            for i in range(2): print(await ws.recv())
            await gateway.put_fused(fused(version=EPOCH+2,price=64211.5, market_rank=1.0))
            print(await ws.recv())
            await ws.send(json.dumps({"action":"ping","data":{"a":1}}))
            print(await ws.recv())
            await ws.send(json.dumps({"action":"nope"}))
            print(await ws.recv())
            await ws.send(json.dumps({"action":"unsubscribe","service":"market_data"}))
            print(await ws.recv())
            gateway.process.sockets.shut_down()
            print(await ws.recv())
            with pytest.raises(websockets.ConnectionClosed) as e: await ws.recv()
            print(e.value)
        with pytest.raises(websockets.InvalidStatus) as e:
            await websockets.connect(gateway.ws + "/ws/nope")
        print(e.value.response.status_code, e.value.response.headers, e.value.response.body)
