"""Settings of the gateway."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from services.common.settings import CommonSettings


class GatewaySettings(CommonSettings, frozen=True, kw_only=True):
    """What a gateway process can be told."""

    host: Annotated[str, Meta(description="Address that the public port listens on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="The public port; 0 picks a free one and logs it.")] = 7860
    reuse_port: Annotated[
        bool,
        Meta(description="Let several gateway processes share the port, one per core; the kernel spreads clients."),
    ] = False
    rate_per_minute: Annotated[
        int, Meta(ge=1, description="Requests a minute of one client address, in each process.")
    ] = 600
    ws_connections_per_client: Annotated[
        int, Meta(ge=1, description="WebSocket connections of one client address, in each process.")
    ] = 200
    # From 10 to 5 ms took 7 ms off the p99 from a fused record to a client's frame, and cost nothing that could be measured.
    ws_fastest_ms: Annotated[
        int, Meta(ge=5, le=1000, description="Shortest time between two writes to a client of rate `live`.")
    ] = 5
    web_origins: Annotated[
        list[str],
        Meta(description="Web origins whose pages may open WebSockets, comma separated; empty admits every origin."),
    ] = []
    trusted_proxies: Annotated[
        str, Meta(description="Addresses of proxies whose X-Forwarded-For is believed, comma separated.")
    ] = ""
    stop_s: Annotated[
        float, Meta(gt=0, description="Time for a graceful stop; below the grace period of whoever stops it.")
    ] = 10.0
