"""Command lines of services: the settings are in the help, ports are ports."""

from __future__ import annotations

import argparse
from typing import Annotated

import pytest
from msgspec import Meta

from services.common.arguments import parser, port_number
from services.common.settings import SECRET, ServiceSettings


class Acme(ServiceSettings, frozen=True, kw_only=True):
    count: Annotated[int, Meta(description="How many, in % of all.")] = 3
    name: Annotated[str, Meta(description="Who.")] = ""
    key: Annotated[str, Meta(description="Opens things.", extra=SECRET)] = "hush-hush"


def test_the_help_ends_with_the_settings_and_their_defaults_but_no_secret() -> None:
    assert parser("acme", "Does acme.", Acme).format_help().splitlines() == [
        "usage: parallax acme [-h]",
        "",
        "Does acme.",
        "",
        "options:",
        "  -h, --help  show this help message and exit",
        "",
        "settings, environment variables [default]:",
        "  PARALLAX_COUNT  How many, in % of all. [3]",
        "  PARALLAX_NAME   Who.",
        "  PARALLAX_KEY    Opens things. [hidden]",
    ]


@pytest.mark.parametrize(("lowest", "text", "number"), [(1, "1", 1), (1, "65535", 65535), (0, "0", 0)])
def test_a_port_is_a_number_that_a_socket_takes(lowest: int, text: str, number: int) -> None:
    assert port_number(lowest)(text) == number


@pytest.mark.parametrize("text", ["0", "65536", "-1", "80.5", "http", "", "²"])
def test_what_is_no_port_is_told(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected a port from 1 to 65535, got"):
        port_number()(text)
