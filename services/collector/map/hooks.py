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


HOOKS: dict[str, Hook] = {"abi_words": abi_words, "split_keys": split_keys}
"""Name in `hook:` of an endpoint -> function of (payload, parameters) -> payload."""
