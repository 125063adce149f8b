"""Log lines are JSON or text, and never hold a registered secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from services.common import logging as logs
from services.common.settings import CommonSettings


@pytest.fixture(autouse=True)
def own_secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logs, "_secrets", set())
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], level = before[0], before[1]
    root.setLevel(level)


def test_a_secret_is_replaced_wherever_it_stands_the_longest_first() -> None:
    logs.register_secret("abcd")
    logs.register_secret("abcdefgh")
    assert logs.redact("key=abcdefgh&old=abcd; ABCD") == "key=[secret]&old=[secret]; ABCD"


def test_a_secret_too_short_to_hide_is_refused() -> None:
    with pytest.raises(ValueError, match="secret: expected at least 4 characters, got 3"):
        logs.register_secret("abc")


def test_a_json_line_has_the_fields_of_the_record_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    logs.register_secret("hunter2-hunter2")
    logs.configure(CommonSettings(instance="i1"), "collector")
    try:
        raise ValueError("bad key hunter2-hunter2")
    except ValueError:
        logging.getLogger("acme").warning(
            "failed %s", "hunter2-hunter2", extra={"url": "https://h/?k=hunter2-hunter2"}, exc_info=True
        )
    captured = capsys.readouterr()
    line = json.loads(captured.err)
    assert captured.out == ""
    assert "hunter2" not in captured.err
    shown = {key: line[key] for key in ("level", "logger", "service", "instance", "message", "url")}
    assert shown == {
        "level": "warning",
        "logger": "acme",
        "service": "collector",
        "instance": "i1",
        "message": "failed [secret]",
        "url": "https://h/?k=[secret]",
    }
    assert line["error"].endswith("ValueError: bad key [secret]")
    assert line["time"][10] == "T"
    assert line["time"].endswith("Z")


def test_a_text_line_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(CommonSettings(log_format="text"), "gateway")
    logging.getLogger("acme").info("serving", extra={"port": 7860})
    assert capsys.readouterr().err.split(maxsplit=1)[1] == "INFO    gateway    serving port=7860\n"


def test_the_level_hides_what_is_below(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(CommonSettings(log_level="ERROR"), "gateway")
    logging.getLogger("acme").warning("quiet")
    assert capsys.readouterr().err == ""
