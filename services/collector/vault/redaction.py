"""Replacing secrets by value, in whatever spelling they left us: plain, URL-quoted, JSON-escaped, base64. Pure."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

HIDDEN = "[secret]"
SHORTEST = 4
"""A shorter value would blank ordinary words; such a secret is refused."""


class Redactor:
    """Knows the values of secrets and takes them out of text and bytes."""

    def __init__(self) -> None:
        self._spellings: list[str] = []
        self._bytes: list[bytes] = []

    def add(self, value: str) -> None:
        """From now on `value` is hidden; ValueError when it is too short to hide."""
        if len(value) < SHORTEST:
            raise ValueError(f"secret: expected at least {SHORTEST} characters, got {len(value)}; use a longer one")
        known = set(self._spellings)
        known |= {value, quote(value, safe=""), quote(value), quote_plus(value), json.dumps(value)[1:-1]}
        known |= {base64.b64encode(one.encode()).decode().rstrip("=") for one in (value, f"{value}:")}
        self._spellings = sorted(known, key=len, reverse=True)
        self._bytes = [spelling.encode() for spelling in self._spellings]

    def text(self, text: str) -> str:
        """`text` without any secret."""
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, HIDDEN)
        return text

    def body(self, body: bytes) -> bytes:
        """`body` without any secret; the same object when there was none."""
        for spelling in self._bytes:
            if spelling in body:
                body = body.replace(spelling, HIDDEN.encode())
        return body
