"""Lists from several sources as one list: a story of several feeds is one story, a transfer of several watchers one transfer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from services.aggregator.fusion.strategies import quantile
from services.aggregator.fusion.words import overlap, tokens

SAME_TITLE = 0.7
"""Overlap of words (Jaccard) from which two titles tell the same story."""
LEAST_WORDS = 4
"""Titles shorter than this are too common to prove anything."""
SAME_STORY_MS = 48 * 3_600_000
"""Two tellings of one story are published at most this far apart."""
TRACKERS = ("utm_", "ref", "fbclid", "gclid", "mc_cid", "mc_eid", "cmpid", "source")
"""Query parameters that say who linked, not what."""
MANY = 64
"""A word of more titles than this is not used to find candidates."""


class Story(NamedTuple):
    """One telling, as a feed gives it."""

    provider: str
    group: str
    url: str
    title: str
    published_ms: int


class Merged(NamedTuple):
    """One story with all its tellings, first published first."""

    url: str
    title: str
    first_ms: int
    tellings: list[Story]
    voices: int
    """Independent groups that tell it."""


class Transfer(NamedTuple):
    """One transfer as a watcher gives it; amounts in USD may be unknown."""

    provider: str
    chain: str
    hash: str
    usd: float | None
    sender: str | None = None
    receiver: str | None = None


class MergedTransfer(NamedTuple):
    """One transfer, by whom it was seen, and what it was worth."""

    chain: str
    hash: str
    usd: float | None
    sender: str | None
    receiver: str | None
    seen_by: list[str]


def canonical_url(url: str) -> str:
    """The address without scheme, `www.`, trackers, fragment and closing slash; case of the path is kept."""
    parts = urlsplit(url.strip())
    host = (parts.hostname or "").removeprefix("www.").removeprefix("m.").removeprefix("amp.")
    query = urlencode(sorted((k, v) for k, v in parse_qsl(parts.query) if not k.lower().startswith(TRACKERS)))
    path = parts.path.rstrip("/").removesuffix("/amp")
    return f"{host}{path}" + (f"?{query}" if query else "")


def merge_stories(stories: Sequence[Story]) -> list[Merged]:
    """One entry per story, newest first; same canonical address, or nearly the same title within two days."""
    order = sorted(range(len(stories)), key=lambda i: (stories[i].published_ms, stories[i].provider, stories[i].url))
    parent = list(range(len(stories)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    by_url: dict[str, int] = {}
    by_word: dict[str, list[int]] = {}
    words = [tokens(story.title) for story in stories]
    for i in order:
        url = canonical_url(stories[i].url)
        if url in by_url:
            parent[root(i)] = root(by_url[url])
        by_url.setdefault(url, i)
        if len(words[i]) >= LEAST_WORDS:
            near = {j for word in words[i] for j in by_word.get(word, ()) if len(by_word[word]) <= MANY}
            for j in sorted(near):
                close = stories[i].published_ms - stories[j].published_ms <= SAME_STORY_MS
                if close and overlap(words[i], words[j]) >= SAME_TITLE:
                    parent[root(i)] = root(j)
            for word in words[i]:
                by_word.setdefault(word, []).append(i)
    found: dict[int, list[int]] = {}
    for i in order:
        found.setdefault(root(i), []).append(i)
    merged = []
    for members in found.values():
        first = stories[members[0]]
        middle = max(members, key=lambda i: (sum(overlap(words[i], words[j]) for j in members), -members.index(i)))
        tellings = [stories[i] for i in members]
        merged.append(
            Merged(first.url, stories[middle].title, first.published_ms, tellings, len({t.group for t in tellings}))
        )
    return sorted(merged, key=lambda story: (-story.first_ms, story.url))


def merge_transfers(transfers: Sequence[Transfer]) -> list[MergedTransfer]:
    """One entry per (chain, hash), in order of first sight; worth is the median of what was said, names the commonest."""
    found: dict[tuple[str, str], list[Transfer]] = {}
    for transfer in transfers:
        # Hexadecimal hashes have no case; those of other alphabets do.
        name = transfer.hash.lower() if transfer.hash[:2] in ("0x", "0X") else transfer.hash
        found.setdefault((transfer.chain, name), []).append(transfer)
    merged = []
    for (chain, name), same in found.items():
        worth = sorted(t.usd for t in same if t.usd is not None)
        merged.append(
            MergedTransfer(
                chain,
                name,
                quantile(worth, 0.5) if worth else None,
                _commonest([t.sender for t in same]),
                _commonest([t.receiver for t in same]),
                sorted({t.provider for t in same}),
            )
        )
    return merged


def _commonest(names: Sequence[str | None]) -> str | None:
    said = [name for name in names if name]
    return max(sorted(set(said)), key=said.count) if said else None
