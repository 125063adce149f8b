"""Settings of the health service."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from services.common.errors import SettingsError
from services.common.settings import SECRET, CommonSettings


class HealthSettings(CommonSettings, frozen=True, kw_only=True):
    """PARALLAX_* variables of `parallax health`."""

    evaluate_s: Annotated[float, Meta(gt=0, description="Seconds between two evaluations of scores and rules.")] = 10.0
    time_scale: Annotated[
        float,
        Meta(
            gt=0,
            description="Every duration of scoring and rules is multiplied by this: 1/60 shows an hour in a minute.",
        ),
    ] = 1.0
    webhook_url: Annotated[str | None, Meta(description="Where alerts are posted; without it nobody is told.")] = None
    webhook_secret: Annotated[
        str | None,
        Meta(description="Signs webhooks as Standard Webhooks: whsec_ and base64 of 24 to 64 bytes.", extra=SECRET),
    ] = None
    repeat_s: Annotated[float, Meta(gt=0, description="Seconds after which a firing alert is told again.")] = 14_400.0

    def __post_init__(self) -> None:
        if (self.webhook_url is None) != (self.webhook_secret is None):
            raise SettingsError(
                "PARALLAX_WEBHOOK_URL and PARALLAX_WEBHOOK_SECRET",
                expected="both or none",
                got="one",
                do="set the other; an unsigned alert could come from anyone",
            )
