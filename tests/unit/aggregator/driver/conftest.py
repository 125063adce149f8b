"""The kernels of the wire, uncompiled and compiled: every test of the driver's batches is run with both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.aggregator.compiled import build, table
from services.aggregator.compiled.kernels import KERNELS
from services.aggregator.kernels import batch

ENTRIES = ("batch_rows", "unpack_rows")


@pytest.fixture(scope="session")
def compiled_wire() -> dict[str, Callable[..., Any]]:
    """Only what these tests call, because the rest takes a minute to compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "FUNCTIONS", [row for row in table.FUNCTIONS if row.module == batch.__name__])
        return build.compile_all(wrapped=True)


@pytest.fixture(params=["uncompiled", "compiled"])
def wire(request: pytest.FixtureRequest) -> Iterator[str]:
    """Which of them answer."""
    with pytest.MonkeyPatch.context() as patch:
        made = request.getfixturevalue("compiled_wire") if request.param == "compiled" else vars(batch)
        for name in ENTRIES:
            patch.setattr(KERNELS, name, made[name], raising=False)
        yield request.param
