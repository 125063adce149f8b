"""rules.yaml + facts -> findings. A rule's expression is a closed form, read once and never evaluated as code. Pure.

expression = all { "or" all }        all = comparison { "and" comparison }
comparison = fact ("<" | "<=" | ">" | ">=" | "==" | "!=") literal
literal    = number | number unit | word        unit = s, m, h (durations only), % (a number / 100)
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct, field

from services.common.errors import DefinitionError
from services.health.facts import FACTS, Kind, Scope, Subject, Value

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
WORD_OPERATORS = ("==", "!=")
COMPARISON = re.compile(r"([a-z_]+)\s*(<=|>=|==|!=|<|>)\s*([A-Za-z_][A-Za-z0-9_]*|[0-9.]+\s*(?:[smh%])?)")
NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smh%])?")
KINDS = {(fact.scope, fact.name): fact.kind for fact in FACTS}
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


class RuleRow(Struct, frozen=True, forbid_unknown_fields=True):
    """One rule as written."""

    name: str
    about: Scope
    when: str
    hold: str = field(name="for")
    severity: Literal["page", "ticket", "info"]
    summary: str
    remedy: str
    labels: dict[str, str] = {}


class InhibitionRow(Struct, frozen=True, forbid_unknown_fields=True):
    """While `source` fires, alerts of `scope` or of `rules` with equal labels are not told to anyone."""

    source: str
    scope: Scope | None = None
    rules: tuple[str, ...] = ()
    equal: tuple[str, ...] = ()


class RulesFile(Struct, frozen=True, forbid_unknown_fields=True):
    """rules.yaml."""

    rules: list[RuleRow]
    inhibitions: list[InhibitionRow] = []


class Comparison(NamedTuple):
    """`fact operator literal`; a duration is in seconds."""

    fact: str
    sign: str
    literal: float | str


class Rule(NamedTuple):
    """A rule ready to use: `when` is any of alls."""

    name: str
    scope: Scope
    when: tuple[tuple[Comparison, ...], ...]
    for_ms: int
    severity: Literal["page", "ticket", "info"]
    summary: str
    remedy: str
    labels: dict[str, str]


class Rules(NamedTuple):
    """All rules, and what silences what."""

    rules: tuple[Rule, ...]
    inhibitions: tuple[InhibitionRow, ...]


class Finding(NamedTuple):
    """What one rule says of one subject: holds is None when a fact that matters is not known."""

    rule: Rule
    labels: dict[str, str]
    holds: bool | None
    value: float | None
    summary: str


def parse(text: bytes, time_scale: float = 1.0) -> Rules:
    """The rules of a YAML text, durations multiplied by `time_scale`; DefinitionError lists all faults at once."""
    try:
        file = msgspec.yaml.decode(text, type=RulesFile)
    except msgspec.DecodeError as fault:
        raise DefinitionError("rules.yaml", "rules and inhibitions", str(fault), "edit the file") from None
    faults: list[str] = []
    rules = tuple(_rule(row, time_scale, faults) for row in file.rules)
    names = [rule.name for rule in rules]
    faults += [
        f"{name}: expected one rule of this name, got {names.count(name)}"
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    for row in file.inhibitions:
        faults += [
            f"inhibitions: expected a rule's name, got {name!r}"
            for name in (row.source, *row.rules)
            if name not in names
        ]
        if (row.scope is None) == (not row.rules):
            faults.append(f"inhibitions: {row.source}: expected either scope or rules")
    if faults:
        raise DefinitionError("rules.yaml", "rules over known facts", "; ".join(faults), "edit the file")
    return Rules(rules, tuple(file.inhibitions))


def evaluate(rules: Iterable[Rule], subjects: Sequence[Subject]) -> list[Finding]:
    """Every rule on every subject of its scope."""
    by_scope: dict[Scope, list[Subject]] = {}
    for subject in subjects:
        by_scope.setdefault(subject.scope, []).append(subject)
    found = []
    for rule in rules:
        for subject in by_scope.get(rule.scope, ()):
            first = subject.facts.get(rule.when[0][0].fact)
            value = float(first) if isinstance(first, float | int) else None
            words = {
                **subject.labels,
                **{name: _say(fact, KINDS[rule.scope, name]) for name, fact in subject.facts.items()},
            }
            summary = PLACEHOLDER.sub(lambda found, words=words: words[found[1]], rule.summary)  # type: ignore[misc]
            found.append(
                Finding(rule, {**rule.labels, **subject.labels}, holds(rule.when, subject.facts), value, summary)
            )
    return found


def holds(when: tuple[tuple[Comparison, ...], ...], facts: dict[str, Value]) -> bool | None:
    """Three-valued: a fact that is not known decides nothing, unless the rest decides without it."""
    alls = [_every([_compare(part, facts.get(part.fact)) for part in parts]) for parts in when]
    if True in alls:
        return True
    return None if None in alls else False


def duration_s(text: str) -> float | None:
    """Seconds of `30s`, `5m` or `1h`; None when it is none of them."""
    found = NUMBER.fullmatch(text.strip())
    return float(found[1]) * UNITS_S[found[2]] if found and found[2] in UNITS_S else None


def _compare(part: Comparison, fact: Value) -> bool | None:
    return None if fact is None else OPERATORS[part.sign](fact, part.literal)


def _every(truths: list[bool | None]) -> bool | None:
    if False in truths:
        return False
    return None if None in truths else True


def _rule(row: RuleRow, time_scale: float, faults: list[str]) -> Rule:
    kinds = {name: kind for (scope, name), kind in KINDS.items() if scope == row.about}
    when = tuple(
        tuple(part for text in all_.split(" and ") if (part := _comparison(row.name, text, kinds, time_scale, faults)))
        for all_ in row.when.split(" or ")
    )
    hold_s = duration_s(row.hold)
    if hold_s is None:
        faults.append(f"{row.name}: for: expected a duration such as 30s or 5m, got {row.hold!r}")
    labels = {"provider": ("provider", "category"), "service": ("service", "instance"), "category": ("category",),
              "topic": ("topic",), "asset": ("category", "entity", "metric"), "system": ()}[row.about]  # fmt: skip
    for name in PLACEHOLDER.findall(row.summary):
        if name not in kinds and name not in labels:
            faults.append(f"{row.name}: summary: expected a fact or label of {row.about}, got {{{name}}}")
    return Rule(
        row.name,
        row.about,
        when,
        int((hold_s or 0) * 1000 * time_scale),
        row.severity,
        row.summary,
        row.remedy,
        row.labels,
    )


def _comparison(
    rule: str, text: str, kinds: dict[str, Kind], time_scale: float, faults: list[str]
) -> Comparison | None:
    found = COMPARISON.fullmatch(text.strip())
    if found is None:
        faults.append(f"{rule}: when: expected `fact operator literal`, got {text.strip()!r}")
        return None
    fact, sign, literal = found[1], found[2], found[3]
    kind = kinds.get(fact)
    number = NUMBER.fullmatch(literal)
    unit = number[2] if number else None
    if kind is None:
        faults.append(f"{rule}: when: expected one of {', '.join(sorted(kinds))}, got {fact}")
    elif kind == "word":
        if number or sign not in WORD_OPERATORS:
            faults.append(f"{rule}: when: {fact} is a word: expected == or != and a word, got {text.strip()!r}")
        else:
            return Comparison(fact, sign, literal)
    elif number is None or (kind == "duration") != (unit in UNITS_S):
        faults.append(
            f"{rule}: when: {fact} is a {kind}: expected {'30s, 5m or 1h' if kind == 'duration' else 'a number or %'}, got {literal!r}"
        )
    elif kind == "duration":
        return Comparison(fact, sign, float(number[1]) * UNITS_S[str(unit)] * time_scale)
    else:
        return Comparison(fact, sign, float(number[1]) / (100 if unit == "%" else 1))
    return None


def _say(fact: Value, kind: Kind) -> str:
    if fact is None:
        return "unknown"
    if isinstance(fact, str):
        return fact
    return f"{fact * 100:.3g} %" if kind == "share" else f"{fact:.4g}"
