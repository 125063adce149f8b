"""The end of entities: forgotten for good, or begun anew after nobody spoke of them for long."""

from __future__ import annotations

from services.aggregator.compiled.memory import integers
from services.aggregator.kernels.blocks import free_parts, release
from services.aggregator.kernels.index import blank_entity, take_entity
from services.aggregator.kernels.layout import E_FLAGS, E_KEY, ENTITY, F_CHANGED, F_DIRTY


def reset_entity(desk: int, entity: int) -> int:
    """Forget all that was said of an entity; its address and its key stay, and its place among what waits to be sent or saved."""
    e = integers(entity, ENTITY)
    waits = e[E_FLAGS] & (F_DIRTY | F_CHANGED)
    free_parts(desk, entity)
    blank_entity(entity)
    e[E_FLAGS] = waits
    return 0


def drop_entity(desk: int, entity: int) -> int:
    """Forget an entity, its key and its address."""
    take_entity(desk, entity)
    free_parts(desk, entity)
    release(desk, entity, ENTITY + ((integers(entity, ENTITY)[E_KEY] + 7) >> 3))
    return 0
