"""Who is meant: tables that turn providers' ids, contracts, chain names and venue symbols into our entities."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from services.collector.map.symbols import Symbols
from services.collector.registry.model import Provider, SymbolStyle


class Identity(NamedTuple):
    """The curated tables, read once; nothing here guesses."""

    ids: Mapping[str, Mapping[str, str]]
    """Table (provider) -> provider's id -> asset id."""
    names: Mapping[str, Mapping[str, str]]
    """Table -> asset id -> provider's id."""
    assets: frozenset[str]
    contracts: Mapping[tuple[str, str], str]
    """(chain id, contract) -> asset id."""
    chains: Mapping[str, str]
    """Every spelling of a chain that is ours: chain id, CAIP-2 name, EVM chain id as text -> chain id."""
    symbols: Mapping[str, Mapping[str, str]]
    """Venue -> symbol in upper case -> asset id; venue `` holds what is the same on all venues."""
    spellings: Mapping[str, Mapping[str, str]]
    """Venue -> asset id -> symbol."""

    def asset_by_id(self, table: str, provider_id: str) -> str | None:
        """Asset of a provider's own id."""
        rows = self.ids.get(table)
        return None if rows is None else rows.get(provider_id)

    def asset_by_contract(self, chain: str, contract: str) -> str | None:
        """Asset that this contract is; a bridged or wrapped token is an asset of its own."""
        return self.contracts.get((chain, canonical_address(contract)))

    def symbols_of(self, provider: Provider, style: str = "default") -> Symbols:
        """Reader and writer of a provider's symbols."""
        shape = provider.symbols.get(style)
        if shape is None:
            shape = SymbolStyle()
        own, usual = self.symbols.get(provider.id, {}), self.symbols.get("", {})
        spelled, usually = self.spellings.get(provider.id, {}), self.spellings.get("", {})
        return Symbols(
            shape,
            lambda symbol: own.get(symbol) or (None if symbol in own else usual.get(symbol)),
            lambda asset: spelled.get(asset) or usually.get(asset),
        )


def canonical_address(address: str) -> str:
    """Addresses of EVM chains in lower case; others as they are, for their case has meaning."""
    stripped = address.strip()
    return stripped.lower() if stripped[:2] in ("0x", "0X") else stripped


_TRACKING = ("utm_", "fbclid", "gclid", "mc_cid", "mc_eid", "ref", "cmpid", "taid")


def story_key(url: str) -> str | None:
    """Hash of a story's address, the same for its http/https, www and tracking variants; None when it is no web address."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    host = parts.netloc.lower().removeprefix("www.").removesuffix(":443").removesuffix(":80")
    query = sorted((k, v) for k, v in parse_qsl(parts.query) if not k.lower().startswith(_TRACKING))
    canonical = f"{host}{parts.path.rstrip('/') or '/'}" + (f"?{urlencode(query)}" if query else "")
    return hashlib.blake2b(canonical.encode(), digest_size=10).hexdigest()


def build(
    assets: Mapping[str, Mapping[str, str]],
    contracts: Mapping[tuple[str, str], str],
    chains: Mapping[str, str],
    symbols: Mapping[str, Mapping[str, str]],
    spellings: Mapping[str, Mapping[str, str]],
    known: frozenset[str],
) -> Identity:
    """Identity from plain tables; `assets`: table -> provider's id -> asset id."""
    names: dict[str, dict[str, str]] = {}
    for table, rows in assets.items():
        reverse = names.setdefault(table, {})
        for provider_id, asset in rows.items():
            reverse.setdefault(asset, provider_id)
    return Identity(assets, names, known, contracts, chains, symbols, spellings)
