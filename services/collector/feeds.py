"""RSS 2.0, RSS 1.0 and Atom -> one plain shape, by a parser that refuses entities and external references."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring


class FeedError(ValueError):
    """The text is no feed, or not a harmless one."""


_NAMED = re.compile(rb"&(?!amp;|lt;|gt;|quot;|apos;|#)([A-Za-z][A-Za-z0-9]{1,31});")
_LONE = re.compile(rb"&(?![A-Za-z#][A-Za-z0-9]{0,31};)")
_VERBATIM = re.compile(rb"(<!\[CDATA\[.*?\]\]>)", re.DOTALL)
_WORD_ZONE = re.compile(r"\d\d:\d\d(?::\d\d)?\s+([A-Za-z]{2,5})$")
MAX_ITEMS = 1000
ZONES = {"CET": "+0100", "CEST": "+0200", "JST": "+0900", "KST": "+0900", "HKT": "+0800", "SGT": "+0800"}
"""Zones beyond those of RFC 822 whose names mean one thing only (IST, CST and BST do not)."""
OF_RFC_822 = frozenset(("UT", "UTC", "GMT", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT"))


def read_feed(body: bytes) -> dict[str, Any]:
    """`{title, link, updated, items: [{title, link, id, published, updated, summary, author, categories, source, image}]}`.

    Times are ISO 8601, UTC. `source` is who published an item first, where the feed collects from others and says so.
    """
    try:
        root = fromstring(_mended(body.lstrip(b"\xef\xbb\xbf \r\n\t")))
    except DefusedXmlException as error:
        raise FeedError(f"forbidden XML: {type(error).__name__}") from None
    except (ParseError, ValueError, LookupError) as error:
        raise FeedError(f"not XML: {error}") from None
    kind = _name(root)
    if kind == "feed":
        return _atom(root)
    channel = _child(root, "channel")
    if kind not in ("rss", "RDF") or channel is None:
        raise FeedError(f"expected rss, RDF or feed at the top, got {kind}")
    items = [one for one in (*channel, *root) if _name(one) == "item"][:MAX_ITEMS]
    home = _text(channel, "link")
    return {
        "title": _words(channel, "title"),
        "link": home,
        "updated": _moment(_text(channel, "lastBuildDate") or _text(channel, "pubDate")),
        "items": [_rss_item(item, home or "") for item in items],
    }


def _mended(body: bytes) -> bytes:
    """HTML's named entities as characters, lone ampersands as text; XML knows neither. What is marked as verbatim stays."""
    parts = _VERBATIM.split(body)
    parts[::2] = [_LONE.sub(b"&amp;", _NAMED.sub(_character, part)) for part in parts[::2]]
    return b"".join(parts)


def _character(match: re.Match[bytes]) -> bytes:
    return html.unescape(match[0].decode()).encode("ascii", "xmlcharrefreplace")


def _rss_item(item: Element, home: str) -> dict[str, Any]:
    link = _text(item, "origLink") or _text(item, "link") or _permalink(item)
    return {
        "title": _words(item, "title"),
        "link": None if link is None else urljoin(home, link),
        "id": _text(item, "guid") or item.get("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about"),
        "published": _moment(_text(item, "pubDate") or _text(item, "date")),
        "updated": _moment(_text(item, "updated") or _text(item, "modified")),
        "summary": _text(item, "description") or _text(item, "encoded"),
        "author": _text(item, "creator") or _text(item, "author"),
        "categories": [word for one in item if _name(one) == "category" and (word := (one.text or "").strip())],
        "source": _words(item, "source"),
        "image": _picture(item),
    }


def _permalink(item: Element) -> str | None:
    guid = _text(item, "guid")
    return guid if guid is not None and guid.startswith(("http://", "https://")) else None


def _picture(item: Element) -> str | None:
    """Address of the first picture: of Media RSS, alone or in a group, or enclosed; its thumbnail where there is no other."""
    inside = [part for one in item for part in (one if _name(one) == "group" else (one,))]
    pictures = [one for one in inside if _name(one) in ("content", "enclosure") and _shows(one)]
    thumbnails = [one for one in inside if _name(one) == "thumbnail"]
    return next(
        (url for one in (*pictures, *thumbnails) if (url := (one.get("url") or "").strip()).startswith("http")), None
    )


def _shows(element: Element) -> bool:
    return element.get("medium") == "image" or (element.get("type") or "").startswith("image/")


def _atom(root: Element) -> dict[str, Any]:
    entries = [one for one in root if _name(one) == "entry"][:MAX_ITEMS]
    return {
        "title": _words(root, "title"),
        "link": _link(root),
        "updated": _moment(_text(root, "updated")),
        "items": [
            {
                "title": _words(entry, "title"),
                "link": _link(entry),
                "id": _text(entry, "id"),
                "published": _moment(_text(entry, "published") or _text(entry, "updated")),
                "updated": _moment(_text(entry, "updated")),
                "summary": _text(entry, "summary") or _text(entry, "content"),
                "author": _author(entry),
                "categories": [term for one in entry if _name(one) == "category" and (term := one.get("term"))],
                "source": None if (source := _child(entry, "source")) is None else _words(source, "title"),
                "image": _picture(entry),
            }
            for entry in entries
        ],
    }


def _link(element: Element) -> str | None:
    links = [one for one in element if _name(one) == "link" and one.get("href")]
    preferred = [one for one in links if one.get("rel", "alternate") == "alternate"]
    chosen = (preferred or links)[:1]
    return chosen[0].get("href") if chosen else None


def _author(entry: Element) -> str | None:
    author = _child(entry, "author")
    return None if author is None else _text(author, "name") or _own(author)


def _name(element: Element) -> str:
    return element.tag.rsplit("}", 1)[-1] if isinstance(element.tag, str) else ""


def _child(element: Element, name: str) -> Element | None:
    return next((one for one in element if _name(one) == name), None)


def _text(element: Element, name: str) -> str | None:
    """Text of the first child of that name that has one, the feed's own before those of its extensions (`media:title`)."""
    named = sorted((one for one in element if _name(one) == name), key=lambda one: _space(one) != _space(element))
    return next((words for one in named if (words := _own(one))), None)


def _space(element: Element) -> str:
    return element.tag.rpartition("}")[0] if isinstance(element.tag, str) else ""


def _words(element: Element, name: str) -> str | None:
    """The same as a reader sees it: HTML's entities inside verbatim text are characters, too."""
    words = _text(element, name)
    return None if words is None else html.unescape(words).strip() or None


def _own(element: Element) -> str | None:
    return "".join(element.itertext()).strip() or None


def _moment(written: str | None) -> str | None:
    """ISO 8601 in UTC of an RFC 822 or ISO time; as it stands when it is neither, or in no known zone: the mapping names it."""
    if written is None:
        return None
    if (zone := _WORD_ZONE.search(written)) is not None and (name := zone[1].upper()) not in OF_RFC_822:
        if name not in ZONES:
            return written
        written = f"{written[: zone.start(1)]}{ZONES[name]}"
    for parse in (parsedate_to_datetime, _iso):
        try:
            moment = parse(written)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return zoned.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
    return written


def _iso(written: str) -> datetime:
    return datetime.fromisoformat(written.replace("Z", "+00:00"))
