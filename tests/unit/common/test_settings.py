"""Settings come from documented rows, and all faults are told at once."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from msgspec import Meta

from services.common.errors import SettingsError
from services.common.settings import SECRET, CommonSettings, Row, ServiceSettings, environment, read, rows


class Acme(ServiceSettings, frozen=True, kw_only=True):
    token: Annotated[str, Meta(description="Signs things.", extra=SECRET)]
    count: Annotated[int, Meta(ge=1, le=9, description="How many.")] = 3
    mode: Annotated[Literal["slow", "fast"], Meta(description="How.")] = "slow"
    names: Annotated[list[str], Meta(description="Who.")] = []
    on: Annotated[bool, Meta(description="Whether.")] = False
    ratio: Annotated[float | None, Meta(description="Share.")] = None
    key: Annotated[str | None, Meta(description="Opens things.", extra=SECRET)] = "hush-hush"


def test_each_type_is_read_from_text() -> None:
    environ = {
        "PARALLAX_TOKEN": "t",
        "PARALLAX_COUNT": "7",
        "PARALLAX_MODE": "fast",
        "PARALLAX_NAMES": "a, b,,c",
        "PARALLAX_ON": "true",
        "PARALLAX_RATIO": "0.5",
        "OTHER": "ignored",
    }
    assert read(Acme, environ) == Acme(token="t", count=7, mode="fast", names=["a", "b", "c"], on=True, ratio=0.5)


def test_what_is_not_set_has_its_default() -> None:
    assert read(Acme, {"PARALLAX_TOKEN": "t"}) == Acme(
        token="t", count=3, mode="slow", names=[], on=False, ratio=None, key="hush-hush"
    )


def test_an_empty_variable_counts_as_not_set_where_text_makes_no_sense() -> None:
    assert read(Acme, {"PARALLAX_TOKEN": "", "PARALLAX_COUNT": "", "PARALLAX_NAMES": ""}) == Acme(token="")


def test_all_faults_are_told_at_once_with_name_expectation_and_what_came() -> None:
    with pytest.raises(SettingsError) as caught:
        read(Acme, {"PARALLAX_COUNT": "10", "PARALLAX_MODE": "medium", "PARALLAX_ON": "perhaps"})
    lines = str(caught.value).splitlines()
    assert lines[0] == "4 settings are wrong:"
    assert [line.strip().split("; ")[0] for line in lines[1:]] == [
        "PARALLAX_TOKEN: expected a value, got none",
        "PARALLAX_COUNT: expected int >= 1 <= 9, got '10'",
        "PARALLAX_MODE: expected slow or fast, got 'medium'",
        "PARALLAX_ON: expected bool, got 'perhaps'",
    ]
    assert len(caught.value.faults) == 4


def test_one_fault_is_one_line() -> None:
    with pytest.raises(SettingsError, match=r"^PARALLAX_TOKEN: expected a value, got none; set it$"):
        read(Acme, {})


def test_a_secret_is_never_shown_neither_as_value_nor_as_default() -> None:
    class Vault(ServiceSettings, frozen=True, kw_only=True):
        pin: Annotated[int, Meta(description="Opens.", extra=SECRET)] = 1234

    with pytest.raises(SettingsError) as caught:
        read(Vault, {"PARALLAX_PIN": "s3cr3t"})
    assert "s3cr3t" not in str(caught.value)
    assert "got a secret" in str(caught.value)
    assert rows(Vault) == [Row("PARALLAX_PIN", "pin", "int", "hidden", "Opens.", True)]


def test_rows_document_each_field_in_order() -> None:
    assert rows(Acme)[:4] == [
        Row("PARALLAX_TOKEN", "token", "str", "required", "Signs things.", True),
        Row("PARALLAX_COUNT", "count", "int >= 1 <= 9", "3", "How many.", False),
        Row("PARALLAX_MODE", "mode", "slow or fast", "slow", "How.", False),
        Row("PARALLAX_NAMES", "names", "list[str]", "", "Who.", False),
    ]


def test_the_environment_of_settings_reads_back_as_the_same_settings() -> None:
    settings = Acme(token="t", count=9, mode="fast", names=["a", "b"], on=True, ratio=0.25, key="other")
    assert read(Acme, environment(settings)) == settings
    assert environment(CommonSettings()) == {}


def test_every_common_setting_has_a_sentence() -> None:
    assert [row.variable for row in rows(CommonSettings) if not row.sentence.endswith(".")] == []
