"""The state of the whole, read from the ops feeds and the fused feeds. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from schemas.events import Alert, Definition, ProviderScore, ServiceState
from services.gateway.view.feed import Feed
from services.gateway.view.numbers import age, instant
from services.gateway.view.ops import provider_record, service_record, undefined_provider_record
from services.gateway.view.shapes import ProviderRecord
from services.gateway.view.view import View

CRASHES_SHOWN_MS = 600_000
"""A service that crashed within this time makes the system degraded even when it is back."""


def providers(view: View) -> list[ProviderRecord]:
    """Every provider that was defined or judged, by id."""
    definitions = {record.provider: record for record in _all(view.definitions, Definition)}
    scores = {record.provider: record for record in _all(view.scores, ProviderScore)}
    return [
        provider_record(definitions[name], scores.get(name))
        if name in definitions
        else undefined_provider_record(scores[name])
        for name in sorted({*definitions, *scores})
    ]


def status(view: View, now_ms: int) -> dict[str, Any]:
    """Providers by state, freshness by category, services with restarts, alerts that fire unexplained, and one word for all of it."""
    known = providers(view)
    states: Counter[str] = Counter(p.health.state if p.health else "unrated" for p in known)
    latencies = [p.health.latency_p50_ms for p in known if p.health and p.health.latency_p50_ms is not None]
    services = sorted(_all(view.services, ServiceState), key=lambda s: (s.service, s.instance))
    firing = [a for a in _all(view.alerts, Alert) if a.state == "firing" and a.inhibited_by is None]
    origins = sorted({origin for feed in view.fused.values() for origin in feed.as_of_by_origin})
    newest_ms = max((ms for feed in view.fused.values() for ms in feed.as_of_by_origin.values()), default=None)
    word = _word(states, services, firing, now_ms)
    return {
        "status": word,
        "sentence": _sentence(word, states, newest_ms, now_ms, firing),
        "origins": origins,
        "providers": {"total": len(known), **{s: states[s] for s in ("online", "degraded", "offline", "unrated")}},
        "drifted": {p.provider: p.health.drift for p in known if p.health and p.health.drift},
        "categories": {name: _freshness(feed, now_ms) for name, feed in view.fused.items()},
        "services": [service_record(service) for service in services],
        "alerts": {"firing": len(firing), "names": sorted({alert.name for alert in firing})},
        "total_apis": len(known),
        "online": states["online"],
        "degraded": states["degraded"],
        "offline": states["offline"],
        "avg_response_time_ms": round(sum(latencies) / len(latencies), 1) if latencies else None,
        "last_update": instant(newest_ms) if newest_ms is not None else None,
        "system_health": word,
    }


def _freshness(feed: Feed, now_ms: int) -> dict[str, Any]:
    newest_ms = max(feed.as_of_by_origin.values(), default=None)
    return {
        "records": len(feed),
        "as_of": instant(newest_ms) if newest_ms is not None else None,
        "age_ms": max(0, now_ms - newest_ms) if newest_ms is not None else None,
        "origins": sorted(feed.as_of_by_origin),
    }


def _word(states: Counter[str], services: list[ServiceState], firing: list[Alert], now_ms: int) -> str:
    down = [service for service in services if service.state == "crashed"]
    shaken = [s for s in services if s.restarts and now_ms - s.since_ms < CRASHES_SHOWN_MS]
    judged = states["online"] + states["degraded"] + states["offline"]
    if judged and states["offline"] == judged:
        return "major_outage"
    if down or (judged and states["offline"] * 2 > judged):
        return "partial_outage"
    if shaken or states["offline"] or states["degraded"] or any(alert.severity == "page" for alert in firing):
        return "degraded_performance"
    return "operational"


def _sentence(word: str, states: Counter[str], newest_ms: int | None, now_ms: int, firing: list[Alert]) -> str:
    judged = states["online"] + states["degraded"] + states["offline"]
    healthy = f"{states['online']} of {judged} providers healthy" if judged else "no provider judged yet"
    newest = f"newest data {age(max(0, now_ms - newest_ms))} old" if newest_ms is not None else "no data yet"
    alerts = f"{len(firing)} alert{'s' if len(firing) != 1 else ''} firing" if firing else "no alert firing"
    return f"{word.replace('_', ' ').capitalize()}: {healthy}; {newest}; {alerts}."


def _all(feed: Feed, shape: type[Any]) -> list[Any]:
    decode = msgspec.json.Decoder(shape).decode
    return [decode(feed.value(entry)) for entry in feed.entries.values()]
