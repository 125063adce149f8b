"""Which message is due at a time: each state of an alert is told once, repeated while it lasts, retried when it fails. Pure.

What was told is in the alert (`told`, `told_ms`), so a restart neither repeats nor forgets; only the retry counts are lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from schemas.events import Alert

RETRY_MS = (1_000, 5_000, 25_000, 125_000)
"""Waits between five tries; half to all of each is taken, so that a crowd spreads."""


class Message(NamedTuple):
    """One thing to tell; the id is the same for every try, so that a receiver can drop doubles."""

    id: str
    kind: Literal["firing", "resolved"]
    alert: Alert


class Outbox:
    """The retry state of messages under way."""

    def __init__(self, repeat_ms: float) -> None:
        self._repeat_ms = repeat_ms
        self._tries: dict[str, int] = {}
        self._not_before_ms: dict[str, float] = {}

    def due(self, alerts: Iterable[Alert], as_of_ms: int) -> list[Message]:
        """Messages to try now, oldest news first."""
        wanted = [message for alert in alerts if (message := self._message(alert, as_of_ms)) is not None]
        ids = {message.id for message in wanted}
        for gone in [known for known in self._tries if known not in ids]:
            self.sent(gone)
        ready = [
            m
            for m in wanted
            if self._tries.get(m.id, 0) <= len(RETRY_MS) and self._not_before_ms.get(m.id, 0) <= as_of_ms
        ]
        return sorted(ready, key=lambda message: message.alert.updated_ms)

    def sent(self, message_id: str) -> None:
        """The message arrived."""
        self._tries.pop(message_id, None)
        self._not_before_ms.pop(message_id, None)

    def failed(self, message_id: str, as_of_ms: int, jitter: float, final: bool = False) -> bool:
        """The message did not arrive; jitter is 0..1, final refuses more tries. Whether it will be tried again."""
        tries = len(RETRY_MS) + 1 if final else self._tries.get(message_id, 0) + 1
        self._tries[message_id] = tries
        if tries > len(RETRY_MS):
            return False
        self._not_before_ms[message_id] = as_of_ms + RETRY_MS[tries - 1] * (0.5 + 0.5 * jitter)
        return True

    def _message(self, alert: Alert, as_of_ms: int) -> Message | None:
        if alert.state == "firing" and alert.inhibited_by is None:
            repeat = alert.told == "firing" and as_of_ms - (alert.told_ms or 0) >= self._repeat_ms
            if alert.told != "firing" or repeat:
                return Message(f"{alert.fingerprint}-{alert.since_ms}-firing-{alert.told_ms or 0}", "firing", alert)
        if alert.state == "resolved" and alert.told == "firing":
            return Message(f"{alert.fingerprint}-{alert.since_ms}-resolved-{alert.told_ms or 0}", "resolved", alert)
        return None
