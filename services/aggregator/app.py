"""The aggregator process: a Faust app whose agents, one per category, come from the table of categories."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas import assets, categories, topics
from schemas import metrics as catalogue
from services.aggregator.engine import Limits, Rules
from services.aggregator.engine.model import HOUR_MS
from services.aggregator.engine.rules import TARGET
from services.aggregator.metrics import REASONS, ROWS
from services.aggregator.settings import AggregatorSettings
from services.common import kafka
from services.common import logging as logs
from services.common import metrics as measures
from services.common import settings as settings_of
from services.common.arguments import parser

STALE_FETCH_S = 30.0
"""A fetch loop that did not turn for this long is not alive; a fetch waits half a second at most."""

VALUED = ("fiat", "stablecoin", "commodity", "coin", "token", "wrapped", "bridged")
"""Kinds of quote assets: each is valued in the kinds before it, so that no rate depends on itself."""

SCHEME = "batch"
"""Broker URLs of this scheme select the batch transport (entry-point group `faust.transports`)."""

COLLECT = (50_000, 20, 50)
"""Collector thresholds: the state is large, lives long and has no cycles, so looking through it often is waste."""

log = logging.getLogger(__name__)


def rules_of(names: Iterable[str], settings: AggregatorSettings) -> dict[str, Rules]:
    """The compiled rules of these categories."""
    specs, known = catalogue.load(), categories.load()
    limits = {
        name: Limits(
            emit_ms=settings.emit_ms,
            origins=settings.origins,
            expire_ms=(settings.expire_h or known[name].expire_h) * HOUR_MS,
        )
        for name in names
    }
    return {name: Rules(name, specs, limits[name], quotes()) for name in limits}


def quotes() -> tuple[str, ...]:
    """Assets in which money is quoted, in the order in which they may be valued in each other: the dollar, then by kind."""
    found = [asset for asset in assets.load().values() if asset.quote]
    return tuple(asset.id for asset in sorted(found, key=lambda asset: (asset.id != TARGET, VALUED.index(asset.kind))))


def faust_app(settings: AggregatorSettings, scheme: str, base: Any = None) -> Any:
    """A Faust app with all settings of FAUST's own that matter; `base` is the class of the app."""
    import faust

    return (base or faust.App)(
        settings.group,
        broker=f"{scheme}://{settings.kafka.replace(',', ';')}",
        broker_client_id=settings.instance_name(),
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        table_standby_replicas=0,
        stream_recovery_delay=0,
        worker_redirect_stdouts=False,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=settings.session_s,
        broker_heartbeat_interval=settings.heartbeat_s,
        broker_rebalance_timeout=max(20.0, 2 * settings.session_s),
        broker_request_timeout=max(30.0, settings.session_s),
        broker_commit_interval=1.0,
        broker_max_poll_records=settings.max_poll_records,
        stream_buffer_maxsize=16 if scheme == SCHEME else 4096,
        producer_linger=0.005,
        producer_request_timeout=10,
        datadir=f"{tempfile.gettempdir()}/parallax-faust-{settings.instance_name()}",
    )


def bytes_topic(app: Any, name: str) -> Any:
    """A topic whose keys and values Faust leaves untouched."""
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


def build(settings: AggregatorSettings, names: Iterable[str]) -> Any:
    """The Faust app of these categories, with the host of its partitions as `owner`."""
    import faust

    from services.aggregator.driver import batch, measure, stock, writer
    from services.aggregator.driver.host import Host

    measured = measures.Metrics.build(ROWS)
    for category in names:
        for reason in REASONS:
            measured.inc("raw_aside_total", 0, category=category, reason=reason)
    host = Host(settings, rules_of(names, settings), measured)

    class Aggregator(faust.App):  # type: ignore[misc]
        """Faust's app, with the host of the partitions, the producer and the operations server in its life."""

        owner = host
        linger_ms = settings.linger_ms

        async def on_start(self) -> None:
            """Open what the partitions need before any is assigned."""
            await super().on_start()
            host.failed = self.loop.create_future()
            if settings.driver == "stock":
                stock.deliver_again(self.consumer)
            self.opened = AsyncExitStack()

            async def renew() -> AIOKafkaProducer:
                return await self.opened.enter_async_context(kafka.producer(settings, **writer.OPTIONS))

            host.writer = writer.Writer(await renew(), renew, host.membership.allowed, measured)
            await self.opened.enter_async_context(
                measures.serve(measured, settings.ops_port, lambda: ready(host), lambda: live(host), settings.ops_host)
            )
            for work in (host.turn(), measure.gauge(host), host.membership.watch(), self._watch()):
                self.add_future(work)

        async def _watch(self) -> None:
            assert host.failed is not None
            try:
                await host.failed
            except Exception as fault:  # a broken partition ends the process; who runs it starts it again
                await self.crash(fault)

        async def on_shutdown(self) -> None:
            """Close what on_start opened."""
            await super().on_shutdown()
            await self.opened.aclose()

    app = faust_app(settings, SCHEME if settings.driver == "batch" else "kafka", Aggregator)
    intake = stock.intake if settings.driver == "stock" else batch.intake
    for category in names:
        _agent(app, category, bytes_topic(app, topics.name(f"raw.{category}", settings.topic_prefix)), intake)

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def _revoked(sender: Any, revoked: set[Any], **_: Any) -> None:
        consumer = sender.consumer
        coordinator = consumer._thread._ensure_consumer()._coordinator
        await host.revoked(coordinator.generation != sender.consumer_generation_id)

    @app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
    async def _assigned(sender: Any, assigned: set[Any], **_: Any) -> None:
        host.consumer = sender.consumer if settings.driver == "batch" else stock.Port(sender.consumer)
        host.assigned(assigned, sender.consumer_generation_id)

    @app.on_before_shutdown.connect  # type: ignore[untyped-decorator]
    async def _stopping(_sender: Any, **_: Any) -> None:
        await host.revoked(evicted=host.broken)

    return app


def _agent(app: Any, category: str, source: Any, intake: Callable[..., Any]) -> None:
    @app.agent(source, name=f"fold-{category}")  # type: ignore[untyped-decorator]
    async def fold(stream: Any) -> None:
        """Hand every batch of the category to its partition; nothing in it raises, so nothing is skipped."""
        async for event in stream.events():
            await intake(app, event.message)


def ready(host: Any) -> bool | str:
    """Ready when every assigned partition is recovered; a replica without partitions is ready too."""
    if host.writer is None:
        return "no producer yet"
    if host.generation < 0:
        return "the group has not assigned partitions yet"
    waiting = sum(not held.live for held in host.held.values())
    return True if not waiting else f"{waiting} partitions are being recovered"


def live(host: Any) -> bool | str:
    """Alive when the fetch loop turns; that this answers at all says that the event loop does."""
    fetched_s = getattr(host.consumer, "fetched_s", None)
    if fetched_s is None or not host.live():
        return True
    age_s = time.monotonic() - fetched_s
    return True if age_s < STALE_FETCH_S else f"no fetch for {age_s:.0f} s"


def main(argv: list[str]) -> int:
    """`parallax aggregator [--category C[,C]]`"""
    known = tuple(categories.load())
    calls = parser("aggregator", "Raw topics to fused records, candles and checkpoints.", AggregatorSettings)
    calls.add_argument("--category", default=",".join(known), help="categories to fold, comma separated; default all")
    arguments = calls.parse_args(argv)
    names = [name for name in arguments.category.split(",") if name]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        sys.stderr.write(
            f"parallax aggregator: --category: expected some of {', '.join(known)}, got {', '.join(wrong) or 'none'}\n"
        )
        return 2
    settings = settings_of.read(AggregatorSettings)
    prepare(settings)
    return work(build(settings, tuple(names)))


def prepare(settings: AggregatorSettings) -> None:
    """Make the process ours: log, event loop, garbage collector, compiled kernels. Before Faust is imported."""
    import uvloop

    from services.aggregator.fusion import Fuser

    logs.configure(settings, "aggregator")
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    Fuser.warm(wait=True)
    gc.set_threshold(*COLLECT)


def work(app: Any) -> int:
    """Run a worker until SIGTERM or SIGINT; 0 when everything was made durable, 1 when it crashed."""
    import faust

    worker = faust.Worker(app, loglevel="INFO", redirect_stdouts=False, override_logging=False, quiet=True)
    worker.spinner = None  # it writes cursor escapes to stdout
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
