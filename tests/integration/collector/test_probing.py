"""`providers new --url` and `providers probe` against a server on loopback: the real client, classes and mapping."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from services.collector.cli import main
from tests.fixtures import loopback
from tests.fixtures.loopback import Answer, Server, always

COINS = [
    {"id": "bitcoin", "price": 61234.5, "last_updated": "2026-11-22T10:00:00Z"},
    {"id": "ethereum", "price": 2412.25, "last_updated": "2026-11-22T10:00:05Z"},
]
GOOD = always(200, json.dumps(COINS).encode())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("PARALLAX_PROVIDERS_PATH", str(own))
    return own


async def commands(
    made: loopback.Authority, answer: Answer, monkeypatch: pytest.MonkeyPatch, *lines: str
) -> tuple[list[int], Server]:
    """Exit codes of commands that are run beside a server; `URL` in them is its address."""
    monkeypatch.setenv("PARALLAX_CA_FILE", made.ca_file)
    async with loopback.http(answer, made.context) as server:
        codes = [await asyncio.to_thread(main, line.replace("URL", server.url).split()) for line in lines]
    return codes, server


NEW = "new acme --home market --url URL/v1/coins?vs_currency=usd"


async def test_from_an_address_to_a_provider_that_answers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = loopback.authority(tmp_path)
    codes, server = await commands(made, GOOD, monkeypatch, NEW, "lint acme", "probe acme")
    assert codes == [0, 0, 0]
    assert [one.path for one in server.asked] == ["/v1/coins?vs_currency=usd"] * 2
    assert sorted(path.name for path in (folder / "acme").iterdir()) == [
        "coins.expected.json",
        "coins.payload.json",
        "provider.yaml",
    ]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(folder / "acme")
    *events, said = [json.loads(line) for line in lines[1:]]
    assert [(one["entity"], one["metrics"], one["quote"], one["event_ms"]) for one in events] == [
        ("asset:bitcoin", {"price": 61234.5}, "usd", 1795341600000),
        ("asset:ethereum", {"price": 2412.25}, "usd", 1795341605000),
    ]
    size = len(json.dumps(COINS))
    assert (said["outcome"], said["status"], said["bytes"], said["events"]) == ("OK", 200, size, 2)
    assert said["latency_ms"] > 0


async def test_a_key_in_the_address_is_named_but_never_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = loopback.authority(tmp_path)
    codes, server = await commands(made, GOOD, monkeypatch, NEW + "&api_key=hush-hush", "probe acme")
    assert codes == [0, 1]
    assert len(server.asked) == 1, "without its key the provider is not asked"
    written = "".join(path.read_text() for path in (folder / "acme").iterdir())
    out = capsys.readouterr()
    assert "hush-hush" not in written + out.out + out.err
    assert "not asked: no_key (acme/api_key)" in out.err


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        (always(429, b"{}"), "RATE_LIMITED", 429),
        (always(503, b"{}"), "UPSTREAM_5XX", 503),
        (always(200, b'{"odd": 1}'), "SCHEMA_DRIFT", 200),
        (always(200, b"<html>"), "MALFORMED", 200),
    ],
)
async def test_a_probe_names_the_class_of_a_failure(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: Answer,
    outcome: str,
    status: int,
) -> None:
    made = loopback.authority(tmp_path)
    (tmp_path / "saved.json").write_text(json.dumps(COINS))
    codes, _ = await commands(
        made, answer, monkeypatch, f"{NEW} --payload {tmp_path / 'saved.json'}", "probe acme --endpoint coins"
    )
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (codes, said["outcome"], said["status"], said["events"]) == ([0, 1], outcome, status, 0)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("new Acme --home market --url URL/v1", 2, "expected an id of lower case letters"),
        ("new acme --home market", 2, "expected --url URL, or --payload FILE"),
        ("new binance --home market --url URL/v1", 2, "binance is there already"),
        ("new acme --home nothing --url URL/v1", 2, "invalid choice"),
        ("new acme --home market --url URL/v1", 1, "expected status 200, got 500"),
        ("new acme --home market --url ftp://x/y", 2, "expected https://host/path"),
        ("probe binance --endpoint no_such", 2, "binance has no endpoint 'no_such'"),
    ],
)
async def test_what_cannot_be_done_is_said(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    code: int,
    words: str,
) -> None:
    codes, _ = await commands(loopback.authority(tmp_path), always(500), monkeypatch, line)
    assert codes == [code]
    assert words in capsys.readouterr().err
    assert list(folder.iterdir()) == []
