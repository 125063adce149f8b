"""`parallax providers`: rows to standard output, talk to standard error, 0 done, 1 failed, 2 wrong call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.collector.cli import main
from services.collector.coverage import coverage
from services.collector.map import identity
from services.collector.registry import load

BINANCE = load.BUILT_IN / "exchange" / "binance"


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(list(argv))
    out = capsys.readouterr()
    return code, out.out, out.err


def test_try_prints_events_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    payload = str(BINANCE / "book_ticker.payload.json")
    code, out, _ = run(
        capsys,
        "try",
        "binance",
        "book_ticker",
        "--payload",
        payload,
        "--received-at",
        "1795305600000",
        "--param",
        "symbol=LTCUSDT",
    )
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(e["entity"], e["metrics"], e["received_ms"]) for e in events] == [
        ("pair:litecoin/tether", {"bid": 84.3, "bid_size": 431.0, "ask": 84.32, "ask_size": 9.0}, 1795305600000)
    ]


def test_try_by_url_and_request_body(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "asked.json").write_text('{"jsonrpc": "2.0", "id": 1, "method": "eth_gasPrice", "params": []}')
    (tmp_path / "answer.json").write_text('{"jsonrpc": "2.0", "id": 1, "result": "0x77359400"}')
    url = "https://base-rpc.publicnode.com"
    code, out, err = run(
        capsys,
        "try",
        "--url",
        url,
        "--payload",
        str(tmp_path / "answer.json"),
        "--request-body",
        str(tmp_path / "asked.json"),
    )
    assert (code, json.loads(out)["entity"], json.loads(out)["metrics"]) == (0, "chain:base", {"gas_price_gwei": 2.0})
    assert "publicnode gas_price" in err


@pytest.mark.parametrize(
    ("body", "arguments", "outcome", "code"),
    [
        ('{"code":-1121,"msg":"Invalid symbol."}', ["--status", "400"], "NOT_FOUND", 0),
        ("<html>", [], "MALFORMED", 1),
        ('{"odd": 1}', [], "SCHEMA_DRIFT", 1),
        ("[]", [], "EMPTY", 0),
        ("{}", ["--status", "429", "--header", "Retry-After: 5"], "RATE_LIMITED", 0),
    ],
)
def test_try_names_the_class_of_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, body: str, arguments: list[str], outcome: str, code: int
) -> None:
    (tmp_path / "p.json").write_text(body)
    found, out, _ = run(
        capsys,
        "try",
        "binance",
        "trades",
        "--payload",
        str(tmp_path / "p.json"),
        "--param",
        "symbol=BTCUSDT",
        *arguments,
    )
    assert (found, json.loads(out)["outcome"]) == (code, outcome)


def test_try_reads_socket_messages_too(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(
        capsys,
        "try",
        "bitstamp",
        "public",
        "--payload",
        str(load.BUILT_IN / "exchange" / "bitstamp" / "public.payload.json"),
    )
    assert code == 0
    assert json.loads(out.splitlines()[0])["metrics"]["trade_price"] == 61234.5


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["try", "binanse", "x", "--payload", "none"], "did you mean binance"),
        (["try", "binance", "tickers", "--payload", str(BINANCE / "trades.payload.json")], "has no endpoint 'tickers'"),
        (["try", "binance", "trades", "--payload", "/nowhere"], "No such file"),
        (
            ["try", "binance", "trades", "--payload", str(BINANCE / "trades.payload.json"), "--param", "symbol"],
            "expected --param k=v",
        ),
        (
            ["try", "--url", "https://example.org", "--payload", str(BINANCE / "trades.payload.json")],
            "no endpoint has this address",
        ),
        (["show", "nobody_at_all"], "parallax providers list"),
        (["lint", "nobody_at_all"], "no provider 'nobody_at_all'; see: parallax providers list"),
        (["list", "--category", "maket"], "no category 'maket'; expected one of market, exchange, "),
        (["list", "--status", "alive"], "no status 'alive'; expected one of live, key-required, paid, retired, unread"),
        (["coverage", "--asset", "bitcon"], "no asset 'bitcon'; did you mean bitcoin"),
        (["coverage", "--metric", "pric"], "no metric 'pric'; did you mean price"),
        ([], "VERB"),
        (["dance"], "invalid choice"),
    ],
)
def test_wrong_calls(capsys: pytest.CaptureFixture[str], argv: list[str], words: str) -> None:
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert words in err


def test_list_and_show_are_rows_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "--json", "--category", "rpc")
    rows = {row["id"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["publicnode"]["categories"] == ["explorer", "onchain", "rpc"]
    assert {row["home"] for row in rows.values()} == {"rpc"}
    code, out, err = run(capsys, "list", "--category", "rpc")
    assert (code, len(out.splitlines())) == (0, len(rows) + 1)
    assert f"{len(rows)} providers" in err
    code, out, _ = run(capsys, "show", "kraken", "--json")
    assert (code, json.loads(out)["definition"]["id"]) == (0, "kraken")
    assert run(capsys, "show", "kraken")[0] == 0


def test_coverage_counts_who_can_name_the_asset(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "coverage", "--asset", "bitcoin", "--json")
    rows = {row["metric"]: row["providers"] for row in json.loads(out)}
    assert code == 0
    assert {"binance", "coingecko", "kraken", "mempool_space"} <= set(rows["price"])
    assert "alternative_me" not in rows.get("fear_greed_index", [])
    assert run(capsys, "coverage", "--asset", "bitcoyn")[0] == 2


def test_the_coverage_of_a_coin_holds_what_is_told_of_its_chain(capsys: pytest.CaptureFixture[str]) -> None:
    tables, providers = identity.load(), load.load([load.BUILT_IN]).providers
    bitcoin, litecoin, uniswap = (coverage(providers.values(), tables, a) for a in ("bitcoin", "litecoin", "uniswap"))
    assert "mempool_space" in bitcoin["fee_fast_sat_vb"]
    assert "litecoinspace" not in bitcoin["mempool_tx_count"]
    assert "blockchair" in litecoin["hashrate_hs"]
    assert "hashrate_hs" not in uniswap


def test_lint_and_mutate_say_nothing_bad_of_a_proven_provider(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "lint", "coinlore")[:2] == (0, "")
    code, out, _ = run(capsys, "mutate", "coinlore", "--json")
    assert (code, json.loads(out)[0]["rate"]) == (0, 1.0)


def test_match_prints_the_best_fit(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "match", "https://api.kraken.com/0/public/Depth?pair=XBTEUR&count=3")
    assert (code, out) == (0, "kraken depth pair=XBTEUR count=3\n")
    assert run(capsys, "match", "https://example.org/")[:2] == (1, "")


def test_lint_maps_the_payloads_and_names_the_difference(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    place = tmp_path / "coinlore"
    place.mkdir()
    source = load.BUILT_IN / "market" / "coinlore"
    for file in source.iterdir():
        text = file.read_text()
        (place / file.name).write_text(
            text.replace("price: {path: price_usd", "price: {path: price_btc") if file.name == "provider.yaml" else text
        )
    code, out, _ = run(capsys, "lint", str(place))
    assert code == 1
    assert "events[0].metrics.price: expected 61234.5, got 1.0" in out


def test_what_lint_found_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "lint", "binance", "--no-proof")
    assert (code, out, err) == (0, "", "1 definition, 0 faults\n")
