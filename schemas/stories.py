"""Which addresses are one story: the canonical form of a web address, and the entity that is named after it."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl, urlencode, urlsplit

KIND = "story:"
"""Entities of stories begin so."""
TRACKER_PREFIXES = ("utm_", "mtm_", "mc_", "fbclid", "gclid")
TRACKERS = frozenset((
    "ref", "ref_src", "ref_url", "referrer", "referer", "source", "cmpid", "taid", "ncid", "msclkid", "dclid", "igshid",
))  # fmt: skip
"""Query parameters that say who linked, not what."""
MIRRORS = ("www.", "m.", "amp.")
"""Hosts of one site that begin so tell what the site tells."""


def canonical_url(url: str) -> str | None:
    """The address without scheme, mirror, port, trackers, fragment and closing slash; None when it is no web address.

    The case of the path is kept, for it has meaning to some.
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    host = parts.netloc.lower().removesuffix(":443").removesuffix(":80")
    host = next((host.removeprefix(mirror) for mirror in MIRRORS if host.startswith(mirror)), host)
    path = parts.path.rstrip("/").removesuffix("/amp") or "/"
    query = sorted((name, value) for name, value in parse_qsl(parts.query) if not _tracks(name.lower()))
    return f"{host}{path}" + (f"?{urlencode(query)}" if query else "")


def _tracks(name: str) -> bool:
    return name in TRACKERS or name.startswith(TRACKER_PREFIXES)


def story_of(url: str) -> str | None:
    """The entity of the story at this address, the same for all its spellings; None when it is no web address."""
    canonical = canonical_url(url)
    if canonical is None:
        return None
    return KIND + hashlib.blake2b(canonical.encode(), digest_size=10).hexdigest()
