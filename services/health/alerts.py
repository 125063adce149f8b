"""Finding + alert + as_of -> the alert's next state: pending, firing, resolved; and what inhibits it. Pure.

Everything an alert needs to go on after a restart is in the alert itself, which lives in a compacted topic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import structs

from schemas.events import Alert
from services.health.rules import Finding, InhibitionRow, Rule, Rules

REFRESH_MS = 60_000
"""How often the words of an open alert follow what they tell."""
FORGET_MS = 24 * 3600 * 1000
"""An open alert whose subject was not seen for so long is resolved: the provider left the registry, or the rule the file."""


def fingerprint(name: str, labels: Mapping[str, str]) -> str:
    """Hash of the sorted labels, the alert's name among them."""
    rows = sorted({**labels, "alertname": name}.items())
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()[:16]


def step(alert: Alert | None, finding: Finding, as_of_ms: int) -> Alert | None:
    """The alert after this finding, or None when nothing changes; a finding that knows nothing changes nothing."""
    rule = finding.rule
    is_open = alert is not None and alert.state != "resolved"
    if finding.holds is None:
        return None
    if not finding.holds:
        return resolved(alert, as_of_ms) if alert is not None and is_open else None
    if alert is None or not is_open:
        return Alert(
            fingerprint=fingerprint(rule.name, finding.labels),
            name=rule.name,
            state="firing" if rule.for_ms == 0 else "pending",
            severity=rule.severity,
            labels=finding.labels,
            summary=finding.summary,
            since_ms=as_of_ms,
            updated_ms=as_of_ms,
            value=finding.value,
            remedy=rule.remedy,
            told=alert.told if alert else None,
        )
    ripe = alert.state == "pending" and as_of_ms - alert.since_ms >= rule.for_ms
    aged = finding.summary != alert.summary and as_of_ms - alert.updated_ms >= REFRESH_MS
    if not ripe and not aged and alert.severity == rule.severity:
        return None
    return structs.replace(
        alert,
        state="firing" if ripe else alert.state,
        severity=rule.severity,
        summary=finding.summary,
        value=finding.value,
        remedy=rule.remedy,
        updated_ms=as_of_ms,
    )


def resolved(alert: Alert, as_of_ms: int) -> Alert:
    """The alert, over."""
    return structs.replace(alert, state="resolved", updated_ms=as_of_ms, resolved_ms=as_of_ms, inhibited_by=None)


def advance(alerts: Mapping[str, Alert], findings: Iterable[Finding], rules: Rules, as_of_ms: int) -> list[Alert]:
    """The alerts that change at `as_of_ms`, in their next state, inhibition included."""
    after = dict(alerts)
    seen = set()
    for finding in findings:
        key = fingerprint(finding.rule.name, finding.labels)
        seen.add(key)
        if (changed := step(after.get(key), finding, as_of_ms)) is not None:
            after[key] = changed
    names = {rule.name for rule in rules.rules}
    for key, alert in alerts.items():
        gone = alert.name not in names or as_of_ms - alert.updated_ms > FORGET_MS
        if key not in seen and alert.state != "resolved" and gone:
            after[key] = resolved(alert, as_of_ms)
    scopes = {rule.name: rule for rule in rules.rules}
    firing = [alert for alert in after.values() if alert.state == "firing"]
    for key, alert in after.items():
        if alert.state != "resolved":
            by = inhibited_by(alert, firing, rules.inhibitions, scopes)
            if by != alert.inhibited_by:
                after[key] = structs.replace(alert, inhibited_by=by, updated_ms=as_of_ms)
    return [alert for key, alert in after.items() if alert != alerts.get(key)]


def inhibited_by(
    alert: Alert, firing: Iterable[Alert], inhibitions: Iterable[InhibitionRow], rules: Mapping[str, Rule]
) -> str | None:
    """Name of the firing alert that silences this one, by the first row that does; None when none does."""
    sources = list(firing)
    for row in inhibitions:
        rule = rules.get(alert.name)
        targeted = alert.name in row.rules or (row.scope is not None and rule is not None and rule.scope == row.scope)
        if not targeted:
            continue
        for source in sources:
            same = all(source.labels.get(label) == alert.labels.get(label) for label in row.equal)
            if source.name == row.source and source.fingerprint != alert.fingerprint and same:
                return source.name
    return None
