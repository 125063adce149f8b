"""Secrets never leave the process in any spelling."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.vault.redaction import Redactor
from services.collector.vault.sources import Sources


def knowing(*secrets: str) -> Redactor:
    redactor = Redactor()
    for secret in secrets:
        redactor.add(secret)
    return redactor


@pytest.mark.parametrize(
    "text",
    [
        "https://x/?key=s3/cr+t%22",
        "https://x/?key=s3%2Fcr%2Bt%2522",
        "https://x/s3/cr%2Bt%2522",
        'Bearer s3/cr+t%22"',
        "Basic czMvY3IrdCUyMg==",
        "Basic czMvY3IrdCUyMjo=",
    ],
)
def test_every_usual_spelling_is_hidden(text: str) -> None:
    hidden = knowing("s3/cr+t%22").text(text)
    assert "[secret]" in hidden
    assert "cr" not in hidden.replace("[secret]", "")


def test_the_longer_secret_goes_first() -> None:
    assert knowing("abcd", "abcdefgh").text("abcdefgh abcd") == "[secret] [secret]"


def test_bytes_without_a_secret_are_the_same_object() -> None:
    body = b"nothing here"
    assert knowing("abcd").body(body) is body
    assert knowing("abcd").body(b"x abcd y") == b"x [secret] y"


def test_a_secret_too_short_to_hide_is_refused() -> None:
    with pytest.raises(ValueError, match="secret: expected at least 4 characters, got 3; use a longer one"):
        knowing("abc")


@given(st.text('abc/+%"\\é', min_size=4, max_size=12), st.text(max_size=20), st.text(max_size=20))
def test_no_text_holds_the_plain_value_afterwards(secret: str, before: str, after: str) -> None:
    assert secret not in knowing(secret).text(before + secret + after).replace("[secret]", "\0")


def test_a_file_counts_before_the_environment_and_every_value_is_told_before_use(tmp_path: Path) -> None:
    (tmp_path / "acme__key").write_text("from-a-file\n")
    told: list[str] = []
    redactor = Redactor()
    environ = {"PARALLAX_SECRET_ACME_KEY": "from-env", "PARALLAX_SECRET_BOLT_API_KEY": "bolts-own"}
    secrets = Sources(redactor, str(tmp_path), environ, told.append)
    assert [secrets.get(one) for one in ("acme/key", "bolt/api-key", "core/key", "acme/key")] == [
        "from-a-file", "bolts-own", None, "from-a-file",
    ]  # fmt: skip
    assert told == ["from-a-file", "bolts-own"]
    assert redactor.text("bolts-own") == "[secret]"


def test_a_reference_cannot_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("treasure")
    inside = tmp_path / "in"
    inside.mkdir()
    assert Sources(Redactor(), str(inside), {}).get("../outside") is None
