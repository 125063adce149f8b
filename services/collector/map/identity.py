"""Who is meant: tables that turn providers' ids, contracts, chain names and venue symbols into our entities."""

from __future__ import annotations

from functools import cache
from string import hexdigits
from typing import NamedTuple

from schemas import assets, chains, venues
from schemas.assets import SLUGS, Assets
from schemas.chains import Chains
from schemas.venues import Venues
from services.collector.map.symbols import Symbols
from services.collector.registry.model import Provider


class Identity(NamedTuple):
    """The curated tables, read once; nothing here guesses."""

    assets: Assets
    chains: Chains
    venues: Venues

    def asset_by_id(self, table: str, provider_id: str) -> str | None:
        """Asset of a provider's own id."""
        return self.assets.by_id(table, provider_id)

    def asset_by_contract(self, chain: str, contract: str) -> str | None:
        """Asset that this contract is; a bridged or wrapped token is an asset of its own."""
        return self.assets.by_contract(chain, contract)

    def id_of(self, table: str, asset: str) -> str | None:
        """A provider's id of an asset, to ask for it."""
        if table == SLUGS:
            return asset if self.assets.by_id(SLUGS, asset) is not None else None
        row = self.assets.get(asset)
        return None if row is None else row.ids.get(table)

    def chain_name(self, provider: Provider, chain: str) -> str | None:
        """A provider's name of a chain, to ask for it."""
        own = next((name for name, known in provider.chains.items() if known == chain), None)
        row = self.chains.get(chain)
        return own or (row.aliases.get(provider.id, chain) if row is not None else None)

    def symbols_of(self, provider: Provider, style: str = "default") -> Symbols:
        """Reader and writer of a provider's symbols in one of its styles; without a style, in the venue's own formats."""
        return Symbols(provider.symbols.get(style), self.venues.find(provider.symbols_of or provider.id))


def canonical_address(address: str) -> str:
    """Addresses of EVM chains in lower case; others as they are, for their case has meaning."""
    stripped = address.strip()
    return stripped.lower() if stripped[:2] in ("0x", "0X") else stripped


HASH_DIGITS = 64


def canonical_hash(spelled: str, evm: bool) -> str:
    """Hash of a transaction as all watchers spell it: hexadecimal ones in lower case, on EVM chains with 0x before them."""
    stripped = spelled.strip()
    digits = stripped[2:] if stripped[:2] in ("0x", "0X") else stripped
    if len(digits) != HASH_DIGITS or not all(c in hexdigits for c in digits):
        return canonical_address(stripped)
    return ("0x" if evm or digits != stripped else "") + digits.lower()


@cache
def load() -> Identity:
    """The tables of this release; read once, and only by who asks."""
    return Identity(assets.load(), chains.load(), venues.load())
