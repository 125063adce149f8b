"""Alert states: pending, firing, resolved; what survives a restart; what inhibits what."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import structs

from schemas.events import Alert
from services.health.alerts import FORGET_MS, REFRESH_MS, advance, fingerprint, step
from services.health.rules import Finding, Rules, parse
from services.health.tables import HERE

RULES = parse((HERE / "rules.yaml").read_bytes())
T0 = 1_700_000_000_000
ACME = {"provider": "acme", "category": "market"}


def rules_by_name(name: str, for_ms: int | None = None) -> Finding:
    rule = next(rule for rule in RULES.rules if rule.name == name)
    rule = rule if for_ms is None else rule._replace(for_ms=for_ms)
    return Finding(rule, ACME, True, 3.0, "acme is away")


OFFLINE = rules_by_name("provider_offline")


def run(*timeline: tuple[int, bool | None]) -> list[tuple[str, int, int]]:
    """(state, since, updated) in seconds after each (second, holds)."""
    alert: Alert | None = None
    states = []
    for at_s, truth in timeline:
        alert = step(alert, OFFLINE._replace(holds=truth), T0 + at_s * 1000) or alert
        states.append(
            ("none", 0, 0)
            if alert is None
            else (alert.state, (alert.since_ms - T0) // 1000, (alert.updated_ms - T0) // 1000)
        )
    return states


def test_an_alert_fires_when_its_finding_held_for_its_time_and_resolves_when_it_ends() -> None:
    assert run((0, False), (10, True), (39, True), (40, True), (50, True), (60, False), (70, False), (80, True)) == [
        ("none", 0, 0), ("pending", 10, 10), ("pending", 10, 10), ("firing", 10, 40), ("firing", 10, 40),
        ("resolved", 10, 60), ("resolved", 10, 60), ("pending", 80, 80),
    ]  # fmt: skip


def test_a_finding_that_ends_before_its_time_never_fires() -> None:
    assert [state for state, _, _ in run((0, True), (29, False), (31, True), (60, True))] == [
        "pending", "resolved", "pending", "pending",
    ]  # fmt: skip


def test_not_knowing_changes_nothing() -> None:
    assert [state for state, _, _ in run((0, None), (1, True), (10, None), (31, True), (40, None))] == [
        "none", "pending", "pending", "firing", "firing",
    ]  # fmt: skip


def test_without_a_waiting_time_it_fires_at_once() -> None:
    alert = step(None, rules_by_name("provider_offline", for_ms=0), T0)
    assert alert == Alert(
        fingerprint=fingerprint("provider_offline", ACME),
        name="provider_offline",
        state="firing",
        severity="ticket",
        labels=ACME,
        summary="acme is away",
        since_ms=T0,
        updated_ms=T0,
        value=3.0,
        remedy=OFFLINE.rule.remedy,
    )


def test_the_words_of_an_open_alert_follow_what_they_tell_but_not_at_every_look() -> None:
    alert = step(None, rules_by_name("provider_offline", for_ms=0), T0)
    worse = rules_by_name("provider_offline", for_ms=0)._replace(summary="acme is away: 9 failures", value=9.0)
    assert step(alert, worse, T0 + REFRESH_MS - 1) is None
    assert step(alert, worse, T0 + REFRESH_MS) == structs.replace(
        alert, summary="acme is away: 9 failures", value=9.0, updated_ms=T0 + REFRESH_MS
    )
    assert step(alert, worse._replace(summary="acme is away"), T0 + REFRESH_MS) is None


def test_the_fingerprint_knows_the_name_and_the_labels_but_not_their_order() -> None:
    assert fingerprint("a", {"x": "1", "y": "2"}) == fingerprint("a", {"y": "2", "x": "1"})
    different = {
        fingerprint(*each) for each in (("a", {"x": "1"}), ("b", {"x": "1"}), ("a", {"x": "2"}), ("a", {"y": "1"}))
    }
    assert len(different) == 4


def test_after_a_restart_from_its_own_bytes_an_alert_goes_on() -> None:
    pending = step(None, OFFLINE, T0)
    restored = msgspec.json.decode(msgspec.json.encode(pending), type=Alert)
    key = restored.fingerprint
    assert advance({key: restored}, [OFFLINE], RULES, T0 + 29_999) == []
    assert [(a.state, a.since_ms) for a in advance({key: restored}, [OFFLINE], RULES, T0 + 30_000)] == [("firing", T0)]
    firing = structs.replace(restored, state="firing", told="firing", told_ms=T0)
    assert advance({key: firing}, [OFFLINE], RULES, T0 + 60_000) == []


def test_a_repeated_alert_remembers_what_was_told() -> None:
    over = structs.replace(step(None, OFFLINE, T0), state="resolved", told="resolved", told_ms=T0 + 1)
    again = step(over, OFFLINE, T0 + 9)
    assert (again.state, again.since_ms, again.told, again.resolved_ms) == ("pending", T0 + 9, "resolved", None)


def test_a_new_severity_in_the_file_reaches_an_open_alert() -> None:
    old = structs.replace(step(None, OFFLINE, T0), severity="info")
    assert step(old, OFFLINE, T0 + 1).severity == "ticket"


@pytest.mark.parametrize(("later_ms", "states"), [(FORGET_MS, []), (FORGET_MS + 1, ["resolved"])])
def test_an_open_alert_whose_subject_is_gone_is_kept_for_a_day(later_ms: int, states: list[str]) -> None:
    alert = structs.replace(step(None, OFFLINE, T0), state="firing")
    assert [a.state for a in advance({alert.fingerprint: alert}, [], RULES, T0 + later_ms)] == states


def test_an_alert_of_a_rule_that_is_gone_is_resolved() -> None:
    alert = step(None, OFFLINE, T0)
    assert [a.state for a in advance({alert.fingerprint: alert}, [], Rules((), ()), T0 + 1)] == ["resolved"]


def firing(name: str, labels: dict[str, str], state: str = "firing") -> Alert:
    return Alert(
        fingerprint=fingerprint(name, labels),
        name=name,
        state=state,
        severity="info",
        labels=labels,
        summary="",
        since_ms=T0,
        updated_ms=T0,
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("alerts", "expected"),
    [
        ([("no_egress", {}), ("provider_offline", ACME)], {"provider_offline": "no_egress"}),
        (
            [("no_egress", {}), ("key_rejected", ACME), ("polls_late", {"category": "market"})],
            {"key_rejected": "no_egress"},
        ),
        ([("provider_offline", ACME), ("provider_stale", ACME)], {"provider_stale": "provider_offline"}),
        ([("provider_offline", ACME), ("provider_stale", {**ACME, "provider": "other"})], {}),
        ([("category_out", {"category": "market"}), ("provider_offline", ACME)], {"provider_offline": "category_out"}),
        ([("category_out", {"category": "news"}), ("provider_offline", ACME)], {}),
        ([("key_rejected", ACME), ("provider_offline", ACME)], {"provider_offline": "key_rejected"}),
        ([("quota_blocked", ACME), ("quota_warning", ACME)], {"quota_warning": "quota_blocked"}),
    ],
)
def test_what_a_firing_alert_explains_is_inhibited(
    alerts: list[tuple[str, dict[str, str]]], expected: dict[str, str]
) -> None:
    known = {alert.fingerprint: alert for alert in (firing(name, labels) for name, labels in alerts)}
    assert {a.name: a.inhibited_by for a in advance(known, [], RULES, T0 + 1)} == expected


def test_inhibition_ends_with_its_source() -> None:
    source, target = (
        firing("no_egress", {}, "resolved"),
        structs.replace(firing("provider_offline", ACME), inhibited_by="no_egress"),
    )
    changed = advance({a.fingerprint: a for a in (source, target)}, [], RULES, T0 + 1)
    assert [(a.name, a.inhibited_by, a.updated_ms) for a in changed] == [("provider_offline", None, T0 + 1)]


def test_a_pending_alert_explains_nothing() -> None:
    both = [firing("no_egress", {}, "pending"), firing("provider_offline", ACME)]
    assert advance({a.fingerprint: a for a in both}, [], RULES, T0 + 1) == []


def test_a_day_is_a_day() -> None:
    assert FORGET_MS == 86_400_000
