"""Metrics that are numbers: windows turned into columns for the kernels, and results into answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from struct import Struct as Packing
from struct import error as PackingError
from typing import Any

import numpy as np

from services.aggregator.fusion.compiled import KERNELS
from services.aggregator.fusion.layout import (
    ANSWERED,
    CODE,
    PAIRS,
    R_MEAN,
    R_RIVAL,
    R_RIVAL_MEAN,
    R_RIVAL_VAR,
    R_SURE,
    R_USED,
    R_VAR,
    RANGE,
    REASONS,
    RESULT,
    RIGHT,
    S2,
    SHARE,
    SHIFTS,
    USED,
    WORKS,
)
from services.aggregator.fusion.model import Answer, Observation, Spec, nothing
from services.aggregator.fusion.state import MOST_SOURCES, Floats, Key, State
from services.aggregator.fusion.strategies import STRATEGIES, Claims

UNDER_MINIMUM = 0.5
"""Most confidence of an answer from fewer sources than the metric asks for."""
ZERO_TRUST = 0.9
"""P(right) of a source that says zero where everything else is positive."""
_PACKINGS = [Packing(f"={4 * n}d") for n in range(MOST_SOURCES + 1)]
DIGITS = 12
"""Significant digits of an answer: what logarithms leave behind these is noise, and a lone source is repeated to the letter."""
Columns = tuple[tuple[Any, ...], ...]
"""Observations by field."""


class Numbers:
    """Answers and learning for numeric metrics, over the state of one fuser."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.work: Floats = np.zeros((WORKS, MOST_SOURCES))
        self.result: Floats = np.zeros(RESULT)
        self.window: Floats = np.zeros(4 * MOST_SOURCES)
        self.bytes = self.window.data.cast("B")
        self.scratch: Floats = np.zeros(len(SHIFTS))

    def answer(self, spec: Spec, key: str, observations: Sequence[Observation], as_of_ms: int) -> Answer:
        """The answer by the metric's strategy; observations of one provider each, at most MOST_SOURCES."""
        n = len(observations)
        relative = spec.scale == "rel"
        columns = tuple(zip(*observations, strict=True))
        if relative and 0 in columns[2]:
            zeros = columns[2].count(0)
            if 2 * zeros > n:
                return self._zero(spec, observations, zeros)
        if not self._work(spec, self.state.find(spec, key), observations, columns, as_of_ms):
            return nothing(spec.strategy, n)
        value, confidence, low, high, spread, used, voices = self.result.tolist()[:ANSWERED]
        shares = self.work[SHARE, :n].tolist()
        why: list[str | None] = [None] * n
        if used < n:
            why = [REASONS[int(code)] for code in self.work[CODE, :n].tolist()]
        tol = spec.tolerance
        stated: float | None = None
        if spec.strategy in STRATEGIES:
            stated, shares = self._by_rule(spec, observations, why)
            value = (math.log(stated) if relative else stated) / tol
            confidence = self.belief(value)
            low, high = min(low, value), max(high, value)
        if relative:
            value, low = math.exp(value * tol), math.exp(low * tol)
            high = math.exp(min(high * tol, 700.0))
            spread = math.expm1(min(spread * tol, 700.0))
        else:
            value, low, high = value * tol, low * tol, high * tol
            spread = spread * tol / abs(value) if value else 0.0
        value = stated if stated is not None else float(f"{value:.{DIGITS}g}")
        if used < spec.min_sources:
            confidence = min(confidence, UNDER_MINIMUM)
        return Answer(value, confidence, low, high, spread, shares, why, spec.strategy, int(used), voices)

    def learn(self, spec: Spec, key: str, observations: Sequence[Observation], as_of_ms: int) -> None:
        """Learn from a closed window."""
        state = self.state
        entry = state.key(spec, key)
        for observation in observations:
            if observation.provider not in entry.slot_of:
                state.slot(spec, entry, observation)
        if self._work(spec, entry, observations, tuple(zip(*observations, strict=True)), as_of_ms):
            KERNELS.learn(
                len(observations),
                self.window,
                self.work,
                self.result,
                entry.head,
                entry.path,
                entry.slots,
                entry.ring,
                state.sources,
                state.pairs,
                float(as_of_ms),
            )
            state.touched.add(spec.name)

    def advance(self) -> None:
        """Bring what was learned since the last epoch into force."""
        state = self.state
        for metric in sorted(state.touched):
            KERNELS.advance(
                np.array(state.rows_of[metric], np.int64), state.rows[metric, ""], state.sources, self.scratch
            )
        if state.touched:
            KERNELS.advance_pairs(state.pairs, min(len(state.providers), PAIRS))
        state.touched.clear()

    def _work(
        self, spec: Spec, entry: Key | None, observations: Sequence[Observation], columns: Columns, as_of_ms: int
    ) -> bool:
        """Run the kernel on the window; False when no value is usable."""
        providers, _, values, times, weights = columns
        try:
            slots = list(map(entry.slot_of.__getitem__, providers)) if entry is not None else None
        except KeyError:
            slots = None
        if entry is None or slots is None:
            entry, slots = self.state.guest(spec, entry, observations)
        packing = _PACKINGS[len(slots)]
        try:
            packing.pack_into(self.bytes, 0, *values, *times, *weights, *slots)
        except PackingError:
            # Words where a number belongs count as out of range.
            values = tuple(v if isinstance(v, (int, float)) else math.nan for v in values)
            packing.pack_into(self.bytes, 0, *values, *times, *weights, *slots)
        low, high = spec.plausible or (-math.inf, math.inf)
        KERNELS.answer(
            len(slots),
            self.window,
            self.work,
            self.result,
            entry.head,
            entry.slots,
            self.state.sources,
            self.state.pairs,
            spec.tolerance,
            spec.scale == "rel",
            low,
            high,
            float(as_of_ms),
        )
        return bool(self.result[R_USED])

    def _by_rule(
        self, spec: Spec, observations: Sequence[Observation], why: list[str | None]
    ) -> tuple[float, list[float]]:
        """Value and shares by a named rule; what it uses is not excluded, whatever the belief says."""
        usable = [
            i
            for i, code in enumerate(self.work[CODE, : len(observations)].tolist())
            if not self._refused(spec, observations[i], int(code))
        ]
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
        shares = [0.0] * len(observations)
        for i, share in zip(usable, choice.shares, strict=True):
            shares[i] = share
            if share > 0.0:
                why[i] = None
        return choice.value, shares

    def _refused(self, spec: Spec, observation: Observation, code: int) -> bool:
        value = observation.value
        if code == USED:
            return False
        if code != RANGE:
            return False
        low, high = spec.plausible or (-math.inf, math.inf)
        number = isinstance(value, (int, float)) and math.isfinite(value)
        return not (number and low <= float(value) <= high and (spec.scale == "abs" or float(value) > 0.0))  # type: ignore[arg-type]

    def belief(self, at: float) -> float:
        """P(|truth - at| <= 1) under the belief of the last window."""
        r = self.result
        held = r[R_SURE] * _inside(at - r[R_MEAN], math.sqrt(r[R_VAR]))
        held += r[R_RIVAL] * _inside(at - r[R_RIVAL_MEAN], math.sqrt(r[R_RIVAL_VAR]))
        return min(max(float(held), 0.0), 1.0)

    def _zero(self, spec: Spec, observations: Sequence[Observation], zeros: int) -> Answer:
        """Most say zero, which has no logarithm: a vote between nothing and something."""
        n = len(observations)
        odds = (ZERO_TRUST / (1.0 - ZERO_TRUST)) ** (2 * zeros - n)
        is_zero = [o.value == 0 for o in observations]
        return Answer(
            0.0,
            odds / (1.0 + odds),
            0.0,
            0.0,
            0.0,
            [z / zeros for z in is_zero],
            [None if z else "range" for z in is_zero],
            spec.strategy,
            zeros,
            float(n),
        )


def _inside(gap: float, sd: float) -> float:
    """Mass of a normal law within 1 of a point that lies `gap` from its mean."""
    scale = 1.0 / (sd * math.sqrt(2.0))
    return 0.5 * (math.erf((gap + 1.0) * scale) - math.erf((gap - 1.0) * scale))
