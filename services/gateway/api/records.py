"""Everything else that is fused: any entity of any category, news, and the derived signals."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request

from services.gateway.api.context import Gateway, Ready, gateway_of, once, resolved
from services.gateway.api.documents import free, many, one
from services.gateway.limits import LIMIT
from services.gateway.problems import Problem
from services.gateway.view.feed import Body, Feed
from services.gateway.view.pages import ListPage, ListQuery, RecordPage, feed_list, no_data, plain, read_cursor
from services.gateway.view.shapes import AssetRecord, EntityRecord, NewsRecord, SignalRecord, SourcesRecord

router = APIRouter(tags=["records"])

Limit = Annotated[int, Query(ge=1, le=LIMIT["list_limit"])]
Cursor = Annotated[str | None, Query(max_length=512, description="next_cursor of the previous page.")]
Category = Annotated[str, Path(max_length=32, description="One of /api/v1/categories.")]
Entity = Annotated[
    str, Path(max_length=512, description="Such as `pair:bitcoin/tether`, `chain:ethereum`, `asset:bitcoin`.")
]

SHORTCUTS = {"/whales": "whale", "/sentiment": "social", "/onchain": "onchain", "/gas": "rpc", "/defi": "dex"}
"""Older routes and the category that each one lists."""


@router.get(
    "/records/{category}",
    summary="Fused records of a category",
    responses=many(EntityRecord, AssetRecord, NewsRecord),
    response_class=Ready,
)
async def records(
    request: Request,
    category: Category,
    prefix: Annotated[
        str, Query(max_length=512, description="Only entities that start so, such as `pair:bitcoin/`.")
    ] = "",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Ready:
    """Listed even when stale, and labelled so."""
    return _listed(request, category, prefix, limit, cursor)


@router.get(
    "/records/{category}/{entity:path}/sources",
    summary="Who said what about an entity",
    responses=one(SourcesRecord),
    response_class=Ready,
)
async def record_sources(request: Request, category: Category, entity: Entity) -> Ready:
    """Every provider's value with its age, weight, deviation, and why it was excluded if it was."""
    feed = _feed(gateway_of(request), category)
    return resolved(request, _page(feed, entity, "sources", allow_stale=True))


@router.get(
    "/records/{category}/{entity:path}",
    summary="One fused record",
    responses=one(EntityRecord, AssetRecord),
    response_class=Ready,
)
async def record(
    request: Request,
    category: Category,
    entity: Entity,
    include: Annotated[Literal["sources"] | None, Query(description="`sources`: with what each provider said.")] = None,
    allow_stale: Annotated[
        bool, Query(description="200 with `stale: true` instead of 503 when no source renewed it.")
    ] = False,
) -> Ready:
    """503 when nothing fresh is known: no answer is made up."""
    feed = _feed(gateway_of(request), category)
    part = "record+sources" if include else "record"
    return resolved(request, _page(feed, entity, part, allow_stale=allow_stale))


@router.get("/news", summary="Stories, newest first, each told once", responses=many(NewsRecord), response_class=Ready)
async def news(
    request: Request,
    q: Annotated[str | None, Query(max_length=128, description="Words in the title or summary.")] = None,
    asset: Annotated[str | None, Query(max_length=128, description="Asset id or word that the story is about.")] = None,
    source: Annotated[str | None, Query(max_length=128, description="Publisher, or provider that carried it.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Ready:
    """Providers that carried the same story are listed in `carried_by`."""
    wanted = [text.casefold() if text else "" for text in (q, asset, source)]

    def matches(story: dict[str, Any]) -> bool:
        words, about, by = wanted
        text = f"{story.get('title')} {story.get('summary')}".casefold()
        subjects = [subject.casefold() for subject in story.get("assets", ())]
        carriers = [name.casefold() for name in (story.get("publisher") or "", *story.get("carried_by", ()))]
        return words in text and (not about or about in subjects) and (not by or by in carriers)

    gateway = gateway_of(request)
    given = {"limit": str(limit), "q": q, "asset": asset, "source": source}
    url = f"{request.url.path}?" + "&".join(f"{name}={quote(value)}" for name, value in given.items() if value)
    query = ListQuery(
        limit=limit,
        prefix="story:",
        after=read_cursor(cursor) if cursor else None,
        matches=matches if any(wanted) else None,
        url=url,
    )
    return resolved(request, ListPage(gateway.view.fused["news"], query))


@router.get(
    "/signals/{kind}",
    summary="Derived findings with their evidence, newest first",
    responses=many(SignalRecord),
    response_class=Ready,
)
async def signals(request: Request, kind: Literal["arbitrage", "anomalies"], limit: Limit = 100) -> Ready:
    """Each with the numbers it rests on and the thresholds it passed."""
    gateway = gateway_of(request)
    feed = gateway.view.signals["arbitrage" if kind == "arbitrage" else "anomaly"]

    def page(now_ms: int) -> Body:
        return feed_list(feed, now_ms, limit)

    return resolved(request, page)


@router.get(
    "/categories",
    summary="The kinds of question, with what is known of each",
    responses=free("per category: records held and their origins"),
    response_class=Ready,
)
async def categories(request: Request) -> Ready:
    """Records held, newest receive time and origins per category."""
    gateway = gateway_of(request)
    data = [
        {"category": name, "records": len(feed), "origins": sorted(feed.as_of_by_origin)}
        for name, feed in gateway.view.fused.items()
    ]
    return once(request, plain(data))


def _shortcut(path: str, category: str) -> None:
    async def route(request: Request, limit: Limit = 100, cursor: Cursor = None) -> Ready:
        return _listed(request, category, "", limit, cursor)

    summary = f"Fused records of category {category}"
    router.get(
        path,
        summary=summary,
        responses=many(EntityRecord, AssetRecord, NewsRecord),
        response_class=Ready,
        name=f"shortcut {path}",
    )(route)


for _path, _category in SHORTCUTS.items():
    _shortcut(_path, _category)


def _listed(request: Request, category: str, prefix: str, limit: int, cursor: str | None) -> Ready:
    feed = _feed(gateway_of(request), category)
    url = f"{request.url.path}?limit={limit}" + (f"&prefix={quote(prefix)}" if prefix else "")
    query = ListQuery(limit=limit, prefix=prefix, after=read_cursor(cursor) if cursor else None, url=url)
    return resolved(request, ListPage(feed, query))


def _feed(gateway: Gateway, category: str) -> Feed:
    feed = gateway.view.fused.get(category)
    if feed is None:
        raise Problem("unknown-category", f"expected one of {', '.join(gateway.view.fused)}, got {category}")
    return feed


def _page(feed: Feed, entity: str, part: str, *, allow_stale: bool) -> RecordPage:
    entity = feed.elsewhere.get(entity, entity)
    if feed.entries and entity not in feed.entries:
        raise Problem("unknown-entity", no_data(feed, entity).detail)
    return RecordPage(feed, entity, part, allow_stale=allow_stale)
