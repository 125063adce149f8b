"""Which requests an endpoint needs so that everything wanted is asked: interests spelled for the provider, cut into batches. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import product
from typing import Final

from services.collector.listing import Listing
from services.collector.map.identity import Identity
from services.collector.plan import Job, batches, period_ms
from services.collector.registry.model import Channel, Endpoint, Pages, Param, Provider

CRYPTO: Final = frozenset({"coin", "token", "stablecoin", "wrapped", "bridged"})
PAIRED: Final = 20
"""So many of the first assets are asked for as pairs by default; others join by demand."""
QUOTES: Final = ("tether", "usd", "usd-coin", "euro")
"""Quote sides that venues list most; what a venue does not list is learnt and left out (listing.py)."""
Say = Callable[[str, str], str | None]
"""(kind, name) of an entity -> the provider's spelling."""
SINGLES_MAX: Final = 100
"""Requests that one endpoint without batches may need per round: more would only fill the queue of its budget."""


def jobs(
    provider: Provider,
    wanted: Collection[str],
    identity: Identity,
    cadence_s: Mapping[str, int],
    listing: Listing,
    now_ms: int,
) -> Iterator[Job]:
    """Jobs of every endpoint that is polled. `wanted` holds entities; `cadence_s` is by category."""
    for name, endpoint in provider.endpoints.items():
        if not endpoint.live:
            continue
        period = period_ms(endpoint.every_s, cadence_s[provider.home], endpoint.floor_s)
        spelled = {
            param: listing.known(provider.id, values, now_ms)
            for param, values in spell(provider, endpoint.params, wanted, identity).items()
        }
        for number, (params, batch) in enumerate(_questions(endpoint, spelled)):
            if not batch and not listing.known(provider.id, [combination(endpoint.params, params)], now_ms):
                continue
            words = [f"{param}={value}" for param, value in sorted(params.items())]
            key = "|".join((provider.id, name, *([str(number)] if batch else words)))
            yield Job(
                key=key,
                provider=provider.id,
                endpoint=name,
                category=provider.home,
                period_ms=period,
                params=params,
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
    provider: Provider,
    channel: Channel,
    wanted: Collection[str],
    identity: Identity,
    listing: Listing,
    now_ms: int,
) -> list[dict[str, tuple[str, ...]]]:
    """Parameter values of a channel, one dict for each connection; [{}] for a channel without any, [] when nothing fits."""
    spelled = {
        name: listing.known(provider.id, values, now_ms)
        for name, values in spell(provider, channel.params, wanted, identity).items()
    }
    fixed: dict[str, tuple[str, ...]] = {
        name: (str(value),) for name, value in channel.params.items() if not isinstance(value, Param)
    }
    fixed |= {
        name: (str(value.default),)
        for name, value in channel.params.items()
        if isinstance(value, Param) and name not in spelled and value.default is not None
    }
    if not spelled:
        return [fixed]
    name = max(spelled, key=lambda one: len(spelled[one]))
    rest = {other: values[:1] for other, values in spelled.items() if other != name}
    return [{**fixed, **rest, name: part} for part in batches(spelled[name], channel.max)]


def base_interests(identity: Identity, count: int) -> frozenset[str]:
    """What is always wanted: the first `count` assets of the table, their usual pairs, every chain, the whole market."""
    crypto = [name for name, row in identity.assets.items() if row.kind in CRYPTO][:count]
    majors = [name for name in crypto if identity.assets[name].kind != "stablecoin"][:PAIRED]
    pairs = {f"{kind}:{base}/{quote}" for base in majors for quote in QUOTES for kind in ("pair", "perp")}
    return frozenset({f"asset:{name}" for name in crypto} | pairs | {f"chain:{name}" for name in identity.chains})


def named(params: Mapping[str, object]) -> list[str]:
    """Parameters that stand for something of ours and have no value of their own."""
    return [
        name
        for name, param in params.items()
        if isinstance(param, Param) and param.stands_for in _SPELL and not param.values and param.required
    ]


def combination(params: Mapping[str, object], values: Mapping[str, str | tuple[str, ...]]) -> str:
    """The named values of one question together, as what a provider may not list: XBT with USDT, though it has both."""
    found = (values.get(name) for name in named(params))
    return "|".join(value for value in found if isinstance(value, str))


def kinds(params: Mapping[str, object]) -> list[str]:
    """What the named parameters stand for, once each."""
    found = (params[name] for name in named(params))
    return sorted({param.stands_for for param in found if isinstance(param, Param)})


def _questions(
    endpoint: Endpoint, spelled: dict[str, tuple[str, ...]]
) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
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
    say = _SPELL[param.stands_for](provider, param, identity)
    spelled = (say(*_parts(entity)) for entity in sorted(wanted))
    found = tuple(dict.fromkeys(value for value in spelled if value is not None))
    match param.case:
        case "lower":
            return tuple(value.lower() for value in found)
        case "upper":
            return tuple(value.upper() for value in found)
        case _:
            return found


def _parts(entity: str) -> tuple[str, str]:
    kind, _, name = entity.partition(":")
    return kind, name


def _asset(provider: Provider, param: Param, identity: Identity) -> Say:
    table = provider.ids or provider.id
    return lambda kind, name: identity.id_of(table, name) if kind == "asset" else None


def _pair(provider: Provider, param: Param, identity: Identity) -> Say:
    symbols = identity.symbols_of(provider, param.style)

    def say(kind: str, name: str) -> str | None:
        if kind not in ("pair", "perp"):
            return None
        base, _, quote = name.partition("/")
        return symbols.spell(base, quote)

    return say


def _base(provider: Provider, param: Param, identity: Identity) -> Say:
    symbols = identity.symbols_of(provider, param.style)
    sided = ("asset", "pair", "perp")
    return lambda kind, name: symbols.spell_asset(name.partition("/")[0]) if kind in sided else None


def _quote(provider: Provider, param: Param, identity: Identity) -> Say:
    symbols = identity.symbols_of(provider, param.style)
    sided = ("pair", "perp")
    return lambda kind, name: symbols.spell_asset(name.partition("/")[2]) if kind in sided else None


def _chain(provider: Provider, param: Param, identity: Identity) -> Say:
    return lambda kind, name: identity.chain_name(provider, name) if kind == "chain" else None


def _contract(provider: Provider, param: Param, identity: Identity) -> Say:
    chains = frozenset(provider.chains.values())

    def say(kind: str, name: str) -> str | None:
        chain, _, contract = name.partition(":")
        return contract if kind in ("token", "address") and (not chains or chain in chains) else None

    return say


_SPELL = {
    "asset": _asset,
    "pair": _pair,
    "base": _base,
    "quote": _quote,
    "chain": _chain,
    "contract": _contract,
    "token": _contract,
    "address": _contract,
}
"""What a parameter stands for -> who spells entities for it; what is not here is asked with `values` only, or on demand."""
