"""Where requests go and what their answers are stamped with: the providers, or the simulator that stands for all of them."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from schemas.events import Origin
from services.collector.settings import CollectorSettings

SOCKET_SCHEMES = {"http": "ws", "https": "wss"}


class Upstream:
    """The one place that knows whether this process speaks to the world or to a simulator."""

    def __init__(self, origin: Origin, sandbox_url: str | None) -> None:
        self.origin: Origin = origin
        self._sandbox = None if sandbox_url is None else urlsplit(sandbox_url.rstrip("/"))

    @property
    def simulated(self) -> bool:
        """True when no provider is asked; then no credentials are needed, and none are sent."""
        return self._sandbox is not None

    def http(self, provider: str, url: str) -> str:
        """Address for a request: `<simulator>/<provider>/<path of url>`, or `url` itself.

        A host with a hole says what is asked for, as `{chain}.acme.example` does, so it goes before the path.
        """
        if self._sandbox is None:
            return url
        parts, here = urlsplit(url), self._sandbox
        told = f"/{parts.netloc}" if "{" in parts.netloc else ""
        path = f"{here.path}/{provider}{told}{parts.path}"
        return urlunsplit((here.scheme, here.netloc, path, parts.query, ""))

    def socket(self, provider: str, url: str) -> str:
        """Address for a socket, by the same rule."""
        if self._sandbox is None:
            return url
        parts = urlsplit(self.http(provider, url))
        return urlunsplit((SOCKET_SCHEMES[parts.scheme], parts.netloc, parts.path, parts.query, ""))


def upstream(settings: CollectorSettings) -> Upstream:
    """By the settings; SettingsError when they contradict each other."""
    settings.check()
    return Upstream(settings.origin, settings.sandbox_url)
