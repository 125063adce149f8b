"""The kernels as machine code, compiled once for all tests of this folder."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from services.aggregator.compiled.build import compile_all
from tests.unit.aggregator.kernels.events import World


@pytest.fixture(scope="session")
def compiled() -> dict[str, Any]:
    """Every kernel by its name, to be called from Python."""
    return compile_all(wrapped=True)


@pytest.fixture(params=["plain", "compiled"], scope="module")
def scanner(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The functions that read raw events, uncompiled and compiled."""
    if request.param == "compiled":
        found: dict[str, Any] = request.getfixturevalue("compiled")
        return found
    return vars(import_module("services.aggregator.kernels.scan"))


@pytest.fixture
def world(scanner: dict[str, Any]) -> World:
    """A desk without templates, and these functions."""
    return World(scanner["scan"], scanner["read"])


@pytest.fixture(params=["plain", "compiled"], scope="session")
def stage_kernels(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The functions that answer and teach, uncompiled and compiled."""
    if request.param == "compiled":
        found: dict[str, Any] = request.getfixturevalue("compiled")
        return found
    modules = [import_module(f"services.aggregator.kernels.{name}") for name in ("gather", "record", "teach")]
    return {name: one for module in modules for name, one in vars(module).items()}
