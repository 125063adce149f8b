"""The fixed pieces of a fused record's JSON, and how they are written."""

from __future__ import annotations

from services.aggregator.compiled.memory import copy, integers, octets
from services.aggregator.fusion.layout import REASONS
from services.aggregator.kernels.digits import write_share


def _piece(text: bytes) -> int:
    return int.from_bytes(text.ljust(8), "little")


# Text is written as words of 8 bytes; what follows overwrites what a piece does not fill.
ENTITY_1, ENTITY_2 = _piece(b'{"entity'), _piece(b'":"')
CATEGORY_1, CATEGORY_2 = _piece(b'","categ'), _piece(b'ory":')
VERSION_1, VERSION_2 = _piece(b',"versio'), _piece(b'n":')
AS_OF_1, AS_OF_2 = _piece(b',"as_of_'), _piece(b'ms":')
ORIGIN_1, ORIGIN_2 = _piece(b',"origin'), _piece(b'":')
METRICS_1, METRICS_2 = _piece(b',"metric'), _piece(b's":{')
QUOTE_1, QUOTE_2 = _piece(b',"quote"'), _piece(b":")
QUALITY_1, QUALITY_2 = _piece(b',"qualit'), _piece(b'y":')
COMPLETE_1, COMPLETE_2 = _piece(b'{"comple'), _piece(b'teness":')
CONSISTENT_1, CONSISTENT_2 = _piece(b',"consis'), _piece(b'tency":')
TIMELY_1, TIMELY_2 = _piece(b',"timeli'), _piece(b'ness":')
DIVERSE_1, DIVERSE_2 = _piece(b',"divers'), _piece(b'ity":')
SURE_1, SURE_2 = _piece(b',"confid'), _piece(b'ence":')
LOW, HIGH = _piece(b',"low":'), _piece(b',"high":')
SPREAD_1, SPREAD_2 = _piece(b',"spread'), _piece(b'":')
SOURCES_1, SOURCES_2 = _piece(b',"source'), _piece(b's":')
VOICES_1, VOICES_2 = _piece(b',"voices'), _piece(b'":')
BY, END_BY = _piece(b',"by":['), _piece(b"]")
PROVIDER_1, PROVIDER_2 = _piece(b'{"provid'), _piece(b'er":')
VALUE_1, VALUE_2 = _piece(b',"value"'), _piece(b":")
AGE_1, AGE_2 = _piece(b',"age_ms'), _piece(b'":')
WEIGHT_1, WEIGHT_2 = _piece(b',"weight'), _piece(b'":')
WHY, NULL, COMMA, CLOSE = _piece(b',"why":'), _piece(b"null"), _piece(b","), _piece(b"}")
_REASONS = (*(f'"{reason}"' for reason in REASONS), '"stale"', '"no_rate"', '"circular"', '"other_quote"')
"""By the codes of fusion, and then of `gather`."""
WHY_1 = tuple(_piece(text.encode()[:8]) for text in _REASONS)
WHY_2 = tuple(_piece(text.encode()[8:]) for text in _REASONS)
WHY_N = tuple(len(text) for text in _REASONS)


def put(out_at: int, at: int, first: int, second: int, n: int) -> int:
    """Write n of the 16 bytes of these two words; where they end."""
    words = integers(out_at + at, 2)
    words[0] = first
    words[1] = second
    return at + n


def put_text(out_at: int, at: int, address: int, n: int) -> int:
    """Write n bytes from an address; where they end."""
    copy(out_at + at, address, n)
    return at + n


def put_share(out_at: int, out_bytes: int, at: int, first: int, second: int, n: int, share: float) -> int:
    """Write a field of this name with a share."""
    return write_share(octets(out_at, out_bytes), put(out_at, at, first, second, n), share)


def put_quality(
    out_at: int, out_bytes: int, at: int, complete: float, consistent: float, timely: float, diverse: float, sure: float
) -> int:
    """Write schemas.events.Quality."""
    at = put_share(out_at, out_bytes, at, COMPLETE_1, COMPLETE_2, 16, complete)
    at = put_share(out_at, out_bytes, at, CONSISTENT_1, CONSISTENT_2, 15, consistent)
    at = put_share(out_at, out_bytes, at, TIMELY_1, TIMELY_2, 14, timely)
    at = put_share(out_at, out_bytes, at, DIVERSE_1, DIVERSE_2, 13, diverse)
    at = put_share(out_at, out_bytes, at, SURE_1, SURE_2, 14, sure)
    return put(out_at, at, CLOSE, 0, 1)
