"""Which message is due when: told once, repeated while it lasts, retried five times."""

from __future__ import annotations

import pytest
from msgspec import structs

from schemas.events import Alert
from services.health.notify.outbox import RETRY_MS, Outbox

T0 = 1_700_000_000_000
FIRING = Alert(
    fingerprint="f", name="n", state="firing", severity="page", labels={}, summary="s", since_ms=T0, updated_ms=T0
)


def due(outbox: Outbox, alert: Alert, at_ms: int = T0) -> list[tuple[str, str]]:
    return [(message.id, message.kind) for message in outbox.due([alert], at_ms)]


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, ["firing"]),
        ({"state": "pending"}, []),
        ({"inhibited_by": "no_egress"}, []),
        ({"told": "firing", "told_ms": T0 - 999}, []),
        ({"told": "firing", "told_ms": T0 - 1000}, ["firing"]),
        ({"told": "resolved", "told_ms": T0 - 1}, ["firing"]),
        ({"state": "resolved"}, []),
        ({"state": "resolved", "told": "firing", "told_ms": T0}, ["resolved"]),
        ({"state": "resolved", "told": "resolved", "told_ms": T0}, []),
    ],
)
def test_what_is_due_follows_from_the_alert_alone(changes: dict[str, object], kinds: list[str]) -> None:
    assert [kind for _, kind in due(Outbox(1000), structs.replace(FIRING, **changes))] == kinds


def test_every_try_of_a_message_has_the_same_id_and_a_repeat_another() -> None:
    outbox = Outbox(1000)
    first = due(outbox, FIRING)
    outbox.failed(first[0][0], T0, 0.0)
    assert due(outbox, FIRING, T0 + 10_000) == first
    assert due(outbox, structs.replace(FIRING, told="firing", told_ms=T0), T0 + 1000) != first


def test_tries_wait_longer_each_time_and_end_after_five() -> None:
    outbox, at_ms, waits = Outbox(1e9), T0, []
    for _ in range(5):
        [(message, _)] = due(outbox, FIRING, at_ms)
        again = outbox.failed(message, at_ms, 1.0)
        if again:
            wait_ms = next(ms for ms in (*RETRY_MS, 0) if due(outbox, FIRING, at_ms + ms))
            assert not due(outbox, FIRING, at_ms + wait_ms - 1)
            waits.append(wait_ms)
            at_ms += wait_ms
    assert waits == list(RETRY_MS)
    assert not again
    assert due(outbox, FIRING, at_ms + 10**9) == []


def test_jitter_takes_at_most_half_of_the_wait() -> None:
    outbox = Outbox(1e9)
    [(message, _)] = due(outbox, FIRING)
    outbox.failed(message, T0, 0.0)
    assert not due(outbox, FIRING, T0 + RETRY_MS[0] // 2 - 1)
    assert due(outbox, FIRING, T0 + RETRY_MS[0] // 2)


def test_a_refused_message_is_not_tried_again_but_the_next_state_is() -> None:
    outbox = Outbox(1e9)
    [(message, _)] = due(outbox, FIRING)
    assert outbox.failed(message, T0, 0.5, final=True) is False
    assert due(outbox, FIRING, T0 + 10**9) == []
    again = structs.replace(FIRING, since_ms=T0 + 5)
    assert [kind for _, kind in due(outbox, again)] == ["firing"]


def test_the_oldest_news_comes_first() -> None:
    older = structs.replace(FIRING, fingerprint="o", updated_ms=T0 - 5)
    assert [m.alert.fingerprint for m in Outbox(1e9).due([FIRING, older], T0)] == ["o", "f"]
