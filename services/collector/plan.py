"""What to poll and when: interests, fixed-rate schedules with jittered starts, cache floors, and why the rest waits. Pure."""

from __future__ import annotations

import heapq
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

ON_TIME_MS: Final = 5_000
"""A start within this distance of its due time is on time (DESIGN 4.3)."""
FIRST_SPREAD_MS: Final = 10_000
"""The first starts are spread over this much (or the period): data soon, but not everything asked at once."""
PLANNED_SHARE: Final = 0.75
"""Share of a budget that the timetable may plan with; the rest is for retries and questions that somebody waits for."""
FRESH_CAP_MS: Final = 3_600_000
"""A cache lifetime beyond this is not obeyed: a wrong header must not silence an endpoint for a day."""


class Job(Struct, frozen=True, kw_only=True):
    """One request that is repeated: an endpoint with one batch of parameters. `key` is its identity over replans."""

    key: str
    provider: str
    endpoint: str
    category: str
    period_ms: int
    params: dict[str, str] = field(default_factory=dict)
    batch: tuple[str, ...] = ()
    """Values of the batch parameter, in the provider's spelling."""
    spread_ms: int = FIRST_SPREAD_MS
    """The first start is somewhere in this much time."""


class Due(Struct, frozen=True, kw_only=True):
    """A job whose time has come."""

    job: Job
    due_ms: int


class Skip(Struct, frozen=True, kw_only=True):
    """A time at which a job was due and was not started, and why: `in_flight`, `overrun`, or what the engine says."""

    job: Job
    due_ms: int
    reason: str


class Compliance(Struct, frozen=True, kw_only=True):
    """How a start compares with its due time."""

    delay_ms: int
    on_time: bool


def compliance(due_ms: int, started_ms: int) -> Compliance:
    """Delay of a start and whether it is within ON_TIME_MS."""
    delay_ms = started_ms - due_ms
    return Compliance(delay_ms=delay_ms, on_time=abs(delay_ms) <= ON_TIME_MS)


class Interests:
    """Entities somebody wants, each until a time; the base set is wanted always."""

    def __init__(self, base: Iterable[str]) -> None:
        self._base = frozenset(base)
        self._until_ms: dict[str, int] = {}

    def want(self, entity: str, until_ms: int) -> bool:
        """Keep `entity` wanted until then; True when it was not wanted before."""
        known = entity in self._base or entity in self._until_ms
        self._until_ms[entity] = max(until_ms, self._until_ms.get(entity, 0))
        return not known

    def expire(self, now_ms: int) -> bool:
        """Drop what nobody wants any more; True when something went."""
        gone = [entity for entity, until_ms in self._until_ms.items() if until_ms <= now_ms]
        for entity in gone:
            del self._until_ms[entity]
        return any(entity not in self._base for entity in gone)

    def wanted(self) -> frozenset[str]:
        """Every entity wanted now."""
        return self._base | self._until_ms.keys()


class _Slot(Struct):
    """Where one job stands."""

    job: Job
    due_ms: int
    first: bool = True
    """Until the second start, from which on the job keeps to a phase of its own within the period."""
    running: bool = False
    fresh_until_ms: int = 0


class Schedule:
    """Fixed-rate timetable of jobs. A job is never started twice at once; a missed time is skipped, said, and not made up."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}
        self._heap: list[tuple[int, str]] = []

    def replace(self, jobs: Iterable[Job], now_ms: int) -> None:
        """Make these the jobs; those that stay keep their times, new ones start within their period."""
        wanted = {job.key: job for job in jobs}
        for key in self._slots.keys() - wanted.keys():
            del self._slots[key]
        for key, job in wanted.items():
            slot = self._slots.get(key)
            if slot is not None and slot.job.period_ms == job.period_ms:
                slot.job = job
                continue
            due_ms = now_ms + jitter_ms(key, min(job.period_ms, job.spread_ms))
            self._slots[key] = _Slot(job=job, due_ms=due_ms)
            heapq.heappush(self._heap, (due_ms, key))

    def __len__(self) -> int:
        return len(self._slots)

    def next_ms(self) -> int | None:
        """When the next job is due; None without jobs."""
        while self._heap:
            due_ms, key = self._heap[0]
            slot = self._slots.get(key)
            if slot is not None and slot.due_ms == due_ms:
                return due_ms
            heapq.heappop(self._heap)
        return None

    def due(self, now_ms: int) -> list[Due | Skip]:
        """What is due at `now_ms`, oldest first; each job that is started must be reported with `finished`."""
        found: list[Due | Skip] = []
        while (due_ms := self.next_ms()) is not None and due_ms <= now_ms:
            _, key = heapq.heappop(self._heap)
            slot = self._slots[key]
            late = (now_ms - due_ms) // slot.job.period_ms
            if slot.running:
                found.append(Skip(job=slot.job, due_ms=due_ms, reason="in_flight"))
            elif late > 0:
                found.append(Skip(job=slot.job, due_ms=due_ms, reason="overrun"))
            else:
                slot.running = True
                found.append(Due(job=slot.job, due_ms=due_ms))
            self._again(slot, key, _following(slot, due_ms, late))
        return found

    def finished(self, key: str, now_ms: int, fresh_ms: int = 0) -> None:
        """The job ended; its answer stays the same for `fresh_ms` more, so asking before that is pointless."""
        slot = self._slots.get(key)
        if slot is None:
            return
        slot.running = False
        fresh_until_ms = now_ms + min(fresh_ms, FRESH_CAP_MS)
        if fresh_until_ms > slot.due_ms:
            self._again(slot, key, fresh_until_ms)

    def job(self, key: str) -> Job | None:
        """The job of that key."""
        slot = self._slots.get(key)
        return slot.job if slot else None

    def _again(self, slot: _Slot, key: str, due_ms: int) -> None:
        slot.due_ms = due_ms
        heapq.heappush(self._heap, (due_ms, key))


def _following(slot: _Slot, due_ms: int, late: int) -> int:
    """Due time after `due_ms`, `late` periods of which have passed: a period later, and once onto the job's own phase."""
    period_ms = slot.job.period_ms
    if not slot.first or late:
        return due_ms + max(1, late) * period_ms
    slot.first = False
    earliest_ms = due_ms + period_ms // 2
    return earliest_ms + (jitter_ms(slot.job.key, period_ms) - earliest_ms) % period_ms


def jitter_ms(key: str, spread_ms: int) -> int:
    """A time in [0, spread_ms) that depends on the key alone: replicas and restarts agree, and jobs spread evenly."""
    return zlib.crc32(key.encode()) % spread_ms if spread_ms > 0 else 0


def stretch(load: float, budget: float) -> float:
    """Factor for the periods of jobs that would spend `load` of a budget in one window: 1, or what makes them fit with room."""
    return max(1.0, load / (budget * PLANNED_SHARE)) if budget > 0 else 1.0


def slowed(job: Job, factor: float) -> Job:
    """The job at a period longer by `factor`; its first start too then waits for its turn in the round."""
    if factor <= 1:
        return job
    period_ms = round(job.period_ms * factor)
    return replace(job, period_ms=period_ms, spread_ms=period_ms)


def period_ms(every_s: int | None, cadence_s: int, floor_s: int | None) -> int:
    """Poll interval: the endpoint's own, else its category's; never faster than the provider renews its answer."""
    return max(every_s if every_s is not None else cadence_s, floor_s or 0, 1) * 1000


def fresh_ms(headers: Mapping[str, str]) -> int:
    """How long the answer stays the same by Cache-Control and Age, in ms; 0 when they say nothing, or no-store."""
    control = headers.get("cache-control", "").lower()
    if "no-store" in control or "no-cache" in control:
        return 0
    ages = {name: int(value) for name, value in re.findall(r"(s-maxage|max-age)\s*=\s*\"?(\d{1,9})", control)}
    lifetime_s = ages.get("s-maxage", ages.get("max-age", 0))
    age = headers.get("age", "").strip()
    return max(0, lifetime_s - (int(age) if age.isdigit() and len(age) < 10 else 0)) * 1000


def batches(values: Iterable[str], size: int) -> list[tuple[str, ...]]:
    """Values in sorted order, cut into batches of at most `size`; sorted, so that every replica cuts the same."""
    ordered = sorted(set(values))
    return [tuple(ordered[at : at + size]) for at in range(0, len(ordered), size)]
