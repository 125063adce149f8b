"""The assets, from assets.yaml: who is who, under every provider's own id and at every contract."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Literal

from msgspec import Struct

from schemas import chains, tables

FILE = "assets.yaml"
SLUGS = "coingecko"
"""Provider whose ids (slugs) are our ids, so it has no column in the table."""

Kind = Literal["coin", "token", "stablecoin", "wrapped", "bridged", "fiat", "commodity"]

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
_EVM_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_WITHOUT_SLUG = ("fiat", "commodity")


class Asset(Struct, frozen=True, kw_only=True):
    """One asset."""

    id: str
    symbol: str
    """Upper case; several assets share one."""
    name: str
    kind: Kind
    peg: str | None
    """What a stablecoin is held to."""
    of: str | None
    """What a wrapped or bridged asset stands for, or a token of metal."""
    quote: bool
    """Whether prices are stated in it."""
    ids: dict[str, str]
    """Provider -> the provider's id."""
    contracts: dict[str, str]
    """Chain id -> address."""


class _Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    symbol: str
    name: str
    kind: Kind
    peg: str | None = None
    of: str | None = None
    quote: bool = False
    ids: dict[str, str] = {}
    contracts: dict[str, str] = {}


class Assets(Mapping[str, Asset]):
    """Assets by our id, in the order of the file."""

    def __init__(self, assets: dict[str, Asset]) -> None:
        self._assets = assets
        self._ids = {(provider, id_): asset.id for asset in assets.values() for provider, id_ in asset.ids.items()}
        self._contracts = {
            (chain, address_key(address)): asset.id
            for asset in assets.values()
            for chain, address in asset.contracts.items()
        }
        shared: defaultdict[str, list[str]] = defaultdict(list)
        for asset in assets.values():
            shared[asset.symbol].append(asset.id)
        self.by_symbol: dict[str, tuple[str, ...]] = {symbol: tuple(ids) for symbol, ids in shared.items()}
        """Symbol -> every asset that has it. For people who search; never an identity."""

    def __getitem__(self, asset: str) -> Asset:
        return self._assets[asset]

    def __iter__(self) -> Iterator[str]:
        return iter(self._assets)

    def __len__(self) -> int:
        return len(self._assets)

    def by_id(self, provider: str, id_: str | int) -> str | None:
        """Our id of what a provider calls `id_`; None when the table does not know it.

        CoinGecko's ids are ours, so any of them is known, listed or not."""
        text = str(id_)
        if provider == SLUGS:
            known = self._assets.get(text)
            taken = known is not None and known.kind in _WITHOUT_SLUG
            return None if taken or not _ID.fullmatch(text) else text
        return self._ids.get((provider, text))

    def by_contract(self, chain: str, address: str) -> str | None:
        """Our id of the asset whose contract on a chain (our id) this is; None when the table does not know it."""
        return self._contracts.get((chain, address_key(address)))


def address_key(address: str) -> str:
    """An address as it is compared: hexadecimal without case, everything else as written."""
    return address.lower() if address[:2] in ("0x", "0X") else address


def parse(text: str) -> Assets:
    """The assets that a text of assets.yaml holds; TableError lists every fault."""
    faults: list[str] = []
    table = tables.parse(FILE, text)
    assets = {
        id_: Asset(
            id=id_,
            symbol=row.symbol,
            name=row.name,
            kind=row.kind,
            peg=row.peg,
            of=row.of,
            quote=row.quote,
            ids=row.ids,
            contracts=row.contracts,
        )
        for id_, row in tables.rows("assets", table.get("assets", {}), _Row, faults).items()
    }
    known_chains = chains.load()
    owners: dict[tuple[str, str], str] = {}
    for asset in assets.values():
        where = f"assets.{asset.id}"
        faults += [f"{where}: {fault}" for fault in _faults(asset, assets)]
        for chain, address in asset.contracts.items():
            if chain not in known_chains:
                faults.append(f"{where}: contracts: expected a chain of {chains.FILE}, got {chain!r}")
            elif (
                known_chains[chain].evm_id is not None
                and address.startswith("0x")
                and not _EVM_ADDRESS.fullmatch(address)
            ):
                faults.append(f"{where}: contracts.{chain}: expected 0x and 40 digits in lower case, got {address!r}")
        for key in (*(asset.ids.items()), *((f"contract on {c}", address_key(a)) for c, a in asset.contracts.items())):
            if key in owners:
                faults.append(f"{where}: {key[0]} {key[1]!r} is taken by {owners[key]}")
            owners[key] = asset.id
    faults += [
        f"{chains.FILE}: {chain.id}: native: expected an asset of {FILE}, got {chain.native!r}"
        for chain in known_chains.values()
        if chain.native not in assets
    ]
    if faults:
        raise tables.TableError(FILE, faults)
    return Assets(assets)


@cache
def load() -> Assets:
    """The assets of this release; read once."""
    return parse(tables.read(FILE))


def _faults(asset: Asset, assets: Mapping[str, Asset]) -> list[str]:
    found = []
    if not _ID.fullmatch(asset.id):
        found.append("expected an id of lower case letters, digits, dots, dashes and underscores")
    if asset.symbol != asset.symbol.upper() or not asset.symbol:
        found.append(f"symbol: expected upper case, got {asset.symbol!r}")
    if asset.kind == "stablecoin" and asset.peg is None:
        found.append("peg: expected what this stablecoin is held to")
    if asset.kind != "stablecoin" and asset.peg is not None:
        found.append(f"peg: expected none for a {asset.kind}")
    if asset.kind in ("wrapped", "bridged") and asset.of is None:
        found.append(f"of: expected the asset that this {asset.kind} one stands for")
    if asset.kind in ("coin", "token", "fiat") and asset.of is not None:
        found.append(f"of: expected none for a {asset.kind}")
    for field, other in (("peg", asset.peg), ("of", asset.of)):
        if other is not None and (other not in assets or other == asset.id):
            found.append(f"{field}: expected another asset of {FILE}, got {other!r}")
    if SLUGS in asset.ids:
        found.append("ids.coingecko: the key is CoinGecko's id; delete it")
    return found
