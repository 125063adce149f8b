"""An entity in memory of which anybody can say anything, and its record by kernels and by the general way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.aggregator.engine import lessons, render
from services.aggregator.engine.names import Names
from services.aggregator.engine.store import Store
from services.aggregator.engine.view import Entity
from services.aggregator.fusion import Fuser
from tests.unit.aggregator.engine.logs import T0, rules

Kernels = dict[str, Callable[..., Any]]


class Stage:
    """A store, its names and its fuser; `kernels` are those that run, compiled or not."""

    def __init__(self, kernels: Kernels, category: str = "market") -> None:
        self.kernels = kernels
        self.rules = rules(category)
        self.store = Store(self.rules)
        self.names = Names(self.rules, self.store.tables)
        self.fuser = Fuser()
        self.store.link(self.fuser)
        self.paper = render.Paper(self.store, kernels["render_rows"], 1 << 18)

    def entity(self, key: str = "asset:coin", as_of_ms: int = T0) -> Entity:
        """The entity of this key, made when it is new; nothing newer than `as_of_ms` was received."""
        address = self.store.find(key.encode()) or self.store.entity(key.encode())
        entity = self.store.view(address)
        entity.version = 7
        entity.as_of_ms = as_of_ms
        return entity

    def say(
        self,
        entity: Entity,
        provider: str,
        metrics: dict[str, Any],
        ts_ms: int = T0,
        *,
        rate: float | None = 1.0,
        quote: str | None = "usd",
        endpoint: str = "tick",
        group: str | None = None,
        weight: float = 1.0,
        origin: str = "live",
    ) -> int:
        """Put a statement; the number of its source."""
        source = self.names.source((provider, endpoint, quote, group, weight, origin, tuple(metrics)))
        entity.put(source.number, ts_ms, 1, rate, tuple(metrics.values()))
        return source.number

    def told(self, *entities: Entity) -> list[render.Rendered | None]:
        """Records by kernels; None for those they refuse."""
        return self.paper.write([entity.address for entity in entities], self.fuser)

    def general(self, *entities: Entity) -> list[render.Rendered]:
        """Records by the general way."""
        addresses = [entity.address for entity in entities]
        return render.render_generally(addresses, self.store, self.names, self.rules, self.fuser)

    def teach(self, entity: Entity, received_ms: int) -> int:
        """Let the fuser learn by kernels: 1 where they refuse."""
        self.fuser.begin()
        self.store.refresh()
        return int(self.kernels["teach"](self.store.desk_at, entity.address, received_ms))

    def learn(self, entity: Entity, received_ms: int) -> None:
        """Let the fuser learn by the general way."""
        lessons.learn(self.store, self.names, self.rules, self.fuser, entity, received_ms)

    def state(self, entity: Entity) -> tuple[Any, ...]:
        """Everything that is learned, and who agrees."""
        lessons.collect(self.store, self.fuser)
        return self.fuser.dump(), entity.lessons, entity.agreed
