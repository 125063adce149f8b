"""Prices far off their peers on first sight: another asset of the same symbol, a contract with made-up liquidity. Pure.

A provider that is new to an entity is believed at once, unless its price is many times that of others who agree; then nothing
that it says of the entity counts until it has agreed for a while, or its peers have moved to it. Who has agreed is never doubted
again: a market that falls to a third at one venue is news, and left to fusion. Both are functions of the log alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from schemas.events import Source, Value

if TYPE_CHECKING:
    from services.aggregator.engine.emit import Claims, Set
    from services.aggregator.engine.view import Entity
    from services.aggregator.fusion import Observation

MINUTE_MS: Final = 60_000


class Bound(NamedTuple):
    """By which metric of a category a newcomer is judged, and how."""

    metric: str
    factor: float = 3.0
    """So many times the peers' price, or a part of it, is another thing's price: no two venues are so far apart for a minute."""
    near: float = 1.5
    """Within this factor two prices agree."""
    peers: int = 2
    """So many others must agree with each other before they can accuse anyone."""
    settle_ms: int = 5 * MINUTE_MS
    """Who agreed for so long belongs to them."""


BOUNDS: Final[dict[str, Bound]] = {
    "market": Bound("price"),
    "exchange": Bound("last"),
    "derivatives": Bound("mark_price"),
    "dex": Bound("dex_price"),
}
"""Category -> how newcomers are judged; in the others nothing says whether two speak of the same thing."""

WHY: Final = "quarantined"


def set_aside(entity: Entity, found: Claims, aside: Set, bound: Bound) -> None:
    """Move everything from `found` to `aside` that is said by providers in quarantine."""
    seen = found.get(bound.metric)
    if seen is None or len(seen) <= bound.peers:
        return
    if not far_apart([one.value for one in seen], bound.factor):
        return
    agreed, since_ms = entity.agreed, entity.as_of_ms - bound.settle_ms
    if agreed is not None and all(agreed.get(one.provider, entity.as_of_ms) <= since_ms for one in seen):
        return
    accused = {}
    for one in seen:
        if agreed is None or agreed.get(one.provider, entity.as_of_ms) > since_ms:
            why = _accusation(one, seen, entity, bound)
            if why is not None:
                accused[one.provider] = why
    if accused:
        _move(entity, found, aside, accused)


def far_apart(prices: Sequence[Value], factor: float) -> bool:
    """Whether any two prices are further apart than this; where none are, nobody is, from whatever price the others agree on."""
    try:
        return not 0.0 < max(prices) <= factor * min(prices)  # type: ignore[operator]
    except TypeError:
        return True


def settle(entity: Entity, found: Claims, aside: Set, bound: Bound) -> None:
    """Remember at the end of a window who agrees with the others, and since when."""
    told = [(one.provider, one.value) for one in found.get(bound.metric, ())]
    told += [(one.provider, one.value) for one in aside.get(bound.metric, ()) if (one.why or "").startswith(WHY)]
    prices = {provider: value for provider, value in told if isinstance(value, float) and value > 0.0}
    if len(prices) <= bound.peers:
        return
    if not far_apart(list(prices.values()), bound.near):
        # The common case: whoever is left out, the others agree with each other and with the one.
        agree(entity, prices)
        return
    agreed = entity.agreed if entity.agreed is not None else {}
    for provider, price in prices.items():
        others = agreed_price([value for name, value in prices.items() if name != provider], bound)
        if others is None:
            continue
        if others / bound.near <= price <= others * bound.near:
            agreed.setdefault(provider, entity.as_of_ms)
        elif entity.as_of_ms - agreed.get(provider, entity.as_of_ms) < bound.settle_ms:
            agreed.pop(provider, None)
    entity.agreed = agreed or None


def agree(entity: Entity, providers: Iterable[str]) -> None:
    """Remember that these agree with each other, from now on if not before."""
    agreed = entity.agreed or {}
    for provider in providers:
        agreed.setdefault(provider, entity.as_of_ms)
    entity.agreed = agreed


def agreed_price(prices: Sequence[float], bound: Bound) -> float | None:
    """The price on which enough of these agree, and most of them; None when there is none."""
    ordered = sorted(prices)
    if len(ordered) < bound.peers:
        return None
    middle = ordered[(len(ordered) - 1) // 2]
    near = sum(middle / bound.near <= price <= middle * bound.near for price in ordered)
    return middle if near >= bound.peers and 2 * near > len(ordered) else None


def _accusation(one: Observation, seen: Sequence[Observation], entity: Entity, bound: Bound) -> str | None:
    """Why a newcomer's price cannot be of the same thing; None when nobody can say so. Those who have agreed speak first."""
    price = one.value
    if not isinstance(price, float) or price <= 0.0:
        return None
    others = [
        other
        for other in seen
        if other.provider != one.provider and isinstance(other.value, float) and other.value > 0.0
    ]
    known = [float(other.value) for other in others if entity.agreed is not None and other.provider in entity.agreed]  # type: ignore[arg-type]
    heard = known if len(known) >= bound.peers else [float(other.value) for other in others]  # type: ignore[arg-type]
    level = agreed_price(heard, bound)
    if level is None or level / bound.factor <= price <= level * bound.factor:
        return None
    times = f"{price / level:.3g} times" if price > level else f"1/{level / price:.3g} of"
    return f"{WHY}: {bound.metric} is {times} what {len(heard)} others say, on first sight"


def _move(entity: Entity, found: Claims, aside: Set, accused: dict[str, str]) -> None:
    as_of_ms = entity.as_of_ms
    for metric in list(found):
        out = [one for one in found[metric] if one.provider in accused]
        if not out:
            continue
        kept = [one for one in found[metric] if one.provider not in accused]
        if kept:
            found[metric] = kept
        else:
            del found[metric]
        shown = aside.setdefault(metric, [])
        shown += [
            Source(
                provider=one.provider, value=one.value, age_ms=max(0, as_of_ms - one.ts_ms), why=accused[one.provider]
            )
            for one in out
        ]
