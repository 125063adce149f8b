"""The compiled kernels agree with a reference written for reading, and with themselves uncompiled, to the bit."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from services.aggregator.compiled.kernels import KERNELS, Kernels
from services.aggregator.fusion import Answer, Fuser, Observation, Plain, lags, rows
from services.aggregator.fusion.bench import generator
from services.aggregator.fusion.layout import (
    APART,
    AT,
    COUNT,
    DRIFT,
    FIRST_MS,
    INFL_A,
    INFL_B,
    KNOWN,
    LAG,
    LAST_VALUE,
    MEAN,
    MIDDLE,
    OFF,
    PID,
    RIGHT,
    ROW,
    S2,
    SEEN,
    VAR,
    VOL,
)
from services.aggregator.fusion.voices import MOST_SHARED, VOICE_FROM, VOICE_OVER
from tests.unit.aggregator.fusion import reference

TOL = 5e-4
SPEC = Plain(name="price", tolerance=TOL, window_ms=10_000)


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    Fuser.warm(wait=True)
    assert KERNELS.ready


def windows(scenario: str, count: int, providers: int = 12, seed: int = 3) -> list[tuple[int, list[Observation]]]:
    run = generator.simulate(scenario, seed, generator.World(providers=providers, windows=count))
    return [
        (int(as_of), [Observation(p, p, v, int(t)) for p, v, t in zip(run.names, values, times, strict=True)])
        for as_of, values, times in zip(run.as_of_ms, run.values.tolist(), run.times_ms.tolist(), strict=True)
    ]


def described(fuser: Fuser, window: list[Observation], as_of: int) -> dict[str, object]:
    """The fuser's state in the reference's terms."""
    state = fuser.state
    entry = state.keys.get("k", {}).get(SPEC.name)
    if entry is None:
        sources = [reference.Source(float(o.value), o.ts_ms, o.weight, o.group) for o in window]
        return {"sources": sources, "as_of": as_of, "tol": TOL, "vol": 0.25 / SPEC.window_ms}
    sources = []
    head = entry.head
    pids = [int(entry.slots[entry.slot_of[o.provider], PID]) for o in window]
    for o in window:
        slot = entry.slots[entry.slot_of[o.provider]]
        row = state.sources[int(slot[ROW])]
        old = slot[SEEN] > 0 and slot[LAST_VALUE] == o.value
        shared = {}
        for j, pid in enumerate(pids):
            odds = float(state.pairs[max(pid, int(slot[PID])), min(pid, int(slot[PID]))])
            if odds > VOICE_FROM:
                shared[j] = min((odds - VOICE_FROM) / VOICE_OVER, MOST_SHARED)
        sources.append(
            reference.Source(
                float(o.value),
                o.ts_ms,
                o.weight,
                o.group,
                row[S2],
                row[RIGHT],
                row[KNOWN],
                row[LAG],
                slot[FIRST_MS] if old else None,
                shared,
                slot[OFF] - head[MIDDLE],
            )
        )
    before = reference.Before(head[MEAN], head[VAR], head[AT]) if head[COUNT] else None
    return {
        "sources": sources,
        "as_of": as_of,
        "tol": TOL,
        "vol": head[VOL],
        "drift": head[DRIFT],
        "inflation": head[INFL_A] / head[INFL_B],
        "apart": head[APART],
        "before": before,
    }


@pytest.mark.parametrize("scenario", ["clean", "stale", "unit", "copy", "byz40", "mixed", "crash"])
def test_the_kernel_agrees_with_the_reference(scenario: str) -> None:
    fuser = Fuser()
    for as_of, window in windows(scenario, 80):
        fuser.advance(as_of)
        expected = reference.answer(**described(fuser, window, as_of))  # type: ignore[arg-type]
        found = fuser.answer(SPEC, "k", window, as_of)
        assert isinstance(found.value, float)
        assert found.value == pytest.approx(expected.value, rel=1e-9)
        assert found.confidence == pytest.approx(expected.confidence, abs=1e-9)
        assert found.n_voices == pytest.approx(sum(expected.voices), rel=1e-9)
        fuser.learn(SPEC, "k", window, as_of)


def test_groups_and_ties_weigh_as_in_the_reference() -> None:
    draw = random.Random(5)
    for _ in range(50):
        n = draw.randint(1, 9)
        window = [
            Observation(
                f"p{i}",
                f"g{draw.randint(0, 3)}",
                100 + draw.choice([0.0, 0.01, draw.random() / 10]),
                1000 - draw.randint(0, 900),
                draw.random(),
            )
            for i in range(n)
        ]
        fuser = Fuser()
        expected = reference.answer(**described(fuser, window, 1000))  # type: ignore[arg-type]
        found = fuser.answer(SPEC, "k", window, 1000)
        assert found.n_voices == pytest.approx(sum(expected.voices), rel=1e-9)
        assert found.value == pytest.approx(expected.value, rel=1e-9)
        assert found.confidence == pytest.approx(expected.confidence, abs=1e-9)


def test_a_lone_statement_is_weighed_as_in_the_reference() -> None:
    """It has a short cut of its own; here it is compared with the whole model."""
    draw = random.Random(7)
    for scenario in ("clean", "stale", "byz40"):
        fuser = Fuser()
        for as_of, window in windows(scenario, 60):
            fuser.learn(SPEC, "other", window, as_of)
            fuser.advance(as_of)
        for name in [o.provider for o in window] + ["stranger"]:
            said = Observation(
                name, name, 100.0 * (1 + draw.random()), as_of - draw.randint(-500, 60_000), draw.random()
            )
            row = fuser.state.sources[fuser.state.rows.get((SPEC.name, name), 0)]
            source = reference.Source(
                said.value, said.ts_ms, said.weight, name, row[S2], row[RIGHT], row[KNOWN], row[LAG], None, {}
            )  # type: ignore[arg-type]
            if name == "stranger":
                source = reference.Source(said.value, said.ts_ms, said.weight, name)  # type: ignore[arg-type]
            expected = reference.answer(sources=[source], as_of=as_of, tol=TOL, vol=0.25 / SPEC.window_ms)
            found = fuser.answer(SPEC, "k", [said], as_of)
            assert found.value == pytest.approx(expected.value, rel=1e-9)
            assert found.confidence == pytest.approx(expected.confidence, abs=1e-9)
            assert (found.weights, found.why, found.n_sources, found.n_voices) == ([1.0], [None], 1, 1.0)


def told(scenario: str, count: int) -> tuple[list[Answer], bytes, bytes | None]:
    fuser, answers = Fuser(), []
    for as_of, window in windows(scenario, count):
        fuser.advance(as_of)
        answers.append(fuser.answer(SPEC, "k", window, as_of))
        fuser.learn(SPEC, "k", window, as_of)
    return answers, fuser.dump(), fuser.dump_key("k")


@pytest.mark.parametrize("scenario", ["stale", "copy", "mixed"])
def test_compiled_and_uncompiled_give_the_same_bits(scenario: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a replay agrees, whenever the compiler was ready."""
    compiled = told(scenario, 40)
    for name, function in (
        ("answer_rows", rows.answer_rows),
        ("advance_sources", rows.advance_sources),
        ("advance_voices", rows.advance_voices),
    ):
        monkeypatch.setattr(KERNELS, name, function)
    assert told(scenario, 40) == compiled


def test_before_it_is_compiled_a_kernel_answers_at_once() -> None:
    fresh = Kernels()
    assert (fresh.ready, fresh.answer_rows) == (False, rows.answer_rows)
    fresh.warm()
    fresh.warm(wait=True)
    assert fresh.ready
    assert fresh.answer_rows is not rows.answer_rows


def test_the_path_is_read_between_its_samples() -> None:
    path = np.array([[100.0, 2.0], [90.0, 4.0], [0.0, 0.0]])
    at = [lags.at_time(path, 2, 110.0, 1.0, t) for t in (120.0, 110.0, 105.0, 100.0, 95.0, 90.0, 50.0)]
    assert at == [1.0, 1.0, 1.5, 2.0, 3.0, 4.0, 4.0]
    assert lags.at_time(path, 0, 110.0, 1.0, 50.0) == 1.0
    assert math.isfinite(lags.at_time(path, 2, 100.0, 7.0, 99.0))
