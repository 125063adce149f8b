"""Back-off, origin and limits."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.admit import limits
from services.collector.admit.buckets import Bucket
from services.collector.admit.dialects import BY_NAME, Reading
from services.collector.backoff import Backoff
from services.collector.origin import Upstream, upstream
from services.collector.registry.load import load
from services.collector.registry.model import Provider
from services.collector.settings import CollectorSettings
from services.common.errors import SettingsError

WAITS = Backoff(base_s=1.0, cap_s=10.0)


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    assert [WAITS.ceiling_s(failures) for failures in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 8, 10, 10]


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_anywhere_below_its_ceiling(failures: int, draw: float) -> None:
    assert WAITS.wait_s(failures, draw) == WAITS.ceiling_s(failures) * draw


def test_a_wait_is_never_shorter_than_told() -> None:
    assert (WAITS.wait_s(1, 0.1, told_s=5), WAITS.wait_s(4, 0.9, told_s=5)) == (5, pytest.approx(7.2))


def test_without_a_simulator_addresses_stay_as_they_are() -> None:
    live = upstream(CollectorSettings())
    assert (live.origin, live.simulated) == ("live", False)
    assert live.http("acme", "https://a.b/v1?x=1") == "https://a.b/v1?x=1"
    assert live.socket("acme", "wss://a.b/ws") == "wss://a.b/ws"


def test_the_simulator_takes_the_place_of_every_host() -> None:
    sandbox = upstream(CollectorSettings(sandbox_url="http://127.0.0.1:9/sim/"))
    assert (sandbox.origin, sandbox.simulated) == ("sandbox", True)
    assert sandbox.http("acme", "https://a.b/v1?x=1") == "http://127.0.0.1:9/sim/acme/v1?x=1"
    assert sandbox.http("acme", "https://{chain}.a.b/v1") == "http://127.0.0.1:9/sim/acme/{chain}.a.b/v1"
    assert sandbox.socket("acme", "wss://a.b:9443/stream?s=x") == "ws://127.0.0.1:9/sim/acme/stream?s=x"
    assert Upstream("sandbox", "https://s").socket("acme", "wss://a.b/ws") == "wss://s/acme/ws"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            CollectorSettings(mode="sandbox"),
            "PARALLAX_MODE: expected PARALLAX_SANDBOX_URL beside mode sandbox, got none",
        ),
        (
            CollectorSettings(mode="replay"),
            "PARALLAX_MODE: expected live or sandbox, got replay; use: parallax replay DIR",
        ),
    ],
)
def test_settings_that_would_mix_origins_are_refused(settings: CollectorSettings, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        upstream(settings)


def provider(rows: Any) -> Provider:
    body = {
        "id": "acme", "name": "Acme", "home": "market", "homepage": "h", "docs": "d", "verified": "2026-11-22", "status": "live",
        "limits": rows, "auth": {"kind": "header", "name": "k", "secret": "acme/key", "optional": True},
        "endpoints": {"cheap": {"path": "/", "emits": []}, "dear": {"path": "/", "cost": 50, "emits": []}},
    }  # fmt: skip
    return msgspec.convert(body, Provider)


def test_an_unknown_limit_runs_slowly() -> None:
    assert limits.rows(provider("unknown"), "cheap", "ip", False) == (
        Bucket(key="acme:ip:unknown", limit=30, window_ms=60_000, burst=50),
    )


def test_each_limit_is_a_bucket_of_its_scope_and_the_shortest_comes_first() -> None:
    rows = [
        {"n": 1000, "window": "day", "scope": "key"},
        {"n": 10, "window": "second", "every": 6, "scope": "ip", "endpoints": ["cheap"]},
        {"n": 100, "window": "minute", "scope": "endpoint"},
    ]
    keyed = limits.rows(provider(rows), "cheap", "ip", True)
    assert keyed == (
        Bucket(key="acme:ip:10/6second:cheap", limit=10, window_ms=6_000, burst=1),
        Bucket(key="acme:ip:cheap:100/1minute", limit=100, window_ms=60_000, burst=10),
        Bucket(key="acme:acme/key:1000/1day", limit=1000, window_ms=86_400_000, burst=100),
    )
    assert [row.key for row in limits.rows(provider(rows), "dear", "ip", False)] == [
        "acme:ip:dear:100/1minute",
        "acme:ip:1000/1day",
    ]


def test_a_reading_lowers_the_bucket_that_it_is_about() -> None:
    minute = Bucket(key="m", limit=100, window_ms=60_000, burst=10)
    day = Bucket(key="d", limit=1000, window_ms=86_400_000, burst=100)
    readings = [
        Reading(window=None, remaining=7),
        Reading(window="minute", used=90),
        Reading(window="minute", used=90, limit=95),
        Reading(window="month", remaining=1),
    ]
    assert limits.remaining(readings, (minute, day)) == [(minute, 7), (minute, 10), (minute, 5)]
    assert limits.remaining(readings, ()) == []


def test_every_definition_names_a_dialect_that_exists() -> None:
    named = {one.id: one.quota_headers for one in load().providers.values() if one.quota_headers is not None}
    assert {name for name in named.values() if name not in BY_NAME} == set(), named
