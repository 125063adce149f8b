"""Who can answer what: metrics, and the providers that name an asset and state them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from services.collector.map.identity import Identity
from services.collector.registry.lint import emits_of
from services.collector.registry.mapping import EntityRule
from services.collector.registry.model import Provider

USABLE = ("live", "key-required")


def coverage(providers: Iterable[Provider], tables: Identity, asset: str | None) -> dict[str, list[str]]:
    """Metric -> providers that can state it, of this asset (None: of anything), most sources first."""
    found: dict[str, set[str]] = {}
    for provider in providers:
        if provider.status not in USABLE:
            continue
        for _, emit in emits_of(provider):
            if asset is None or _names(provider, emit.entity, tables, asset):
                for metric in emit.fields:
                    found.setdefault(metric, set()).add(provider.id)
    return {metric: sorted(found[metric]) for metric in sorted(found, key=lambda metric: (-len(found[metric]), metric))}


def _names(provider: Provider, rule: EntityRule, tables: Identity, asset: str) -> bool:
    """Whether this rule can be about the asset: its own entity, the base of a market, or the chain whose coin it is."""
    if rule.kind == "chain":
        return any(tables.chains[chain].native == asset for chain in _chains(provider, rule, tables))
    if rule.kind not in ("asset", "pair", "perp", "token"):
        return False
    if rule.fixed is not None:
        return rule.fixed.split("/")[0] == asset
    if rule.id is not None and rule.kind == "asset":
        return tables.id_of(rule.table or provider.ids or provider.id, asset) is not None
    if rule.contract is not None:
        row = tables.assets.get(asset)
        contracts = row.contracts if row is not None else {}
        return rule.chain_is in contracts if rule.chain_is is not None else bool(contracts)
    return tables.symbols_of(provider, rule.style).spell_asset(asset) is not None


def _chains(provider: Provider, rule: EntityRule, tables: Identity) -> list[str]:
    """Chains that a rule can be about: the one it names, or those that the provider has a name for."""
    if rule.chain_is is not None:
        return [rule.chain_is]
    own = set(provider.chains.values())
    return [name for name, chain in tables.chains.items() if name in own or provider.id in chain.aliases]
