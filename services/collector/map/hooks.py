"""Named hooks: payloads whose shape the mapping language cannot say are reshaped here first; each has its reason in its definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Hook = Callable[[Any, Mapping[str, str]], Any]

WORD = 64
"""Hexadecimal digits of one word of an Ethereum contract's answer."""


def split_keys(payload: Any, params: Mapping[str, str]) -> Any:
    """{"coins": {"ethereum:0xab": x}} -> {"coins": {"ethereum": {"0xab": x}}}; anything else stays as it is."""
    if not isinstance(payload, dict):
        return payload
    return {name: _split(entries) if isinstance(entries, dict) else entries for name, entries in payload.items()}


def _split(entries: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    parts: dict[str, dict[str, Any]] = {}
    for key, value in entries.items():
        first, _, rest = key.partition(":")
        parts.setdefault(first, {})[rest] = value
    return parts


def abi_words(payload: Any, params: Mapping[str, str]) -> Any:
    """A contract's answer "0x..." -> its words of 32 bytes as 0x quantities; anything else stays as it is."""
    if not isinstance(payload, str) or not payload.startswith("0x") or (len(payload) - 2) % WORD:
        return payload
    digits = payload[2:]
    return [f"0x{digits[start : start + WORD]}" for start in range(0, len(digits), WORD)]


def split_ids(payload: Any, params: Mapping[str, str]) -> Any:
    """{"data": [{"id": "net_0xab", "attributes": {"address": "0xab"}, "relationships": ...}]} -> each item also has `network`.

    What it is related to on the same network (`"id": "net_0xcd"`) also gets its `address`. A network's name and an address may
    both hold the mark between them, so the item's own address says where to cut. Anything else stays as it is.
    """
    data = payload.get("data") if isinstance(payload, dict) else None
    if isinstance(data, list):
        return {**payload, "data": [_cut(item) for item in data]}
    return {**payload, "data": _cut(data)} if isinstance(data, dict) else payload


def _cut(item: Any) -> Any:
    match item:
        case {"id": str(own), "attributes": {"address": str(address)}} if own.lower().endswith(f"_{address.lower()}"):
            network = own[: -len(address) - 1]
        case _:
            return item
    related = item.get("relationships")
    if not isinstance(related, dict):
        return {**item, "network": network}
    return {**item, "network": network, "relationships": {name: _kin(one, network) for name, one in related.items()}}


def _kin(one: Any, network: str) -> Any:
    match one:
        case {"data": {"id": str(theirs)} as data} if theirs.startswith(f"{network}_"):
            return {**one, "data": {**data, "address": theirs[len(network) + 1 :]}}
        case _:
            return one


def base_shares(payload: Any, params: Mapping[str, str]) -> Any:
    """Pools, in a list or under `pairs`: each also has `base_share`, the part of its value that its base token makes.

    A pool whose numbers do not tell it stays as it is.
    """
    if isinstance(payload, list):
        return [_weighed(pool) for pool in payload]
    pools = payload.get("pairs") if isinstance(payload, dict) else None
    return {**payload, "pairs": [_weighed(pool) for pool in pools]} if isinstance(pools, list) else payload


def _weighed(pool: Any) -> Any:
    match pool:
        case {
            "priceUsd": str(price),
            "liquidity": {"usd": int() | float() as usd, "base": int() | float() as base},
        } if usd > 0:
            try:
                return {**pool, "base_share": float(price) * base / usd}
            except ValueError:
                return pool
        case _:
            return pool


HOOKS: dict[str, Hook] = {
    "abi_words": abi_words,
    "base_shares": base_shares,
    "split_ids": split_ids,
    "split_keys": split_keys,
}
"""Name in `hook:` of an endpoint -> function of (payload, parameters) -> payload."""
