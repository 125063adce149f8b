"""Calls and requests from definitions."""

from typing import Any

import msgspec
import pytest

from services.collector.registry.model import Provider
from services.collector.request import authorize, compose, join
from services.common.errors import DefinitionError

NOW_MS = 1_795_305_600_000


def provider(endpoint: dict[str, Any], **changes: Any) -> Provider:
    body = {
        "id": "acme", "name": "Acme", "home": "market", "homepage": "h", "docs": "d", "verified": "2026-11-22", "status": "live",
        "bases": {"main": "https://api.acme.example/v1/"}, "headers": {"Accept": "application/json"},
        "endpoints": {"one": {"path": "/price", "emits": [], **endpoint}},
    } | changes  # fmt: skip
    return msgspec.convert(body, Provider)


def url(endpoint: dict[str, Any], values: Any = None, **changes: Any) -> str:
    return compose(provider(endpoint, **changes), "one", values or {}, NOW_MS).url


BASE = "https://api.acme.example/v1"
PAIR = {"as": "pair"}


@pytest.mark.parametrize(
    ("endpoint", "values", "expected"),
    [
        ({}, {}, BASE + "/price"),
        ({"params": {"vs": "usd", "n": 5, "full": True}}, {}, BASE + "/price?vs=usd&n=5&full=true"),
        ({"path": "/price/{s}", "params": {"s": PAIR}}, {"s": "BTC/USDT"}, BASE + "/price/BTC%2FUSDT"),
        ({"params": {"s": PAIR}}, {"s": "a b&c"}, BASE + "/price?s=a%20b%26c"),
        ({"params": {"s": PAIR}, "batch": {"param": "s", "max": 2}}, {"s": ("A", "B")}, BASE + "/price?s=A%2CB"),
        ({"params": {"s": PAIR}, "batch": {"param": "s", "max": 2, "separator": "|"}}, {"s": ("A", "B")}, BASE + "/price?s=A%7CB"),
        ({"params": {"s": PAIR}, "batch": {"param": "s", "max": 2, "style": "repeat"}}, {"s": ("A", "B")}, BASE + "/price?s=A&s=B"),
        ({"params": {"s": PAIR}, "batch": {"param": "s", "max": 2, "style": "json"}}, {"s": ("A", "B")},
         BASE + "/price?s=%5B%22A%22%2C%22B%22%5D"),
        ({"params": {"s": {"as": "free", "default": "x"}}}, {}, BASE + "/price?s=x"),
        ({"params": {"s": {"as": "free", "required": False}}}, {}, BASE + "/price"),
        ({"params": {"t": {"as": "time", "shift_s": -60}}}, {}, BASE + "/price?t=1795305540"),
        ({"params": {"t": {"as": "time", "unit": "ms"}}}, {}, BASE + "/price?t=1795305600000"),
        ({"params": {"t": {"as": "time", "unit": "iso"}}}, {}, BASE + "/price?t=2026-11-22T00%3A00%3A00Z"),
        ({"params": {"t": {"as": "time", "unit": "date"}}}, {}, BASE + "/price?t=2026-11-22"),
        ({"path": "/price?fixed=1", "params": {"a": "b"}}, {}, BASE + "/price?fixed=1&a=b"),
    ],
)  # fmt: skip
def test_the_url_holds_every_parameter_where_it_belongs(endpoint: dict[str, Any], values: Any, expected: str) -> None:
    assert url(endpoint, values) == expected


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(
        DefinitionError, match="endpoint /price, parameter s: expected a value, got none; give it a default"
    ):
        url({"params": {"s": PAIR}})


@pytest.mark.parametrize(
    ("send", "values", "body", "kind"),
    [
        ({"json": {"ids": {"$param": "s"}}}, {"s": ("A", "B")}, b'{"ids":["A","B"]}', "application/json"),
        ({"rpc": {"method": "m", "params": ["{s}"]}}, {"s": "A"},
         b'{"jsonrpc":"2.0","method":"m","params":["A"],"id":1}', "application/json"),
        ({"rpc": {"method": "m", "version": "1.0"}}, {"s": "A"},
         b'{"method":"m","params":[],"id":1}', "application/json"),
        ({"graphql": {"query": "{ a }", "variables": {"x": {"$param": "s"}}}}, {"s": "A"},
         b'{"query":"{ a }","variables":{"x":"A"}}', "application/json"),
        ({"form": {"s": "{s}", "n": 1}}, {"s": "A B"}, b"s=A+B&n=1", "application/x-www-form-urlencoded"),
    ],
)  # fmt: skip
def test_bodies_are_made_from_their_templates(send: dict[str, Any], values: Any, body: bytes, kind: str) -> None:
    call = compose(provider({"method": "POST", "send": send, "params": {"s": PAIR}}), "one", values, NOW_MS)
    assert (call.method, call.body, call.headers["content-type"]) == ("POST", body, kind)
    named = "{s}" in str(send) or "'$param': 's'" in str(send)
    assert ("s=" in call.url) is not named, "what the body names is not sent twice"


def test_headers_of_provider_and_endpoint_are_joined_in_lower_case() -> None:
    call = compose(provider({"headers": {"X-Form": "2"}}), "one", {}, NOW_MS)
    assert call.headers == {"accept": "application/json", "x-form": "2"}


def test_another_base_replaces_the_definitions() -> None:
    assert (
        compose(provider({}), "one", {}, NOW_MS, "http://127.0.0.1:9/acme/v1").url == "http://127.0.0.1:9/acme/v1/price"
    )


def test_a_parameter_of_the_base_is_not_said_again_in_the_query() -> None:
    bases = {"bases": {"main": "https://{chain}.acme.example"}}
    asked = {"params": {"chain": {"as": "chain"}, "n": 5}}
    assert url(asked, {"chain": "eth"}, **bases) == "https://eth.acme.example/price?n=5"
    other = compose(provider(asked, **bases), "one", {"chain": "eth"}, NOW_MS, "http://127.0.0.1:1")
    assert other.url == "http://127.0.0.1:1/price?chain=eth&n=5"


def test_the_fingerprint_names_the_question_not_the_moment() -> None:
    one = provider({"params": {"s": PAIR}})
    first, again, other = (compose(one, "one", {"s": value}, at) for value, at in (("A", 1), ("A", 2), ("B", 1)))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert len(first.fingerprint) == 16


@pytest.mark.parametrize(
    ("auth", "secret", "url_", "headers"),
    [
        ({"kind": "none"}, "s3cret", BASE + "/price", {}),
        ({"kind": "header", "name": "X-Key", "secret": "a", "prefix": "Key "}, "s3cret", BASE + "/price", {"x-key": "Key s3cret"}),
        ({"kind": "bearer", "secret": "a"}, "s3cret", BASE + "/price", {"authorization": "Bearer s3cret"}),
        ({"kind": "basic", "secret": "a"}, "s3cret", BASE + "/price", {"authorization": "Basic czNjcmV0Og=="}),
        ({"kind": "basic", "secret": "a"}, "me:s3cret", BASE + "/price", {"authorization": "Basic bWU6czNjcmV0"}),
        ({"kind": "query", "name": "api", "secret": "a"}, "s3/cret", BASE + "/price?api=s3%2Fcret", {}),
        ({"kind": "header", "name": "X-Key", "secret": "a"}, None, BASE + "/price", {}),
    ],
)  # fmt: skip
def test_the_secret_goes_where_the_definition_says(
    auth: Any, secret: str | None, url_: str, headers: dict[str, str]
) -> None:
    one = provider({}, auth=auth, headers={})
    asked = authorize(compose(one, "one", {}, NOW_MS), one, secret)
    assert (asked.url, asked.headers, asked.shown) == (url_, headers, BASE + "/price")


def test_a_secret_in_the_path_is_only_in_what_is_sent() -> None:
    one = provider({"path": "/v3/{key}"}, auth={"kind": "path", "name": "key", "secret": "a"})
    asked = authorize(compose(one, "one", {}, NOW_MS), one, "s3/cret")
    assert (asked.url, asked.shown) == (BASE + "/v3/s3%2Fcret", BASE + "/v3/{key}")


def test_an_endpoint_without_auth_gets_no_secret() -> None:
    one = provider({"auth": False}, auth={"kind": "bearer", "secret": "a"}, headers={})
    assert authorize(compose(one, "one", {}, NOW_MS), one, "s3cret").headers == {}


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("https://a.b", "/c", "https://a.b/c"),
        ("https://a.b/", "c", "https://a.b/c"),
        ("https://a.b/v1", "", "https://a.b/v1"),
        ("https://a.b/v1/?k=1", "/c?d=2", "https://a.b/v1/c?k=1&d=2"),
    ],
)
def test_base_and_path_are_joined_by_one_slash(base: str, path: str, expected: str) -> None:
    assert join(base, path) == expected
