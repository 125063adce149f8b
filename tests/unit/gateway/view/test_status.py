"""The state of the whole, from ops records."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.events import Alert, Definition, ProviderScore, ServiceState
from services.gateway.view.status import providers, status
from services.gateway.view.view import View
from tests.fixtures.market import T0, put, record, view


def put_op(into: View, topic: str, key: str, value: Any, offset: int = 0) -> None:
    into.applies()[topic](key, msgspec.json.encode(value), 0, offset, T0)


def score(provider: str, state: str = "online", **fields: Any) -> ProviderScore:
    return ProviderScore(
        provider=provider, state=state, score=90.0, components={"availability": 1.0}, samples=40, updated_ms=T0, **fields  # type: ignore[arg-type]
    )  # fmt: skip


def with_scores(*states: str) -> View:
    v = view()
    for n, state in enumerate(states):
        put_op(v, "ops.providers", f"score/p{n}", score(f"p{n}", state), n)
    return v


@pytest.mark.parametrize(
    ("states", "word"),
    [
        ((), "operational"),
        (("online", "unrated"), "operational"),
        (("online", "online", "degraded"), "degraded_performance"),
        (("online", "online", "offline"), "degraded_performance"),
        (("online", "offline", "offline"), "partial_outage"),
        (("offline", "offline", "unrated"), "major_outage"),
    ],
)
def test_the_word_follows_the_providers(states: tuple[str, ...], word: str) -> None:
    assert status(with_scores(*states), T0)["status"] == word


def test_a_crashed_service_is_named_with_its_restarts() -> None:
    v = with_scores("online")
    put(v, record(price=1.0))
    crashed = ServiceState(
        service="aggregator", instance="aggregator-1", state="crashed", restarts=3, since_ms=T0, last_exit="signal 9"
    )
    put_op(v, "ops.services", "aggregator-1", crashed)
    found = status(v, T0 + 1500)
    assert found["status"] == "partial_outage"
    assert msgspec.to_builtins(found["services"]) == [
        {"service": "aggregator", "instance": "aggregator-1", "state": "crashed", "restarts": 3,
         "since": "2026-09-21T14:13:20.000Z", "last_exit": "signal 9"}
    ]  # fmt: skip
    assert found["sentence"] == "Partial outage: 1 of 1 providers healthy; newest data 1.5 s old; no alert firing."


def test_a_service_that_came_back_is_still_told_for_ten_minutes() -> None:
    v = with_scores("online")
    back = ServiceState(service="health", instance="h", state="ready", restarts=1, since_ms=T0)
    put_op(v, "ops.services", "h", back)
    assert status(v, T0 + 599_999)["status"] == "degraded_performance"
    assert status(v, T0 + 600_000)["status"] == "operational"


def test_alerts_that_fire_unexplained_are_counted_and_named() -> None:
    v = with_scores("online")
    rows = (("ProviderOffline", "firing", None), ("Slow", "resolved", None), ("Stale", "firing", "ProviderOffline"))
    for offset, (name, state, inhibited_by) in enumerate(rows):
        alert = Alert(
            fingerprint=name, name=name, state=state, severity="page", labels={}, summary="", since_ms=T0, updated_ms=T0,  # type: ignore[arg-type]
            inhibited_by=inhibited_by,
        )  # fmt: skip
        put_op(v, "ops.alerts", name, alert, offset)
    found = status(v, T0)
    assert found["alerts"] == {"firing": 1, "names": ["ProviderOffline"]}
    assert found["status"] == "degraded_performance"


def test_each_category_tells_how_old_it_is_and_where_it_comes_from() -> None:
    v = view()
    put(v, record(price=1.0, origin="sandbox"))
    found = status(v, T0 + 250)
    assert found["categories"]["market"] == {
        "records": 1, "as_of": "2026-09-21T14:13:20.000Z", "age_ms": 250, "origins": ["sandbox"],
    }  # fmt: skip
    assert found["categories"]["dex"] == {"records": 0, "as_of": None, "age_ms": None, "origins": []}
    assert found["origins"] == ["sandbox"]


def test_a_provider_is_its_definition_and_its_score_and_either_may_come_first() -> None:
    v = view()
    put_op(v, "ops.providers", "score/judged", score("judged", latency_p50_ms=12.5), 0)
    definition = Definition(
        provider="defined", name="Defined", categories=["market"], home="market", status="live", endpoints=["prices"],
        streams=[], group="defined", registry="abc", updated_ms=T0,
    )  # fmt: skip
    put_op(v, "ops.providers", "definition/defined", definition, 1)
    found = providers(v)
    assert [(p.provider, p.name, p.health.score if p.health else None) for p in found] == [
        ("defined", "Defined", None),
        ("judged", None, 90.0),
    ]
    assert status(v, T0)["avg_response_time_ms"] == 12.5


def test_what_drifted_is_named_with_the_difference() -> None:
    v = with_scores("online")
    words = "last: `last` is missing in all 20 rows; `lastPrice` is new and like it: renamed?"
    put_op(v, "ops.providers", "score/p1", score("p1", drift={"tickers": words}), 7)
    assert status(v, T0)["drifted"] == {"p1": {"tickers": words}}
    shown = {one.provider: one.health.drift for one in providers(v) if one.health is not None}
    assert shown == {"p0": {}, "p1": {"tickers": words}}
