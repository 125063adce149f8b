"""Bodies that are not JSON: read so that values can be written, and written back; feeds are only moved in time. Pure."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.simulator.places import Body
from sandbox.simulator.spelling import read_time, time_like
from services.collector.decode import decode, open_answer
from services.collector.map.hooks import WORD
from services.collector.registry.model import Endpoint

_FEED_TIMES = re.compile(r"<(pubDate|published|updated|dc:date|lastBuildDate)>([^<]+)</")


def read(endpoint: Endpoint, data: Any) -> Body:
    """The body of an example: JSON data as it is, bytes of other kinds decoded as the collector does."""
    if isinstance(data, bytes):
        inner = decode(data, endpoint.body, None, shape=endpoint.csv) if endpoint.csv else decode(data, endpoint.body)
        return Body.of(inner, endpoint.body)
    body = Body.of(data, endpoint.body)
    if body.inner is None and endpoint.body in ("jsonrpc", "graphql"):
        body.inner = open_answer(data, endpoint.body)
    return body


def write(endpoint: Endpoint, body: Body, example: bytes) -> bytes:
    """The filled body as bytes."""
    if endpoint.body == "text":
        return str(body.document()).encode()
    if endpoint.body == "csv":
        return _csv(endpoint, body.inner, example)
    return json.dumps(body.document(), separators=(",", ":"), ensure_ascii=False).encode()


def _joined(words: Any) -> Any:
    """The answer of a contract whose words these are; what a hook left as it was stays so."""
    if not isinstance(words, list):
        return words
    return "0x" + "".join(word.removeprefix("0x").zfill(WORD) for word in words)


HONEST = (0.05, 0.95)
"""Part of a pool's value that one of its tokens may make."""


def _unweighed(payload: Any) -> Any:
    """Pools without what the hook worked out of them; an honest one also without a quantity that it could not have, since the
    market says quantity and value apart."""
    pools = payload if isinstance(payload, list) else payload.get("pairs") if isinstance(payload, dict) else None
    for pool in pools or []:
        share, held = pool.pop("base_share", 0.0), pool.get("liquidity")
        if HONEST[0] <= share <= HONEST[1]:
            written = float(pool["priceUsd"]) * held["base"] / held["usd"]
            if not HONEST[0] <= written <= HONEST[1]:
                del held["base"]
    return payload


UNHOOKED: Mapping[str, Callable[[Any], Any]] = {"abi_words": _joined, "base_shares": _unweighed}
"""Hooks whose result is not made of the body's own objects -> what makes the body of it again."""


def _csv(endpoint: Endpoint, rows: list[dict[str, Any]], example: bytes) -> bytes:
    shape = endpoint.csv
    separator = shape.separator if shape is not None else ","
    lines = example.decode("utf-8-sig").splitlines(keepends=True)
    skip = shape.skip if shape is not None else 0
    own_names = shape is not None and bool(shape.columns)
    head = lines[: skip + (0 if own_names else 1)]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerows(list(row.values()) for row in rows)
    return ("".join(head) + out.getvalue()).encode()


def moved_feed(example: bytes, now_ms: int, received_ms: int) -> bytes:
    """A feed whose stories keep their distances, the newest a minute old."""
    text = example.decode("utf-8", "replace")
    times = [_moment(found[2]) for found in _FEED_TIMES.finditer(text)]
    known = [at_ms for at_ms, _ in times if at_ms is not None]
    shift_ms = now_ms - 60_000 - max(known, default=received_ms)

    def later(found: re.Match[str]) -> str:
        at_ms, unit = _moment(found[2])
        moved = None if at_ms is None else time_like(at_ms + shift_ms, found[2].strip(), unit)
        return found[0] if moved is None else f"<{found[1]}>{moved}</"

    return _FEED_TIMES.sub(later, text).encode()


def _moment(text: str) -> tuple[int | None, str]:
    for unit in ("rfc822", "iso"):
        at_ms = read_time(text.strip(), unit)
        if at_ms is not None:
            return at_ms, unit
    return None, ""
