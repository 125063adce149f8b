"""The operations server tells facts: metrics from rows, readiness with its reason."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from services.common.metrics import COUNTER, GAUGE, HISTOGRAM, Metric, Metrics, serve

ROWS = (
    Metric("dlq_total", COUNTER, ("topic", "reason"), help="Records set aside."),
    Metric("lag", GAUGE, help="Records behind."),
    Metric("took_seconds", HISTOGRAM, ("step",), help="Time taken.", buckets=(0.1, 1.0)),
)


async def get(url: str) -> tuple[int, str]:
    async with httpx.AsyncClient() as client:
        answer = await client.get(url)
        return answer.status_code, answer.text


async def test_what_was_counted_is_what_is_scraped() -> None:
    metrics = Metrics.build(ROWS)
    metrics.inc("dlq_total", topic="raw", reason="malformed")
    metrics.inc("dlq_total", 2, topic="raw", reason="malformed")
    metrics.set("lag", 7)
    metrics.observe("took_seconds", 0.5, step="fold")
    async with serve(metrics, 0, ready=lambda: True) as server:
        status, text = await get(f"{server.url}/metrics")
    lines = [line for line in text.splitlines() if not line.startswith("#") and "_created" not in line]
    assert status == 200
    assert [line for line in lines if line.startswith(("parallax_dlq", "parallax_lag", "parallax_took"))] == [
        'parallax_dlq_total{reason="malformed",topic="raw"} 3.0',
        "parallax_lag 7.0",
        'parallax_took_seconds_bucket{le="0.1",step="fold"} 0.0',
        'parallax_took_seconds_bucket{le="1.0",step="fold"} 1.0',
        'parallax_took_seconds_bucket{le="+Inf",step="fold"} 1.0',
        'parallax_took_seconds_count{step="fold"} 1.0',
        'parallax_took_seconds_sum{step="fold"} 0.5',
    ]
    assert "# HELP parallax_dlq_total Records set aside." in text
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


async def test_readiness_gives_its_reason_and_changes_with_the_fact() -> None:
    state: list[bool | str] = ["12 records behind"]
    async with serve(Metrics.build(()), 0, ready=lambda: state[0]) as server:
        assert await get(f"{server.url}/readyz") == (503, "12 records behind\n")
        state[0] = False
        assert await get(f"{server.url}/readyz?verbose=1") == (503, "not yet\n")
        state[0] = True
        assert await get(f"{server.url}/readyz") == (200, "ok\n")
        assert await get(f"{server.url}/livez") == (200, "ok\n")
        assert (await get(f"{server.url}/"))[0] == 404


async def test_garbage_is_answered_with_a_closed_connection_and_the_server_lives() -> None:
    async with serve(Metrics.build(()), 0, ready=lambda: True) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"\x00" * 100_000)
        writer.write_eof()
        try:
            assert await asyncio.wait_for(reader.read(), 120) == b""
        except ConnectionResetError:
            pass
        writer.close()
        assert await get(f"{server.url}/livez") == (200, "ok\n")


async def test_a_metric_that_no_row_names_is_refused() -> None:
    metrics = Metrics.build(ROWS)
    with pytest.raises(KeyError, match="typo_total"):
        metrics.inc("typo_total")
    with pytest.raises(ValueError, match=r"[Ii]ncorrect label names"):
        metrics.inc("dlq_total", topic="raw")


async def test_after_the_context_nobody_listens() -> None:
    async with serve(Metrics.build(()), 0, ready=lambda: True) as server:
        pass
    with pytest.raises(httpx.ConnectError):
        await get(f"{server.url}/livez")
