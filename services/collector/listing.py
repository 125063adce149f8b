"""What each provider is known not to have, learnt from its own refusals. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

ABSENT_MS: Final = 6 * 3_600_000
"""A value that a provider does not know is asked again after so long: listings change rarely."""


class Listing:
    """One process's knowledge; it starts empty and is never wrong for longer than ABSENT_MS."""

    def __init__(self) -> None:
        self._absent: dict[tuple[str, str], int] = {}

    def absent(self, provider: str, value: str, now_ms: int) -> None:
        """The provider does not know `value` (its own spelling)."""
        self._absent[provider, value.upper()] = now_ms + ABSENT_MS

    def known(self, provider: str, values: Iterable[str], now_ms: int) -> tuple[str, ...]:
        """`values` without those that the provider refused lately; case does not matter, for sockets and calls differ in it."""
        return tuple(value for value in values if self._absent.get((provider, value.upper()), 0) <= now_ms)
