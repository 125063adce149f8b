"""The limits of a definition as buckets of one endpoint, and header readings as what they say of those buckets. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from services.collector.admit import buckets
from services.collector.admit.buckets import Bucket
from services.collector.admit.dialects import Reading
from services.collector.registry.model import Limit, Provider


def rows(provider: Provider, endpoint: str, egress: str, keyed: bool) -> tuple[Bucket, ...]:
    """Buckets that a call of `endpoint` draws on, shortest window first; `egress` names the address that we call from."""
    if provider.limits == "unknown":
        key = f"{provider.id}:{egress}:unknown"
        return (buckets.bucket(key, buckets.UNKNOWN_PER_MINUTE, "minute", _dearest(provider, ())),)
    found = [
        _bucket(provider, endpoint, limit, egress, keyed)
        for limit in provider.limits
        if not limit.endpoints or endpoint in limit.endpoints
    ]
    return tuple(sorted(found, key=lambda row: row.window_ms))


def remaining(readings: Sequence[Reading], own: Sequence[Bucket]) -> list[tuple[Bucket, float]]:
    """For each reading the bucket that it is about and what is left of it; a reading that fits none is left out."""
    found = []
    for reading in readings:
        row = _about(reading, own)
        if row is None:
            continue
        if reading.remaining is not None:
            found.append((row, reading.remaining))
        elif reading.used is not None:
            found.append((row, max(0.0, (reading.limit or row.limit) - reading.used)))
    return found


def _about(reading: Reading, own: Sequence[Bucket]) -> Bucket | None:
    if reading.window is None:
        return own[0] if own else None
    return next((row for row in own if row.window_ms == buckets.WINDOWS_MS[reading.window]), None)


def _bucket(provider: Provider, endpoint: str, limit: Limit, egress: str, keyed: bool) -> Bucket:
    match limit.scope:
        case "ip":
            holder = egress
        case "key":
            holder = provider.auth.secret or "key" if keyed else egress
        case "endpoint":
            holder = f"{egress}:{endpoint}"
    group = "+".join(sorted(limit.endpoints))
    name = f"{provider.id}:{holder}:{limit.n:g}/{limit.every}{limit.window}" + (f":{group}" if group else "")
    names = (endpoint,) if limit.scope == "endpoint" else tuple(limit.endpoints)
    return buckets.bucket(name, limit.n, limit.window, _dearest(provider, names), limit.every)


def _dearest(provider: Provider, names: Sequence[str]) -> float:
    drawing = [one.cost for name, one in provider.endpoints.items() if not names or name in names]
    return max(drawing, default=1.0)
