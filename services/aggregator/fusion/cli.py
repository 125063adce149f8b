"""`parallax fuse`: windows of observations as JSON lines on stdin, one fused line each on stdout."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO

import msgspec

from schemas import metrics
from schemas.events import Value
from services.aggregator.fusion.fuser import Fuser
from services.aggregator.fusion.model import Answer, Observation, Plain
from services.aggregator.fusion.strategies import STRATEGIES
from services.common.errors import ParallaxError

DEFAULT_WINDOW_MS = 10_000
MOST_KEYS = 100_000
"""Keys whose state a session holds; the one that was opened first makes room."""
DEFAULT_TOLERANCE = {"rel": 0.001, "abs": 1.0, "cat": 0.0, "set": 0.0, "text": 0.0}
"""Where neither the line nor the catalogue states one."""
DEFAULT_STRATEGY = {
    "rel": "robust",
    "abs": "robust",
    "cat": "majority_vote",
    "set": "majority_vote",
    "text": "most_recent",
}


class Said(msgspec.Struct):
    """One observation as written."""

    provider: Annotated[str, msgspec.Meta(min_length=1)]
    value: int | float | bool | str | list[str] | None
    ts: float | None = None
    weight: Annotated[float, msgspec.Meta(ge=0.0)] = 1.0
    group: str | None = None


class Line(msgspec.Struct):
    """One window as written."""

    key: str
    metric: str
    as_of: float
    observations: list[Said]
    scale: str | None = None
    tol: Annotated[float, msgspec.Meta(ge=0.0)] | None = None


class Told(msgspec.Struct):
    """One line of output."""

    value: Value | None
    confidence: float
    low: float | None
    high: float | None
    outliers: list[str]
    reasons: dict[str, str]
    method: str
    n_sources: int
    n_voices: float


class LineError(ParallaxError):
    """A line of input that is not a window."""


class Session:
    """Answers lines in the order of their time, learning from each after it is answered."""

    def __init__(self, strategy: str | None = None) -> None:
        self.fuser = Fuser(most_keys=MOST_KEYS)
        self.strategy = strategy
        self.epoch_ms = -1
        self.specs: dict[tuple[str, str | None, float | None], Plain] = {}
        self.decoder = msgspec.json.Decoder(Line)

    def tell(self, text: bytes, number: int) -> Told:
        """The answer to line `number`; LineError when it is none."""
        try:
            line = self.decoder.decode(text)
        except msgspec.DecodeError as fault:
            raise LineError(
                f"line {number}",
                "one JSON object with key, metric, as_of and observations",
                str(fault),
                "see: parallax fuse --help",
            ) from fault
        spec = self.spec(line, number)
        as_of_ms = int(line.as_of)
        observations = [
            Observation(
                said.provider,
                said.group or said.provider,
                said.value,
                as_of_ms if said.ts is None else int(said.ts),
                said.weight,
            )
            for said in line.observations
            if said.value is not None
        ]
        if as_of_ms > self.epoch_ms:
            self.fuser.advance(as_of_ms)
            self.epoch_ms = as_of_ms
        answer = self.fuser.answer(spec, line.key, observations, as_of_ms)
        self.fuser.learn(spec, line.key, observations, as_of_ms)
        return told(answer, observations)

    def spec(self, line: Line, number: int) -> Plain:
        """What the catalogue says of the metric, unless the line or the command says otherwise."""
        known = self.specs.get((line.metric, line.scale, line.tol))
        if known is not None:
            return known
        row = metrics.load().find(line.metric)
        if row is not None and line.scale not in (None, row.scale):
            row = None
        scale = line.scale or (row.scale if row else "rel")
        if scale not in DEFAULT_TOLERANCE:
            raise LineError(
                f"line {number}: scale", "one of " + ", ".join(DEFAULT_TOLERANCE), repr(scale), "write scale rel"
            )
        tolerance = line.tol if line.tol is not None else row.tolerance if row else DEFAULT_TOLERANCE[scale]
        if scale in ("rel", "abs") and tolerance <= 0.0:
            raise LineError(
                f"line {number}: tol", "above 0 for numbers", repr(tolerance), "state the largest harmless error"
            )
        spec = Plain(
            # One metric in two scales is two quantities: what is learned of one says nothing about the other.
            name=line.metric if line.scale is None and line.tol is None else f"{line.metric} {scale} {tolerance!r}",
            scale=scale,
            tolerance=tolerance,
            category=row.category if row else "",
            unit=row.unit if row else "",
            kind=row.kind if row else "",
            window_ms=row.window_ms if row else DEFAULT_WINDOW_MS,
            plausible=row.plausible if row else None,
            strategy=self.strategy or (row.strategy if row else DEFAULT_STRATEGY[scale]),
            freshness_ms=row.freshness_ms if row else 30 * DEFAULT_WINDOW_MS,
        )
        self.specs[line.metric, line.scale, line.tol] = spec
        return spec


def told(answer: Answer, observations: list[Observation]) -> Told:
    """The answer as a line: who was set aside, and why."""
    reasons = {o.provider: why for o, why in zip(observations, answer.why, strict=True) if why is not None}
    used = {o.provider for o, why in zip(observations, answer.why, strict=True) if why is None}
    reasons = {provider: why for provider, why in sorted(reasons.items()) if provider not in used}
    return Told(
        answer.value,
        answer.confidence,
        answer.low,
        answer.high,
        list(reasons),
        reasons,
        answer.method,
        answer.n_sources,
        answer.n_voices,
    )


def fuse(lines: BinaryIO, session: Session) -> Iterator[tuple[bytes, LineError | None]]:
    """One encoded line per line, with the fault where there was one; empty lines are passed over."""
    encoder = msgspec.json.Encoder()
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            yield encoder.encode(session.tell(text, number)) + b"\n", None
        except LineError as fault:
            answer: dict[str, Any] = {
                **msgspec.to_builtins(told(Answer(None, 0.0, None, None, None, [], [], "", 0, 0.0), [])),
                "error": str(fault),
            }
            yield encoder.encode(answer) + b"\n", fault


def main(argv: list[str]) -> int:
    """Run `parallax fuse [--strategy NAME]`; 1 when a line was not a window."""
    parser = argparse.ArgumentParser(
        prog="parallax fuse",
        description="Fuse observations: JSON lines in, one line out per line, in the order of their time; learns as it goes.",
        epilog='in: {"key","metric","as_of":ms,"scale":"rel"|"abs"|"cat"|"set"|"text","tol":t,"observations":[{"provider",'
        '"value","ts":ms,"weight"?,"group"?}]}; scale and tol default to the metric catalogue. '
        'out: {"value","confidence","low","high","outliers","reasons","method","n_sources","n_voices"}.',
    )
    parser.add_argument("--strategy", choices=["robust", *STRATEGIES], help="use this rule for every metric")
    session = Session(parser.parse_args(argv).strategy)
    Fuser.warm()
    code = 0
    for line, fault in fuse(sys.stdin.buffer, session):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        if fault is not None:
            sys.stderr.write(f"{fault}\n")
            code = 1
    return code
