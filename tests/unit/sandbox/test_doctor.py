"""The doctor names what is missing and how to get it, and says nothing else is wrong."""

from __future__ import annotations

import json
import socket

import pytest

from sandbox import configuration, doctor

HEALTHY = {"python", "disk", "memory", "open files", "port", "java", "kafka jars", "valkey", "settings", "kafka"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("PARALLAX_"):
            monkeypatch.delenv(name)


def findings(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, dict[str, object]], str]:
    code = doctor.main(["--json", *arguments])
    captured = capsys.readouterr()
    return code, {row["name"]: row for row in json.loads(captured.out)}, captured.err


def test_everything_is_looked_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    _, rows, _ = findings(capsys)
    assert set(rows) == HEALTHY
    assert (rows["python"]["ok"], rows["java"]["ok"], rows["valkey"]["ok"]) == (True, True, True)
    assert {row["do"] for row in rows.values() if row["ok"]} == {""}


def test_a_taken_port_is_missing_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        code, rows, said = findings(capsys, "--port", str(number))
    assert code == 1
    assert (rows["port"]["ok"], rows["port"]["found"]) == (False, f"{number} is in use")
    assert "port: stop who listens there, or: parallax up --port N" in said.splitlines()


def test_a_misspelled_variable_is_told_with_the_one_that_was_meant(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARALLAX_KAFAK", "127.0.0.1:1")
    code, rows, _ = findings(capsys)
    assert code == 1
    assert rows["settings"]["found"] == "PARALLAX_KAFAK (meant PARALLAX_KAFKA?)"


def test_a_setting_that_cannot_be_read_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARALLAX_OPS_PORT", "high")
    _, rows, _ = findings(capsys)
    assert str(rows["settings"]["found"]).startswith("PARALLAX_OPS_PORT: expected int >= 0 <= 65535, got 'high'")


def test_a_broker_that_does_not_answer_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARALLAX_KAFKA", "127.0.0.1:9")
    _, rows, _ = findings(capsys)
    assert (rows["kafka"]["ok"], rows["kafka"]["found"]) == (False, "127.0.0.1:9 does not answer")


def test_jars_that_are_not_in_the_cache_are_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _, rows, _ = findings(capsys)
    assert str(rows["kafka jars"]["found"]).startswith("0 of 46 in ")
    assert rows["kafka jars"]["do"] == "run: parallax doctor --fetch (some seconds, needs the network)"


def test_a_table_says_the_same_as_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    _, rows, _ = findings(capsys)
    doctor.main([])
    words = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert [(word == "ok", rest.strip().startswith(name)) for (word, rest), name in zip(words, rows, strict=True)] == [
        (row["ok"], True) for row in rows.values()
    ]


def test_known_variables_are_no_strangers() -> None:
    known = {row.variable: "x" for own in configuration.tables().values() for row in own}
    assert configuration.strangers(known | configuration.OUTSIDE | {"PATH": "x"}) == []
    assert configuration.strangers({"PARALLAX_ZZZ": "x"}) == [("PARALLAX_ZZZ", "")]


def test_a_variable_means_the_same_to_every_service_that_reads_it() -> None:
    assert configuration.clashes() == []
