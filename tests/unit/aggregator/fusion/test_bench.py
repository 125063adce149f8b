"""The bench itself: seeded worlds, baselines on examples that can be checked by hand, and verdicts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from services.aggregator.fusion.bench import command, drawn, generator, score
from services.aggregator.fusion.bench.baselines import (
    BASELINES,
    Accu,
    Band,
    Baseline,
    Cccagg,
    Crh,
    Fenced,
    Gtm,
    Pyth,
    Window,
    weighted_median,
)
from services.aggregator.fusion.bench.score import Told


def window(z: list[float], ages_s: list[float] | None = None, sizes: list[float] | None = None) -> Window:
    n = len(z)
    return Window(np.array(z), np.array(ages_s or [0.0] * n), np.array(sizes or [1.0] * n), np.arange(n))


@pytest.mark.parametrize("scenario", generator.SCENARIOS)
def test_a_seed_gives_the_same_world_and_another_seed_another(scenario: str) -> None:
    world = generator.World(windows=20)
    one, two, other = (generator.simulate(scenario, seed, world) for seed in (1, 1, 2))
    assert np.array_equal(one.values, two.values)
    assert np.array_equal(one.times_ms, two.times_ms)
    assert not np.array_equal(one.values, other.values)
    assert one.values.shape == (20, 24)
    assert (one.times_ms <= one.as_of_ms[:, None]).all()


def test_scenarios_are_what_they_say() -> None:
    world = generator.World(windows=200)
    run = generator.simulate("copy", 3, world)
    site = np.bincount(run.voices, minlength=24).argmax()
    members = np.flatnonzero(run.voices == site)
    assert len(members) == 13
    assert (run.values[:, members] == run.values[:, [members[0]]]).all()
    crash = generator.simulate("crash", 3, world)
    assert crash.truth.min() / crash.truth[0] == pytest.approx(0.75, abs=0.06)
    off = np.abs(np.log(generator.simulate("unit", 3, world).values / run.truth[:, None]))
    assert (np.abs(off - math.log(100)) < 0.5).any()
    byz = generator.simulate("byz40", 3, world)
    error = np.abs(np.log(byz.values / byz.truth[:, None]))
    assert np.median((error > 20e-4).sum(axis=1)[60:]) == 10
    assert np.median((error[:50] > 20e-4).sum(axis=1)) == 0


def test_equal_weights_make_the_weighted_median_a_median_and_weights_follow_their_values() -> None:
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.ones(3)) == 2.0
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.array([5.0, 1.0, 1.0])) == 3.0


def test_pyth_takes_the_median_of_three_votes_per_source_and_the_wider_quarter() -> None:
    value, confidence = Pyth().step(window([0.0, 1.0, 2.0]))
    votes = sorted(v + d for v in (0.0, 1.0, 2.0) for d in (-0.6, 0.0, 0.6))
    assert value == pytest.approx(votes[4])
    interval = max(votes[4] - votes[2], votes[6] - votes[4])
    assert confidence == pytest.approx(math.erf(1 / interval / math.sqrt(2)))


def test_band_multiplies_the_power_of_the_newest() -> None:
    # 32 equal powers: newest x6, next two x4, next four x2, next eight x1.1, the rest x1.
    z = list(range(32))
    weights = [6.0] + [4.0] * 2 + [2.0] * 4 + [1.1] * 8 + [1.0] * 17
    expected = weighted_median(np.array(z, float), np.array(weights))
    assert Band().step(window([float(x) for x in z], ages_s=[float(x) for x in z]))[0] == expected
    # The same powers, given in another order.
    assert Band().step(window([float(x) for x in reversed(z)], ages_s=[float(x) for x in reversed(z)]))[0] == expected


def test_fences_drop_what_is_far_and_sizes_weigh_the_rest() -> None:
    assert Fenced().step(window([1.0, 2.0, 3.0, 100.0], sizes=[1.0, 1.0, 2.0, 9.0]))[0] == pytest.approx(2.25)


def test_crh_comes_to_trust_who_loses_least() -> None:
    rule, value = Crh(5), 0.0
    for step in range(60):
        value, _ = rule.step(window([0.0, 0.01, 0.02, 5.0 + step % 3, -4.0 - step % 5]))
    assert 0.0 <= value <= 0.02
    assert rule.loss[:3].max() < rule.loss[3:].min()


def test_gtm_learns_the_variance_of_each_source() -> None:
    rule, draw = Gtm(4), np.random.default_rng(1)
    for _ in range(300):
        rule.step(window((np.array([0.1, 0.1, 0.1, 3.0]) * draw.normal(size=4)).tolist()))
    noise = (2 * rule.BETA + rule.square) / (2 * (rule.ALPHA + 1) + rule.count)
    assert noise[3] > 10 * noise[:3].max()


def test_accu_votes_by_accuracy() -> None:
    value, confidence = Accu(5).step(window([0.0, 0.1, 0.2, 40.0, 80.0]))
    assert value == pytest.approx(0.1)
    assert confidence > 0.95


@pytest.mark.parametrize(("minutes", "factor"), [(0, 1.0), (6, 0.8), (11, 0.6), (16, 0.4), (21, 0.2), (26, 0.01)])
def test_cccagg_cuts_the_weight_of_old_trades(minutes: int, factor: float) -> None:
    value, _ = Cccagg().step(window([0.0, 1.0], ages_s=[0.0, minutes * 60.0]))
    assert value == pytest.approx(factor / (1 + factor))


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_finds_the_obvious(name: str) -> None:
    rule: Baseline = BASELINES[name](6)
    value, confidence = rule.step(window([0.0, 0.1, -0.1, 0.05, -0.05, 0.0]))
    assert abs(value) < 0.1
    assert 0.9 < confidence <= 1.0


def told(error: list[float], confidence: list[float], **more: float) -> Told:
    return Told(np.array(error), np.array(confidence), **more)  # type: ignore[arg-type]


def test_verdicts_count_what_they_say() -> None:
    found = score.score(
        [
            told([0.5, 2.0], [0.9, 0.9], hits=3, false=1, missed=2, voices=5.0),
            told([0.5, 0.5], [0.9, 0.9], hits=1, voices=7.0),
        ],
        5e-4,
    )
    assert (found.within, found.ece, found.mae_bps) == (0.75, pytest.approx(0.15), pytest.approx(4.375))
    assert found.brier == pytest.approx((3 * 0.01 + 0.81) / 4)
    assert (found.precision, found.recall, found.voices) == (0.8, pytest.approx(4 / 6), 6.0)


def test_coverage_is_the_largest_prefix_of_the_surest_that_is_right() -> None:
    confidence = np.linspace(1, 0, 100)
    right = np.array([True] * 60 + [False] * 40)
    assert score.coverage(confidence, right) == pytest.approx(0.63)
    assert score.coverage(confidence, ~right) == 0.0


def test_a_perfectly_calibrated_source_has_no_error() -> None:
    confidence = np.array([0.5] * 10 + [0.9] * 10)
    right = np.array([True] * 5 + [False] * 5 + [True] * 9 + [False])
    assert score.ece(confidence, right) == pytest.approx(0.0)
    assert score.reliability(confidence, right) == [(0.5, 0.5, 10), (pytest.approx(0.9), 0.9, 10)]


def test_the_command_writes_table_json_and_diagram(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = command.main(
        ["--seeds", "1", "--first-seed", "3", "--providers", "24", "--scenario", "clean", "--out", str(tmp_path)]
    )
    assert code in (0, 1)
    assert "| clean/24 |" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"fusion.json", "fusion-reliability.png"}


def test_a_drawn_world_is_its_seed_s_and_nobody_is_silent_in_it_for_good() -> None:
    one, two, other = drawn.draw(17), drawn.draw(17), drawn.draw(18)
    assert one.name == two.name != other.name
    assert np.array_equal(one.run.values, two.run.values, equal_nan=True)
    assert np.isfinite(one.run.values).any(axis=1).all()
    assert one.run.values.shape == (len(one.run.truth), one.world.providers)


@pytest.mark.parametrize("name", drawn.FAULTS)
def test_each_fault_changes_those_it_strikes_and_no_others(name: str) -> None:
    world = generator.World(providers=6, windows=120)
    fault, _ = drawn.FAULTS[name]

    def spoiled(stage: generator.Stage) -> None:
        # What a fault draws must not change what the world draws.
        own, stage.random = stage.random, np.random.default_rng(5)
        fault(stage, np.array([1, 4]))
        stage.random = own

    plain = generator.simulate("plain", 3, world, generator.clean)
    struck = generator.simulate("struck", 3, world, spoiled)
    same = [
        np.array_equal(plain.values[:, i], struck.values[:, i])
        and np.array_equal(plain.times_ms[:, i], struck.times_ms[:, i])
        for i in range(6)
    ]
    # What a provider sees is drawn after what the one before it saw, so the first is untouched in any case.
    assert same[0]
    assert not (same[1] and same[4])


@pytest.mark.parametrize("seed", [9, 12, 16, 69])
def test_the_fuser_answers_in_every_drawn_world(seed: int) -> None:
    told = score.robust(drawn.draw(seed).run, command.TOL)
    assert np.isfinite(told.error).all()
    assert ((told.confidence >= 0.0) & (told.confidence <= 1.0)).all()
    assert float((told.error <= 1.0).mean()) > 0.9


def test_drawn_worlds_are_summed_up_one_like_the_other() -> None:
    results = command.lottery(range(15, 17))
    assert results["means"]["robust"]["within"] == pytest.approx(
        sum(world["robust"]["within"] for world in results["worlds"]) / 2
    )
    assert [(name, s["worlds"]) for name, s in results["sizes"].items()] == [("8 to 16", 2)]
    assert "| robust | 0.9" in command.lottery_table(results)
