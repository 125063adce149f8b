"""Every definition of the repository: no faults, every payload maps to exactly its expectation, every break is noticed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from services.collector import mutation, proof
from services.collector.map import identity
from services.collector.proofs.cli import compile_faults, independent_proofs, provider_schema
from services.collector.registry import lint, load
from services.common.errors import DefinitionError

FOLDERS = [file.parent for file in load.definition_files([load.BUILT_IN])]
IDS = [folder.name for folder in FOLDERS]


@cache
def registry() -> load.Registry:
    return load.load([load.BUILT_IN])


@pytest.mark.parametrize("folder", FOLDERS, ids=IDS)
def test_definition_has_no_fault(folder: Path) -> None:
    assert [str(fault) for fault in lint.lint(folder, compile_faults)] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=IDS)
def test_every_payload_gives_exactly_its_expectation(folder: Path) -> None:
    provider = registry().providers[folder.name]
    found = {
        case.name: differences
        for case in proof.cases(folder)
        if (differences := proof.differences(case.expected, proof.run(provider, case, identity.load())))
    }
    assert found == {}


@pytest.mark.parametrize("folder", FOLDERS, ids=IDS)
def test_every_broken_path_scale_unit_and_filter_is_noticed(folder: Path) -> None:
    score = mutation.score(registry().providers[folder.name], list(proof.cases(folder)), identity.load())
    assert score.survivors == ()


def test_expectations_that_someone_else_derived_are_counted(tmp_path: Path) -> None:
    said = '{"provenance": "documented", "source": "x"%s}'
    for name, mark in (("a", ', "derived": "independent", "derived_on": "2026-11-22"'), ("b", "")):
        (tmp_path / f"{name}.payload.json").write_text("[]")
        (tmp_path / f"{name}.expected.json").write_text(said % mark)
    assert independent_proofs(tmp_path) == 1
    (tmp_path / "b.expected.json").write_text(said % ', "derived": "copied"')
    with pytest.raises(DefinitionError, match="derived"):
        independent_proofs(tmp_path)


def test_ids_are_unique_over_all_folders() -> None:
    assert sorted(IDS) == sorted(set(IDS))


def test_the_published_schema_is_the_shape_of_today() -> None:
    file = Path(__file__).parents[3] / "schemas" / "generated" / "provider.schema.json"
    assert file.read_text() == provider_schema(), (
        "run: parallax providers schema > schemas/generated/provider.schema.json"
    )
