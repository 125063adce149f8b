"""Pages about providers are what the definitions say now, exactly."""

from __future__ import annotations

import pytest

from schemas import tables, unread
from scripts import provider_pages as made
from services.collector.registry import load as loading
from services.collector.registry.mapping import Emit, EntityRule
from services.collector.registry.model import Auth, Endpoint, Limit, Param

PAGES = made.pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_would_be_written_now(name: str) -> None:
    assert (made.FOLDER / name).read_text() == PAGES[name], "run: make docs"


def test_no_page_is_left_over() -> None:
    assert {path.name for path in made.FOLDER.iterdir()} == {*PAGES, "format.md"}


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        (Auth(), "none"),
        (
            Auth(kind="header", name="X-Key", secret="acme/api_key"),
            "required (header `X-Key`; `acme/api_key` in the vault)",
        ),
        (
            Auth(kind="bearer", secret="acme/api_key", optional=True),
            "optional, raises the limits (bearer token; `acme/api_key` in the vault)",
        ),
    ],
)
def test_what_is_said_of_a_key(auth: Auth, words: str) -> None:
    assert made.key(auth) == words


def test_a_limit_names_its_source_and_date() -> None:
    row = Limit(n=10, window="second", every=6, source="https://acme.example/limits", verified="2026-11-22")
    assert made.limit(row) == "10 per 6 seconds and ip ([source](https://acme.example/limits), 2026-11-22)"
    other = Limit(n=2.5, window="day", scope="key", endpoints=["a"], source="the manual", verified="2026-11-22")
    assert made.limit(other) == "2.5 per day and key, only `a` (the manual, 2026-11-22)"


def test_how_often_is_the_slowest_of_what_is_wanted_and_what_is_renewed() -> None:
    assert made.every(Endpoint(path="/"), 60) == "1 min"
    assert made.every(Endpoint(path="/", every_s=90), 60) == "90 s"
    assert made.every(Endpoint(path="/", floor_s=7200), 60) == "2 h; renewed every 2 h"
    assert made.every(Endpoint(path="/", live=False, floor_s=30), 60) == "on demand; renewed every 30 s"


def test_an_endpoint_says_what_its_parameters_stand_for_and_what_it_states() -> None:
    emit = Emit(entity=EntityRule(kind="pair", symbol="s"), fields={"last": "l", "bid": "b"})
    endpoint = Endpoint(
        path="/v1/{symbol}",
        about="One pair.",
        params={"symbol": Param(stands_for="pair"), "depth": 5},
        emits=[emit, emit],
    )
    assert made.asked(endpoint) == "One pair. `GET /v1/{symbol}` (symbol: pair)"
    assert made.states(endpoint) == "`last`, `bid`"


def test_a_system_is_read_or_not_read_and_says_why() -> None:
    assert not unread.load().keys() & loading.load([loading.BUILT_IN]).providers.keys(), "it has a definition now"
    assert all(one.reason.endswith(".") and one.name in PAGES["README.md"] for one in unread.load().values())


def test_every_fault_of_the_systems_that_are_not_read_is_said() -> None:
    with pytest.raises(tables.TableError) as caught:
        unread.parse("a: {name: A, home: nowhere, date: d, reason: r.}\nb: {name: B}\n")
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["a", "b"]
