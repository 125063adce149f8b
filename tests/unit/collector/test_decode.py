# ruff: noqa: E501 - a case is a line
"""Bodies and frames: what every format becomes, and what bad input costs: a named error, never a crash, never the memory."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.decode import Caps, DecodeError, decode, decode_message, open_answer, unpack
from services.collector.registry.model import BodyKind, Csv


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1.5}', {"a": 1.5}),
        (b"\xef\xbb\xbf[1]", [1]),
        (b'{"n": 123456789012345678901234567890}', {"n": 123456789012345678901234567890}),
        (b'{"x": Infinity}', {"x": math.inf}),
        (b'{"x": 1e400}', {"x": math.inf}),
        (b'{"text": "a\tb"}', {"text": "a\tb"}),
        (b"0.5", 0.5),
    ],
)
def test_json(body: bytes, value: Any) -> None:
    assert decode(body) == value


def test_nan_is_decoded_so_that_the_mapping_can_refuse_it() -> None:
    assert math.isnan(decode(b'{"x": NaN}')["x"])


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"", None, "empty body"),
        (b"  \n", None, "empty body"),
        (b"<html>", None, "not JSON"),
        (b'{"a": ', None, "not JSON"),
        (b'{"a": "\xff"}', None, "wrong charset"),
        (b'{"a": "\xe9"}', "application/json; charset=utf-8", "wrong charset"),
        (b"{}x", "application/json; charset=klingon", "unknown charset"),
        (b"[" * 5000 + b"]" * 5000, None, "too deep"),
        (b"[" * 300 + b"]" * 300, None, "too deep"),
        (b'{"a":' * 250 + b"1" + b"}" * 250, None, "too deep"),
    ],
)
def test_broken_json(body: bytes, content_type: str | None, reason: str) -> None:
    with pytest.raises(DecodeError) as error:
        decode(body, "json", content_type)
    assert error.value.reason == reason


def test_the_charset_that_an_answer_names_is_believed() -> None:
    assert decode('{"a": "é", "b": NaN}'.encode("latin-1"), "json", "text/json; charset=ISO-8859-1")["a"] == "é"


def test_brackets_inside_of_texts_are_not_depth() -> None:
    assert decode(json.dumps({"a": "[" * 1000}).encode()) == {"a": "[" * 1000}


def test_a_body_above_the_cap_is_refused_before_it_is_read() -> None:
    with pytest.raises(DecodeError, match="too large: 101 bytes, allowed 100"):
        decode(b" " * 101, caps=Caps(max_bytes=100))


@pytest.mark.parametrize(
    ("kind", "payload", "answer"),
    [
        ("jsonrpc", {"jsonrpc": "2.0", "id": 1, "result": "0x1"}, "0x1"),
        ("jsonrpc", [{"id": 2, "result": "b"}, {"id": 1, "result": "a"}], ["a", "b"]),
        ("graphql", {"data": {"x": 1}}, {"x": 1}),
        ("json", {"data": 1}, {"data": 1}),
        ("jsonrpc", "text", None),
    ],
)
def test_answers_are_opened(kind: BodyKind, payload: Any, answer: Any) -> None:
    assert open_answer(payload, kind) == answer


def test_csv() -> None:
    assert decode(b"date,price\n2026-11-22,5\n2026-11-21,4\n", "csv") == [
        {"date": "2026-11-22", "price": "5"},
        {"date": "2026-11-21", "price": "4"},
    ]
    shape = Csv(separator=";", columns=["a", "b"], skip=1)
    assert decode(b"# note\n1;2\n", "csv", shape=shape) == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(("body", "value"), [(b"925123", 925123), (b" 0.5\n", 0.5), (b"00ab", "00ab"), (b"-3", -3)])
def test_text(body: bytes, value: Any) -> None:
    assert decode(body, "text") == value
    assert type(decode(body, "text")) is type(value)


FEED = b"""<?xml version="1.0"?><rss version="2.0"><channel><title>T</title>
<item><title>A &nbsp;B</title><link>https://e.org/1</link><pubDate>Sat, 21 Nov 2026 18:05:10 -0500</pubDate><category>c</category></item>
</channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>T</title><entry><title type="html">X</title><id>i</id>
<link rel="self" href="https://e.org/self"/><link href="https://e.org/2"/><updated>2026-11-22T00:00:00Z</updated>
<author><name>N</name></author><category term="t"/><content type="html">&lt;p&gt;hi&lt;/p&gt;</content></entry></feed>"""


def test_rss_and_atom_become_one_shape() -> None:
    rss, atom = decode(FEED, "rss"), decode(ATOM, "rss")
    assert (rss["items"][0]["title"], rss["items"][0]["published"], rss["items"][0]["categories"]) == (
        "A \xa0B",
        "2026-11-21T23:05:10+00:00",
        ["c"],
    )
    assert atom["items"] == [
        {
            "title": "X", "link": "https://e.org/2", "id": "i", "published": "2026-11-22T00:00:00+00:00", "updated": "2026-11-22T00:00:00+00:00",
            "summary": "<p>hi</p>", "author": "N", "categories": ["t"], "source": None, "image": None,
        }
    ]  # fmt: skip


def item(inside: str, home: str = "https://e.org") -> dict[str, Any]:
    body = f"<rss><channel><title>T</title><link>{home}</link><item>{inside}</item></channel></rss>"
    only: dict[str, Any] = decode(body.encode(), "rss")["items"][0]
    return only


@pytest.mark.parametrize(
    ("inside", "key", "value"),
    [
        ("<title><![CDATA[A &amp; B&#8217;s &nbsp;c]]></title>", "title", "A & B\u2019s \xa0c"),
        ('<m:title xmlns:m="m">of the picture</m:title><title>of the story</title>', "title", "of the story"),
        ('<dc:creator xmlns:dc="dc">Jo</dc:creator>', "author", "Jo"),
        ("<title>A &amp; B &rsquo;</title>", "title", "A & B \u2019"),
        ("<link>https://e.org/1?a=1&b=2</link><title><![CDATA[x & y]]></title>", "link", "https://e.org/1?a=1&b=2"),
        ("<link>/news/1</link>", "link", "https://e.org/news/1"),
        ("<link>https://proxy.example/~3/x</link><origLink>https://e.org/1</origLink>", "link", "https://e.org/1"),
        ("<guid>https://e.org/g</guid>", "link", "https://e.org/g"),
        ('<enclosure url="https://i.example/1.jpg" length="0" type="image/jpg"/>', "image", "https://i.example/1.jpg"),
        (
            '<enclosure url="https://i.example/1.mp3" type="audio/mpeg"/><content url="https://i.example/2" medium="image"/>',
            "image",
            "https://i.example/2",
        ),
        (
            '<thumbnail url="https://i.example/s.png"/><group><content url="https://i.example/g.png" type="image/png"/></group>',
            "image",
            "https://i.example/g.png",
        ),
        (
            '<thumbnail url="https://i.example/s.png"/><content url="https://i.example/v.mp4" type="video/mp4"/>',
            "image",
            "https://i.example/s.png",
        ),
        ('<source url="https://p.example">Paper &amp; Co</source>', "source", "Paper & Co"),
        ("<pubDate>Sat, 21 Nov 2026 18:05:10 EST</pubDate>", "published", "2026-11-21T23:05:10+00:00"),
        ("<pubDate>Sat, 21 Nov 2026 18:05:10 CET</pubDate>", "published", "2026-11-21T17:05:10+00:00"),
        ("<pubDate>Sat, 21 Nov 2026 18:05 cest</pubDate>", "published", "2026-11-21T16:05:00+00:00"),
        ("<pubDate>Sat, 21 Nov 2026 18:05:10 Z</pubDate>", "published", "2026-11-21T18:05:10+00:00"),
        ("<pubDate>Sat, 21 Nov 2026 18:05:10 IST</pubDate>", "published", "Sat, 21 Nov 2026 18:05:10 IST"),
        ("<pubDate>2026-11-21 18:05:10</pubDate>", "published", "2026-11-21T18:05:10+00:00"),
    ],
)
def test_what_feeds_do_to_words_links_and_times(inside: str, key: str, value: str) -> None:
    assert item(inside)[key] == value


def test_an_entry_of_another_feed_names_it() -> None:
    body = b"<feed><entry><title>x</title><source><title>First &amp; Co</title></source></entry></feed>"
    assert decode(body, "rss")["items"][0]["source"] == "First & Co"


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE x [<!ENTITY a "b">]><rss><channel><title>&a;</title></channel></rss>',
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><rss><channel>&b;</channel></rss>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><rss><channel>&x;</channel></rss>',
        b"<html><body>blocked</body></html>",
        b"not xml",
        b"",
    ],
)
def test_feeds_that_are_none_or_not_harmless(body: bytes) -> None:
    with pytest.raises(DecodeError) as error:
        decode(body, "rss")
    assert error.value.outcome == "MALFORMED"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("frame", "packing"),
    [
        ('{"a":1}', "text"),
        (b'{"a":1}', "text"),
        (gzip.compress(b'{"a":1}'), "gzip"),
        (zlib.compress(b'{"a":1}'), "deflate"),
        (raw_deflate(b'{"a":1}'), "deflate"),
    ],
)
def test_frames(frame: bytes | str, packing: str) -> None:
    assert decode_message(frame, packing) == {"a": 1}


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_a_bomb_costs_no_more_than_the_cap(packing: str) -> None:
    zeros = b"0" * 50_000_000
    bomb = gzip.compress(zeros) if packing == "gzip" else zlib.compress(zeros)
    with pytest.raises(DecodeError, match="unpacks to more than") as error:
        unpack(bomb, packing)
    assert error.value.reason == "too large"


@pytest.mark.parametrize("frame", [b"\x00\x01\x02", b"\xff\xfe garbage", gzip.compress(b"{")[:-9]])
def test_garbage_frames_are_named(frame: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_message(frame, "gzip")


@pytest.mark.parametrize(("frame", "value"), [("pong", "pong"), ("1", 1), ("  [1] ", [1])])
def test_bare_words_are_messages(frame: str, value: Any) -> None:
    assert decode_message(frame) == value


def test_long_garbage_is_no_word() -> None:
    with pytest.raises(DecodeError, match="not JSON"):
        decode_message("x" * 65)


@given(st.binary(max_size=200), st.sampled_from(["json", "jsonrpc", "rss", "csv", "text"]))
def test_no_bytes_give_anything_but_a_value_or_a_named_error(body: bytes, kind: BodyKind) -> None:
    try:
        decode(body, kind)
    except DecodeError as error:
        assert error.reason


@given(st.binary(max_size=200), st.sampled_from(["text", "gzip", "deflate"]))
def test_no_frame_gives_anything_but_a_value_or_a_named_error(frame: bytes, packing: str) -> None:
    try:
        decode_message(frame, packing)
    except DecodeError as error:
        assert error.reason
