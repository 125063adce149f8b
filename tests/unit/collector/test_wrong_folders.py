"""A folder that is none is told before anything is asked for over the network: no broker runs here."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.collector import remap, replay

MANIFEST = '{"cases": [{"id": "a", "provider": "acme", "endpoint": "t", "kind": "http", "file": "a.json"}]}'


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARALLAX_KAFKA", "127.0.0.1:1")


@pytest.mark.parametrize(
    ("manifest", "arguments", "code", "words"),
    [
        (None, [], 1, "manifest.json: expected a folder of recordings, got No such file or directory; name the folder"),
        ("{}", [], 1, "manifest.json: expected cases: [{id, provider, endpoint, kind: http or ws, file, request}], got Object"),
        (MANIFEST, ["--provider", "nope"], 2, "no recording of provider 'nope'; expected one of acme"),
        (MANIFEST, [], 1, "a.json: expected a recorded file, got No such file or directory"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_replayed_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    manifest: str | None,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    assert replay.main([str(tmp_path), *arguments]) == code
    assert words in capsys.readouterr().err


def test_a_definition_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "none"
    assert remap.main(["--provider", "binance", "--with", str(missing)]) == 2
    assert capsys.readouterr().err == f"--with: expected a folder with a definition, got {missing}\n"


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_a_pace_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], speed: str) -> None:
    assert replay.main([str(tmp_path), "--speed", speed]) == 2
    assert capsys.readouterr().err == f"--speed: expected full, recorded or a number above 0, got {speed!r}\n"


@pytest.mark.parametrize("command", ["replay", "remap"])
def test_what_was_not_done_is_not_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    (tmp_path / "manifest.json").write_text(MANIFEST)
    (tmp_path / "a.json").write_text("{}")
    code = replay.main([str(tmp_path)]) if command == "replay" else remap.main(["--provider", "binance"])
    said = capsys.readouterr()
    assert (code, said.out) == (1, "")
    assert "PARALLAX_KAFKA: expected a Kafka broker, got none at 127.0.0.1:1" in said.err
    assert "0 events" not in said.err
