"""Verdicts on fused windows whose truth is known: accuracy, calibration, flags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.aggregator.fusion.bench.baselines import BASELINES, Window
from services.aggregator.fusion.bench.generator import Run
from services.aggregator.fusion.fuser import Fuser
from services.aggregator.fusion.model import Observation, Plain

Floats = NDArray[np.float64]
BINS = 15
BAD, GOOD = 4.0, 2.0
"""A statement is bad from so many tolerances off the truth, and good up to so many; between them nothing is held against a flag."""


class Told(NamedTuple):
    """What one method said over a run: rows are windows."""

    error: Floats
    """|ln(value / truth)| in tolerances."""
    confidence: Floats
    hits: int = 0
    """Flags on bad statements."""
    false: int = 0
    """Flags on good statements."""
    missed: int = 0
    """Bad statements without a flag."""
    voices: float = 0.0


class Score(msgspec.Struct):
    """Figures of one method over some windows."""

    within: float
    mae_bps: float
    p99_bps: float
    ece: float
    brier: float
    cov95: float
    confidence: float
    precision: float | None = None
    recall: float | None = None
    voices: float | None = None


def robust(run: Run, tol: float, fuser: Fuser | None = None, strategy: str = "robust") -> Told:
    """Our answers to a run, learning as it goes."""
    fuser = fuser or Fuser()
    spec = Plain(name="bench", tolerance=tol, strategy=strategy, window_ms=10_000)
    count, n = run.values.shape
    error, confidence, voices = np.empty(count), np.empty(count), np.empty(count)
    flagged = np.zeros((count, n), bool)
    values, times = run.values.tolist(), run.times_ms.tolist()
    for t in range(count):
        as_of_ms = int(run.as_of_ms[t])
        said = [i for i in range(n) if values[t][i] == values[t][i]]
        window = [Observation(run.names[i], run.names[i], values[t][i], times[t][i]) for i in said]
        fuser.advance(as_of_ms)
        answer = fuser.answer(spec, "key", window, as_of_ms)
        fuser.learn(spec, "key", window, as_of_ms)
        assert isinstance(answer.value, float)
        error[t] = abs(np.log(answer.value / run.truth[t])) / tol
        confidence[t], voices[t] = answer.confidence, answer.n_voices
        for k, i in enumerate(said):
            flagged[t, i] = answer.why[k] is not None
    off = np.abs(np.log(run.values / run.truth[:, None])) / tol
    bad, good = off > BAD, off < GOOD
    return Told(
        error,
        confidence,
        int((flagged & bad).sum()),
        int((flagged & good).sum()),
        int((~flagged & bad).sum()),
        float(voices.mean()),
    )


def baseline(name: str, run: Run, tol: float, sizes: Floats) -> Told:
    """What a baseline says to the same run."""
    count, n = run.values.shape
    rule = BASELINES[name](n)
    z, truth = np.log(run.values) / tol, np.log(run.truth) / tol
    error, confidence = np.empty(count), np.empty(count)
    for t in range(count):
        who = np.flatnonzero(np.isfinite(z[t]))
        ages = np.maximum(run.as_of_ms[t] - run.times_ms[t, who], 0.0) / 1000.0
        value, confidence[t] = rule.step(Window(z[t, who], ages, sizes[who], who))
        error[t] = abs(value - truth[t])
    return Told(error, confidence)


def ece(confidence: Floats, right: NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error: mean distance of confidence and frequency over equal bins, by their fill."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for k in range(bins):
        here = which == k
        if here.any():
            total += float(here.mean()) * abs(float(right[here].mean()) - float(confidence[here].mean()))
    return total


def coverage(confidence: Floats, right: NDArray[np.bool_], share: float = 0.95) -> float:
    """Largest share of windows, most confident first, of which `share` are right."""
    ordered = right[np.argsort(-confidence, kind="stable")]
    held = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    enough = np.flatnonzero(held >= share)
    return float(enough[-1] + 1) / len(ordered) if len(enough) else 0.0


def reliability(confidence: Floats, right: NDArray[np.bool_], bins: int = BINS) -> list[tuple[float, float, int]]:
    """(mean confidence, frequency of being right, windows) per bin that is not empty."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for k in range(bins):
        here = which == k
        if here.any():
            rows.append((float(confidence[here].mean()), float(right[here].mean()), int(here.sum())))
    return rows


def score(told: Sequence[Told], tol: float) -> Score:
    """Figures over the windows of some runs."""
    error = np.concatenate([t.error for t in told])
    confidence = np.concatenate([t.confidence for t in told])
    right = error <= 1.0
    hits, false, missed = sum(t.hits for t in told), sum(t.false for t in told), sum(t.missed for t in told)
    flagging = any(t.voices for t in told)
    return Score(
        within=float(right.mean()),
        mae_bps=float(error.mean()) * tol * 1e4,
        p99_bps=float(np.quantile(error, 0.99)) * tol * 1e4,
        ece=ece(confidence, right),
        brier=float(((confidence - right) ** 2).mean()),
        cov95=coverage(confidence, right),
        confidence=float(confidence.mean()),
        precision=hits / (hits + false) if flagging and hits + false else None,
        recall=hits / (hits + missed) if flagging and hits + missed else None,
        voices=float(np.mean([t.voices for t in told])) if flagging else None,
    )
