"""What goes into the fuser and what comes out: observations, the metric's specification, the answer."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from schemas.events import Value


class Observation(NamedTuple):
    """What one provider says now; `ts_ms` is its own time, or ours of receipt when it gives none."""

    provider: str
    group: str
    """Independence group; the provider itself when it has none."""
    value: Value
    ts_ms: int
    weight: float = 1.0
    """Static prior, 0..1, from the provider's definition."""


class Spec(Protocol):
    """The rows of the metric catalogue as the fuser reads them (`schemas.metrics`)."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def scale(self) -> str:
        """rel, abs, cat, set or text: what an error is."""

    @property
    def tolerance(self) -> float:
        """Largest harmless error: of the logarithm for rel, in the unit for abs, of 1 - Jaccard for set."""

    @property
    def window_ms(self) -> int: ...
    @property
    def plausible(self) -> tuple[float, float] | None:
        """Values outside are refused."""

    @property
    def strategy(self) -> str: ...
    @property
    def min_sources(self) -> int: ...
    @property
    def freshness_ms(self) -> int: ...


class Plain(Struct, frozen=True, kw_only=True):
    """A specification made by hand, for metrics that the catalogue does not know."""

    name: str = ""
    category: str = ""
    unit: str = ""
    kind: str = "gauge"
    scale: str = "rel"
    tolerance: float = 0.001
    window_ms: int = 60_000
    plausible: tuple[float, float] | None = None
    strategy: str = "robust"
    min_sources: int = 1
    freshness_ms: int = 300_000


class Answer(Struct):
    """One value for one metric, and how far to trust it. Lists are aligned with the observations that were given."""

    value: Value | None
    confidence: float
    """P(error <= tolerance), 0..1; 0 without a value."""
    low: float | None
    """The belief holds 95 % between low and high; None for values that are not numbers."""
    high: float | None
    spread: float | None
    """(max - min) / |value| over the used sources; None for values that are not numbers."""
    weights: list[float]
    """Share of the answer, sums to 1; 0 when excluded."""
    why: list[str | None]
    """unit, frozen, lagging, copy, camp or range when excluded; None when used."""
    method: str
    n_sources: int
    """How many sources were used."""
    n_voices: float
    """How many independent voices the given sources amount to."""
    quality: Any = None
    """quality.Quality: how good the answer is."""


def nothing(method: str, n: int) -> Answer:
    """The answer when no observation can be used: no value, confidence 0."""
    return Answer(None, 0.0, None, None, None, [0.0] * n, ["range"] * n, method, 0, 0.0)
