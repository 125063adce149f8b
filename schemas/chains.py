"""The chains, from chains.yaml: our id, the CAIP-2 name, and what providers call each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from msgspec import Struct

from schemas import tables

FILE = "chains.yaml"
EVM = "eip155:"


class Chain(Struct, frozen=True, kw_only=True):
    """One chain."""

    id: str
    name: str
    caip2: str
    native: str
    """Asset id of what pays for transactions."""
    block_time_s: float
    """Usual time between blocks."""
    aliases: dict[str, str]
    """Provider -> its name of the chain."""

    @property
    def evm_id(self) -> int | None:
        """EVM chain id; None for chains that are not EVM chains."""
        return int(self.caip2.removeprefix(EVM)) if self.caip2.startswith(EVM) else None


class _Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    caip2: str
    native: str
    block_time_s: float
    aliases: dict[str, str] = {}


class Chains(Mapping[str, Chain]):
    """Chains by our id, in the order of the file."""

    def __init__(self, chains: dict[str, Chain]) -> None:
        self._chains = chains
        self._evm = {chain.evm_id: chain.id for chain in chains.values() if chain.evm_id is not None}
        self._caip2 = {chain.caip2: chain.id for chain in chains.values()}
        self._named = {
            (provider, name.lower()): chain.id for chain in chains.values() for provider, name in chain.aliases.items()
        }

    def __getitem__(self, chain: str) -> Chain:
        return self._chains[chain]

    def __iter__(self) -> Iterator[str]:
        return iter(self._chains)

    def __len__(self) -> int:
        return len(self._chains)

    def resolve(self, name: str | int, provider: str | None = None) -> str | None:
        """Our id of a chain that a provider calls `name`: its own word, our id, a CAIP-2 name or an EVM chain id; else None."""
        if isinstance(name, int):
            return self._evm.get(name)
        own = self._named.get((provider, name.lower())) if provider else None
        if own is not None:
            return own
        if name.isdecimal():
            return self._evm.get(int(name))
        return name.lower() if name.lower() in self._chains else self._caip2.get(name)


def parse(text: str) -> Chains:
    """The chains that a text of chains.yaml holds; TableError lists every fault."""
    faults: list[str] = []
    table = tables.parse(FILE, text)
    chains = {
        id_: Chain(
            id=id_,
            name=row.name,
            caip2=row.caip2,
            native=row.native,
            block_time_s=row.block_time_s,
            aliases=row.aliases,
        )
        for id_, row in tables.rows("chains", table.get("chains", {}), _Row, faults).items()
    }
    owners: dict[tuple[str, str], str] = {}
    for chain in chains.values():
        if chain.block_time_s <= 0:
            faults.append(f"chains.{chain.id}: block_time_s: expected above 0, got {chain.block_time_s}")
        if chain.caip2.startswith(EVM) and not chain.caip2.removeprefix(EVM).isdecimal():
            faults.append(f"chains.{chain.id}: caip2: expected a number after {EVM}, got {chain.caip2!r}")
        names = [("caip2", chain.caip2), *((provider, name.lower()) for provider, name in chain.aliases.items())]
        for key in names:
            if key in owners:
                faults.append(f"chains.{chain.id}: {key[0]} name {key[1]!r} is taken by {owners[key]}")
            owners[key] = chain.id
    if faults:
        raise tables.TableError(FILE, faults)
    return Chains(chains)


@cache
def load() -> Chains:
    """The chains of this release; read once."""
    return parse(tables.read(FILE))
