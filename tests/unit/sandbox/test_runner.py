"""What each service of a run is told, before anything is started."""

from __future__ import annotations

import pytest

from sandbox import runner
from sandbox.runner import Options, invocation, main, mode


def names(options: Options) -> list[str]:
    return [row.name for row in options.services()]


@pytest.mark.parametrize(
    "options, expected",
    [
        (
            Options(live=False, idle=False, port=1),
            ["gateway", "aggregator", "signals", "simulator", "collector", "health"],
        ),
        (Options(live=True, idle=False, port=1), ["gateway", "aggregator", "signals", "collector", "health"]),
        (Options(live=False, idle=True, port=1), ["gateway", "aggregator", "signals", "health"]),
    ],
    ids=["sandbox", "live", "idle"],
)
def test_each_kind_of_run_has_its_services_in_start_order(options: Options, expected: list[str]) -> None:
    assert names(options) == expected


def test_a_live_run_takes_live_records_only_and_knows_no_simulator() -> None:
    assert mode(Options(live=True, idle=False, port=1), 9) == {"PARALLAX_ORIGINS": "live"}


def test_other_runs_never_take_live_records() -> None:
    assert mode(Options(live=False, idle=True, port=1), 9) == {"PARALLAX_ORIGINS": "replay"}
    assert mode(Options(live=False, idle=False, port=1), 9) == {
        "PARALLAX_ORIGINS": "sandbox,replay",
        "PARALLAX_SANDBOX_URL": "http://127.0.0.1:9",
    }


def test_the_gateway_gets_its_port_by_variable_and_the_simulator_by_option() -> None:
    arguments, environ = invocation(runner.GATEWAY, 7860, 11, {"PARALLAX_KAFKA": "k:1"})
    assert (arguments, environ) == (
        ["gateway"],
        {
            "PARALLAX_KAFKA": "k:1",
            "PARALLAX_INSTANCE": "gateway",
            "PARALLAX_OPS_PORT": "11",
            "PARALLAX_STOP_S": "7.0",
            "PARALLAX_PORT": "7860",
        },
    )
    arguments, environ = invocation(runner.SIMULATOR, 9000, 12, {})
    assert arguments == ["simulator", "--port", "9000"]
    assert "PARALLAX_PORT" not in environ


def test_a_stop_budget_of_yours_is_kept() -> None:
    assert invocation(runner.COLLECTOR, None, 1, {"PARALLAX_STOP_S": "3"})[1]["PARALLAX_STOP_S"] == "3"


def test_live_and_idle_together_are_a_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--live", "--idle"])
    assert ended.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
