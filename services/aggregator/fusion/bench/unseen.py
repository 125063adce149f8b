"""More ways to go wrong than the published ten: worlds that no constant of the model was tuned on, kept to show where it bends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.aggregator.fusion.bench.generator import BPS, Floats, Run, Stage, World, clean, copy, liars, mixed, stale


def jitter(stage: Stage) -> None:
    """Copies of the slow site that add 1 bp of noise of their own."""
    copy(stage, jitter_bps=1.0)


def delay(stage: Stage) -> None:
    """Copies of the slow site, each up to 20 s behind it, with half a bp of noise."""
    copy(stage, jitter_bps=0.5, delay_s=20.0)


def echo(stage: Stage) -> None:
    """Thirteen of 24 repeat one honest but noisy site (6 bps) with 1 bp of noise."""
    copy(stage, jitter_bps=1.0)
    site = stage.order[0]
    stage.every[site], stage.hidden_s[site], stage.noise[site] = 5.0, 0.0, 6 * BPS


def peg(stage: Stage) -> None:
    """Ten of 24 quote in a stablecoin that loses 60 bps over ten minutes and stays there."""
    bad = stage.pick(10 / 24)

    def slide(run: Run, path: Floats) -> None:
        seconds = (run.as_of_ms - run.as_of_ms[0]) / 1000
        start = seconds[-1] * 0.4
        run.values[:, bad] += 60 * BPS * np.clip((seconds - start) / 600, 0, 1)[:, None]

    stage.late.append(slide)


def biased(stage: Stage) -> None:
    """Everyone is off by a constant of his own, 4 bps on average, for ever."""
    off = stage.random.normal(0.0, 5 * BPS, stage.world.providers)

    def shift(run: Run, path: Floats) -> None:
        run.values += off

    stage.late.append(shift)


def tails(stage: Stage) -> None:
    """Noise with heavy tails: Student's t with two degrees of freedom."""
    draw = stage.random

    def shake(run: Run, path: Floats) -> None:
        run.values += draw.standard_t(2, run.values.shape) * stage.noise

    stage.late.append(shake)


def wandering(stage: Stage) -> None:
    """Errors that persist: first-order autoregressive with a memory of ten windows, 4 bps."""
    draw = stage.random

    def wander(run: Run, path: Floats) -> None:
        error = np.zeros(run.values.shape[1])
        for t in range(len(run.values)):
            error = 0.9 * error + draw.normal(0.0, 4 * BPS * np.sqrt(1 - 0.81), len(error))
            run.values[t] += error

    stage.late.append(wander)


def gaps(stage: Stage) -> None:
    """Each provider is silent in a third of the windows, half of them in long stretches."""
    draw = stage.random

    def silence(run: Run, path: Floats) -> None:
        count, n = run.values.shape
        run.values[draw.random((count, n)) < 0.2] = np.nan
        for i in range(n):
            for first in draw.integers(0, count, 2):
                run.values[first : first + count // 12, i] = np.nan

    stage.late.append(silence)


def undated(stage: Stage) -> None:
    """Nobody states a time: everything looks new, though some look only every 12 s."""
    stage.late.append(lambda run, path: run.times_ms.__setitem__(slice(None), run.as_of_ms[:, None]))


def early(stage: Stage) -> None:
    """Two fifths collude from the very first window: no good history to tell them by."""
    bad = stage.pick(0.4)
    size = stage.random.uniform(30, 150) * BPS
    stage.late.append(lambda run, path: run.values.__setitem__((slice(None), bad), run.values[:, bad] + size))


def gap(stage: Stage) -> None:
    """The truth jumps by 3 % at once, four times."""
    first = stage.warm_s + 300
    for k in range(4):
        stage.steps[min(first + k * (stage.seconds - first) // 4, stage.seconds - 1)] += 0.03 * (-1) ** k


def spike(stage: Stage) -> None:
    """A flash crash: 8 % down in 40 s, back in 60 s."""
    first = stage.warm_s + (stage.seconds - stage.warm_s) // 2
    stage.steps[first : first + 40] -= 0.08 / 40
    stage.steps[first + 60 : first + 120] += 0.08 / 60


def coarse(stage: Stage) -> None:
    """A quiet quantity, published in steps of 2 bps by all."""
    stage.steps *= 0.1

    def snap(run: Run, path: Floats) -> None:
        run.values[:] = np.round(run.values / (2 * BPS)) * 2 * BPS

    stage.late.append(snap)


def apart(stage: Stage) -> None:
    """Liars without collusion: a third is off by 20 to 200 bps, each in its own way, in spells."""
    bad, draw = stage.pick(1 / 3), stage.random

    def err(run: Run, path: Floats) -> None:
        count = len(run.values)
        for i in bad:
            for first in draw.integers(0, count, 6):
                run.values[first : first + count // 12, i] += draw.uniform(20, 200) * BPS * draw.choice([-1, 1])

    stage.late.append(err)


def whisper(stage: Stage) -> None:
    """Two fifths collude on small lies of 6 to 15 bps."""
    bad, draw = stage.pick(0.4), stage.random

    def lie(run: Run, path: Floats) -> None:
        count = len(run.values)
        for first in range(count // 4, count, count // 8):
            run.values[first : first + count // 16, bad] += draw.uniform(6, 15) * BPS * draw.choice([-1, 1])

    stage.late.append(lie)


def crowd(stage: Stage) -> None:
    """Three crowds of five copy three different noisy sites (8 bps)."""
    members = np.array_split(stage.order[:15], 3)

    def repeat(run: Run, path: Floats) -> None:
        for crowd in members:
            run.values[:, crowd] = run.values[:, [crowd[0]]] + stage.random.normal(
                0, 0.5 * BPS, (len(run.values), len(crowd))
            )
            run.times_ms[:, crowd] = run.times_ms[:, [crowd[0]]]

    for crowd in members:
        stage.noise[crowd[0]] = 8 * BPS
        stage.voices[crowd] = crowd[0]
    stage.late.append(repeat)


RULES: dict[str, Callable[[Stage], None]] = {
    rule.__name__: rule
    for rule in (
        jitter,
        delay,
        echo,
        crowd,
        peg,
        biased,
        tails,
        wandering,
        gaps,
        undated,
        early,
        whisper,
        apart,
        gap,
        spike,
        coarse,
    )
}
WORLDS: dict[str, tuple[World, Callable[[Stage], None]]] = {
    "calm": (World(volatility_bps=0.3), clean),
    "calm copy": (World(volatility_bps=0.5), copy),
    "calm stale": (World(volatility_bps=0.5), stale),
    "wild": (World(volatility_bps=4.0), clean),
    "1 s windows": (World(window_s=1.0), mixed),
    "20 s windows": (World(window_s=20.0), mixed),
    "60 s windows": (World(window_s=60.0, every_s=(5.0, 60.0)), mixed),
    "three": (World(providers=3), clean),
    "five, one liar": (World(providers=5), lambda stage: liars(stage, 0.2)),
    "eight mixed": (World(providers=8), mixed),
    "hundred": (World(providers=100, windows=240), mixed),
    "quiet sources": (World(noise_bps=(0.2, 1.0), volatility_bps=1.0), clean),
    "loud sources": (World(noise_bps=(5.0, 30.0)), clean),
}
