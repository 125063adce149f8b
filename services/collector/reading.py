"""An answer read whole: decode, classify, map, in this order; what the poller, the replay and `providers try` have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from schemas.events import Origin
from services.collector.classify import Classifier, Outcome
from services.collector.decode import CAPS, Caps, DecodeError, decode, open_answer
from services.collector.map.compile import Mapper, compile_endpoint
from services.collector.map.identity import Identity
from services.collector.map.mapped import Mapped
from services.collector.registry.model import Csv, Endpoint, Provider


class Answer(NamedTuple):
    """What an answer came to; `mapped` is None when there was nothing to map."""

    outcome: Outcome
    mapped: Mapped | None


class Reader:
    """Reads the answers of one endpoint."""

    def __init__(self, provider: Provider, endpoint: str, identity: Identity, registry: str | None = None) -> None:
        definition: Endpoint = provider.endpoints[endpoint]
        self._kind = definition.body
        self._csv: Csv | None = definition.csv
        rules = [*definition.errors, *provider.errors]
        self._classifier = Classifier(rules, definition.ok, f"{provider.id}.errors")
        self.mapper: Mapper = compile_endpoint(provider, endpoint, identity, registry)
        self._caps = CAPS if definition.max_bytes is None else Caps(max_bytes=definition.max_bytes)

    def read(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        params: Mapping[str, str],
        received_ms: int,
        origin: Origin,
    ) -> Answer:
        """Outcome and events of one response."""
        payload: object
        content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), None)
        try:
            payload = decode(body, self._kind, content_type, self._caps, self._csv)
        except DecodeError as error:
            payload = error
        text = body[:4096].decode("utf-8", "replace")
        outcome = self._classifier.classify(status, headers, payload, text)
        if not outcome.ok:
            return Answer(outcome, None)
        answer = open_answer(payload, self._kind)
        if answer is None:
            return Answer(Outcome("EMPTY", "null"), None)
        mapped = self.mapper.map(answer, params, received_ms, origin)
        return Answer(judge(mapped), mapped)


def judge(mapped: Mapped) -> Outcome:
    """What the mapped rows say of the answer: OK, EMPTY, or SCHEMA_DRIFT when nothing could be read where rows were proven."""
    if mapped.events or mapped.books:
        return Outcome("OK", "; ".join(mapped.drift[:3]) or None)
    if mapped.drift:
        return Outcome("SCHEMA_DRIFT", "; ".join(mapped.drift[:3]))
    if mapped.rows == 0:
        return Outcome("EMPTY", "no rows")
    return Outcome("OK", "no row about something we know" if mapped.unknown else "rows without values")
