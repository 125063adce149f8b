"""Answers of the API that are read from fused records: one page per route, each a function of the view and of now_ms.

A page is made once, from checked parameters, and then called for every request; it keeps its bytes until they change.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from services.gateway.problems import Problem
from services.gateway.view.candles import INTERVALS_MS, Series
from services.gateway.view.feed import Body, Entry, Feed, Rendered
from services.gateway.view.fused import FusedKind, encode
from services.gateway.view.index import Ambiguous, Unknown
from services.gateway.view.numbers import LAST_MS, http_date, instant
from services.gateway.view.shapes import BarsRecord, Meta
from services.gateway.view.view import View

Page = Callable[[int], Body]
"""now_ms -> the answer; Problem when there is none."""

LIST_MAX_AGE_S = 1


def resolve(view: View, name: str) -> str:
    """Asset id of an id or symbol; Problem 404 with look-alikes, or 409 with candidates."""
    if view.reported(name):
        return name
    try:
        return view.assets.resolve(name, view.reported)
    except Ambiguous as fault:
        raise Problem(
            "ambiguous-symbol", f"{fault.symbol} is carried by {len(fault.candidates)} assets",
            {"candidates": fault.candidates},
        ) from fault  # fmt: skip
    except Unknown as fault:
        hint = f"; did you mean {' or '.join(fault.near)}?" if fault.near else ""
        raise Problem("unknown-asset", f"no asset is called {fault.name}{hint}", {"near": fault.near}) from fault


class RecordPage:
    """One fused record by itself: every metric, or who said what."""

    def __init__(self, feed: Feed, key: str, part: str, *, allow_stale: bool) -> None:
        self._feed = feed
        self._key = key
        self._part = part
        """record, record+sources, sources"""
        self._allow_stale = allow_stale

    def __call__(self, now_ms: int) -> Body:
        """The page at now_ms; Problem 503 when nothing, or nothing fresh, is known."""
        entry = self._feed.entries.get(self._key)
        if entry is None:
            raise no_data(self._feed, self._key)
        ready = self._feed.rendered(entry, now_ms)
        if ready.stale and not self._allow_stale:
            raise Problem(
                "no-fresh-data",
                f"the newest record of {self._key} went stale at {instant(ready.fresh_until_ms)}: no source renewed it",
                {"last_known": msgspec.Raw(ready.json), "age_ms": max(0, now_ms - entry.written_ms)},
                {"Retry-After": "5"},
            )
        if ready.bodies is None:
            ready.bodies = {}
        body = ready.bodies.get(self._part)
        if body is None:
            body = ready.bodies[self._part] = self._make(entry, now_ms)
        return body

    def _make(self, entry: Entry, now_ms: int) -> Body:
        kind = self._feed.kind
        assert isinstance(kind, FusedKind)
        value = self._feed.value(entry)
        if self._part == "sources":
            return kind.sources(entry, value, now_ms)
        return kind.page(entry, value, now_ms, sources=self._part == "record+sources")


class ListQuery(Struct, frozen=True):
    """Which records of a category, in the category's order."""

    limit: int = 100
    keys: tuple[str, ...] | None = None
    """Only these, in this order."""
    prefix: str = ""
    """Only entities that start so."""
    after: tuple[float, str] | None = None
    """Order and key of the last record of the previous page."""
    keeps: Callable[[Entry], bool] | None = None
    """Of the entry."""
    matches: Callable[[dict[str, Any]], bool] | None = None
    """Of the record as shown."""
    url: str = ""
    """Path and query without the cursor, for next_url."""


class ListPage:
    """Records of one category side by side; bytes are joined from records that were rendered once."""

    def __init__(self, feed: Feed, query: ListQuery) -> None:
        self._feed = feed
        self._query = query
        self._body: Body | None = None
        self._tag = ""
        self._valid_until_ms = 0

    def __call__(self, now_ms: int) -> Body:
        """The list at now_ms; Problem 503 when the category has no record at all."""
        tag = self._feed.version_tag()
        if self._body is not None and tag == self._tag and now_ms < self._valid_until_ms:
            return self._body
        entries, missing, more = self._select(now_ms)
        shown = [self._feed.rendered(entry, now_ms) for entry in entries]
        if not self._feed.entries:
            raise no_data(self._feed, "")
        self._tag = tag
        self._valid_until_ms = min((ready.valid_until_ms for ready in shown), default=LAST_MS)
        self._body = self._join(entries, shown, missing, more)
        return self._body

    def _select(self, now_ms: int) -> tuple[list[Entry], list[str], bool]:
        query = self._query
        if query.keys is not None:
            found = [self._feed.entries.get(key) for key in query.keys]
            missing = [key for key, entry in zip(query.keys, found, strict=True) if entry is None]
            return [entry for entry in found if entry is not None][: query.limit], missing, False
        ordered = self._feed.ordered()
        start = 0
        if query.after is not None:
            start = bisect_right(ordered, query.after, key=lambda entry: (entry.order, entry.key))
        chosen: list[Entry] = []
        for at in range(start, len(ordered)):
            entry = ordered[at]
            if not entry.key.startswith(query.prefix) or (query.keeps is not None and not query.keeps(entry)):
                continue
            if query.matches is not None and not query.matches(
                msgspec.json.decode(self._feed.rendered(entry, now_ms).json)
            ):
                continue
            if len(chosen) == query.limit:
                return chosen, [], True
            chosen.append(entry)
        return chosen, [], False

    def _join(self, entries: list[Entry], shown: list[Rendered], missing: list[str], more: bool) -> Body:
        feed, query = self._feed, self._query
        stale_count = sum(ready.stale for ready in shown)
        newest_ms = max(feed.as_of_by_origin.values(), default=0)
        cursor = cursor_of(entries[-1]) if more else None
        meta = Meta(
            as_of=instant(newest_ms),
            stale=bool(shown) and stale_count == len(shown),
            origins=sorted(feed.as_of_by_origin),  # type: ignore[arg-type]
            count=len(shown),
            total=len(feed),
            next_cursor=cursor,
            next_url=f"{query.url}{'&' if '?' in query.url else '?'}cursor={cursor}" if cursor else None,
            missing=[key.removeprefix("asset:") for key in missing] or None,
        )
        data = b",".join([ready.json for ready in shown])
        return Body(
            identity=b'{"data":[' + data + b'],"meta":' + encode(meta) + b"}",
            etag=list_tag("l", self._tag, newest_ms, stale_count),
            last_modified=http_date(max((entry.written_ms for entry in entries), default=newest_ms)).encode(),
            max_age_s=LIST_MAX_AGE_S,
        )


class CandlesPage:
    """Bars of one entity."""

    def __init__(
        self, view: View, entity: str, interval: str, from_ms: int | None, to_ms: int | None, limit: int, shape: str
    ) -> None:
        self._view = view
        self._entity = entity
        self._interval = interval
        self._from_ms = from_ms or 0
        self._to_ms = LAST_MS if to_ms is None else to_ms
        self._limit = limit
        self._shape = shape
        self._body: Body | None = None
        self._tag = b""

    def __call__(self, now_ms: int) -> Body:
        """The bars; Problem 503 when the entity has none of this interval."""
        candles = self._view.candles
        tag = f'"c{".".join(str(candles.positions[p]) for p in sorted(candles.positions))}"'.encode()
        if self._body is None or tag != self._tag:
            series = candles.series.get((self._entity, self._interval))
            if series is None:
                known = sorted({interval for entity, interval in candles.series if entity == self._entity})
                have = f"; it has {', '.join(known)}" if known else "; no trade or price of it was seen yet"
                raise Problem(
                    "no-data", f"no {self._interval} bars of {self._entity}{have}", headers={"Retry-After": "5"}
                )
            self._body, self._tag = self._make(series, tag), tag
        return self._body

    def _make(self, series: Series, tag: bytes) -> Body:
        rows = series.between(self._from_ms, self._to_ms, self._limit)
        bars: Any = rows
        if self._shape == "columns":
            names = ("start", "open", "high", "low", "close", "volume", "trades", "sources", "closed")
            bars = {name: [getattr(row, name) for row in rows] for name in names}
        data = BarsRecord(
            entity=self._entity,
            interval=self._interval,
            interval_ms=INTERVALS_MS[self._interval],
            quote=series.quote,
            candles=bars,
        )
        meta = Meta(
            as_of=rows[-1].start if rows else None,
            stale=False,
            origins=sorted({row.origin for row in rows}),
            count=len(rows),
            total=len(series),
        )
        return Body(
            identity=encode({"data": data, "meta": meta}), etag=tag, last_modified=b"", max_age_s=LIST_MAX_AGE_S
        )


def no_data(feed: Feed, key: str) -> Problem:
    """Why there is nothing: the category is silent, or only this entity is."""
    category = feed.name.partition(".")[2]
    if feed.entries:
        why = f"no provider of category {category} has reported {key or 'anything'} yet"
    else:
        why = (
            f"no provider of category {category} has reported anything yet; /api/v1/status shows which providers answer"
        )
    return Problem("no-data", why, headers={"Retry-After": "5"})


def list_tag(letter: str, positions: str, newest_ms: int, stale_count: int = 0) -> bytes:
    """Strong tag of a list: where its topic was read to, and the newest time in it, lest a topic made anew repeats a tag."""
    return f'"{letter}{positions}-{newest_ms:x}{f"-s{stale_count}" if stale_count else ""}"'.encode()


def cursor_of(entry: Entry) -> str:
    """Where the next page begins."""
    return base64.urlsafe_b64encode(encode([entry.order, entry.key])).decode().rstrip("=")


def read_cursor(text: str) -> tuple[float, str]:
    """What a cursor holds; Problem 422 when it is not one of ours."""
    try:
        padded = text + "=" * (-len(text) % 4)
        return msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=tuple[float, str])
    except (binascii.Error, ValueError, msgspec.DecodeError) as fault:
        raise invalid("cursor", "expected next_cursor of an earlier answer, got something else") from fault


def invalid(name: str, message: str) -> Problem:
    """Problem 422 about one parameter."""
    return Problem(
        "invalid-parameter", f"{name}: {message}", {"errors": [{"pointer": f"#/query/{name}", "message": message}]}
    )


def zipped(body: Body) -> bytes:
    """The gzip form, made once."""
    if body.zipped is None:
        packer = zlib.compressobj(5, zlib.DEFLATED, 31)
        body.zipped = packer.compress(body.identity) + packer.flush()
    return body.zipped


def plain(data: Any, meta: Meta | None = None, *, etag: bytes = b"", max_age_s: int = 0) -> Body:
    """An answer that is made for one request."""
    document = {"data": data} if meta is None else {"data": data, "meta": meta}
    return Body(identity=encode(document), etag=etag, last_modified=b"", max_age_s=max_age_s)


def feed_list(feed: Feed, now_ms: int, limit: int, keep: Callable[[Entry], bool] | None = None) -> Body:
    """Records of an ops or signal feed, newest first."""
    entries: Iterable[Entry] = feed.ordered()
    chosen = [entry for entry in entries if keep is None or keep(entry)][:limit]
    data = b",".join([feed.rendered(entry, now_ms).json for entry in chosen])
    newest_ms = max(feed.as_of_by_origin.values(), default=0)
    meta = Meta(
        as_of=instant(newest_ms) if newest_ms else None,
        stale=False,
        origins=sorted(origin for origin in feed.as_of_by_origin if origin),  # type: ignore[misc]
        source="parallax",
        count=len(chosen),
        total=len(feed),
    )
    return Body(
        identity=b'{"data":[' + data + b'],"meta":' + encode(meta) + b"}",
        etag=list_tag("f", feed.version_tag(), newest_ms), last_modified=b"", max_age_s=LIST_MAX_AGE_S,
    )  # fmt: skip
