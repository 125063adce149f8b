"""One story from many feeds is one story with its sources; one transfer from many watchers is one transfer."""

from __future__ import annotations

import pytest

from services.aggregator.fusion.lists import (
    SAME_STORY_MS,
    MergedTransfer,
    Story,
    Transfer,
    canonical_url,
    merge_stories,
    merge_transfers,
)

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.Example.com/News/a-b/?utm_source=x&utm_medium=y#top", "example.com/News/a-b"),
        ("http://m.example.com/a?id=7&ref=tw", "example.com/a?id=7"),
        ("https://example.com/a/amp/", "example.com/a"),
        ("https://example.com/?b=2&a=1", "example.com?a=1&b=2"),
    ],
)
def test_one_address_has_one_spelling(url: str, name: str) -> None:
    assert canonical_url(url) == name


def story(provider: str, url: str, title: str, hour: int = 0, group: str | None = None) -> Story:
    return Story(provider, group or provider, url, title, hour * HOUR)


def test_the_same_story_of_several_feeds_becomes_one_with_its_sources() -> None:
    one = story("a", "https://a.example/1", "Regulator approves the first spot fund for ether", 2)
    two = story("b", "https://b.example/9", "Regulator approves first spot fund for ether", 1)
    three = story("c", "https://a.example/1?utm_source=c", "Ether fund!", 3)
    other = story("d", "https://d.example/2", "Bridge loses forty million in an attack", 4)
    first, second = merge_stories([one, two, three, other])
    assert (first.tellings, first.voices) == ([other], 1)
    assert (second.url, second.first_ms, second.tellings, second.voices) == (two.url, HOUR, [two, one, three], 3)
    assert second.title in (one.title, two.title)


def test_a_group_is_one_voice_of_a_story() -> None:
    (merged,) = merge_stories(
        [story("a", "https://x.example/1", "t", group="g"), story("b", "https://x.example/1", "t", group="g")]
    )
    assert merged.voices == 1


def test_the_same_headline_days_apart_is_another_story() -> None:
    title = "Bitcoin falls below its average of two hundred days"
    late = SAME_STORY_MS // HOUR + 1
    assert (
        len(merge_stories([story("a", "https://a.example/1", title), story("b", "https://b.example/2", title, late)]))
        == 2
    )


def test_short_titles_prove_nothing() -> None:
    assert (
        len(
            merge_stories(
                [story("a", "https://a.example/1", "Market update"), story("b", "https://b.example/2", "Market update")]
            )
        )
        == 2
    )


def test_the_order_of_feeds_changes_nothing() -> None:
    stories = [
        story(p, f"https://{p}.example/1", "A rather long title that is the same", h)
        for p, h in (("a", 3), ("b", 1), ("c", 2))
    ]
    assert merge_stories(stories) == merge_stories(stories[::-1])


def test_a_transfer_is_one_by_chain_and_hash() -> None:
    said = [
        Transfer("w1", "ethereum", "0xAB", 100.0, "x", "y"),
        Transfer("w2", "ethereum", "0xab", 102.0, None, "y"),
        Transfer("w3", "ethereum", "0xab", None),
        Transfer("w1", "base", "0xab", 5.0),
        Transfer("w1", "solana", "AbC", 1.0),
        Transfer("w2", "solana", "abc", 1.0),
    ]
    assert merge_transfers(said) == [
        MergedTransfer("ethereum", "0xab", 101.0, "x", "y", ["w1", "w2", "w3"]),
        MergedTransfer("base", "0xab", 5.0, None, None, ["w1"]),
        MergedTransfer("solana", "AbC", 1.0, None, None, ["w1"]),
        MergedTransfer("solana", "abc", 1.0, None, None, ["w2"]),
    ]
