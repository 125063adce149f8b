"""Status, headers and body -> one outcome of a closed taxonomy, by rows in order; ACTIONS says what follows from each. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, get_args

from services.collector.decode import DecodeError
from services.collector.map.conditions import Predicate, predicate
from services.collector.map.paths import getter, parse, top
from services.collector.registry.model import ErrorRule
from services.collector.registry.model import Outcome as ErrorClass

OK = "OK"
CLASSES: tuple[str, ...] = get_args(ErrorClass)


class Outcome(NamedTuple):
    """What became of an attempt: OK or a class, the provider's own words, and how long it asks us to wait."""

    name: str
    detail: str | None = None
    retry_after_s: float | None = None

    @property
    def ok(self) -> bool:
        """Whether there is an answer to map."""
        return self.name == OK


class Action(NamedTuple):
    """What follows from a class."""

    retry: bool
    """Try again soon, with back-off."""
    rotate: bool
    """Use another credential, where there is one."""
    breaks: bool
    """Counts as a failure for the breaker of this provider and endpoint."""
    fail_over: bool
    """Ask another member of the pool."""
    alert: bool
    """A person must look."""
    sentence: str


ACTIONS: dict[str, Action] = {
    OK: Action(False, False, False, False, False, "The provider answered."),
    "RATE_LIMITED": Action(
        True, True, False, True, False, "Too many requests in a short window: slow down, ask another."
    ),
    "QUOTA_EXHAUSTED": Action(
        False, True, False, True, True, "The budget of a long window is spent: wait for it, ask another."
    ),
    "AUTH": Action(False, True, True, True, True, "The credential is missing, wrong or lacks a right."),
    "FORBIDDEN_REGION": Action(False, False, True, True, True, "The provider does not serve our address."),
    "UNSUPPORTED": Action(False, False, False, True, False, "The provider does not answer this question."),
    "NOT_FOUND": Action(False, False, False, True, False, "The provider does not know this id."),
    "EMPTY": Action(False, False, False, True, False, "A right answer without a row."),
    "TIMEOUT": Action(True, False, True, True, False, "No answer in time."),
    "NETWORK": Action(True, False, True, True, False, "No connection, or it broke."),
    "UPSTREAM_5XX": Action(True, False, True, True, False, "The provider failed."),
    "MALFORMED": Action(True, False, True, True, False, "The body cannot be read."),
    "SCHEMA_DRIFT": Action(False, False, True, True, True, "The body has another shape than the one that was proven."),
    "STALE": Action(
        False, False, False, True, False, "The answer is older than the last one or than its freshness allows."
    ),
}


class Rule(NamedTuple):
    """One general row: a status range, words in the body, and the class.

    Words count only in a body that is an error by its shape, or comes with an error status.
    """

    outcome: ErrorClass
    statuses: tuple[int, int] | None = None
    words: re.Pattern[str] | None = None


def _words(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_RATE = _words(
    r"rate.?limit|too many requests?|max rate|throttl|requests? per (second|minute)|slow down|too frequent|over rate"
)
_QUOTA = _words(
    r"quota|credits? (exhausted|limit|exceeded)|out of credits|(daily|monthly|plan).{0,20}(limit|usage)|usage limit"
)
_KEY = _words(
    r"(invalid|missing|wrong|bad|no|expired|incorrect).{0,20}(api.?key|apikey|token|credential)"
    r"|api.?key.{0,30}(invalid|required|missing|not found|expired)|unauthori[sz]ed|authentication|not authenticated"
)
_REGION = _words(
    r"restricted location|your (country|region|location)|not available in your|geo.?block|unavailable for legal|eligibility"
)
_ABSENT = _words(
    r"not.?found|unknown (symbol|coin|asset|pair|market|currency|token)|invalid (symbol|pair|asset|instrument|product|market)"
    r"|does ?n.t exist|no such|instrument id|unknown asset pair"
)
_UNSUPPORTED = _words(
    r"not supported|unsupported|method .{0,40}(not found|not exist|not available)"
    r"|not available on (your|this) plan|upgrade your plan|deprecated"
    r"|no longer available|endpoint .{0,20}(removed|retired)"
)

RULES: tuple[Rule, ...] = (
    Rule("QUOTA_EXHAUSTED", (402, 402)),
    Rule("QUOTA_EXHAUSTED", (429, 429), _QUOTA),
    Rule("RATE_LIMITED", (429, 429)),
    Rule("RATE_LIMITED", (418, 418)),
    Rule("FORBIDDEN_REGION", (451, 451)),
    Rule("FORBIDDEN_REGION", (403, 403), _REGION),
    Rule("QUOTA_EXHAUSTED", (403, 403), _QUOTA),
    Rule("RATE_LIMITED", (403, 403), _RATE),
    Rule("AUTH", (401, 401)),
    Rule("AUTH", (403, 403)),
    Rule("NOT_FOUND", (404, 404)),
    Rule("UNSUPPORTED", (405, 405)),
    Rule("UNSUPPORTED", (410, 410)),
    Rule("TIMEOUT", (408, 408)),
    Rule("TIMEOUT", (504, 504)),
    Rule("RATE_LIMITED", (400, 499), _RATE),
    Rule("AUTH", (400, 499), _KEY),
    Rule("NOT_FOUND", (400, 499), _ABSENT),
    Rule("UNSUPPORTED", (400, 499)),
    Rule("UPSTREAM_5XX", (500, 599)),
    Rule("MALFORMED", (300, 399)),
    Rule("RATE_LIMITED", (200, 299), _RATE),
    Rule("QUOTA_EXHAUSTED", (200, 299), _QUOTA),
    Rule("AUTH", (200, 299), _KEY),
    Rule("FORBIDDEN_REGION", (200, 299), _REGION),
    Rule("NOT_FOUND", (200, 299), _ABSENT),
    Rule("UNSUPPORTED", (200, 299), _UNSUPPORTED),
    Rule("UPSTREAM_5XX", (200, 299)),
)
"""General rows; the provider's own come first. Those for 2xx are reached only by bodies that are errors by their shape."""

TEXT_LOOKED_AT = 4096

TELLING = frozenset({401, 402, 403, 408, 418, 429, 451})
"""Statuses that say more than a provider's row for any error: a limit, a credential, a region, a wait."""

Fits = Callable[[int, Mapping[str, str], Any, str], bool]


class Classifier:
    """The rows of one endpoint, compiled: its own rules, its provider's, then the general ones."""

    def __init__(self, rules: Sequence[ErrorRule] = (), ok: Sequence[int] = (200,), where: str = "errors") -> None:
        self._ok = frozenset(ok)
        self._rules = tuple((_fits(rule, f"{where}[{index}]"), rule, _detail(rule)) for index, rule in enumerate(rules))

    def classify(self, status: int, headers: Mapping[str, str], answer: Any, text: str = "") -> Outcome:
        """The outcome of an answer: decoded payload, or the DecodeError that decoding raised; `text`: start of the raw body."""
        lowered = {name.lower(): value for name, value in headers.items()}
        payload = None if isinstance(answer, DecodeError) else answer
        looked = text[:TEXT_LOOKED_AT]
        wait = retry_after_s(lowered)
        for fits, rule, detail in self._rules:
            if fits(status, lowered, payload, looked):
                words = detail(payload) if detail is not None else said(payload, looked)
                broad = rule.outcome == "UNSUPPORTED" and (rule.status is None or 200 <= status <= 299)
                outcome = _closer(status, words, payload, looked) if broad else None
                return Outcome(outcome or rule.outcome, words, wait)
        if status in self._ok or 200 <= status <= 299:
            if isinstance(answer, DecodeError):
                return Outcome(answer.outcome, str(answer))
            if not is_error(payload):
                return Outcome(OK)
        return _general(status, payload, looked, wait)


def classify(
    status: int,
    headers: Mapping[str, str],
    answer: Any,
    rules: Sequence[ErrorRule] = (),
    text: str = "",
    ok: Sequence[int] = (200,),
) -> Outcome:
    """One-off form of Classifier, for tools and tests."""
    return Classifier(rules, ok).classify(status, headers, answer, text)


def _closer(status: int, words: str | None, payload: Any, text: str) -> str | None:
    """What status or words say, where a provider's own row for any error says no more than that it is one."""
    if 200 <= status <= 299:
        return _worded(words)
    return _general(status, payload, text, None).name if status in TELLING or status >= 500 else None


def _worded(words: str | None) -> ErrorClass | None:
    """What the words of an error under a status of success say, where a provider's own row says no more than that it is one."""
    if words is None or _UNSUPPORTED.search(words):
        return None
    return next(
        (rule.outcome for rule in RULES if rule.statuses == (200, 299) and rule.words and rule.words.search(words)),
        None,
    )


def _general(status: int, payload: Any, text: str, wait: float | None) -> Outcome:
    words = said(payload, text)
    rpc = _rpc_class(payload)
    if rpc is not None and 200 <= status <= 299:
        return Outcome(rpc, words, wait)
    looked = text or words or ""
    for rule in RULES:
        if rule.statuses is not None and not rule.statuses[0] <= status <= rule.statuses[1]:
            continue
        if rule.words is not None and not rule.words.search(looked):
            continue
        return Outcome(rule.outcome, words, wait)
    return Outcome("MALFORMED", f"status {status}", wait)


RPC_CODES: dict[int, ErrorClass] = {
    -32005: "RATE_LIMITED",
    -32029: "RATE_LIMITED",
    429: "RATE_LIMITED",
    -32601: "UNSUPPORTED",
    -32602: "UNSUPPORTED",
    -32004: "UNSUPPORTED",
    -32001: "NOT_FOUND",
    -32603: "UPSTREAM_5XX",
}
"""JSON-RPC 2.0 and EIP-1474 error codes, and 429 as several gateways write it."""


def _rpc_class(payload: Any) -> ErrorClass | None:
    error = payload.get("error") if type(payload) is dict else None
    if type(error) is not dict or type(error.get("code")) is not int:
        return None
    words = str(error.get("message", ""))
    if _RATE.search(words):
        return "RATE_LIMITED"
    return RPC_CODES.get(error["code"])


ENVELOPE_KEYS: Final = 8
"""An error says little: an object with more keys, whose status is an error, tells of a thing that failed (a transaction)."""


def is_error(payload: Any) -> bool:
    """Whether a body that came with a good status is an error by its shape."""
    if type(payload) is list and payload and all(type(one) is dict and "jsonrpc" in one for one in payload):
        return all(one.get("error") for one in payload)
    if type(payload) is not dict:
        return False
    if payload.get("errors") and payload.get("data") in (None, {}, []):
        return True
    error = payload.get("error")
    if type(error) is str or type(error) is dict:
        return bool(error)
    if type(error) is list and error:
        return not payload.get("result")
    if error is True or payload.get("success") is False or payload.get("Response") == "Error":
        return True
    told = payload.get("status") in ("error", "ERROR", "fail", "failed") and not payload.get("data")
    return told and len(payload) <= ENVELOPE_KEYS


def said(payload: Any, text: str = "") -> str | None:
    """The provider's own words about an error, short."""
    if type(payload) is dict:
        for key in (
            "error",
            "errors",
            "msg",
            "message",
            "error_message",
            "detail",
            "description",
            "err-msg",
            "retMsg",
            "reason",
            "status",
        ):
            value = payload.get(key)
            if type(value) is list and value:
                value = value[0]
            if type(value) is dict:
                value = (
                    value.get("message") or value.get("error_message") or value.get("description") or value.get("msg")
                )
            if type(value) is str and value:
                return value[:200]
    return " ".join(text.split())[:200] or None


MAX_WAIT_S = 86_400.0


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header that gives them as a number; dates need a clock and are read by the sender."""
    written = headers.get("retry-after", "").strip()
    try:
        seconds = float(written)
    except ValueError:
        return None
    return seconds if 0 <= seconds <= MAX_WAIT_S else None


def _fits(rule: ErrorRule, where: str) -> Fits:
    statuses = (
        None if rule.status is None else frozenset([rule.status] if isinstance(rule.status, int) else rule.status)
    )
    headers = {name.lower(): part.lower() for name, part in rule.header.items()}
    holds: Predicate | None = predicate(rule.when, f"{where}.when")
    part = rule.has.lower() if rule.has is not None else None

    def fits(status: int, given: Mapping[str, str], payload: Any, text: str) -> bool:
        if statuses is not None and status not in statuses:
            return False
        if any(word not in given.get(name, "").lower() for name, word in headers.items()):
            return False
        if part is not None and part not in text.lower():
            return False
        return holds is None or (payload is not None and holds(payload, top(payload)))

    return fits


def _detail(rule: ErrorRule) -> Callable[[Any], str | None] | None:
    if rule.detail is None:
        return None
    get = getter(parse(rule.detail, "errors.detail"))

    def detail(payload: Any) -> str | None:
        value = get(payload, top(payload))
        return None if value is None else str(value)[:200]

    return detail
