"""The contract with Faust's private names: each row of the driver's table exists, with the parameters it had."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from services.aggregator.driver import batch, private

FOLDER = Path(batch.__file__).parent


def owner(row: private.Name) -> type:
    module, _, name = row.owner.partition(":")
    found = getattr(import_module(module), name)
    assert isinstance(found, type)
    return found


def test_the_release_is_the_one_that_the_table_was_written_for() -> None:
    assert version("faust-streaming") == private.FAUST


@pytest.mark.parametrize("row", private.NAMES, ids=lambda row: f"{row.owner.rpartition(':')[2]}.{row.name}")
def test_a_private_name_is_there_with_its_parameters(row: private.Name) -> None:
    cls = owner(row)
    if row.parameters is None:
        spelled = "\n".join(
            inspect.getsource(base) for base in cls.__mro__ if base.__module__.startswith(("faust", "aiokafka", "mode"))
        )
        assert hasattr(cls, row.name) or f"self.{row.name} = " in spelled or f"self.{row.name}: " in spelled
        return
    found = getattr(cls, row.name)
    assert tuple(inspect.signature(found).parameters)[1:] == row.parameters


def test_what_we_override_is_what_faust_has() -> None:
    for ours, theirs in (
        (batch.Consumer, batch.Consumer.__mro__[1]),
        (batch.ConsumerThread, batch.ConsumerThread.__mro__[1]),
    ):
        own = {
            name
            for name, value in vars(ours).items()
            if inspect.isfunction(value) and name.startswith("_") and not name.startswith("__")
        }
        listed = {row.name for row in private.NAMES}
        assert {name for name in own if hasattr(theirs, name)} <= listed


def test_no_private_name_of_faust_is_used_that_the_table_does_not_list() -> None:
    listed = {row.name for row in private.NAMES}
    used: set[str] = set()
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text())
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        own |= {
            node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and node.attr.startswith("_")
                and not node.attr.startswith("__")
                and node.attr not in own
            ):
                used.add(node.attr)
    assert used - listed == set()


def test_the_transport_is_found_by_its_scheme() -> None:
    from faust.transport.drivers import by_url
    from yarl import URL

    assert by_url(URL("batch://127.0.0.1:9092")) is batch.Transport
