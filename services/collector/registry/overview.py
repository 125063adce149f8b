"""A definition in one row, as listings show it."""

from __future__ import annotations

from typing import Any

from services.collector.registry.lint import emits_of
from services.collector.registry.load import Loaded


def summary(loaded: Loaded) -> dict[str, Any]:
    """One definition as a row."""
    one = loaded.provider
    categories = sorted({emit.category or one.home for _, emit in emits_of(one)} | {one.home})
    return {
        "id": one.id,
        "name": one.name,
        "home": one.home,
        "categories": categories,
        "status": one.status,
        "key": one.auth.kind != "none" and not one.auth.optional,
        "endpoints": sorted(one.endpoints),
        "streams": sorted(one.streams),
        "group": one.group or one.id,
        "verified": one.verified,
        "homepage": one.homepage,
        "docs": one.docs,
        "registry": loaded.hash,
    }
