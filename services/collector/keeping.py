"""What is kept of an answer beside its events: the body in the archive, and what could not be used in the dead letters."""

from __future__ import annotations

from schemas.events import Archived
from services.collector.admit import dialects
from services.collector.classify import Outcome
from services.collector.drift.guard import Verdict
from services.collector.line import Line
from services.collector.map.mapped import Mapped
from services.collector.origin import Upstream
from services.collector.publish import Publisher
from services.collector.request import Call
from services.collector.send import Failure, Reply


class Keeper:
    """Archives and buries."""

    def __init__(self, publisher: Publisher, upstream: Upstream, archive: bool) -> None:
        self._publisher = publisher
        self._upstream = upstream
        self._archives = archive

    def archive(self, line: Line, call: Call, reply: Reply | Failure) -> None:
        """The body, with all that is needed to map it again."""
        if not self._archives or not reply.body:
            return
        meta = Archived(
            provider=line.provider.id,
            endpoint=line.name,
            fingerprint=call.fingerprint,
            received_ms=reply.received_ms,
            origin=self._upstream.origin,
            registry=line.registry,
            status=reply.status,
            method=call.method,
            url=call.url,
            params=call.values,
            content_type=reply.headers.get("content-type"),
            headers={name: value for name, value in reply.headers.items() if name in dialects.KEPT_HEADERS},
        )
        self._publisher.archive(meta, reply.body)

    def bury(
        self, line: Line, reply: Reply | Failure, outcome: Outcome, mapped: Mapped | None, verdict: Verdict | None
    ) -> None:
        """Bodies of which something could not be used go to the dead letters, with the first reason; drifted ones once, where
        the archive has the others."""
        detail, reason = outcome.detail, outcome.name
        if verdict is not None and verdict.differences and (verdict.changed or not self._archives):
            reason, detail = "SCHEMA_DRIFT", verdict.words
        elif mapped is not None and mapped.faults:
            reason = "ROWS" if outcome.ok else reason
            detail = f"faults: {len(mapped.faults)}; first: {mapped.faults[0].words}"
        elif outcome.name not in ("MALFORMED", "SCHEMA_DRIFT"):
            return
        self._publisher.dead(reason, line.provider.id, line.name, reply.body, reply.received_ms, detail)
