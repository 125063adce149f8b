"""`parallax fuse`: one line out per line in, the contract of each field, its own memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.aggregator.fusion.bench import generator
from services.aggregator.fusion.cli import LineError, Session

ROOT = Path(__file__).parents[4]
FIELDS = ["value", "confidence", "low", "high", "outliers", "reasons", "method", "n_sources", "n_voices"]


def line(*values: Any, as_of: int = 1_700_000_000_000, **more: Any) -> bytes:
    observations = [{"provider": f"p{i}", "value": v, "ts": as_of} for i, v in enumerate(values)]
    return json.dumps(
        {"key": "asset:bitcoin", "metric": "price", "as_of": as_of, "observations": observations, **more}
    ).encode()


def run(text: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "fuse", *arguments],
        input=text,
        capture_output=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )


def test_the_worked_example_through_the_command() -> None:
    done = run(line(65234, 65189, 65210, 78000, scale="rel", tol=0.0005) + b"\n")
    (told,) = [json.loads(text) for text in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, b"")
    assert list(told) == FIELDS
    assert 65205 <= told["value"] <= 65215
    assert told["confidence"] >= 0.9
    assert (told["outliers"], told["reasons"], told["method"], told["n_sources"]) == (
        ["p3"],
        {"p3": "range"},
        "robust",
        3,
    )
    assert told["low"] <= told["value"] <= told["high"]


def test_a_strategy_is_used_for_every_metric() -> None:
    done = run(line(1.0, 2.0, 9.0) + b"\n" + line(5.0, 6.0, 7.0, metric="volume_24h") + b"\n", "--strategy", "median")
    told = [json.loads(text) for text in done.stdout.splitlines()]
    assert [(one["value"], one["method"]) for one in told] == [(2.0, "median"), (6.0, "median")]


def test_an_unknown_strategy_is_a_wrong_call() -> None:
    assert run(b"", "--strategy", "guess").returncode == 2


def test_a_line_that_is_no_window_gets_a_line_of_its_own() -> None:
    done = run(b"{nonsense\n\n" + line(1.0) + b"\n")
    wrong, right = [json.loads(text) for text in done.stdout.splitlines()]
    assert (wrong["value"], wrong["confidence"], right["value"]) == (None, 0.0, pytest.approx(1.0))
    assert "line 1: expected one JSON object" in wrong["error"]
    assert done.returncode == 1
    assert done.stderr.startswith(b"line 1: expected")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (line(1.0, scale="odd"), "line 1: scale: expected one of rel, abs, cat, set, text, got 'odd'"),
        (line(1.0, scale="rel", tol=0), "line 1: tol: expected above 0 for numbers"),
        (line(1.0, tol=-1), "line 1: expected one JSON object"),
        (b"[]", "line 1: expected one JSON object"),
        (b'{"key":"k","metric":"m","as_of":1,"observations":[{"value":1}]}', "line 1: expected one JSON object"),
    ],
)
def test_faults_say_what_was_expected(text: bytes, says: str) -> None:
    with pytest.raises(LineError, match="line 1") as fault:
        Session().tell(text, 1)
    assert str(fault.value).startswith(says)


def test_no_observation_is_null_and_confidence_nought() -> None:
    told = Session().tell(line(), 1)
    assert (told.value, told.confidence, told.n_sources) == (None, 0.0, 0)
    assert Session().tell(line(None, None), 1).value is None


def test_the_catalogue_decides_where_the_line_is_silent() -> None:
    session = Session()
    assert session.tell(line(5.0, 6.0, 7.0, metric="market_rank"), 1).method == "median"
    assert session.tell(line(True, True, False, metric="is_honeypot"), 2).value is True
    assert session.tell(line(5.0, 5.01, metric="never heard of it"), 3).method == "robust"
    assert session.tell(line("a", "a", scale="cat", metric="never heard of it"), 4).value == "a"


def test_a_metric_in_another_scale_is_another_metric() -> None:
    session = Session()
    for t in range(20):
        session.tell(line(100.0, 101.0, as_of=t * 1000, scale="abs", tol=1.0), 1)
        session.tell(line(100.0, 100.01, as_of=t * 1000, scale="rel", tol=0.001), 2)
    assert {name for metrics in session.fuser.state.keys.values() for name in metrics} == {
        "price abs 1.0",
        "price rel 0.001",
    }


def test_it_learns_as_it_goes() -> None:
    """A source that is always 3 % off is not believed against another in the end, though it was in the beginning."""
    session = Session()
    for t in range(60):
        session.tell(
            line(
                100.0 + t / 1e3,
                100.001 + t / 1e3,
                100.002 + t / 1e3,
                103.0 + t / 1e3,
                as_of=t * 5000,
                tol=0.001,
                scale="rel",
            ),
            t,
        )
    both = {
        "key": "asset:other",
        "metric": "price",
        "as_of": 400_000,
        "scale": "rel",
        "tol": 0.001,
        "observations": [
            {"provider": "p0", "value": 50.0, "ts": 400_000},
            {"provider": "p3", "value": 51.5, "ts": 400_000},
        ],
    }
    told = session.tell(json.dumps(both).encode(), 61)
    assert told.value == pytest.approx(50.0)
    assert told.confidence > 0.6
    fresh = Session().tell(json.dumps(both).encode(), 1)
    assert fresh.confidence < 0.6


def test_lines_of_several_keys_share_what_is_known_of_sources_and_repeat_exactly() -> None:
    run_ = generator.simulate("mixed", 9, generator.World(windows=30, providers=8))
    lines = []
    for t, as_of in enumerate(run_.as_of_ms.tolist()):
        for key in ("asset:a", "asset:b"):
            said = [
                {"provider": p, "value": v, "ts": ts}
                for p, v, ts in zip(run_.names, run_.values[t].tolist(), run_.times_ms[t].tolist(), strict=True)
            ]
            lines.append(json.dumps({"key": key, "metric": "price", "as_of": as_of, "observations": said}).encode())
    first, second = Session(), Session()
    assert [first.tell(text, 1) for text in lines] == [second.tell(text, 1) for text in lines]
    assert set(first.fuser.state.keys) == {"asset:a", "asset:b"}
