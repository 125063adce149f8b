"""The tables of this service, as strict shapes: how providers are judged (scoring.yaml). Durations can be scaled."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, structs

from schemas import categories
from services.common.errors import DefinitionError

HERE = Path(__file__).parent
COMPONENTS = ("availability", "freshness", "accuracy", "latency", "validity", "headroom")

T = TypeVar("T", bound=Struct)


class Verdict(Struct, frozen=True, forbid_unknown_fields=True):
    """What an outcome says: None says nothing about that."""

    available: bool | None
    valid: bool | None


class Residual(Struct, frozen=True, forbid_unknown_fields=True):
    """A fused metric by which accuracy is judged."""

    category: str
    metric: str


class Scoring(Struct, frozen=True, forbid_unknown_fields=True):
    """scoring.yaml; the sentences stand there."""

    window_s: float
    half_life_s: float
    min_samples: int
    pseudo_samples: int
    pseudo_score: float
    online_from: float
    offline_below: float
    evaluations_down: int
    evaluations_up: int
    weights: dict[str, float]
    gate_availability: float
    cap_breaker_open: float
    cap_auth: float
    headroom_from: float
    latency_floor_ms: float
    latency_half_life_s: float
    stalled_factor: float
    residual_scale: float
    residual_floor_bps: float
    residual_every_s: float
    max_entities: int
    residuals: tuple[Residual, ...]
    freshness_s: dict[str, float]
    outcomes: dict[str, Verdict]
    skips_against: tuple[str, ...]
    skips_by_budget: tuple[str, ...]

    def scaled(self, factor: float) -> Scoring:
        """The same judgement with every duration multiplied, so that hours can be shown in minutes."""
        times = {
            name: getattr(self, name) * factor
            for name in self.__struct_fields__
            if name.endswith("_s") and name != "freshness_s"
        }
        return structs.replace(self, freshness_s={k: v * factor for k, v in self.freshness_s.items()}, **times)


def load_scoring(path: Path = HERE / "scoring.yaml") -> Scoring:
    """The table at `path`; DefinitionError says what is wrong with it."""
    table = decode(path, Scoring)
    faults = []
    if set(table.weights) != set(COMPONENTS):
        faults.append(f"weights: expected {', '.join(COMPONENTS)}, got {', '.join(table.weights)}")
    if set(table.freshness_s) != set(categories.load()):
        odd = set(table.freshness_s) ^ set(categories.load())
        faults.append(f"freshness_s: expected every category once, got a difference in {', '.join(sorted(odd))}")
    if faults:
        raise DefinitionError(str(path.name), "a complete table", "; ".join(faults), "edit the file")
    return table


def cadences_s() -> dict[str, float]:
    """How often the providers of each category are polled."""
    return {name: float(row.cadence_s) for name, row in categories.load().items()}


def decode(path: Path, shape: type[T]) -> T:
    """The YAML file as `shape`; DefinitionError with the path inside the file."""
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=shape)
    except msgspec.DecodeError as fault:
        raise DefinitionError(path.name, f"the shape of {shape.__name__}", str(fault), "edit the file") from None
