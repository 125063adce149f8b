"""Events for a reader: as JSON with the unit of each value, or as lines of payload path -> metric -> value in colour."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import msgspec

from schemas import metrics
from schemas.events import Raw, Value
from services.collector.registry.mapping import Emit, FieldRule
from services.collector.registry.model import Provider
from services.collector.terminal import tell

BOLD, DIM, CYAN, GREEN, OFF = "\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[32m", "\x1b[0m"


def show_event(provider: Provider, target: str, event: Raw, paint: bool) -> None:
    """One event on standard output."""
    if not paint:
        units = {name: unit_of(name, event.quote) for name in event.metrics}
        tell(msgspec.json.encode({**msgspec.to_builtins(event), "units": units}).decode())
        return
    moment = _moment(event.event_ms) if event.event_ms is not None else "no time of its own"
    tell(f"{BOLD}{event.entity}{OFF}  {event.category}  {DIM}{moment}{OFF}")
    for name, value in event.metrics.items():
        path = paths_of(provider, target, event, name)
        tell(
            f"  {CYAN}{path or '(kept book)'}{OFF} -> {name} -> {GREEN}{_said(value)}{OFF} {DIM}{unit_of(name, event.quote)}{OFF}"
        )


def unit_of(metric: str, quote: str | None) -> str:
    """The catalogue's unit; money in the quote asset."""
    spec = metrics.load().get(metric)
    if spec is None:
        return ""
    if spec.money and quote is not None:
        return quote if spec.unit == "quote" else f"{quote} per unit of the asset"
    return spec.unit


def paths_of(provider: Provider, target: str, event: Raw, metric: str) -> str:
    """Where the mapping read it, rows before the field; all places when several may have said it."""
    found = []
    for emit in _emits(provider, target):
        rule = emit.fields.get(metric)
        if rule is None or emit.entity.kind != event.entity.partition(":")[0]:
            continue
        rows = emit.rows if isinstance(emit.rows, str) else "columns" if emit.rows is not None else ""
        found.append(f"{rows} {_path(rule)}".strip())
    return " | ".join(dict.fromkeys(found))


def _emits(provider: Provider, target: str) -> Iterator[Emit]:
    if target in provider.endpoints:
        yield from provider.endpoints[target].emits
    elif target in provider.streams:
        for message in provider.streams[target].messages.values():
            yield from message.emits


def _path(rule: str | list[str] | FieldRule) -> str:
    if isinstance(rule, FieldRule):
        inner = rule.path if rule.path is not None else f"is {rule.fixed}" if rule.fixed is not None else ""
        path = _path(inner) if isinstance(inner, (str, list)) else ""
        return f"{rule.each}[{rule.take or 'first'}] {path}".strip() if rule.each is not None else path
    return rule if isinstance(rule, str) else " or ".join(rule)


def _moment(unix_ms: int) -> str:
    return dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _said(value: Value) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)
