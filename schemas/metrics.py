"""The metric catalogue, from metrics.yaml: what each quantity means, in which unit, and how its sources are weighed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from schemas import categories, tables

FILE = "metrics.yaml"

Scale = Literal["rel", "abs", "cat", "set", "text"]
Strategy = Literal[
    "robust",
    "weighted_average",
    "majority_vote",
    "highest_confidence",
    "most_recent",
    "median",
    "outlier_removal",
    "source_priority",
]

MONEY_UNITS = frozenset({"quote", "quote_per_base"})
"""Units that are counted in the quote asset of the event and so are converted with it."""

_UNIT_OF_SCALE = {"cat": frozenset({"bool", "text"}), "text": frozenset({"text"}), "set": frozenset({"texts"})}
_NUMBER_STRATEGIES = frozenset({"robust", "weighted_average", "median", "outlier_removal"})


class Spec(Struct, frozen=True, kw_only=True):
    """One metric of the catalogue, nothing left to inherit."""

    name: str
    category: str
    unit: str
    kind: str
    scale: Scale
    tolerance: float
    """An answer is right within it: |ln(value/truth)| for rel, |value - truth| for abs."""
    window_ms: int
    """Width of the window in which sources are compared and learned from."""
    plausible: tuple[float, float] | None
    """Closed interval outside of which a value is refused; None for words."""
    freshness_ms: int
    """Age after which a statement no longer counts."""
    strategy: Strategy
    min_sources: int
    sentence: str
    aliases: tuple[str, ...] = ()
    """Other names that people and fact sheets use for it."""

    @property
    def money(self) -> bool:
        """Whether its values are counted in the quote asset of the event."""
        return self.unit in MONEY_UNITS

    @property
    def number(self) -> bool:
        """Whether its values are numbers."""
        return self.scale in ("rel", "abs")


class Kind(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the rows of a kind inherit."""

    scale: Scale
    tolerance: float
    strategy: Strategy
    sentence: str
    plausible: tuple[float, float] | None = None
    min_sources: int = 1


class Pace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the rows of a category inherit."""

    window_ms: int
    freshness_ms: int


class _Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row as written."""

    unit: str
    kind: str
    sentence: str
    scale: Scale | UnsetType = UNSET
    tolerance: float | UnsetType = UNSET
    plausible: tuple[float, float] | UnsetType = UNSET
    strategy: Strategy | UnsetType = UNSET
    min_sources: int | UnsetType = UNSET
    window_ms: int | UnsetType = UNSET
    freshness_ms: int | UnsetType = UNSET
    aliases: tuple[str, ...] = ()


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    units: dict[str, str]
    kinds: dict[str, Any]
    categories: dict[str, Any]
    metrics: dict[str, dict[str, Any]]


class Catalogue(Mapping[str, Spec]):
    """Metrics by name, in the order of the file."""

    def __init__(self, units: dict[str, str], kinds: dict[str, Kind], metrics: dict[str, Spec]) -> None:
        self.units = units
        self.kinds = kinds
        self._metrics = metrics
        self.aliases = {alias: metric.name for metric in metrics.values() for alias in metric.aliases}
        """Other name -> name."""

    def __getitem__(self, name: str) -> Spec:
        return self._metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)

    def find(self, name: str) -> Spec | None:
        """The metric of this name or alias; None when there is none."""
        return self._metrics.get(self.aliases.get(name, name))

    def of_category(self, category: str) -> list[Spec]:
        """Metrics of one category, in the order of the file."""
        return [metric for metric in self._metrics.values() if metric.category == category]


def parse(text: str) -> Catalogue:
    """The catalogue that a text of metrics.yaml holds; TableError lists every fault."""
    faults: list[str] = []
    file = tables.rows("", {"file": tables.parse(FILE, text)}, _File, faults).get("file")
    if file is None:
        raise tables.TableError(FILE, faults)
    kinds = tables.rows("kinds", file.kinds, Kind, faults)
    paces = tables.rows("categories", file.categories, Pace, faults)
    known = categories.load()
    for wrong in sorted(set(file.categories) ^ set(known)):
        faults.append(f"categories.{wrong}: expected the categories of {categories.FILE}, each once")

    metrics: dict[str, Spec] = {}
    for category, table in file.metrics.items():
        if category not in paces:
            faults.append(f"metrics.{category}: expected a category, one of {', '.join(paces)}")
            continue
        for name, row in tables.rows(f"metrics.{category}", table, _Row, faults).items():
            where = f"metrics.{category}.{name}"
            if row.kind not in kinds:
                faults.append(f"{where}: kind: expected one of {', '.join(kinds)}, got {row.kind!r}")
                continue
            metric = _resolve(name, category, row, kinds[row.kind], paces[category])
            faults += [f"{where}: {fault}" for fault in _faults(metric, file.units)]
            if name in metrics:
                faults.append(
                    f"{where}: the name is taken by {metrics[name].category}; a metric belongs to one category"
                )
            metrics[name] = metric
    faults += _alias_faults(metrics)
    if faults:
        raise tables.TableError(FILE, faults)
    return Catalogue(file.units, kinds, metrics)


@cache
def load() -> Catalogue:
    """The catalogue of this release; read once, and only by who asks."""
    return parse(tables.read(FILE))


def _resolve(name: str, category: str, row: _Row, kind: Kind, pace: Pace) -> Spec:
    def own(value: Any, inherited: Any) -> Any:
        return inherited if value is UNSET else value

    return Spec(
        name=name,
        category=category,
        unit=row.unit,
        kind=row.kind,
        sentence=row.sentence,
        aliases=row.aliases,
        scale=own(row.scale, kind.scale),
        tolerance=own(row.tolerance, kind.tolerance),
        plausible=own(row.plausible, kind.plausible),
        strategy=own(row.strategy, kind.strategy),
        min_sources=own(row.min_sources, kind.min_sources),
        window_ms=own(row.window_ms, pace.window_ms),
        freshness_ms=own(row.freshness_ms, pace.freshness_ms),
    )


def _faults(metric: Spec, units: Mapping[str, str]) -> list[str]:
    found = []
    if metric.unit not in units:
        found.append(f"unit: expected one of {', '.join(units)}, got {metric.unit!r}")
    if metric.number:
        if metric.unit in ("bool", "text", "texts"):
            found.append(f"unit: expected a number's unit for scale {metric.scale}, got {metric.unit!r}")
        if metric.tolerance <= 0:
            found.append(f"tolerance: expected above 0, got {metric.tolerance}")
        if metric.plausible is None or not metric.plausible[0] < metric.plausible[1]:
            found.append(f"plausible: expected [low, high] with low < high, got {metric.plausible}")
        if metric.scale == "rel" and metric.plausible is not None and metric.plausible[0] < 0:
            found.append("plausible: expected 0 or above for scale rel, whose error is a logarithm; write scale abs")
    else:
        if metric.unit not in _UNIT_OF_SCALE[metric.scale]:
            found.append(
                f"unit: expected one of {sorted(_UNIT_OF_SCALE[metric.scale])} for scale {metric.scale}, got {metric.unit!r}"
            )
        if metric.plausible is not None:
            found.append("plausible: expected none, words have no range")
        if metric.strategy in _NUMBER_STRATEGIES:
            found.append(f"strategy: expected one for words, got {metric.strategy!r}")
    if metric.window_ms <= 0 or metric.freshness_ms < metric.window_ms:
        found.append(f"expected 0 < window_ms <= freshness_ms, got {metric.window_ms} and {metric.freshness_ms}")
    if metric.min_sources < 1:
        found.append(f"min_sources: expected 1 or more, got {metric.min_sources}")
    if not metric.sentence.endswith("."):
        found.append("sentence: expected a sentence, it has no full stop")
    return found


def _alias_faults(metrics: Mapping[str, Spec]) -> list[str]:
    owners: dict[str, str] = {}
    found = []
    for metric in metrics.values():
        for alias in metric.aliases:
            if alias in metrics:
                found.append(f"metrics.{metric.category}.{metric.name}: alias {alias!r} is the name of a metric")
            if alias in owners:
                found.append(f"metrics.{metric.category}.{metric.name}: alias {alias!r} is taken by {owners[alias]}")
            owners[alias] = metric.name
    return found
