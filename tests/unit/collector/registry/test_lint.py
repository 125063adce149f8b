# ruff: noqa: E501 - a case is a line
"""Definitions that are wrong: every fault at once, with file, line, key and the nearest right name; the cache of parsed ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.collector.proofs.cli import compile_faults
from services.collector.registry import lint, load
from services.common.errors import DefinitionError

GOOD = """\
id: acme
name: Acme
home: exchange
homepage: https://acme.example
docs: https://acme.example/docs
verified: 2026-11-22
status: live
limits: unknown
bases: {main: "https://acme.example"}
endpoints:
  tickers:
    path: /t
    emits:
      - rows: $[*]
        entity: {kind: pair, symbol: s}
        quote: pair
        fields: {last: {path: p, required: true}}
"""


def folder(tmp_path: Path, text: str, proof: bool = True) -> Path:
    place = tmp_path / "acme"
    place.mkdir(exist_ok=True)
    (place / "provider.yaml").write_text(text)
    if proof:
        (place / "tickers.payload.json").write_text("[]")
        (place / "tickers.expected.json").write_text('{"provenance": "inferred", "source": "x", "outcome": "EMPTY"}')
    return place


def said(tmp_path: Path, text: str, proof: bool = True) -> list[tuple[int, str, str]]:
    return [(fault.line, fault.key, fault.said) for fault in lint.lint(folder(tmp_path, text, proof), compile_faults)]


def test_a_good_definition_has_no_fault(tmp_path: Path) -> None:
    assert said(tmp_path, GOOD) == []


def test_unknown_keys_at_every_level_come_together_with_the_nearest_right_one(tmp_path: Path) -> None:
    text = (
        GOOD.replace("homepage:", "hompage:")
        .replace("path: /t", "path: /t\n    shedule: 5")
        .replace("required: true", "requird: true")
        .replace("status: live", "status: alive")
    )
    found = said(tmp_path, text)
    assert (4, "hompage", "unknown key; did you mean 'homepage'?") in [
        (line, key, words + ("?" if not words.endswith("?") else "")) for line, key, words in found
    ]
    assert (18, "endpoints.tickers.emits[0].fields.last.requird", "unknown key; did you mean 'required'") in found
    assert any(line == 13 and key == "endpoints.tickers.shedule" for line, key, _ in found)
    assert any(line == 7 and "write 'live'" in words for line, key, words in found)
    assert any(words == "missing key 'homepage'" for _, _, words in found)
    assert len(found) == 5


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ("limits: unknown", "limits: [{n: 5, window: minute, verified: 2026-11-22}]", "limits[0]", "expected the source"),
        ("limits: unknown", "limits: [{n: 5, window: hourly, source: x, verified: 2026-11-22}]", "limits[0].window", "write 'hour'"),
        ("limits: unknown", "limits: []", "limits", "at least one bucket"),
        ("verified: 2026-11-22", "verified: yesterday", "verified", "a date like"),
        ("{last:", "{lst:", "endpoints.tickers.emits[0].fields.lst", "no metric of the catalogue; did you mean 'last'"),
        ("{last:", "{price:", "endpoints.tickers.emits[0].fields.price", "a metric of category market"),
        ("        quote: pair\n", "", "endpoints.tickers.emits[0]", "has money and no quote"),
        ("path: /t", "path: /t/{pair}", "endpoints.tickers.params", "no parameter of that name"),
        ("path: /t", "path: /t\n    base: man", "endpoints.tickers.base", "did you mean 'main'"),
        ("https://acme.example\"}", "http://acme.example\"}", "bases", "expected https"),
        ("status: live", "status: retired", "status", "exactly when status is retired"),
        ("status: live", "status: key-required", "auth", "how the key is sent"),
        ("path: p,", "path: 'p[',", "endpoints.tickers.emits[0].fields.last.path", "not readable"),
        ("entity:", "where: [{path: s, matches: '['}]\n        entity:", "endpoints.tickers.emits[0].where.matches", "a regular expression of Python"),
        ("{path: p,", "{path: p, by: q,", "endpoints.tickers.emits[0].fields.last", "by and take need each"),
        ("{path: p,", "{each: l, path: p, by: q,", "endpoints.tickers.emits[0].fields.last.by", "take: max or min beside it"),
        ("{path: p,", "{path: p, unit: pctt,", "endpoints.tickers.emits[0].fields.last.unit", "did you mean"),
        ("id: acme", "id: acne", "id", "the folder's name"),
    ],
)  # fmt: skip
def test_rules(tmp_path: Path, old: str, new: str, key: str, words: str) -> None:
    assert old in GOOD
    found = said(tmp_path, GOOD.replace(old, new, 1))
    assert any(place == key and words in sentence for _, place, sentence in found), found


def test_an_endpoint_without_proof_is_a_fault(tmp_path: Path) -> None:
    assert said(tmp_path, GOOD, proof=False) == [
        (11, "endpoints.tickers", "expected tickers.payload.json in the folder [proof]")
    ]


def test_a_key_written_twice_and_bad_yaml_name_their_line(tmp_path: Path) -> None:
    assert said(tmp_path, GOOD + "name: Again\n") == [(18, "name", "written twice; keep one")]
    assert said(tmp_path, "id: [\n")[0][0] >= 1


def test_words_that_yaml_once_took_for_flags_and_dates_stay_words(tmp_path: Path) -> None:
    text = GOOD.replace(
        "limits: unknown", "limits: unknown\nsymbols: {default: {alias: {NO: bitcoin, on: ethereum, 1e9: tether}}}"
    )
    found = said(tmp_path, text)
    assert [words for _, _, words in found] == [
        'expected a text as key, got 1000000000.0; write "1000000000.0" in quotes'
    ]


def test_loading_says_all_faults_of_all_files(tmp_path: Path) -> None:
    folder(tmp_path, GOOD.replace("homepage:", "hompage:"))
    with pytest.raises(DefinitionError, match="2 faults in provider definitions"):
        load.load([tmp_path])


def test_a_parsed_definition_comes_from_the_cache_and_a_changed_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place = folder(tmp_path, GOOD)
    first = load.load([tmp_path])
    again = load.load([tmp_path])
    assert first.providers == again.providers
    (place / "provider.yaml").write_text(GOOD.replace("name: Acme", "name: Other"))
    changed = load.load([tmp_path])
    assert (changed.providers["acme"].name, changed.hash != first.hash) == ("Other", True)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder(tmp_path, GOOD)
    assert list(load.load([tmp_path / "acme"]).providers) == ["acme"]


def test_more_folders_come_from_the_environment_and_the_last_one_wins(tmp_path: Path) -> None:
    folder(tmp_path, GOOD)
    roots = load.roots({"PARALLAX_PROVIDERS_PATH": str(tmp_path)})
    assert roots == [load.BUILT_IN, tmp_path]
    with pytest.raises(DefinitionError, match="expected a folder"):
        load.definition_files([tmp_path / "none"])
