"""The OpenAPI document against the running server: every answer has the status, type and shape that it promises."""

from __future__ import annotations

import asyncio

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from schemas.events import Definition, ProviderScore
from services.common.settings import CommonSettings
from tests.fixtures.gateway import fused, now_ms, serving
from tests.fixtures.until import until

pytestmark = [pytest.mark.topics("fused.*", "candles.1m", "ops.*", "signals.*", "dlq"), pytest.mark.asyncio]

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 12
"""Per operation: enough to meet every kind of parameter, few enough for each commit."""


@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
async def test_answers_are_as_the_document_says(common: CommonSettings) -> None:
    async with serving(common) as gateway, httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
        at_ms = now_ms()
        await gateway.put_fused(fused(price=1.5, market_rank=1.0), fused("asset:ethereum", price=2.0))
        definition = Definition(
            provider="acme", name="Acme", categories=["market"], home="market", status="live", endpoints=[], streams=[],
            group="acme", registry="r", updated_ms=at_ms,
        )  # fmt: skip
        await gateway.put("ops.providers", "definition/acme", definition)
        score = ProviderScore(provider="acme", state="online", score=99.0, components={}, samples=50, updated_ms=at_ms)
        await gateway.put("ops.providers", "score/acme", score)
        await until(lambda: knows(http), "the provider and its score in the view")
        document = (await http.get("/openapi.json")).json()
        for path in ("/api/v1/market", "/api/v1/market/bitcoin?include=sources", "/api/v1/market/bitcoin/sources",
                     "/api/v1/records/market", "/api/v1/providers", "/api/v1/providers/acme"):  # fmt: skip
            await promised(http, document, path)
        await asyncio.to_thread(explore, gateway.url, document)


async def knows(http: httpx.AsyncClient) -> bool:
    answer = await http.get("/api/v1/providers/acme")
    return answer.status_code == 200 and (answer.json()["data"]["health"] or {}).get("state") == "online"


async def promised(http: httpx.AsyncClient, document: dict, path: str) -> None:
    """A known good answer fits the schema of its operation."""
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    bare = path.partition("?")[0]
    operation = next(
        methods["get"]
        for template, methods in document["paths"].items()
        if len(template.split("/")) == len(bare.split("/"))
        and all(a == b or a.startswith("{") for a, b in zip(template.split("/"), bare.split("/"), strict=True))
    )
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), {**schema, "components": document["components"]})


def explore(url: str, document: dict) -> None:
    """Generated requests to every operation, on the real server."""
    schema = schemathesis.openapi.from_dict(document)
    tried = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path == "/api/v1/stream":  # it never ends; test_ws.py reads it
            continue

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate], derandomize=True,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def fits(case: schemathesis.Case) -> None:
            response = case.call(base_url=url)
            if response.status_code == 503:  # nothing known is an answer of ours, not a fault of the server
                case.validate_response(response, checks=CHECKS[1:])
            else:
                case.validate_response(response, checks=CHECKS)

        fits()
        tried.append(operation.label)
    assert tried
