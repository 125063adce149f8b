"""Settings of the collector."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from schemas.events import Origin
from services.common.errors import SettingsError
from services.common.settings import CommonSettings


class CollectorSettings(CommonSettings, frozen=True, kw_only=True):
    """What a collector takes from the environment."""

    mode: Annotated[
        Literal["live", "sandbox", "replay"],
        Meta(description="Origin of everything this process says; `sandbox` asks the simulator, never a provider."),
    ] = "live"
    sandbox_url: Annotated[
        str | None,
        Meta(
            description="Simulator that stands for every provider: their URLs become <url>/<provider>/...; implies mode sandbox."
        ),
    ] = None
    providers_path: Annotated[str, Meta(description="Folders with more provider definitions, separated by colons.")] = (
        ""
    )
    providers: Annotated[list[str], Meta(description="Only these providers, by id; empty: all of the categories.")] = []
    assets: Annotated[int, Meta(ge=1, le=5000, description="How many assets of the table are always polled.")] = 100
    leases: Annotated[
        bool,
        Meta(description="Share the polling with other collectors of a category; off: this process polls everything."),
    ] = True
    lease_session_ms: Annotated[
        int, Meta(ge=1000, description="A collector that is silent for so long loses its share to the others.")
    ] = 10_000
    streams: Annotated[bool, Meta(description="Open the providers' sockets; off: poll only.")] = True
    secrets_dir: Annotated[
        str | None, Meta(description="Folder of files, one secret each, named by reference with / as __.")
    ] = None
    ca_file: Annotated[
        str | None, Meta(description="PEM file of a private authority that providers' certificates may come from.")
    ] = None
    outbox_mb: Annotated[
        int, Meta(ge=1, le=512, description="Records that may wait for Kafka; when full, polling and reading pause.")
    ] = 32
    body_mb: Annotated[int, Meta(ge=1, le=64, description="Largest response body, decompressed; more is refused.")] = 16
    in_flight: Annotated[int, Meta(ge=1, le=256, description="Requests that may be under way at once.")] = 32
    retries: Annotated[
        int, Meta(ge=0, le=10, description="How often a failed request that may succeed is asked again.")
    ] = 2
    stop_s: Annotated[
        float, Meta(gt=0, description="Time for a graceful stop; below the grace period of whoever stops it.")
    ] = 20.0
    drift_accept: Annotated[
        list[str],
        Meta(
            description="What is taken as it comes although it differs from what was proven: provider/endpoint or provider/endpoint/metric."
        ),
    ] = []
    archive: Annotated[bool, Meta(description="Keep response bodies on the topic `archive`.")] = True

    @property
    def origin(self) -> Origin:
        """Stamp of every event; the one place that decides it. SettingsError when a live deployment would be fed a sandbox."""
        if self.sandbox_url and self.mode == "replay":
            raise SettingsError(
                "PARALLAX_SANDBOX_URL", "no simulator in mode replay", repr(self.sandbox_url), "unset one"
            )
        return "sandbox" if self.sandbox_url else self.mode

    def check(self) -> None:
        """SettingsError when the settings contradict each other."""
        if self.mode == "sandbox" and not self.sandbox_url:
            raise SettingsError(
                "PARALLAX_MODE", "PARALLAX_SANDBOX_URL beside mode sandbox", "none", "set the simulator's URL"
            )
        if self.mode == "replay":
            raise SettingsError("PARALLAX_MODE", "live or sandbox", "replay", "use: parallax replay DIR")
