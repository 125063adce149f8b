"""Seeded worlds with a known truth: a true path, providers that report it in their fashion, and ten ways to go wrong.

Truth: geometric Brownian motion sampled every second, with jumps. A provider looks at it every `every_s` seconds and states
what it saw, with noise of its own, and the time at which it looked; a window holds the newest statement of each provider.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BPS = 1e-4


@dataclass(frozen=True)
class World:
    """What a scenario is made from; the defaults are those of the published tables."""

    providers: int = 24
    windows: int = 720
    window_s: float = 5.0
    volatility_bps: float = 2.5
    """Of the truth, per square root of a second; 2.5 is 140 % a year."""
    jumps_per_h: float = 6.0
    jump_bps: float = 20.0
    noise_bps: tuple[float, float] = (1.0, 4.0)
    """A provider's own noise, drawn log-uniformly between."""
    every_s: tuple[float, float] = (1.0, 12.0)
    """How often a provider looks, drawn log-uniformly between."""
    start: float = 65_000.0


@dataclass
class Run:
    """One simulated stretch: rows are windows, columns providers."""

    scenario: str
    as_of_ms: NDArray[np.int64]
    truth: Floats
    values: Floats
    """NaN where a provider says nothing."""
    times_ms: Floats
    """Stated times."""
    names: list[str]
    voices: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Number of the independent voice behind each provider."""


class Stage:
    """The parts a scenario changes before the statements are drawn."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = np.random.default_rng(seed)
        n, draw = world.providers, self.random
        self.warm_s = 200
        self.seconds = int(world.windows * world.window_s) + self.warm_s + 1
        steps = draw.normal(0.0, world.volatility_bps * BPS, self.seconds)
        jumps = draw.random(self.seconds) < world.jumps_per_h / 3600
        steps += jumps * draw.normal(0.0, world.jump_bps * BPS, self.seconds)
        self.steps = steps
        low, high = np.log(world.noise_bps)
        self.noise = np.exp(draw.uniform(low, high, n)) * BPS
        low, high = np.log(world.every_s)
        self.every = np.exp(draw.uniform(low, high, n))
        self.hidden_s = np.zeros(n)
        """By how much a provider's data is older than it says."""
        self.voices = np.arange(n)
        self.order = draw.permutation(n)
        self.late: list[Callable[[Run, Floats], None]] = []
        """Changes to the statements, once drawn."""

    def pick(self, share: float) -> NDArray[np.int64]:
        """The first `share` of the providers in this world's random order."""
        return self.order[: round(share * self.world.providers)]

    def play(self, scenario: str) -> Run:
        """Draw the statements."""
        world, draw = self.world, self.random
        path = np.log(world.start) + np.cumsum(self.steps)
        ends = self.warm_s + (np.arange(1, world.windows + 1) * world.window_s)
        n = world.providers
        values, times = np.empty((world.windows, n)), np.empty((world.windows, n))
        for i in range(n):
            looks = np.arange(draw.uniform(0, self.every[i]), self.seconds, self.every[i])
            seen = at(path, np.maximum(looks - self.hidden_s[i], 0.0)) + draw.normal(0.0, self.noise[i], len(looks))
            newest = np.searchsorted(looks, ends, side="right") - 1
            values[:, i] = seen[newest]
            times[:, i] = looks[newest]
        truth = at(path, ends)
        run = Run(
            scenario,
            (ends * 1000).astype(np.int64) + 1_700_000_000_000,
            np.exp(truth),
            values,
            np.floor(times * 1000) + 1_700_000_000_000,
            [f"p{i:02d}" for i in range(n)],
            self.voices,
        )
        for change in self.late:
            change(run, path)
        run.values = np.exp(run.values)
        return run


def at(path: Floats, seconds: NDArray[Any]) -> Floats:
    """The log path between its samples."""
    found: Floats = np.interp(seconds, np.arange(len(path)), path)
    return found


def clean(stage: Stage) -> None:
    """Everyone honest: own noise, own pace."""


def noisy(stage: Stage) -> None:
    """Half of the providers have 15 to 50 bps of noise."""
    bad = stage.pick(0.5)
    stage.noise[bad] = stage.random.uniform(15, 50, len(bad)) * BPS


def stale(stage: Stage) -> None:
    """Ten of 24 are 20 to 60 s late and do not say so."""
    bad = stage.pick(10 / 24)
    stage.hidden_s[bad] = stage.random.uniform(20, 60, len(bad))


def frozen(stage: Stage) -> None:
    """A third stop moving, each from a moment of its own for a quarter of the time or more; their clocks go on."""
    bad = stage.pick(1 / 3)

    def stop(run: Run, path: Floats) -> None:
        count = len(run.values)
        for i in bad:
            first = int(stage.random.uniform(0.1, 0.6) * count)
            last = int(min(first + stage.random.uniform(0.25, 0.5) * count, count))
            run.values[first:last, i] = run.values[first, i]

    stage.late.append(stop)


def unit(stage: Stage) -> None:
    """A quarter has spells in a wrong unit (x100, x1000) or of a wrong symbol."""
    bad = stage.pick(0.25)

    def spoil(run: Run, path: Floats) -> None:
        count = len(run.values)
        for k, i in enumerate(bad):
            first = int(stage.random.uniform(0.0, 0.5) * count)
            last = int(min(first + stage.random.uniform(0.3, 0.6) * count, count))
            shift = (np.log(100.0), np.log(1000.0), stage.random.uniform(0.2, 3.0) * (-1) ** k)[k % 3]
            run.values[first:last, i] += shift

    stage.late.append(spoil)


def copy(stage: Stage, share: float = 13 / 24, jitter_bps: float = 0.0, delay_s: float = 0.0) -> None:
    """Thirteen of 24 repeat one slow site: 25 s late, refreshed every 20 s."""
    bad = stage.pick(share)
    site = bad[0]
    stage.every[site], stage.hidden_s[site] = 20.0, 25.0
    stage.voices[bad] = site

    def repeat(run: Run, path: Floats) -> None:
        held = np.array(run.values[:, site])
        for i in bad[1:]:
            behind = round(float(stage.random.uniform(0, delay_s)) / stage.world.window_s)
            said = np.concatenate([np.full(behind, held[0]), held[: len(held) - behind]])
            run.values[:, i] = said + stage.random.normal(0.0, jitter_bps * BPS, len(held))
            run.times_ms[:, i] = run.times_ms[:, site]

    stage.late.append(repeat)


def liars(stage: Stage, share: float) -> None:
    """A share colludes after a good history: steps and ramps of 30 to 150 bps, the same lie from all of them."""
    bad = stage.pick(share)

    def lie(run: Run, path: Floats) -> None:
        count, draw = len(run.values), stage.random
        shift = np.zeros(count)
        t = int(0.25 * count)
        while t < count:
            length = int(draw.uniform(0.06, 0.15) * count)
            size = draw.uniform(30, 150) * BPS * (1 if draw.random() < 0.5 else -1)
            stop = min(t + length, count)
            shift[t:stop] = size if draw.random() < 0.5 else size * np.linspace(0, 1, length)[: stop - t]
            t = stop + int(draw.uniform(0.02, 0.08) * count)
        run.values[:, bad] += shift[:, None]

    stage.late.append(lie)


def byz20(stage: Stage) -> None:
    """A fifth colludes, stepping and ramping, after a good history."""
    liars(stage, 0.2)


def byz40(stage: Stage) -> None:
    """Two fifths collude, stepping and ramping, after a good history."""
    liars(stage, 0.4)


def mixed(stage: Stage) -> None:
    """Twenty of 24 are faulty: five noisy, five late, four frozen now and then, three in wrong units, three in collusion."""
    n = stage.world.providers
    order, draw = stage.order, stage.random
    cuts = np.round(np.cumsum([5, 5, 4, 3, 3]) * n / 24).astype(int)
    loud, tardy, stuck, wrong, false = np.split(order[: cuts[-1]], cuts[:-1])
    stage.noise[loud] = draw.uniform(15, 50, len(loud)) * BPS
    stage.hidden_s[tardy] = draw.uniform(20, 60, len(tardy))
    for scenario, members in ((frozen, stuck), (unit, wrong)):
        _over(stage, scenario, members)
    _over(stage, lambda s: liars(s, len(false) / n), false)


def _over(stage: Stage, scenario: Callable[[Stage], None], members: NDArray[np.int64]) -> None:
    """Apply a scenario to these providers instead of its own share."""
    pick = stage.pick
    stage.pick = lambda share: members  # type: ignore[method-assign]
    scenario(stage)
    stage.pick = pick  # type: ignore[method-assign]


def crash(stage: Stage) -> None:
    """The truth falls by a quarter in ten minutes, at four times its volatility."""
    first = stage.warm_s + int(0.4 * (stage.seconds - stage.warm_s))
    last = min(first + 600, stage.seconds)
    stage.steps[first:last] *= 4.0
    stage.steps[first:last] += np.log(0.75) / 600 - stage.steps[first:last].mean()


SCENARIOS: dict[str, Callable[[Stage], None]] = {
    "clean": clean,
    "noisy": noisy,
    "stale": stale,
    "frozen": frozen,
    "unit": unit,
    "copy": copy,
    "byz20": byz20,
    "byz40": byz40,
    "mixed": mixed,
    "crash": crash,
}


def simulate(scenario: str, seed: int, world: World | None = None, rule: Callable[[Stage], None] | None = None) -> Run:
    """One run of a scenario, the same for the same seed and world."""
    stage = Stage(world or World(), seed)
    (rule or SCENARIOS[scenario])(stage)
    return stage.play(scenario)
