"""Which asset a client means: ids are unique, symbols are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

from msgspec import Struct

MAJORS = 100
"""The asset table begins with so many in the order of size: BTC means bitcoin, whatever else is called so."""


def nothing_seen(asset_id: str) -> bool:
    """No asset is reported."""
    return False


class Asset(Struct, frozen=True):
    """Identity of an asset: `id` is unique, `symbol` may be shared."""

    id: str
    symbol: str
    name: str
    kind: str = "coin"


class Ambiguous(Exception):
    """A symbol that several assets carry; `candidates` are their ids."""

    def __init__(self, symbol: str, candidates: list[str]) -> None:
        super().__init__(f"{symbol} means any of {', '.join(candidates)}")
        self.symbol = symbol
        self.candidates = candidates


class Unknown(Exception):
    """A name that no asset carries; `near` are ids that look like it."""

    def __init__(self, name: str, near: list[str]) -> None:
        super().__init__(f"no asset is called {name}")
        self.name = name
        self.near = near


class Index:
    """Assets by id and by symbol, symbols without regard to case."""

    def __init__(self, assets: Iterable[Asset]) -> None:
        self._by_id = {asset.id: asset for asset in assets}
        self._places = {asset_id: place for place, asset_id in enumerate(self._by_id)}
        self._by_symbol: dict[str, list[str]] = {}
        for asset in self._by_id.values():
            self._by_symbol.setdefault(asset.symbol.upper(), []).append(asset.id)

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, asset_id: str) -> Asset | None:
        """The asset of that id."""
        return self._by_id.get(asset_id)

    def place(self, asset_id: str) -> int:
        """Place in the table, which begins with the largest; after all of them for an unknown asset."""
        return self._places.get(asset_id, len(self._places))

    def of_symbol(self, symbol: str, seen: Callable[[str], bool] = nothing_seen) -> str:
        """Id of the asset with that symbol; Ambiguous or Unknown otherwise.

        Of several, the only one among the MAJORS is meant, else the only one that `seen` says is reported at all.
        """
        found = self._by_symbol.get(symbol.upper(), [])
        if not found:
            raise Unknown(symbol, self.near(symbol))
        majors = [asset_id for asset_id in found if self._places[asset_id] < MAJORS]
        for meant in (found, majors, [asset_id for asset_id in found if seen(asset_id)]):
            if len(meant) == 1:
                return meant[0]
        raise Ambiguous(symbol, sorted(found))

    def resolve(self, name: str, seen: Callable[[str], bool] = nothing_seen) -> str:
        """Id of the asset called so, by id first, then by symbol; Ambiguous or Unknown otherwise."""
        return name if name in self._by_id else self.of_symbol(name, seen)

    def near(self, name: str) -> list[str]:
        """Up to three ids that look like `name`."""
        return get_close_matches(name.lower(), self._by_id, n=3, cutoff=0.7)
