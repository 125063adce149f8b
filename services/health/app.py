"""The health process: follows the topics, judges at each tick, publishes scores and alerts, tells people."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import msgspec
from aiokafka import AIOKafkaProducer
from msgspec import structs

from schemas.events import Alert, ProviderScore
from schemas.topics import name as topic_name
from services.common import kafka, lifecycle, metrics, settings
from services.common import logging as logs
from services.common.arguments import parser
from services.common.lifecycle import Stop
from services.health import alerts, facts, scoring
from services.health.follow import Feed
from services.health.metrics import ALERT_STATES, NOTIFICATION_OUTCOMES, PROVIDER_STATES, ROWS
from services.health.notify.channels import webhook
from services.health.notify.outbox import Outbox
from services.health.observations import Watch
from services.health.rules import Rules, evaluate, parse
from services.health.settings import HealthSettings
from services.health.tables import HERE, cadences_s, load_scoring

HEARTBEAT_S = 60.0
"""A score that does not change is published again after this, so that readers see that someone still judges."""
NOTIFY_EVERY_S = 0.5

FETCH = {"fetch_min_bytes": 64 * 1024, "fetch_max_wait_ms": 100}
"""Scores are not in a hurry: a fetch for each of a hundred records a second would be a tenth of the broker's work."""

log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class Health:
    """The state of one process between ticks; the feed has what was published before."""

    def __init__(
        self,
        options: HealthSettings,
        rules: Rules,
        watch: Watch,
        feed: Feed,
        producer: AIOKafkaProducer,
        meters: metrics.Metrics,
    ) -> None:
        self.alerts: dict[str, Alert] = {}
        self.scores: dict[str, ProviderScore] = {}
        self._options = options
        self._rules = rules
        self._watch = watch
        self._feed = feed
        self._producer = producer
        self._meters = meters
        self._streaks: dict[str, scoring.Streak] = {}
        self._cadences_s = {name: seconds * options.time_scale for name, seconds in cadences_s().items()}
        self._writing = asyncio.Lock()

    async def judge(self) -> None:
        """Once the feed is ready: evaluate at every interval, for ever."""
        await self._feed.ready.wait()
        self.scores, self.alerts = dict(self._feed.scores), dict(self._feed.alerts)
        log.info("ready: %d scores and %d alerts remembered", len(self.scores), len(self.alerts))
        while True:
            started = time.perf_counter()
            await self.tick(now_ms())
            self._meters.observe("health_evaluation_seconds", time.perf_counter() - started)
            await asyncio.sleep(self._options.evaluate_s * self._options.time_scale)

    async def tick(self, as_of_ms: int) -> None:
        """One evaluation: scores, then rules, then what changed goes out."""
        self._watch.forget(as_of_ms)
        growth = await self._feed.growth(as_of_ms)
        await self._score(as_of_ms)
        found = facts.subjects(self._watch, self.scores, self._cadences_s, growth, as_of_ms, self._options.time_scale)
        async with self._writing:
            changed = alerts.advance(self.alerts, evaluate(self._rules.rules, found), self._rules, as_of_ms)
            for alert in changed:
                before = self.alerts.get(alert.fingerprint)
                if before is None or before.state != alert.state:
                    self._meters.inc("health_transitions_total", alert=alert.name, state=alert.state)
                    log.warning(
                        "alert %s %s: %s",
                        alert.name,
                        alert.state,
                        alert.summary,
                        extra={"fingerprint": alert.fingerprint},
                    )
                await self._publish(alert)
        self._count()

    async def tell(self, client: httpx.AsyncClient, url: str, key: bytes) -> None:
        """Send what is due, for ever; a slow receiver delays no evaluation."""
        outbox = Outbox(self._options.repeat_s * 1000)
        for outcome in NOTIFICATION_OUTCOMES:
            self._meters.inc("health_notifications_total", 0, channel="webhook", outcome=outcome)
        while True:
            for message in outbox.due(self.alerts.values(), now_ms()):
                outcome, why = await webhook.send(client, url, key, message, now_ms() // 1000)
                self._meters.inc("health_notifications_total", channel="webhook", outcome=outcome)
                if outcome == "sent":
                    outbox.sent(message.id)
                    async with self._writing:
                        current = self.alerts[message.alert.fingerprint]
                        await self._publish(structs.replace(current, told=message.kind, told_ms=now_ms()))
                elif not outbox.failed(message.id, now_ms(), random.random(), final=outcome == "refused"):
                    self._meters.inc("health_notifications_total", channel="webhook", outcome="given_up")
                    log.error("webhook: gave up on %s: %s", message.id, why)
            await asyncio.sleep(NOTIFY_EVERY_S * min(1.0, self._options.time_scale))

    async def _score(self, as_of_ms: int) -> None:
        for name, provider in self._watch.providers.items():
            polled = provider.definition is not None and provider.definition.status == "live"
            if not polled and not provider.fetches:
                continue
            before = self.scores.get(name)
            after, self._streaks[name] = scoring.score(
                provider, before, self._streaks.get(name, scoring.START), self._watch.scoring, as_of_ms
            )
            old = before is None or as_of_ms - before.updated_ms >= HEARTBEAT_S * 1000 * self._options.time_scale
            if before is None or old or not scoring.same_verdict(before, after):
                self.scores[name] = after
                await self._producer.send(
                    self._topic("ops.providers"), key=f"score/{name}".encode(), value=_encode(after)
                )
            if after.score is not None:
                self._meters.set("health_provider_score", after.score, provider=name)

    async def _publish(self, alert: Alert) -> None:
        """The alert is remembered when the broker has it: a crash in between repeats the transition, with the same key."""
        await self._producer.send_and_wait(
            self._topic("ops.alerts"), key=alert.fingerprint.encode(), value=_encode(alert)
        )
        self.alerts[alert.fingerprint] = alert

    def _count(self) -> None:
        for state in PROVIDER_STATES:
            self._meters.set("health_providers", sum(s.state == state for s in self.scores.values()), state=state)
        for state in ALERT_STATES:
            self._meters.set("health_alerts", sum(a.state == state for a in self.alerts.values()), state=state)

    def _topic(self, name: str) -> str:
        return topic_name(name, self._options.topic_prefix)


async def serve(options: HealthSettings, stop: Stop) -> int:
    """Run until `stop`; everything that was decided is published before the process ends."""
    table = load_scoring().scaled(options.time_scale)
    rules = parse((Path(HERE) / "rules.yaml").read_bytes(), options.time_scale)
    key = webhook.key_of(options.webhook_secret) if options.webhook_secret else b""
    watch, meters = Watch(table), metrics.Metrics.build(ROWS)
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(kafka.producer(options))
        consumer = await stack.enter_async_context(kafka.reader(options, **FETCH))
        feed = Feed(options, consumer, producer, watch, meters)
        await stack.enter_async_context(
            metrics.serve(
                meters, options.ops_port, lambda: feed.ready.is_set() or "reading the topics", host=options.ops_host
            )
        )
        client = await stack.enter_async_context(httpx.AsyncClient())
        await feed.start(now_ms())
        health = Health(options, rules, watch, feed, producer, meters)

        async def work() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(feed.pump(), name="follow")
                tasks.create_task(health.judge(), name="judge")
                if options.webhook_url is not None:
                    tasks.create_task(health.tell(client, options.webhook_url, key), name="tell")

        await lifecycle.stop_or(stop, work(), "health")
    return lifecycle.EXIT_DONE


def now_ms() -> int:
    """The clock of this service; everything below takes the time as an argument."""
    return time.time_ns() // 1_000_000


def main(argv: list[str]) -> int:
    """`parallax health`: settings come from PARALLAX_* variables."""
    parser("health", "Provider scores, rules, alerts and their notifications.", HealthSettings).parse_args(argv)
    options = settings.read(HealthSettings)
    logs.configure(options, "health")
    if options.webhook_secret:
        logs.register_secret(options.webhook_secret)
    return lifecycle.run(lambda stop: serve(options, stop))
