"""Every proof of every definition against what the others of its endpoint teach: normal variance raises nothing, a changed answer does."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.collector import proof
from services.collector import recordings as recorded
from services.collector.decode import DecodeError, decode_message
from services.collector.drift.guard import Guard, Watched
from services.collector.guards import Guards, Lesson, lessons, watched
from services.collector.map import identity
from services.collector.map.compile import Mapper, compile_endpoint
from services.collector.map.mapped import Mapped
from services.collector.map.messages import Bindings, StreamMapper, compile_stream
from services.collector.map.paths import At
from services.collector.registry import load as loading
from services.collector.registry.mapping import Emit, FieldRule
from services.collector.registry.model import Book
from services.collector.replay import Replayer, stream_of

REPEATED = 20
"""An answer that is repeated so often gives all the evidence that a difference can need."""

OTHERWISE = {
    ("alchemy_nft", "metadata.v2_plain"): "the older version's answer of a collection that OpenSea does not know",
    ("blockchair", "stats.unpriced"): "a chain without proof of work: neither difficulty nor hash rate",
    ("blockscout_whale", "transfers.usdc"): "a transfer between two parties without a name",
    ("clankapp", "transaction.burn"): "a burn, which has no parties",
    ("coinbase_prices", "exchange_rates.bare"): "an older form of the answer, without its rates",
    ("coingecko_nft", "by_contract.older"): "an older form of the answer, without the changes of longer times",
    ("coingecko_nft", "collection.older"): "an older form of the answer, without sales and without a rank",
    ("coinmetrics", "asset_metrics"): "rows hold what was asked for; another question asks for the rate",
    ("goplus", "token_security.partial"): "a token of which hardly anything is known, not even its holders",
}
"""Proofs that are truly another shape than the rest of their endpoint, when seen twenty times in a row and nothing else."""


class Proven(NamedTuple):
    """The answers of one endpoint, or the messages of one kind, as its proofs show them."""

    provider: str
    target: str
    emits: list[Emit]
    book: Book | None
    shown: list[tuple[str, Mapped]]

    def watched(self, without: int | None = None) -> Watched:
        """What all of them teach, but for one."""
        taught = [Lesson("", one) for number, (_, one) in enumerate(self.shown) if number != without]
        return watched(self.emits, self.target, taught, self.book)


@pytest.fixture(scope="module")
def proven() -> list[Proven]:
    return list(_proven())


def _proven() -> Iterator[Proven]:
    tables = identity.load()
    for loaded in loading.load().loaded.values():
        provider = loaded.provider
        found: dict[tuple[str, str], list[tuple[str, Mapped]]] = {}
        for case in proof.cases(loaded.folder):
            for message, mapped in lessons([proof.mapped(provider, case, tables)]):
                found.setdefault((case.target, message), []).append((case.name, mapped))
        for (target, message), shown in found.items():
            at = provider.streams[target].messages[message] if message else provider.endpoints[target]
            yield Proven(provider.id, target, at.emits, at.book, shown)


def said(taught: Watched, mapped: Mapped) -> str:
    """What a guard says of an answer that is repeated until it says something, in vain for so long."""
    guard = Guard(lambda: taught)
    return next((words for _ in range(REPEATED) if (words := guard.judge(mapped).words)), "")


def test_no_proof_differs_from_what_all_of_them_teach(proven: list[Proven]) -> None:
    alarms = {
        (one.provider, name): words
        for one in proven
        for taught in [one.watched()]
        for name, mapped in one.shown
        if (words := said(taught, mapped))
    }
    assert alarms == {}


def test_a_variant_that_the_other_proofs_do_not_show_is_no_drift_unless_it_is_another_shape(
    proven: list[Proven],
) -> None:
    alarms, compared = {}, 0
    for one in proven:
        for number, (name, mapped) in enumerate(one.shown if len(one.shown) > 1 else []):
            compared += 1
            if words := said(one.watched(without=number), mapped):
                alarms[one.provider, name] = words
    assert {name: words for name, words in alarms.items() if name not in OTHERWISE} == {}
    assert compared > 300


def test_no_recorded_answer_is_a_drift(recordings: Path) -> None:
    registry, tables = loading.load(), identity.load()
    guards, replayer = Guards(registry, tables), Replayer(registry, tables)
    alarms: dict[str, str] = {}
    judged = 0
    for one in told_by(recordings, replayer):
        if one.mapped is not None and one.target is not None and one.step.recording.kind != "ws":
            judged += 1
            verdict = guards.endpoint(*one.target.split()).judge(one.mapped)
            if verdict.differences or verdict.held:
                alarms[one.step.recording.id] = verdict.words
    assert alarms == {}
    assert judged > 50


def told_by(folder: Path, replayer: Replayer) -> Iterator[Any]:
    cases = recorded.read(folder)
    for step in recorded.steps(folder, cases, recorded.times(cases)):
        yield replayer.tell(step)


OLDER = {
    "ws.coinbase ticker": "recorded in 2021, before tickers had best_bid_size and best_ask_size",
    "ws.coinbase.light ticker": "the same log without its books",
}


def test_no_recorded_message_is_a_drift_but_those_of_an_older_form(recordings: Path) -> None:
    alarms: dict[str, str] = {}
    judged = 0
    for case, message, guard_words in heard(recordings):
        judged += 1
        if guard_words:
            alarms[f"{case} {message}"] = guard_words
    assert set(alarms) == set(OLDER), alarms
    assert judged > 5000


def heard(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Every recorded message that says something: case, kind, and what its guard says of it."""
    registry, tables = loading.load(), identity.load()
    guards = Guards(registry, tables)
    mappers: dict[tuple[str, str], StreamMapper] = {}
    bindings: dict[tuple[str, int], Bindings] = {}
    cases = [case for case in recorded.read(folder) if case.kind == "ws" and case.provider in registry.providers]
    for step in recorded.steps(folder, cases, recorded.times(cases)):
        one = step.recording
        name = stream_of(registry.providers[one.provider], one)
        if name is None:
            continue
        key = (one.provider, name)
        if key not in mappers:
            mappers[key] = compile_stream(registry.providers[one.provider], name, tables)
        place = (one.id, step.conn)
        try:
            payload = decode_message(step.body.decode())
        except DecodeError:
            continue
        told = mappers[key].read(payload, step.at_ms, "replay", bindings.setdefault(place, {}))
        if told.mapped is not None and told.message is not None:
            verdict = guards.stream(*key).judge(told.message, told.mapped, told.mapped.events)
            words = "" if verdict is None else verdict.words or (f"{verdict.held} held" if verdict.held else "")
            yield one.id, told.message, words


def test_a_mapped_name_that_gets_another_spelling_is_noticed_in_every_definition(proven: list[Proven]) -> None:
    """Each plain field of each endpoint that all its proofs show with a value, one after the other, renamed in all rows."""
    tables, registry = identity.load(), loading.load()
    missed, tried = [], 0
    for one in proven:
        if one.target not in registry.providers[one.provider].endpoints:
            continue
        mapper = compile_endpoint(registry.providers[one.provider], one.target, tables)
        taught = one.watched()
        for metric, payload in renamings(one):
            tried += 1
            words = said(taught, remapped(mapper, payload))
            if not any(sign in words for sign in (f"{metric}: ", "missing", "rows: ")):
                missed.append((one.provider, one.target, metric))
    print(f"{tried} renamed fields, {len(missed)} not noticed")
    assert missed == []
    assert tried > 1000


def renamings(one: Proven) -> Iterator[tuple[str, At]]:
    """Payloads in which one field that all proven rows have is spelled otherwise, with the metric it feeds."""
    taught = one.watched()
    for number, emit in enumerate(one.emits):
        expected = taught.expected.get(number)
        if expected is None:
            continue
        for metric, rule in emit.fields.items():
            path = rule.path if isinstance(rule, FieldRule) else rule
            place = next(
                (p for p in zip(taught.probes[number].places, expected.places, strict=True) if p[0].name == metric),
                None,
            )
            filtered = {condition.path for condition in emit.where}
            plain = isinstance(path, str) and path.isidentifier() and path not in filtered
            if not isinstance(path, str) or not plain or place is None or not certain(rule, place[1]):
                continue
            payload = next(
                (m.top for _, m in one.shown if any(n == number and has(row, path) for n, (row, _) in m.heads)), None
            )
            if payload is not None:
                yield metric, spelled_otherwise(payload, path)


def certain(rule: Any, seen: Any) -> bool:
    """Whether the field is in every proven row; what some rows lack can be gone by chance."""
    fixed = isinstance(rule, FieldRule) and (rule.fixed is not None or rule.each is not None)
    return not fixed and seen.rows > 0 and seen.written == seen.rows


def has(row: Any, key: str) -> bool:
    return isinstance(row, dict) and row.get(key) not in (None, "")


def spelled_otherwise(top: At, key: str) -> At:
    payload = copy.copy(top.payload)
    payload.root = _respelled(top.payload.root, key)
    return At(payload)


def _respelled(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {(f"{name}_v2" if name == key else name): _respelled(inner, key) for name, inner in value.items()}
    return [_respelled(inner, key) for inner in value] if isinstance(value, list) else value


def remapped(mapper: Mapper, top: At) -> Mapped:
    return mapper.map_at(top, top.payload.at_ms, "live")
