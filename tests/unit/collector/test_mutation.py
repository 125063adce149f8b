"""What is broken of a definition, exactly; what notices it; and that the committed report is of today's rules."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from services.collector import mutation, proof
from services.collector.map import identity
from services.collector.proofs import report
from services.collector.registry.model import Provider

EMIT = {
    "rows": "data[*]", "where": [{"path": "on", "eq": True}], "order": {"by": "n"}, "limit": 1, "unique": "u",
    "entity": {"kind": "pair", "base": "b", "quote": "q"}, "quote": {"symbol": "c"}, "event": {"path": "t", "unit": "epoch", "add_s": 60},
    "fields": {
        "last": {"path": ["p", "x"], "required": True, "nulls": [0]},
        "bid": {"each": "bids", "path": "[0]", "take": "max", "where": [{"path": "[2]", "eq": 1}], "first": 5},
        "bid_size": {"each": "bids", "by": "[0]", "path": "[1]", "take": "max"},
        "volume_base_24h": {"path": "v", "times": "m", "decimals": 2, "strip": ","},
        "pair_change_24h_pct": {"path": "ch", "unit": "fraction"},
        "trade_side": {"path": "s", "map": {"B": "buy", "S": "sell"}, "other": "buy"},
    },
}  # fmt: skip
BOOK = {
    "kind": "delta", "entity": {"kind": "pair", "symbol": "s"}, "bids": "b", "asks": "a", "price": {"path": "[0]", "decimals": 2},
    "sequence": {"rule": "rising", "last": "u"}, "event": {"path": "t"}, "kind_when": [{"path": "k", "eq": "s"}],
}  # fmt: skip


def provider(**keys: object) -> Provider:
    return msgspec.convert(
        {
            "id": "acme", "name": "Acme", "home": "exchange", "homepage": "", "docs": "", "verified": "2026-11-22", "status": "live",
            "bases": {"main": "https://acme.example"}, "symbols_of": "binance", **keys,
        },
        Provider,
    )  # fmt: skip


def broken(one: Provider, target: str) -> list[str]:
    return [f"{mutant.place} {mutant.what}" for mutant in mutation.mutants(one, {target})]


def test_every_path_scale_unit_filter_and_time_of_an_endpoint_is_broken_once() -> None:
    assert broken(provider(endpoints={"e": {"path": "/x", "emits": [EMIT]}}), "e") == [
        f"emits[0] {what}"
        for what in (
            "where[0] removed", "order turned round", "limit removed", "unique removed",
            "event removed", "event path gone", "event unit changed", "event add_s removed",
            "quote changed", "quote.symbol gone", "rows gone", "entity base gone", "entity quote gone", "entity base and quote swapped",
            "last: removed", "last: path gone", "last: path[0] removed", "last: path[1] removed",
            "bid: removed", "bid: path gone", "bid: where[0] removed", "bid: first removed", "bid: take turned",
            "bid_size: removed", "bid_size: path gone", "bid_size: take turned", "bid_size: by gone",
            "volume_base_24h: removed", "volume_base_24h: path gone", "volume_base_24h: decimals removed", "volume_base_24h: times removed",
            "volume_base_24h: strip removed",
            "pair_change_24h_pct: removed", "pair_change_24h_pct: path gone", "pair_change_24h_pct: unit removed",
            "trade_side: removed", "trade_side: path gone", "trade_side: map turned", "trade_side: other removed",
            "last and bid: paths swapped", "bid and bid_size: paths swapped", "bid_size and volume_base_24h: paths swapped",
            "volume_base_24h and pair_change_24h_pct: paths swapped", "pair_change_24h_pct and trade_side: paths swapped",
        )
    ]  # fmt: skip


def test_every_part_of_a_streams_book_is_broken_once() -> None:
    stream = {"url": "wss://acme.example", "channels": {}, "messages": {"m": {"params": {"p": "x"}, "book": BOOK}}}
    assert broken(provider(streams={"s": stream}), "s") == [
        "m params.p gone",
        *(
            f"m.book {what}"
            for what in (
                "bids and asks swapped", "price and size swapped", "price path gone", "price decimals removed", "size gone",
                "bids gone", "asks gone", "entity symbol gone", "sequence.last gone",
                "event removed", "event path gone", "event unit changed", "kind_when removed",
            )
        ),
    ]  # fmt: skip


def chosen(*whens: list[dict[str, object]]) -> list[str]:
    messages = {f"m{number}": {"when": when} for number, when in enumerate(whens)}
    return broken(provider(streams={"s": {"url": "wss://acme.example", "channels": {}, "messages": messages}}), "s")


def test_every_condition_of_a_message_is_dropped_and_changed() -> None:
    assert chosen([{"path": "e", "eq": "t"}], [{"path": "on", "eq": True}, {"path": "c", "in": ["x", "y"]}, {"len": 5}]) == [
        "m0 when[0] removed", "m0 when[0] changed",
        "m1 when[0] removed", "m1 when[0] changed", "m1 when[1] removed", "m1 when[1] among[0] removed", "m1 when[1] among[1] removed",
        "m1 when[2] removed", "m1 when[2] len changed",
    ]  # fmt: skip
    assert chosen([{"path": "t", "starts": "a."}, {"path": "d", "type": "list"}, {"path": "p", "present": False}]) == [
        "m0 when[0] removed", "m0 when[0] starts changed", "m0 when[1] removed", "m0 when[1] type changed",
        "m0 when[2] removed", "m0 when[2] turned",
    ]  # fmt: skip


def test_keys_that_must_be_there_are_one_shape_and_a_type_that_is_read_inside_is_not_dropped() -> None:
    assert chosen([{"path": "u", "present": True}, {"path": "e", "present": False}, {"path": "s", "present": True}]) == [
        "m0 when presence removed", "m0 when[0] turned", "m0 when[1] removed", "m0 when[1] turned", "m0 when[2] turned",
    ]  # fmt: skip
    assert chosen([{"type": "list"}, {"path": "[0].e", "eq": "t"}]) == [
        "m0 when[0] type changed", "m0 when[1] removed", "m0 when[1] changed",
    ]  # fmt: skip


STREAM = {
    "url": "wss://acme.example", "channels": {}, "ack": {"when": [{"path": "event", "eq": "ok"}]},
    "messages": {
        name: {
            "when": [{"path": "ch", "eq": "book"}, {"path": kind, "type": "list"}],
            "emits": [{
                "rows": f"{kind}[*]", "optional": True, "entity": {"kind": "pair", "symbol": "s"}, "quote": "pair", "fields": {"last": "p"},
            }],
        } for name, kind in (("whole", "all"), ("part", "some"))
    },
}  # fmt: skip


def test_a_message_taken_for_another_kind_is_noticed_and_one_selection_of_several_messages_is_one(
    tmp_path: Path,
) -> None:
    row = {"s": "BTCUSDT", "p": 5.5}
    event = {"category": "exchange", "entity": "pair:bitcoin/tether", "quote": "tether", "metrics": {"last": 5.5}}

    def left(messages: list[object], heard: list[str], outcome: str = "OK") -> list[str]:
        file = tmp_path / "s.payload.json"
        file.write_text(json.dumps(messages))
        said = proof.Expected(provenance="inferred", source="x", events=[event, event], heard=heard, outcome=outcome)
        found = mutation.score(provider(streams={"s": STREAM}), [proof.Case("s", "s", file, said)], identity.load())
        return [f"{one.place} {one.what}" for one in found.survivors if one.what.startswith("when")]

    data: list[object] = [{"ch": "book", "all": [row]}, {"ch": "book", "some": [row]}]
    acks: list[object] = [*data, {"event": "ok", "ch": "book"}]
    assert left(data, ["data", "data"]) == ["whole when[0] removed", "part when[0] removed", "part when[1] removed"]
    assert left(acks, ["data", "data", "ack"]) == ["whole when[0] removed", "part when[0] removed"]
    other = [*acks, {"ch": "funding", "some": [{"s": "BTCUSDT", "p": 7.5}]}]
    assert left(other, ["data", "data", "ack", "unknown"], "unknown") == []


def test_a_break_that_no_row_shows_survives_and_a_twins_proof_counts(tmp_path: Path) -> None:
    emit = {
        "rows": "$[*]", "where": [{"path": "on", "eq": True}], "entity": {"kind": "pair", "symbol": "s"}, "quote": "pair",
        "fields": {"last": "p"},
    }  # fmt: skip
    one = provider(
        endpoints={
            "all": {"path": "/x", "emits": [emit]},
            "some": {"path": "/x", "emits": [emit], "params": {"s": "BTCUSDT"}},
        }
    )

    def case(target: str, rows: list[dict[str, object]]) -> proof.Case:
        file = tmp_path / f"{target}{len(rows)}.payload.json"
        file.write_text(json.dumps(rows))
        event = {"category": "exchange", "entity": "pair:bitcoin/tether", "quote": "tether", "metrics": {"last": 5.5}}
        return proof.Case(target, target, file, proof.Expected(provenance="inferred", source="x", events=[event]))

    on, off = {"s": "BTCUSDT", "p": 5.5, "on": True}, {"s": "ETHUSDT", "p": 6.5, "on": False}
    weak = mutation.score(one, [case("all", [on])], identity.load())
    assert [left.what for left in weak.survivors] == ["where[0] removed"]
    assert (weak.killed, weak.rate < 1) == (5, True)
    both = mutation.score(one, [case("some", [on]), case("all", [on, off])], identity.load())
    assert (both.survivors, both.rate, both.targets) == ((), 1.0, 2)


def test_the_committed_report_has_no_survivor_and_its_page_is_made_of_it() -> None:
    said = json.loads(report.DATA.read_text())
    assert [row["provider"] for row in said["rows"] if row["survivors"]] == []
    assert report.PAGE.read_text() == report.page(said), "run: parallax providers mutate --write"
