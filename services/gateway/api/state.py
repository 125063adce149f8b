"""/status, /providers, /alerts and /limits: how the system and its upstreams fare."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request

from schemas.events import Alert
from services.gateway.api.context import Ready, gateway_of, once, resolved
from services.gateway.api.documents import free, many, one
from services.gateway.codes import CODES
from services.gateway.limits import LIMIT, LIMITS
from services.gateway.problems import Problem
from services.gateway.view.feed import Body, Entry
from services.gateway.view.numbers import instant
from services.gateway.view.pages import feed_list, list_tag, plain
from services.gateway.view.shapes import AlertRecord, Meta, ProviderRecord
from services.gateway.view.status import providers as all_providers
from services.gateway.view.status import status as whole

router = APIRouter(tags=["state"])


@router.get(
    "/status",
    summary="The state of the whole in one page",
    responses=free("providers by state, freshness by category, services with restarts, alerts"),
    response_class=Ready,
)
async def status(request: Request) -> Ready:
    """Answers while the gateway is loading, too."""
    gateway = gateway_of(request)
    now_ms = gateway.now_ms()
    data = whole(gateway.view, now_ms) | {
        "time": instant(now_ms),
        "gateway": {
            "ready": not (gateway.loading() or gateway.behind()),
            "loading": gateway.loading() or None,
            "behind": gateway.behind() or None,
            "records": gateway.view.keys(),
            "started": instant(gateway.started_ms),
            **gateway.sockets.stats(),
        },
    }
    return once(request, plain(data))


@router.get(
    "/providers", summary="Providers with definition and health", responses=many(ProviderRecord), response_class=Ready
)
async def providers(
    request: Request,
    category: Annotated[str | None, Query(max_length=32, description="Only those that answer this category.")] = None,
    state: Literal["online", "degraded", "offline", "unrated"] | None = None,
) -> Ready:
    """By id."""
    view = gateway_of(request).view
    if category is not None and category not in view.fused:
        raise Problem("unknown-category", f"expected one of {', '.join(view.fused)}, got {category}")

    def page(now_ms: int) -> Body:
        found = [
            provider
            for provider in all_providers(view)
            if (category is None or category in provider.categories)
            and (state is None or (provider.health.state if provider.health else "unrated") == state)
        ]
        newest_ms = max(
            (*view.scores.as_of_by_origin.values(), *view.definitions.as_of_by_origin.values()), default=None
        )
        meta = Meta(
            as_of=instant(newest_ms) if newest_ms is not None else None,
            stale=False,
            origins=sorted({p.health.origin for p in found if p.health}),
            source="parallax",
            count=len(found),
        )
        tag = list_tag("p", f"{view.definitions.version_tag()}-{view.scores.version_tag()}", newest_ms or 0)
        return plain(found, meta, etag=tag, max_age_s=1)

    return resolved(request, page)


@router.get("/providers/{provider}", summary="One provider", responses=one(ProviderRecord), response_class=Ready)
async def provider(request: Request, provider: Annotated[str, Path(max_length=128)]) -> Ready:
    """What it is, which endpoints and streams are used, and how it fares."""
    view = gateway_of(request).view
    found = next((known for known in all_providers(view) if known.provider == provider), None)
    if found is None:
        raise Problem("unknown-provider", f"no collector has defined {provider} and health has not judged it")
    origins = [found.health.origin] if found.health else []
    as_of = found.health.updated_at if found.health else None
    return once(request, plain(found, Meta(as_of=as_of, stale=False, origins=origins, source="parallax")))


@router.get("/alerts", summary="Alerts, newest change first", responses=many(AlertRecord), response_class=Ready)
async def alerts(
    request: Request,
    state: Annotated[
        Literal["pending", "firing", "resolved"] | None, Query(description="Only those in this state.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT["list_limit"])] = 100,
) -> Ready:
    """Each with its severity, labels, reason and remedy."""
    feed = gateway_of(request).view.alerts

    def keep(entry: Entry) -> bool:
        return state is None or msgspec.json.decode(feed.value(entry), type=Alert).state == state

    def page(now_ms: int) -> Body:
        return feed_list(feed, now_ms, limit, keep)

    return resolved(request, page)


@router.get(
    "/limits",
    summary="What a client may do",
    responses=free("quota and limits, with reasons; WebSocket close codes"),
    response_class=Ready,
)
async def limits(request: Request) -> Ready:
    """The tables that the gateway itself goes by."""
    gateway = gateway_of(request)
    quota = {"requests": gateway.quota.per_minute, "window_s": 60, "per": "client address"}
    return once(request, plain({"quota": quota, "limits": LIMITS, "close_codes": CODES}))
