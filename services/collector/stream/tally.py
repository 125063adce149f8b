"""What a connection received since it last told."""

from __future__ import annotations

from msgspec import Struct


class Tally(Struct):
    """What a connection received since its last report."""

    messages: int = 0
    events: int = 0
    faults: int = 0
    held: int = 0
    bytes: int = 0
    newest_event_ms: int | None = None
    heard_s: float = 0.0
    """Monotonic time of the last message."""
    advanced_s: float = 0.0
    """Monotonic time at which the event time last moved on."""
    standing: int = 0
    """Messages since then that carried an event time all the same; a quiet market sends none."""
