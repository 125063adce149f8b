"""The collector: builds one process from settings and registry, and stops it without losing what it took.

parallax collector --category market,exchange | all
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from schemas import categories
from schemas.events import Definition
from services.collector import metrics as rows
from services.collector import publish, reputation, rounds
from services.collector.admit.store import FallbackStore, MemoryStore, RedisStore, Store
from services.collector.cache import Cache
from services.collector.demand import base_interests
from services.collector.guards import Guards
from services.collector.lease import Follower, Leases, follower
from services.collector.line import Lines
from services.collector.listing import Listing
from services.collector.map import identity
from services.collector.origin import Upstream, upstream
from services.collector.outbox import Outbox, outbox
from services.collector.plan import Interests
from services.collector.poll import Poller
from services.collector.publish import Publisher
from services.collector.registry import load as registry
from services.collector.registry.load import Registry
from services.collector.registry.model import Provider
from services.collector.rounds import Rounds
from services.collector.send import Limits, sender
from services.collector.settings import CollectorSettings
from services.collector.stream.addresses import Addresses
from services.collector.stream.channel import Channel
from services.collector.stream.dialects import Socket
from services.collector.stream.supervisor import Sockets, Symbols
from services.collector.vault.redaction import Redactor
from services.collector.vault.sources import Sources
from services.common import lifecycle, metrics, settings
from services.common import logging as logs
from services.common.arguments import parser
from services.common.errors import SettingsError
from services.common.lifecycle import Deadline, Stop

log = logging.getLogger(__name__)

MB: Final = 1024 * 1024
GAUGE_S: Final = 1.0
ALL: Final = "all"


def main(argv: list[str]) -> int:
    """`parallax collector`: 0 stopped cleanly, 1 failed or lost records, 2 wrong call."""
    calls = parser("collector", "Poll and stream providers into raw topics.", CollectorSettings)
    calls.add_argument("--category", required=True, metavar="C[,C]", help="home categories of the providers, or: all")
    args = calls.parse_args(argv)
    known = list(categories.load())
    names = known if args.category == ALL else [name.strip() for name in args.category.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        sys.stderr.write(f"--category: expected {', '.join(known)} or {ALL}, got {args.category!r}\n")
        return lifecycle.EXIT_WRONG_CALL
    own = settings.read(CollectorSettings)
    own.check()
    logs.configure(own, "collector")
    return lifecycle.run(lambda stop: collect(own, names, stop))


async def collect(own: CollectorSettings, names: Sequence[str], stop: Stop) -> int:
    """Run until `stop`; then 0 when everything that was taken is with Kafka, else 1."""
    definitions = registry.load(registry.roots({registry.ENVIRONMENT: own.providers_path}))
    async with AsyncExitStack() as stack:
        collector = await build(own, names, definitions, stack)
        return await collector.run(stop)


class Collector:
    """The running parts of one process."""

    def __init__(
        self,
        own: CollectorSettings,
        box: Outbox,
        publisher: Publisher,
        polling: Rounds,
        streaming: Sockets | None,
        leases: Follower | None,
        measured: metrics.Metrics,
        store: Store,
        definitions: Sequence[Definition],
    ) -> None:
        self._own = own
        self._box = box
        self._publisher = publisher
        self._rounds = polling
        self._sockets = streaming
        self._leases = leases
        self._metrics = measured
        self._store = store
        self._definitions = definitions
        self._started = False

    def ready(self) -> bool | str:
        """True when polling has begun and Kafka takes what we say."""
        return self._box.stalled() or self._started or "starting"

    async def run(self, stop: Stop) -> int:
        """Everything at once until `stop`, then drain in reverse order on one deadline."""
        pump = asyncio.create_task(self._box.pump(), name="outbox")
        polling = asyncio.create_task(self._rounds.run(), name="rounds")
        others = [asyncio.create_task(self._gauges(), name="gauges")]
        if self._sockets is not None:
            others.append(asyncio.create_task(self._sockets.run(), name="sockets"))
        if self._leases is not None:
            others.append(asyncio.create_task(self._leases.follow(), name="leases"))
        for definition in self._definitions:
            self._publisher.definition(definition)
        self._started = True
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({stopped, pump, polling, *others}, return_when=asyncio.FIRST_COMPLETED)
            deadline = Deadline.after_s(self._own.stop_s)
            await self._end(others)
            self._rounds.close()
            # A job under way may take half of what is left; its answer is worth having, the outbox is worth more.
            await asyncio.wait({polling}, timeout=deadline.left_s() / 2)
            await self._end([polling])
            left = 0 if pump.done() else await self._box.drain(deadline)
        finally:
            await self._end([pump, polling, stopped, *others])
        for task in (pump, polling, *others):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        log.info("stopped", extra={"sent": self._box.sent_records, "lost": left})
        return lifecycle.EXIT_DONE if left == 0 else lifecycle.EXIT_FAILED

    @staticmethod
    async def _end(tasks: Sequence[asyncio.Task[object]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _gauges(self) -> None:
        said = False
        while True:
            stalled = self._box.stalled()
            if (stalled is not None) != said:
                said = stalled is not None
                log.log(logging.ERROR if said else logging.INFO, stalled or "Kafka takes records again")
            self._metrics.set("outbox_records", self._box.waiting_records)
            self._metrics.set("outbox_bytes", self._box.waiting_bytes)
            self._metrics.set("outbox_stalled", 1 if said else 0)
            self._metrics.set(
                "limits_shared", 1 if isinstance(self._store, FallbackStore) and self._store.shared else 0
            )
            await asyncio.sleep(GAUGE_S)


async def build(
    own: CollectorSettings, names: Sequence[str], definitions: Registry, stack: AsyncExitStack
) -> Collector:
    """All parts, connected; closed by `stack`. MachineError when Kafka is not there."""
    measured = metrics.Metrics.build(rows.ROWS)
    where = upstream(own)
    redactor = Redactor()
    secrets = Sources(redactor, own.secrets_dir, hide=logs.register_secret)
    providers = chosen(definitions, names, own.providers)
    known = identity.load()
    box = await stack.enter_async_context(
        outbox(own, publish.topics(), own.outbox_mb * MB, lambda *refusal: publisher.refused(*refusal))
    )
    publisher = Publisher(box, redactor, where.origin, measured)
    ask = await stack.enter_async_context(sender(Limits(body_bytes=own.body_mb * MB), own.ca_file))
    store = await _store(own, stack)
    guards = Guards(definitions, known, own.drift_accept, await reputation.held(own), publisher.held)
    lines = Lines(definitions, known, secrets, "ip", where.simulated, guards)
    poller = Poller(
        lines, where, ask, Cache(measured.inc), store, publisher, measured, own.in_flight, own.retries, own.archive
    )
    interests, listing = Interests(base_interests(known, own.assets)), Listing()
    kinds = categories.load()
    polling = Rounds(
        providers,
        known,
        interests,
        listing,
        lines,
        poller,
        rounds.pools(providers),
        {name: row.cadence_s for name, row in kinds.items()},
        {name: row.cache_s for name, row in kinds.items()},
        measured,
    )
    tls = ssl.create_default_context(cafile=None)
    if own.ca_file:
        tls.load_verify_locations(cafile=own.ca_file)
    addresses = Addresses(definitions, where, ask)

    def open_channel(socket: Socket, symbols: Symbols) -> Channel:
        provider = definitions.providers[socket.provider]
        return Channel(
            provider,
            socket,
            known,
            definitions.loaded[provider.id].hash,
            publisher,
            measured,
            lambda: addresses.of(socket),
            polling.snapshot,
            symbols,
            lines.guards.stream(socket.provider, socket.stream),
            tls,
        )

    streaming = Sockets(providers, known, listing, interests.wanted, open_channel) if own.streams else None
    leases = await _leases(own, names, polling, streaming, measured, stack) if own.leases else None
    if streaming is not None:
        polling.demand_changed = streaming.replan
    collector = Collector(
        own, box, publisher, polling, streaming, leases, measured, store, summaries(providers, definitions, where)
    )
    await stack.enter_async_context(metrics.serve(measured, own.ops_port, collector.ready, host=own.ops_host))
    return collector


def chosen(definitions: Registry, names: Sequence[str], only: Sequence[str]) -> list[Provider]:
    """Providers of the categories that can be polled; SettingsError names one of `only` that is not among them."""
    found = {provider.id: provider for name in names for provider in definitions.category(name)}
    missing = [one for one in only if one not in definitions.providers]
    if missing:
        raise SettingsError(
            "PARALLAX_PROVIDERS", "ids of definitions", ", ".join(missing), "see: parallax providers list"
        )
    return [provider for provider in found.values() if not only or provider.id in only]


def summaries(providers: Sequence[Provider], definitions: Registry, where: Upstream) -> list[Definition]:
    """What other services are told of the definitions."""
    now_ms = time.time_ns() // 1_000_000
    return [
        Definition(
            provider=provider.id,
            name=provider.name,
            categories=sorted(
                {emit.category or provider.home for one in provider.endpoints.values() for emit in one.emits}
            ),
            home=provider.home,
            status=provider.status,
            endpoints=list(provider.endpoints),
            streams=list(provider.streams),
            group=provider.group or provider.id,
            registry=definitions.loaded[provider.id].hash,
            updated_ms=now_ms,
            homepage=provider.homepage,
            docs=provider.docs,
            weight=provider.weight,
            key_required=provider.auth.kind != "none" and not provider.auth.optional,
        )
        for provider in providers
    ]


async def _store(own: CollectorSettings, stack: AsyncExitStack) -> Store:
    if own.redis is None:
        return MemoryStore()
    # No retries inside the client: admission falls back to its own counters at once and looks again later.
    client = redis.asyncio.Redis.from_url(own.redis, retry=Retry(NoBackoff(), 0))
    stack.push_async_callback(client.aclose)
    return FallbackStore(RedisStore(client, own.topic_prefix))


async def _leases(
    own: CollectorSettings,
    names: Sequence[str],
    polling: Rounds,
    streaming: Sockets | None,
    measured: metrics.Metrics,
    stack: AsyncExitStack,
) -> Follower:
    def changed(leases: Leases) -> None:
        for name in names:
            measured.set("leases", leases.held(name), category=name)
        polling.share(leases.owns)
        if streaming is not None:
            streaming.share(leases.owns)

    member = await stack.enter_async_context(
        follower(own, names, own.lease_session_ms, changed, polling.fetch, measured.inc)
    )
    changed(member.leases)  # nothing is ours before the first assignment: a newcomer must not poll what others poll
    return member
