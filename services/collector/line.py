"""Everything of one endpoint in this process: definition, reader, breaker, buckets; and whether it may be asked now."""

from __future__ import annotations

from typing import Final

from services.collector.admit import limits
from services.collector.admit.buckets import Bucket
from services.collector.breaker import Breaker, Policy
from services.collector.drift.guard import Guard
from services.collector.guards import Guards
from services.collector.map.identity import Identity
from services.collector.plan import Job
from services.collector.reading import Reader
from services.collector.registry.load import Registry
from services.collector.registry.model import Endpoint, Provider
from services.collector.vault.sources import Secrets

KEYED: Final = frozenset({"key-required", "paid"})
SIGNED: Final = "hmac"


class Line:
    """One endpoint."""

    def __init__(
        self,
        provider: Provider,
        name: str,
        identity: Identity,
        registry: str,
        buckets: tuple[Bucket, ...],
        guard: Guard,
    ) -> None:
        self.provider = provider
        self.name = name
        self.endpoint: Endpoint = provider.endpoints[name]
        self.registry = registry
        self.reader = Reader(provider, name, identity, registry)
        self.breaker = Breaker(Policy())
        self.buckets = buckets
        self.guard = guard
        self.slowed = False
        """True while a refusal still slows the budget; only then successes are worth a trip to the store."""
        self.quota_used: float | None = None


class Lines:
    """Lines of the providers of this process, made when first asked: most endpoints are never on one's share."""

    def __init__(
        self,
        registry: Registry,
        identity: Identity,
        secrets: Secrets,
        egress: str,
        simulated: bool,
        guards: Guards | None = None,
    ) -> None:
        self._registry = registry
        self._identity = identity
        self._secrets = secrets
        self._egress = egress
        self._simulated = simulated
        self.guards = guards if guards is not None else Guards(registry, identity)
        """What watches the answers of endpoints and streams for drift."""
        self._lines: dict[tuple[str, str], Line] = {}

    def line(self, provider: str, endpoint: str) -> Line | None:
        """The line, or None when no such endpoint is defined."""
        line = self._lines.get((provider, endpoint))
        if line is not None:
            return line
        definition = self._registry.providers.get(provider)
        if definition is None or endpoint not in definition.endpoints:
            return None
        keyed = self.secret(definition) is not None
        buckets = limits.rows(definition, endpoint, self._egress, keyed)
        digest = self._registry.loaded[provider].hash
        guard = self.guards.endpoint(provider, endpoint)
        line = self._lines[provider, endpoint] = Line(definition, endpoint, self._identity, digest, buckets, guard)
        return line

    def of(self, job: Job) -> Line:
        """The line of a planned job."""
        line = self.line(job.provider, job.endpoint)
        assert line is not None, job.key
        return line

    def secret(self, provider: Provider) -> str | None:
        """The provider's credential as it is now; the simulator gets none."""
        if self._simulated or provider.auth.secret is None:
            return None
        return self._secrets.get(provider.auth.secret)

    def refusal(self, line: Line, now_ms: int) -> str | None:
        """Why this line cannot be asked now: `no_key`, `unsigned`, `breaker_open`; None when it can."""
        auth = line.provider.auth
        if line.endpoint.auth and not self._simulated:
            if auth.kind == SIGNED:
                return "unsigned"
            needs = auth.kind != "none" and not auth.optional
            if (needs or line.provider.status in KEYED) and self.secret(line.provider) is None:
                return "no_key"
        return None if line.breaker.allow(now_ms) else "breaker_open"
