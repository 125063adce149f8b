"""Units as providers write them, and the factor that turns each into the catalogue's."""

from __future__ import annotations

import difflib
from typing import NamedTuple

from services.common.errors import DefinitionError


class Unit(NamedTuple):
    """A unit: `factor` of it make one of its dimension's own unit."""

    dimension: str
    factor: float


HOURS_PER_YEAR = 8760.0
DUST = 1e-14
"""Two factors closer than this are one that was rounded twice."""
_PERIODS = {"hour": 1.0, "4h": 4.0, "8h": 8.0, "day": 24.0, "week": 168.0, "year": HOURS_PER_YEAR}
_SHARES = {"fraction": 1.0, "percent": 0.01, "pct": 0.01, "bps": 0.0001}
_BITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21}

UNITS: dict[str, Unit] = {
    **{share: Unit("share", factor) for share, factor in _SHARES.items()},
    **{
        f"{share}_per_{period}": Unit("rate", factor / hours)
        for share, factor in _SHARES.items()
        for period, hours in _PERIODS.items()
    },
    "wei": Unit("gas", 1e-9),
    "gwei": Unit("gas", 1.0),
    "ether": Unit("gas", 1e9),
    "sat_per_vb": Unit("fee_rate", 1.0),
    "sat_per_kvb": Unit("fee_rate", 1e-3),
    "btc_per_kvb": Unit("fee_rate", 1e5),
    "sat": Unit("native", 1e-8),
    "lamports": Unit("native", 1e-9),
    "native": Unit("native", 1.0),
    **{f"{prefix}hs": Unit("hash_rate", factor) for prefix, factor in _BITS.items()},
    "hashes_per_s": Unit("hash_rate", 1.0),
    "ns": Unit("span", 1e-9),
    "us": Unit("span", 1e-6),
    "ms": Unit("span", 1e-3),
    "s": Unit("span", 1.0),
    "seconds": Unit("span", 1.0),
    "min": Unit("span", 60.0),
    "h": Unit("span", 3600.0),
    "hours": Unit("span", 3600.0),
    "d": Unit("span", 86_400.0),
    "bytes": Unit("size", 1.0),
    "kb": Unit("size", 1e3),
    "mb": Unit("size", 1e6),
    "gb": Unit("size", 1e9),
    "vbytes": Unit("vsize", 1.0),
    "mvbytes": Unit("vsize", 1e6),
    "weight_units": Unit("vsize", 0.25),
    "gas_per_s": Unit("gas_rate", 1.0),
    "mgas_per_s": Unit("gas_rate", 1.0),
    "per_s": Unit("frequency", 1.0),
    "per_min": Unit("frequency", 1 / 60),
    "per_h": Unit("frequency", 1 / 3600),
    "per_d": Unit("frequency", 1 / 86_400),
}
PLAIN: dict[str, float] = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "cents": 0.01}
"""Factors that any quantity may be written with."""


def factor(stated: str | None, ours: str, where: str = "unit") -> float:
    """What a number in unit `stated` is multiplied with to be in the catalogue's unit `ours`."""
    if stated is None or stated == ours:
        return 1.0
    if stated in PLAIN:
        return PLAIN[stated]
    if stated not in UNITS:
        known = ", ".join(sorted((*UNITS, *PLAIN)))
        near = difflib.get_close_matches(stated, (*UNITS, *PLAIN), 1, 0.5)
        raise DefinitionError(
            where=where,
            expected=f"one of {known}",
            got=repr(stated),
            do=f"did you mean {near[0]!r}?" if near else "see the table of units in docs/providers/format.md",
        )
    if ours not in UNITS or UNITS[ours].dimension != UNITS[stated].dimension:
        raise DefinitionError(
            where=where,
            expected=f"a unit that can become {ours!r}",
            got=repr(stated),
            do="choose the metric that has this dimension",
        )
    source, target = UNITS[stated].factor, UNITS[ours].factor
    return _quotient(source, target)


def _quotient(source: float, target: float) -> float:
    """source / target without the dust of two rounded constants (0.01 / 0.0001 is 100, ms / h one part of 3,600,000)."""
    value = source / target
    parts = round(target / source)
    if parts > 1 and abs(parts * value - 1.0) <= DUST:
        return 1.0 / parts
    short = float(f"{value:.12g}")
    return short if abs(short - value) <= abs(value) * DUST else value
