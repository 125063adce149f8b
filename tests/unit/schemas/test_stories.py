"""One story has one entity, whatever leads to it."""

from __future__ import annotations

import pytest

from schemas.stories import canonical_url, story_of


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://www.Example.com/News/a-b/?utm_source=x&utm_medium=y#top", "example.com/News/a-b"),
        ("http://m.example.com/a?id=7&ref=tw&fbclid=1&source=rss", "example.com/a?id=7"),
        ("https://example.com:443/a/amp/", "example.com/a"),
        ("https://amp.example.com", "example.com/"),
        ("https://example.com/?b=2&a=1", "example.com/?a=1&b=2"),
        ("https://example.com/a?reference=9&sources=2", "example.com/a?reference=9&sources=2"),
        (" https://example.com:8080/a ", "example.com:8080/a"),
        ("ftp://example.com/a", None),
        ("https://[broken/a", None),
        ("example.com/a", None),
    ],
)
def test_one_address_has_one_spelling(url: str, canonical: str | None) -> None:
    assert canonical_url(url) == canonical


def test_the_entity_is_named_after_the_canonical_address() -> None:
    """Pinned: a change gives every story of a running deployment a new key."""
    spellings = (
        "https://www.example.org/a/?utm_source=x",
        "http://example.org/a",
        "https://EXAMPLE.org:443/a#top",
        "https://example.org/a?ref=rss",
    )
    assert {story_of(url) for url in spellings} == {"story:5c6084450846fc8f0a70"}
    assert story_of("https://example.org/a?id=1") != story_of("https://example.org/a?id=2")
    assert story_of("nothing") is None
