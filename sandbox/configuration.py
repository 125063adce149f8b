"""Every setting of every service, from the rows of their settings classes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module

from services.common.settings import PREFIX, Row, rows

CLASSES = {
    "all services": "services.common.settings:CommonSettings",
    "collector": "services.collector.settings:CollectorSettings",
    "aggregator": "services.aggregator.settings:AggregatorSettings",
    "signals": "services.aggregator.settings:SignalsSettings",
    "gateway": "services.gateway.settings:GatewaySettings",
    "health": "services.health.settings:HealthSettings",
}
OUTSIDE = {
    "PARALLAX_TEST_KAFKA": "Tests use this Kafka instead of one of their own.",
    "PARALLAX_TEST_REDIS": "Tests use this Redis instead of one of their own.",
    "PARALLAX_TEST_ENGINE": "`embedded`: tests start servers from wheels even where a container engine runs.",
    "PARALLAX_RECORDINGS": "Folder of recorded answers for tests; default ../shared/recordings.",
}
"""Variables that no service reads."""


def tables() -> dict[str, list[Row]]:
    """Service -> its own settings; those of all services come first and are not repeated."""
    found: dict[str, list[Row]] = {}
    common: set[str] = set()
    for service, target in CLASSES.items():
        module, name = target.split(":")
        own = [row for row in rows(getattr(import_module(module), name)) if row.variable not in common]
        found[service] = own
        common = common or {row.variable for row in own}
    return found


def clashes() -> list[str]:
    """Variables that two services read with different meanings; one environment serves all of them."""
    meanings: dict[str, set[tuple[str, str]]] = {}
    for own in tables().values():
        for row in own:
            meanings.setdefault(row.variable, set()).add((row.type, row.sentence))
    return sorted(name for name, found in meanings.items() if len(found) > 1)


def strangers(environ: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """PARALLAX_* variables that nothing reads, each with the nearest name that something does ("" when none is near)."""
    known = sorted({row.variable for own in tables().values() for row in own} | set(OUTSIDE))
    found = []
    for name in sorted(os.environ if environ is None else environ):
        if name.startswith(PREFIX) and name not in known:
            words = [word.removeprefix(PREFIX) for word in known]
            near = get_close_matches(name.removeprefix(PREFIX), words, n=1, cutoff=0.6)
            found.append((name, PREFIX + near[0] if near else ""))
    return found
