"""/market: assets with their fused answers, who said what, and bars."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request

from services.gateway.api.context import Ready, gateway_of, resolved
from services.gateway.api.documents import many, one
from services.gateway.limits import LIMIT
from services.gateway.view.candles import ROWS_MAX
from services.gateway.view.feed import Entry
from services.gateway.view.numbers import LAST_MS
from services.gateway.view.pages import CandlesPage, ListPage, ListQuery, RecordPage, invalid, read_cursor, resolve
from services.gateway.view.shapes import AssetRecord, BarsRecord, SourcesRecord
from services.gateway.view.view import View

router = APIRouter(tags=["market"])

AssetName = Annotated[
    str,
    Path(
        min_length=1, max_length=128, description="Asset id such as `bitcoin`, or a symbol that only one asset carries."
    ),
]
Names = Annotated[str | None, Query(max_length=8000, description="Comma separated.")]
AssetKind = Literal["coin", "token", "stablecoin", "wrapped", "bridged", "fiat", "commodity"]
Interval = Literal["1m", "5m", "15m", "1h", "4h", "1d"]


@router.get(
    "/market",
    summary="Assets by rank, with price, confidence and freshness",
    responses=many(AssetRecord),
    response_class=Ready,
)
async def market(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=LIMIT["list_limit"])] = 100,
    ids: Names = None,
    symbols: Names = None,
    category: Annotated[AssetKind | None, Query(description="Only assets of this kind.")] = None,
    vs: Annotated[Literal["usd"], Query(description="Money is counted in US dollars.")] = "usd",
    cursor: Annotated[str | None, Query(max_length=512)] = None,
) -> Ready:
    """Listed even when stale, and labelled so."""
    gateway = gateway_of(request)
    keys = _keys(gateway.view, ids, symbols)
    assets = gateway.view.assets

    def is_kind(entry: Entry) -> bool:
        asset = assets.get(entry.key.removeprefix("asset:"))
        return asset is not None and asset.kind == category

    query = ListQuery(
        limit=limit,
        keys=keys,
        prefix="asset:",
        after=read_cursor(cursor) if cursor else None,
        keeps=is_kind if category else None,
        url=f"{request.url.path}?limit={limit}" + (f"&category={category}" if category else ""),
    )
    return resolved(request, ListPage(gateway.view.fused["market"], query))


@router.get("/market/ohlc", summary="Fused bars", responses=one(BarsRecord), response_class=Ready)
async def ohlc(
    request: Request,
    symbol: Annotated[str | None, Query(max_length=128, description="Symbol or id of an asset.")] = None,
    entity: Annotated[
        str | None, Query(max_length=256, description="Instead of symbol: `asset:bitcoin`, `pair:bitcoin/tether` ...")
    ] = None,
    interval: Interval = "1h",
    start: Annotated[
        str | None, Query(alias="from", max_length=64, description="RFC 3339 or Unix milliseconds; inclusive.")
    ] = None,
    end: Annotated[str | None, Query(alias="to", max_length=64, description="Exclusive.")] = None,
    limit: Annotated[int, Query(ge=1, le=ROWS_MAX)] = 200,
    shape: Literal["rows", "columns"] = "rows",
) -> Ready:
    """Oldest first; a bar that may still change says `closed: false`."""
    gateway = gateway_of(request)
    if (symbol is None) == (entity is None):
        raise invalid("symbol", "expected either symbol or entity")
    key = entity if entity is not None else f"asset:{resolve(gateway.view, symbol or '')}"
    page = CandlesPage(gateway.view, key, interval, _moment("from", start), _moment("to", end), limit, shape)
    return resolved(request, page)


@router.get(
    "/market/{asset}",
    summary="One asset: every metric with its confidence",
    responses=one(AssetRecord),
    response_class=Ready,
)
async def asset_page(
    request: Request,
    asset: AssetName,
    include: Annotated[Literal["sources"] | None, Query(description="`sources`: with what each provider said.")] = None,
    allow_stale: Annotated[
        bool, Query(description="200 with `stale: true` instead of 503 when no source renewed it.")
    ] = False,
) -> Ready:
    """503 when nothing, or nothing fresh, is known: no answer is made up."""
    gateway = gateway_of(request)
    key = f"asset:{resolve(gateway.view, asset)}"
    part = "record+sources" if include else "record"
    return resolved(request, RecordPage(gateway.view.fused["market"], key, part, allow_stale=allow_stale))


@router.get(
    "/market/{asset}/sources",
    summary="Who said what about an asset",
    responses=one(SourcesRecord),
    response_class=Ready,
)
async def asset_sources(request: Request, asset: AssetName) -> Ready:
    """Every provider's value with its age, weight, deviation, and why it was excluded if it was."""
    gateway = gateway_of(request)
    key = f"asset:{resolve(gateway.view, asset)}"
    return resolved(request, RecordPage(gateway.view.fused["market"], key, "sources", allow_stale=True))


def _keys(view: View, ids: str | None, symbols: str | None) -> tuple[str, ...] | None:
    if ids is None and symbols is None:
        return None
    names = [name.strip() for text in (ids, symbols) if text for name in text.split(",") if name.strip()]
    if not names:
        raise invalid("ids" if ids is not None else "symbols", "expected at least one name")
    if len(names) > LIMIT["list_limit"]:
        raise invalid("ids", f"expected at most {LIMIT['list_limit']} names, got {len(names)}")
    return tuple(dict.fromkeys(f"asset:{resolve(view, name)}" for name in names))


def _moment(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        if text.isascii() and text.isdigit():
            ms = int(text)
        else:
            then = datetime.fromisoformat(text)
            if then.tzinfo is None:
                raise ValueError("no zone")
            ms = int(then.timestamp() * 1000)
    except (ValueError, OverflowError) as fault:
        raise invalid(name, "expected RFC 3339 with a zone (2026-05-01T00:00:00Z) or Unix milliseconds") from fault
    if not 0 <= ms <= LAST_MS:
        raise invalid(name, "expected a time between 1970 and 9999")
    return ms
