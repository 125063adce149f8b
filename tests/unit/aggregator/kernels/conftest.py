"""The kernels as machine code, compiled once for all tests of this folder."""

from __future__ import annotations

from typing import Any

import pytest

from services.aggregator.compiled.build import compile_all


@pytest.fixture(scope="session")
def compiled() -> dict[str, Any]:
    """Every kernel by its name, to be called from Python."""
    return compile_all(wrapped=True)
