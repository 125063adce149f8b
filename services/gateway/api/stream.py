"""/stream: subscriptions as server-sent events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from services.gateway.api.context import gateway_of
from services.gateway.api.documents import stream
from services.gateway.sse import EventStream
from services.gateway.view.pages import invalid
from services.gateway.ws.protocol import Command, Rate
from services.gateway.ws.services import ALL, SERVICE

router = APIRouter(tags=["stream"])


@router.get("/stream", summary="What changes, as server-sent events", responses=stream(), response_class=EventStream)
async def events(
    request: Request,
    services: Annotated[
        str, Query(max_length=512, description="Comma separated; /asyncapi.json lists them.")
    ] = "market_data",
    symbols: Annotated[str, Query(max_length=8000, description="Assets, comma separated; none means all.")] = "",
    rate: Rate = "1s",
    cursor: Annotated[
        str | None, Query(max_length=512, description="Of an event service: what came after it first.")
    ] = None,
    last_event_id: Annotated[str | None, Header(max_length=512)] = None,
) -> Response:
    """The messages of the WebSocket protocol, one per event: `event` is the type, `id` the cursor."""
    gateway = gateway_of(request)
    named = [name.strip() for name in services.split(",") if name.strip()]
    unknown = [name for name in named if name not in SERVICE and name != ALL]
    if unknown or not named:
        raise invalid("services", f"expected some of {', '.join((*SERVICE, ALL))}, got {', '.join(unknown) or 'none'}")
    address = request.client.host if request.client else ""
    gateway.sockets.admit(address, request.headers.get("origin"))
    command = Command(
        action="subscribe",
        services=named,
        symbols=[name.strip() for name in symbols.split(",") if name.strip()],
        rate=rate,
        cursor=cursor or last_event_id,
    )
    return EventStream(gateway.sockets, address, command)
