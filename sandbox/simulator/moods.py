"""How a provider behaves today, as the control endpoint says: dead, slow, refusing, lying, frozen, talking nonsense."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Behaviour(Struct, forbid_unknown_fields=True):
    """All of it; the defaults are a healthy provider. Sent to POST /_control/<provider>."""

    dead: bool = False
    """Connections break without an answer."""
    factor: float = 1.0
    """Prices are multiplied: 1.05 lies by five percent, 100 speaks in cents."""
    frozen_at_ms: int | None = None
    """Values of this time, told as if they were of now."""
    late_ms: int = 0
    """Values are this old, told as if they were of now."""
    storm: bool = False
    """Every request is refused for being one too many."""
    delay_ms: int = 0
    garbage: bool = False
    """Bodies are no longer what they were."""
    status: int | None = None
    """Every request gets this status."""
    quota_used: float | None = None
    """Share of the quota that the headers claim is used."""
    rename: dict[str, str] = {}
    """Keys of the answers and what they are called today."""
    retype: dict[str, Literal["object", "list", "word", "flag"]] = {}
    """Keys whose values are of another type today."""
    scale: dict[str, float] = {}
    """Keys whose numbers are told in another unit today: 100 is a percentage that was a fraction, or cents."""


class Moods:
    """Behaviour of each provider; a provider that nobody spoke of is healthy."""

    def __init__(self) -> None:
        self._known: dict[str, Behaviour] = {}

    def of(self, provider: str) -> Behaviour:
        """Behaviour of one provider."""
        return self._known.get(provider, HEALTHY)

    def set(self, provider: str, behaviour: Behaviour) -> None:
        """Replace it."""
        self._known[provider] = behaviour

    def clear(self) -> None:
        """All healthy again."""
        self._known.clear()

    def faulty(self) -> dict[str, Behaviour]:
        """Those that are not healthy."""
        return {name: one for name, one in self._known.items() if one != HEALTHY}


HEALTHY = Behaviour()
