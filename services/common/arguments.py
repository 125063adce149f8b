"""What command lines of services have in common: help that shows the settings, and types of options."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from services.common.settings import ServiceSettings, rows

PORT_MAX = 65_535


def parser(name: str, description: str, settings: type[ServiceSettings]) -> argparse.ArgumentParser:
    """The parser of `parallax NAME`; its help ends with the settings of the service and their defaults."""
    known = rows(settings)
    width = max(len(row.variable) for row in known)
    lines = [f"  {row.variable:<{width}}  {row.sentence}" + f" [{row.default}]" * bool(row.default) for row in known]
    return argparse.ArgumentParser(
        prog=f"parallax {name}",
        description=description,
        epilog="\n".join(("settings, environment variables [default]:", *lines)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def port_number(lowest: int = 1) -> Callable[[str], int]:
    """Type of an option that takes a TCP port; `lowest` 0 allows the word for any free one."""

    def read(text: str) -> int:
        number = int(text) if text.isdecimal() else -1
        if not lowest <= number <= PORT_MAX:
            raise argparse.ArgumentTypeError(f"expected a port from {lowest} to {PORT_MAX}, got {text!r}")
        return number

    return read
