"""`parallax providers try` with what people have: bare and packed bodies, recorders' files, socket logs."""

# ruff: noqa: E501 - an answer a line

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from services.collector.cli import main
from services.collector.match.envelopes import opened

PRICE = {"symbol": "LTCUSDT", "price": "84.31"}
URL = "https://api.binance.com/api/v3/ticker/price?symbol=LTCUSDT"
BODY = json.dumps(PRICE)
SAID = ("pair:litecoin/tether", {"last": 84.31}, "tether", {"last": "tether per unit of the asset"})


def tried(
    capsys: pytest.CaptureFixture[str], folder: Path, held: bytes | str, *argv: str
) -> tuple[int, list[dict[str, Any]], str]:
    file = folder / "held"
    file.write_bytes(held if isinstance(held, bytes) else held.encode())
    code = main(["try", *argv, "--payload", str(file)])
    out = capsys.readouterr()
    return code, [json.loads(line) for line in out.out.splitlines()], out.err


def said(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (one["entity"], one["metrics"], one["quote"], one["units"]) for one in events if one["category"] == "exchange"
    ]


HAR = {"log": {"entries": [{"request": {"method": "GET", "url": URL}, "response": {"status": 200, "headers": [
    {"name": "Date", "value": "Sat, 21 Nov 2026 10:00:00 GMT"}], "content": {"text": base64.b64encode(BODY.encode()).decode(), "encoding": "base64"}}}]}}  # fmt: skip


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(BODY, id="bare"),
        pytest.param(gzip.compress(BODY.encode()), id="gzip"),
        pytest.param(json.dumps({"url": URL, "status": 200, "headers": {}, "body": BODY}), id="plain, body as text"),
        pytest.param(json.dumps({"url": URL, "status_code": 200, "body": PRICE}), id="plain, body as values"),
        pytest.param(json.dumps({"request": {"url": URL}, "response": PRICE, "status": 200}), id="request and bare response"),
        pytest.param(json.dumps(HAR), id="har"),
        pytest.param(json.dumps({"http_interactions": [{"request": {"method": "get", "uri": URL},
            "response": {"status": {"code": 200}, "body": {"string": BODY}, "headers": {"Date": ["x"]}}}]}), id="cassette"),
        pytest.param(f"interactions:\n- request: {{method: GET, uri: '{URL}', body: null}}\n  response:\n    status: {{code: 200, message: OK}}\n"
            f"    headers: {{}}\n    body: {{string: '{BODY}'}}\nversion: 1\n", id="cassette in yaml"),
        pytest.param(json.dumps([{"scope": "https://api.binance.com:443", "method": "GET", "path": "/api/v3/ticker/price?symbol=LTCUSDT",
            "status": 200, "response": [gzip.compress(BODY.encode()).hex()], "rawHeaders": ["Content-Encoding", "gzip"]}]), id="nock"),
    ],
)  # fmt: skip
def test_an_answer_is_the_same_in_every_envelope(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, held: bytes | str
) -> None:
    code, events, err = tried(capsys, tmp_path, held, "--url", URL)
    assert (code, said(events)) == (0, [SAID])
    assert "binance ticker_price_one" in err


def test_a_recorder_names_the_request_so_that_nothing_else_need_be_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, events, _ = tried(capsys, tmp_path, json.dumps(HAR))
    assert (code, said(events)) == (0, [SAID])
    assert events[0]["received_ms"] == 1795255200000, "the Date header of the answer"


def test_of_several_recorded_answers_those_of_the_address_are_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = {"url": "https://api.kraken.com/0/public/Ticker", "status": 200, "body": {}}
    held = json.dumps([other, {"url": URL, "status": 200, "body": PRICE}])
    code, events, _ = tried(
        capsys, tmp_path, held, "--url", "https://data-api.binance.vision/api/v3/ticker/price?symbol=X"
    )
    assert (code, said(events)) == (0, [SAID])


def test_a_recorded_error_keeps_its_status(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    held = json.dumps({"url": URL, "status": 429, "headers": {}, "body": {"code": -1003, "msg": "Too many requests"}})
    assert tried(capsys, tmp_path, held)[1][0]["outcome"] == "RATE_LIMITED"
    assert tried(capsys, tmp_path, held, "--status", "400")[1][0]["outcome"] != "OK"


def test_an_answer_that_only_looks_wrapped_is_an_answer() -> None:
    assert opened({"status": 200, "body": {"x": 1}}) == []
    assert opened({"url": "https://example.org", "title": "news", "body": "words"}) == []
    assert opened({"data": [{"url": "https://example.org"}]}) == []
    assert opened([{"url": "https://example.org/a", "text": "an article"}]) == []


def test_the_call_of_a_recorded_rpc_is_read_from_its_body(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    answer = {"jsonrpc": "2.0", "id": 1, "result": "0x77359400"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_gasPrice", "params": []}
    url = "https://base-rpc.publicnode.com"
    wrapped = {
        "request": {"method": "POST", "url": url, "body": json.dumps(call)},
        "response": {"status": 200, "body": answer},
    }
    for held, argv in (
        (wrapped, []),
        (answer, ["--url", url, "--body", json.dumps(call)]),
    ):
        code, events, _ = tried(capsys, tmp_path, json.dumps(held), *argv)
        assert (code, events[0]["entity"], events[0]["metrics"]) == (0, "chain:base", {"gas_price_gwei": 2.0})
        assert events[0]["units"] == {"gas_price_gwei": "gwei"}


def test_a_call_that_only_a_body_would_tell_is_told_by_an_answer_that_one_mapping_reads(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    info = "https://api.hyperliquid.xyz/info"
    context = {
        "dayNtlVlm": "1169046.2",
        "funding": "0.0000125",
        "markPx": "67100.5",
        "openInterest": "688.1",
        "oraclePx": "67090.0",
    }
    code, events, told = tried(
        capsys, tmp_path, json.dumps([{"universe": [{"name": "BTC", "szDecimals": 5}]}, [context]]), "--url", info
    )
    assert (code, told.splitlines()[0]) == (0, "hyperliquid contexts")
    assert {one["entity"]: one["metrics"].get("mark_price") for one in events}["perp:bitcoin/usd-coin"] == 67100.5
    # A lone number could be the answer to several calls, and to others that nobody maps.
    for url, answer in (
        (info, {"levels": "none"}),
        ("https://ethereum-rpc.publicnode.com", {"jsonrpc": "2.0", "id": 1, "result": "0x12a05f200"}),
    ):
        code, events, told = tried(capsys, tmp_path, json.dumps(answer), "--url", url)
        assert (code, events) == (2, [])
        assert "a body tells its calls apart: give --body" in told


def test_the_calls_of_a_batch_are_read_one_by_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def call(number: int, method: str, *params: object) -> dict[str, object]:
        return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}

    calls = [call(5, "eth_gasPrice"), call(6, "eth_other"), call(7, "eth_blockNumber"), call(8, "eth_chainId")]
    answers = [{"id": 7, "result": "0x10"}, {"id": 6, "result": "0x99"}, {"id": 5, "result": "0x77359400"}]
    argv = ["--url", "https://base-rpc.publicnode.com", "--body", json.dumps(calls)]
    code, events, _ = tried(capsys, tmp_path, json.dumps(answers), *argv)
    assert code == 0
    assert [event["metrics"] for event in events] == [{"gas_price_gwei": 2.0}, {"block_height": 16.0}]


def test_an_order_book_gives_its_best_prices(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    held = json.dumps(
        {"lastUpdateId": 7, "bids": [["84.2", "3"], ["84.1", "2"]], "asks": [["84.4", "4"], ["84.5", "1"]]}
    )
    _, events, err = tried(capsys, tmp_path, held, "--url", "https://api.binance.com/api/v3/depth?symbol=LTCUSDT")
    assert [(one["entity"], one["metrics"]) for one in events] == [
        ("pair:litecoin/tether", {"bid": 84.2, "ask": 84.4, "bid_size": 3.0, "ask_size": 4.0})
    ]
    assert "2 bids, 2 asks" in err


def test_a_socket_log_is_read_by_its_address(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    trade = {
        "e": "trade",
        "E": 1795305599990,
        "s": "LTCUSDT",
        "t": 9,
        "p": "84.31",
        "q": "1.5",
        "T": 1795305599989,
        "m": True,
    }
    lines = [
        {"t": 1.0, "conn": 0, "dir": "sent", "data": "{}"},
        {"t": 2.0, "conn": 0, "dir": "received", "data": json.dumps(trade)},
    ]
    held = "\n".join(json.dumps(line) for line in lines)
    code, events, _ = tried(
        capsys,
        tmp_path,
        held,
        "--url",
        "wss://stream.binance.com:9443/ws/ltcusdt@trade",
        "--received-at",
        "1795305600000",
    )
    assert code == 0
    assert [
        (one["entity"], one["metrics"]["trade_price"], one["event_ms"])
        for one in events
        if one["category"] == "exchange"
    ] == [("pair:litecoin/tether", 84.31, 1795305599989)]


def test_show_prints_path_metric_value_and_unit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(BODY)
    assert main(["try", "--url", URL, "--payload", str(tmp_path / "p.json"), "--show"]) == 0
    out = capsys.readouterr().out
    plain = "".join(part.split("m", 1)[1] if index else part for index, part in enumerate(out.split("\x1b[")))
    assert "pair:litecoin/tether  exchange  no time of its own" in plain
    assert "price -> last -> 84.31 tether per unit of the asset" in plain


def test_an_unknown_address_says_what_is_near_and_no_key(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, events, err = tried(
        capsys, tmp_path, BODY, "--url", "https://api.binance.com/api/v3/ticker/prices?symbol=X&apikey=SECRET"
    )
    assert (code, events) == (2, [])
    assert "SECRET" not in err
    assert "near: binance ticker_price" in err


def test_a_body_twice_is_a_wrong_call(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert tried(capsys, tmp_path, BODY, "--url", URL, "--body", "{}", "--request-body", "x")[0] == 2
    assert tried(capsys, tmp_path, BODY)[0] == 2
