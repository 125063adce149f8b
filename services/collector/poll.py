"""One question from admission to records: admit, ask, read, say what happened, try again where that helps."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from schemas.events import Attempt
from services.collector import cache, request
from services.collector.admit import dialects, limits
from services.collector.admit.buckets import Grant
from services.collector.admit.store import Store
from services.collector.backoff import REQUESTS
from services.collector.cache import Cache, Entry
from services.collector.classify import ACTIONS, Outcome
from services.collector.drift.guard import Verdict
from services.collector.keeping import Keeper
from services.collector.line import Line, Lines
from services.collector.map.mapped import BookChange, Mapped
from services.collector.origin import Upstream
from services.collector.plan import compliance
from services.collector.publish import Publisher
from services.collector.request import Call
from services.collector.send import Failure, Reply, Sender
from services.common.errors import DefinitionError
from services.common.metrics import Metrics

log = logging.getLogger(__name__)

SKIPPED: Final = "SKIPPED"
FINAL: Final = frozenset({"AUTH", "FORBIDDEN_REGION"})
"""One of these is enough to open the breaker: asking again changes nothing and may get us banned."""
QUOTA_PAUSE_MS: Final = 3_600_000
"""Pause after a spent long budget when the provider does not say when it is full again."""


class Question(Struct, frozen=True, kw_only=True):
    """What to ask: a line with parameters in the provider's spelling."""

    line: Line
    values: Mapping[str, str | tuple[str, ...]]
    deadline_ms: int
    """No try starts after this."""
    max_age_ms: int
    """A kept answer this young will do."""
    due_ms: int | None = None
    spare_reserve: bool = True
    """Leave the last of a long budget to questions that somebody waits for."""
    intended: str | None = None
    reason: str | None = None
    books: Callable[[list[BookChange], int], None] | None = None
    """Takes the order books of the answer and when it was received."""


class Result(Struct, frozen=True, kw_only=True):
    """What became of a question; the headers say how long the answer holds."""

    outcome: str
    detail: str | None = None
    headers: dict[str, str] = {}


class Poller:
    """Asks questions and publishes what they give."""

    def __init__(
        self,
        lines: Lines,
        upstream: Upstream,
        sender: Sender,
        kept: Cache,
        store: Store,
        publisher: Publisher,
        metrics: Metrics,
        in_flight: int,
        retries: int,
        archive: bool,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._lines = lines
        self._upstream = upstream
        self._sender = sender
        self._cache = kept
        self._store = store
        self._publisher = publisher
        self._metrics = metrics
        self._slots = asyncio.Semaphore(in_flight)
        self._retries = retries
        self._keeper = Keeper(publisher, upstream, archive)
        self._draw = draw
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Nothing waits any more: what is with a provider is finished, what waits for its turn is skipped."""
        self._closing.set()

    async def ask(self, question: Question) -> Result:
        """Ask once, with the retries that its outcome deserves; everything that happens is on `ops.fetches`."""
        line = question.line
        refusal = self._lines.refusal(line, _now_ms())
        if refusal is not None:
            return self._skip(question, refusal)
        try:
            call = request.compose(line.provider, line.name, question.values, _now_ms(), self._base(line))
        except DefinitionError as error:
            line.breaker.release()
            return self._skip(question, "bad_parameters", str(error))
        outcome: list[Result] = []

        async def fly(kept: Entry | None) -> Reply | Failure:
            reply, result = await self._tries(question, call, kept)
            outcome.append(result)
            return reply

        answer = await self._cache.answer(cache.key(call), _now_ms(), question.max_age_ms, fly)
        self._metrics.set("cache_bytes", self._cache.held_bytes)
        if outcome:
            return outcome[0]
        line.breaker.release()
        return self._from_cache(question, answer.reply)

    async def _tries(self, question: Question, call: Call, kept: Entry | None) -> tuple[Reply | Failure, Result]:
        for number in range(1, self._retries + 2):
            grant = await self._admit(question)
            if isinstance(grant, str):
                question.line.breaker.release()
                return _skipped(grant), self._skip(question, grant, number=number)
            tried = await self._try(question, call, kept, number, grant)
            if tried is None:
                question.line.breaker.release()
                return _skipped("stopping"), self._skip(question, "stopping", number=number)
            reply, outcome, told_s = tried
            if outcome.ok or outcome.name == "EMPTY" or not ACTIONS[outcome.name].retry or number > self._retries:
                break
            wait_s = REQUESTS.wait_s(number, self._draw(), told_s)
            if _now_ms() + wait_s * 1000 >= question.deadline_ms or not question.line.breaker.allow(_now_ms()):
                break
            if not await self._pause(wait_s):
                break
        headers = reply.headers if isinstance(reply, Reply) else {}
        return reply, Result(outcome=outcome.name, detail=outcome.detail, headers=headers)

    async def _admit(self, question: Question) -> Grant | str:
        """A grant, or why there is none before the deadline: `budget`, `reserve`, `told_to_wait`, `stopping`."""
        line = question.line
        while True:
            now_ms = _now_ms()
            grant = await self._store.take(line.buckets, line.endpoint.cost, now_ms, question.spare_reserve)
            line.quota_used = grant.used
            if grant.granted:
                self._metrics.set("quota_used_ratio", grant.used, provider=line.provider.id)
                if grant.warn:
                    self._metrics.inc("quota_warnings_total", provider=line.provider.id)
                return grant
            if now_ms + grant.wait_ms >= question.deadline_ms:
                return "told_to_wait" if grant.blocked else "reserve" if grant.divert else "budget"
            if not await self._pause(grant.wait_ms / 1000):
                return "stopping"

    async def _pause(self, wait_s: float) -> bool:
        """Wait; False when the process is about to stop."""
        try:
            async with asyncio.timeout(wait_s):
                await self._closing.wait()
        except TimeoutError:
            return True
        return False

    async def _try(
        self, question: Question, call: Call, kept: Entry | None, number: int, grant: Grant
    ) -> tuple[Reply | Failure, Outcome, float | None] | None:
        """One request; None when the process began to stop while this one waited for its turn."""
        line = question.line
        await self._publisher.room()
        asked = request.authorize(call, line.provider, self._lines.secret(line.provider))
        if kept is not None:
            held = kept.reply.headers
            asked = replace(asked, etag=held.get("etag"), last_modified=held.get("last-modified"))
        async with self._slots:
            if self._closing.is_set():
                return None
            reply = await self._sender.send(asked)
        if isinstance(reply, Reply) and reply.status == 304 and kept is not None:
            reply = cache.revive(kept.reply, reply)
            self._metrics.inc("cache_total", result="revived")
        mapped: Mapped | None = None
        verdict: Verdict | None = None
        if isinstance(reply, Failure):
            outcome = Outcome(reply.outcome, reply.detail)
        else:
            outcome, mapped, verdict = self._read(line, call, reply)
        told_s = await self._learn(line, reply, outcome)
        self._say(question, call, reply, outcome, mapped, verdict, number)
        if isinstance(reply, Reply) and not outcome.ok and outcome.name != "EMPTY":
            reply = _spoiled(reply, outcome)
        return reply, outcome, told_s

    def _read(self, line: Line, call: Call, reply: Reply) -> tuple[Outcome, Mapped | None, Verdict | None]:
        try:
            outcome, mapped = line.reader.read(
                reply.status, reply.headers, reply.body, call.values, reply.received_ms, self._upstream.origin
            )
            return outcome, mapped, line.guard.judge(mapped) if mapped is not None else None
        except Exception as error:  # a mapping that fails on one body must not stop the polling of all others
            log.exception("answer could not be mapped", extra={"provider": line.provider.id, "endpoint": line.name})
            return Outcome("MALFORMED", f"the mapping failed: {type(error).__name__}: {error}"), None, None

    async def _learn(self, line: Line, reply: Reply | Failure, outcome: Outcome) -> float | None:
        """Tell breaker and budgets what happened; the wait that the provider asked for, in seconds."""
        action, now_ms = ACTIONS[outcome.name], _now_ms()
        line.breaker.record(action.breaks, now_ms, final=outcome.name in FINAL)
        self._metrics.set(
            "breaker_open",
            0 if line.breaker.state(now_ms) == "closed" else 1,
            provider=line.provider.id,
            endpoint=line.name,
        )
        readings = dialects.read(line.provider.quota_headers, reply.headers, now_ms)
        for row, left in limits.remaining(readings, line.buckets):
            await self._store.lower(row, left, now_ms)
        told_ms = dialects.retry_after_ms(reply.headers, now_ms)
        if outcome.name == "RATE_LIMITED":
            line.slowed = True
            await self._store.slow(line.buckets, now_ms)
        elif outcome.name == "QUOTA_EXHAUSTED":
            resets = [one.reset_ms for one in readings if one.reset_ms]
            await self._store.block(
                line.buckets[-1:], now_ms + (told_ms or max(resets, default=QUOTA_PAUSE_MS)), now_ms
            )
        elif outcome.ok and line.slowed:
            await self._store.quicken(line.buckets, now_ms)
        if told_ms is not None and not outcome.ok:
            await self._store.block(line.buckets, now_ms + told_ms, now_ms)
        return None if told_ms is None else told_ms / 1000

    def _say(
        self,
        question: Question,
        call: Call,
        reply: Reply | Failure,
        outcome: Outcome,
        mapped: Mapped | None,
        verdict: Verdict | None,
        number: int,
    ) -> None:
        line = question.line
        events = verdict.events if verdict is not None else []
        if question.intended is not None:
            events = [replace(event, intended=question.intended, reason=question.reason) for event in events]
        self._publisher.events(events, "poll")
        if question.books is not None and mapped is not None:
            question.books(mapped.books, reply.received_ms)
        self._keeper.archive(line, call, reply)
        self._keeper.bury(line, reply, outcome, mapped, verdict)
        drifted = verdict is not None and bool(verdict.differences)
        newest_ms = mapped.newest_event_ms if mapped is not None else None
        self._publish(
            question,
            Attempt(
                provider=line.provider.id,
                endpoint=line.name,
                category=line.provider.home,
                outcome="SCHEMA_DRIFT" if drifted else outcome.name,
                origin=self._upstream.origin,
                started_ms=reply.started_ms,
                finished_ms=reply.received_ms,
                status=reply.status,
                latency_ms=round(reply.latency_ms, 3),
                bytes=len(reply.body),
                events=len(events),
                rows_failed=len(mapped.faults) if mapped is not None else None,
                held=verdict.held or None if verdict is not None else None,
                try_number=number,
                data_age_ms=None if newest_ms is None else reply.received_ms - newest_ms,
                detail=verdict.words if drifted and verdict is not None else outcome.detail,
            ),
        )
        self._metrics.observe("attempt_seconds", reply.latency_ms / 1000, category=line.provider.home)
        if mapped is not None:
            self._metrics.inc("rows_failed_total", len(mapped.faults), provider=line.provider.id)
            self._metrics.inc("rows_unknown_total", sum(mapped.unknown.values()), provider=line.provider.id)
        if verdict is not None:
            self._metrics.inc("held_values_total", verdict.held, provider=line.provider.id)
            self._metrics.set("drifted", len(verdict.differences), provider=line.provider.id, endpoint=line.name)

    def _from_cache(self, question: Question, reply: Reply | Failure) -> Result:
        line, now_ms = question.line, _now_ms()
        outcome = "OK" if isinstance(reply, Reply) else reply.outcome
        attempt = Attempt(
            provider=line.provider.id,
            endpoint=line.name,
            category=line.provider.home,
            outcome=outcome,
            origin=self._upstream.origin,
            started_ms=now_ms,
            finished_ms=now_ms,
            cached=True,
        )
        self._publish(question, attempt)
        return Result(outcome=outcome, headers=reply.headers)

    def _skip(self, question: Question, reason: str, detail: str | None = None, number: int = 1) -> Result:
        self.skip(question.line, question.due_ms, reason, detail, question.intended, number)
        return Result(outcome=SKIPPED, detail=reason)

    def skip(
        self,
        line: Line,
        due_ms: int | None,
        reason: str,
        detail: str | None = None,
        intended: str | None = None,
        number: int = 1,
    ) -> None:
        """Say that something was due and not started, and why."""
        now_ms = _now_ms()
        self._metrics.inc("skips_total", provider=line.provider.id, reason=reason)
        self._publisher.attempt(
            Attempt(
                provider=line.provider.id,
                endpoint=line.name,
                category=line.provider.home,
                outcome=SKIPPED,
                origin=self._upstream.origin,
                started_ms=now_ms,
                due_ms=due_ms,
                skip_reason=reason,
                detail=detail,
                try_number=number,
                intended=intended,
                quota_used=line.quota_used,
                breaker=line.breaker.state(now_ms),
            )
        )

    def _publish(self, question: Question, attempt: Attempt) -> None:
        line = question.line
        if question.due_ms is not None and attempt.try_number == 1:
            kept = compliance(question.due_ms, attempt.started_ms)
            attempt = replace(attempt, due_ms=question.due_ms, delay_ms=kept.delay_ms, on_time=kept.on_time)
            self._metrics.observe("start_delay_seconds", max(0, kept.delay_ms) / 1000, category=line.provider.home)
            self._metrics.inc("on_time_total", category=line.provider.home, on_time="yes" if kept.on_time else "no")
        self._metrics.inc("attempts_total", provider=line.provider.id, outcome=attempt.outcome)
        self._publisher.attempt(
            replace(
                attempt,
                intended=question.intended,
                reason=question.reason,
                quota_used=line.quota_used,
                breaker=line.breaker.state(attempt.finished_ms or attempt.started_ms),
            )
        )

    def _base(self, line: Line) -> str:
        return self._upstream.http(line.provider.id, line.provider.bases[line.endpoint.base])


def _skipped(reason: str) -> Failure:
    now_ms = _now_ms()
    return Failure(outcome=SKIPPED, detail=reason, started_ms=now_ms, received_ms=now_ms, latency_ms=0.0)


def _spoiled(reply: Reply, outcome: Outcome) -> Failure:
    """An answer that is an error: a Failure to the cache, which keeps only what can be used again."""
    return Failure(
        outcome=outcome.name,
        detail=outcome.detail or "",
        started_ms=reply.started_ms,
        received_ms=reply.received_ms,
        latency_ms=reply.latency_ms,
        status=reply.status,
        headers=reply.headers,
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
