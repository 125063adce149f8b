"""Worlds drawn at random from a wide family: how many sources, how fast the truth, which faults together; nobody chose them.

A seed gives a world: 2 to 60 providers, windows of 1 to 60 s, truths from calm to wild, and up to three faults at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.aggregator.fusion.bench.generator import BPS, Floats, Run, Stage, World

Members = NDArray[np.int64]
Fault = Callable[[Stage, Members], None]
COUNTS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 60)


def loud(stage: Stage, members: Members) -> None:
    """Noise of 10 to 60 bps."""
    stage.noise[members] = stage.random.uniform(10, 60, len(members)) * BPS


def late(stage: Stage, members: Members) -> None:
    """Hidden lag of 5 to 90 s."""
    stage.hidden_s[members] = stage.random.uniform(5, 90, len(members))


def stuck(stage: Stage, members: Members) -> None:
    """Some stretches without a move, while the clock goes on."""
    draw = stage.random

    def stop(run: Run, path: Floats) -> None:
        count = len(run.values)
        for i in members:
            for first in draw.integers(0, count, draw.integers(1, 4)):
                run.values[first : first + int(count * draw.uniform(0.05, 0.3)), i] = run.values[first, i]

    stage.late.append(stop)


def scaled(stage: Stage, members: Members) -> None:
    """Spells in a wrong unit or of a wrong symbol."""
    draw = stage.random

    def spoil(run: Run, path: Floats) -> None:
        count = len(run.values)
        for i in members:
            first = int(draw.uniform(0, 0.7) * count)
            shift = draw.choice([np.log(100), -np.log(100), np.log(1000), np.log(1e9), 0.3, -1.2])
            run.values[first : first + int(draw.uniform(0.02, 0.5) * count), i] += shift

    stage.late.append(spoil)


def repeated(stage: Stage, members: Members) -> None:
    """They repeat one of them, exactly or with jitter, at once or later."""
    if len(members) < 2:
        return
    draw = stage.random
    site = members[0]
    stage.voices[members] = site
    if draw.random() < 0.5:
        stage.every[site], stage.hidden_s[site] = draw.uniform(2, 20), draw.uniform(0, 30)
    stage.noise[site] = draw.uniform(1, 8) * BPS
    jitter, delay_s = draw.choice([0.0, 0.5, 1.5]), draw.choice([0.0, 10.0])
    own_times = draw.random() < 0.5

    def repeat(run: Run, path: Floats) -> None:
        held = np.array(run.values[:, site])
        for i in members[1:]:
            behind = round(float(draw.uniform(0, delay_s)) / stage.world.window_s)
            said = np.concatenate([np.full(behind, held[0]), held[: len(held) - behind]])
            run.values[:, i] = said + draw.normal(0.0, jitter * BPS, len(held))
            if not own_times:
                run.times_ms[:, i] = run.times_ms[:, site]

    stage.late.append(repeat)


def colluding(stage: Stage, members: Members) -> None:
    """The same lie from all of them, in steps and ramps of 5 to 300 bps, from some time on."""
    draw = stage.random

    def lie(run: Run, path: Floats) -> None:
        count = len(run.values)
        t = int(draw.uniform(0.05, 0.4) * count)
        while t < count:
            length = int(draw.uniform(0.03, 0.25) * count) + 1
            size = np.exp(draw.uniform(np.log(5), np.log(300))) * BPS * draw.choice([-1, 1])
            stop = min(t + length, count)
            run.values[t:stop, members] += (
                size if draw.random() < 0.5 else (size * np.linspace(0, 1, length)[: stop - t])[:, None]
            )
            t = stop + int(draw.uniform(0.02, 0.2) * count)

    stage.late.append(lie)


def drifting(stage: Stage, members: Members) -> None:
    """Each walks away from the truth slowly, up to some tens of bps an hour, in its own direction."""
    draw = stage.random

    def walk(run: Run, path: Floats) -> None:
        count = len(run.values)
        for i in members:
            run.values[:, i] += np.cumsum(draw.normal(0, 15 * BPS / np.sqrt(count), count)) + draw.normal(
                0, 10 * BPS
            ) * np.linspace(0, 1, count)

    stage.late.append(walk)


def tailed(stage: Stage, members: Members) -> None:
    """Student's t noise with 1.5 to 3 degrees of freedom."""
    draw = stage.random
    degrees = draw.uniform(1.5, 3)

    def shake(run: Run, path: Floats) -> None:
        shape = (len(run.values), len(members))
        run.values[:, members] += draw.standard_t(degrees, shape) * stage.noise[members]

    stage.late.append(shake)


def together(stage: Stage, members: Members) -> None:
    """A slow error that all of them share in part (a common upstream), 3 to 15 bps, memory of 20 windows."""
    draw = stage.random
    size, share = draw.uniform(3, 15) * BPS, draw.uniform(0.4, 0.9)

    def err(run: Run, path: Floats) -> None:
        count = len(run.values)
        error = np.zeros(count)
        for t in range(1, count):
            error[t] = 0.95 * error[t - 1] + draw.normal(0, size * np.sqrt(1 - 0.95**2))
        run.values[:, members] += error[:, None] * draw.uniform(share, 1, len(members))

    stage.late.append(err)


def offset(stage: Stage, members: Members) -> None:
    """Each is off by a constant of its own, some bps."""
    shift = stage.random.normal(0, stage.random.uniform(2, 12) * BPS, len(members))
    stage.late.append(lambda run, path: run.values.__setitem__((slice(None), members), run.values[:, members] + shift))


def silent(stage: Stage, members: Members) -> None:
    """Outages: long ones of each alone, and one of all of them at once."""
    draw = stage.random

    def hush(run: Run, path: Floats) -> None:
        count = len(run.values)
        for i in members:
            for first in draw.integers(0, count, 3):
                run.values[first : first + count // draw.integers(8, 40), i] = np.nan
        first = draw.integers(0, count)
        if len(members) < run.values.shape[1]:
            run.values[first : first + count // 15, members] = np.nan

    stage.late.append(hush)


def undated(stage: Stage, members: Members) -> None:
    """They state the time of asking, not that of the value."""
    stage.late.append(
        lambda run, path: run.times_ms.__setitem__(
            (slice(None), members), np.repeat(run.as_of_ms[:, None], len(members), 1)
        )
    )


def rounded(stage: Stage, members: Members) -> None:
    """They publish few digits: steps of about 0.2 to 8 bps of the first value."""
    step = float(stage.random.choice([1.0, 5.0, 10.0, 50.0]))

    def snap(run: Run, path: Floats) -> None:
        run.values[:, members] = np.log(np.maximum(np.round(np.exp(run.values[:, members]) / step), 1.0) * step)

    stage.late.append(snap)


FAULTS: dict[str, tuple[Fault, float]] = {
    "loud": (loud, 0.7),
    "late": (late, 0.5),
    "stuck": (stuck, 0.5),
    "scaled": (scaled, 0.4),
    "repeated": (repeated, 0.6),
    "colluding": (colluding, 0.4),
    "drifting": (drifting, 0.6),
    "tailed": (tailed, 1.0),
    "together": (together, 0.5),
    "offset": (offset, 1.0),
    "silent": (silent, 1.0),
    "undated": (undated, 0.8),
    "rounded": (rounded, 1.0),
}
"""Fault and the largest share of providers that it may strike."""


class Drawn(NamedTuple):
    """A world, what is wrong in it, and its run."""

    name: str
    world: World
    run: Run


def draw(seed: int) -> Drawn:
    """The world of a seed; the same seed gives the same world."""
    random = np.random.default_rng([seed, 77])
    n = int(random.choice(COUNTS))
    window_s = float(random.choice([1.0, 5.0, 5.0, 5.0, 10.0, 30.0, 60.0]))
    world = World(
        providers=n,
        windows=int(random.choice([240, 720])),
        window_s=window_s,
        volatility_bps=float(np.exp(random.uniform(np.log(0.2), np.log(6.0)))) / np.sqrt(max(window_s / 5.0, 1.0)),
        jumps_per_h=float(random.choice([0.0, 6.0, 20.0])),
        jump_bps=float(random.uniform(10, 100)),
        noise_bps=(float(random.uniform(0.3, 1.5)), float(random.uniform(2.0, 8.0))),
        every_s=(1.0, float(random.uniform(5.0, 12.0) * max(window_s / 5.0, 1.0))),
    )
    stage = Stage(world, seed)
    names = []
    regimes = random.random() < 0.3
    if regimes:
        # Volatility changes by stretches.
        names.append("regimes")
        cuts = np.sort(random.integers(0, stage.seconds, 5))
        for first, last in zip(cuts, [*cuts[1:], stage.seconds], strict=True):
            stage.steps[first:last] *= float(np.exp(random.uniform(np.log(0.3), np.log(4.0))))
    left = stage.random.permutation(n)
    struck = 0
    # Never more than three fifths are struck by the worse faults: beyond that nobody can tell anything.
    for fault in random.choice(list(FAULTS), int(random.integers(0, 4)), replace=False):
        rule, most = FAULTS[str(fault)]
        count = max(1, round(float(random.uniform(0.1, 1.0)) * most * n))
        harmless = most >= 0.8
        if not harmless:
            count = min(count, int(0.6 * n) - struck)
        if count <= 0:
            continue
        members = stage.random.permutation(n)[:count] if harmless else left[struck : struck + count]
        struck += 0 if harmless else count
        rule(stage, members)
        names.append(f"{fault}{count}")
    name = f"n={n} w={window_s:g}s vol={world.volatility_bps:.1f} " + "+".join(names)
    return Drawn(name, world, spoken(stage.play(name)))


def spoken(run: Run) -> Run:
    """The windows in which anybody says anything."""
    kept = np.isfinite(run.values).any(axis=1)
    return Run(
        run.scenario, run.as_of_ms[kept], run.truth[kept], run.values[kept], run.times_ms[kept], run.names, run.voices
    )
