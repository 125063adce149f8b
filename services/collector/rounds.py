"""Polling rounds: the timetable of our share, kept true to demand, leases and listings, and the fetches on demand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from schemas.events import Command
from services.collector import demand, plan
from services.collector.admit.buckets import Bucket
from services.collector.line import Line, Lines
from services.collector.listing import Listing
from services.collector.map.identity import Identity
from services.collector.map.mapped import BookChange
from services.collector.plan import Due, Interests, Job, Schedule
from services.collector.poll import Poller, Question, Result
from services.collector.pools import Member, Pool
from services.collector.registry.model import Provider
from services.common.metrics import Metrics

TICK_S: Final = 30.0
"""How often interests are looked through, when nothing else happens."""
REPLAN_MS: Final = 1_000
"""The timetable is made anew at most this often: what is learnt of listings comes in many small steps."""
COMMAND_S: Final = 20.0
"""Longest time for a fetch on demand."""
SNAPSHOT_MS: Final = 300_000
"""The start of an order book waits this long for its turn: many books of a venue ask at once when a socket opens."""
JOB_MS: Final = 60_000
"""A job that found no turn for so long is skipped, and says why, even when it is due again only tomorrow."""
INTEREST_MS: Final = 600_000
"""How long an entity that was asked for stays polled, when the command does not say."""

Owns = Callable[[str, str], bool]
"""(category, shard) -> whether this process polls it."""


class Rounds:
    """Starts what is due and answers commands."""

    def __init__(
        self,
        providers: Sequence[Provider],
        identity: Identity,
        interests: Interests,
        listing: Listing,
        lines: Lines,
        poller: Poller,
        pools: Mapping[str, list[Pool]],
        cadence_s: Mapping[str, int],
        cache_s: Mapping[str, int],
        metrics: Metrics,
    ) -> None:
        self._providers = {provider.id: provider for provider in providers}
        self._identity = identity
        self._interests = interests
        self._listing = listing
        self._lines = lines
        self._poller = poller
        self._pools = pools
        self._cadence_s = cadence_s
        self._cache_s = cache_s
        self._metrics = metrics
        self._schedule = Schedule()
        self._owns: Owns = lambda category, shard: True
        self._wake = asyncio.Event()
        self._stale = True
        self._planned_ms = 0
        self._closed = False
        self.demand_changed: Callable[[], None] = lambda: None
        """Called when something else is wanted, or a provider was found not to list what is."""
        self._running = 0

    def share(self, owns: Owns) -> None:
        """Poll only what `owns` says; called again whenever the leases change."""
        self._owns = owns
        self.replan()

    def replan(self) -> None:
        """Make the timetable anew at the next step."""
        self._stale = True
        self._wake.set()

    def close(self) -> None:
        """Start nothing any more; `run` ends when what is under way has ended."""
        self._closed = True
        self._poller.close()
        self._wake.set()

    async def run(self) -> None:
        """Start jobs when they are due, until closed."""
        async with asyncio.TaskGroup() as group:
            while not self._closed:
                now_ms = _now_ms()
                if self._interests.expire(now_ms):
                    self._stale = True
                    self.demand_changed()
                if self._stale and now_ms - self._planned_ms >= REPLAN_MS:
                    self._plan(now_ms)
                for found in self._schedule.due(now_ms):
                    if isinstance(found, Due):
                        self._running += 1
                        group.create_task(self._guarded(found), name=found.job.key)
                    else:
                        self._poller.skip(self._lines.of(found.job), found.due_ms, found.reason)
                self._metrics.set("jobs_in_flight", self._running)
                await self._sleep()

    async def fetch(self, category: str, command: Command) -> str:
        """Answer a command: `done`, `refused` (nobody can) or `failed`."""
        deadline_ms = min(command.expires_ms, _now_ms() + round(COMMAND_S * 1000))
        if command.entity is not None and self._interests.want(
            command.entity, command.keep_ms or _now_ms() + INTEREST_MS
        ):
            self.replan()
            self.demand_changed()
        questions = self._questions(category, command, deadline_ms)
        if not questions:
            return "refused"
        for question in questions:
            result = await self._poller.ask(question)
            if result.outcome == "OK":
                return "done"
        return "failed"

    async def snapshot(
        self, provider: str, endpoint: str, param: str, entity: str, take: Callable[[list[BookChange], int], None]
    ) -> None:
        """Ask for the start of the order book of `entity`; `take` gets it."""
        line = self._lines.line(provider, endpoint)
        if line is None:
            return
        spelled = demand.spell(line.provider, line.endpoint.params, {entity}, self._identity).get(param)
        if not spelled:
            return
        await self._poller.ask(
            Question(
                line=line,
                values={param: spelled[0]},
                deadline_ms=_now_ms() + SNAPSHOT_MS,
                max_age_ms=-1,
                spare_reserve=False,
                books=take,
            )
        )

    def _plan(self, now_ms: int) -> None:
        self._stale, self._planned_ms = False, now_ms
        wanted = self._interests.wanted()
        jobs = [
            job
            for provider in self._providers.values()
            for job in self._paced(
                list(demand.jobs(provider, wanted, self._identity, self._cadence_s, self._listing, now_ms))
            )
            if self._owns(provider.home, shard(job))
        ]
        self._schedule.replace(jobs, now_ms)
        self._metrics.set("jobs", len(jobs))

    def _paced(self, jobs: list[Job]) -> list[Job]:
        """Jobs of one provider, slowed evenly where they would not fit its budgets (those of all replicas together)."""
        loads: dict[Bucket, float] = {}
        for job in jobs:
            line = self._lines.of(job)
            for row in line.buckets:
                loads[row] = loads.get(row, 0.0) + line.endpoint.cost * row.window_ms / job.period_ms
        factors = {row: plan.stretch(load, row.limit) for row, load in loads.items()}
        return [
            plan.slowed(job, max((factors[row] for row in self._lines.of(job).buckets), default=1.0)) for job in jobs
        ]

    async def _guarded(self, due: Due) -> None:
        fresh_ms = 0
        try:
            fresh_ms = await self._job(due)
        finally:
            self._running -= 1
            self._schedule.finished(due.job.key, _now_ms(), fresh_ms)
            self._wake.set()

    async def _job(self, due: Due) -> int:
        job = due.job
        line = self._lines.of(job)
        batch = line.endpoint.batch
        deadline_ms = due.due_ms + min(job.period_ms, JOB_MS)
        values: dict[str, str | tuple[str, ...]] = dict(job.params)
        if batch is not None and job.batch:
            values[batch.param] = job.batch
        question = Question(
            line=line,
            values=values,
            deadline_ms=deadline_ms,
            max_age_ms=job.period_ms // 2,
            due_ms=due.due_ms,
        )
        result = await self._poller.ask(question)
        if result.outcome == "NOT_FOUND":
            await self._narrow(question, batch.param if batch is not None else None)
        return plan.fresh_ms(result.headers)

    async def _narrow(self, question: Question, many: str | None) -> None:
        """A batch with a value that the provider does not know is halved until that value stands alone and is left out."""
        line = question.line
        values = question.values.get(many) if many is not None else None
        if many is None or not isinstance(values, tuple):
            asked = demand.combination(line.endpoint.params, question.values)
            if asked:
                self._leave_out(line, asked)
            return
        if len(values) == 1:
            self._leave_out(line, values[0])
            return
        middle = len(values) // 2
        for half in (values[:middle], values[middle:]):
            part = Question(
                line=line,
                values={**question.values, many: half},
                deadline_ms=_now_ms() + round(COMMAND_S * 1000),
                max_age_ms=0,
            )
            result: Result = await self._poller.ask(part)
            if result.outcome == "NOT_FOUND":
                await self._narrow(part, many)

    def _leave_out(self, line: Line, value: str) -> None:
        self._listing.absent(line.provider.id, value, _now_ms())
        self.replan()
        self.demand_changed()

    def _questions(self, category: str, command: Command, deadline_ms: int) -> list[Question]:
        """The question of a command: to whom it names, else to the members of a pool, the first who can first."""
        if command.provider is not None:
            line = self._lines.line(command.provider, command.endpoint or "")
            return [] if line is None else [self._question(line, command.params, category, deadline_ms)]
        if command.entity is None:
            return []
        found: list[Question] = []
        for pool in self._pools.get(category, []):
            spelled = {member: self._spelled(member, command.entity) for member in pool.members}
            if not any(spelled.values()):
                continue
            tried: set[Member] = set()
            while len(tried) < len(pool.members):
                pick = pool.pick(partial(self._against, tried=tried, spelled=spelled))
                if pick.member is None:
                    break
                tried.add(pick.member)
                line = self._lines.line(pick.member.provider, pick.member.endpoint)
                params = spelled[pick.member]
                assert line is not None
                assert params is not None
                intended = pick.intended.provider if pick.diverted else None
                found.append(self._question(line, params, category, deadline_ms, intended, pick.reason))
        return found

    def _against(
        self, member: Member, tried: set[Member], spelled: Mapping[Member, Mapping[str, str] | None]
    ) -> str | None:
        if member in tried:
            return "failed"
        if spelled[member] is None:
            return "unknown_entity"
        line = self._lines.line(member.provider, member.endpoint)
        why = "undefined" if line is None else self._lines.refusal(line, _now_ms())
        if why is None and line is not None:
            line.breaker.release()
        return why

    def _spelled(self, member: Member, entity: str) -> dict[str, str] | None:
        provider = self._providers.get(member.provider)
        if provider is None:
            return None
        params = provider.endpoints[member.endpoint].params
        spelled = demand.spell(provider, params, {entity}, self._identity)
        if not spelled or not all(spelled[name] for name in demand.named(params)):
            return None
        return {name: values[0] for name, values in spelled.items() if values}

    def _question(
        self,
        line: Line,
        values: Mapping[str, str],
        category: str,
        deadline_ms: int,
        intended: str | None = None,
        reason: str | None = None,
    ) -> Question:
        return Question(
            line=line,
            values=dict(values),
            deadline_ms=deadline_ms,
            max_age_ms=self._cache_s[category] * 1000,
            spare_reserve=False,
            intended=intended,
            reason=reason,
        )

    async def _sleep(self) -> None:
        next_ms = self._schedule.next_ms()
        longest_s = REPLAN_MS / 1000 if self._stale else TICK_S
        wait_s = longest_s if next_ms is None else min(longest_s, max(0.0, (next_ms - _now_ms()) / 1000))
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()


def shard(job: Job) -> str:
    """Name by which a job belongs to a lease."""
    return f"{job.provider}|{job.endpoint}|{job.key}"


def pools(providers: Sequence[Provider]) -> dict[str, list[Pool]]:
    """Pools by category: endpoints that take one entity of the same kind and answer the same category, in order of weight."""
    members: dict[tuple[str, str], list[tuple[float, Member]]] = {}
    for provider in providers:
        for name, endpoint in provider.endpoints.items():
            kinds = demand.kinds(endpoint.params)
            if len(kinds) != 1:
                continue
            for category in {emit.category or provider.home for emit in endpoint.emits}:
                row = (-provider.weight, Member(provider.id, name))
                members.setdefault((category, kinds[0]), []).append(row)
    found: dict[str, list[Pool]] = {}
    for (category, kind), rows in sorted(members.items()):
        found.setdefault(category, []).append(Pool(f"{category}:{kind}", [member for _, member in sorted(rows)]))
    return found


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
