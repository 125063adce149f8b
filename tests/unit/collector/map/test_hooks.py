"""Named hooks: exactly the reshaping that their definitions rely on, and nothing for a payload of another shape."""

from __future__ import annotations

from typing import Any

import pytest

from services.collector.map.hooks import HOOKS

ONE, TWO = "0" * 63 + "1", "f" * 64


@pytest.mark.parametrize(
    ("hook", "payload", "reshaped"),
    [
        (
            "split_keys",
            {"coins": {"coingecko:bitcoin": 1, "coingecko:tether": 2, "bsc:0xab:c": 3, "odd": 4}, "n": 5},
            {"coins": {"coingecko": {"bitcoin": 1, "tether": 2}, "bsc": {"0xab:c": 3}, "odd": {"": 4}}, "n": 5},
        ),
        ("split_keys", {"coins": []}, {"coins": []}),
        ("split_keys", ["coins"], ["coins"]),
        (
            "split_ids",
            {
                "data": [
                    {
                        "id": "a_b_EQ_x",
                        "attributes": {"address": "EQ_x"},
                        "relationships": {"dex": {"data": {"id": "d_1"}}, "base": {"data": {"id": "a_b_0x_2", "n": 1}}},
                    },
                    {"id": "a_b_0xAB", "attributes": {"address": "0xab"}},
                    {"id": "a_b", "attributes": {"address": "0xab"}},
                    7,
                ],
                "n": 5,
            },
            {
                "data": [
                    {
                        "id": "a_b_EQ_x",
                        "attributes": {"address": "EQ_x"},
                        "network": "a_b",
                        "relationships": {
                            "dex": {"data": {"id": "d_1"}},
                            "base": {"data": {"id": "a_b_0x_2", "n": 1, "address": "0x_2"}},
                        },
                    },
                    {"id": "a_b_0xAB", "attributes": {"address": "0xab"}, "network": "a_b"},
                    {"id": "a_b", "attributes": {"address": "0xab"}},
                    7,
                ],
                "n": 5,
            },
        ),
        (
            "split_ids",
            {"data": {"id": "n_0x1", "attributes": {"address": "0x1"}, "relationships": {"x": None}}},
            {"data": {"id": "n_0x1", "attributes": {"address": "0x1"}, "relationships": {"x": None}, "network": "n"}},
        ),
        ("split_ids", {"data": None}, {"data": None}),
        ("split_ids", ["data"], ["data"]),
        (
            "base_shares",
            [
                {"priceUsd": "2.5", "liquidity": {"usd": 40, "base": 4}},
                {"priceUsd": "2.5", "liquidity": {"usd": 0, "base": 4}},
                {"priceUsd": "-", "liquidity": {"usd": 40, "base": 4}},
                {"priceUsd": "2.5"},
                7,
            ],
            [
                {"priceUsd": "2.5", "liquidity": {"usd": 40, "base": 4}, "base_share": 0.25},
                {"priceUsd": "2.5", "liquidity": {"usd": 0, "base": 4}},
                {"priceUsd": "-", "liquidity": {"usd": 40, "base": 4}},
                {"priceUsd": "2.5"},
                7,
            ],
        ),
        (
            "base_shares",
            {"pairs": [{"priceUsd": "1", "liquidity": {"usd": 2.0, "base": 1.0}}], "n": 5},
            {"pairs": [{"priceUsd": "1", "liquidity": {"usd": 2.0, "base": 1.0}, "base_share": 0.5}], "n": 5},
        ),
        ("base_shares", {"pairs": None}, {"pairs": None}),
        ("base_shares", None, None),
        ("abi_words", f"0x{ONE}{TWO}", [f"0x{ONE}", f"0x{TWO}"]),
        ("abi_words", "0x", []),
        ("abi_words", f"0x{ONE}1", f"0x{ONE}1"),
        ("abi_words", ONE, ONE),
        ("abi_words", None, None),
    ],
)
def test_a_hook_reshapes_only_its_own_shape(hook: str, payload: Any, reshaped: Any) -> None:
    assert HOOKS[hook](payload, {}) == reshaped
