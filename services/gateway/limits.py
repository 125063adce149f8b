"""The gateway's quotas, as rows, and the token bucket that keeps the request quota."""

from __future__ import annotations

from msgspec import Struct


class Limit(Struct, frozen=True):
    """One bound on what a client may do; served at /api/v1/limits as it stands here."""

    name: str
    value: int
    unit: str
    why: str


LIMITS = (
    Limit("list_limit", 1000, "records", "A longer list is fetched by cursor, so that no answer holds up the loop."),
    Limit("request_body_bytes", 65_536, "bytes", "No route of this API takes a body."),
    Limit("url_bytes", 8_192, "bytes", "1,000 asset ids fit."),
    Limit("ws_message_bytes", 65_536, "bytes", "A command that names 1,024 topics fits."),
    Limit("ws_messages_per_s", 10, "messages", "Commands a second, sustained; beyond the burst the socket is closed with 4029."),
    Limit("ws_messages_burst", 50, "messages", "Commands that may come at once."),
    Limit("ws_topics", 1_024, "topics", "Keys named by one connection's subscriptions, and records of one snapshot."),
    Limit("ws_heartbeat_s", 30, "seconds", "A JSON ping when nothing else was sent for so long; a client may give up after 2.5 of them."),
    Limit("ws_slow_s", 30, "seconds", "A socket that cannot be written to for so long is closed with 4008."),
    Limit("ws_lifetime_s", 86_400, "seconds", "Plus or minus 10 %, so that reconnects spread; then 4040."),
    Limit("ws_resume_window_s", 120, "seconds", "Events within it are replayed to a client that comes back with a cursor."),
)  # fmt: skip
"""Reasons from the protocol's design; the quotas that an operator sets are settings."""

LIMIT = {limit.name: limit.value for limit in LIMITS}

WINDOW_S = 60
"""Window of the request quota, as the RateLimit-Policy header states it."""
IDLE_CLIENTS_MAX = 10_000
"""Clients remembered; a forgotten one starts with a full bucket, which costs the server nothing."""


class Bucket:
    """Requests left for one client."""

    __slots__ = ("left", "taken_ms")

    def __init__(self, left: float, taken_ms: int) -> None:
        self.left = left
        self.taken_ms = taken_ms


class Quota:
    """A token bucket per client: `per_minute` requests in any minute on average, all of them at once if the client wants."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.policy = f'"default";q={per_minute};w={WINDOW_S}'.encode()
        self._rate_ms = per_minute / (WINDOW_S * 1000)
        self._buckets: dict[str, Bucket] = {}

    def take(self, client: str, now_ms: int, cost: float = 1.0) -> float:
        """Requests left after this one, or minus the milliseconds until there is one when there is none now."""
        bucket = self._buckets.get(client)
        if bucket is None:
            if len(self._buckets) >= IDLE_CLIENTS_MAX:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[client] = Bucket(float(self.per_minute), now_ms)
        elif now_ms > bucket.taken_ms:
            bucket.left = min(self.per_minute, bucket.left + (now_ms - bucket.taken_ms) * self._rate_ms)
            bucket.taken_ms = now_ms
        if bucket.left < cost:
            return -((cost - bucket.left) / self._rate_ms)
        bucket.left -= cost
        return bucket.left

    def give_back(self, client: str, cost: float = 1.0) -> None:
        """Undo a take: an unchanged answer (304) costs nothing."""
        bucket = self._buckets.get(client)
        if bucket is not None:
            bucket.left = min(self.per_minute, bucket.left + cost)

    def refill_s(self, left: float) -> int:
        """Seconds until the bucket is full again."""
        return int((self.per_minute - left) / (self._rate_ms * 1000)) + 1
