"""The broker's jars: one set of coordinates, sums that are checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from defusedxml import ElementTree

from sandbox import jars

POM = Path(__file__).parents[3] / "deploy" / "broker" / "pom.xml"
MAVEN = "{http://maven.apache.org/POM/4.0.0}"


def test_the_pom_names_the_same_coordinates() -> None:
    rows = ElementTree.parse(POM).getroot().iter(f"{MAVEN}dependency")
    found = [":".join(row.findtext(MAVEN + name) for name in ("groupId", "artifactId", "version")) for row in rows]
    assert tuple(found) == jars.COORDINATES


def test_every_named_coordinate_is_locked_with_a_sum() -> None:
    rows = jars.locked()
    assert set(jars.COORDINATES) <= {row.coordinate for row in rows}
    assert {len(row.sha256) for row in rows} == {64}


def test_no_artifact_is_locked_in_two_versions() -> None:
    artifacts = [row.coordinate.rsplit(":", 1)[0] for row in jars.locked()]
    assert len(artifacts) == len(set(artifacts))


def test_a_jar_whose_bytes_differ_counts_as_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = jars.locked()[0]
    path = jars.path_of(first.coordinate)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a jar")
    assert jars.absent() == [row.coordinate for row in jars.locked()]
    monkeypatch.setattr(jars, "LOCK", tmp_path / "lock")
    sum_of_these_bytes = "1f0f631427194028bfeca05414b146420645a4c0ede4b3692c1afc9633557b08"
    (tmp_path / "lock").write_text(f"# comment\n{sum_of_these_bytes}  {first.coordinate}\n")
    assert jars.absent() == []
