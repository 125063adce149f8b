"""What anybody may say of an entity: the same statements for kernels and for the general way."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from services.aggregator.engine.view import Entity
from tests.unit.aggregator.engine.logs import T0
from tests.unit.aggregator.kernels.stage import Stage

PROVIDERS = ("aqua", "blue", "cyan", "dark", "ecru", "fawn", "gold", 'odd "name"\n')
SHAPES = (
    ("price",),
    ("price", "volume_24h", "change_24h_pct"),
    ("change_24h_pct", "price"),
    ("market_cap", "price"),
    ("circulating_supply",),
    ("market_rank", "price"),
)
KEYS = (
    "asset:coin",
    "asset:bitcoin",
    "asset:usd-coin",
    "pair:coin/usd",
    "pair:coin/euro:linear",
    'token:"\u00e9\x1f\\',
)
LEVELS = {
    "price": 100.0,
    "volume_24h": 5e6,
    "change_24h_pct": -1.5,
    "market_cap": 1e9,
    "circulating_supply": 1e7,
    "market_rank": 5.0,
}


class Said(NamedTuple):
    """One statement: who, which metrics and values, how long ago, how far it is converted, from which quote."""

    provider: str
    values: dict[str, float]
    age_ms: int
    rate: float | None
    quote: str | None
    endpoint: str
    group: str | None
    weight: float
    origin: str


def value_of(metric: str) -> st.SearchStrategy[float]:
    """Mostly near the others, sometimes equal to them, far off, or nothing."""
    level = LEVELS[metric]
    near = st.floats(-3e-3, 3e-3).map(lambda off: level * (1.0 + off))
    odd = st.sampled_from((0.0, 10.0, 1.02, 0.1, 1.6, 1e-12, 1e-30)).map(lambda factor: level * factor)
    return st.one_of(near, near, near, st.just(level), odd)


@st.composite
def said(draw: st.DrawFn) -> Said:
    """One statement."""
    shape = draw(st.sampled_from(SHAPES))
    rate, quote = draw(
        st.sampled_from(
            (
                *((1.0, "usd"),) * 6,
                (0.999, "tether"),
                (None, "tether"),
                (1.1, "euro"),
                (None, None),
                (None, "unheard-of"),
            )
        )
    )
    return Said(
        draw(st.sampled_from(PROVIDERS)),
        {metric: draw(value_of(metric)) for metric in shape},
        draw(st.one_of(st.integers(-5000, 20_000), st.integers(0, 20).map(lambda n: 1000 * n), st.just(300_001))),
        rate,
        quote,
        draw(st.sampled_from(("tick", "full"))),
        draw(st.sampled_from((None, None, None, "house"))),
        draw(st.sampled_from((1.0, 1.0, 0.8))),
        draw(st.sampled_from(("live", "live", "replay"))),
    )


def scenes(most: int = 12) -> st.SearchStrategy[list[Said]]:
    """What is said of one entity; of two statements of one source the later counts."""
    return st.lists(said(), min_size=1, max_size=most)


def play(stage: Stage, scene: list[Said], key: str = "asset:coin", as_of_ms: int = T0) -> Entity:
    """The entity of which all this is said."""
    entity = stage.entity(key, as_of_ms)
    for one in scene:
        stage.say(
            entity, one.provider, one.values, as_of_ms - one.age_ms, rate=one.rate, quote=one.quote,
            endpoint=one.endpoint, group=one.group, weight=one.weight, origin=one.origin,
        )  # fmt: skip
    return entity


def plain(count: int, **fields: Any) -> list[Said]:
    """So many providers of one price each, which agree."""
    usual = {
        "age_ms": 0, "rate": 1.0, "quote": "usd", "endpoint": "tick", "group": None, "weight": 1.0, "origin": "live",
    }  # fmt: skip
    return [Said(f"p{n:03}", {"price": 100.0 + 0.001 * n}, **{**usual, **fields}) for n in range(count)]
