"""Requests read backwards: an address, a body, a recorder's envelope -> provider, endpoint, parameters."""

from services.collector.match.search import Match, Near, match, match_stream, near, secrets_of, untold

__all__ = ["Match", "Near", "match", "match_stream", "near", "secrets_of", "untold"]
