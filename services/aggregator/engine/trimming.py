"""What need not be kept of an entity: what is too old to be shown, and what the same endpoint said again, with more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.aggregator.compiled.kernels import KERNELS

if TYPE_CHECKING:
    from services.aggregator.engine.names import Names
    from services.aggregator.engine.view import Entity


def trim(entity: Entity, names: Names) -> None:
    """Drop statements that are too old to be shown, and those of which a newer one of the same endpoint says all."""
    store = entity.store
    words = store.words.get(entity.address)
    if not words:
        KERNELS.trim(store.desk_at, entity.address)
        return
    sources, agreed = names.sources, entity.agreed
    newest: dict[tuple[str, str, str | None, str], int] = {}
    for number, slot in sorted(entity.slots.items(), key=lambda row: (row[1][0], row[0]), reverse=True):
        source = sources[number]
        first = newest.setdefault((source.provider, source.endpoint, source.quote, source.origin), number)
        said_again = first != number and sources[first].shape.covers(source.shape)
        if said_again or entity.as_of_ms - slot[0] > source.shape.keep_ms:
            entity.remove(number)
    # Since when a provider agrees stays with what is left of it.
    entity.agreed = agreed
