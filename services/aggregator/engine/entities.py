"""The entities of a partition by key, as Python sees them: views of what lies in its memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.aggregator.engine.store import Store
    from services.aggregator.engine.view import Entity


class Entities(Mapping[bytes, "Entity"]):
    """Key -> view; the order of iteration is none."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getitem__(self, key: bytes) -> Entity:
        address = self._store.find(key)
        if not address:
            raise KeyError(key)
        return self._store.view(address)

    def __iter__(self) -> Iterator[bytes]:
        return map(self._store.key, self._store.addresses())

    def __len__(self) -> int:
        return len(self._store)
