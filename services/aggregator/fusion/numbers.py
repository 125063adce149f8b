"""Metrics that are numbers: windows turned into columns for the kernels, and results into answers; many at a time."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.fusion import quality
from services.aggregator.fusion.layout import (
    O_MEAN,
    O_RIVAL,
    O_RIVAL_MEAN,
    O_RIVAL_VAR,
    O_SURE,
    O_USED,
    O_VAR,
    OUT_WIDTH,
    PAIRS,
    RANGE,
    REASONS,
    RIGHT,
    ROW_WIDTH,
    S2,
    SCRATCH,
    SHIFTS,
    SPEC_WIDTH,
)
from services.aggregator.fusion.model import Answer, Observation, Spec, nothing
from services.aggregator.fusion.quality import Quality
from services.aggregator.fusion.rows import DIGITS, ROUNDED_ABOVE, ROUNDED_BELOW, UNDER_MINIMUM
from services.aggregator.fusion.state import Floats, Key, State, start_vol
from services.aggregator.fusion.strategies import STRATEGIES, Claims


class Batch:
    """Windows by columns, one after the other: what `Numbers.put` closes, and `Numbers.run` answers."""

    __slots__ = ("rows", "said", "slots", "times", "weights")

    def __init__(self) -> None:
        self.rows: list[float] = []
        self.said: list[Any] = []
        self.times: list[float] = []
        self.weights: list[float] = []
        self.slots: list[int] = []


Results = tuple[list[float], list[float], list[float]]
"""layout.OUTS row by row; and by observation: share of the answer, and code of the reason why not."""


TAUGHT_AT_ONCE = 256
"""Windows that are learned from in one call."""
MOST_SPECS = 4096
"""Specifications that are remembered in the form the kernels read."""


class Ask(NamedTuple):
    """One window: what is said of one metric of one key, as of when. Each provider speaks once."""

    spec: Spec
    key: str
    observations: Sequence[Observation]
    as_of_ms: int


_DOUBLE = b"\0" * 8
_WHY: dict[float, str | None] = dict(enumerate(REASONS))
"""Reasons by the codes of the kernel, which are doubles."""


class Numbers:
    """Answers and learning for numeric metrics, over the state of one fuser."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._scratch: Floats = np.zeros(SCRATCH)
        self._outs, self._outs_at = _room(OUT_WIDTH * TAUGHT_AT_ONCE)
        self._shares, self._shares_at = _room(16 * TAUGHT_AT_ONCE)
        self._context = array("q")
        self._context_at = 0
        self._tables: tuple[Any, Any, Any] = (None, None, None)
        self._specs: Floats = np.zeros((64, SPEC_WIDTH))
        self._plans: dict[int, tuple[Spec, int]] = {}
        """By the address of a specification: itself, so that the address stays its own, and its row."""
        self.taught: list[str] = []
        """Metrics of the windows that are still to be learned from."""
        self._lesson = Batch()
        self._pupils: set[int] = set()

    def put(
        self,
        batch: Batch,
        spec: Spec,
        metrics: Mapping[str, Key] | None,
        providers: Sequence[str],
        pairs: Iterable[tuple[str, str]],
        as_of_ms: int,
    ) -> None:
        """Close a window: its values, times and weights are in the batch; `metrics` is what is remembered of its key."""
        entry = metrics.get(spec.name) if metrics is not None else None
        held = self._plans.get(id(spec))
        plan = held[1] if held is not None else self._plan(spec)
        slots = batch.slots
        before = len(slots)
        if entry is None:
            batch.rows += (len(providers), as_of_ms, plan, 0, 0)
            known: Mapping[str, int] = {}
            try:
                slots += map(self.state.strangers_of(spec.name).__getitem__, pairs)
                return
            except KeyError:
                del slots[before:]
        else:
            batch.rows += (len(providers), as_of_ms, plan, entry.address, entry.capacity)
            known = entry.slot_of
            try:
                slots += map(known.__getitem__, providers)
                return
            except KeyError:
                del slots[before:]
        for provider, group in pairs:
            slot = known.get(provider)
            slots.append(self.state.stranger(spec.name, provider, group) if slot is None else slot)

    def run(self, batch: Batch) -> Results:
        """The results of all windows of a batch."""
        self._run(batch, 0)
        outs, shares, total = self._outs, self._shares, len(batch.said)
        windows = len(batch.rows) // ROW_WIDTH
        return outs[: OUT_WIDTH * windows].tolist(), shares[:total].tolist(), shares[total : 2 * total].tolist()

    def begin(self) -> Batch:
        """A new batch; between two of them, what was numbered may be numbered anew."""
        self._begin()
        return Batch()

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """The answers by each metric's strategy."""
        batch = self.begin()
        keys = self.state.keys
        for spec, key, observations, as_of_ms in asks:
            providers, groups, values, ts_ms, weight = zip(*observations, strict=True)
            batch.said += values
            batch.times += ts_ms
            batch.weights += weight
            metrics = keys.get(key)
            pairs = zip(providers, groups, strict=True)
            # Where the metric is known, pairs are read once at most, for a provider that is not.
            once = metrics is not None and spec.name in metrics
            self.put(batch, spec, metrics, providers, pairs if once else list(pairs), as_of_ms)
        outs, shares, codes_out = self.run(batch)
        answers = []
        first = at = 0
        for spec, _, observations, as_of_ms in asks:
            n = len(observations)
            value, confidence, low, high, spread, used, voices, agreed, timely = outs[at : at + 9]
            if not used:
                answer = nothing(spec.strategy, n)
                answer.quality = Quality(0.0, 0.0, 0.0, 0.0, 0.0)
                answers.append(answer)
            else:
                value = to_digits(value)
                why: list[str | None]
                if used < n:
                    why = list(map(_WHY.__getitem__, codes_out[first : first + n]))
                else:
                    why = [None] * n
                answer = Answer(
                    value, confidence, low, high, spread, shares[first : first + n], why, spec.strategy, int(used), voices,
                    Quality(1.0, agreed, timely, 1.0 - 1.0 / voices if voices > 1.0 else 0.0, confidence),
                )  # fmt: skip
                # The belief has no width where most say zero: there is nothing to choose then.
                if spec.strategy in STRATEGIES and outs[at + O_VAR]:
                    self._by_rule(spec, observations, answer, codes_out[first : first + n], outs[at : at + OUT_WIDTH])
                    answer.quality = quality.of_metric(spec, answer, observations, as_of_ms)
                answers.append(answer)
            first += n
            at += OUT_WIDTH
        return answers

    def teach(
        self,
        spec: Spec,
        key: str,
        pairs: Sequence[tuple[str, str]],
        values: Sequence[Any],
        times: Sequence[float],
        weights: Sequence[float],
        as_of_ms: int,
    ) -> None:
        """Put a closed window of (provider, group) among those that are learned from, in this order, by `learn`."""
        if not self.taught:
            self._begin()
        elif len(self.taught) >= TAUGHT_AT_ONCE:
            self.learn()
        entry = self.state.key(spec, key, len(pairs))
        if entry.address in self._pupils:
            # What it learns before may move it to another address.
            self.learn()
        lesson = self._lesson
        try:
            slots = [entry.slot_of[pair[0]] for pair in pairs]
        except KeyError:
            self.state.meet_all(spec.name, entry, pairs)
            slots = [entry.slot_of[pair[0]] for pair in pairs]
        held = self._plans.get(id(spec))
        plan = held[1] if held is not None else self._plan(spec)
        lesson.rows += (len(slots), as_of_ms, plan, entry.address, entry.capacity)
        lesson.said += values
        lesson.times += times
        lesson.weights += weights
        lesson.slots += slots
        self._pupils.add(entry.address)
        self.taught.append(spec.name)

    def learn(self) -> None:
        """Learn from the windows that were put there."""
        if not self.taught:
            return
        lesson, self._lesson = self._lesson, Batch()
        names, self.taught = self.taught, []
        self._pupils.clear()
        self._run(lesson, 1)
        used = self._outs[O_USED : OUT_WIDTH * len(names) : OUT_WIDTH]
        self.state.touched.update(name for one, name in zip(used, names, strict=True) if one)

    def advance(self) -> None:
        """Bring what was learned since the last epoch into force."""
        state = self.state
        scratch = array("d", bytes(8 * len(SHIFTS)))
        for metric in sorted(state.touched):
            rows = array("q", state.rows_of[metric])
            sources = state.sources
            KERNELS.advance_sources(
                rows.buffer_info()[0], len(rows), state.rows[metric, ""], sources.ctypes.data, len(sources),
                scratch.buffer_info()[0],
            )  # fmt: skip
        if state.touched:
            KERNELS.advance_voices(state.pairs.ctypes.data, min(len(state.providers), PAIRS))
        state.touched.clear()

    def _begin(self) -> None:
        """Between two batches, what was numbered may be numbered anew."""
        self.state.meet()
        if len(self._plans) > MOST_SPECS:
            self._plans.clear()
            self.state.met += 1

    def row_of(self, spec: Spec) -> int:
        """Row of a specification in the table that kernels read."""
        held = self._plans.get(id(spec))
        return held[1] if held is not None else self._plan(spec)

    def _plan(self, spec: Spec) -> int:
        place = len(self._plans)
        if place == len(self._specs):
            self._specs = np.concatenate([self._specs, np.zeros_like(self._specs)])
        low, high = spec.plausible or (-math.inf, math.inf)
        self._specs[place] = (
            spec.tolerance, spec.scale == "rel", low, high, spec.min_sources, spec.freshness_ms, start_vol(spec.window_ms),
        )  # fmt: skip
        self._plans[id(spec)] = spec, place
        return place

    def _run(self, batch: Batch, teach: int) -> None:
        """One call for all windows of a batch; what comes out stands in `_outs` and `_shares` until the next one."""
        count, total = len(batch.rows) // ROW_WIDTH, len(batch.said)
        # One list at once: an array grows from another kind of sequence item by item.
        known = batch.times + batch.weights + batch.slots
        try:
            columns = array("d", batch.said + known)
        except (TypeError, OverflowError):
            # Words where a number belongs, and numbers beyond a double, count as out of range.
            columns = array("d", [*map(_number, batch.said), *known])
        table = array("d", batch.rows)
        if len(self._outs) < OUT_WIDTH * count:
            self._outs, self._outs_at = _room(2 * OUT_WIDTH * count)
        if len(self._shares) < 2 * total:
            self._shares, self._shares_at = _room(4 * total)
        KERNELS.answer_rows(
            count, total, table.buffer_info()[0], columns.buffer_info()[0], self._outs_at, self._shares_at, self.context(), teach,
        )  # fmt: skip

    def context(self) -> int:
        """Address of the context, until the next call: the tables that grow are looked for again only when they are others."""
        state = self.state
        tables = state.sources, state.strangers, self._specs
        if tables[0] is not self._tables[0] or tables[1] is not self._tables[1] or tables[2] is not self._tables[2]:
            self._tables = tables
            sources, strangers, specs = (one.ctypes.data for one in tables)
            context = (
                sources, len(state.sources), state.pairs.ctypes.data, strangers, len(state.strangers), specs, len(self._specs),
                self._scratch.ctypes.data,
            )  # fmt: skip
            self._context = array("q", context)
            self._context_at = self._context.buffer_info()[0]
        return self._context_at

    def _by_rule(
        self,
        spec: Spec,
        observations: Sequence[Observation],
        answer: Answer,
        codes: Sequence[float],
        out: Sequence[float],
    ) -> None:
        """Put value and shares of a named rule into the answer, and what the belief holds of it."""
        usable = [i for i, code in enumerate(codes) if not _refused(spec, observations[i], int(code))]
        sources = self.state.sources
        trust = []
        for i in usable:
            row = self.state.rows.get((spec.name, observations[i].provider), 0)
            trust.append(float(sources[row, RIGHT]) / (1.0 + float(sources[row, S2])))
        chosen = [observations[i] for i in usable]
        values = [float(o.value) for o in chosen]  # type: ignore[arg-type]
        centre = abs(sorted(values)[len(values) // 2])
        same = spec.tolerance * (centre if spec.scale == "rel" else 1.0)
        rule = STRATEGIES[spec.strategy]
        choice = rule(
            Claims(
                [o.provider for o in chosen], values, [o.ts_ms for o in chosen], [o.weight for o in chosen], trust, same
            )
        )
        answer.weights = [0.0] * len(observations)
        for i, share in zip(usable, choice.shares, strict=True):
            answer.weights[i] = share
            if share > 0.0:
                answer.why[i] = None
        answer.value = choice.value
        confidence = _belief((math.log(choice.value) if spec.scale == "rel" else choice.value) / spec.tolerance, out)
        if answer.n_sources < spec.min_sources:
            confidence = min(confidence, UNDER_MINIMUM)
        answer.confidence = confidence
        assert answer.low is not None
        assert answer.high is not None
        answer.low, answer.high = min(answer.low, choice.value), max(answer.high, choice.value)


def to_digits(value: float) -> float:
    """A value of `outs` at the digits of an answer: the kernel rounds all but the smallest and the largest."""
    return value if ROUNDED_ABOVE < abs(value) < ROUNDED_BELOW else float(f"{value:.{DIGITS}g}")


def _room(doubles: int) -> tuple[array[float], int]:
    """So many noughts, and where they lie."""
    made = array("d", _DOUBLE * doubles)
    return made, made.buffer_info()[0]


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:
        return math.nan


def _refused(spec: Spec, observation: Observation, code: int) -> bool:
    """Whether a value is no number of this metric at all, as opposed to one that is far from the answer."""
    value = observation.value
    if code != RANGE:
        return False
    low, high = spec.plausible or (-math.inf, math.inf)
    number = isinstance(value, (int, float)) and math.isfinite(value)
    return not (number and low <= float(value) <= high and (spec.scale == "abs" or float(value) > 0.0))  # type: ignore[arg-type]


def _belief(at: float, out: Sequence[float]) -> float:
    """P(|truth - at| <= 1), in tolerances, under the belief of a window."""
    held = out[O_SURE] * _inside(at - out[O_MEAN], math.sqrt(out[O_VAR]))
    held += out[O_RIVAL] * _inside(at - out[O_RIVAL_MEAN], math.sqrt(out[O_RIVAL_VAR]))
    return min(max(held, 0.0), 1.0)


def _inside(gap: float, sd: float) -> float:
    """Mass of a normal law within 1 of a point that lies `gap` from its mean."""
    scale = 1.0 / (sd * math.sqrt(2.0))
    return 0.5 * (math.erf((gap + 1.0) * scale) - math.erf((gap - 1.0) * scale))
