"""Outcomes: a closed taxonomy from status, headers and body, in the order of the rows; each with what follows."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from services.collector.classify import ACTIONS, CLASSES, OK, Classifier, classify
from services.collector.decode import DecodeError
from services.collector.registry.mapping import Condition
from services.collector.registry.model import ErrorRule, Outcome


@pytest.mark.parametrize(
    ("status", "payload", "text", "outcome"),
    [
        (200, {"data": [1]}, "", OK),
        (200, [], "", OK),
        (200, {"error": [], "result": {}}, "", OK),
        (200, {"error": None, "data": 1}, "", OK),
        (200, {"status": 0, "data": []}, "", OK),
        (200, "text", "", OK),
        (429, {}, "slow down", "RATE_LIMITED"),
        (429, {}, "You have exceeded your monthly quota", "QUOTA_EXHAUSTED"),
        (418, {}, "", "RATE_LIMITED"),
        (402, {}, "", "QUOTA_EXHAUSTED"),
        (401, {}, "", "AUTH"),
        (403, {}, "", "AUTH"),
        (403, None, "Service unavailable from a restricted location", "FORBIDDEN_REGION"),
        (451, None, "", "FORBIDDEN_REGION"),
        (404, {}, "", "NOT_FOUND"),
        (405, {}, "", "UNSUPPORTED"),
        (400, {}, "Invalid symbol", "NOT_FOUND"),
        (400, {}, "rate limit reached", "RATE_LIMITED"),
        (400, {}, "invalid api key", "AUTH"),
        (400, {}, "bad range", "UNSUPPORTED"),
        (408, {}, "", "TIMEOUT"),
        (504, {}, "", "TIMEOUT"),
        (500, {}, "", "UPSTREAM_5XX"),
        (503, None, "<html>", "UPSTREAM_5XX"),
        (302, None, "", "MALFORMED"),
        (200, {"error": "Too many requests"}, "Too many requests", "RATE_LIMITED"),
        (200, {"error": {"code": -32005, "message": "limit exceeded"}}, "", "RATE_LIMITED"),
        (200, {"error": {"code": -32601, "message": "nope"}}, "", "UNSUPPORTED"),
        (200, {"error": {"code": -32000, "message": "rate limit"}}, "", "RATE_LIMITED"),
        (200, {"error": {"code": 1, "message": "boom"}}, "boom", "UPSTREAM_5XX"),
        (200, {"errors": [{"message": "API key missing"}]}, "API key missing", "AUTH"),
        (200, {"errors": [{"message": "partial"}], "data": {"x": 1}}, "partial", OK),
        (200, {"success": False, "message": "coin not found"}, "coin not found", "NOT_FOUND"),
        (200, {"status": "error", "message": "upgrade your plan"}, "upgrade your plan", "UNSUPPORTED"),
        (200, DecodeError("not JSON"), "<html>", "MALFORMED"),
        (500, DecodeError("not JSON"), "<html>", "UPSTREAM_5XX"),
    ],
)
def test_general_rows(status: int, payload: Any, text: str, outcome: str) -> None:
    assert classify(status, {}, payload, text=text).name == outcome


def test_the_providers_own_rows_come_first_and_in_order() -> None:
    rules = [
        ErrorRule(outcome="EMPTY", when=[Condition(path="code", eq=0)]),
        ErrorRule(outcome="STALE", status=[200, 404], has="old"),
        ErrorRule(outcome="QUOTA_EXHAUSTED", header={"X-Left": "0"}),
        ErrorRule(outcome="AUTH", when=[Condition(path="code", gt=0)], detail="why"),
    ]
    judge = Classifier(rules)
    assert judge.classify(200, {}, {"code": 0}, "old").name == "EMPTY"
    assert judge.classify(404, {}, {}, "OLD data").name == "STALE"
    assert judge.classify(200, {"x-left": "0"}, {}).name == "QUOTA_EXHAUSTED"
    found = judge.classify(200, {}, {"code": 3, "why": "no key"})
    assert (found.name, found.detail) == ("AUTH", "no key")
    assert judge.classify(200, {}, {"code": -1}).ok


@pytest.mark.parametrize(
    ("status", "words", "outcome"),
    [
        (200, "Too many requests", "RATE_LIMITED"),
        (200, "Invalid API key", "AUTH"),
        (200, "Unknown symbol", "NOT_FOUND"),
        (200, "limit is invalid", "UNSUPPORTED"),
        (200, "method not found", "UNSUPPORTED"),
        (200, None, "UNSUPPORTED"),
        (400, "Unknown symbol", "UNSUPPORTED"),
    ],
)
def test_words_say_more_than_a_row_for_every_other_error(status: int, words: str | None, outcome: str) -> None:
    rest = ErrorRule(outcome="UNSUPPORTED", when=[Condition(path="code", ne=0)], detail="why")
    assert Classifier([rest]).classify(status, {}, {"code": 7, "why": words}).name == outcome
    told = ErrorRule(outcome="EMPTY", when=[Condition(path="code", ne=0)], detail="why")
    assert Classifier([told]).classify(status, {}, {"code": 7, "why": words}).name == "EMPTY"


@pytest.mark.parametrize(("more", "outcome"), [(6, "UPSTREAM_5XX"), (7, "OK")])
def test_a_thing_that_failed_is_an_answer_when_much_is_said_of_it(more: int, outcome: str) -> None:
    payload = {"status": "error", "result": "Reverted", **{f"key_{number}": number for number in range(more)}}
    assert classify(200, {}, payload).name == outcome


def test_a_status_that_an_endpoint_calls_good_is_good() -> None:
    assert classify(404, {}, {"match": None}, ok=[200, 404]).ok
    assert classify(404, {}, {"match": None}).name == "NOT_FOUND"


@pytest.mark.parametrize(
    ("value", "seconds"), [("30", 30.0), ("0", 0.0), ("-1", None), ("soon", None), ("99999999", None), ("", None)]
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert classify(429, {"Retry-After": value}, {}).retry_after_s == seconds


def test_every_class_has_its_action_and_its_sentence() -> None:
    assert set(ACTIONS) == {OK, *get_args(Outcome)} == {OK, *CLASSES}
    assert all(action.sentence.endswith(".") for action in ACTIONS.values())


def test_what_a_person_must_do_is_not_retried() -> None:
    assert {name for name, action in ACTIONS.items() if action.retry and action.alert} == set()
    assert {name for name, action in ACTIONS.items() if action.retry} == {
        "RATE_LIMITED",
        "TIMEOUT",
        "NETWORK",
        "UPSTREAM_5XX",
        "MALFORMED",
    }


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "UNSUPPORTED"), (400, "UNSUPPORTED"), (401, "AUTH"), (402, "QUOTA_EXHAUSTED"), (403, "AUTH"),
        (429, "RATE_LIMITED"), (451, "FORBIDDEN_REGION"), (500, "UPSTREAM_5XX"), (503, "UPSTREAM_5XX"),
    ],
)  # fmt: skip
def test_a_row_for_any_error_does_not_hide_what_the_status_says(status: int, outcome: str) -> None:
    rule = ErrorRule(outcome="UNSUPPORTED", when=[Condition(path="error", eq=True)])
    answer = {"error": True, "error_message": "of no use"}
    assert classify(status, {}, answer, [rule]).name == outcome


def test_a_row_that_names_the_status_keeps_its_word() -> None:
    rule = ErrorRule(outcome="UNSUPPORTED", status=403, when=[Condition(path="status", eq="NOT_AUTHORIZED")])
    assert classify(403, {}, {"status": "NOT_AUTHORIZED", "message": "no such plan"}, [rule]).name == "UNSUPPORTED"
