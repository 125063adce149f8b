"""Which requests an endpoint needs so that everything wanted is asked: interests spelled for the provider, cut into batches. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import product
from typing import Final

from services.collector.map.identity import Identity
from services.collector.plan import Job, batches, period_ms
from services.collector.registry.model import Channel, Endpoint, Pages, Param, Provider

SINGLES_MAX: Final = 60
"""Requests that one endpoint without batches may need per round: more would only fill the queue of its budget."""


def jobs(
    provider: Provider, wanted: Collection[str], identity: Identity, cadence_s: Mapping[str, int]
) -> Iterator[Job]:
    """Jobs of every endpoint that is polled. `wanted` holds entities; `cadence_s` is by category."""
    for name, endpoint in provider.endpoints.items():
        if not endpoint.live:
            continue
        period = period_ms(endpoint.every_s, cadence_s[provider.home], endpoint.floor_s)
        for number, (params, batch) in enumerate(_questions(provider, endpoint, wanted, identity)):
            if batch and endpoint.batch is not None:
                key, values = f"{provider.id}|{name}|{number}", params
            else:
                key = "|".join((provider.id, name, *(f"{k}={v}" for k, v in sorted(params.items()))))
                values = params
            yield Job(
                key=key,
                provider=provider.id,
                endpoint=name,
                category=provider.home,
                period_ms=period,
                params=values,
                batch=batch,
            )


def spell(
    provider: Provider, params: Mapping[str, object], wanted: Collection[str], identity: Identity
) -> dict[str, tuple[str, ...]]:
    """For each parameter that stands for something of ours: every value to ask, in the provider's spelling."""
    return {
        name: _values(provider, param, wanted, identity)
        for name, param in params.items()
        if isinstance(param, Param) and (param.values or param.stands_for in _SPELL)
    }


def subscriptions(
    provider: Provider, channel: Channel, wanted: Collection[str], identity: Identity
) -> list[dict[str, tuple[str, ...]]]:
    """Parameter values of a channel, one dict for each connection; [{}] for a channel without any."""
    spelled = spell(provider, channel.params, wanted, identity)
    if not spelled:
        return [{}]
    name = max(spelled, key=lambda one: len(spelled[one]))
    rest = {other: values[:1] for other, values in spelled.items() if other != name}
    return [{name: part, **rest} for part in batches(spelled[name], channel.max)]


def _questions(
    provider: Provider, endpoint: Endpoint, wanted: Collection[str], identity: Identity
) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
    spelled = spell(provider, endpoint.params, wanted, identity)
    for name in [name for name, values in spelled.items() if not values]:
        param = endpoint.params[name]
        if isinstance(param, Param) and param.required and param.default is None:
            return  # nothing that is wanted can be asked here
        del spelled[name]
    many = endpoint.batch.param if endpoint.batch is not None and endpoint.batch.param in spelled else None
    groups = batches(spelled.pop(many), endpoint.batch.max) if many and endpoint.batch else [()]
    singles = [dict(zip(spelled, chosen, strict=True)) for chosen in product(*spelled.values())][:SINGLES_MAX]
    for single in singles:
        for group in groups:
            for page in _pages(endpoint.pages):
                yield {**single, **page}, group


def _pages(pages: Pages | None) -> list[dict[str, str]]:
    """Page parameters of each page to ask; a cursor is only known from an answer, so it starts with the first page alone."""
    if pages is None:
        return [{}]
    size = {pages.size_param: str(pages.size)} if pages.size_param and pages.size is not None else {}
    if pages.style == "cursor":
        return [size]
    step = (pages.size or 1) if pages.style == "offset" else 1
    return [{pages.param: str(pages.start + number * step), **size} for number in range(pages.max)]


def _values(provider: Provider, param: Param, wanted: Collection[str], identity: Identity) -> tuple[str, ...]:
    if param.values:
        return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in param.values)
    spelled = (_SPELL[param.stands_for](provider, param, entity, identity) for entity in sorted(wanted))
    found = tuple(dict.fromkeys(value for value in spelled if value is not None))
    match param.case:
        case "lower":
            return tuple(value.lower() for value in found)
        case "upper":
            return tuple(value.upper() for value in found)
        case _:
            return found


def _asset(provider: Provider, param: Param, entity: str, identity: Identity) -> str | None:
    kind, _, name = entity.partition(":")
    return identity.id_of(provider.ids or provider.id, name) if kind == "asset" else None


def _pair(provider: Provider, param: Param, entity: str, identity: Identity) -> str | None:
    kind, _, name = entity.partition(":")
    if kind not in ("pair", "perp"):
        return None
    base, _, quote = name.partition("/")
    return identity.symbols_of(provider, param.style).spell(base, quote)


def _base(provider: Provider, param: Param, entity: str, identity: Identity) -> str | None:
    kind, _, name = entity.partition(":")
    if kind not in ("asset", "pair", "perp"):
        return None
    return identity.symbols_of(provider, param.style).spell_asset(name.partition("/")[0])


def _chain(provider: Provider, param: Param, entity: str, identity: Identity) -> str | None:
    kind, _, name = entity.partition(":")
    return identity.chain_name(provider, name) if kind == "chain" else None


def _contract(provider: Provider, param: Param, entity: str, identity: Identity) -> str | None:
    kind, _, rest = entity.partition(":")
    chain, _, contract = rest.partition(":")
    return (
        contract
        if kind in ("token", "address") and (not provider.chains or chain in provider.chains.values())
        else None
    )


_SPELL = {
    "asset": _asset,
    "pair": _pair,
    "base": _base,
    "chain": _chain,
    "contract": _contract,
    "token": _contract,
    "address": _contract,
}
"""What a parameter stands for -> how an entity is spelled for it; what is not here is asked with `values` only, or on demand."""
