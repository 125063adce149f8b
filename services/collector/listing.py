"""What each provider is known to have, learnt from its own answers: values it refused, and entities it has spoken of. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

ABSENT_MS: Final = 6 * 3_600_000
"""A value that a provider does not know is asked again after so long: listings change rarely."""


class Listing:
    """One process's knowledge; it starts empty and is never wrong for longer than ABSENT_MS."""

    def __init__(self) -> None:
        self._absent: dict[tuple[str, str], int] = {}
        self._heard: dict[str, set[str]] = {}

    def absent(self, provider: str, value: str, now_ms: int) -> None:
        """The provider does not know `value` (its own spelling)."""
        self._absent[provider, value] = now_ms + ABSENT_MS

    def known(self, provider: str, values: Iterable[str], now_ms: int) -> tuple[str, ...]:
        """`values` without those that the provider refused lately."""
        return tuple(value for value in values if self._absent.get((provider, value), 0) <= now_ms)

    def heard(self, provider: str, entities: Iterable[str]) -> bool:
        """The provider spoke of these; True when one of them is new."""
        held = self._heard.setdefault(provider, set())
        before = len(held)
        held.update(entities)
        return len(held) > before

    def of(self, provider: str, wanted: frozenset[str]) -> frozenset[str]:
        """What of `wanted` to subscribe to: what the provider has spoken of, or all while it has said nothing."""
        held = self._heard.get(provider)
        return wanted if not held else frozenset(entity for entity in wanted if entity in held)
